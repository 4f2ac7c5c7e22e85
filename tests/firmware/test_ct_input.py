"""Bursts of the ESP32's converter, with its documented faults, become counts that are honest."""

import asyncio

from boards.parts import ct_input
from boards.parts.ct_input import BURST_MS, HOLD_MS_MAX, LATE_MAX, PAUSE_MS, CtInput, open_adcs
from firmware import calibration
from firmware.board import BLOCKING_MS_MAX
from tests.support.a_meter import FakeClock, refusal_of
from tests.support.fake_adc import READ_US, FakeAdc, FakeMachineAdc, FakeTime, with_machine
from wire.quality import ESTIMATED_VA, GAP, IMPLAUSIBLE

SETTINGS = {
    "low": 10,
    "high": 2864,
    "phases": [
        {
            "uv_per_count": 270_000,
            "ua_per_count": 65_300,
            "lead_us": READ_US,
            "voltage_offset": 1437,
            "current_offset": 1437,
            "current_noise": 300,
        }
    ],
}


def an_input(amps=10, lag_deg=0, volts=230, phases=1, imp_per_kwh=100_000, noise=1):
    """A CtInput over fakes, and its parts."""
    time = FakeTime()
    adcs = []
    for _ in range(phases):
        adcs.append(FakeAdc(time, volts / 0.27, noise))
        adcs.append(FakeAdc(time, amps / 0.0653, noise, lag_deg))
    settings = {"low": 10, "high": 2864, "phases": SETTINGS["phases"] * phases}
    ct = CtInput(adcs, calibration.parse(settings), imp_per_kwh, time)
    return ct, adcs, time


def run(ct, time, seconds):
    """Bursts and pauses for about that long; gives the time taken in ms."""
    begin_us = time.us
    while time.us < begin_us + seconds * 1_000_000:
        ct.sample()
        time.us += PAUSE_MS * 1000
    return (time.us - begin_us) // 1000 - PAUSE_MS


def within(value, wanted, percent):
    return abs(value - wanted) * 100 <= abs(wanted) * percent


# ------------------------------------------------------------------ what is counted


def test_a_load_is_counted_as_import():
    ct, _, time = an_input()
    passed_ms = run(ct, time, 4)
    assert within(ct.read()[0], 2300 * passed_ms / 36_000, 1.5)
    assert ct.read()[1] == 0
    assert ct.flags == 0 and ct.bursts_refused == 0


def test_power_to_the_grid_is_counted_as_export():
    ct, _, time = an_input(lag_deg=180)
    passed_ms = run(ct, time, 4)
    assert ct.read()[0] == 0
    assert within(ct.read()[1], 2300 * passed_ms / 36_000, 1.5)


def test_a_load_of_power_factor_one_half_is_counted_by_half():
    ct, _, time = an_input(lag_deg=60)
    passed_ms = run(ct, time, 4)
    assert within(ct.read()[0], 1150 * passed_ms / 36_000, 1.5)


def test_three_phases_are_counted_together():
    ct, _, time = an_input(phases=3)
    passed_ms = run(ct, time, 3)
    assert within(ct.read()[0], 6900 * passed_ms / 36_000, 1.5)
    assert len(ct.measured().voltage_mv) == 3


def test_without_load_nothing_is_counted():
    ct, _, time = an_input(amps=0)
    run(ct, time, 4)
    assert ct.read() == (0, 0)


def test_the_newest_window_is_told_and_none_before_the_first():
    ct, _, _ = an_input()
    assert ct.measured() is None
    ct.sample()
    seen = ct.measured()
    assert within(seen.power_w, 2300, 1.5)
    assert within(seen.voltage_mv[0], 230_000, 1)
    assert within(seen.current_ma[0], 10_000, 1)
    assert abs(seen.frequency_mhz - 50_000) < 50


def test_it_is_a_pulse_input_that_begins_at_0_with_every_start():
    ct, _, _ = an_input()
    assert ct.channels == (1, 2)
    assert ct.kept is False
    assert ct.read() == (0, 0)


def test_reading_resets_nothing():
    ct, _, time = an_input()
    run(ct, time, 3)
    assert ct.read() == ct.read() != (0, 0)


# ------------------------------------------------------------------ without a voltage sensor


def test_without_a_voltage_sensor_everything_is_flagged_estimated():
    time = FakeTime()
    adc = FakeAdc(time, 10 / 0.0653, 1, 180)
    row = dict(SETTINGS["phases"][0])
    del row["uv_per_count"]
    ct = CtInput([adc], calibration.parse({"phases": [row]}), 100_000, time)
    assert ct.flags == ESTIMATED_VA
    passed_ms = run(ct, time, 4)
    count, export = ct.read()
    assert within(count, 2300 * passed_ms / 36_000, 2)  # export shows as import: no direction
    assert export == 0
    assert ct.flags == ESTIMATED_VA
    assert ct.measured().voltage_mv == ()


# ------------------------------------------------------------------ the converter's faults


def test_the_bursts_read_the_12_bits_and_not_the_coarser_millivolts():
    time = FakeTime()
    adc = FakeAdc(time, 300)
    assert {adc.read_uv() % 1000 for _ in range(50)} == {0}
    samples = [[0] * 50]
    assert ct_input.fill([adc], samples, 50, 1000, time) == 0
    assert max(samples[0]) <= 4095
    assert len({count % 16 for count in samples[0]}) > 8


def test_a_current_beyond_the_linear_range_is_counted_and_flagged():
    ct, _, time = an_input(amps=90)
    run(ct, time, 2)
    assert ct.read()[0] > 0
    assert ct.flags == IMPLAUSIBLE


def test_a_flag_belongs_to_the_counts_since_the_last_reading():
    ct, adcs, time = an_input(amps=90)
    run(ct, time, 2)
    adcs[1].peak_mv /= 9
    ct.read()
    assert ct.flags == IMPLAUSIBLE
    run(ct, time, 2)
    ct.read()
    assert ct.flags == 0


def test_a_burst_with_few_late_rows_counts_and_one_with_more_is_refused():
    for late in (LATE_MAX - 1, LATE_MAX, LATE_MAX + 1):
        ct, adcs, _ = an_input()
        for _ in range(late):  # the row after a stall is late, the one after that is not
            adcs[0].stall_us.extend([1700, 0, 0])
        ct.sample()
        assert ct.bursts == 1
        assert ct.bursts_refused == (1 if late > LATE_MAX else 0), late
        assert (ct.measured() is None) == (late > LATE_MAX)


def test_a_row_is_late_from_beyond_half_a_pitch():
    for behind_us, late in ((499, 0), (500, 0), (501, 1)):
        time = FakeTime(look_us=1)
        adc = FakeAdc(time, 100)
        adc.stall_us = [1000 + behind_us - READ_US - 2]  # two looks at the time go before
        assert ct_input.fill([adc], [[0] * 20], 20, 1000, time) == late, behind_us


def test_a_sample_that_never_comes_refuses_the_burst_and_counting_goes_on():
    ct, adcs, time = an_input()
    run(ct, time, 3)
    before = ct.read()[0]
    adcs[1].stall_us = [0, 0, None]
    run(ct, time, 3)
    assert ct.bursts_refused == 1
    assert within(ct.read()[0] - before, 2300 * 3000 / 36_000, 20)


def test_a_converter_too_slow_for_its_pitch_stops_the_burst_early():
    ct, adcs, time = an_input()
    adcs[0].stall_us = [5000] * 1000
    begin_us = time.us
    ct.sample()
    assert ct.bursts_refused == 1
    assert time.us - begin_us < BURST_MS * 1000


def test_a_burst_never_blocks_longer_than_it_may():
    ct, _, time = an_input(phases=3)
    begin_us = time.us
    ct.sample()
    assert time.us - begin_us <= (BURST_MS + 1) * 1000 < BLOCKING_MS_MAX * 1000


# ------------------------------------------------------------------ time without samples


def test_power_holds_over_a_pause_up_to_its_limit_and_what_is_longer_is_flagged_a_gap():
    for pause_ms, flags in ((HOLD_MS_MAX - 1, 0), (HOLD_MS_MAX, 0), (HOLD_MS_MAX + 1, GAP)):
        ct, _, time = an_input()
        run(ct, time, 1)
        ct.read()
        before = ct.read()[0]
        time.us = (ct._counted_ms + pause_ms) * 1000 - BURST_MS * 1000 + 1000 - 50
        ct.sample()
        passed_ms = time.us // 1000 - ct._counted_ms
        assert passed_ms == 0
        counted = ct.read()[0] - before
        assert ct.flags == flags, pause_ms
        assert within(counted, 2300 * HOLD_MS_MAX / 36_000, 1.5)


def test_a_long_silence_is_not_filled_with_energy():
    ct, _, time = an_input()
    run(ct, time, 1)
    before = ct.read()[0]
    time.us += 400_000_000
    ct.sample()
    assert within(ct.read()[0] - before, 2300 * HOLD_MS_MAX / 36_000, 1.5)
    assert ct.flags == GAP


# ------------------------------------------------------------------ the board's side


def test_pins_of_the_first_converter_are_opened_over_its_whole_range():
    adcs = with_machine(open_adcs, [32, 33, 34, 35, 36, 39])
    assert [adc.pin.number for adc in adcs] == [32, 33, 34, 35, 36, 39]
    assert {adc.atten for adc in adcs} == {FakeMachineAdc.ATTN_11DB}


def test_a_pin_that_wi_fi_takes_away_is_refused_with_the_reason():
    for pin in (0, 2, 4, 12, 13, 14, 15, 25, 26, 27):
        text = with_machine(refusal_of, ValueError, open_adcs, [34, pin])
        assert "pin " + str(pin) in text and "Wi-Fi" in text


def test_as_many_converters_as_sensors_are_needed():
    time = FakeTime()
    good = calibration.parse(SETTINGS)
    for count in (0, 1, 3):
        adcs = [FakeAdc(time, 1) for _ in range(count)]
        assert "converters" in refusal_of(ValueError, CtInput, adcs, good, 1000, time)


def test_sampling_leaves_the_pause_to_the_network():
    ct, _, _ = an_input()
    clock = FakeClock(ticks_ms=0)
    pauses = []

    async def pause_ms(duration_ms):
        pauses.append(duration_ms)
        if len(pauses) == 3:
            raise Enough()

    clock.pause_ms = pause_ms
    try:
        asyncio.run(ct.run(clock))
    except Enough:
        pass
    assert pauses == [PAUSE_MS] * 3
    assert ct.bursts == 3


class Enough(Exception):
    """Ends the endless sampling of a test."""
