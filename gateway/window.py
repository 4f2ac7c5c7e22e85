"""The replay window of one meter, key epoch and direction: which frame counters were seen.

As RFC 4303 section 3.4.3 (anti-replay window), with the highest counter and 64 bits below it.
"""

from __future__ import annotations

WINDOW_FRAMES = 64
_FULL = (1 << WINDOW_FRAMES) - 1

NEW, SEEN, BELOW = "new", "seen", "below"


class Window:
    """Counters seen. `highest` is -1 before the first; bit i of `bits` is counter highest - i."""

    __slots__ = ("bits", "highest")

    def __init__(self, highest: int = -1, bits: int = 0) -> None:
        assert highest >= -1
        assert 0 <= bits <= _FULL
        self.highest = highest
        self.bits = bits

    def look(self, counter: int) -> str:
        """NEW, SEEN or BELOW the window; changes nothing."""
        behind = self.highest - counter
        if behind < 0:
            return NEW
        if behind >= WINDOW_FRAMES:
            return BELOW
        return SEEN if self.bits >> behind & 1 else NEW

    def mark(self, counter: int) -> None:
        """Remember a counter that `look` called NEW and whose frame opened."""
        behind = self.highest - counter
        assert behind < WINDOW_FRAMES
        if behind == -1:  # the next in order, as nearly all are
            self.bits = (self.bits << 1 | 1) & _FULL
            self.highest = counter
            return
        if behind >= 0:
            self.bits |= 1 << behind
            return
        # A jump past the window empties it; shifting by a 64-bit distance would not end well.
        self.bits = self.bits << -behind & _FULL if -behind < WINDOW_FRAMES else 0
        self.bits |= 1
        self.highest = counter

    def contiguous(self) -> int:
        """Highest counter with nothing unseen below it; -1 for none.

        Counters that fell out of the window are given up: they could no longer be accepted.
        """
        if self.bits == _FULL:
            return self.highest
        inside = min(self.highest + 1, WINDOW_FRAMES)
        unseen = ~self.bits & ((1 << inside) - 1)
        if not unseen:
            return self.highest
        return self.highest - unseen.bit_length()
