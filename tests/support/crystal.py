"""A board's clock with a crystal that is wrong, and the time that passes over it."""

from firmware.clock import Timekeeper
from tests.support.a_meter import NOON_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Crystal:
    """A settable board's clock whose crystal is slow by `ppm`; true time passes in ms.

    It has no ticks at all: the timekeeper cannot depend on them.
    """

    def __init__(self, ppm: int = 0, off_s: "int | None" = 0) -> None:
        self.true_ms = 0
        self.ppm = ppm
        self.off_s = off_s
        self.settable = True
        self.sets: list[int] = []

    def true_s(self) -> int:
        return NOON_S + self.true_ms // 1000

    def now_s(self) -> "int | None":
        return None if self.off_s is None else self.crystal_s() + self.off_s

    def crystal_s(self) -> int:
        return NOON_S + (self.true_ms - self.true_ms * self.ppm // 1_000_000) // 1000

    def set(self, unix_s: int) -> bool:
        self.sets.append(unix_s)
        if self.settable:
            self.off_s = unix_s - self.crystal_s()
        return self.settable

    def pass_s(self, duration_s: int) -> None:
        self.true_ms += duration_s * 1000


def a_timekeeper(ppm: int = 0, off_s: int = 0) -> "tuple[Timekeeper, Crystal]":
    """A timekeeper that has had its first receipt, at the exact time, and its crystal."""
    crystal = Crystal(ppm)
    clock: Any = crystal  # less than a board's: it has no ticks
    keeper = Timekeeper(clock)
    keeper.receipt(crystal.true_s())
    crystal.off_s = off_s
    return keeper, crystal


def a_latency_ms(number: int) -> int:
    """Between 50 and 846 ms, without a pattern."""
    return 50 + (number + 5) ** 3 % 797


def run(
    keeper: Timekeeper,
    crystal: Crystal,
    duration_s: int,
    receipts_each_s: int = 0,
    look_s: int = 60,
) -> int:
    """Time passes with looks, and receipts if asked for; returns the worst error shown, in s."""
    worst_s = 0
    for number in range(1, duration_s // look_s + 1):
        crystal.pass_s(look_s)
        now_s = keeper.now_s()
        assert now_s is not None
        worst_s = max(worst_s, abs(now_s - crystal.true_s()))
        if receipts_each_s and number * look_s % receipts_each_s == 0:
            before_ms = crystal.true_ms
            crystal.true_ms += number**3 % 997  # at no special moment of a second
            time_s = crystal.true_s()
            crystal.true_ms += a_latency_ms(number)
            keeper.receipt(time_s)
            crystal.true_ms = before_ms
    return worst_s
