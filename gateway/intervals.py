"""Which load profile intervals of one meter are safe: the number a receipt may settle up to."""

from __future__ import annotations

import struct

RANGES_MAX = 64  # islands remembered beyond the first gap; more are not, and the meter resends


class Intervals:
    """Meters number their intervals 1, 2, 3 ... for life; `upto` has none missing below it."""

    __slots__ = ("given_up", "islands", "upto")

    def __init__(self, upto: int = 0, islands: list[tuple[int, int]] | None = None) -> None:
        self.upto = upto
        self.given_up: list[tuple[int, int]] = []  # below `oldest`, never seen (backfill.py)
        self.islands = islands or []  # ascending, apart, (first, last) both inclusive

    def add(self, first: int, count: int, oldest: int) -> None:
        """Take intervals first .. first + count - 1 from a meter that holds `oldest` upwards.

        Numbers below `oldest` are settled or gone from the meter: waiting for them is in vain.
        """
        assert oldest <= first
        last = first + count - 1
        if first == self.upto + 1 and not self.islands:  # the next in order, as nearly all are
            self.upto = last
            return
        if oldest - 1 > self.upto:
            self._give_up(oldest - 1)
        if first <= self.upto + 1:
            self.upto = max(self.upto, last)
        elif count:
            self._keep(first, last)
        if self.islands:
            self._join()

    def _give_up(self, last: int) -> None:
        """Wait for nothing up to `last`; remember what of it never came."""
        first = self.upto + 1
        for low, high in self.islands:
            if low > last:
                break
            if first < low:
                self.given_up.append((first, low - 1))
            first = high + 1
        if first <= last:
            self.given_up.append((first, last))
        del self.given_up[:-RANGES_MAX]
        self.upto = last

    def _keep(self, first: int, last: int) -> None:
        apart = []
        for low, high in self.islands:
            if high + 1 < first or low > last + 1:
                apart.append((low, high))
            else:
                first, last = min(first, low), max(last, high)
        if len(apart) < RANGES_MAX:
            apart.append((first, last))
        self.islands = sorted(apart)

    def _join(self) -> None:
        while self.islands and self.islands[0][0] <= self.upto + 1:
            self.upto = max(self.upto, self.islands.pop(0)[1])

    def to_bytes(self) -> bytes:
        flat = [number for island in self.islands for number in island]
        return struct.pack(f">{len(flat)}Q", *flat)

    @classmethod
    def from_bytes(cls, upto: int, data: bytes) -> Intervals:
        """Raises struct.error when `data` is not what to_bytes wrote."""
        flat = struct.unpack(f">{len(data) // 8}Q", data)
        return cls(upto, list(zip(flat[::2], flat[1::2], strict=True)))
