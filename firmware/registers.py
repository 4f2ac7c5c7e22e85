"""Pulses become watt-hours: registers that only grow, each kept by zone too, in integers alone."""

from firmware.board import CHANNELS_MAX, PULSE_WIDTH_MAX
from wire import obis

IMP_PER_KWH_MIN = 1
IMP_PER_KWH_MAX = 100000
REGISTER_WH_MAX = (1 << 40) - 1
ZONES = 4  # T1 to T4: OBIS x.8.1 to x.8.4
ZONED = (obis.IMPORT_WH, obis.EXPORT_WH)  # the channels that have a register for each zone
_WH_PER_KWH = 1000


class Registers:
    """A register in Wh for each channel, with what is left of a Wh carried to the next pulse.

    `channels` are short OBIS codes; wh, remainders and raw are in their order. zones_wh has a row
    of ZONES registers for import and one for export (zeros where there is no such channel); each
    row sums to its register, always. Raw counts are read modulo `width` and never reset: the
    difference to the last reading is what was counted, also across a wrap.
    """

    def __init__(self, imp_per_kwh: int, width: int, channels: "tuple[int, ...]" = ZONED) -> None:
        assert IMP_PER_KWH_MIN <= imp_per_kwh <= IMP_PER_KWH_MAX
        assert 1 < width <= PULSE_WIDTH_MAX
        assert 0 < len(channels) <= CHANNELS_MAX
        self._imp_per_kwh = imp_per_kwh
        self._width = width
        self.channels = channels
        self.wh = [0] * len(channels)
        self.remainders = [0] * len(channels)  # thousandths of a pulse's worth: below imp_per_kwh
        self.raw = [0] * len(channels)
        self.zones_wh = [[0] * ZONES for _ in ZONED]

    def restore(self, channel: int, wh: int, remainder: int, raw: int) -> None:
        """Go on from saved values. A remainder of another imp/kWh is given up (below 1 Wh)."""
        self.wh[channel] = wh
        self.remainders[channel] = min(remainder, self._imp_per_kwh - 1)
        self.raw[channel] = raw % self._width

    def other_zones_wh(self) -> "list[int]":
        """T2 to T4 of import, then of export: T1 is what is left of the register."""
        return self.zones_wh[0][1:] + self.zones_wh[1][1:]

    def restore_zones(self, others_wh) -> None:
        """After every channel was restored: put what belongs to no other zone into T1."""
        for channel, code in enumerate(self.channels):
            if code in ZONED:
                row = ZONED.index(code)
                self.zones_wh[row][1:] = others_wh[row * 3 : row * 3 + 3]
                self.zones_wh[row][0] = self.wh[channel] - sum(self.zones_wh[row][1:])

    def raise_to(self, channel: int, wh: int, zone: int) -> None:
        """Lift a register that an interval on flash shows to be too low; it never falls."""
        if self.wh[channel] < wh:
            self._add(channel, wh - self.wh[channel], zone)
            self.remainders[channel] = 0

    def count(self, raw, zone: int = 0) -> int:
        """Add what was counted since the last reading, in zone 0..3; gives the Wh added in all."""
        added_wh = 0
        for channel in range(len(self.channels)):
            assert 0 <= raw[channel] < self._width
            pulses = (raw[channel] - self.raw[channel]) % self._width
            if not pulses:
                continue
            energy = pulses * _WH_PER_KWH + self.remainders[channel]
            self.raw[channel] = raw[channel]
            self.remainders[channel] = energy % self._imp_per_kwh
            self._add(channel, energy // self._imp_per_kwh, zone)
            added_wh += energy // self._imp_per_kwh
        return added_wh

    def _add(self, channel: int, wh: int, zone: int) -> None:
        self.wh[channel] += wh
        assert self.wh[channel] <= REGISTER_WH_MAX
        if self.channels[channel] in ZONED:
            self.zones_wh[ZONED.index(self.channels[channel])][zone] += wh
