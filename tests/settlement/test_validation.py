"""Energy is billed only when the whole period is known, on its grid, and agrees with registers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.rules.errors import Incomplete, OffGrid, Overlapping, RegisterBreak
from settlement.rules.validation import GAPS_SHOWN_MAX, is_capture_period, usage_of
from tests.support.settlement import A_DAY, OTHER_METER_ID, quarters
from wire.quality import ESTIMATED, ESTIMATED_VA, IMPLAUSIBLE, MEASURED, MISSING

DAY = quarters(A_DAY)


def test_a_whole_day_is_the_sum_of_its_quarters() -> None:
    usage = usage_of(DAY, A_DAY)
    assert (usage.energy_wh, usage.intervals) == (9600, 96)
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
    assert usage_of([*DAY[:48], *fresh], A_DAY).energy_wh == 9600
