"""What the whole meter notices: starts, outages, a last gasp, sags, its clock, and lost time."""

import tests.support.a_house  # noqa: F401  (makes umqtt importable on CPython)
from firmware.app import Meter
from firmware.board import Measured
from tests.support.a_house import House
from tests.support.a_meter import NOON_S, FakePulses, FakeRetained, FakeSensors, a_board
from wire import quality
from wire.messages import (
    EVENT_BOOT,
    EVENT_CLOCK_SET,
    EVENT_COUNTER_LOSS,
    EVENT_FLASH_DAMAGE,
    EVENT_LAST_GASP,
    EVENT_OUTAGE,
    EVENT_SAG,
    EVENT_TAMPER,
    EVENT_UPDATE,
    Event,
    Profile,
    Status,
)


def events_of(house, code):
    return [each for each in house.messages() if type(each) is Event and each.code == code]


def mains(voltage_v):
    return Measured(0, (voltage_v * 1000,), (0,), 50_000)


def test_every_start_is_told_once_with_its_reason_and_number():
    house = House()
    house.greet()
    assert [event.values for event in events_of(house, EVENT_BOOT)] == [(1, 1)]
    again = house.after_power_off(why="watchdog")
    again.greet()
    assert [event.values for event in events_of(again, EVENT_BOOT)] == [(2, 2)]


def test_an_outage_is_told_after_the_start_that_ends_it_from_when_the_meter_was_last_seen():
    house = House()
    house.measure(1)
    again = house.after_power_off(away_s=3600)
    for _ in range(3):
        again.pass_s(5)
    again.greet()
    outage = events_of(again, EVENT_OUTAGE)
    assert [(event.at_s, event.values) for event in outage] == [(NOON_S + 900, (3600,))]
    assert again.clock.least_s == NOON_S + 900  # no right time is before the last one seen


def test_a_watchdog_reset_is_no_outage():
    house = House()
    house.measure(1)
    again = house.after_power_off(away_s=20, why="watchdog", retained=house.retained)
    again.pass_s(5)
    again.greet()
    assert events_of(again, EVENT_OUTAGE) == []


def test_a_last_gasp_goes_before_everything_else_and_the_registers_are_saved_at_once():
    sensors = FakeSensors()
    house = House(sensors=sensors)
    house.greet()
    house.measure(3)
    house.talk()  # three intervals are in flight, and no receipt comes
    house.pulses.count(7)
    sensors.lost = True
    house.pass_s(1)
    house.talk()
    gasp = [each for each in house.messages() if type(each) not in (Status,)][-1]
    assert (gasp.code, gasp.at_s) == (EVENT_LAST_GASP, NOON_S + 2701)
    flash = house.flash.after_power_on()  # the capacitor is empty now
    pulses = FakePulses(kept=False)
    meter = Meter(a_board(flash, house.clock, pulses, house.link))
    assert meter.metering.registers.wh == [187, 45]


def test_a_supply_that_comes_back_in_time_ends_the_outage_with_its_duration():
    sensors = FakeSensors()
    house = House(sensors=sensors)
    house.greet()
    sensors.lost = True
    house.pass_s(5)
    house.talk()
    sensors.lost = False
    house.pass_s(3)
    house.greet()
    assert events_of(house, EVENT_OUTAGE)[-1].values == (3,)


def test_a_sag_is_told_when_it_is_over_and_the_voltage_is_in_what_is_measured():
    sensors = FakeSensors()
    house = House(sensors=sensors)
    house.greet()
    for voltage_v in (230, 200, 195, 229):
        sensors.seen = mains(voltage_v)
        house.pass_s(2)
    house.greet()
    sag = events_of(house, EVENT_SAG)[-1]
    assert (sag.at_s, sag.values) == (NOON_S + 4, (1, 195_000, 4))


def test_an_opened_cover_is_told():
    sensors = FakeSensors()
    house = House(sensors=sensors)
    house.greet()
    sensors.opened = True
    house.pass_s(1)
    house.greet()
    assert [event.values for event in events_of(house, EVENT_TAMPER)] == [(1,)]


def test_the_clock_s_first_setting_is_told_and_what_was_measured_before_it_is_dated():
    house = House(now_s=None)
    house.meter.look(0)
    for _ in range(31):
        house.pulses.count(4)
        house.pass_s(60)
    assert len(house.events("interval")) == 2
    house.talk()
    assert [type(each) for each in house.messages()] == [Status]
    house.receipt(0, time_s=NOON_S + 1860)
    house.pass_s(0)
    house.greet()
    profile = house.messages()[-1]
    assert type(profile) is Profile
    assert (profile.start_s, profile.deltas_wh[0]) == (NOON_S, (60, 60))
    assert profile.quality == (quality.CLOCK_UNSYNCED,) * 2
    clock_set = events_of(house, EVENT_CLOCK_SET)[0]
    assert clock_set.values == (0, NOON_S + 1860)
    assert events_of(house, EVENT_BOOT)[0].at_s == NOON_S


def test_a_reset_with_its_memory_loses_nothing_that_was_counted_before_the_last_look():
    house = House(pulses=FakePulses(kept=False), retained=FakeRetained())
    house.greet()
    house.pass_s(1)
    house.pulses.count(6, 3)  # less than what is saved in flash
    house.pass_s(1)
    again = house.after_power_off(why="watchdog", retained=house.retained.after_reset())
    assert again.meter.metering.registers.wh == [6, 3]
    cold = house.after_power_off()
    assert cold.meter.metering.registers.wh == [0, 0]
    cold.greet()
    assert len(events_of(cold, EVENT_COUNTER_LOSS)) == 1


def test_a_damaged_area_of_the_flash_is_told_and_measuring_goes_on():
    house = House()
    house.measure(1)
    flash = house.flash.after_power_on()
    block = house.meter._storage.events._first_block + 2  # blank so far
    at = block * flash.block_bytes
    for index in range(flash.block_bytes):
        flash.image[at + index] = (index * 31 + 7) % 251
    again = House(NOON_S + 900, flash, house.pulses.after_power_on(), house.down_counter)
    again.greet()
    assert events_of(again, EVENT_FLASH_DAMAGE)[0].values[0] == 1
    boot = again.events("boot")[0]
    assert (boot["damaged_blocks"], boot["damaged"]) == (1, [("events", 1, 0, [2])])
    again.measure(1)
    assert again.events("interval")[0]["number"] == 2


def test_what_an_input_says_of_its_counts_is_on_their_interval():
    house = House()
    house.meter.look(0)
    house.pulses.flags = quality.IMPLAUSIBLE
    house.pass_s(60)
    house.pulses.flags = 0
    house.measure(2)
    grades = [event["quality"] for event in house.events("interval")]
    assert grades[:2] == [quality.IMPLAUSIBLE, quality.MEASURED]


def test_events_begin_anew_and_are_sent_when_their_ring_alone_was_lost():
    house = House()
    house.greet()
    again = house.after_power_off()
    again.greet()
    flash = again.flash.after_power_on()
    ring = again.meter._storage.events
    at = ring._first_block * flash.block_bytes
    end = at + ring.blocks * flash.block_bytes
    flash.image[at:end] = b"\xff" * (end - at)
    third = House(NOON_S, flash, again.pulses.after_power_on(), again.down_counter)
    third.greet()
    assert [event.values for event in events_of(third, EVENT_BOOT)] == [(1, 3)]


def test_every_look_feeds_the_watchdog():
    house = House()
    fed = house.board.watchdog.fed
    house.measure(1)
    assert house.board.watchdog.fed == fed + 16


class SlotsOnABadDisk:
    """An application on trial, or one that fell back, whose record the disk does not take."""

    def __init__(self, on_trial, fell_back):
        self.bad = True
        self._state = (on_trial, False, fell_back)

    def state(self):
        return self._state

    def size(self, path):
        return 0

    def confirm(self):
        if self.bad:
            raise OSError(5)


def test_a_disk_that_takes_no_record_of_an_update_never_stops_the_meter():
    slots = SlotsOnABadDisk(True, False)
    house = House(slots=slots)
    house.greet()
    assert house.events("update")[0]["state"] == "not_confirmed"
    assert [event.values for event in events_of(house, EVENT_UPDATE)] == [(1,)]
    slots.bad = False
    house.measure(1)
    house.greet()
    house.receipt(1)
    house.greet()
    assert [event.values for event in events_of(house, EVENT_UPDATE)] == [(1,), (2,)]
    fell_back = House(slots=SlotsOnABadDisk(False, True))
    fell_back.measure(1)
    assert fell_back.events("update")[0]["state"] == "not_told"
    assert len(fell_back.events("interval")) == 1
