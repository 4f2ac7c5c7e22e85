"""Samples of voltage and current become power, RMS values and energy, in integers alone.

A window holds count pairs of 12-bit samples of each phase, a constant pitch apart. It is cut at
zero crossings of its voltage, so that it holds whole cycles; what is left of a sample at either
end weighs little, because the voltage is near zero there. Indicative: no certified meter.
"""

from collections import namedtuple

from firmware.calibration import NOMINAL_MV, POWER_W_MAX, Calibration, Phase
from firmware.registers import IMP_PER_KWH_MAX
from firmware.waveform import COUNTS_MAX, WINDOW_PAIRS_MAX, add_up, crossings, isqrt, spread

NOISE_SIGMAS = 5  # what noise alone passes once in a million windows
MEAN_WINDOWS = 16
STEP_MS_MAX = 4000  # POWER_W_MAX * STEP_MS_MAX stays within 30 bits
STEP_J_MAX = 10_000  # times IMP_PER_KWH_MAX, too
J_PER_KWH = 3_600_000
COUNT_WIDTH = 1 << 24  # Energy.counts are modulo this

# One window of all phases: power_mw with import positive, a voltage and a current for each
# phase; voltage_mv is () without sensors, frequency_mhz 0 where it is not known.
Window = namedtuple(
    "Window",
    (
        "power_mw",
        "voltage_mv",
        "current_ma",
        "frequency_mhz",
        "apparent_mva",
        "power_factor_pm",
        "clipped",
    ),
)


# ------------------------------------------------------------------ one window


class PhaseMeter:
    """One phase's calibration and its running offsets."""

    def __init__(self, calibration: Calibration, phase: Phase) -> None:
        self._calibration = calibration
        self._phase = phase
        self._zero_v, self._zero_i = phase.voltage_offset, phase.current_offset
        self._lead = abs(phase.lead_us) * 1024 // calibration.pitch_us
        self._mean_mw = 0
        self._starting_mw = NOMINAL_MV * calibration.starting_ma // 1000
        self._kept_ppm = interpolation_ppm(self._lead, calibration.pitch_us)

    def take(self, v, i, count: int) -> "tuple[int, int, int, int, bool]":
        """Measure count pairs of samples; v is ignored where there is no voltage sensor.

        Gives power in mW, voltage in mV, current in mA, frequency in mHz or 0, whether it clips.
        """
        assert 2 < count <= WINDOW_PAIRS_MAX
        phase = self._phase
        if not phase.uv_per_count:
            return self._take_current(i, count)
        cycles, first, end, span = crossings(v, count, self._zero_v)
        if phase.lead_us < 0:  # the voltage is early: each current goes with the voltage before
            s = add_up(i, v, first, end, self._zero_i, self._zero_v)
            sum_v, sum_i, square_v, square_i = s.b, s.a, s.bb, s.aa
        else:
            s = add_up(v, i, first, end, self._zero_v, self._zero_i)
            sum_v, sum_i, square_v, square_i = s.a, s.b, s.aa, s.bb
        pairs = s.pairs
        power = (1024 - self._lead) * spread(pairs, s.ab, s.a, s.b)
        power += self._lead * spread(pairs, s.ab_before, s.a, s.b + s.b_before)
        voltage = self._rms(spread(pairs, square_v, sum_v, sum_v), pairs, phase.voltage_noise)
        current = self._rms(spread(pairs, square_i, sum_i, sum_i), pairs, phase.current_noise)
        self._zero_v = _moved(self._zero_v, sum_v, pairs)
        self._zero_i = _moved(self._zero_i, sum_i, pairs)
        return (
            self._power_mw(power, pairs),
            voltage * phase.uv_per_count // 1_000_000,
            current * phase.ua_per_count // 1_000_000,
            cycles * 1_024_000_000_000 // (span * self._calibration.pitch_us) if cycles else 0,
            self._clips(v, count) or self._clips(i, count),
        )

    def _take_current(self, i, count: int) -> "tuple[int, int, int, int, bool]":
        """Without a voltage: 230 V at power factor 1, an estimate that knows no direction."""
        phase = self._phase
        s = add_up(i, i, 1, count, self._zero_i, self._zero_i)
        self._zero_i = _moved(self._zero_i, s.a, s.pairs)
        current = self._rms(spread(s.pairs, s.aa, s.a, s.a), s.pairs, phase.current_noise)
        current_ma = current * phase.ua_per_count // 1_000_000
        if current_ma < self._calibration.starting_ma:
            current_ma = 0
        power_mw = NOMINAL_MV * current_ma // 1000
        return (power_mw, 0, current_ma, 0, self._clips(i, count))

    def _rms(self, squares: int, pairs: int, noise: int) -> int:
        """RMS in thousandths of a count, noise taken off in quadrature.

        What is left below half of the noise's own power is nothing: at 200 pairs, five sigmas.
        """
        left = squares * 1_000_000 // (pairs * pairs) - noise * noise
        return 0 if 2 * left < noise * noise else isqrt(left)

    def _power_mw(self, power: int, pairs: int) -> int:
        """Real power from 1024 * pairs^2 * counts^2; 0 while its mean is below the starting one.

        The mean runs over MEAN_WINDOWS, so that noise of one window neither starts nor stops the
        meter; it jumps to a change that noise cannot make, so that a load put off is off at once.
        """
        phase = self._phase
        gain = phase.uv_per_count * phase.ua_per_count  # 10^-12 W
        power_mw = abs(power) * gain // (pairs * pairs * self._kept_ppm * 1024 * 1000)
        if power < 0:
            power_mw = -power_mw
        noise_ma = phase.current_noise * phase.ua_per_count // 1_000_000
        change_mw = power_mw - self._mean_mw
        if abs(change_mw) <= NOMINAL_MV * noise_ma * NOISE_SIGMAS // (1000 * isqrt(pairs)):
            change_mw //= MEAN_WINDOWS
        self._mean_mw += change_mw
        return power_mw if abs(self._mean_mw) >= self._starting_mw else 0

    def _clips(self, samples, count: int) -> bool:
        seen = memoryview(samples)[:count]
        return min(seen) <= self._calibration.low or max(seen) >= self._calibration.high


def interpolation_ppm(lead: int, pitch_us: int) -> int:
    """How much of a 50 Hz wave is left between two samples, lead 1024ths after the first.

    Linear interpolation by f shrinks it by the root of 1 - 2 f (1 - f)(1 - cos w), with w the
    angle of one pitch; the cosine by its series, good to 20 ppm at PITCH_US_MAX.
    """
    square = (pitch_us * 314_159_265 // 1_000_000) ** 2  # w^2 with w in millionths
    chord = square // 2 - square * square // 24_000_000_000_000  # 1 - cos w in 10^-12
    left = 1_000_000_000_000 - 2 * lead * (1024 - lead) * chord // (1024 * 1024)
    return isqrt(left)


def _moved(zero: int, total: int, pairs: int) -> int:
    """The running offset after a window whose samples were total beyond it."""
    return min(max(zero + (total + pairs // 2) // pairs, 0), COUNTS_MAX)


# ------------------------------------------------------------------ all phases, and energy


class Metrology:
    """The phases of one meter, measured together."""

    def __init__(self, calibration: Calibration) -> None:
        self.has_voltage = calibration.phases[0].uv_per_count > 0
        self._phases = [PhaseMeter(calibration, phase) for phase in calibration.phases]

    def take(self, samples, count: int) -> Window:
        """One window. samples: v1, i1, v2, i2, ... or i1, i2, ... without voltage sensors."""
        parts = []
        for index, phase in enumerate(self._phases):
            if self.has_voltage:
                parts.append(phase.take(samples[2 * index], samples[2 * index + 1], count))
            else:
                parts.append(phase.take(None, samples[index], count))
        powers_mw, voltage_mv, current_ma, frequencies_mhz, clips = zip(*parts)
        power_mw = apparent_mva = sum(powers_mw)
        if self.has_voltage:
            apparent_mva = sum([mv * ma // 1000 for mv, ma in zip(voltage_mv, current_ma)])
        factor_pm = min(abs(power_mw) * 1000 // apparent_mva, 1000) if apparent_mva else 0
        return Window(
            power_mw,
            voltage_mv if self.has_voltage else (),
            current_ma,
            max(frequencies_mhz),
            apparent_mva,
            -factor_pm if power_mw < 0 else factor_pm,
            True in clips,
        )


class Energy:
    """Power over time becomes counts of 1/imp_per_kwh kWh; what is left of one is carried.

    `counts` are import and export modulo COUNT_WIDTH. Power is the sum over the phases, so that
    phases balance each other before the direction is told. No number exceeds 30 bits.
    """

    def __init__(self, imp_per_kwh: int) -> None:
        assert 0 < imp_per_kwh <= IMP_PER_KWH_MAX
        self._imp_per_kwh = imp_per_kwh
        self.counts = [0, 0]
        self._uj = [0, 0]
        self._mj = [0, 0]
        self._parts = [0, 0]  # J * imp_per_kwh, below J_PER_KWH

    def add(self, power_mw: int, passed_ms: int) -> None:
        """Add power_mw (import positive, up to POWER_W_MAX) over passed_ms."""
        side = 1 if power_mw < 0 else 0
        power_w, rest_mw = divmod(abs(power_mw), 1000)
        assert power_w <= POWER_W_MAX and passed_ms >= 0
        while passed_ms:
            step_ms = min(passed_ms, STEP_MS_MAX)
            passed_ms -= step_ms
            uj = self._uj[side] + rest_mw * step_ms
            mj = self._mj[side] + uj // 1000 + power_w * step_ms
            self._uj[side] = uj % 1000
            self._mj[side] = mj % 1000
            self._count(side, mj // 1000)

    def _count(self, side: int, joules: int) -> None:
        while joules:
            step_j = min(joules, STEP_J_MAX)
            joules -= step_j
            parts = self._parts[side] + step_j * self._imp_per_kwh
            self._parts[side] = parts % J_PER_KWH
            self.counts[side] = (self.counts[side] + parts // J_PER_KWH) % COUNT_WIDTH
