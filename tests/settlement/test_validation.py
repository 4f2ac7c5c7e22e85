"""Energy is billed only when the whole period is known, on its grid, and agrees with registers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.rules.errors import Incomplete, OffGrid, Overlapping, RegisterBreak
from settlement.rules.metering import IMPORT, Metered, check_whole, metered
from settlement.rules.periods import Period
from settlement.rules.registers import ROLLOVERS_WH, growth
from settlement.rules.validation import (
    GAPS_SHOWN_MAX,
    ROLLOVER,
    SPIKE,
    Interval,
    energy_max_wh,
    is_capture_period,
    known_of,
)
from tests.support.settlement import A_DAY, OTHER_METER_ID, quarters
from wire.quality import ESTIMATED, ESTIMATED_VA, IMPLAUSIBLE, MEASURED, MISSING

DAY = quarters(A_DAY)


def usage_of(intervals: Iterable[Interval], period: Period) -> Metered:
    """A household's import, which must be whole."""
    usage = metered({IMPORT: intervals}, period)
    check_whole(usage)
    return usage


def import_wh_of(intervals: Iterable[Interval], period: Period) -> int:
    return sum(hour.import_wh or 0 for hour in usage_of(intervals, period).hours.values())


def test_a_whole_day_is_the_sum_of_its_quarters() -> None:
    usage = usage_of(DAY, A_DAY)
    assert import_wh_of(DAY, A_DAY) == 9600
    assert usage.intervals == 96
    assert usage.quality == (("measured", 96),)


def test_the_order_of_arrival_does_not_matter() -> None:
    assert usage_of(reversed(DAY), A_DAY) == usage_of(DAY, A_DAY)


def test_another_value_gives_another_digest_of_readings() -> None:
    changed = [replace(DAY[0], quality=ESTIMATED), *DAY[1:]]
    assert usage_of(changed, A_DAY).readings_sha256 != usage_of(DAY, A_DAY).readings_sha256


def test_quality_is_counted_with_its_flags() -> None:
    mixed = [replace(DAY[0], quality=ESTIMATED), replace(DAY[1], quality=IMPLAUSIBLE), *DAY[2:]]
    assert dict(usage_of(mixed, A_DAY).quality) == {
        "estimated": 1,
        "measured": 94,
        "measured+implausible": 1,
    }


@settings(max_examples=40)
@given(st.sets(st.integers(0, 95), min_size=1))
def test_any_missing_quarter_is_refused_and_its_length_is_named(lost: set[int]) -> None:
    kept = [each for place, each in enumerate(DAY) if place not in lost]
    with pytest.raises(Incomplete) as refusal:
        usage_of(kept, A_DAY)
    assert refusal.value.missing_s == 900 * len(lost)
    assert refusal.value.gaps[0][0] == A_DAY.start_s + 900 * min(lost)
    assert len(refusal.value.gaps) <= GAPS_SHOWN_MAX


def test_only_the_first_gaps_are_listed() -> None:
    with pytest.raises(Incomplete) as refusal:
        usage_of(DAY[1::2], A_DAY)
    assert len(refusal.value.gaps) == GAPS_SHOWN_MAX
    assert refusal.value.missing_s == 48 * 900


def test_no_intervals_at_all_is_one_gap_over_the_whole_period() -> None:
    with pytest.raises(Incomplete) as refusal:
        usage_of([], A_DAY)
    assert refusal.value.gaps == ((A_DAY.start_s, A_DAY.end_s),)


def test_an_interval_of_missing_quality_is_missing_whatever_energy_it_says() -> None:
    with pytest.raises(Incomplete):
        usage_of([replace(DAY[0], quality=MISSING), *DAY[1:]], A_DAY)


def test_an_interval_guessed_without_voltage_is_refused() -> None:
    with pytest.raises(Incomplete):
        usage_of([replace(DAY[0], quality=MEASURED | ESTIMATED_VA), *DAY[1:]], A_DAY)


@pytest.mark.parametrize("change_s", [1, 60, 899])
def test_an_interval_off_its_grid_is_refused(change_s: int) -> None:
    moved = replace(DAY[5], start_s=DAY[5].start_s + change_s)
    with pytest.raises(OffGrid):
        usage_of([*DAY[:5], moved, *DAY[6:]], A_DAY)


@pytest.mark.parametrize(
    ("capture_period_s", "known"),
    [(59, False), (60, True), (900, True), (1800, True), (3600, True), (7200, False), (7, False)],
)
def test_a_capture_period_tiles_the_hour(capture_period_s: int, known: bool) -> None:
    assert is_capture_period(capture_period_s) is known


def test_an_interval_of_another_day_is_refused() -> None:
    with pytest.raises(OffGrid):
        usage_of([*DAY, replace(DAY[0], start_s=A_DAY.end_s)], A_DAY)


def test_two_intervals_over_the_same_quarter_are_refused() -> None:
    hour = replace(DAY[0], capture_period_s=3600, start_s=DAY[0].start_s)
    with pytest.raises(Overlapping):
        usage_of([hour, *DAY[1:]], A_DAY)


def test_registers_must_grow_by_the_energy_of_the_intervals() -> None:
    last = DAY[-1]
    assert last.register_end_wh is not None
    for wrong_wh in (last.register_end_wh - 1, last.register_end_wh + 1):
        with pytest.raises(RegisterBreak):
            usage_of([*DAY[:-1], replace(last, register_end_wh=wrong_wh)], A_DAY)


def test_a_changed_meter_starts_from_its_own_register() -> None:
    second = [replace(each, meter_id=OTHER_METER_ID) for each in DAY[48:]]
    fresh = [replace(each, register_end_wh=100 * (n + 1)) for n, each in enumerate(second)]
    assert import_wh_of([*DAY[:48], *fresh], A_DAY) == 9600


def shifted(intervals: list[Interval], by_wh: int, round_at_wh: int) -> list[Interval]:
    """The same energy on a register that stood at `by_wh` and goes round."""
    return [
        replace(each, register_end_wh=((each.register_end_wh or 0) + by_wh) % round_at_wh)
        for each in intervals
    ]


def test_a_register_that_is_wrong_in_the_middle_is_found_although_both_ends_agree() -> None:
    middle = DAY[40]
    assert middle.register_end_wh is not None
    wrong = [*DAY[:40], replace(middle, register_end_wh=middle.register_end_wh + 7), *DAY[41:]]
    with pytest.raises(RegisterBreak):
        usage_of(wrong, A_DAY)


def test_intervals_without_a_register_are_checked_by_the_next_one_that_has_it() -> None:
    blind = [replace(each, register_end_wh=None) for each in DAY[1:50]]
    assert import_wh_of([DAY[0], *blind, *DAY[50:]], A_DAY) == 9600
    blind[7] = replace(blind[7], energy_wh=101)
    with pytest.raises(RegisterBreak):
        usage_of([DAY[0], *blind, *DAY[50:]], A_DAY)


def test_a_register_that_runs_backwards_is_refused() -> None:
    back = [*DAY[:50], *[replace(each, register_end_wh=100) for each in DAY[50:51]], *DAY[51:]]
    with pytest.raises(RegisterBreak, match="replaced or reset"):
        usage_of(back, A_DAY)
    with pytest.raises(RegisterBreak, match="-1 Wh"):
        usage_of([replace(DAY[0], energy_wh=-1), *DAY[1:]], A_DAY)


def test_a_stale_estimate_is_named_when_the_registers_do_not_agree() -> None:
    guess = replace(DAY[5], energy_wh=90, quality=ESTIMATED, register_end_wh=None)
    with pytest.raises(RegisterBreak, match="estimate this gap again"):
        usage_of([*DAY[:5], guess, *DAY[6:]], A_DAY)


@pytest.mark.parametrize("round_at_wh", ROLLOVERS_WH)
def test_a_register_that_goes_round_is_billed_and_flagged(round_at_wh: int) -> None:
    known = known_of(shifted(DAY, round_at_wh - 4_850, round_at_wh), A_DAY)
    assert sum(each.energy_wh for each in known.intervals) == 9600
    (finding,) = known.findings
    assert (finding.kind, finding.start_s) == (ROLLOVER, DAY[48].start_s)
    assert str(round_at_wh) in finding.detail


def test_a_register_that_goes_round_anywhere_else_is_broken() -> None:
    with pytest.raises(RegisterBreak):
        known_of(shifted(DAY, 10**7 - 4_850, 10**7), A_DAY)
    with pytest.raises(RegisterBreak):
        known_of(shifted(DAY, 10**13 - 4_850, 10**13), A_DAY)


def test_a_rollover_inside_of_a_gap_needs_the_connection_power_to_be_told() -> None:
    # Quarters 40 to 49 are missing: 1000 Wh in 2.5 hours, 400 W on the mean.
    turned = shifted(DAY, 10**8 - 4_500, 10**8)
    gappy = [*turned[:40], *turned[50:]]
    assert [found.kind for found in known_of(gappy, A_DAY, 400).findings] == [ROLLOVER]
    for too_little in (399, None):
        with pytest.raises(RegisterBreak):
            known_of(gappy, A_DAY, too_little)


def test_a_gap_takes_any_growth_of_the_register_but_no_shrinking() -> None:
    gappy = [*DAY[:40], *DAY[50:]]
    known = known_of(gappy, A_DAY)
    assert known.gaps == ((DAY[40].start_s, DAY[50].start_s),)
    assert known.findings == ()
    less = [replace(each, register_end_wh=(each.register_end_wh or 0) - 1_001) for each in DAY[50:]]
    with pytest.raises(RegisterBreak):
        known_of([*DAY[:40], *less], A_DAY)


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_register_grows_by_exactly_the_known_energy(before: int, known: int, off: int) -> None:
    assert growth(before, before + known, known).energy_wh == known
    with pytest.raises(RegisterBreak):
        growth(before, before + known + off, known)


@pytest.mark.parametrize(
    ("before_wh", "after_wh", "known_wh", "unknown_wh"),
    [
        (99_999_950, 0, 100, 0),  # went round, and holds less than the intervals
        (99_999_950, 0, 100, 500),
        (200_000_050, 100_000_100, 50, 0),  # never stood below the 10**8 it would go round at
        (99_999_990, 100_000_040, 40, 0),
    ],
)
def test_going_round_does_not_explain_everything(
    before_wh: int, after_wh: int, known_wh: int, unknown_wh: int
) -> None:
    with pytest.raises(RegisterBreak):
        growth(before_wh, after_wh, known_wh, unknown_wh)


@pytest.mark.parametrize(("energy_wh", "flagged"), [(3_499, False), (3_500, False), (3_501, True)])
def test_more_energy_than_the_connection_lets_through_is_flagged(
    energy_wh: int, flagged: bool
) -> None:
    # 14 kW for a quarter of an hour are 3500 Wh.
    spiky = [replace(DAY[0], energy_wh=energy_wh, register_end_wh=None), *DAY[1:]]
    known = known_of(spiky, A_DAY, 14_000)
    assert [found.kind for found in known.findings] == [SPIKE] * flagged
    assert sum(each.energy_wh for each in known.intervals) == energy_wh + 9500
    assert known_of(spiky, A_DAY).findings == ()


def test_an_hour_lets_through_four_times_a_quarter() -> None:
    assert [energy_max_wh(14_000, duration_s) for duration_s in (900, 1800, 3600)] == [
        3_500,
        7_000,
        14_000,
    ]
