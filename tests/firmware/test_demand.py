"""Maximum demand: the month's highest 15 minutes, and none that was not seen whole."""

from firmware.demand import LOOK_S_MAX, U32_MAX, WINDOW_S, Demand
from tests.support.a_meter import NOON_S

MONTH_S = 1635721200  # 2021-11-01T00:00 in Poland, still in October by UTC (23:00)
POWER_W = 3600  # a watt-hour each second


def a_demand(start_s=NOON_S):
    """A demand that has looked up to one second before start_s, its register at 0."""
    demand = Demand()
    demand.add(start_s - 1, 0)
    return demand


def run(demand, start_s, end_s, from_wh, power_w, step_s=60):
    """Looks from start_s up to and at end_s under a steady load; returns the register."""
    now_s = start_s
    while now_s <= end_s:
        demand.add(now_s, from_wh + (now_s - start_s) * power_w // 3600)
        now_s += step_s
    return from_wh + (end_s - start_s) * power_w // 3600


def highest(demand):
    return demand.highest_w, demand.at_s


def test_the_demand_is_the_mean_power_over_a_whole_window():
    demand = a_demand()
    wh = run(demand, NOON_S, NOON_S + 450, 0, 2 * POWER_W, 10)
    run(demand, NOON_S + 450, NOON_S + WINDOW_S, wh, 0, 10)
    assert highest(demand) == (POWER_W, NOON_S)


def test_a_window_counts_at_its_end_and_not_before():
    demand = a_demand()
    run(demand, NOON_S, NOON_S + WINDOW_S - 1, 0, POWER_W, 1)
    assert highest(demand) == (0, 0)
    demand.add(NOON_S + WINDOW_S, WINDOW_S)
    assert highest(demand) == (POWER_W, NOON_S)


def test_the_highest_window_stays_and_names_its_start():
    demand = a_demand()
    wh, now_s = 0, NOON_S
    for power_w in (POWER_W, 3 * POWER_W, 2 * POWER_W, 3 * POWER_W):
        wh = run(demand, now_s, now_s + WINDOW_S, wh, power_w)
        now_s += WINDOW_S
    assert highest(demand) == (3 * POWER_W, NOON_S + WINDOW_S)


def test_a_month_without_load_has_a_demand_of_nought_and_not_a_missing_one():
    demand = a_demand()
    run(demand, NOON_S, NOON_S + WINDOW_S, 500, 0)
    assert highest(demand) == (0, NOON_S)


def test_the_first_window_after_a_start_is_left_out_for_it_was_not_seen_whole():
    demand = Demand()
    wh = run(demand, NOON_S, NOON_S + WINDOW_S, 0, 9 * POWER_W)
    assert highest(demand) == (0, 0)
    run(demand, NOON_S + WINDOW_S, NOON_S + 2 * WINDOW_S, wh, POWER_W)
    assert highest(demand) == (POWER_W, NOON_S + WINDOW_S)


def test_a_window_in_which_the_time_was_unknown_is_left_out():
    demand = a_demand()
    wh = run(demand, NOON_S, NOON_S + 300, 0, POWER_W)
    demand.add(None, wh)
    run(demand, NOON_S + 360, NOON_S + WINDOW_S, wh, POWER_W)
    assert highest(demand) == (0, 0)


def test_a_clock_set_back_inside_a_window_makes_no_false_maximum():
    demand = a_demand()
    wh = run(demand, NOON_S, NOON_S + 600, 0, POWER_W)
    run(demand, NOON_S + 300, NOON_S + WINDOW_S, wh, POWER_W)  # 20 minutes of load in one window
    assert highest(demand) == (0, 0)
    run(demand, NOON_S + WINDOW_S, NOON_S + 2 * WINDOW_S, 1200, POWER_W)
    assert highest(demand) == (POWER_W, NOON_S + WINDOW_S)


def test_a_clock_set_back_into_the_window_before_makes_no_false_maximum():
    demand = a_demand()
    wh = run(demand, NOON_S, NOON_S + WINDOW_S + 600, 0, POWER_W)
    assert demand.highest_w == POWER_W
    run(demand, NOON_S + WINDOW_S - 300, NOON_S + 2 * WINDOW_S, wh, POWER_W)
    assert highest(demand) == (POWER_W, NOON_S)


def test_a_step_that_no_look_can_show_is_told_by_a_cut():
    demand = a_demand()
    wh = run(demand, NOON_S, NOON_S + 600, 0, POWER_W)
    demand.cut()
    run(demand, NOON_S + 610, NOON_S + WINDOW_S + 20, wh + 60, POWER_W, 10)
    assert highest(demand) == (0, 0)


def test_looks_may_lie_as_far_apart_as_a_board_sleeps_and_no_further():
    for gap_s, counted in ((LOOK_S_MAX - 1, True), (LOOK_S_MAX, True), (LOOK_S_MAX + 1, False)):
        demand = a_demand()
        run(demand, NOON_S, NOON_S + 300, 0, POWER_W)
        run(demand, NOON_S + 300 + gap_s, NOON_S + WINDOW_S + gap_s, 300, POWER_W, 1)
        assert (demand.at_s == NOON_S) == counted


def test_a_missed_boundary_cuts_the_windows_on_both_its_sides():
    demand = a_demand()
    run(demand, NOON_S, NOON_S + 840, 0, POWER_W)
    run(demand, NOON_S + 840 + LOOK_S_MAX + 1, NOON_S + 1799, 9999, POWER_W, 10)
    demand.add(NOON_S + 2 * WINDOW_S, 99999)
    assert highest(demand) == (0, 0)


def test_a_month_begins_at_polish_midnight_and_keeps_the_month_before():
    demand = a_demand(MONTH_S - WINDOW_S)
    wh = run(demand, MONTH_S - WINDOW_S, MONTH_S - 60, 0, 2 * POWER_W)
    assert highest(demand) == (0, 0)
    demand.add(MONTH_S, wh + 120)  # the last window of October ends with October
    assert highest(demand) == (0, 0)
    assert (demand.last_highest_w, demand.last_at_s) == (2 * POWER_W, MONTH_S - WINDOW_S)
    run(demand, MONTH_S, MONTH_S + WINDOW_S, wh + 120, POWER_W)
    assert highest(demand) == (POWER_W, MONTH_S)
    assert demand.last_highest_w == 2 * POWER_W


def test_the_utc_month_changes_nothing():
    utc_s = MONTH_S + 3600
    demand = a_demand(MONTH_S)
    run(demand, MONTH_S, utc_s + WINDOW_S, 0, POWER_W)
    assert highest(demand) == (POWER_W, MONTH_S)
    assert demand.last_at_s == 0


def test_a_meter_that_was_off_over_the_month_s_end_starts_the_month_anew():
    demand = a_demand()
    run(demand, NOON_S, NOON_S + WINDOW_S, 0, POWER_W)
    demand.add(MONTH_S + 5000, 5000)
    assert highest(demand) == (0, 0)
    assert (demand.last_highest_w, demand.last_at_s) == (POWER_W, NOON_S)


def test_a_month_without_a_whole_window_keeps_the_last_one_that_had_one():
    demand = a_demand()
    run(demand, NOON_S, NOON_S + WINDOW_S, 0, POWER_W)
    demand.add(MONTH_S + 5000, 5000)
    demand.add(MONTH_S + 40 * 86400, 5000)
    assert (demand.last_highest_w, demand.last_at_s) == (POWER_W, NOON_S)


def test_the_values_survive_a_restart_and_the_open_window_is_cut():
    demand = a_demand()
    wh = run(demand, NOON_S, NOON_S + WINDOW_S + 300, 0, POWER_W)
    again = Demand()
    again.restore(demand.state())
    assert highest(again) == (POWER_W, NOON_S)
    again.add(NOON_S + WINDOW_S + 310, wh)
    run(again, NOON_S + WINDOW_S + 360, NOON_S + 2 * WINDOW_S, 99_999, POWER_W)
    assert highest(again) == (POWER_W, NOON_S)


def test_a_restart_that_loses_no_count_does_not_cut_the_window_if_it_is_short():
    for away_s, counted in ((LOOK_S_MAX, True), (LOOK_S_MAX + 1, False)):
        demand = a_demand()
        run(demand, NOON_S, NOON_S + 600, 0, POWER_W)
        again = Demand()
        again.restore(demand.state(), NOON_S + 600)
        run(again, NOON_S + 600 + away_s, NOON_S + WINDOW_S, 600 + away_s, POWER_W, 1)
        assert highest(again) == ((POWER_W, NOON_S) if counted else (0, 0))


def test_every_value_fits_its_bytes():
    demand = a_demand()
    demand.add(NOON_S, 0)
    run(demand, NOON_S, NOON_S + 840, 0, 0)
    demand.add(NOON_S + WINDOW_S, 1 << 39)  # more than four bytes of power
    assert demand.highest_w == U32_MAX
    for value, byte_count in zip(demand.state(), (4, 5, 4, 4, 4, 4)):
        assert 0 <= value < 1 << 8 * byte_count


def test_a_clock_beyond_four_bytes_measures_no_demand_and_stops_nothing():
    last_s = U32_MAX - U32_MAX % WINDOW_S  # the last window that begins in four bytes
    demand = a_demand(last_s - WINDOW_S)
    run(demand, last_s - WINDOW_S, last_s, 0, POWER_W)
    assert demand.at_s == last_s - WINDOW_S
    demand.add(U32_MAX, 1000)
    demand.add(U32_MAX + 1, 2000)
    demand.add(1 << 36, 3000)
    assert highest(demand) == (POWER_W, last_s - WINDOW_S)
    assert demand.state()[0] == 0
