"""Power-cut torture: cuts the supply at every flash operation of a history, in all six shapes.

How to use it, in a dual test:

    def work(flash, count, done):            # what a start of the meter does with its flash
        ring = Ring(flash, 0, 4, 24)         # open it as every start does;
        done.append(ring.newest)             # what a start has found must not go away again;
        for _ in range(count):               # then do `count` durable things
            sequence = ring.append(payload_of(ring.newest + 1))
            done.append(sequence)            # only now: it is durable, so it must never be lost

    def check(flash, done):                  # what a start must find; it may write to this copy
        ring = Ring(flash, 0, 4, 24)
        last = done[-1] if done else 0
        assert last <= ring.newest <= last + 1

    torture(work, check, count=70, blocks=4, block_bytes=256)

The history runs once. Right before each program and erase it is forked: for each shape that
operation is done on a copy of the flash as far as the shape goes, and the copy starts again:
`check`, then `work` for `more` operations (itself forked at its first `again` flash operations: a
second cut while recovering), then `check`. No exception passes through the code under test, as
none does on the chip.

`done` is a list of the test's own. Each fork gets a shallow copy of it as it is at the cut: put
into it all that the next `work` needs to go on (what the pulse counters show, say), as values
that are not changed later. The operation that was cut may count or not: `check` must allow both,
and nothing else. `begin` may fill the flash first; give it `done` entries of the same kind.
"""

from collections import namedtuple

from tests.support.fake_flash import BLOCK_BYTES, CUT_SHAPES, FakeFlash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Done = list[Any]
    Work = Callable[[FakeFlash, int, Done], None]
    Check = Callable[[FakeFlash, Done], None]

# cuts: forks tried; operations: of the history; records: durable things done; erases: for them
Tortured = namedtuple("Tortured", ("cuts", "operations", "records", "erases"))


def torture(
    work: "Work",
    check: "Check",
    count: int,
    blocks: int,
    block_bytes: int = BLOCK_BYTES,
    begin: "Callable[[FakeFlash, Done], None] | None" = None,
    more: int = 3,
    again: int = 2,
    every: int = 1,
) -> Tortured:
    """Cut `count` operations of `work` everywhere; gives what was tried. Fails as `check` does.

    begin(flash, done) brings the flash to where the cuts begin. every: cut at each n-th operation
    only, for long histories; leave it at 1 for a promise.
    """
    flash = FakeFlash(blocks, block_bytes=block_bytes)
    done: Done = []
    if begin is not None:
        begin(flash, done)
        flash = flash.after_power_on()
    before = len(done)
    forks = _Forks(work, check, more, again, every)
    forks.run(flash, count, done)
    check(flash.after_power_on(), done)
    return Tortured(forks.cuts, flash.operations, len(done) - before, sum(flash.erases))


class _Forks:
    """Goes on from every cut of a history. `again`: at how many operations it is cut once more."""

    def __init__(
        self, work: "Work", check: "Check", more: int, again: int, every: int, at_most: int = 0
    ) -> None:
        self._work = work
        self._check = check
        self._more = more
        self._again = again
        self._every = every
        self._at_most = at_most  # cut only at so many operations; 0: at all of them
        self.cuts = 0

    def run(self, flash: FakeFlash, count: int, done: "Done") -> None:
        """Run the history, cutting it as it goes."""

        def cut(operation: int, after: "Callable[[str], FakeFlash]") -> None:
            if operation % self._every or (self._at_most and operation >= self._at_most):
                return
            for shape in CUT_SHAPES:
                self._go_on(after(shape), done, operation, shape)

        flash.before_operation = cut
        self._work(flash, count, done)
        flash.before_operation = None

    def _go_on(self, flash: FakeFlash, done: "Done", operation: int, shape: str) -> None:
        self.cuts += 1
        done = list(done)
        try:
            self._check(flash.after_power_on(), done)
            if self._again:
                forks = _Forks(self._work, self._check, self._more, 0, 1, self._again)
                forks.run(flash, self._more, done)
                self.cuts += forks.cuts
            else:
                self._work(flash, self._more, done)
            self._check(flash.after_power_on(), done)
        except Exception:
            print("cut at operation", operation, "in shape", shape, "after", len(done), "done")
            raise
