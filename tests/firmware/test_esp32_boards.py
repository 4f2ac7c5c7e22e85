"""Whole ESP32 boards on a fake chip: all that the meter asks for is there, and a look counts."""

from tests.support.fake_esp32 import HARD, Chip, ChipReset  # isort: skip  (first)

from boards import esp32_devkit, esp32c3_supermini
from boards.parts.esp32_board import make_board, start_counting
from boards.parts.partition import FlashMissing
from boards.parts.retained import RtcMemory
from firmware.config import ConfigError
from firmware.metering import Metering
from firmware.storage import FLASH_BLOCKS_MIN, open_storage
from tests.support.a_meter import NOON_S, refusal_of, settings
from tests.support.fake_esp32_parts import FakePartition
from tests.support.fake_flash import FakeFlash


def a_chip(**how):
    """A chip with the meter's partition."""
    return Chip(partitions=(FakePartition("meter", FakeFlash(FLASH_BLOCKS_MIN)),), **how)


def made(board, **changes):
    """The board as a start makes it, of a config with Wi-Fi."""
    memory = RtcMemory()
    pulses, why = start_counting(board.PINS, board.CHIP, memory)
    config = settings(**changes)
    return make_board(board.PINS, config, None, pulses, why, memory)


def restarts(chip):
    """Whether the devkit resets its CPU at this start."""
    try:
        start_counting(esp32_devkit.PINS, esp32_devkit.CHIP, RtcMemory())
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


def test_a_board_without_a_network_to_join_says_which_key_is_missing():
    a_chip(pcnt=False)
    assert "wifi_name" in refusal_of(ConfigError, made, esp32c3_supermini)


def test_a_board_without_the_meter_s_partition_says_what_to_do():
    Chip(pcnt=False)
    made_with_wifi = lambda: made(esp32c3_supermini, wifi_name="home")  # noqa: E731
    assert "flash an image" in refusal_of(FlashMissing, made_with_wifi)


def test_the_pins_have_a_pull_up_and_decide_nothing_at_a_reset():
    strapping = {"esp32": (0, 2, 5, 12, 15), "esp32c3": (2, 8, 9)}
    taken = {"esp32": (1, 3, 6, 7, 8, 9, 10, 11), "esp32c3": tuple(range(11, 22))}
    for board in (esp32_devkit, esp32c3_supermini):
        pins = board.PINS.pulses + (board.PINS.supply, board.PINS.tamper)
        for pin in pins:
            assert pin not in strapping[board.CHIP] + taken[board.CHIP]
            assert pin < 34
        assert len(set(pins)) == len(pins)
