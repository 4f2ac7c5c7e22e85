"""Hourly balancing: import minus export of each hour, summed by sign and zone (the kernel).

For each hour t, Eb(t) = Ep(t) - Ew(t): energy taken less energy fed in, each summed over all
phases and quarters of the hour before they are subtracted. The billed quantities are the sums of
max(Eb, 0) and of max(-Eb, 0). In force for prosumers from 1 April 2022; the formula is written out
in Dz.U. 2022 poz. 703 par. 2 (there for energy co-operatives) and in words on the operator's page.
Subtracting by phase or by quarter would give larger sums and another invoice.

The kernel is integers, equality, sums and the larger of two numbers, nothing else, so that any
engine can do it over billions of rows with equal results. With quarters numbered by q = start_s
// 900 and hours by h = q // 4 = start_s // 3600:

    hourly  = SELECT q / 4 AS h, sum(import_wh) AS ep, sum(export_wh) AS ew ... GROUP BY h
    totals  = SELECT zone, sum(ep), sum(ew), sum(max(ep - ew, 0)), sum(max(ew - ep, 0)),
                     sum(max(ew - ep, 0) * price4)
              FROM hourly JOIN rows ON rows.h = hourly.h GROUP BY zone

`rows` is the dimension table of calendar.py. tests/settlement/test_balancing.py runs it as SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from settlement.rules.calendar import HourRow
from settlement.rules.metering import HourEnergy
from settlement.rules.periods import HOUR_S, Period
from settlement.rules.totals import Totals
from settlement.rules.validation import Gap, check_complete

UNKNOWN = HourEnergy(None, None)


def together(phases: Iterable[Mapping[int, HourEnergy]]) -> dict[int, HourEnergy]:
    """All phases of a point as one: a register's hour is known when every phase knows it."""
    listed = list(phases)
    starts = sorted({start_s for phase in listed for start_s in phase})
    return {
        start_s: HourEnergy(
            _sum(phase.get(start_s, UNKNOWN).import_wh for phase in listed),
            _sum(phase.get(start_s, UNKNOWN).export_wh for phase in listed),
        )
        for start_s in starts
    }


def _sum(energies_wh: Iterable[int | None]) -> int | None:
    total_wh = 0
    for energy_wh in energies_wh:
        if energy_wh is None:
            return None
        total_wh += energy_wh
    return total_wh


def totals_of(
    span: Period,
    rows: Sequence[HourRow],
    hours: Mapping[int, HourEnergy],
    *,
    balanced: bool,
    with_export: bool = True,
    intervals: int = 0,
    quality: tuple[tuple[str, int], ...] = (),
    readings_sha256: str = "",
) -> Totals:
    """The totals of a span from its dimension rows and its hours.

    `balanced`: hourly balancing is in force; else positive and negative energy are import and
    export as metered. `with_export` False is a plain household: only import must be known, export
    counts nowhere. An hour with a needed register missing is not balanced: raises Incomplete.
    """
    assert with_export or not balanced
    assert [row.start_s for row in rows] == list(range(span.start_s, span.end_s, HOUR_S))
    known = _joined(rows, hours, with_export)
    signed = [_signed(each, balanced) for each in known]
    priced = [row.price4 for row in rows if row.price4 is not None]
    assert len(priced) in (0, len(rows)), "prices are asked for all hours or for none"
    return Totals(
        span=span,
        import_wh=_by_zone(known, lambda each: each.import_wh),
        export_wh=_by_zone(known, lambda each: each.export_wh) if with_export else {},
        positive_wh=_by_zone(signed, lambda each: each.import_wh),
        negative_wh=_by_zone(signed, lambda each: each.export_wh) if with_export else {},
        value=sum(each.export_wh * price4 for each, price4 in zip(signed, priced, strict=True))
        if priced
        else None,
        intervals=intervals,
        quality=quality,
        readings_sha256=readings_sha256,
    )


class _Hour(NamedTuple):
    zone: str
    import_wh: int
    export_wh: int


def _joined(
    rows: Sequence[HourRow], hours: Mapping[int, HourEnergy], with_export: bool
) -> list[_Hour]:
    """Each row with its energy. Raises Incomplete with the hours in which either is missing."""
    joined, gaps = [], []
    for row in rows:
        import_wh, export_wh = hours.get(row.start_s, UNKNOWN)
        if not with_export:
            export_wh = 0
        if import_wh is None or export_wh is None:
            gaps.append((row.start_s, row.start_s + HOUR_S))
        else:
            joined.append(_Hour(row.zone, import_wh, export_wh))
    check_complete(_merged(gaps))
    return joined


def _merged(gaps: Iterable[Gap]) -> list[Gap]:
    merged: list[Gap] = []
    for start_s, end_s in gaps:
        if merged and merged[-1][1] == start_s:
            start_s = merged.pop()[0]
        merged.append((start_s, end_s))
    return merged


def _signed(hour: _Hour, balanced: bool) -> _Hour:
    if not balanced:
        return hour
    balance_wh = hour.import_wh - hour.export_wh
    return _Hour(hour.zone, max(balance_wh, 0), max(-balance_wh, 0))


def _by_zone(hours: Iterable[_Hour], energy: Callable[[_Hour], int]) -> dict[str, int]:
    sums_wh: dict[str, int] = {}
    for hour in hours:
        sums_wh[hour.zone] = sums_wh.get(hour.zone, 0) + energy(hour)
    return sums_wh
