"""Pulses to watt-hours: exact, carried, never backward, on 16 and on 24-bit counters."""

from firmware.board import PULSE_WIDTH_MAX
from firmware.registers import IMP_PER_KWH_MAX, IMP_PER_KWH_MIN, Registers
from tests.support.a_meter import refusal_of


def test_a_thousand_pulses_at_1000_imp_are_one_kilowatt_hour():
    registers = Registers(1000, 1 << 16)
    assert registers.count((1000, 250)) == 1250
    assert registers.wh == [1000, 250]


def test_the_part_of_a_watt_hour_is_carried_to_the_next_pulse():
    registers = Registers(3200, 1 << 16)
    for raw in range(1, 3201):
        registers.count((raw, 0))
    assert registers.wh == [1000, 0]
    assert registers.remainders == [0, 0]


def test_no_energy_is_lost_or_made_however_the_pulses_are_split():
    for imp_per_kwh in (1, 3, 75, 640, 1000, 7777, 100000):
        registers = Registers(imp_per_kwh, 1 << 16)
        total, step = 0, 1
        while total < 300000:
            total += step
            step = (step * 7 + 3) % 4001
            registers.count((total % (1 << 16), 0))
            whole = registers.wh[0] * imp_per_kwh + registers.remainders[0]
            assert whole == total * 1000
            assert registers.remainders[0] < imp_per_kwh


def test_a_wrapping_counter_goes_on_counting():
    registers = Registers(1000, 1 << 16)
    registers.count((65000, 65535))
    registers.count((500, 0))
    assert registers.wh == [66036, 65536]


def test_a_counter_of_24_bits_wraps_at_24_bits():
    registers = Registers(1000, 1 << 24)
    registers.count(((1 << 24) - 1, 0))
    registers.count((69_999, 0))
    assert registers.wh[0] == (1 << 24) + 69_999


def test_a_register_never_runs_backwards():
    registers = Registers(1000, 1 << 16)
    last = 0
    for raw in (10, 9, 65535, 0, 0, 30000, 29999):
        registers.count((raw, 0))
        assert registers.wh[0] >= last
        last = registers.wh[0]


def test_registers_pass_31_and_32_bits_exactly():
    registers = Registers(1000, 1 << 24)
    for start_wh in ((1 << 30) - 1, (1 << 31) - 1, (1 << 32) - 1, (1 << 40) - 2):
        registers.restore((start_wh, 0), (0, 0), (0, 0))
        registers.count((1, 0))
        assert registers.wh[0] == start_wh + 1


def test_the_counter_must_lie_inside_its_width():
    registers = Registers(1000, 1 << 16)
    registers.count((65535, 0))
    refusal_of(AssertionError, registers.count, (65536, 0))
    refusal_of(AssertionError, registers.count, (-1, 0))


def test_imp_per_kwh_and_width_have_limits():
    assert Registers(IMP_PER_KWH_MIN, 2).wh == [0, 0]
    assert Registers(IMP_PER_KWH_MAX, PULSE_WIDTH_MAX).wh == [0, 0]
    refusal_of(AssertionError, Registers, IMP_PER_KWH_MIN - 1, 1 << 16)
    refusal_of(AssertionError, Registers, IMP_PER_KWH_MAX + 1, 1 << 16)
    refusal_of(AssertionError, Registers, 1000, PULSE_WIDTH_MAX + 1)
    refusal_of(AssertionError, Registers, 1000, 1)


def test_a_remainder_of_another_meter_constant_is_cut_below_one_watt_hour():
    registers = Registers(500, 1 << 16)
    registers.restore((7, 7), (999, 10), (0, 0))
    assert registers.remainders == [499, 10]
