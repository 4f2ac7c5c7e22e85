"""Sealed commands through the whole meter: what each one does, and that a restart keeps it."""

from binascii import unhexlify

import tests.support.a_house  # noqa: F401  (makes umqtt importable on CPython)
from firmware.app import Meter
from tests.support.a_house import House
from tests.support.a_meter import NOON_S, Restarted, a_board, refusal_of
from wire import quality
from wire.messages import (
    COMMAND_HOME_KEY,
    COMMAND_READ_NOW,
    COMMAND_READ_PROFILE,
    COMMAND_REKEY,
    COMMAND_RESTART,
    COMMAND_SET_CAPTURE_PERIOD,
    COMMAND_SET_CLOCK,
    COMMAND_SET_TARIFF,
    COMMAND_UPDATE_MANIFEST,
    EVENT_CLOCK_SET,
    EVENT_CONFIG_CHANGE,
    RESULT_DONE,
    RESULT_REFUSED,
    RESULT_UNSUPPORTED,
    Event,
    Live,
    Profile,
    Registers,
)

# What `python -m host_tools.tariff_table tests/vectors/tariffs/G12.toml` prints, but for its
# valid-from: T1 by day, T2 at night and from 13 to 15.
G12 = b"\x01" + NOON_S.to_bytes(4, "big") + unhexlify("034731320001ff555000140005")


def a_greeted_house(**parts):
    house = House(**parts)
    house.measure(2)
    house.greet()
    house.receipt(2)
    return house


def events_of(house, code):
    return [each for each in house.messages() if type(each) is Event and each.code == code]


def test_read_now_gives_registers_zones_and_power_before_its_result():
    house = a_greeted_house()
    assert house.command(COMMAND_READ_NOW).code == RESULT_DONE
    registers = [each for each in house.messages() if type(each) is Registers][-1]
    values = dict(zip(registers.channels, registers.registers_wh))
    assert (values[1], values[2]) == (120, 30)
    assert (values[11], values[12], values[21], values[22]) == (120, 0, 30, 0)
    assert values[31] == 240  # 60 Wh in a quarter of an hour
    live = [each for each in house.messages() if type(each) is Live][-1]
    assert (live.voltage_mv, live.current_ma, live.frequency_mhz) == ((), (), 0)


def test_power_is_import_less_export_by_when_the_pulses_came():
    house = a_greeted_house()
    house.pulses.last_ms = [0, 0]
    for look in range(1, 4):
        house.clock.pass_ms(2000)
        house.pulses.count(1, 1)
        house.pulses.last_ms[0] = house.clock.ms - 200 * look  # 1800 ms apart: 2000 W
        house.pulses.last_ms[1] = house.clock.ms
        house.pass_s(2)
    assert house.meter.controls.power_w() == 2000 - 1800


def test_read_profile_sends_settled_intervals_again():
    house = a_greeted_house()
    result = house.command(COMMAND_READ_PROFILE, 1, 9)
    assert (result.code, result.detail) == (RESULT_DONE, b"\x00\x00\x00\x02")
    again = house.messages()[-1]
    assert type(again) is Profile
    assert (again.first, again.deltas_wh) == (1, ((60, 60), (15, 15)))


def test_a_zone_table_moves_energy_to_another_register_at_its_hour():
    house = a_greeted_house()
    assert house.command(COMMAND_SET_TARIFF, G12).code == RESULT_DONE
    assert [event.values[0] for event in events_of(house, EVENT_CONFIG_CHANGE)] == [3]
    house.measure(4)  # NOON_S is 14:00 in Poland, in the afternoon's night zone
    assert house.meter.settings.tariff == (G12, b"")  # in force by now: nothing follows
    zones = house.meter.metering.registers.zones_wh[0]
    assert sum(zones) == house.meter.metering.registers.wh[0]
    assert (zones[0], zones[1]) == (240, 120)  # 2 x 60 before the table, 2 after 15:00
    again = house.after_power_off()
    again.measure(1)
    assert again.meter.metering.registers.zones_wh[0][0] == 300
    broken = house.command(COMMAND_SET_TARIFF, G12[:-1])
    assert (broken.code, broken.detail) == (RESULT_REFUSED, b"truncated")


def test_a_new_capture_period_holds_from_the_next_interval_on_and_after_a_restart():
    house = a_greeted_house()
    assert house.command(COMMAND_SET_CAPTURE_PERIOD, 300).code == RESULT_DONE
    house.measure(2)
    assert len(house.events("interval")) == 2 + 1 + 3
    again = house.after_power_off()
    again.measure(4)
    assert len(again.events("interval")) == 12
    assert house.command(COMMAND_SET_CAPTURE_PERIOD, 700).detail == b"range"


def test_a_clock_that_a_command_sets_is_told_with_old_and_new_and_flags_the_interval():
    house = a_greeted_house()
    assert house.command(COMMAND_SET_CLOCK, NOON_S + 1900).code == RESULT_DONE
    assert events_of(house, EVENT_CLOCK_SET)[-1].values == (NOON_S + 1800, NOON_S + 1900)
    assert house.meter.metering.profile.quality & quality.CLOCK_UNSYNCED


def test_a_window_in_which_the_clock_was_set_back_is_no_maximum_demand():
    house = a_greeted_house()
    house.pulses.count(4)
    house.pass_s(60)
    house.command(COMMAND_SET_CLOCK, house.clock.wall_s - 30)
    for _ in range(30):  # the next look is after the one before: nothing else shows the step
        house.pulses.count(4)
        house.pass_s(60)
    assert house.meter.metering.demand.highest_w == 240


def test_a_restart_is_answered_and_receipted_before_it_happens():
    house = a_greeted_house()
    refusal_of(Restarted, house.command, COMMAND_RESTART)
    assert house.messages()[-1].code == RESULT_DONE
    assert house.events("restart") == [{"event": "restart", "why": "command"}]


def test_a_rekeyed_meter_seals_under_its_new_key_and_keeps_it_over_a_power_cut():
    house = a_greeted_house()
    new_key = bytes(range(100, 132))
    assert house.command(COMMAND_REKEY, 1, new_key).code == RESULT_DONE
    assert repr(new_key)[2:-1] not in repr(house.log.events)
    house.meter.uplink.link_down()
    assert house.meter.uplink._keystore.key_epoch == 1
    again = house.after_power_off()
    assert again.meter.uplink._keystore.key_epoch == 1


def test_a_home_key_is_kept_and_never_logged():
    house = a_greeted_house()
    key = b"sixteen bytes!!!"
    assert house.command(COMMAND_HOME_KEY, key).code == RESULT_DONE
    assert house.after_power_off().meter.settings.home_key == key
    assert "sixteen" not in repr(house.log.events)


def test_a_board_without_slots_says_that_it_cannot_be_updated():
    house = a_greeted_house()
    assert house.command(COMMAND_UPDATE_MANIFEST, 1, 0, 1, b"\x01v").code == RESULT_UNSUPPORTED


def test_a_command_that_comes_twice_is_done_once():
    house = a_greeted_house()
    house.command(COMMAND_SET_CLOCK, NOON_S + 1900, command_id=77)
    house.command(COMMAND_SET_CLOCK, NOON_S + 1900, command_id=77)
    assert len(events_of(house, EVENT_CLOCK_SET)) == 1


def test_a_meter_goes_on_measuring_when_its_settings_are_lost():
    house = a_greeted_house()
    house.command(COMMAND_SET_CAPTURE_PERIOD, 300)
    flash = house.flash.after_power_on()
    storage = house.meter._storage
    at = storage.settings._first_block * flash.block_bytes
    end = at + storage.settings.blocks * flash.block_bytes
    flash.image[at:end] = bytes(end - at)
    board = a_board(flash, house.clock, house.pulses, house.link)
    meter = Meter(board)
    assert board.log.of("settings")[0]["state"] == "lost"
    assert meter.metering.registers.wh[0] == house.meter.metering.registers.wh[0]
