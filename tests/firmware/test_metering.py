"""The meter proper over power cuts: nothing lost, nothing twice, never backward."""

from firmware import load_profile
from firmware.metering import SAVE_S, SAVE_WH, Metering
from firmware.storage import (
    FLASH_BLOCKS_MIN,
    STATE_BLOCKS,
    FlashTooSmall,
    open_storage,
)
from tests.support.a_meter import FLASH_BLOCKS, NOON_S, FakePulses, a_metering, refusal_of
from tests.support.fake_flash import BLOCK_BYTES, CUT_SHAPES, FakeFlash, PowerCut
from wire import quality


def a_flash():
    return FakeFlash(FLASH_BLOCKS)


def intervals_on(flash):
    journal = open_storage(flash.after_power_on()).journal
    numbers = range(max(1, journal.oldest), journal.newest + 1)
    return [load_profile.unpack(number, journal.read(number)) for number in numbers]


def run_for(meter, pulses, start_s, ticks, pulses_a_tick=7):
    for index in range(ticks):
        pulses.count(pulses_a_tick, index % 3)
        meter.tick(start_s + 60 * (index + 1), 60)


def test_a_day_is_96_intervals_whose_energies_sum_to_the_register():
    flash, pulses = a_flash(), FakePulses()
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    run_for(meter, pulses, NOON_S, 24 * 60)
    intervals = intervals_on(flash)
    assert len(intervals) == 96
    assert {interval.quality for interval in intervals} == {quality.MEASURED}
    assert sum([interval.deltas_wh[0] for interval in intervals]) == 24 * 60 * 7
    assert tuple(meter.registers.wh) == intervals[-1].registers_wh


def test_the_state_is_saved_after_60_seconds_or_10_watt_hours_and_not_at_night():
    flash, pulses = a_flash(), FakePulses()
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    state, counts = meter._storage.state.newest, meter._storage.counts
    before = counts.newest
    pulses.count(SAVE_WH - 1)
    meter.tick(NOON_S + 1, SAVE_S - 1)
    assert counts.newest == before
    pulses.count(1)
    meter.tick(NOON_S + 2, 0)
    assert counts.newest == before + 1
    pulses.count(1)
    meter.tick(NOON_S + 3, SAVE_S - 1)
    assert counts.newest == before + 1
    meter.tick(NOON_S + 4, 1)
    assert counts.newest == before + 2
    meter.tick(NOON_S + 500, 500)  # nothing was counted
    assert counts.newest == before + 2
    assert meter._storage.state.newest == state


def test_a_kill_in_a_night_without_energy_leaves_no_gap():
    flash, pulses = a_flash(), FakePulses()
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    for minute in range(1, 50):
        meter.tick(NOON_S + 60 * minute, 60)
    again = a_metering(flash.after_power_on(), pulses)
    again.tick(NOON_S + 50 * 60, 60)
    closed = again.tick(NOON_S + 3600, 600)
    assert (closed.number, closed.start_s) == (4, NOON_S + 2700)
    assert closed.quality == quality.MEASURED


def test_a_kill_at_every_flash_operation_changes_no_interval():
    whole, ticks = a_flash(), 31
    pulses = FakePulses(1 << 16)
    meter = a_metering(whole, pulses)
    meter.tick(NOON_S, 0)
    run_for(meter, pulses, NOON_S, ticks)
    expected = intervals_on(whole)
    assert len(expected) == 2
    for shape in CUT_SHAPES:
        for cut_at in range(whole.operations):
            flash = cut_and_go_on(cut_at, shape, ticks)
            assert intervals_on(flash) == expected, (shape, cut_at)


def cut_and_go_on(cut_at, shape, ticks):
    """A run whose world stands still between the cut and the next start."""
    flash, pulses = a_flash(), FakePulses(1 << 16)
    flash.cut_at, flash.cut_shape = cut_at, shape
    index, meter, cuts = -1, None, 0
    while index < ticks:
        try:
            if meter is None:
                meter = a_metering(flash, pulses)
                meter.tick(NOON_S + 60 * (index + 1), 0)
            index += 1
            if index < ticks:
                pulses.count(7, index % 3)
                meter.tick(NOON_S + 60 * (index + 1), 60)
        except PowerCut:
            flash, pulses, meter = flash.after_power_on(), pulses.after_power_on(), None
            cuts += 1
    assert cuts == 1
    assert tuple(meter.registers.wh) == tuple(pulses.total)
    return flash


def test_counters_that_do_not_survive_lose_at_most_one_save_period_and_say_so():
    for shape in CUT_SHAPES:
        for cut_at in range(4, 40):
            check_volatile_cut(cut_at, shape)


def check_volatile_cut(cut_at, shape):
    flash, pulses = a_flash(), FakePulses(1 << 16, kept=False)
    flash.cut_at, flash.cut_shape = cut_at, shape
    meter, index, counted, last_wh = a_metering(flash, pulses), 0, 0, 0
    try:
        meter.tick(NOON_S, 0)
        while True:
            index += 1
            pulses.count(7)
            counted += 7
            last_wh = meter.registers.wh[0]
            meter.tick(NOON_S + 60 * index, 60)
    except PowerCut:
        pass
    flash, pulses = flash.after_power_on(), pulses.after_power_on()
    pulses.count(5)  # counted since the supply came back
    meter = a_metering(flash, pulses)
    assert meter.counts_lost
    assert meter.profile.quality & quality.GAP
    assert counted - 7 - 7 + 5 <= meter.registers.wh[0] <= counted + 5
    assert meter.registers.wh[0] >= last_wh - 7 + 5
    ends = [interval.registers_wh[0] for interval in intervals_on(flash)]
    assert meter.registers.wh[0] >= max([0] + ends)


def test_a_register_is_never_below_the_last_interval_even_without_its_state():
    flash, pulses = a_flash(), FakePulses()
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    run_for(meter, pulses, NOON_S, 20)
    at, size = meter._storage.state._first_block * BLOCK_BYTES, STATE_BLOCKS * BLOCK_BYTES
    flash.image[at : at + size] = bytes(size)
    again = a_metering(flash.after_power_on(), pulses)
    last = intervals_on(flash)[-1]
    assert again.counts_lost
    assert tuple(again.registers.wh) == last.registers_wh
    assert again.profile.number == last.number + 1
    pulses.count(3)
    again.tick(NOON_S + 1201, 1)
    assert again.registers.wh[0] == last.registers_wh[0] + 3


def test_an_interval_number_is_not_used_again_after_the_journal_was_damaged():
    flash, pulses = a_flash(), FakePulses()
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    run_for(meter, pulses, NOON_S, 20)
    at = meter._storage.journal._first_block * BLOCK_BYTES
    flash.image[at : at + BLOCK_BYTES] = bytes(BLOCK_BYTES)
    again = a_metering(flash.after_power_on(), pulses)
    assert again.profile.number == 2
    assert again.profile.quality & quality.GAP
    assert tuple(again.registers.wh) == tuple(meter.registers.wh)


def test_an_interval_number_is_never_one_that_the_gateway_has_settled():
    meter = a_metering(settled=41)
    assert meter.profile.number == 42


def test_an_outage_of_hours_gives_one_interval_with_a_gap_and_then_the_grid_again():
    flash, pulses = a_flash(), FakePulses(kept=False)
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    run_for(meter, pulses, NOON_S, 5)
    pulses = pulses.after_power_on()
    meter = a_metering(flash.after_power_on(), pulses)
    morning_s = NOON_S + 18 * 3600 + 400
    meter.tick(morning_s, 0)
    pulses.count(9)
    meter.tick(NOON_S + 18 * 3600 + 900, 60)
    first, second = intervals_on(meter._storage.journal._flash)
    assert (first.start_s, first.quality, first.deltas_wh[0]) == (NOON_S, quality.GAP, 35)
    assert (second.start_s, second.quality) == (NOON_S + 18 * 3600, quality.GAP)
    assert second.deltas_wh[0] == 9


def test_a_worn_flash_does_not_stop_the_counting():
    flash, pulses = a_flash(), FakePulses()
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    for index in range(len(flash.image)):
        flash.image[index] = 0
    flash.stuck_blocks = tuple(range(FLASH_BLOCKS))
    run_for(meter, pulses, NOON_S, 15)
    assert meter.flash_worn
    assert meter.registers.wh[0] == 105


def test_what_a_counter_showed_before_the_meter_was_installed_is_not_billed():
    pulses = FakePulses()
    pulses.count(5000, 700)
    meter = a_metering(None, pulses)
    assert meter.registers.wh == [0, 0]
    pulses.count(1)
    meter.tick(NOON_S, 60)
    assert meter.registers.wh == [1, 0]


def test_the_flash_must_hold_all_rings():
    assert open_storage(FakeFlash(FLASH_BLOCKS_MIN)).journal.newest == 0
    refusal_of(FlashTooSmall, open_storage, FakeFlash(FLASH_BLOCKS_MIN - 1))


def test_what_was_counted_belongs_to_the_zone_of_just_before_the_look():
    pulses = FakePulses()
    storage = open_storage(a_flash())
    meter = Metering(storage, pulses, 1000, 900, zone_of=lambda at_s: at_s // 3600 % 2)
    zone_at_noon = NOON_S // 3600 % 2
    meter.tick(NOON_S - 60, 0)
    pulses.count(5)
    meter.tick(NOON_S, 60)  # the last minute before twelve
    pulses.count(7)
    meter.tick(NOON_S + 60, 60)
    row = meter.registers.zones_wh[0]
    assert (row[1 - zone_at_noon], row[zone_at_noon]) == (5, 7)


def test_without_the_time_energy_goes_into_the_zone_known_last():
    flash, pulses = a_flash(), FakePulses()
    meter = Metering(open_storage(flash), pulses, 1000, 900, zone_of=lambda at_s: 2)
    pulses.count(3)
    meter.tick(None, 60)  # never known: T1
    pulses.count(5)
    meter.tick(NOON_S, 60)
    storage = open_storage(flash.after_power_on())
    meter = Metering(storage, pulses, 1000, 900, zone_of=lambda at_s: 3)
    pulses.count(7)
    meter.tick(None, 60)
    assert meter.registers.zones_wh[0] == [3, 0, 12, 0]


def test_the_demand_of_the_month_survives_a_restart():
    flash, pulses = a_flash(), FakePulses()
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    run_for(meter, pulses, NOON_S, 30, 20)
    assert (meter.demand.highest_w, meter.demand.at_s) == (1200, NOON_S + 900)
    again = a_metering(flash.after_power_on(), pulses)
    assert (again.demand.highest_w, again.demand.at_s) == (1200, NOON_S + 900)


def test_the_demand_is_that_of_the_import_alone():
    pulses = FakePulses(channels=(2,))
    meter = a_metering(None, pulses)
    meter.tick(NOON_S, 0)
    run_for_one(meter, pulses, 31)
    assert meter.demand.at_s == 0
    pulses = FakePulses(channels=(1,))
    meter = a_metering(None, pulses)
    meter.tick(NOON_S, 0)
    run_for_one(meter, pulses, 31)
    assert meter.demand.highest_w == 600


def run_for_one(meter, pulses, ticks):
    for index in range(ticks):
        pulses.count(10)
        meter.tick(NOON_S + 60 * (index + 1), 60)


def test_four_channels_are_counted_saved_and_journalled():
    flash, pulses = a_flash(), FakePulses(channels=(1, 2, 3, 4))
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    pulses.count(10, 20, 30, 40)
    closed = meter.tick(NOON_S + 900, 900)
    assert closed.channels == (1, 2, 3, 4)
    assert closed.deltas_wh == closed.registers_wh == (10, 20, 30, 40)
    assert intervals_on(flash) == [closed]
    assert a_metering(flash.after_power_on(), pulses).registers.wh == [10, 20, 30, 40]


def test_an_input_that_is_added_or_removed_leaves_the_others_as_they_are():
    flash, pulses = a_flash(), FakePulses(channels=(1, 3))
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    pulses.count(10, 30)
    meter.tick(NOON_S + 900, 900)
    more = FakePulses(channels=(1, 2, 3))
    more.total = [10, 5000, 30]  # the new one counted elsewhere before
    meter = a_metering(flash.after_power_on(), more)
    assert meter.registers.wh == [10, 0, 30]
    more.count(1, 2, 3)
    meter.tick(NOON_S + 1800, 900)
    assert intervals_on(meter._storage.journal._flash)[1].registers_wh == (11, 2, 33)


def test_what_the_inputs_only_estimate_is_flagged_in_every_interval():
    flash, pulses = a_flash(), FakePulses()
    pulses.flags = quality.ESTIMATED_VA
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    run_for(meter, pulses, NOON_S, 45)
    found = {interval.quality for interval in intervals_on(flash)}
    assert found == {quality.ESTIMATED_VA}


def test_a_changed_capture_period_begins_with_the_next_interval_and_over_a_restart():
    flash, pulses = a_flash(), FakePulses()
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    run_for(meter, pulses, NOON_S, 7)
    meter.set_capture_period(300)
    again = a_metering(flash.after_power_on(), pulses, capture_period_s=300)
    for one in (meter, again):
        closed = one.tick(NOON_S + 900, 480)
        assert (closed.start_s, closed.capture_period_s) == (NOON_S, 900)
        closed = one.tick(NOON_S + 1200, 300)
        assert (closed.start_s, closed.capture_period_s) == (NOON_S + 900, 300)


def test_the_last_time_known_is_remembered():
    flash = a_flash()
    meter = a_metering(flash)
    assert meter.last_seen_s == 0
    meter.tick(NOON_S, 0)
    meter.tick(None, 60, 60)
    assert meter.last_seen_s == NOON_S
    assert a_metering(flash.after_power_on()).last_seen_s == NOON_S


def test_a_flag_costs_flash_only_when_it_is_news():
    meter = a_metering()
    before = meter._storage.state.newest
    for flags in (quality.CLOCK_UNSYNCED, quality.CLOCK_UNSYNCED, 0, quality.GAP):
        meter.flag(flags)
    assert meter._storage.state.newest == before + 2
