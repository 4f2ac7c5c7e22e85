"""Intervals: on the grid, numbered by one, never overlapping, none invented, honest about gaps."""

from firmware.journal import Journal
from firmware.load_profile import (
    INTERVAL_BYTES,
    LATE_S_MAX,
    PUSH_INTERVALS_MAX,
    Interval,
    LoadProfile,
    next_profile,
    unpack,
)
from tests.support.a_meter import NOON_S
from tests.support.fake_flash import FakeFlash
from wire import messages, quality
from wire.keys import UP


def a_profile():
    profile = LoadProfile(900)
    profile.advance(NOON_S, (0, 0))
    return profile


def a_journal(intervals, blocks=4):
    journal = Journal(FakeFlash(blocks), 0, blocks, INTERVAL_BYTES)
    for interval in intervals:
        journal.append(interval.pack(), interval.number)
    return journal


def a_run(count, number=1, start_s=NOON_S, register_wh=0, step_wh=10, grade=0):
    run = []
    for index in range(count):
        register_wh += step_wh
        at_s = start_s + 900 * index
        run.append(Interval(number + index, at_s, 900, grade, (register_wh, 0), (step_wh, 0)))
    return run


def test_an_interval_closes_on_the_grid_with_its_energy():
    profile = a_profile()
    assert profile.advance(NOON_S + 899, (200, 30)) is None
    closed = profile.advance(NOON_S + 900, (250, 40))
    assert closed == Interval(1, NOON_S, 900, quality.MEASURED, (250, 40), (250, 40))
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


def test_energy_counted_before_the_time_was_known_is_in_the_first_interval():
    profile = LoadProfile(900)
    profile.advance(NOON_S + 450, (77, 0))
    closed = profile.advance(NOON_S + 900, (100, 0))
    assert (closed.deltas_wh, closed.quality) == ((100, 0), quality.GAP)


def test_an_energy_beyond_24_bits_is_cut_and_flagged_while_the_register_keeps_it():
    profile = a_profile()
    closed = profile.advance(NOON_S + 900, (messages.DELTA_WH_MAX, 0))
    assert closed.quality == quality.MEASURED
    closed = profile.advance(NOON_S + 1800, (2 * messages.DELTA_WH_MAX + 1, 0))
    assert (closed.deltas_wh[0], closed.quality) == (messages.DELTA_WH_MAX, quality.IMPLAUSIBLE)
    assert closed.registers_wh[0] == 2 * messages.DELTA_WH_MAX + 1


def test_an_interval_survives_its_record():
    for register_wh in (0, (1 << 30) + 7, (1 << 32) + 9, (1 << 40) - 1):
        interval = Interval(9, NOON_S, 900, 63, (register_wh, 3), ((1 << 24) - 1, 2))
        assert unpack(9, memoryview(interval.pack())) == interval


def test_a_profile_holds_at_most_24_intervals_and_goes_on_from_there():
    journal = a_journal(a_run(60))
    first = next_profile(journal, 1)
    assert (first.first, first.oldest, len(first.quality)) == (1, 1, PUSH_INTERVALS_MAX)
    assert first.registers_wh == (0, 0)
    second = next_profile(journal, 25)
    assert (second.first, second.oldest) == (25, 1)
    assert second.registers_wh == (240, 0)
    assert second.start_s == NOON_S + 24 * 900


def test_a_profile_says_what_the_wire_can_carry():
    profile = next_profile(a_journal(a_run(24, register_wh=(1 << 33))), 1)
    assert messages.decode(messages.encode(profile), UP) == profile


def test_a_gap_in_time_ends_a_profile():
    run = a_run(3)
    later = a_run(2, number=4, start_s=NOON_S + 86400, register_wh=30)
    journal = a_journal(run + later)
    assert len(next_profile(journal, 1).quality) == 3
    assert (next_profile(journal, 4).first, len(next_profile(journal, 4).quality)) == (4, 2)


def test_a_jump_of_the_register_ends_a_profile():
    journal = a_journal(a_run(3) + a_run(2, number=4, start_s=NOON_S + 2700, register_wh=31))
    assert len(next_profile(journal, 1).quality) == 3


def test_settled_intervals_are_not_sent_again():
    journal = a_journal(a_run(10))
    journal.settle(7)
    profile = next_profile(journal, 1)
    assert (profile.first, profile.oldest, len(profile.quality)) == (8, 8, 3)
    journal.settle(10)
    assert next_profile(journal, 11) is None


def test_an_unreadable_interval_is_stepped_over_and_the_gateway_told_not_to_wait():
    journal = a_journal(a_run(10))
    journal._flash.image[3 * 32 + 9] ^= 4  # number 4
    assert len(next_profile(journal, 1).quality) == 3
    journal.settle(3)
    profile = next_profile(journal, 4)
    assert (profile.first, profile.oldest, len(profile.quality)) == (5, 5, 6)
