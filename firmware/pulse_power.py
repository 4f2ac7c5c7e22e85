"""Power from the time between pulses, in integers; for showing, never for the register."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

POWER_TIMEOUT_MS = 300_000  # no pulse for so long reads 0 W: below 12 W at 1000 imp/kWh
_W_MS_PER_KWH = 3_600_000_000  # 1 kWh in W times ms


class PulsePower:
    """Power of one channel. ticks_diff(later, earlier) is the clock's, right across a wrap.

    P = 3.6e9 * pulses / (imp/kWh * ms between them). While none comes, the power can be at most
    what one pulse in the time since would be, so it decays along that bound: it neither stands
    still nor falls to 0 between two pulses of a small load.
    """

    def __init__(self, imp_per_kwh: int, ticks_diff: "Callable[[int, int], int]") -> None:
        self._imp_per_kwh = imp_per_kwh
        self._ticks_diff = ticks_diff
        self._known = False  # whether _last_ms is the time of a pulse at all
        self._last_ms = 0
        self._last_w = 0
        self._waiting = 0  # pulses seen at the same millisecond as the last one

    def seen(self, pulses: int, ticks_ms: int) -> None:
        """A look found `pulses` more. ticks_ms: when it looked, or when the newest of them came.

        The first after a silence of POWER_TIMEOUT_MS tells no power yet: how long it took is not
        known, and one pulse within one look would read as kilowatts.
        """
        if not pulses:
            return
        self.power_w(ticks_ms)  # forgets what is too old
        if self._known:
            passed_ms = self._ticks_diff(ticks_ms, self._last_ms)
            if passed_ms <= 0:
                self._waiting += pulses
                return
            self._last_w = self._bound_w(pulses + self._waiting, passed_ms)
        self._known = True
        self._last_ms = ticks_ms
        self._waiting = 0

    def power_w(self, ticks_ms: int) -> int:
        """Watts at ticks_ms, the time of the newest look. Call it at least once in six days."""
        if not self._known:
            return 0
        passed_ms = self._ticks_diff(ticks_ms, self._last_ms)
        if passed_ms >= POWER_TIMEOUT_MS:
            self._known = False
            self._last_w = self._waiting = 0
            return 0
        if passed_ms <= 0:
            return self._last_w
        return min(self._last_w, self._bound_w(1, passed_ms))

    def _bound_w(self, pulses: int, passed_ms: int) -> int:
        return _W_MS_PER_KWH * pulses // (self._imp_per_kwh * passed_ms)


def net_power_w(imported: PulsePower, exported: PulsePower, ticks_ms: int) -> int:
    """Import minus export in W: positive from the grid, negative to the grid."""
    return imported.power_w(ticks_ms) - exported.power_w(ticks_ms)
