"""Checks of current transformers: their zero in mid-scale, and the sign of a resistive load."""

from __future__ import annotations

import math
from typing import NamedTuple

from host_tools.checks.case import Case
from host_tools.checks.checked import Check, Checked

SAMPLED_US = 200_000  # ten cycles of 50 Hz
ROWS_MIN = 100  # ten a cycle
FULL = 4095
MIDDLE = 2048  # of 12 bits: sensors are biased to half of 3.3 V
# The ESP32's own converter reads half of 3.3 V as 1850 to 2100 from chip to chip.
ZERO_COUNTS_MAX = 300
NOISE_COUNTS = 8.0  # RMS up to here is noise, and no current
FACTOR_MIN = 0.9  # of a kettle or a heater
_CONVERTER = {
    "no_current": "nothing: this board has no pin for a current transformer",
    "converter": "press reset (EN) and run it again: the converter is too slow",
}
CT_ZERO = Check(
    "ct_zero",
    "with no current or any, the mean of the samples is half of full scale, and none is clipped",
    f"the mean is {MIDDLE} within {ZERO_COUNTS_MAX} counts, on every sensor",
    {
        **_CONVERTER,
        "off_centre": "check the two bias resistors, and that the sensor is plugged in",
        "clipped": "take a smaller burden resistor, or a transformer for more current",
    },
)
CT_PHASE = Check(
    "ct_phase",
    "with a resistive load alone (a kettle), power is positive: the transformer faces the house",
    f"the power factor is {FACTOR_MIN} or more",
    {
        **_CONVERTER,
        "no_voltage": "nothing: without a voltage sensor the direction cannot be told",
        "no_load": "switch on a kettle or a heater on this phase, and run it again",
        "reversed": "turn the transformer round: its arrow points towards the house",
        "other_phase": "clamp it on the phase that the voltage sensor is plugged into, and switch"
        " off everything but the kettle",
    },
)
_SAMPLES = """
import json,time
from machine import ADC,Pin
a=[ADC(Pin(g),atten=ADC.ATTN_11DB).read_u16 for g in PINS]
n=len(a)
s=[0]*n
q=[0]*n
lo=[FULL]*n
hi=[0]*n
x=rows=0
d=time.ticks_us()
while time.ticks_diff(time.ticks_us(),d)<SAMPLED_US:
 rows+=1
 r=[f()>>4 for f in a]
 for i in range(n):
  v=r[i]
  s[i]+=v
  q[i]+=v*v
  if v<lo[i]:
   lo[i]=v
  if v>hi[i]:
   hi[i]=v
 if n>1:
  x+=r[0]*r[1]
print(json.dumps([s,q,x,lo,hi,rows]))
"""


class Sampled(NamedTuple):
    """Sums over all rows of samples; the first sensor is the current, the second the voltage."""

    sums: list[int]
    squares: list[int]
    product: int
    lows: list[int]
    highs: list[int]
    rows: int

    def mean(self, at: int) -> float:
        """Of a sensor's samples, in counts."""
        return self.sums[at] / max(1, self.rows)

    def rms(self, at: int) -> float:
        """Of a sensor's samples about their mean, in counts."""
        return math.sqrt(max(0.0, self.squares[at] / max(1, self.rows) - self.mean(at) ** 2))

    @property
    def factor(self) -> float:
        """The power factor, with the sign of the power; needs both sensors."""
        power = self.product / max(1, self.rows) - self.mean(0) * self.mean(1)
        return power / max(1e-9, self.rms(0) * self.rms(1))


def sample(case: Case) -> tuple[list[str], Sampled | None]:
    """Which sensors the board has pins for, and their samples; None without a current pin.

    Raises DeviceError.
    """
    profile = case.facts.profile
    pins = dict(profile.pins) if profile is not None else {}
    names = [name for name in ("current", "voltage") if pins.get(name) is not None]
    if "current" not in names:
        return names, None
    each = (0,) * len(names)
    said = case.ask(
        _SAMPLES, (each, each, 0, each, each, 0), PINS=[pins[name] for name in names],
        SAMPLED_US=SAMPLED_US, FULL=FULL,
    )  # fmt: skip
    return names, Sampled(*said)


def ct_zero(names: list[str], found: Sampled | None) -> Checked:
    """The bias of each sensor."""
    if found is None:
        return CT_ZERO.unknown("no_current", "no current transformer")
    means = {name: round(found.mean(at)) for at, name in enumerate(names)}
    told = ", ".join(f"{name} {mean}" for name, mean in means.items()) + f" of {FULL}"
    if found.rows < ROWS_MIN:
        return CT_ZERO.unknown("converter", f"{found.rows} samples, too few", means=means)
    if any(abs(mean - MIDDLE) > ZERO_COUNTS_MAX for mean in means.values()):
        return CT_ZERO.bad("off_centre", told, means=means)
    if any(low <= 0 for low in found.lows) or any(high >= FULL for high in found.highs):
        return CT_ZERO.bad("clipped", f"{told}, clipped", means=means)
    return CT_ZERO.good(told, means=means)


def ct_phase(names: list[str], found: Sampled | None) -> Checked:
    """Which way the power flows."""
    if found is None:
        return CT_PHASE.unknown("no_current", "no current transformer")
    if "voltage" not in names:
        return CT_PHASE.unknown("no_voltage", "no voltage sensor")
    if found.rows < ROWS_MIN:
        return CT_PHASE.unknown("converter", f"{found.rows} samples, too few")
    current, voltage = found.rms(0), found.rms(1)
    told = f"current {current:.0f}, voltage {voltage:.0f} counts RMS"
    if current <= NOISE_COUNTS or voltage <= NOISE_COUNTS:
        return CT_PHASE.unknown("no_load", told)
    factor = round(found.factor, 3)
    told += f", power factor {factor:.2f}"
    if factor >= FACTOR_MIN:
        return CT_PHASE.good(told, factor=factor)
    return CT_PHASE.bad("reversed" if factor <= -FACTOR_MIN else "other_phase", told, factor=factor)
