"""The ESP32's own clock and ticks, as firmware.board.Clock."""

import asyncio
import time

import machine

from firmware.clock import EPOCH_2000_S, Uptime, WallClock

TICK_S = 1  # a capacitor may keep the meter alive for little more, to say its last


LIFTED_MS = 15_000  # longer than a whole connect; then the RTC is what it was


class RealClock:
    """Real time. What it is set to goes to the chip's RTC, so that resets keep it.

    mbedtls judges certificates by the RTC. While the time is unknown, `lift` sets that to the
    newest time known to be past, for one handshake, and the meter's own time stays unknown. A
    reset within these LIFTED_MS would take it for the time, until the next receipt.
    """

    tick_s = TICK_S

    def __init__(self) -> None:
        self._epoch_year = time.gmtime(0)[0]
        self._wall = WallClock(time.time, self._epoch_year)
        self._uptime = Uptime(self)
        self._least_s = 0
        self._lifted_ms: int | None = None

    def now_s(self) -> "int | None":
        """UTC seconds since 1970; None while the time is not known."""
        if self._lifted_ms is None:
            return self._wall.now_s()
        if self.ticks_diff(self.ticks_ms(), self._lifted_ms) >= LIFTED_MS:
            self._lifted_ms = None
            self._set_rtc(EPOCH_2000_S + self.uptime_s())  # unknown again
        return None

    def not_before(self, unix_s: int) -> None:
        """No right time is before this."""
        self._least_s = unix_s

    def lift(self) -> None:
        """Before a TLS handshake: let certificates be judged by what is known of the time."""
        if self.now_s() is None and self._least_s:
            self._set_rtc(self._least_s)
            self._lifted_ms = self.ticks_ms()

    def set(self, unix_s: int) -> bool:
        """Make it unix_s now; False for a time that nobody can mean."""
        if unix_s == self.now_s():
            return True  # the RTC's fraction of a second is better than none
        if not self._wall.set(unix_s):
            return False
        self._lifted_ms = None
        self._set_rtc(unix_s)
        self._wall = WallClock(time.time, self._epoch_year)  # its seconds are right by now
        return True

    def _set_rtc(self, unix_s: int) -> None:
        port_s = unix_s - (EPOCH_2000_S if self._epoch_year == 2000 else 0)
        year, month, day, hour, minute, second, weekday = time.gmtime(port_s)[:7]
        machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))

    def ticks_ms(self) -> int:
        """Milliseconds, wrapping."""
        return time.ticks_ms()

    def ticks_diff(self, later: int, earlier: int) -> int:
        """Milliseconds from earlier to later."""
        return time.ticks_diff(later, earlier)

    def uptime_s(self) -> int:
        """Seconds since this start."""
        return self._uptime.s()

    async def sleep_s(self, duration_s: int) -> None:
        """Let metered time pass."""
        await asyncio.sleep_ms(duration_s * 1000)

    async def pause_ms(self, duration_ms: int) -> None:
        """Let real time pass."""
        await asyncio.sleep_ms(duration_ms)
