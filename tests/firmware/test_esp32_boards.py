"""Whole ESP32 boards on a fake chip: all that the meter asks for is there, and a look counts."""

import tests.support.umqtt_here  # noqa: F401, I001  (first: it makes umqtt importable on CPython)
from tests.support.fake_esp32 import HARD, Chip, ChipReset  # isort: skip  (first)

import json

from boards import (
    esp32_devkit,
    esp32c3_supermini,
    esp32c6_devkit,
    esp32s3_devkit,
    olimex_esp32_poe,
    wt32_eth01,
)
from boards.parts import wifi_way
from boards.parts.esp32_board import make_board, start_counting
from boards.parts.partition import FlashMissing
from boards.parts.retained import RtcMemory
from firmware.config import ConfigError
from firmware.metering import Metering
from firmware.storage import FLASH_BLOCKS_MIN, open_storage
from tests.support.a_meter import NOON_S, refusal_of, settings
from tests.support.fake_esp32_parts import FakePartition
from tests.support.fake_files import FakeFiles
from tests.support.fake_flash import FakeFlash
from tests.support.fake_serial import FakeSerial

BOARDS = (
    esp32_devkit,
    esp32s3_devkit,
    esp32c3_supermini,
    esp32c6_devkit,
    wt32_eth01,
    olimex_esp32_poe,
)
ON_A_CABLE = (wt32_eth01, olimex_esp32_poe)


def a_chip(**how):
    """A chip with the meter's partition."""
    return Chip(partitions=(FakePartition("meter", FakeFlash(FLASH_BLOCKS_MIN)),), **how)


def way_of(board):
    """Its Wi-Fi or its Ethernet."""
    return getattr(board, "LAN", wifi_way)


def files_with(**changes):
    """A root with a config in it."""
    files = FakeFiles()
    files.files["/config.json"] = json.dumps(settings(**changes)).encode()
    return files


def made(board, **changes):
    """The board as a start makes it, of a config."""
    memory = RtcMemory()
    pulses, why = start_counting(board.PINS, board.CHIP, memory)
    with files_with(**changes):
        return make_board(board.PINS, board.CHIP, way_of(board), "", pulses, why, memory)


def restarts(chip, board=esp32_devkit):
    """Whether the board resets its CPU at this start."""
    try:
        start_counting(board.PINS, board.CHIP, RtcMemory())
    except ChipReset:
        chip.cpu_reset(HARD)
        return True
    return False


def check_one_look(board, chip, pins):
    """Each protocol answers, and a look counts."""
    for value in board[:-2]:
        assert value is not None or value is board.slots
    board.watchdog.feed()
    assert chip.fed == 1
    assert board.sensors.measured() is None
    assert board.link.rssi_dbm() == 0
    assert 0 <= board.rng(10) < 10
    assert board.clock.tick_s == 1
    assert board.clock.ticks_diff(board.clock.ticks_ms(), board.clock.ticks_ms()) <= 0
    board.log("boot", number=1)
    assert chip.nvs, "its life has begun"
    imp_per_kwh, retained = board.config.imp_per_kwh, board.retained
    meter = Metering(open_storage(board.flash), board.pulses, imp_per_kwh, 900, 0, retained)
    chip.pulse(pins[0], 3)
    chip.pulse(pins[1], 2)
    meter.tick(NOON_S, 5, 5)
    meter.tick(NOON_S + 5, 5, 10)
    assert list(meter.registers.wh) == [3, 2]


def test_the_devkit_has_everything_the_meter_asks_of_a_board_and_one_look_counts():
    chip = a_chip()
    assert restarts(chip)
    board = made(esp32_devkit, wifi_name="home", wifi_password="a-long-password")
    assert (board.start.why, board.start.flash_lost) == ("power_on", False)
    check_one_look(board, chip, esp32_devkit.PINS.pulses)
    chip.cpu_reset()
    board = made(esp32_devkit, wifi_name="home", wifi_password="a-long-password")
    assert board.start.why == "watchdog"
    assert board.pulses.kept


def test_the_devkit_restarts_once_after_a_power_on_and_never_in_a_loop():
    for how in ({}, {"keeps": False}):  # even on a chip that forgets its counters with the CPU
        chip = a_chip(**how)
        assert restarts(chip)
        assert not restarts(chip)
        chip.cpu_reset()
        assert not restarts(chip)
        chip.system_reset()
        assert not restarts(chip)
        chip.power_on()
        assert restarts(chip)


def test_the_c3_board_counts_by_interrupt_and_needs_no_restart():
    chip = a_chip(pcnt=False)
    board = made(esp32c3_supermini, wifi_name="home")  # an open network
    assert board.start.why == "power_on"
    check_one_look(board, chip, esp32c3_supermini.PINS.pulses)


def test_every_other_board_has_it_too_and_counts_on_its_own_pins_through_a_reset():
    for board in BOARDS:
        if board is esp32c3_supermini:
            continue
        chip = a_chip(name=board.CHIP)
        assert restarts(chip, board)
        keys = {} if board in ON_A_CABLE else {"wifi_name": "home"}
        check_one_look(made(board, **keys), chip, board.PINS.pulses)
        chip.cpu_reset()
        again = made(board, **keys)
        assert again.pulses.kept
        chip.pulse(board.PINS.pulses[1])
        assert again.pulses.read() == (3, 3)


def test_a_board_on_a_cable_takes_no_wifi_and_asks_for_none():
    for board in ON_A_CABLE:
        chip = a_chip()
        restarts(chip, board)
        assert "unknown key" in refusal_of(ConfigError, lambda: made(board, wifi_name="home"))  # noqa: B023
        made(board)
        assert chip.wlan.calls == []


def provisioned(chip, packet):
    """The C3 board, its files and what it said, after a client gave it a Wi-Fi."""
    pulses, why = start_counting(esp32c3_supermini.PINS, "esp32c3", RtcMemory())
    files = files_with(wifi_password="of another network")
    with files, FakeSerial(packet + bytes((sum(packet) & 0xFF, 10)), wlan=chip.wlan) as serial:
        memory = RtcMemory()
        board = make_board(esp32c3_supermini.PINS, "esp32c3", wifi_way, "", pulses, why, memory)
    return board, json.loads(files.files["/config.json"]), serial.said


def test_a_board_without_a_network_to_join_takes_one_over_improv_and_keeps_it():
    chip = a_chip(pcnt=False)
    packet = b"IMPROV\x01\x03\x20\x01\x1e\x0cMyWirelessAP\x10mysecurepassword"
    board, kept, said = provisioned(chip, packet)
    assert b"IMPROV\x01\x01\x01\x04" in said
    added = {"wifi_name": "MyWirelessAP", "wifi_password": "mysecurepassword"}
    assert kept == settings(**added)
    assert board.link.names == list(added.values())
    assert board.link.step() == "up"
    assert chip.fed > 0


def test_an_open_network_leaves_no_password_of_another_behind():
    _, kept, _ = provisioned(a_chip(pcnt=False), b"IMPROV\x01\x03\x08\x01\x06\x04home\x00")
    assert kept == settings(wifi_name="home")


def test_a_board_without_the_meter_s_partition_says_what_to_do():
    Chip(pcnt=False)
    made_with_wifi = lambda: made(esp32c3_supermini, wifi_name="home")  # noqa: E731
    assert "flash an image" in refusal_of(FlashMissing, made_with_wifi)
