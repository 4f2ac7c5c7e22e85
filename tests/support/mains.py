"""Synthetic mains for the metering: what a converter with noise samples of a load."""

# Currents of a 100 A transformer with a burden for 60 A, on a 12-bit converter that is linear from
# 10 to 2864 counts (an ESP32 at 11 dB: 150 to 2450 mV), with 1.5 LSB of noise: reference figures
# of a good board, not measurements of one. Non-linearity inside that range is not modelled.

import math
from array import array
from collections import namedtuple
from random import random as chance
from random import seed as replay

from firmware import calibration
from firmware.metrology import Metrology

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOMINAL_V = 230
SETTINGS = {
    "pitch_us": 1000,
    "low": 10,
    "high": 2864,
    "phases": [
        {
            "uv_per_count": 270_000,
            "ua_per_count": 65_300,
            "lead_us": 98,  # the transformer's 1.4 degrees and the 20 us to the second sample
            "voltage_offset": 1437,
            "current_offset": 1437,
            "voltage_noise": 1528,  # 1.5 LSB and the rounding's root of 1/12
            "current_noise": 1528,
        }
    ],
}
PAIRS = 220
NOISE_LSB = 1.5
CT_LEAD_DEG = 1.4
SKEW_S = 0.00002
# MID 2014/32/EU annex V, class B: starting current at most 4 %, minimum at most 50 %, maximum at
# least 50 times the transitional current.
STARTING_A = 0.04
MINIMUM_A = 0.25  # at 0.1 A, noise alone is 1 % of 100 s: 5 of 200 histories were beyond 2 %
TRANSITIONAL_A = 1
MAXIMUM_A = 60
CURRENTS_A = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60)

# What the mains do: phase_deg by which the current lags, harmonics of the current as (order,
# part), wander of both offsets in counts.
Mains = namedtuple("Mains", ("name", "phase_deg", "volts", "hertz", "harmonics", "wander"))
UGLY = ((3, 0.3), (5, 0.2))
CONDITIONS = (
    Mains("PF 1", 0, 230, 50, (), 0),
    Mains("PF 0.5 lag", 60, 230, 50, (), 0),
    Mains("PF 0.8 lead", -36.87, 230, 50, (), 0),
    Mains("export", 180, 230, 50, (), 0),
    Mains("PF 1, 0.9 Un, 49.5 Hz", 0, 207, 49.5, (), 0),
    Mains("PF 0.5, 0.9 Un, 49.5 Hz", 60, 207, 49.5, (), 0),
    Mains("PF 0.5, 1.1 Un, 50.5 Hz", 60, 253, 50.5, (), 0),
    Mains("harmonics", 0, 230, 50.1, UGLY, 0),
    Mains("PF 0.5, harmonics", 60, 230, 49.9, UGLY, 0),
    Mains("PF 0.8 lead, offset wandering", -36.87, 230, 50, (), 10),
)
VOLTAGE_HARMONICS = ((5, 0.03),)  # with harmonics in the current only


def limit_percent(current_a: float) -> float:
    """The error that class B allows (MID 2014/32/EU annex V table 2); 0 where it asks nothing."""
    if current_a < MINIMUM_A:
        return 0
    return 2 if current_a < TRANSITIONAL_A else 1


def a_window(
    mains: Mains, current_a: float, begin_s: float, pairs: int = PAIRS
) -> "tuple[array[int], array[int]]":
    """Samples (voltages, currents) of one window that begins begin_s into the history."""
    volts = [(1, 0.0, mains.volts * 1_414_213.6 / 270_000)]
    amps = [(1, math.radians(CT_LEAD_DEG), current_a * 1_414_213.6 / 65_300)]
    for order, part in VOLTAGE_HARMONICS if mains.harmonics else ():
        volts.append((order, 0.0, volts[0][2] * part))
    for order, part in mains.harmonics:
        amps.append((order, amps[0][1] / order, amps[0][2] * part))
    turn = 2 * math.pi * mains.hertz
    lag = math.radians(mains.phase_deg)
    v, i = array("H", bytes(2 * pairs)), array("H", bytes(2 * pairs))
    for n in range(pairs):
        at_s = begin_s + n / 1000
        zero = 1437.5 + mains.wander * math.sin(1.257 * at_s)  # 0.2 Hz
        angle, lagging = turn * at_s, turn * (at_s + SKEW_S) - lag
        x, y = noise(), noise()
        for order, lead, peak in volts:
            x += peak * math.sin(order * angle + lead)
        for order, lead, peak in amps:
            y += peak * math.sin(order * lagging + lead)
        v[n] = min(max(int(zero + x), 0), 4095)
        i[n] = min(max(int(zero + y), 0), 4095)
    return v, i


def noise() -> float:
    """Nearly normal, of NOISE_LSB."""
    four = [chance() for _ in range(4)]
    return (sum(four) - 2) * 1.7320508 * NOISE_LSB


def true_mw(mains: Mains, current_a: float) -> float:
    """Real power of the mains without any noise."""
    lag = math.radians(mains.phase_deg)
    power = math.cos(lag)
    for order, part in VOLTAGE_HARMONICS:
        power += part * dict(mains.harmonics).get(order, 0) * math.cos(order * lag)
    return float(power * mains.volts * current_a * 1000)


def windows_of(
    mains: Mains, current_a: float, count: int, settings: "Any" = SETTINGS, seed: int = 1
) -> "list[Any]":
    """What the meter makes of count windows at random moments."""
    replay(seed)
    meter = Metrology(calibration.parse(settings))
    begins_s = [10 * chance() for _ in range(count)]
    return [meter.take(a_window(mains, current_a, begin_s), PAIRS) for begin_s in begins_s]


def error_percent(mains: Mains, current_a: float, count: int, seed: int = 1) -> float:
    """Error of the energy over count windows."""
    windows = windows_of(mains, current_a, count, seed=seed)
    mean_mw: float = sum([window.power_mw for window in windows]) / count
    return (mean_mw / true_mw(mains, current_a) - 1) * 100


def enough_windows(current_a: float) -> int:
    """So many that noise does not hide the error: at two a second, 100 s at the least current."""
    return 200 if current_a < TRANSITIONAL_A else 40
