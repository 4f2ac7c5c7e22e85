"""How far a board's crystal drifts is measured from receipts, and made good without them."""

from firmware.clock import CLOCK_STEP_S, DRIFT_BASE_S, DRIFT_PPM_MAX, Timekeeper
from tests.support.crystal import Crystal, a_timekeeper, run

DAY_S = 86400


def test_less_than_two_seconds_over_a_short_base_are_no_drift():
    keeper, crystal = a_timekeeper()
    for number in range(12):
        crystal.pass_s(900)
        keeper.receipt(crystal.true_s() + (0, 1, -1, 1)[number % 4])
        assert keeper.drift_ppb == 0


def test_a_drift_needs_receipts_an_hour_apart():
    for base_s, off_s, learned in (
        (DRIFT_BASE_S - 1, 2, False),
        (DRIFT_BASE_S, 2, True),
        (DRIFT_BASE_S + 1800, 3, True),
    ):
        keeper, crystal = a_timekeeper()
        crystal.pass_s(base_s)
        keeper.receipt(crystal.true_s() + off_s)
        assert (keeper.drift_ppb > 0) == learned


def test_a_drift_beyond_any_crystal_stays_at_the_bound():
    for ppm, bound in ((300, 200_000), (-300, -200_000)):
        assert DRIFT_PPM_MAX == 200
        keeper, crystal = a_timekeeper(ppm)
        run(keeper, crystal, DAY_S, 900)
        assert keeper.drift_ppb == bound
        assert run(keeper, crystal, DAY_S, 900) <= CLOCK_STEP_S + 1


def test_a_day_offline_after_a_day_of_receipts_ends_within_a_second():
    for ppm in (40, -40, 0, 100, -13):
        keeper, crystal = a_timekeeper(ppm)
        run(keeper, crystal, DAY_S, 900)
        assert abs(keeper.drift_ppb - ppm * 1000) < 5000
        assert run(keeper, crystal, DAY_S) <= 1
        assert len(crystal.sets) <= 2


def test_a_day_offline_without_the_measured_drift_would_end_beyond_a_second():
    keeper, crystal = a_timekeeper(40)
    run(keeper, crystal, DAY_S, 900)
    keeper.drift_ppb = 0
    assert run(keeper, crystal, DAY_S) > 1


def test_with_receipts_a_crystal_of_200_ppm_is_never_shown_more_than_three_seconds_wrong():
    for ppm in (200, -200, 40):
        keeper, crystal = a_timekeeper(ppm)
        assert run(keeper, crystal, DAY_S, 900) <= 3
        assert len(crystal.sets) <= 2


def test_one_receipt_a_day_is_enough_to_measure_the_drift():
    keeper, crystal = a_timekeeper(40)
    run(keeper, crystal, 3 * DAY_S, DAY_S, look_s=600)
    assert abs(keeper.drift_ppb - 40_000) < 15_000


def test_a_drift_that_changes_with_the_season_is_followed():
    keeper, crystal = a_timekeeper(30)
    run(keeper, crystal, 8 * DAY_S, 900, look_s=900)
    lost_s = crystal.true_s() - crystal.now_s()
    crystal.ppm = 22
    crystal.off_s = crystal.true_s() - lost_s - crystal.crystal_s()
    run(keeper, crystal, 3 * DAY_S // 2, 900, look_s=900)
    assert abs(keeper.drift_ppb - 22_000) < 4000


def test_receipts_every_minute_measure_the_drift_as_well():
    keeper, crystal = a_timekeeper(10)
    run(keeper, crystal, DAY_S, 60)
    assert abs(keeper.drift_ppb - 10_000) < 2000
    assert run(keeper, crystal, DAY_S) <= 1


def test_a_receipt_that_was_long_under_way_is_not_taken_for_a_drift():
    keeper, crystal = a_timekeeper(40)
    run(keeper, crystal, DAY_S, 900)
    learned = keeper.drift_ppb
    crystal.pass_s(900)
    assert keeper.receipt(crystal.true_s() - 4) is None
    assert keeper.drift_ppb == learned


def test_a_step_keeps_the_drift_that_was_measured():
    keeper, crystal = a_timekeeper(40)
    run(keeper, crystal, DAY_S, 900)
    learned = keeper.drift_ppb
    crystal.pass_s(60)
    crystal.off_s += 500
    assert keeper.receipt(crystal.true_s()) is not None
    assert keeper.drift_ppb == learned
    assert run(keeper, crystal, DAY_S) <= 1


def test_a_drift_measured_before_the_start_is_applied_from_the_first_look():
    crystal = Crystal(40)
    keeper = Timekeeper(crystal, 40_000)
    keeper.now_s()
    assert run(keeper, crystal, 2 * DAY_S, look_s=300) <= 1
    assert not keeper.synced
