"""Waiting longer after each failure, with jitter so that a thousand meters do not call at once."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DOUBLINGS_MAX = 20


class Backoff:
    """Delays between half and all of base * 2^failures, at most max_ms. rng(n) gives 0..n-1."""

    def __init__(self, base_ms: int, max_ms: int, rng: "Callable[[int], int]") -> None:
        assert 1 < base_ms <= max_ms
        self._base_ms = base_ms
        self._max_ms = max_ms
        self._rng = rng
        self._failures = 0

    def next_ms(self) -> int:
        """The next delay; each is about twice the one before."""
        whole_ms = min(self._base_ms << self._failures, self._max_ms)
        self._failures = min(self._failures + 1, _DOUBLINGS_MAX)
        return whole_ms - self._rng(whole_ms // 2)

    def reset(self) -> None:
        """It worked: start from base again."""
        self._failures = 0
