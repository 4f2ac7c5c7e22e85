"""Which zone of its tariff group an hour belongs to: dated zone tables, by season and kind of day.

Zones change on whole hours of local time, so a balance of one hour never straddles two of them.
Both hours labelled `3` of the autumn day begin at 2 by the clock and lie in the zone of that hour.
Summer is 1 April to 30 September (tariff of TAURON Dystrybucja, group G13), not summer time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from settlement.rules.errors import BadTable, NoRate, UnsupportedTariff
from settlement.rules.holidays import is_free_day
from settlement.rules.periods import Period, day_of, local_hour

SUMMER = "summer"
WINTER = "winter"
SEASONS = (SUMMER, WINTER)
SUMMER_MONTHS = range(4, 10)
WORKDAY = "workday"
FREE = "free"
DAY_KINDS = (WORKDAY, FREE)
HOURS = 24
ALL_DAY = "all_day"  # the one zone of a group without zones


@dataclass(frozen=True)
class Plan:
    """The zones of these seasons' days of these kinds.

    `hours` has ranges of local hours [first, end) by zone; a range with first > end goes on over
    midnight. `rest` is the zone of all other hours, None when there are none.
    """

    seasons: tuple[str, ...]
    days: tuple[str, ...]
    hours: Mapping[str, tuple[tuple[int, int], ...]]
    rest: str | None = None


@dataclass(frozen=True)
class Schedule:
    """Zones of a tariff group on the days [valid_from, valid_to), in the order of the invoice.

    `valid_to` None means still in force.
    """

    group: str
    zones: tuple[str, ...]
    plans: tuple[Plan, ...]
    valid_from: date
    valid_to: date | None
    source: str

    @property
    def ends(self) -> date:
        """The first day no longer covered."""
        return self.valid_to or date.max


# For each season and kind of day, the zone of each local hour.
_Clock = dict[tuple[str, str], tuple[str, ...]]


class Schedules:
    """All zone tables, checked once: every hour of every kind of day has exactly one zone.

    Raises BadTable naming group, day kind and hour of a hole, an overlap or an unknown zone, or
    the day on which two tables of one group overlap or leave a gap.
    """

    def __init__(self, schedules: Iterable[Schedule]) -> None:
        self._groups: dict[str, list[tuple[Schedule, _Clock]]] = defaultdict(list)
        for schedule in sorted(schedules, key=lambda each: each.valid_from):
            self._groups[schedule.group].append((schedule, _clock(schedule)))
        for tables in self._groups.values():
            _check_history([schedule for schedule, _ in tables])

    @property
    def groups(self) -> tuple[str, ...]:
        """The tariff groups that have a zone table."""
        return tuple(sorted(self._groups))

    def zones(self, group: str, day: date) -> tuple[str, ...]:
        """The zones of the group on that day, in the order in which an invoice prints them.

        Raises UnsupportedTariff for a group without tables, NoRate for a day without one.
        """
        return self._on(group, day)[0].zones

    def zone_of(self, group: str, start_s: int) -> str:
        """The zone of the hour that contains the UTC second. Raises like `zones`."""
        day = day_of(start_s)
        _, clock = self._on(group, day)
        return clock[season_of(day), day_kind(day)][local_hour(start_s)]

    def changes(self, group: str, period: Period) -> list[date]:
        """Days inside of the period, not its first, on which another zone table comes in force."""
        tables = self._groups.get(group, [])
        starts = (schedule.valid_from for schedule, _ in tables)
        return [day for day in starts if period.start < day < period.end]

    def _on(self, group: str, day: date) -> tuple[Schedule, _Clock]:
        if group not in self._groups:
            raise UnsupportedTariff(
                f"tariff group {group[:20]!r} has no zone table here, there is one for "
                f"{', '.join(self.groups)}: add a file with its [[schedule]] to "
                "settlement/tables/zone_tables"
            )
        for schedule, clock in self._groups[group]:
            if schedule.valid_from <= day < schedule.ends:
                return schedule, clock
        raise NoRate(
            f"tariff group {group} has no zone table on {day}: add a [[schedule]] valid on that "
            "day, with its source, to settlement/tables/zone_tables"
        )


def season_of(day: date) -> str:
    """Summer from 1 April to 30 September, winter from 1 October to 31 March."""
    return SUMMER if day.month in SUMMER_MONTHS else WINTER


def day_kind(day: date) -> str:
    """Free on Saturdays, Sundays and statutory holidays, else a workday."""
    return FREE if is_free_day(day) else WORKDAY


def _clock(schedule: Schedule) -> _Clock:
    """The zone of every local hour of every kind of day. Raises BadTable."""
    where = f"zone table of {schedule.group} from {schedule.valid_from}"
    if schedule.valid_from >= schedule.ends:
        raise BadTable(f"{where}: valid_to is not later than valid_from")
    clock: _Clock = {}
    for plan in schedule.plans:
        _check_names(plan, schedule, where)
        for season in plan.seasons:
            for kind in plan.days:
                if (season, kind) in clock:
                    raise BadTable(f"{where}: {season} {kind} has two plans")
                clock[season, kind] = _hours_of(plan, f"{where}, {season} {kind}")
    for season in SEASONS:
        for kind in DAY_KINDS:
            if (season, kind) not in clock:
                raise BadTable(f"{where}: {season} {kind} has no plan")
    used = {zone for of_day in clock.values() for zone in of_day}
    if unused := [zone for zone in schedule.zones if zone not in used]:
        raise BadTable(f"{where}: zone {unused[0]!r} has no hour")
    return clock


def _check_names(plan: Plan, schedule: Schedule, where: str) -> None:
    named = [*plan.hours, *([] if plan.rest is None else [plan.rest])]
    for names, known in (
        (named, schedule.zones),
        (plan.seasons, SEASONS),
        (plan.days, DAY_KINDS),
    ):
        for name in names:
            if name not in known:
                raise BadTable(f"{where}: {name!r} is not one of {', '.join(known)}")


def _hours_of(plan: Plan, where: str) -> tuple[str, ...]:
    zones: list[str | None] = [None] * HOURS
    for zone, ranges in plan.hours.items():
        for first, end in ranges:
            for hour in _range(first, end, where):
                if zones[hour] is not None:
                    raise BadTable(f"{where}: hour {hour} is both {zones[hour]} and {zone}")
                zones[hour] = zone
    filled = [plan.rest if zone is None else zone for zone in zones]
    if None in filled:
        raise BadTable(f"{where}: hour {filled.index(None)} has no zone")
    return tuple(zone for zone in filled if zone is not None)


def _range(first: int, end: int, where: str) -> list[int]:
    if not (0 <= first < HOURS and 0 < end <= HOURS and first != end):
        raise BadTable(f"{where}: {first}-{end} is not a range of hours such as 06-13 or 22-06")
    last = end if first < end else end + HOURS
    return [hour % HOURS for hour in range(first, last)]


def _check_history(schedules: Sequence[Schedule]) -> None:
    for before, after in pairwise(schedules):
        where = f"zone tables of {after.group}"
        if before.ends > after.valid_from:
            raise BadTable(f"{where} overlap on {after.valid_from}")
        if before.ends < after.valid_from:
            raise BadTable(f"{where}: a gap from {before.ends} to {after.valid_from}")
