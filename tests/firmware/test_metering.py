"""The meter proper over power cuts: nothing lost, nothing twice, never backward."""

from firmware import load_profile, saved_state
from firmware.metering import SAVE_S, SAVE_WH
from firmware.saved_state import State
from firmware.storage import (
    FLASH_BLOCKS_MIN,
    KEYSTORE_BLOCKS,
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
    state = meter._storage.state
    before = state.newest
    pulses.count(SAVE_WH - 1)
    meter.tick(NOON_S + 1, SAVE_S - 1)
    assert state.newest == before
    pulses.count(1)
    meter.tick(NOON_S + 2, 0)
    assert state.newest == before + 1
    pulses.count(1)
    meter.tick(NOON_S + 3, SAVE_S - 1)
    assert state.newest == before + 1
    meter.tick(NOON_S + 4, 1)
    assert state.newest == before + 2
    meter.tick(NOON_S + 500, 500)  # nothing was counted
    assert state.newest == before + 2


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
    whole, ticks = a_flash(), 50
    pulses = FakePulses(1 << 16)
    meter = a_metering(whole, pulses)
    meter.tick(NOON_S, 0)
    run_for(meter, pulses, NOON_S, ticks)
    expected = intervals_on(whole)
    assert len(expected) == 3
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
    at = KEYSTORE_BLOCKS * BLOCK_BYTES
    flash.image[at : at + STATE_BLOCKS * BLOCK_BYTES] = bytes(STATE_BLOCKS * BLOCK_BYTES)
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
    at = (KEYSTORE_BLOCKS + STATE_BLOCKS) * BLOCK_BYTES
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


def test_energy_counts_while_the_time_is_unknown():
    pulses = FakePulses()
    meter = a_metering(None, pulses)
    for _ in range(100):
        pulses.count(3)
        assert meter.tick(None, 60) is None
    assert meter.registers.wh[0] == 300
    meter.tick(NOON_S + 300, 60)
    closed = meter.tick(NOON_S + 900, 600)
    assert (closed.deltas_wh[0], closed.quality) == (300, quality.GAP)


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


def test_the_state_survives_its_record():
    for registers_wh in ((0, 0), ((1 << 31) + 1, (1 << 32) + 5), ((1 << 40) - 1, 1)):
        state = State(registers_wh, (99999, 1), ((1 << 24) - 1, 7), NOON_S, (1 << 31) + 9, 63)
        record = saved_state.pack(state)
        assert len(record) == saved_state.STATE_BYTES
        assert saved_state.unpack(memoryview(record)) == state


def test_a_state_of_a_newer_layout_is_not_misread():
    record = saved_state.pack(State((1, 1), (0, 0), (0, 0), 0, 1, 0))
    record[0] += 1
    assert saved_state.unpack(record) is None


def test_the_flash_must_hold_all_three_rings():
    assert open_storage(FakeFlash(FLASH_BLOCKS_MIN)).journal.newest == 0
    refusal_of(FlashTooSmall, open_storage, FakeFlash(FLASH_BLOCKS_MIN - 1))
