"""Current transformers and voltage sensors on the ESP32's own converter, as pulses of energy.

Bursts of BURST_MS at most, with the rest of the time left to the network: power is taken as that
of the newest burst until the next. How many samples a second the chip manages was not measured;
a burst that cannot keep its pitch is refused and counted, so a pitch too fast shows itself.
"""

from array import array

from firmware.board import BLOCKING_MS_MAX, Measured
from firmware.metrology import COUNT_WIDTH, Energy, Metrology
from wire.quality import ESTIMATED_VA, GAP, IMPLAUSIBLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BURST_MS = 220  # ten whole cycles also at 47 Hz
PAUSE_MS = 280  # between bursts: two a second
LATE_MAX = 4  # samples of a burst that came over half a pitch late
HOLD_MS_MAX = BLOCKING_MS_MAX  # how long one burst's power is taken to last
ADC1_PINS = (32, 33, 34, 35, 36, 39)


def open_adcs(pins: "list[int]") -> "list[Any]":
    """Converters of an ESP32 on these pins, 12 bits, 11 dB (linear 150 to 2450 mV).

    Raises ValueError for a pin that is not on ADC1: Wi-Fi has ADC2 (pins 0, 2, 4, 12-15, 25-27).
    """
    from machine import ADC, Pin

    for pin in pins:
        if pin not in ADC1_PINS:
            raise ValueError("pin " + str(pin) + ": only ADC1 (32-36, 39) works beside Wi-Fi")
    return [ADC(Pin(pin), atten=ADC.ATTN_11DB) for pin in pins]


def fill(adcs, samples, count: int, pitch_us: int, time) -> int:
    """Read count rows, pitch_us apart, into samples; gives how many rows were late.

    A row is one sample of each converter in turn. read_u16 of the ESP32 carries 12 bits; read_uv,
    in steps of 1000 uV, is coarser. Stops one late row above LATE_MAX. The loop allocates nothing.
    """
    ticks_us, ticks_diff = time.ticks_us, time.ticks_diff
    reads = [adc.read_u16 for adc in adcs]
    channels = len(reads)
    late = 0
    due = ticks_us()
    for row in range(count):
        behind = ticks_diff(ticks_us(), due)
        while behind < 0:
            behind = ticks_diff(ticks_us(), due)
        if behind * 2 > pitch_us:
            late += 1
            if late > LATE_MAX:
                break
        for channel in range(channels):
            samples[channel][row] = reads[channel]() >> 4
        due = time.ticks_add(due, pitch_us)
    return late


class CtInput:
    """firmware.board.Pulses, import and export, from bursts of samples; and Sensors.measured.

    `time` is MicroPython's module; `fill` may be a board's own faster one. `bursts` and
    `bursts_refused` count. `flags` belong to what the last read() gave.
    """

    channels = (1, 2)
    width = COUNT_WIDTH
    kept = False

    def __init__(self, adcs, calibration, imp_per_kwh: int, time, fill=fill) -> None:
        self._metrology = Metrology(calibration)
        per_phase = 2 if self._metrology.has_voltage else 1
        if len(adcs) != per_phase * len(calibration.phases):
            raise ValueError("as many converters as the calibration has sensors")
        self._adcs = adcs
        self._pitch_us = calibration.pitch_us
        self._rows = BURST_MS * 1000 // calibration.pitch_us
        self._samples = [array("H", bytes(2 * self._rows)) for _ in adcs]
        self._energy = Energy(imp_per_kwh)
        self._time = time
        self._fill = fill
        self._estimated = 0 if self._metrology.has_voltage else ESTIMATED_VA
        self._seen = 0
        self._window: Any = None
        self._counted_ms = time.ticks_ms()
        self.flags = self._estimated
        self.bursts = 0
        self.bursts_refused = 0

    def sample(self) -> None:
        """One burst, taken into account. Lasts BURST_MS and the reckoning."""
        self.bursts += 1
        try:
            late = self._fill(self._adcs, self._samples, self._rows, self._pitch_us, self._time)
        except OSError:  # the converter gave no sample in time
            late = LATE_MAX + 1
        if late > LATE_MAX:
            self.bursts_refused += 1
            return
        self._window = self._metrology.take(self._samples, self._rows)
        if self._window.clipped:
            self._seen |= IMPLAUSIBLE
        self._count()

    async def run(self, clock) -> None:
        """Sample for ever beside the meter's own tasks."""
        while True:
            self.sample()
            await clock.pause_ms(PAUSE_MS)

    def read(self) -> "tuple[int, ...]":
        """Counts modulo width."""
        self.flags = self._estimated | self._seen
        self._seen = 0
        return tuple(self._energy.counts)

    def measured(self) -> "Measured | None":
        """The newest window; None before the first."""
        window = self._window
        if window is None:
            return None
        power_w = (window.power_mw + 500) // 1000
        return Measured(power_w, window.voltage_mv, window.current_ma, window.frequency_mhz)

    def _count(self) -> None:
        """Let the newest window's power stand for the time since the one before.

        Time beyond HOLD_MS_MAX is not guessed at: it is missing, and flagged so.
        """
        now_ms = self._time.ticks_ms()
        passed_ms = self._time.ticks_diff(now_ms, self._counted_ms)
        self._counted_ms = now_ms
        if not 0 <= passed_ms <= HOLD_MS_MAX:
            self._seen |= GAP
            passed_ms = HOLD_MS_MAX if passed_ms > 0 else 0
        self._energy.add(self._window.power_mw, passed_ms)
