"""Pulses counted in hardware, and by interrupt where there is none, on a fake ESP32."""

from tests.support.fake_esp32 import HARD, SCHEDULER_DEPTH, WDT, Chip  # isort: skip  (first)

from boards.parts.irq_input import IrqInput
from boards.parts.pulse_input import (
    FILTER_TICKS,
    PCNT_WIDTH,
    PcntInput,
    open_pulse_input,
)
from boards.parts.retained import RtcMemory
from wire import obis

PINS = (25, 26)
CHANNELS = (obis.IMPORT_WH, obis.EXPORT_WH)


def ticks_ms():
    return 7


def an_input(chip):
    """The input as a start of the meter makes it."""
    return PcntInput(PINS, CHANNELS, RtcMemory(), chip.name)


def test_each_falling_edge_counts_on_its_own_channel():
    chip = Chip()
    pulses = an_input(chip)
    assert pulses.channels == CHANNELS
    assert pulses.flags == 0
    assert pulses.read() == (0, 0)
    chip.pulse(25, 3)
    chip.pulse(26)
    assert pulses.read() == (3, 1)
    assert pulses.read() == (3, 1)


def test_one_to_four_inputs_are_counted():
    for count in (1, 2, 3, 4):
        chip = Chip()
        pins = (25, 26, 27, 14)[:count]
        pulses = PcntInput(pins, (1, 2, 3, 4)[:count], RtcMemory(), chip.name)
        for index, pin in enumerate(pins):
            chip.pulse(pin, 10 + index)
        assert pulses.read() == (10, 11, 12, 13)[:count]


def test_no_input_and_five_inputs_are_a_mistake_of_the_board():
    for pins in ((), (25, 26, 27, 14, 13)):
        try:
            PcntInput(pins, (1, 2, 3, 4, 5)[: len(pins)])
        except AssertionError:
            continue
        raise AssertionError("it was accepted")


def test_the_hardware_goes_back_to_zero_at_the_width_below_it_and_above_it():
    chip = Chip()
    pulses = an_input(chip)
    assert pulses.width == PCNT_WIDTH
    chip.pulse(25, PCNT_WIDTH - 1)
    assert pulses.read()[0] == PCNT_WIDTH - 1
    chip.pulse(25)
    assert pulses.read()[0] == 0
    chip.pulse(25)
    assert pulses.read()[0] == 1


def test_the_longest_glitch_filter_is_set():
    for newer in (False, True):
        chip = Chip(newer=newer)
        an_input(chip)
        assert chip.units[0].conf0 & 0x7FF == 1 << 10 | FILTER_TICKS


def test_a_power_on_begins_at_zero_and_says_so():
    chip = Chip()
    pulses = an_input(chip)
    assert not pulses.kept
    assert pulses.wants_restart
    assert not pulses.restarted


def test_after_the_restart_at_power_on_the_counts_go_on_and_none_was_lost():
    chip = Chip()
    an_input(chip)
    chip.pulse(25, 4)
    chip.cpu_reset(HARD)
    chip.pulse(25, 2)
    pulses = an_input(chip)
    assert pulses.restarted
    assert not pulses.wants_restart
    assert not pulses.kept
    assert pulses.read() == (6, 0)


def test_an_interrupt_counts_each_edge_while_the_program_is_not_busy_and_tells_when():
    chip = Chip(pcnt=False)
    pulses = IrqInput(PINS, CHANNELS, ticks_ms)
    for _ in range(100):
        chip.pulse(25)
    chip.pulse(26)
    assert pulses.read() == (100, 1)
    assert pulses.last_ms == (7, 7)
    assert not pulses.kept


def test_interrupts_beyond_the_queue_are_lost_while_the_program_is_busy():
    """At, below and above the eight that fit: why such a chip is not for settlement."""
    for burst in (SCHEDULER_DEPTH - 1, SCHEDULER_DEPTH, SCHEDULER_DEPTH + 1, 3 * SCHEDULER_DEPTH):
        chip = Chip(pcnt=False)
        pulses = IrqInput(PINS, CHANNELS, ticks_ms)
        chip.stalled = True
        chip.pulse(25, burst)
        chip.stalled = False
        chip.run()
        assert pulses.read()[0] == min(burst, SCHEDULER_DEPTH)
        assert chip.vanished == burst - pulses.read()[0]


def test_the_input_is_chosen_by_what_chip_and_firmware_have():
    chip = Chip()
    assert type(open_pulse_input(PINS, CHANNELS, ticks_ms, RtcMemory(), chip.name)) is PcntInput
    Chip(pcnt=False)
    assert type(open_pulse_input(PINS, CHANNELS, ticks_ms)) is IrqInput


def test_a_watchdog_and_a_power_on_are_told_apart_from_what_restarts_on_purpose():
    from boards.parts.watchdog import why_started

    chip = Chip()
    assert why_started() == "power_on"
    chip.cpu_reset(WDT)
    assert why_started() == "watchdog"
    chip.cpu_reset(HARD)
    assert why_started() == "soft"
    chip.soft_reset()
    assert why_started() == "soft"
