"""The hours of a civil day of one point, as shown to the household: import, export, quality."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from settlement import history
from settlement.inputs import intervals_of
from settlement.rules.periods import HOUR_S, Hour, day_of, hours_of
from settlement.rules.validation import Interval
from settlement.store import Store, readings
from wire import quality as grades
from wire.obis import EXPORT_WH, IMPORT_WH, NAMES


@dataclass(frozen=True)
class HourReading:
    """Energy of one hour; None where it is not wholly known, which is not the same as zero."""

    start_s: int
    label: str
    import_wh: int | None
    export_wh: int | None
    quality: str


def of_day(store: Store, ppe: str, day: date) -> list[HourReading]:
    """The 23, 24 or 25 hours of the day. Raises Refused or UnknownPoint."""
    hours = hours_of(day)
    start_s, end_s = hours[0].start_s, hours[-1].start_s + HOUR_S
    with store.reading() as connection:
        meters = history.form_of(connection, ppe)[0].assignments()
        by_channel = {
            channel: _by_hour(intervals_of(connection, meters, NAMES[channel], start_s, end_s))
            for channel in (IMPORT_WH, EXPORT_WH)
        }
    return [
        _reading(hour, by_channel[IMPORT_WH][hour.start_s], by_channel[EXPORT_WH][hour.start_s])
        for hour in hours
    ]


def last_day(store: Store, ppe: str) -> date | None:
    """The day of the point's latest import interval. Raises Refused or UnknownPoint."""
    with store.reading() as connection:
        meters = history.form_of(connection, ppe)[0].assignments()
        starts = [
            readings.last_start_s(connection, meter_id, NAMES[IMPORT_WH])
            for meter_id in {each.meter_id for each in meters}
        ]
    last_s = max((start_s for start_s in starts if start_s is not None), default=None)
    return None if last_s is None else day_of(last_s)


def _by_hour(intervals: Iterable[Interval]) -> dict[int, list[Interval]]:
    # Warsaw is a whole number of hours from UTC, so that hours start on UTC hours.
    hours: dict[int, list[Interval]] = defaultdict(list)
    for each in intervals:
        hours[each.start_s - each.start_s % HOUR_S].append(each)
    return hours


def _reading(hour: Hour, imported: list[Interval], exported: list[Interval]) -> HourReading:
    import_wh = _energy_wh(imported)
    export_wh = _energy_wh(exported)
    if import_wh is None:
        quality = grades.GRADES[grades.MISSING]
    else:
        quality = ", ".join(sorted({grades.describe(each.quality) for each in imported}))
    return HourReading(hour.start_s, hour.label, import_wh, export_wh, quality)


def _energy_wh(intervals: list[Interval]) -> int | None:
    known = [each for each in intervals if grades.grade(each.quality) != grades.MISSING]
    if sum(each.capture_period_s for each in known) != HOUR_S:
        return None
    return sum(each.energy_wh for each in known)
