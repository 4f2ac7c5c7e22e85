"""An ESP32's converter and clock for tests, with their documented faults; runs on every Python."""

import math
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TICKS_US = 1 << 28  # these ticks wrap here, below 31 bits, as those of MicroPython do at 2^30
READ_US = 40
UV_PER_COUNT = 806  # of an ESP32 at 11 dB, and 142 mV at count 0


class FakeTime:
    """MicroPython's time, about to wrap; every look at it takes look_us."""

    def __init__(self, look_us: int = 100) -> None:
        self.us = TICKS_US - 50_000
        self.look_us = look_us

    def ticks_us(self) -> int:
        self.us += self.look_us
        return self.us % TICKS_US

    def ticks_ms(self) -> int:
        return self.us // 1000

    def ticks_add(self, ticks: int, delta: int) -> int:
        return (ticks + delta) % TICKS_US

    def ticks_diff(self, later: int, earlier: int) -> int:
        half = TICKS_US // 2
        return (later - earlier + half) % TICKS_US - half


class FakeAdc:
    """One converter of an ESP32 at 11 dB, reading a sine around 1300 mV.

    Its faults: dead below 150 mV, flat above 2450 mV, noise of `noise` counts, read_uv in steps of
    1000 uV, and, when `stall_us` has some, reads that take longer or (None) never succeed.
    """

    def __init__(
        self, time: FakeTime, rms_counts: float, noise: int = 0, lag_deg: float = 0
    ) -> None:
        self.time = time
        self.peak_mv = rms_counts * math.sqrt(2) * UV_PER_COUNT / 1000
        self.noise = noise
        self.lag = math.radians(lag_deg)
        self.stall_us: list[int | None] = []
        self.reads = 0

    def _mv(self) -> float:
        self.reads += 1
        stall_us = self.stall_us.pop(0) if self.stall_us else 0
        if stall_us is None:
            raise OSError("ESP_ERR_TIMEOUT")
        self.time.us += READ_US + stall_us
        angle = 2 * math.pi * 50 * self.time.us / 1_000_000 - self.lag
        jitter = (self.reads * 48271 % 65537 / 65537 - 0.5) * self.noise * UV_PER_COUNT / 1000
        return 1300 + self.peak_mv * math.sin(angle) + jitter

    def read_u16(self) -> int:
        mv = self._mv()
        if mv > 2450:
            mv = 2450 + (mv - 2450) / 4
        count = 0 if mv < 150 else min(int((mv - 142) * 1000 / UV_PER_COUNT), 4095)
        return count << 4 | count >> 8

    def read_uv(self) -> int:
        return int(self._mv()) * 1000


class FakePin:
    """A pin that only knows its number."""

    def __init__(self, number: int) -> None:
        self.number = number


class FakeMachineAdc:
    """machine.ADC, as far as opening one goes."""

    ATTN_11DB = 3

    def __init__(self, pin: FakePin, atten: int) -> None:
        self.pin = pin
        self.atten = atten


class FakeMachine:
    """The module `machine` of a chip."""

    ADC = FakeMachineAdc
    Pin = FakePin


def with_machine(call: "Any", *arguments: "Any") -> "Any":
    """Calls with the chip's `machine` in place."""
    before = sys.modules.get("machine")
    sys.modules["machine"] = FakeMachine  # type: ignore[assignment]
    try:
        return call(*arguments)
    finally:
        if before is None:
            del sys.modules["machine"]
        else:
            sys.modules["machine"] = before
