"""How fast one meter may send, over a burst: beyond it is read more slowly, and nothing is lost.

The generic cell rate algorithm (ITU-T I.371, virtual scheduling) instead of a bucket with tokens:
one number a meter, and nothing to refill. Pure: time is passed in.
"""

from __future__ import annotations

from gateway.meter import Meter

_ROUNDING_S = 1e-6  # a burst of exactly its size is not above it


class Pace:
    """Frames a second of one meter in the long run, and how many at once."""

    __slots__ = ("_burst_s", "_frame_s")

    def __init__(self, frames_per_second: int, frames_burst: int) -> None:
        self._frame_s = 1 / frames_per_second
        self._burst_s = frames_burst / frames_per_second

    def after(self, meter: Meter, frames: int, now: float) -> float:
        """Note frames that came at `now`; seconds for which the meter is not read, 0 for none."""
        paced_s = meter.paced_s
        meter.paced_s = paced_s = (paced_s if paced_s > now else now) + frames * self._frame_s
        ahead_s = paced_s - now - self._burst_s
        return ahead_s if ahead_s > _ROUNDING_S else 0.0


UNLIMITED = Pace(1_000_000_000, 1_000_000_000)
