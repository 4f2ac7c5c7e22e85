"""Power with its sign, RMS values, power factor, frequency and energy, from samples."""

import math
from array import array

from firmware import calibration
from firmware.metrology import Energy, Metrology, interpolation_ppm
from firmware.waveform import (
    BLOCK_PAIRS,
    COUNTS_MAX,
    HYSTERESIS_COUNTS,
    LIMB_BITS,
    WINDOW_PAIRS_MAX,
    add_up,
    crossings,
    isqrt,
)
from tests.support.mains import CONDITIONS, PAIRS, SETTINGS, Mains, a_window, windows_of

ONE_LIMB = 1 << 30
PF_1, PF_HALF, _, EXPORT = CONDITIONS[:4]


def settings_of(board=None, phases=1, without=(), **changes):
    """The bench's calibration with changes in every phase, and in the board's own keys."""
    made = dict(SETTINGS)
    made.update(board or {})
    row = dict(SETTINGS["phases"][0])
    row.update(changes)
    for key in without:
        del row[key]
    made["phases"] = [dict(row) for _ in range(phases)]
    return made


def mean(windows, field):
    return sum([getattr(window, field) for window in windows]) / len(windows)


def near(value, wanted, percent):
    return abs(value - wanted) <= abs(wanted) * percent / 100


# ------------------------------------------------------------------ one window


def test_power_voltage_current_and_frequency_of_a_load_are_those_of_the_mains():
    window = windows_of(PF_1, 10, 1)[0]
    assert near(window.power_mw, 2_300_000, 0.5)
    assert near(window.voltage_mv[0], 230_000, 0.3)
    assert near(window.current_ma[0], 10_000, 0.5)
    assert near(window.apparent_mva, 2_300_000, 0.5)
    assert window.power_factor_pm >= 995
    assert abs(window.frequency_mhz - 50_000) <= 20
    assert not window.clipped


def test_power_to_the_grid_is_negative():
    window = windows_of(EXPORT, 10, 1)[0]
    assert near(window.power_mw, -2_300_000, 0.5)
    assert window.power_factor_pm <= -995


def test_a_power_factor_of_one_half_is_told_per_mille():
    windows = windows_of(PF_HALF, 10, 20)
    assert abs(mean(windows, "power_factor_pm") - 500) < 5


def test_a_power_factor_is_never_above_one_and_none_without_a_load():
    assert max([window.power_factor_pm for window in windows_of(PF_1, 0.5, 40)]) <= 1000
    assert windows_of(PF_1, 0, 1)[0].power_factor_pm == 0


def test_frequency_follows_the_mains():
    for hertz in (49.5, 50.5):
        mains = Mains("", 0, 230, hertz, (), 0)
        for window in windows_of(mains, 5, 5):
            assert abs(window.frequency_mhz - 1000 * hertz) <= 20


def test_without_mains_there_is_no_frequency_voltage_or_power():
    window = windows_of(Mains("", 0, 0, 50, (), 0), 10, 1)[0]
    assert window.frequency_mhz == 0
    assert window.voltage_mv == (0,)
    assert window.power_mw == 0


def test_a_wrong_offset_does_not_change_the_first_window():
    wrong = settings_of(voltage_offset=1237, current_offset=1637)
    right = windows_of(PF_HALF, 5, 1)[0]
    seen = windows_of(PF_HALF, 5, 1, wrong)[0]
    assert near(seen.power_mw, right.power_mw, 0.5)
    assert near(seen.current_ma[0], right.current_ma[0], 0.5)


def test_the_running_offset_follows_the_samples():
    meter = Metrology(calibration.parse(settings_of(voltage_offset=1037, current_offset=1037)))
    for _ in range(2):
        meter.take(a_window(PF_1, 5, 0.0), PAIRS)
    phase = meter._phases[0]
    assert abs(phase._zero_v - 1437) <= 1
    assert abs(phase._zero_i - 1437) <= 1


def test_a_window_that_is_no_whole_number_of_cycles_is_as_right_as_one_that_is():
    for pairs in (207, 210, 213, 217):
        for begin in range(5):
            meter = Metrology(calibration.parse(SETTINGS))
            window = meter.take(a_window(PF_HALF, 20, 0.0037 * begin, pairs), pairs)
            assert near(window.power_mw, 2_300_000, 1.2), (pairs, begin)


# ------------------------------------------------------------------ noise and starting


def test_noise_alone_is_no_current_and_no_power():
    for window in windows_of(PF_1, 0, 60):
        assert window.current_ma == (0,)
        assert window.power_mw == 0


def test_noise_is_taken_off_in_quadrature():
    honest = mean([w for w in windows_of(PF_1, 0.1, 60)], "apparent_mva")
    assert near(honest, 23_000, 5)
    raw = mean(windows_of(PF_1, 0.1, 60, settings_of(current_noise=0)), "apparent_mva")
    assert raw > 1.35 * 23_000


def test_a_load_counts_from_the_starting_current_on():
    for current_ma, counts in ((19, False), (21, True)):
        fine = settings_of(ua_per_count=100, voltage_noise=0, current_noise=0, lead_us=0)
        mains = Mains("", 1.76, 230, 50, (), 0)  # as many degrees late as the bench leads
        windows = windows_of(mains, 653 * current_ma / 1000, 5, fine)  # 653 = 65300 / 100
        assert [window.power_mw > 0 for window in windows] == [counts] * 5, current_ma


def test_a_load_of_twice_the_starting_current_is_counted_whole():
    assert near(mean(windows_of(PF_1, 0.04, 150)[20:], "power_mw"), 9200, 6)


def test_a_load_put_off_is_off_in_the_next_window():
    meter = Metrology(calibration.parse(SETTINGS))
    for _ in range(20):
        assert meter.take(a_window(PF_1, 10, 0.0), PAIRS).power_mw > 0
    assert meter.take(a_window(PF_1, 0, 0.0), PAIRS).power_mw == 0


# ------------------------------------------------------------------ phase


def test_the_lead_of_the_transformer_and_of_sequential_samples_is_taken_off():
    bare = mean(windows_of(PF_HALF, 20, 20, settings_of(lead_us=0)), "power_mw")
    assert bare > 2_300_000 * 1.04  # 1.76 degrees at PF 0.5
    assert near(mean(windows_of(PF_HALF, 20, 20), "power_mw"), 2_300_000, 0.3)


def test_a_current_that_is_seen_late_is_compensated_as_well():
    late = Mains("", 60 + 4 + 1.76, 230, 50, (), 0)  # 4 degrees late are 222 us
    bare = mean(windows_of(late, 20, 20, settings_of(lead_us=0)), "power_mw")
    assert bare < 2_300_000 * 0.9
    seen = mean(windows_of(late, 20, 20, settings_of(lead_us=-222)), "power_mw")
    assert near(seen, 2_300_000, 0.3)


def test_interpolation_gives_back_the_height_that_it_takes():
    for pitch_us in (100, 1000, 2000):
        angle = 2 * math.pi * 50 * pitch_us / 1_000_000
        for lead in (0, 1, 256, 512, 1023, 1024):
            f = lead / 1024
            kept = math.sqrt(1 - 2 * f * (1 - f) * (1 - math.cos(angle)))
            assert abs(interpolation_ppm(lead, pitch_us) - 1_000_000 * kept) < 30


def test_a_direct_voltage_makes_no_power_whatever_the_current_does():
    samples = array("H", [2000] * PAIRS), array("H", [1437 + n for n in range(PAIRS)])
    for lead_us in (-1000, 0, 500, 1000):
        meter = Metrology(calibration.parse(settings_of(lead_us=lead_us)))
        assert meter.take(samples, PAIRS).power_mw == 0, lead_us


# ------------------------------------------------------------------ phases, and no voltage


def test_phases_balance_each_other_before_the_direction_is_told():
    meter = Metrology(calibration.parse(settings_of(phases=3)))
    rows = []
    for mains, current_a in ((PF_1, 5), (PF_1, 5), (EXPORT, 8)):
        for samples in a_window(mains, current_a, 0.0):
            rows.append(samples)
    window = meter.take(rows, PAIRS)
    assert near(window.power_mw, 460_000, 3)
    assert len(window.voltage_mv) == len(window.current_ma) == 3
    assert near(window.apparent_mva, 18 * 230_000, 1)
    energy = Energy(1000)
    energy.add(window.power_mw, 3_600_000)
    assert energy.counts[0] > 440 and energy.counts[1] == 0


def test_each_phase_has_its_own_calibration():
    settings = settings_of(phases=2)
    settings["phases"][1]["ua_per_count"] *= 2
    samples = a_window(PF_1, 5, 0.0)
    window = Metrology(calibration.parse(settings)).take(
        [samples[0], samples[1], samples[0], samples[1]], PAIRS
    )
    assert near(window.current_ma[1], 2 * window.current_ma[0], 1)


def test_without_a_voltage_sensor_power_is_230_v_times_the_current_and_never_export():
    meter = Metrology(calibration.parse(settings_of(without=("uv_per_count",))))
    for mains in (PF_1, PF_HALF, EXPORT):
        window = meter.take(a_window(mains, 10, 0.0)[1:], PAIRS)
        assert near(window.power_mw, 2_300_000, 2)
        assert window.apparent_mva == window.power_mw
        assert (window.voltage_mv, window.frequency_mhz) == ((), 0)


def test_without_a_voltage_sensor_noise_alone_counts_nothing():
    meter = Metrology(calibration.parse(settings_of(without=("uv_per_count",))))
    for index in range(40):
        window = meter.take(a_window(PF_1, 0, 0.1 * index)[1:], PAIRS)
        assert window.power_mw == 0 and window.current_ma == (0,)


def test_samples_at_the_ends_of_the_linear_range_are_told():
    low, high = SETTINGS["low"], SETTINGS["high"]
    for channel in (0, 1):
        for count, clipped in (
            (low - 1, True), (low, True), (low + 1, False),
            (high - 1, False), (high, True), (high + 1, True),
        ):  # fmt: skip
            samples = a_window(PF_1, 10, 0.0)
            samples[channel][100] = count
            window = Metrology(calibration.parse(SETTINGS)).take(samples, PAIRS)
            assert window.clipped == clipped, (channel, count)


# ------------------------------------------------------------------ sums and crossings


def test_no_limb_passes_30_bits_with_the_largest_samples_and_the_longest_window():
    square = COUNTS_MAX * COUNTS_MAX
    assert square * BLOCK_PAIRS < ONE_LIMB
    samples = [COUNTS_MAX] * WINDOW_PAIRS_MAX
    sums = add_up(samples, samples, 1, WINDOW_PAIRS_MAX, 0, 0)
    for high, low in (sums.aa, sums.bb, sums.ab, sums.ab_before):
        assert high < ONE_LIMB and low < ONE_LIMB
        assert (high << LIMB_BITS) + low == square * (WINDOW_PAIRS_MAX - 1)
    assert sums.a == sums.b == COUNTS_MAX * (WINDOW_PAIRS_MAX - 1) < ONE_LIMB


def test_sums_of_every_length_around_a_block_are_exact():
    a = [(7 * n * n + 3) % 4096 for n in range(3 * BLOCK_PAIRS)]
    b = [(11 * n * n + 5 * n) % 4096 for n in range(3 * BLOCK_PAIRS)]
    for pairs in (1, 2, BLOCK_PAIRS - 1, BLOCK_PAIRS, BLOCK_PAIRS + 1, 2 * BLOCK_PAIRS):
        s = add_up(a, b, 3, 3 + pairs, 2000, 2100)
        x = [a[n] - 2000 for n in range(3, 3 + pairs)]
        y = [b[n] - 2100 for n in range(2, 3 + pairs)]
        value = [(high << LIMB_BITS) + low for high, low in (s.aa, s.bb, s.ab, s.ab_before)]
        assert value[0] == sum([p * p for p in x])
        assert value[1] == sum([p * p for p in y[1:]])
        assert value[2] == sum([p * q for p, q in zip(x, y[1:])])
        assert value[3] == sum([p * q for p, q in zip(x, y)])
        assert (s.pairs, s.a, s.b, s.b + s.b_before) == (pairs, sum(x), sum(y[1:]), sum(y[:-1]))


def test_a_crossing_needs_the_voltage_to_have_been_below_the_hysteresis():
    def cycles_of(depth):
        wave = [0, -depth, 10, 20] * 3
        return crossings(wave, len(wave), 0)[0]

    assert cycles_of(HYSTERESIS_COUNTS) == 0
    assert cycles_of(HYSTERESIS_COUNTS + 1) == 2


def test_noise_around_zero_makes_no_second_crossing():
    wave = [0, -500, -5, 3, -4, 6, 500, 400, -500, -5, 3, -2, 500]
    assert crossings(wave, len(wave), 0)[0] == 1


def test_crossings_are_told_between_samples():
    wave = [0, -100, 100, 300, -300, -300, 100]
    cycles, first, end, span = crossings(wave, 7, 0)
    assert (cycles, first, end) == (1, 2, 6)
    assert span == 4 * 1024 - 256 + 512  # from half a sample before 2 to a quarter before 6


def test_a_square_root_is_its_whole_part():
    for root in (0, 1, 2, 3, 255, 65535, 1 << 20, (1 << 31) - 1):
        assert isqrt(root * root) == root
        assert isqrt(root * root + 2 * root) == root
        if root:
            assert isqrt(root * root - 1) == root - 1
