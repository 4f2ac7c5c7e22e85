"""The whole meter over fakes: it counts, greets, sends, is receipted, and survives its network."""

import tests.support.umqtt_here  # noqa: F401, I001  (first: it makes umqtt importable on CPython)

import asyncio

from firmware import app
from firmware.app import RECONNECT_BASE_MS
from firmware.clock import CLOCK_STEP_S
from firmware.mqtt import PUBLISH_TIMEOUT_MS, LinkDown
from firmware.storage import KEYSTORE_BLOCKS
from firmware.uplink import RECEIPT_WAIT_MS, RESEND_BASE_MS
from tests.support.a_house import House
from tests.support.a_meter import (
    FLASH_BLOCKS,
    NOON_S,
    FakeClock,
    FakePulses,
    a_board,
    a_down_frame,
    refusal_of,
)
from tests.support.fake_flash import BLOCK_BYTES, FakeFlash
from tests.support.fake_link import FakeLink, publish
from wire import quality
from wire.messages import EVENT_BOOT, EVENT_COUNTER_LOSS, Event, Profile, Receipt, Status


def test_a_pulse_becomes_a_settled_interval():
    house = House()
    house.measure(2)
    house.greet()
    profile = house.messages()[-1]
    assert type(profile) is Profile
    assert profile.deltas_wh == ((60, 60), (15, 15))
    assert (profile.start_s, profile.registers_wh) == (NOON_S, (0, 0))
    house.receipt(2)
    assert house.meter._storage.journal.unsettled == 0


def test_the_log_tells_an_interval_s_trip():
    house = House()
    house.measure(1)
    house.greet()
    house.receipt(1)
    interval = house.events("interval")[0]
    assert interval["pulses"] == [60, 15]
    assert (interval["number"], interval["start_s"]) == (1, NOON_S)
    assert (interval["import_wh"], interval["export_wh"]) == (60, 15)
    assert (interval["import_delta_wh"], interval["export_delta_wh"]) == (60, 15)
    sent = house.events("sent")[0]
    assert (sent["first"], sent["count"]) == (1, 1)
    assert 0 < sent["bytes"] < 190
    assert house.events("receipt")[-1]["interval"] == 1
    assert house.events("link")[0]["state"] == "up"
    assert house.events("boot")[0]["number"] == 1


def test_a_fresh_link_greets_with_a_status():
    house = House()
    house.talk()
    status = house.messages()[0]
    assert type(status) is Status
    assert (status.at_s, status.resets, status.rssi_dbm) == (NOON_S, 1, -61)
    again = House(flash=house.flash.after_power_on())
    again.measure(1)
    again.talk()
    assert (status.uptime_s, again.messages()[0].uptime_s) == (0, 900)
    assert again.messages()[0].resets == 2
    assert again.messages()[0].flash_erases >= status.flash_erases >= 2


def test_a_meter_without_the_time_takes_it_from_the_receipt_and_starts_its_grid():
    house = House(now_s=None)
    house.pulses.count(33)
    house.meter.look(0)
    house.talk()
    assert house.messages()[0].at_s == 0
    house.receipt(0, time_s=NOON_S + 10)
    assert house.clock.now_s() == NOON_S + 10
    assert house.events("clock_set")[0]["old_s"] is None
    house.meter.look(5)
    house.clock.wall_s = NOON_S + 900
    house.meter.look(890)
    interval = house.events("interval")[0]
    assert (interval["start_s"], interval["import_delta_wh"]) == (NOON_S, 33)


def test_a_clock_that_is_corrected_flags_the_open_interval():
    house = House()
    house.meter.look(0)
    house.talk()
    house.receipt(0, time_s=NOON_S + CLOCK_STEP_S)
    assert house.clock.now_s() == NOON_S
    house.receipt(0, time_s=NOON_S + CLOCK_STEP_S + 1)
    assert house.clock.now_s() == NOON_S + CLOCK_STEP_S + 1
    house.clock.wall_s = NOON_S + 900
    house.meter.look(894)
    assert house.events("interval")[0]["quality"] == quality.CLOCK_UNSYNCED


def test_a_board_that_rules_its_own_time_is_not_set_and_nothing_is_flagged():
    house = House()
    house.clock.settable = False
    house.talk()
    house.receipt(0, time_s=NOON_S + 10**8)
    assert house.clock.now_s() == NOON_S
    assert house.events("clock_set") == []
    assert house.meter.metering.profile.quality == quality.MEASURED


def test_a_lost_puback_breaks_the_link_and_the_intervals_come_again():
    house = House()
    house.talk()
    house.greet()
    house.measure(1)
    house.link.puback = b""
    begun_ms = house.clock.ms
    refusal_of(LinkDown, house.talk)
    assert house.clock.ms - begun_ms <= PUBLISH_TIMEOUT_MS
    house.meter._lost("time-out")
    house.link.puback = None
    house.greet()
    first, second = [each for each in house.messages() if type(each) is Profile]
    assert first == second
    assert house.events("link")[1]["state"] == "down"


def test_frames_that_are_acknowledged_and_never_receipted_are_told():
    house = House()
    house.measure(1)
    house.talk()
    assert house.events("no_receipt") == []
    for times in (1, 2):
        house.clock.pass_ms(RECEIPT_WAIT_MS)
        house.talk()
        assert [event["frames"] for event in house.events("no_receipt")] == [1, 2][:times]
        house.clock.pass_ms(RESEND_BASE_MS)
        house.talk()
    assert "wrong key" in house.events("no_receipt")[0]["todo"]
    house.receipt(1)
    assert house.meter.uplink.unheard == 0


def test_a_loss_of_counts_is_told_by_an_event():
    flash, pulses = FakeFlash(FLASH_BLOCKS), FakePulses(kept=False)
    House(flash=flash, pulses=pulses).measure(1)
    house = House(flash=flash.after_power_on(), pulses=pulses.after_power_on())
    assert house.events("boot")[0]["counts_lost"] is True
    house.greet()
    codes = [each.code for each in house.messages() if type(each) is Event]
    assert codes == [EVENT_BOOT, EVENT_BOOT, EVENT_COUNTER_LOSS]


def test_a_lost_keystore_silences_the_meter_but_never_stops_its_counting():
    flash, pulses = FakeFlash(FLASH_BLOCKS), FakePulses()
    House(flash=flash, pulses=pulses).measure(1)
    flash.image[: KEYSTORE_BLOCKS * BLOCK_BYTES] = bytes(KEYSTORE_BLOCKS * BLOCK_BYTES)
    house = House(NOON_S + 900, flash.after_power_on(), pulses)
    assert house.meter.uplink is None
    event = house.events("keystore")[0]
    assert event["state"] == "KeystoreLost"
    assert "pair the meter again" in event["todo"]
    house.measure(1)
    assert house.events("interval")[0]["number"] == 2


def test_a_flash_that_was_emptied_silences_the_meter_too():
    assert House(flash_lost=True).meter.uplink is None
    assert House(flash_lost=False).meter.uplink is not None


def test_a_forged_receipt_is_counted_and_logged_and_settles_nothing():
    house = House()
    house.measure(1)
    house.talk()
    topic, data = a_down_frame(Receipt(-1, 1, NOON_S), 5, key=b"\x09" * 32)
    house.link.streams[-1].inbound += publish(topic, data)
    house.talk()
    assert house.events("refused")[0]["reason"] == "bad_tag"
    assert house.meter._storage.journal.unsettled == 1


def test_a_worn_flash_is_told_once_and_counting_goes_on():
    house = House()
    house.meter.look(0)
    for index in range(len(house.flash.image)):
        house.flash.image[index] = 0
    house.flash.stuck_blocks = tuple(range(FLASH_BLOCKS))
    house.measure(1)
    assert len(house.events("flash_worn")) == 1
    assert house.meter.metering.registers.wh == [60, 15]


class Enough(Exception):
    """The test has seen enough of a meter that runs for ever."""


def test_measuring_goes_on_while_the_gateway_is_away_and_the_pauses_grow():
    clock, pulses = FakeClock(), FakePulses()
    link = FakeLink(clock)
    link.reachable = False
    board = a_board(FakeFlash(FLASH_BLOCKS), clock, pulses, link)
    pauses, looks = [], []
    really_sleep_s = clock.sleep_s

    async def sleep_s(duration_s):
        looks.append(duration_s)
        pulses.count(1)
        if len(looks) > 100:
            raise Enough()
        await really_sleep_s(duration_s)

    async def pause_ms(duration_ms):
        pauses.append(duration_ms)
        await asyncio.sleep(0)

    clock.sleep_s, clock.pause_ms = sleep_s, pause_ms
    refusal_of(Enough, lambda: asyncio.run(app.main(board)))
    assert set(looks) == {60}
    assert len(board.log.of("interval")) >= 6
    assert pauses[:3] == [RECONNECT_BASE_MS, 2 * RECONNECT_BASE_MS, 4 * RECONNECT_BASE_MS]
    assert board.log.of("link")[0]["why"] == "gateway not reachable"
