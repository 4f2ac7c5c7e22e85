"""Substitutes add up, say how they were made, and give way to what the meter measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.rules.errors import CannotEstimate, OffGrid, Overlapping, RegisterBreak
from settlement.rules.estimation import (
    MEAN_OF_COMPARABLE_DAYS,
    REGISTER_BY_PROFILE,
    REGISTER_EVENLY,
    MeterGap,
    Substitute,
    meter_gaps,
    propose,
    resolve,
)
from settlement.rules.holidays import is_free_day
from settlement.rules.metering import EXPORT, IMPORT, check_whole, metered
from settlement.rules.periods import Period, day_start_s, hours_of, local_hour
from settlement.rules.validation import Interval, known_of
from wire.quality import ESTIMATED, ESTIMATED_VA, MEASURED, MISSING

METER = "00112233445566aa"
TUESDAY = date(2024, 10, 15)
DAY = Period(TUESDAY, TUESDAY + timedelta(days=1))
NOON_S = day_start_s(TUESDAY) + 12 * 3600


def a_gap(
    start_s: int = NOON_S,
    intervals: int = 4,
    before_wh: int | None = None,
    after_wh: int | None = None,
    capture_period_s: int = 900,
) -> MeterGap:
    end_s = start_s + intervals * capture_period_s
    return MeterGap(METER, IMPORT, start_s, end_s, capture_period_s, before_wh, after_wh)


def days_before(day: date, count: int, energy_wh: int = 400) -> dict[int, int | None]:
    """Every hour of so many days: energy_wh x clock on workdays, 1 Wh on free days."""
    hours: dict[int, int | None] = {}
    for back in range(1, count + 1):
        other = day - timedelta(days=back)
        for hour in hours_of(other):
            clock = local_hour(hour.start_s)
            hours[hour.start_s] = 1 if is_free_day(other) else energy_wh * clock
    return hours


def energies(substitutes: tuple[Substitute, ...]) -> list[int]:
    return [each.energy_wh for each in substitutes]


def methods(substitutes: tuple[Substitute, ...]) -> set[str]:
    return {each.method for each in substitutes}


def a_day(energy_wh: int = 100) -> list[Interval]:
    return [
        Interval(METER, start_s, 900, energy_wh, MEASURED, 5_000 + energy_wh * (place + 1))
        for place, start_s in enumerate(range(DAY.start_s, DAY.end_s, 900))
    ]


# What is missing, and the registers beside it.


def test_a_gap_carries_the_registers_of_its_neighbours() -> None:
    told = [*a_day()[:40], *a_day()[44:]]
    assert meter_gaps(METER, IMPORT, told, DAY.start_s, DAY.end_s, 900) == (
        a_gap(DAY.start_s + 40 * 900, 4, 9_000, 9_400),
    )


def test_a_gap_at_the_edge_takes_the_register_from_just_outside() -> None:
    told = a_day()
    at_s, until_s = told[40].start_s, told[44].start_s
    (inside,) = meter_gaps(METER, IMPORT, told[:40] + told[44:], at_s, until_s, 900)
    assert (inside.before_wh, inside.after_wh) == (9_000, 9_400)
    (open_end,) = meter_gaps(METER, IMPORT, told[:40], at_s, until_s, 900)
    assert (open_end.before_wh, open_end.after_wh) == (9_000, None)
    # Neighbours further away say nothing of the register at the edge.
    (alone,) = meter_gaps(METER, IMPORT, told[:39] + told[45:], at_s, until_s, 900)
    assert (alone.before_wh, alone.after_wh) == (None, None)


def test_intervals_that_may_not_be_billed_are_part_of_the_gap() -> None:
    told = a_day()
    told[40] = replace(told[40], quality=MISSING)
    told[41] = replace(told[41], quality=ESTIMATED_VA)
    (gap,) = meter_gaps(METER, IMPORT, told, DAY.start_s, DAY.end_s, 900)
    assert list(gap.starts) == [told[40].start_s, told[41].start_s]
    assert meter_gaps(METER, IMPORT, a_day(), DAY.start_s, DAY.end_s, 900) == ()


def test_a_register_that_went_round_inside_of_the_next_interval_is_not_used() -> None:
    told = a_day()
    told[44] = replace(told[44], register_end_wh=30)
    (gap,) = meter_gaps(METER, IMPORT, told[:40] + told[44:], DAY.start_s, DAY.end_s, 900)
    assert (gap.before_wh, gap.after_wh) == (9_000, None)


@pytest.mark.parametrize(
    ("start_s", "end_s", "capture_period_s"),
    [
        (NOON_S + 1, NOON_S + 900, 900),
        (NOON_S, NOON_S + 899, 900),
        (NOON_S, NOON_S + 900, 3600),
        (NOON_S, NOON_S, 900),
        (NOON_S, NOON_S + 7200, 7200),
    ],
)
def test_a_gap_is_whole_intervals(start_s: int, end_s: int, capture_period_s: int) -> None:
    with pytest.raises(OffGrid):
        MeterGap(METER, IMPORT, start_s, end_s, capture_period_s)


# Registers on both sides: their difference, exactly.


def test_the_register_difference_is_shared_out_by_comparable_days() -> None:
    gap = a_gap(intervals=3, before_wh=1_000, after_wh=1_391, capture_period_s=3600)
    found = propose(gap, days_before(TUESDAY, 28), version=1)
    # Noon to 3 p.m. on workdays are as 12 : 13 : 14.
    assert energies(found) == [120, 130, 141]
    assert methods(found) == {REGISTER_BY_PROFILE}


def test_without_comparable_days_the_register_difference_is_shared_out_evenly() -> None:
    found = propose(a_gap(intervals=4, before_wh=0, after_wh=10), {}, version=1)
    assert energies(found) == [3, 3, 2, 2]
    assert methods(found) == {REGISTER_EVENLY}


def test_one_hour_without_a_comparable_day_or_none_with_energy_means_evenly() -> None:
    history = days_before(TUESDAY, 28)
    noons = [start_s for start_s in history if local_hour(start_s) == 12]
    gap = a_gap(NOON_S - 3600, 2, 0, 100, 3600)
    assert methods(propose(gap, history, 1)) == {REGISTER_BY_PROFILE}
    for start_s in noons:
        history[start_s] = None
    assert methods(propose(gap, history, 1)) == {REGISTER_EVENLY}
    assert methods(propose(gap, days_before(TUESDAY, 28, 0), 1)) == {REGISTER_EVENLY}


def test_a_register_that_went_round_in_the_gap_is_shared_out_within_the_power() -> None:
    gap = a_gap(intervals=4, before_wh=99_999_950, after_wh=50)
    assert sum(energies(propose(gap, {}, 1, power_w_max=100))) == 100
    for too_little in (99, None):
        with pytest.raises(RegisterBreak):
            propose(gap, {}, 1, power_w_max=too_little)


def test_a_register_that_ran_backwards_in_the_gap_is_refused() -> None:
    with pytest.raises(RegisterBreak):
        propose(a_gap(before_wh=500, after_wh=499), days_before(TUESDAY, 28), 1)
    assert sum(energies(propose(a_gap(before_wh=500, after_wh=500), {}, 1))) == 0


# No register: the mean of comparable days.


def test_without_registers_the_mean_of_the_same_hour_is_taken() -> None:
    found = propose(a_gap(intervals=4, before_wh=7), days_before(TUESDAY, 28), version=3)
    assert energies(found) == [1_200] * 4  # 12 x 400 in the hour
    assert methods(found) == {MEAN_OF_COMPARABLE_DAYS}
    assert {(each.quality, each.version, each.obis) for each in found} == {(ESTIMATED, 3, IMPORT)}


def test_quarters_of_an_hour_add_up_to_its_mean_rounded_once() -> None:
    history: dict[int, int | None] = {NOON_S - 86_400: 6, NOON_S - 7 * 86_400: 7}
    assert energies(propose(a_gap(), history, 1)) == [2, 2, 2, 1]  # 6.5 up to 7
    assert energies(propose(a_gap(intervals=2), history, 1)) == [2, 1]  # 3.25 down to 3


def test_only_days_of_the_same_kind_in_the_28_days_before_are_comparable() -> None:
    saturday = date(2024, 10, 12)
    on_saturday = day_start_s(saturday) + 12 * 3600
    assert energies(
        propose(a_gap(on_saturday, 1, None, None, 3600), days_before(saturday, 28), 1)
    ) == [1]
    four_weeks_ago = day_start_s(TUESDAY - timedelta(days=28)) + 12 * 3600
    hour = a_gap(NOON_S, 1, None, None, 3600)
    assert energies(propose(hour, {four_weeks_ago: 70}, 1)) == [70]
    too_old = day_start_s(TUESDAY - timedelta(days=29)) + 12 * 3600
    sunday = day_start_s(date(2024, 10, 13)) + 12 * 3600
    later = NOON_S + 86_400
    for start_s in (too_old, sunday, later):
        with pytest.raises(CannotEstimate, match="no comparable day in the 28 days"):
            propose(hour, {start_s: 70}, 1)


def test_both_autumn_hours_are_comparable_with_hour_2_of_other_days() -> None:
    autumn = date(2024, 10, 27)  # a Sunday
    twice = [hour.start_s for hour in hours_of(autumn) if local_hour(hour.start_s) == 2]
    a_week_ago = day_start_s(date(2024, 10, 20)) + 2 * 3600
    found = propose(a_gap(twice[0], 2, None, None, 3600), {a_week_ago: 30}, 1)
    assert energies(found) == [30, 30]
    a_week_later = day_start_s(date(2024, 11, 3)) + 2 * 3600
    history: dict[int, int | None] = {twice[0]: 10, twice[1]: 20}
    assert energies(propose(a_gap(a_week_later, 1, None, None, 3600), history, 1)) == [15]


def test_nothing_known_is_refused_and_the_hour_is_named() -> None:
    with pytest.raises(CannotEstimate, match=str(NOON_S)):
        propose(a_gap(), {}, 1)
    with pytest.raises(CannotEstimate):
        propose(a_gap(before_wh=100), {}, 1)


# Largest remainder.


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 50_000), st.integers(1, 200), st.booleans())
def test_substitutes_add_up_to_the_register_difference(
    grown_wh: int, intervals: int, known: bool
) -> None:
    history = days_before(TUESDAY, 28) if known else {}
    found = propose(a_gap(intervals=intervals, before_wh=123, after_wh=123 + grown_wh), history, 1)
    assert sum(energies(found)) == grown_wh
    assert min(energies(found)) >= 0
    assert [each.start_s for each in found] == list(range(NOON_S, NOON_S + 900 * intervals, 900))


# What counts.


def test_a_day_with_substitutes_is_whole_and_agrees_with_its_registers() -> None:
    told = [*a_day()[:40], *a_day()[60:]]
    (gap,) = meter_gaps(METER, IMPORT, told, DAY.start_s, DAY.end_s, 900)
    filled = resolve(told, propose(gap, days_before(TUESDAY, 28), version=1))
    found = metered({IMPORT: filled, EXPORT: a_day(0)}, DAY)
    check_whole(found)
    assert sum(each.import_wh or 0 for each in found.hours.values()) == 9_600
    assert dict(found.quality) == {"measured": 76 + 96, "estimated": 20}


def test_a_measured_interval_supersedes_its_substitute_and_only_that() -> None:
    told = [*a_day()[:40], *a_day()[44:]]
    guesses = propose(a_gap(a_day()[40].start_s), days_before(TUESDAY, 28), 1)
    late = a_day()[41]
    counted = resolve([*told, late], guesses)
    assert len(counted) == 96
    assert counted[41] == late
    assert [each.quality for each in counted[40:44]] == [ESTIMATED, MEASURED, ESTIMATED, ESTIMATED]
    # The register now contradicts the guesses beside it: they are to be made again.
    with pytest.raises(RegisterBreak, match="estimate this gap again"):
        known_of(counted, DAY)
    again = [
        substitute
        for gap in meter_gaps(METER, IMPORT, [*told, late], DAY.start_s, DAY.end_s, 900)
        for substitute in propose(gap, {}, version=2)
    ]
    assert known_of(resolve([*told, late], [*guesses, *again]), DAY).gaps == ()


def test_the_highest_version_of_a_substitute_counts() -> None:
    versions = [
        replace(propose(a_gap(intervals=1, before_wh=0, after_wh=wh), {}, 1)[0], version=version)
        for version, wh in ((2, 20), (3, 30), (1, 10))
    ]
    assert [each.energy_wh for each in resolve([], versions)] == [30]


def test_a_substitute_that_is_measured_in_part_is_left_out_whole() -> None:
    (hour,) = propose(a_gap(intervals=1, before_wh=0, after_wh=400, capture_period_s=3600), {}, 1)
    quarter = Interval(METER, NOON_S + 900, 900, 90, MEASURED)
    assert resolve([quarter], [hour]) == [quarter]
    beside = replace(quarter, start_s=NOON_S + 3600)
    assert resolve([beside], [hour]) == [hour.interval, beside]


def test_a_measured_interval_that_may_not_be_billed_gives_way() -> None:
    (guess,) = propose(a_gap(intervals=1, before_wh=0, after_wh=50), {}, 1)
    useless = [
        Interval(METER, NOON_S, 900, 0, MISSING),
        Interval(METER, NOON_S + 900, 900, 0, MISSING),
    ]
    assert resolve(useless, [guess]) == [guess.interval, useless[1]]
    assert resolve(useless, []) == useless


def test_measured_intervals_that_overlap_stay_for_the_validation_to_refuse() -> None:
    twice = [*a_day(), Interval(METER, NOON_S, 3600, 400, MEASURED)]
    with pytest.raises(Overlapping):
        known_of(resolve(twice, []), DAY)
