"""Hourly balancing: the published examples, what always holds, and the kernel in plain SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement import elicznik
from settlement.rules.balancing import together, totals_of
from settlement.rules.calendar import HourRow, hour_rows
from settlement.rules.errors import Incomplete
from settlement.rules.metering import HourEnergy
from settlement.rules.periods import Period, day_of
from settlement.rules.totals import Totals
from settlement.tables.zones import load_schedules

EXPORTS = Path(__file__).parents[1] / "vectors" / "elicznik"
SCHEDULES = load_schedules()
WEEK = "2021-10-15-week"
SPRING = "2022-03-27-23h"
AUTUMN = "2022-10-30-25h"


class WavingPrices:
    """A price for every hour, negative ones among them, as no market would make them."""

    def hour_sum(self, start_s: int, clamp: str) -> int:
        return (start_s // 3600 * 7919) % 200_003 - 60_000


def recorded(name: str) -> tuple[Period, dict[int, HourEnergy]]:
    """The days and hours of a real export."""
    hours = elicznik.parse(elicznik.read(EXPORTS / f"elicznik-{name}.csv"))
    span = Period(day_of(hours[0].start_s), day_of(hours[-1].start_s + 3600))
    return span, {each.start_s: HourEnergy(each.import_wh, each.export_wh) for each in hours}


def settled(
    span: Period, hours: Mapping[int, HourEnergy], group: str = "G11", balanced: bool = True
) -> Totals:
    rows = hour_rows(span, group, SCHEDULES, WavingPrices(), "none")
    return totals_of(span, rows, hours, balanced=balanced)


def sums(totals: Totals) -> tuple[int, int, int, int]:
    """Ep, Ew, positive and negative sums over all zones."""
    fields = (totals.import_wh, totals.export_wh, totals.positive_wh, totals.negative_wh)
    imported, exported, positive, negative = (sum(field.values()) for field in fields)
    return imported, exported, positive, negative


def test_phases_are_summed_within_the_hour_before_anything_is_subtracted() -> None:
    # Four hours, three phases, Wh: import 300, 0, 120 and export 0, 500, 0 in the first ...
    imported = [[300, 0, 120], [0, 0, 0], [200, 150, 100], [100, 0, 0]]
    exported = [[0, 500, 0], [700, 650, 640], [0, 0, 0], [50, 25, 25]]
    day = Period(date(2024, 7, 1), date(2024, 7, 2))
    starts = range(day.start_s, day.end_s, 3600)
    phases = [
        {
            start_s: HourEnergy(imported[place][phase], exported[place][phase])
            if place < 4
            else HourEnergy(0, 0)
            for place, start_s in enumerate(starts)
        }
        for phase in range(3)
    ]
    hours = together(phases)
    balances = [
        (each.import_wh or 0) - (each.export_wh or 0) for each in (hours[s] for s in starts[:4])
    ]
    assert balances == [-80, -1990, 450, 0]
    totals = settled(day, hours)
    assert sums(totals)[2:] == (450, 2070)
    assert sums(totals)[0] - 450 == sums(totals)[1] - 2070 == 520


def test_subtracting_by_phase_would_bill_other_sums() -> None:
    phases = [{0: HourEnergy(300, 0)}, {0: HourEnergy(0, 500)}, {0: HourEnergy(120, 0)}]
    assert together(phases) == {0: HourEnergy(420, 500)}


def test_an_hour_that_one_phase_does_not_know_is_not_known() -> None:
    phases = [{0: HourEnergy(1, 2), 3600: HourEnergy(5, None)}, {0: HourEnergy(10, 20)}]
    assert together(phases) == {0: HourEnergy(11, 22), 3600: HourEnergy(None, None)}
    assert together([]) == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [(AUTUMN, (3_791, 9_866, 3_685, 9_760)), (WEEK, (51_509, 55_134, 49_463, 53_088))],
)
def test_real_exports_balance_to_the_published_sums(
    name: str, expected: tuple[int, int, int, int]
) -> None:
    assert sums(settled(*recorded(name))) == expected


def test_the_balance_lies_in_the_zone_of_its_hour() -> None:
    # 15 October 2021 was a Friday; the week has one Saturday and one Sunday.
    span, hours = recorded(WEEK)
    totals = settled(span, hours, "G12w")
    free = Period(date(2021, 10, 16), date(2021, 10, 18))
    weekend = sums(settled(free, hours))
    assert sums(totals) == sums(settled(span, hours))
    assert totals.import_wh["offpeak"] > weekend[0] > 0
    assert set(totals.positive_wh) == {"peak", "offpeak"}


def test_before_april_2022_import_and_export_are_settled_as_metered() -> None:
    totals = settled(*recorded(WEEK), "G12", balanced=False)
    assert totals.positive_wh == totals.import_wh
    assert totals.negative_wh == totals.export_wh
    assert sum(totals.export_wh.values()) == 55_134


def test_a_plain_household_needs_no_export() -> None:
    day = Period(date(2024, 7, 1), date(2024, 7, 2))
    hours = {s: HourEnergy(100, None) for s in range(day.start_s, day.end_s, 3600)}
    rows = hour_rows(day, "G12", SCHEDULES, None, "quarter")
    totals = totals_of(day, rows, hours, balanced=False, with_export=False)
    assert totals.positive_wh == totals.import_wh == {"night": 1000, "day": 1400}
    assert totals.export_wh == totals.negative_wh == {}
    assert totals.value is None
    with pytest.raises(Incomplete):
        totals_of(day, rows, hours, balanced=False)


@pytest.mark.parametrize("lost", [HourEnergy(None, 5), HourEnergy(5, None), None])
def test_an_hour_with_a_register_missing_is_reported_and_not_balanced(
    lost: HourEnergy | None,
) -> None:
    span, hours = recorded(WEEK)
    at_s = span.start_s + 3 * 3600
    for start_s in (at_s, at_s + 3600):
        hours = (
            {**hours, start_s: lost} if lost else {s: e for s, e in hours.items() if s != start_s}
        )
    with pytest.raises(Incomplete) as refusal:
        settled(span, hours)
    assert refusal.value.gaps == ((at_s, at_s + 7200),)
    assert refusal.value.missing_s == 7200


def test_the_value_of_an_hour_is_its_negative_balance_at_its_price() -> None:
    day = Period(date(2024, 8, 11), date(2024, 8, 12))
    starts = list(range(day.start_s, day.end_s, 3600))
    hours = {s: HourEnergy(0, 0) for s in starts} | {
        starts[9]: HourEnergy(500, 12_500 + 500),
        starts[10]: HourEnergy(0, 4_000),
        starts[20]: HourEnergy(3_000, 0),
    }
    prices = {starts[9]: 4 * 1_240, starts[10]: 4 * 61_235, starts[20]: 4 * 90_000}
    rows = [HourRow(s, "all_day", prices.get(s, 0)) for s in starts]
    totals = totals_of(day, rows, hours, balanced=True)
    # Wh x grosz/MWh x 4
    assert totals.value == 4 * (12_500 * 1_240 + 4_000 * 61_235)


def test_what_was_counted_goes_into_the_totals() -> None:
    span, hours = recorded(AUTUMN)
    rows = hour_rows(span, "G11", SCHEDULES, None, "quarter")
    totals = totals_of(
        span, rows, hours, balanced=True, intervals=50, quality=(("measured", 50),),
        readings_sha256="ab",
    )  # fmt: skip
    assert (totals.span, totals.intervals, totals.readings_sha256) == (span, 50, "ab")
    assert totals.quality == (("measured", 50),)


energies = st.integers(0, 20_000)


@st.composite
def days_of_hours(draw: st.DrawFn) -> tuple[Period, dict[int, HourEnergy]]:
    day = draw(st.sampled_from([date(2024, 3, 31), date(2024, 6, 5), date(2024, 10, 27)]))
    span = Period(day, date.fromordinal(day.toordinal() + 1))
    starts = range(span.start_s, span.end_s, 3600)
    flows = draw(
        st.lists(st.tuples(energies, energies), min_size=len(starts), max_size=len(starts))
    )
    return span, {s: HourEnergy(*flow) for s, flow in zip(starts, flows, strict=True)}


@settings(max_examples=50, deadline=None)
@given(days_of_hours(), st.sampled_from(["G11", "G12", "G13", "G13s"]))
def test_balancing_takes_the_same_energy_from_both_sums(
    day: tuple[Period, dict[int, HourEnergy]], group: str
) -> None:
    span, hours = day
    imported, exported, positive, negative = sums(settled(span, hours, group))
    matched = sum(min(each.import_wh or 0, each.export_wh or 0) for each in hours.values())
    assert imported - positive == exported - negative == matched
    assert positive - negative == imported - exported


@settings(max_examples=50, deadline=None)
@given(days_of_hours())
def test_zones_share_out_the_sums_of_the_day_and_lose_nothing(
    day: tuple[Period, dict[int, HourEnergy]],
) -> None:
    assert sums(settled(*day, "G13s")) == sums(settled(*day, "G11"))


@settings(max_examples=50, deadline=None)
@given(days_of_hours(), days_of_hours())
def test_phases_may_come_in_any_order(
    one: tuple[Period, dict[int, HourEnergy]], other: tuple[Period, dict[int, HourEnergy]]
) -> None:
    assert together([one[1], other[1]]) == together([other[1], one[1]])


# The kernel once more, as another engine would do it: integers and equality alone.

KERNEL = """
WITH hourly AS (
    SELECT q / 4 AS h, sum(import_wh) AS ep, sum(export_wh) AS ew
    FROM quarters GROUP BY q / 4
)
SELECT zone, sum(ep), sum(ew), sum(max(ep - ew, 0)), sum(max(ew - ep, 0)),
       sum(max(ew - ep, 0) * price4)
FROM hourly JOIN hour_rows ON hour_rows.h = hourly.h
GROUP BY zone
"""


def in_sql(
    rows: Sequence[HourRow], quarters: list[tuple[int, int, int]]
) -> list[tuple[object, ...]]:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE hour_rows (h INTEGER, zone TEXT, price4 INTEGER) STRICT")
        connection.execute(
            "CREATE TABLE quarters (q INTEGER, import_wh INTEGER, export_wh INTEGER) STRICT"
        )
        connection.executemany(
            "INSERT INTO hour_rows VALUES (?, ?, ?)",
            [(row.start_s // 3600, row.zone, row.price4) for row in rows],
        )
        connection.executemany("INSERT INTO quarters VALUES (?, ?, ?)", quarters)
        found = connection.execute(KERNEL).fetchall()
    connection.close()
    return sorted(found)


def in_quarters(hours: Mapping[int, HourEnergy]) -> list[tuple[int, int, int]]:
    """The hours cut into quarters of unequal energy, numbered by start_s // 900."""
    quarters = []
    for start_s, each in hours.items():
        assert each.import_wh is not None
        assert each.export_wh is not None
        taken_wh, fed_wh = each.import_wh // 3, each.export_wh // 2
        first = start_s // 900
        quarters += [(first, taken_wh, 0), (first + 1, 0, fed_wh), (first + 2, 0, 0)]
        quarters.append((first + 3, each.import_wh - taken_wh, each.export_wh - fed_wh))
    return quarters


@pytest.mark.parametrize("group", ["G11", "G12w", "G13", "G13s"])
@pytest.mark.parametrize("name", [WEEK, SPRING, AUTUMN])
def test_plain_sql_over_quarters_gives_identical_totals(name: str, group: str) -> None:
    span, hours = recorded(name)
    rows = hour_rows(span, group, SCHEDULES, WavingPrices(), "none")
    totals = totals_of(span, rows, hours, balanced=True)
    found = in_sql(rows, in_quarters(hours))
    assert [row[:5] for row in found] == [
        (
            zone,
            totals.import_wh[zone],
            totals.export_wh[zone],
            totals.positive_wh[zone],
            totals.negative_wh[zone],
        )
        for zone in sorted(totals.import_wh)
    ]
    assert sum(row[5] for row in found if isinstance(row[5], int)) == totals.value
    assert totals.value != 0


def test_balancing_by_quarter_would_contradict_the_hourly_definition() -> None:
    span, hours = recorded(WEEK)
    by_quarter = sum(max(taken - fed, 0) for _, taken, fed in in_quarters(hours))
    assert by_quarter > sum(settled(span, hours).positive_wh.values())
