"""Pulses to watt-hours: exact, carried, never backward, on 16 and on 24-bit counters."""

from firmware.board import PULSE_WIDTH_MAX
from firmware.registers import IMP_PER_KWH_MAX, IMP_PER_KWH_MIN, ZONES, Registers
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
        registers.restore(0, start_wh, 0, 0)
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
    registers.restore(0, 7, 999, 0)
    registers.restore(1, 7, 10, 0)
    assert registers.remainders == [499, 10]


def test_the_energy_of_import_and_export_is_kept_by_zone_and_sums_to_the_register():
    registers = Registers(1000, 1 << 16, (1, 2, 3))
    raw = [0, 0, 0]
    for step in range(400):
        zone = step * 7 % ZONES
        raw = [raw[0] + 3, raw[1] + step % 2, raw[2] + 1]
        registers.count(raw, zone)
        assert [sum(row) for row in registers.zones_wh] == registers.wh[:2]
    assert registers.zones_wh[0] == [300, 300, 300, 300]
    assert registers.zones_wh[1] == [0, 100, 0, 100]
    assert registers.wh == [1200, 200, 400]


def test_what_was_counted_before_there_was_a_tariff_is_in_the_first_zone():
    registers = Registers(1000, 1 << 16)
    registers.count((500, 70))
    registers.count((501, 70), 3)
    assert registers.zones_wh == [[500, 0, 0, 1], [70, 0, 0, 0]]


def test_the_first_zone_is_restored_from_the_register_and_the_other_zones():
    registers = Registers(1000, 1 << 16)
    registers.restore(0, 1000, 0, 0)
    registers.restore(1, 90, 0, 0)
    registers.restore_zones((10, 20, 30, 1, 2, 3))
    assert registers.zones_wh == [[940, 10, 20, 30], [84, 1, 2, 3]]
    assert registers.other_zones_wh() == [10, 20, 30, 1, 2, 3]


def test_a_register_that_is_lifted_keeps_the_sum_of_its_zones_and_is_never_lowered():
    registers = Registers(1000, 1 << 16)
    registers.count((100, 0))
    registers.raise_to(0, 160, 2)
    registers.raise_to(0, 20, 2)
    assert registers.wh[0] == 160
    assert registers.zones_wh[0] == [100, 0, 60, 0]


def test_a_meter_has_one_to_four_channels():
    assert Registers(1000, 2, (1,)).wh == [0]
    assert Registers(1000, 2, (1, 2, 3, 4)).wh == [0, 0, 0, 0]
    refusal_of(AssertionError, Registers, 1000, 2, ())
    refusal_of(AssertionError, Registers, 1000, 2, (1, 2, 3, 4, 5))


def test_the_zones_of_a_channel_that_is_not_there_stay_empty():
    registers = Registers(1000, 1 << 16, (2, 3))
    registers.count((5, 6), 1)
    assert registers.zones_wh == [[0, 0, 0, 0], [0, 5, 0, 0]]
