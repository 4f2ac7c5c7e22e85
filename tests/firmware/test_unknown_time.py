"""What is measured before the time is known, or while it cannot be right: dated, never lost."""

from firmware.metering import NOW_S_MAX
from firmware.storage import STATE_BLOCKS
from tests.firmware.test_metering_resets import House
from tests.support.a_meter import NOON_S
from tests.support.fake_flash import BLOCK_BYTES
from wire import quality
from wire.messages import START_S_MIN

UNSYNCED = quality.CLOCK_UNSYNCED


def test_intervals_closed_before_the_time_is_known_are_dated_when_it_is():
    house = House()
    house.meter.tick(None, 0, 0)
    house.minutes(40, None, 0)
    assert [interval.start_s for interval in house.intervals()] == [1, 901]
    assert house.sent() == []
    house.minutes(20, NOON_S + 2400, 2400)
    energy_wh = 15 * 7
    assert house.sent() == [
        (0, UNSYNCED, energy_wh),
        (900, UNSYNCED, energy_wh),
        (1800, UNSYNCED, energy_wh),
        (2700, quality.MEASURED, energy_wh),
    ]


def test_a_meter_that_soon_learns_the_time_invents_nothing_before_it():
    house = House()
    house.meter.tick(None, 0, 0)
    house.minutes(2, None, 0)
    house.minutes(9, NOON_S + 300, 120)
    assert house.intervals() == []
    assert house.meter.profile.start_s == NOON_S
    assert house.meter.profile.quality & UNSYNCED


def test_what_an_earlier_start_measured_without_the_time_lies_before_this_one():
    house = House()
    house.meter.tick(None, 0, 0)
    house.minutes(20, None, 0)  # one interval, and five minutes of the next
    house.power_off()
    house.meter.tick(None, 0, 0)
    house.minutes(18, None, 0)
    house.meter.tick(NOON_S + 18 * 60, 60, 18 * 60)
    guessed = UNSYNCED | quality.GAP
    assert house.sent() == [(-900, guessed, 15 * 7), (0, guessed, 20 * 7)]
    total_wh = house.meter.registers.wh[0]
    assert total_wh - house.meter.profile.registers_wh[0] == 3 * 7


def test_an_interval_cut_by_a_short_outage_goes_on_when_the_time_comes_back():
    house = House()
    house.meter.tick(NOON_S, 0)
    house.minutes(5, NOON_S, 0)
    house.power_off()
    house.meter.tick(None, 0, 0)
    house.minutes(2, None, 0)
    house.minutes(8, NOON_S + 420, 120)
    assert house.sent() == [(0, quality.MEASURED, 15 * 7)]


def test_an_interval_cut_by_an_outage_closes_by_itself_when_the_time_stays_unknown():
    house = House()
    house.meter.tick(NOON_S, 0)
    house.minutes(5, NOON_S, 0)
    house.power_off()
    house.meter.tick(None, 0, 0)
    house.minutes(10, None, 0)
    closed = house.intervals()[0]
    assert (closed.start_s, closed.quality) == (NOON_S, UNSYNCED | quality.GAP)
    house.minutes(15, None, 600)
    assert house.intervals()[1].start_s == 601
    house.meter.tick(NOON_S + 7200, 60, 1560)
    assert [start_s for start_s, _, _ in house.sent()] == [0, 6300]


def test_the_time_lost_again_while_running_starts_another_undated_run():
    house = House()
    house.meter.tick(NOON_S, 0)
    house.minutes(5, NOON_S, 0)
    house.minutes(25, None, 300)
    house.minutes(20, NOON_S + 1800, 1800)
    starts = [start_s for start_s, _, _ in house.sent()]
    assert starts == [0, 900, 1800]
    assert house.sent()[1][1] == UNSYNCED


def test_the_energies_of_dated_and_undated_intervals_sum_to_the_register():
    house = House()
    for round_s in range(0, 4 * 7200, 7200):
        house.power_off()
        house.meter.tick(None, 0, 0)
        house.minutes(33, None, 0)
        house.minutes(50, NOON_S + round_s + 1980, 1980)
    assert not house.meter.dating.first_waiting
    energy_wh = sum([energy for _, _, energy in house.sent()])
    assert energy_wh == house.meter.profile.registers_wh[0]
    starts = [start_s for start_s, _, _ in house.sent()]
    assert starts == sorted(set(starts))


def test_a_clock_far_ahead_and_then_right_again_overlaps_nothing_over_a_restart():
    house = House()
    house.meter.tick(NOON_S + 86400, 0)
    house.minutes(15, NOON_S + 86400, 0)
    house.power_off()
    house.meter.tick(NOON_S, 0, 0)
    house.minutes(30, NOON_S, 0)
    assert len(house.intervals()) == 1
    assert house.meter.profile.start_s == NOON_S + 86400 + 900
    assert house.meter.profile.quality & UNSYNCED


def test_a_clock_that_is_behind_at_the_start_overlaps_nothing_even_without_a_state():
    house = House()
    house.meter.tick(NOON_S, 0)
    house.minutes(15, NOON_S, 0)
    at = house.meter._storage.state._first_block * BLOCK_BYTES
    size = STATE_BLOCKS * BLOCK_BYTES
    house.flash.image[at : at + size] = bytes(size)
    house.power_off()
    house.meter.tick(NOON_S - 3600, 0, 0)
    assert house.meter.profile.start_s == NOON_S + 900


def test_an_interval_opened_after_dating_never_lies_over_a_run_that_had_to_move_later():
    house = House()
    house.meter.tick(NOON_S, 0)
    house.power_off()
    house.meter.tick(None, 0, 0)
    house.minutes(46, None, 0)  # the interval of noon and two undated ones
    house.power_off()
    house.meter.tick(NOON_S + 1200, 0, 0)  # 46 minutes cannot have passed since noon
    assert [start_s for start_s, _, _ in house.sent()] == [0, 900, 1800]
    assert house.meter.profile.start_s == NOON_S + 2700
    assert house.meter.profile.quality & UNSYNCED


def test_an_interval_is_not_closed_early_when_the_time_is_lost_late_in_a_start():
    house = House()
    house.meter.tick(NOON_S, 0, 3000)
    house.minutes(14, None, 3000)
    assert house.intervals() == []
    house.minutes(1, None, 3840)
    assert house.intervals()[0].start_s == NOON_S


def test_a_time_that_cannot_be_is_no_time():
    for now_s, known in (
        (START_S_MIN - 1, False),
        (START_S_MIN, True),
        (NOW_S_MAX, True),
        (NOW_S_MAX + 1, False),
    ):
        meter = House().meter
        meter.tick(now_s, 0)
        assert meter.profile.undated is not known
        assert meter.last_seen_s == (now_s if known else 0)
