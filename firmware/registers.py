"""Pulses become watt-hours: two registers that only grow, in integers alone."""

from firmware.board import PULSE_WIDTH_MAX

CHANNELS = 2
IMP_PER_KWH_MIN = 1
IMP_PER_KWH_MAX = 100000
REGISTER_WH_MAX = (1 << 40) - 1
_WH_PER_KWH = 1000


class Registers:
    """Import and export register in Wh, with what is left of a Wh carried to the next pulse.

    Raw counts are read modulo `width` and never reset: the difference to the last reading is what
    was counted, also across a wrap.
    """

    def __init__(self, imp_per_kwh: int, width: int) -> None:
        assert IMP_PER_KWH_MIN <= imp_per_kwh <= IMP_PER_KWH_MAX
        assert 1 < width <= PULSE_WIDTH_MAX
        self._imp_per_kwh = imp_per_kwh
        self._width = width
        self.wh = [0] * CHANNELS
        self.remainders = [0] * CHANNELS  # thousandths of a pulse's worth: below imp_per_kwh
        self.raw = [0] * CHANNELS

    def restore(self, wh, remainders, raw) -> None:
        """Continue from saved values. A remainder of another imp/kWh is given up (below 1 Wh)."""
        for channel in range(CHANNELS):
            self.wh[channel] = wh[channel]
            self.remainders[channel] = min(remainders[channel], self._imp_per_kwh - 1)
            self.raw[channel] = raw[channel] % self._width

    def count(self, raw) -> int:
        """Add what was counted since the last reading; gives the Wh added, both registers."""
        added_wh = 0
        for channel in range(CHANNELS):
            assert 0 <= raw[channel] < self._width
            pulses = (raw[channel] - self.raw[channel]) % self._width
            energy = pulses * _WH_PER_KWH + self.remainders[channel]
            self.raw[channel] = raw[channel]
            self.remainders[channel] = energy % self._imp_per_kwh
            self.wh[channel] += energy // self._imp_per_kwh
            added_wh += energy // self._imp_per_kwh
            assert self.wh[channel] <= REGISTER_WH_MAX
        return added_wh
