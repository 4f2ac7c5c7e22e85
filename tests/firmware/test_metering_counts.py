"""The small records between two states: what they add, what they build on, and worn rings."""

from binascii import crc32

from firmware import saved_state
from firmware.journal import FlashWorn
from firmware.metering import Metering
from firmware.saved_state import COUNTS_BYTES
from firmware.storage import open_storage
from tests.support.a_meter import FLASH_BLOCKS, NOON_S, FakePulses, FakeRetained, a_metering
from tests.support.fake_flash import BLOCK_BYTES, FakeFlash
from wire import quality


def worn(payload, sequence=0):
    raise FlashWorn


def a_record(values):
    record = bytearray(COUNTS_BYTES)
    saved_state.put_row(record, 0, saved_state.SMALL_BYTES, values)
    return record


class House:
    """A meter whose inputs begin at 0 with every start, so that flash is all that it has."""

    def __init__(self, width=1 << 24, kept=False, imp_per_kwh=1000, period_s=900, zone_of=None):
        self.flash = FakeFlash(FLASH_BLOCKS)
        self.pulses = FakePulses(width, kept)
        self.made_of = (imp_per_kwh, period_s)
        self.zone_of = zone_of
        self.retained = FakeRetained()
        self.start()
        self.meter.tick(NOON_S, 0)

    def start(self):
        self.storage = open_storage(self.flash)
        self.meter = Metering(
            self.storage, self.pulses, *self.made_of, retained=self.retained, zone_of=self.zone_of
        )

    def again(self, power_off=True):
        self.flash, self.pulses = self.flash.after_power_on(), self.pulses.after_power_on()
        self.retained = FakeRetained() if power_off else self.retained.after_reset()
        self.start()

    def look(self, second, *pulses, passed_s=1):
        self.pulses.count(*pulses)
        self.meter.tick(NOON_S + second, passed_s)

    def written(self, call, *arguments):
        """How many records of state and of counts the call writes."""
        state, counts = self.storage.state.newest, self.storage.counts.newest
        call(*arguments)
        return self.storage.state.newest - state, self.storage.counts.newest - counts


def test_a_start_adds_the_counts_to_the_state_they_build_on_with_what_is_left_of_a_watt_hour():
    house = House(imp_per_kwh=640, zone_of=lambda at_s: 2)
    for second in range(1, 40):
        house.look(second, 7, 3)
    before = house.meter.registers
    assert house.storage.counts.newest > 3
    house.look(59, 1)  # a look that is not saved
    saved = (list(before.wh), list(before.remainders))
    house.again()
    found = house.meter.registers
    assert found.wh[0] >= 39 * 7 * 1000 // 640 - 10
    assert (found.wh[1], found.remainders[1]) == (saved[0][1], saved[1][1])
    assert found.zones_wh == [[0, 0, found.wh[0], 0], [0, 0, found.wh[1], 0]]
    assert house.meter.last_seen_s == NOON_S + 39
    assert house.meter.counts_lost


def test_the_arithmetic_of_counts_is_that_of_the_looks_for_any_meter_constant():
    for imp_per_kwh in (1, 3, 640, 1000, 99_999):
        house = House(imp_per_kwh=imp_per_kwh)
        for minute in range(1, 11):
            house.pulses.count(31 * minute, 17)
            house.meter.tick(NOON_S + 60 * minute, 60)
        registers = house.meter.registers
        shown = (registers.wh, registers.remainders, registers.zones_wh)
        house.again()
        registers = house.meter.registers
        assert (registers.wh, registers.remainders, registers.zones_wh) == shown


def test_counts_of_an_earlier_state_are_not_added_again():
    house = House()
    house.look(60, 50, passed_s=60)
    assert house.storage.counts.newest == 1
    house.meter.keep()
    for _ in range(3):
        house.again()
        assert house.meter.registers.wh[0] == 50


def test_counts_that_build_on_another_state_record_are_not_added():
    for wrong in (0, 1, 1 << 7, 1 << 8, 1 << 9, 1 << 23):
        house = House()
        house.meter.keep()
        states = house.storage.state
        base = states.newest << 8 | crc32(states.read_newest()) & 0xFF
        record = a_record([base ^ wrong, 5, 70, 7])
        house.storage.counts.append(record)
        house.again()
        assert house.meter.registers.wh == ([0, 0] if wrong else [70, 7])
        assert house.meter.last_seen_s == NOON_S + (0 if wrong else 5)


def test_only_what_was_counted_goes_into_a_counts_record_all_else_into_a_state():
    house = House(zone_of=lambda at_s: at_s // 300 % 2)
    house.look(1)  # the zone of just after twelve
    assert house.written(house.look, 10, 20) == (0, 1)
    assert house.written(house.meter.flag, quality.GAP) == (1, 0)
    assert house.written(house.look, 20, 20) == (0, 1)
    assert house.written(house.meter.keep) == (1, 0)
    assert house.written(house.look, 301, 20) == (1, 1)  # the zone changes, then what it counted
    assert house.written(house.look, 601, 20) == (1, 1)
    assert house.written(house.look, 901, 20) == (2, 0)  # the zone changes, an interval opens
    newest = house.storage.state.newest
    house.again()
    assert house.storage.state.newest == newest + 1


def test_a_start_without_the_time_saves_its_date_in_a_state():
    house = House()
    house.again()
    house.meter.tick(None, 1, 1)
    assert house.written(house.meter.tick, NOON_S + 100_000, 1, 2)[0] >= 1
    state = saved_state.unpack(house.storage.state.read_newest())
    assert state.start_s == house.meter.profile.start_s >= NOON_S


def test_a_zone_change_saves_first_what_the_zone_before_it_counted():
    house = House(zone_of=lambda at_s: at_s // 300 % 2)
    zone = (NOON_S - 1) // 300 % 2
    house.look(1)
    house.look(299, 9)
    house.look(301, 4)  # below what is saved at once
    house.again()
    row = house.meter.registers.zones_wh[0]
    assert (row[1 - zone], row[zone]) == (9, 0)
    assert house.meter._zone == zone


def test_counts_up_to_half_the_width_of_the_inputs_go_on_a_state_and_beyond_it_a_new_one_begins():
    for pulses, written in ((2047, (0, 1)), (2048, (0, 1)), (2049, (1, 0)), (4095, (1, 0))):
        house = House(1 << 12)
        assert house.written(house.look, 1, pulses) == written, pulses
        house.again()
        assert house.meter.registers.wh[0] == pulses
    house = House(1 << 12)
    house.look(1, 1500)
    assert house.written(house.look, 2, 4000) == (1, 0)  # 5500, which looks like 1404
    house.again()
    assert house.meter.registers.wh[0] == 5500


def test_counters_that_go_on_are_followed_from_the_counts_and_not_from_the_state():
    house = House(1 << 12, kept=True)
    house.look(1, 2000)
    house.pulses.count(4000)  # while the meter is off: 6000 since the state is more than they show
    house.again()
    assert house.meter.registers.wh[0] == 6000
    assert not house.meter.counts_lost


def test_the_time_of_a_counts_record_ends_at_half_the_width_too():
    for second, written in ((2047, (0, 1)), (2048, (0, 1)), (2049, (1, 0))):
        house = House(1 << 12, period_s=3600)
        assert house.written(house.look, second, 10) == written
        house.again()
        assert house.meter.last_seen_s == NOON_S + second


def test_a_clock_that_was_set_back_is_saved_in_a_state():
    house = House()
    house.meter.tick(NOON_S + 100, 0)
    house.meter.keep()
    assert house.written(house.look, 99, 10) == (1, 0)
    house.again()
    assert house.meter.last_seen_s == NOON_S + 99


def test_a_flag_that_the_clock_gives_the_open_interval_is_saved_in_a_state():
    house = House()
    assert house.written(house.meter.tick, NOON_S - 60, 1) == (1, 0)
    house.again()
    assert house.meter.profile.quality & quality.CLOCK_UNSYNCED


def test_a_demand_window_that_ends_inside_an_interval_is_saved_in_a_state():
    house = House(kept=True, period_s=3600)
    for minute in range(1, 31):
        state = house.storage.state.newest
        house.look(60 * minute, 20, passed_s=60)
        assert (house.storage.state.newest > state) == (minute % 15 == 0)
    house.look(60 * 31, 20, passed_s=60)
    house.again()
    for minute in range(32, 46):
        house.look(60 * minute, 20, passed_s=60)
    assert house.meter.demand.highest_w == 1200


def test_rtc_memory_wins_over_the_counts_only_while_it_is_the_newer():
    house = House()
    house.look(1, 10)
    house.look(2, 3)
    newer = house.retained.after_reset()
    house.again(power_off=False)
    assert house.meter.registers.wh[0] == 13
    house = House()
    house.look(1, 10)
    house.look(2, 3)
    assert house.retained.content == newer.content
    house.look(3, 20)
    house.retained = newer  # from before the newest counts record
    house.again(power_off=False)
    assert house.meter.registers.wh[0] == 33


def test_where_the_counts_ring_is_worn_all_is_saved_in_states():
    house = House()
    house.storage.counts.append = worn
    for second in range(1, 6):
        assert house.written(house.look, second, 10) == (1, 0)
    assert house.meter.flash_worn
    house.again()
    assert house.meter.registers.wh[0] == 50


def test_where_the_state_ring_is_worn_the_counts_go_on_from_the_last_state():
    house = House()
    house.look(1, 10)
    house.storage.state.append = worn
    assert house.written(house.meter.flag, quality.GAP) == (0, 1)
    house.look(2, 10)
    assert house.written(house.look, 901, 10) == (0, 1)
    house.look(902, 10)
    assert house.meter.flash_worn
    house.again()
    assert house.meter.registers.wh[0] == 40


def test_where_the_state_ring_is_worn_a_new_zone_is_not_counted_into_the_old_one():
    house = House(zone_of=lambda at_s: at_s // 300 % 2)
    house.look(1)
    house.storage.state.append = worn
    house.look(299, 9)
    house.look(300, 11)
    assert house.written(house.look, 301, 40) == (0, 0)
    assert house.written(house.look, 601, 40) == (0, 0)
    house.again()
    row = house.meter.registers.zones_wh[0]
    assert sorted(row) == [0, 0, 0, 20]


def test_a_state_ring_that_has_lost_its_newest_records_is_told():
    house = House(kept=True)
    while house.storage.state.newest <= house.storage.state.slots_per_block:
        house.meter.keep()
    house.meter.keep()
    house.again()
    assert not house.meter.counts_lost
    at = (house.storage.state._first_block + 1) * BLOCK_BYTES
    house.flash.image[at : at + BLOCK_BYTES] = bytes([7]) * BLOCK_BYTES
    house.again()
    assert house.storage.state.newest_lost
    assert house.meter.counts_lost
    assert house.meter.profile.quality & quality.GAP


def test_counts_follow_their_channel_when_an_input_is_added_before_it():
    flash, pulses = FakeFlash(FLASH_BLOCKS), FakePulses(channels=(2, 4), kept=False)
    meter = a_metering(flash, pulses)
    meter.tick(NOON_S, 0)
    pulses.count(30, 50)
    meter.tick(NOON_S + 1, 1)
    assert meter._storage.counts.newest == 1
    more = FakePulses(channels=(1, 2, 3, 4), kept=False)
    assert a_metering(flash.after_power_on(), more).registers.wh == [0, 30, 0, 50]
    fewer = FakePulses(channels=(4,), kept=False)
    assert a_metering(flash.after_power_on(), fewer).registers.wh == [50]


def test_a_counts_record_without_any_state_is_nothing():
    flash = FakeFlash(FLASH_BLOCKS)
    open_storage(flash).counts.append(bytes(COUNTS_BYTES))
    open_storage(flash).counts.append(a_record([0, 9, 9, 9]))
    meter = a_metering(flash.after_power_on(), FakePulses(kept=False))
    assert (meter.registers.wh, meter.last_seen_s) == ([0, 0], 0)
