"""Pulses over stalls, resets and power cuts, from the pin to the register, each accounted for."""

from tests.support.pulse_history import LOOK_S, MILLI, PULSES_A_S, STALL_S, History  # isort: skip

from firmware.metering import SAVE_S, SAVE_WH

PULSES = 20_000
LOOK_PULSES = (LOOK_S + STALL_S) * sum(PULSES_A_S)


def test_stalls_and_resets_at_random_points_lose_no_pulse_and_invent_none():
    for seed, how in ((1, {}), (2, {"newer": True}), (3, {"name": "esp32s3", "backup": True})):
        history = History(seed, **how).run(PULSES)
        assert history.resets > 10, "it tried"
        assert (history.lost, history.invented) == (0, 0), seed


def test_what_is_left_of_a_watt_hour_survives_resets_too():
    for imp_per_kwh in (1, 375, 10000, 100000):
        history = History(5, imp_per_kwh).run(PULSES // 4)
        assert (history.lost, history.invented) == (0, 0), imp_per_kwh


def test_a_power_cut_loses_at_most_what_came_in_one_save_period_and_invents_nothing():
    for seed in (1, 2, 3):
        history = History(seed).run(PULSES // 2, power_cuts=True)
        assert history.power_cuts > 0
        assert history.flagged >= history.power_cuts
        assert history.invented == 0
        assert history.lost_at_once_max <= (SAVE_WH + 2 * LOOK_PULSES) * MILLI, seed


def test_where_ten_watt_hours_are_many_pulses_a_power_cut_loses_at_most_a_minute_of_them():
    for seed in (1, 2, 3):
        history = History(seed, 100000).run(PULSES // 2, power_cuts=True)
        assert history.power_cuts > 0
        assert history.invented == 0
        most = (SAVE_S + 2 * (LOOK_S + STALL_S)) * sum(PULSES_A_S)
        assert 0 < history.lost_at_once_max <= most * MILLI, seed


def test_a_chip_that_forgets_its_counters_loses_at_most_since_the_last_look_and_says_so():
    history = History(1, keeps=False).run(PULSES // 2)
    assert history.resets > 5
    assert history.flagged + history.torn >= history.resets
    assert history.invented == 0
    assert 0 < history.lost_at_once_max <= 2 * LOOK_PULSES * MILLI


def test_the_same_stalls_lose_pulses_that_are_counted_by_interrupt():
    history = History(1, pcnt=False).run(PULSES, resets=False)
    assert history.lost > 0
    assert history.lost == history.chip.vanished * MILLI
    assert history.invented == 0
