"""Local time of the invoice: civil days, hours and billing periods in Europe/Warsaw.

The only module of the rules that knows a time zone. Everything else counts UTC seconds.
A civil day has 23, 24 or 25 hours and 92, 96 or 100 quarters. Hours carry the labels of eLicznik:
local start hour + 1, so that spring reads 1, 2, 4 ... 24 and autumn has `3` twice, told apart by
order alone. Quarters carry the labels of PSE (report rce-pln): the clock at their END, 00:15 ...
24:00. Spring goes from 02:00 to 03:15. In the repeated hour of autumn, an `a` follows the hour:
02:45, 03:00, 02a:15, 02a:30, 02a:45, 03a:00, 03:15, as printed for 26 October 2025.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from settlement.rules.errors import BadPeriod

ZONE = ZoneInfo("Europe/Warsaw")
HOUR_S = 3600
QUARTER_S = 900
# A year with its leap day: nobody is billed for longer at once.
PERIOD_DAYS_MAX = 366
# Outside of these years neither the tables nor the wire (START_S_MIN) hold anything.
YEAR_MIN = 2020
YEAR_MAX = 2099


class Month(NamedTuple):
    """A calendar month. Months sort in time and are printed as 2024-07."""

    year: int
    month: int

    @classmethod
    def of(cls, day: date) -> Month:
        """The month that contains the day."""
        return cls(day.year, day.month)

    @classmethod
    def parse(cls, text: str) -> Month:
        """A month written YYYY-MM. Raises BadPeriod."""
        return cls.of(parse_day(f"{text}-01"))

    def plus(self, months: int) -> Month:
        """The month that many months later, or earlier when negative."""
        index = self.year * 12 + self.month - 1 + months
        return Month(index // 12, index % 12 + 1)

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, self.month, 1)

    @property
    def period(self) -> Period:
        """All of its days."""
        return Period(self.first, self.plus(1).first)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


@dataclass(frozen=True)
class Hour:
    """One hour of a civil day: UTC start and the label that eLicznik prints."""

    start_s: int
    label: str


class Quarter(NamedTuple):
    """One quarter of an hour of a civil day: UTC start and the label that PSE prints."""

    start_s: int
    label: str


@dataclass(frozen=True)
class MonthPart:
    """How many days of one calendar month lie inside of a period."""

    year: int
    month: int
    days: int
    days_in_month: int


@dataclass(frozen=True)
class Period:
    """Civil days [start, end): `end` is the first day that is not billed."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise BadPeriod(f"the period ends ({self.end}) before it starts ({self.start})")
        if (self.end - self.start).days > PERIOD_DAYS_MAX:
            raise BadPeriod(f"a period longer than {PERIOD_DAYS_MAX} days: split it")
        if self.start.year < YEAR_MIN or self.end.year > YEAR_MAX:
            raise BadPeriod(f"a period outside of the years {YEAR_MIN} to {YEAR_MAX}")

    @property
    def start_s(self) -> int:
        """UTC second of the first local midnight."""
        return day_start_s(self.start)

    @property
    def end_s(self) -> int:
        """UTC second of the local midnight after the last day."""
        return day_start_s(self.end)


def parse_day(text: str) -> date:
    """A civil day written YYYY-MM-DD. Raises BadPeriod."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise BadPeriod(f"{text[:20]!r} is not a day: write it as 2024-10-27") from None
    if len(text) != len("2024-10-27") or not YEAR_MIN <= day.year <= YEAR_MAX:
        raise BadPeriod(f"{text[:20]!r}: write a day of {YEAR_MIN} to {YEAR_MAX} as 2024-10-27")
    return day


def day_start_s(day: date) -> int:
    """UTC second at which the civil day begins."""
    return int(datetime.combine(day, time(), ZONE).timestamp())


def day_of(instant_s: int) -> date:
    """The civil day that contains the UTC second."""
    return _local(instant_s).date()


def local_hour(instant_s: int) -> int:
    """The hour on the clock, 0 to 23: it comes twice in autumn and is left out in spring."""
    return _local(instant_s).hour


def hours_of(day: date) -> tuple[Hour, ...]:
    """The 23, 24 or 25 hours of a civil day, in order."""
    starts = range(day_start_s(day), day_start_s(day + timedelta(days=1)), HOUR_S)
    return tuple(Hour(start_s, str(local_hour(start_s) + 1)) for start_s in starts)


def quarters_of(day: date) -> tuple[Quarter, ...]:
    """The 92, 96 or 100 quarters of a civil day, in order."""
    starts = range(day_start_s(day), day_start_s(day + timedelta(days=1)), QUARTER_S)
    return tuple(Quarter(start_s, _pse_label(start_s)) for start_s in starts)


def _pse_label(start_s: int) -> str:
    # The clock runs on past a change within the quarter's hour, so that 02:45 ends at 03:00.
    local = _local(start_s)
    minutes = local.hour * 60 + local.minute + QUARTER_S // 60
    return f"{minutes // 60:02d}{'a' if local.fold else ''}:{minutes % 60:02d}"


def _local(instant_s: int) -> datetime:
    return datetime.fromtimestamp(instant_s, UTC).astimezone(ZONE)


def billing_periods(first_day: date, months: int, until: date) -> tuple[Period, ...]:
    """Consecutive periods of `months` calendar months from the first day up to `until`, exclusive.

    A started month counts as one, so that every period but the first begins on the first of a
    month; the last is cut short at `until`. Raises BadPeriod when nothing lies in between.
    """
    assert months > 0
    if until <= first_day:
        raise BadPeriod(f"nothing to bill from {first_day} to {until}: give a later last day")
    periods = []
    start, month = first_day, Month.of(first_day)
    while start < until:
        month = month.plus(months)
        periods.append(Period(start, min(month.first, until)))
        start = month.first
    return tuple(periods)


def months_of(period: Period) -> tuple[MonthPart, ...]:
    """The calendar months that the period touches, each with its days inside."""
    parts = []
    first = period.start.replace(day=1)
    while first < period.end:
        days_in_month = monthrange(first.year, first.month)[1]
        next_first = first + timedelta(days=days_in_month)
        inside = min(period.end, next_first) - max(period.start, first)
        parts.append(MonthPart(first.year, first.month, inside.days, days_in_month))
        first = next_first
    return tuple(parts)
