"""Intervals: on the grid, numbered by one, never overlapping, none invented, honest about gaps."""

from firmware.load_profile import (
    INTERVAL_BYTES,
    LATE_S_MAX,
    PLAUSIBLE_W,
    Interval,
    LoadProfile,
    unpack,
)
from tests.support.a_meter import NOON_S
from wire import messages, quality


def a_profile():
    profile = LoadProfile(900)
    profile.advance(NOON_S, (0, 0))
    return profile


def an_interval(number, start_s, grade, registers_wh, deltas_wh, channels=(1, 2)):
    return Interval(number, start_s, 900, grade, registers_wh, deltas_wh, channels)


def test_an_interval_closes_on_the_grid_with_its_energy():
    profile = a_profile()
    assert profile.advance(NOON_S + 899, (200, 30)) is None
    closed = profile.advance(NOON_S + 900, (250, 40))
    assert closed == an_interval(1, NOON_S, quality.MEASURED, (250, 40), (250, 40))
    assert profile.advance(NOON_S + 1800, (260, 40)).deltas_wh == (10, 0)


def test_numbers_grow_by_one_and_starts_by_one_period():
    profile = a_profile()
    for index in range(1, 200):
        closed = profile.advance(NOON_S + 900 * index, (index, 0))
        assert (closed.number, closed.start_s) == (index, NOON_S + 900 * (index - 1))


def test_a_meter_that_starts_inside_an_interval_says_so():
    profile = LoadProfile(900)
    profile.advance(NOON_S + LATE_S_MAX + 1, (0, 0))
    assert profile.start_s == NOON_S
    assert profile.advance(NOON_S + 900, (1, 0)).quality == quality.GAP


def test_a_start_or_a_close_within_the_tolerance_is_measured():
    profile = LoadProfile(900)
    profile.advance(NOON_S + LATE_S_MAX, (0, 0))
    closed = profile.advance(NOON_S + 900 + LATE_S_MAX, (1, 0))
    assert closed.quality == quality.MEASURED
    assert profile.quality == quality.MEASURED


def test_hours_without_power_leave_no_invented_interval_and_lose_no_energy():
    profile = a_profile()
    late_s = NOON_S + 5 * 3600 + 300
    first = profile.advance(late_s, (500, 0))
    assert (first.number, first.start_s, first.quality) == (1, NOON_S, quality.GAP)
    second = profile.advance(NOON_S + 5 * 3600 + 900, (600, 0))
    assert (second.number, second.start_s) == (2, NOON_S + 5 * 3600)
    assert second.quality == quality.GAP
    assert first.deltas_wh[0] + second.deltas_wh[0] == 600


def test_a_clock_set_back_makes_no_overlap():
    profile = a_profile()
    profile.advance(NOON_S + 900, (1, 0))
    assert profile.advance(NOON_S - 3600, (2, 0)) is None
    assert profile.advance(NOON_S + 900, (3, 0)) is None
    closed = profile.advance(NOON_S + 1800, (4, 0))
    assert (closed.start_s, closed.quality) == (NOON_S + 900, quality.CLOCK_UNSYNCED)


def test_an_energy_beyond_24_bits_is_cut_while_the_register_keeps_it():
    profile = a_profile()
    closed = profile.advance(NOON_S + 900, (messages.DELTA_WH_MAX, 0))
    assert closed.deltas_wh[0] == messages.DELTA_WH_MAX
    closed = profile.advance(NOON_S + 1800, (2 * messages.DELTA_WH_MAX + 1, 0))
    assert (closed.deltas_wh[0], closed.quality) == (messages.DELTA_WH_MAX, quality.IMPLAUSIBLE)
    assert closed.registers_wh[0] == 2 * messages.DELTA_WH_MAX + 1


def test_more_power_than_the_connection_can_carry_is_flagged_and_kept():
    limit_wh = PLAUSIBLE_W * 900 // 3600
    for energy_wh, flags in (
        (limit_wh - 1, quality.MEASURED),
        (limit_wh, quality.MEASURED),
        (limit_wh + 1, quality.IMPLAUSIBLE),
    ):
        for row in ((energy_wh, 0), (0, energy_wh)):
            closed = a_profile().advance(NOON_S + 900, row)
            assert (closed.deltas_wh, closed.quality) == (row, flags)


def test_the_limit_of_plausible_power_is_the_installer_s():
    profile = LoadProfile(900, plausible_w=4000)
    profile.advance(NOON_S, (0, 0))
    assert profile.advance(NOON_S + 900, (1000, 0)).quality == quality.MEASURED
    assert profile.advance(NOON_S + 1800, (2001, 0)).quality == quality.IMPLAUSIBLE
    assert profile.advance(NOON_S + 2700, (2002, 0)).quality == quality.MEASURED


def test_what_the_inputs_only_estimate_is_flagged_on_every_interval():
    profile = LoadProfile(900, (1,), quality.ESTIMATED_VA)
    profile.advance(NOON_S, (0,))
    for index in range(1, 4):
        assert profile.advance(NOON_S + 900 * index, (index,)).quality == quality.ESTIMATED_VA


def test_a_new_capture_period_begins_where_both_grids_meet():
    for old_s, new_s, first_new_s in (
        (900, 3600, NOON_S + 3600),
        (900, 300, NOON_S + 900),
        (900, 600, NOON_S + 1800),
        (600, 900, NOON_S + 1800),
        (3600, 60, NOON_S + 3600),
    ):
        profile = LoadProfile(old_s)
        profile.advance(NOON_S, (0, 0))
        profile.wanted_period_s = new_s
        end_s = NOON_S
        for now_s in range(NOON_S, NOON_S + 7201, 60):
            closed = profile.advance(now_s, (0, 0))
            if closed is not None:
                assert closed.start_s == end_s
                assert closed.quality == quality.MEASURED
                assert closed.capture_period_s == (old_s if end_s < first_new_s else new_s)
                end_s += closed.capture_period_s
        assert end_s >= NOON_S + 7200 - 3600


def test_an_interval_opened_after_a_restart_never_lies_before_the_last_one_s_end():
    for period_s, now_s, start_s in (
        (900, NOON_S - 5000, NOON_S + 900),  # the clock went back
        (900, NOON_S + 901, NOON_S + 900),
        (3600, NOON_S + 901, NOON_S + 900),  # the period was changed: the old grid until 13:00
        (3600, NOON_S + 3601, NOON_S + 3600),
    ):
        profile = LoadProfile(period_s)
        profile.restore(0, 900, 7, 0, (5, 0))
        profile.end_s = NOON_S + 900
        assert profile.advance(now_s, (5, 0)) is None
        assert profile.start_s == start_s


def test_without_the_time_intervals_close_by_the_seconds_since_the_start():
    profile = LoadProfile(900)
    closed = []
    for second in range(1, 3002, 60):
        closed.append(profile.advance_timeless(second, 0, (second, 0)))
    closed = [interval for interval in closed if interval is not None]
    assert [interval.start_s for interval in closed] == [1, 901, 1801]
    assert {interval.quality for interval in closed} == {quality.CLOCK_UNSYNCED}
    assert profile.undated


def test_a_stall_without_the_time_leaves_a_gap_and_keeps_the_run_s_grid():
    profile = LoadProfile(900)
    profile.advance_timeless(1, 0, (0, 0))
    closed = profile.advance_timeless(1 + 900 + LATE_S_MAX, 0, (0, 0))
    assert closed.quality == quality.CLOCK_UNSYNCED
    closed = profile.advance_timeless(1 + 900 * 4 + 300, 0, (0, 0))
    assert closed.quality == quality.CLOCK_UNSYNCED | quality.GAP
    assert profile.start_s == 1 + 900 * 4


def test_an_interval_open_since_before_the_stop_ends_when_it_surely_is_over():
    profile = a_profile()
    profile.end_s = NOON_S
    assert profile.advance_timeless(1, NOON_S + 840, (5, 0)) is None
    assert profile.advance_timeless(60, NOON_S + 899, (5, 0)) is None
    closed = profile.advance_timeless(61, NOON_S + 900, (6, 0))
    assert (closed.start_s, closed.deltas_wh[0]) == (NOON_S, 6)
    assert closed.quality == quality.CLOCK_UNSYNCED | quality.GAP
    assert (profile.start_s, profile.end_s) == (61, NOON_S + 900)


def test_an_interval_survives_its_record():
    for register_wh in (0, (1 << 30) + 7, (1 << 32) + 9, (1 << 40) - 1):
        interval = an_interval(9, NOON_S, 63, (register_wh, 3), ((1 << 24) - 1, 2))
        assert unpack(9, memoryview(interval.pack())) == interval


def test_the_record_of_an_interval_has_room_for_four_channels():
    for channels in ((1,), (2,), (1, 2), (1, 2, 3), (1, 2, 3, 4), (5, 6, 7, 8)):
        registers_wh = tuple([(1 << 40) - code for code in channels])
        deltas_wh = tuple([(1 << 24) - code for code in channels])
        interval = an_interval(9, NOON_S, 1, registers_wh, deltas_wh, channels)
        assert len(interval.pack()) == INTERVAL_BYTES
        assert unpack(9, memoryview(interval.pack())) == interval


def test_what_came_since_the_last_interval_closed_is_a_gap_in_the_next_one():
    for now_s, grade in ((NOON_S + 930, quality.MEASURED), (NOON_S + 1830, quality.GAP)):
        profile = LoadProfile(900)
        profile.restore(0, 900, 7, 0, (5, 0))
        profile.end_s = NOON_S + 900
        profile.advance(now_s, (50, 0))
        assert profile.quality == grade
