"""Local time of the invoice: civil days, hours and billing periods in Europe/Warsaw.

The only module of the rules that knows a time zone. Everything else counts UTC seconds.
A civil day has 23, 24 or 25 hours. Hours carry the labels of eLicznik: local start hour + 1,
so that spring reads 1, 2, 4 ... 24 and autumn has `3` twice, told apart by order alone.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from settlement.rules.errors import BadPeriod

ZONE = ZoneInfo("Europe/Warsaw")
HOUR_S = 3600
# A year with its leap day: nobody is billed for longer at once.
PERIOD_DAYS_MAX = 366
# Outside of these years neither the tables nor the wire (START_S_MIN) hold anything.
YEAR_MIN = 2020
YEAR_MAX = 2099


@dataclass(frozen=True)
class Hour:
    """One hour of a civil day: UTC start and the label that eLicznik prints."""

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
    return datetime.fromtimestamp(instant_s, UTC).astimezone(ZONE).date()


def hours_of(day: date) -> tuple[Hour, ...]:
    """The 23, 24 or 25 hours of a civil day, in order."""
    starts = range(day_start_s(day), day_start_s(day + timedelta(days=1)), HOUR_S)
    return tuple(Hour(start_s, _label(start_s)) for start_s in starts)


def _label(start_s: int) -> str:
    return str(datetime.fromtimestamp(start_s, UTC).astimezone(ZONE).hour + 1)


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
