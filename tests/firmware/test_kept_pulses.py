"""Counts that go on through resets, and are never taken for it when they did not."""

from tests.support.fake_esp32 import BASES, HARD, Chip, Pcnt  # isort: skip  (first)

import esp32

from boards.parts.pulse_input import PCNT_WIDTH, RECORD_BYTES, PcntInput
from boards.parts.retained import RtcMemory
from firmware.board import RETAINED_BYTES_MAX
from tests.support.fake_esp32_parts import MemoryTorn
from wire import obis

PINS = (25, 26)
CHANNELS = (obis.IMPORT_WH, obis.EXPORT_WH)
RECORD_AT = 2 + RETAINED_BYTES_MAX  # in RTC memory, behind what the meter keeps there


def an_input(chip, pins=PINS, keeps=True):
    """The input as a start of the meter makes it."""
    memory = RtcMemory() if keeps else None
    return PcntInput(pins, CHANNELS[: len(pins)], memory, chip.name)


def a_running_chip(**how):
    """A chip whose meter has looked twice at both inputs, after the restart at power-on."""
    chip = Chip(**how)
    an_input(chip)
    chip.cpu_reset(HARD)
    pulses = an_input(chip)
    pulses.read()
    pulses.read()
    return chip


def check_kept(chip, reset):
    """Counts before, while and after a reset are all there."""
    pulses = an_input(chip)
    chip.pulse(25, 5)
    before = pulses.read()
    chip.pulse(25, 3)
    reset()
    chip.pulse(26, 2)
    again = an_input(chip)
    assert again.kept
    assert not again.wants_restart
    chip.pulse(25)
    after = again.read()
    assert (after[0] - before[0]) % PCNT_WIDTH == 4
    assert (after[1] - before[1]) % PCNT_WIDTH == 2


def test_a_watchdog_reset_a_restart_and_a_soft_reset_lose_no_pulse():
    for name in BASES:
        for newer in (False, True):
            chip = a_running_chip(name=name, newer=newer)
            for _ in range(3):
                check_kept(chip, chip.cpu_reset)
                check_kept(chip, chip.restart)
                check_kept(chip, chip.soft_reset)


def test_counts_are_kept_across_a_wrap_that_happens_while_the_meter_starts():
    chip = a_running_chip()
    pulses = an_input(chip)
    chip.pulse(25, PCNT_WIDTH - 1)
    assert pulses.read()[0] == PCNT_WIDTH - 1
    chip.cpu_reset()
    chip.pulse(25, 2)
    pulses = an_input(chip)
    assert pulses.kept
    assert pulses.read()[0] == 1


def check_not_kept(chip, pulses):
    """It began at 0, says so, and counts."""
    assert not pulses.kept
    assert pulses.read() == (0, 0)
    chip.pulse(25, 2)
    assert pulses.read() == (2, 0)


def test_a_power_off_is_never_taken_for_a_reset_whatever_the_memory_holds():
    chip = a_running_chip()
    chip.pulse(25, 9)
    chip.power_on(noise=3)
    check_not_kept(chip, an_input(chip))


def test_a_brown_out_that_leaves_the_memory_alone_is_not_taken_for_a_reset():
    for name in BASES:
        chip = a_running_chip(name=name)
        chip.pulse(25, 9)
        chip.system_reset()
        pulses = an_input(chip)
        check_not_kept(chip, pulses)
        assert pulses.wants_restart


def test_a_chip_that_resets_its_counters_with_the_cpu_is_found_out_every_time():
    chip = Chip(keeps=False)
    pulses = an_input(chip)
    for _ in range(3):
        chip.pulse(25, 9)
        assert pulses.read()[0] == 9
        pulses.read()
        chip.cpu_reset(HARD)
        pulses = an_input(chip)
        assert not pulses.kept
        assert not pulses.restarted
        assert pulses.read() == (0, 0)


def test_a_soft_reset_of_the_first_start_clears_the_units_and_is_found_out():
    for newer in (False, True):
        chip = Chip(newer=newer)
        pulses = an_input(chip)
        pulses.read()
        pulses.read()
        chip.pulse(25, 9)
        chip.soft_reset()
        check_not_kept(chip, an_input(chip))


def test_a_chip_whose_registers_nobody_has_looked_up_keeps_nothing_and_says_so():
    chip = Chip()
    for _ in range(2):
        pulses = PcntInput(PINS, CHANNELS, RtcMemory(), "esp32h2")
        assert not pulses.wants_restart
        check_not_kept(chip, pulses)
        chip.cpu_reset()


def test_a_board_may_choose_to_keep_nothing():
    chip = a_running_chip()
    chip.cpu_reset()
    pulses = an_input(chip, keeps=False)
    assert not pulses.wants_restart
    check_not_kept(chip, pulses)


def test_other_pins_than_before_are_set_up_anew():
    chip = a_running_chip()
    chip.cpu_reset()
    pulses = an_input(chip, pins=(25, 27))
    assert not pulses.kept
    chip.pulse(27)
    assert pulses.read() == (0, 1)


def changed(chip, how):
    """Change the hardware behind the meter's back."""
    unit = chip.units[1]
    if how == "paused":
        unit.stopped = 2
    elif how == "held at 0":
        unit.stopped = 1
    elif how == "clock off":
        chip.clock_on = False
    elif how == "other limits":
        unit.limits += 1
    elif how == "other edges":
        unit.conf0 ^= 3 << 16
    elif how == "wraps elsewhere":
        unit.conf0 &= ~(1 << 12)


def test_a_unit_that_is_not_counting_as_it_was_set_up_is_not_believed():
    for how in (
        "paused",
        "held at 0",
        "clock off",
        "other limits",
        "other edges",
        "wraps elsewhere",
    ):
        chip = a_running_chip()
        chip.cpu_reset()
        changed(chip, how)
        pulses = an_input(chip)
        assert not pulses.kept, how
        chip.pulse(26, 2)
        assert pulses.read() == (0, 2), how


class NoLimit(Pcnt):
    """A driver that does not enable the limit: where such a unit wraps is not known."""

    def irq(self, handler=None, trigger=0):
        return self


def test_a_unit_that_may_not_wrap_where_it_should_is_not_taken_over_by_the_next_start():
    chip = Chip()
    esp32.PCNT = NoLimit
    pulses = an_input(chip)
    assert not pulses.wants_restart
    chip.cpu_reset()
    esp32.PCNT = NoLimit
    assert not an_input(chip).kept


def test_every_bit_that_flips_in_the_memory_s_record_is_noticed():
    for at in range(RECORD_AT, RECORD_AT + RECORD_BYTES):
        for bit in range(8):
            chip = a_running_chip()
            chip.cpu_reset()
            chip.rtc_memory[at] ^= 1 << bit
            assert not an_input(chip).kept, (at, bit)


def test_a_reset_before_the_first_look_is_remembered_begins_at_zero_again():
    """Else the next start would take the counts for a continuation of a life before."""
    chip = Chip()
    an_input(chip)
    chip.cpu_reset(HARD)
    pulses = an_input(chip)
    chip.pulse(25, 5)
    assert pulses.read() == (5, 0)  # nobody knows whether these five came into flash
    chip.cpu_reset()
    chip.pulse(25, 3)
    pulses = an_input(chip)
    assert not pulses.kept
    assert pulses.read() == (0, 0)
    chip.pulse(25, 2)
    assert pulses.read() == (2, 0)
    chip.cpu_reset()
    pulses = an_input(chip)
    assert pulses.kept
    assert pulses.read() == (2, 0)


def test_a_reset_in_the_middle_of_the_record_s_write_is_never_kept_wrongly():
    for write in range(3):
        for byte in range(RECORD_AT, RECORD_AT + RECORD_BYTES):
            check_torn(write, byte)


def check_torn(write, byte):
    """The restart, the first and the second look each write the record once."""
    chip = Chip()
    chip.tear_at, chip.tear_bytes = write, byte
    looks = 0
    try:
        pulses = an_input(chip)
        chip.pulse(25, 5)
        while looks < 3:
            pulses.read()
            looks += 1
    except MemoryTorn:
        pass
    assert looks < 2
    chip.cpu_reset()
    chip.pulse(25, 2)
    pulses = an_input(chip)
    assert not pulses.kept
    assert pulses.read()[0] in (0, 2, 2 + 5 * (write > 0)), (write, byte)


def test_the_memory_of_newer_firmware_serves_as_well():
    chip = a_running_chip(backup=True)
    check_kept(chip, chip.cpu_reset)
