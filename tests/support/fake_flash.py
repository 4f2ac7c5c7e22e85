"""NOR flash in memory that can lose power at any program or erase operation, in six shapes."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BLOCK_BYTES = 4096

# What the operation that loses power leaves behind: (share of a program, share of an erase).
# The last program shape also leaves one byte with only some of its bits cleared.
CUT_SHAPES = ("none", "third", "half", "all_but_one", "all", "noise")


class PowerCut(Exception):
    """The supply went away in the middle of a flash operation."""


class FakeFlash:
    """MicroPython's extended block device over a bytearray. `cut_at` counts operations from 0.

    before_operation(operation, after), if set, is called before each program and erase;
    after(shape) gives the flash as a power cut of that shape in this operation leaves it.
    """

    def __init__(
        self, blocks: int, image: "bytearray | None" = None, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self.block_bytes = block_bytes
        self.image = bytearray(b"\xff" * (blocks * block_bytes)) if image is None else image
        self.operations = 0
        self.erases = [0] * blocks
        self.cut_at = -1
        self.cut_shape = "none"
        self.weak_bytes: tuple[int, ...] = ()  # image addresses that keep no programmed bit
        self.stuck_blocks: tuple[int, ...] = ()  # blocks whose erase does nothing any more
        self.before_operation: Callable[[int, Callable[[str], FakeFlash]], None] | None = None

    def after_power_on(self) -> "FakeFlash":
        """The same flash, as the next start finds it."""
        again = FakeFlash(len(self.erases), self.image[:], self.block_bytes)
        again.weak_bytes, again.stuck_blocks = self.weak_bytes, self.stuck_blocks
        return again

    def readblocks(self, block: int, buffer: "Any", offset: int = 0) -> None:
        at = block * self.block_bytes + offset
        assert offset + len(buffer) <= self.block_bytes
        buffer[:] = self.image[at : at + len(buffer)]

    def writeblocks(self, block: int, buffer: "Any", offset: "int | None" = None) -> None:
        assert offset is not None, "without an offset the port would erase by itself"
        assert offset + len(buffer) <= self.block_bytes
        self._fork(lambda flash: flash.writeblocks(block, buffer, offset))
        at = block * self.block_bytes + offset
        whole, part_bits = len(buffer), False
        if self._cut_now():
            whole, part_bits = self._programmed(len(buffer)), self.cut_shape == "noise"
        if self.weak_bytes or whole < len(buffer):
            for index in range(whole):
                if at + index not in self.weak_bytes:
                    self.image[at + index] &= buffer[index]  # programming only clears bits
        else:
            self._clear_bits(at, buffer)
        if part_bits and whole < len(buffer):
            self.image[at + whole] &= buffer[whole] | 0x55
        self._end_operation()

    def ioctl(self, request: int, argument: int) -> int:
        if request == 4:
            return len(self.erases)
        if request == 5:
            return self.block_bytes
        assert request == 6
        self._fork(lambda flash: flash.ioctl(request, argument))
        at, length = argument * self.block_bytes, self.block_bytes
        if argument in self.stuck_blocks:
            self._cut_now()
        elif self._cut_now():
            self._half_erase(at)
        else:
            self.image[at : at + length] = b"\xff" * length
        self.erases[argument] += 1
        self._end_operation()
        return 0

    def _fork(self, operation: "Callable[[FakeFlash], Any]") -> None:
        """Show the watcher what each shape of a cut in this operation would leave."""
        if self.before_operation is None:
            return

        def after(shape: str) -> "FakeFlash":
            fork = self.after_power_on()
            fork.cut_at, fork.cut_shape = 0, shape
            try:
                operation(fork)
            except PowerCut:
                fork.cut_at, fork.operations = -1, 0
                return fork
            raise AssertionError("the power did not go")

        self.before_operation(self.operations, after)

    def _clear_bits(self, at: int, buffer: "Any") -> None:
        """Program the whole buffer, at once where the slot is blank, as it nearly always is."""
        end = at + len(buffer)
        if self.image[at:end] == b"\xff" * len(buffer):
            self.image[at:end] = buffer
            return
        for index in range(len(buffer)):
            self.image[at + index] &= buffer[index]

    def _cut_now(self) -> bool:
        return self.operations == self.cut_at

    def _end_operation(self) -> None:
        self.operations += 1
        if self.operations == self.cut_at + 1:
            raise PowerCut()

    def _programmed(self, length: int) -> int:
        shares = {"none": 0, "third": length // 3, "half": length // 2, "noise": length // 2}
        shares["all_but_one"] = length - 1
        return shares.get(self.cut_shape, length)

    def _half_erase(self, at: int) -> None:
        length = self.block_bytes
        if self.cut_shape == "noise":
            for index in range(length):
                self.image[at + index] |= (index * 73 + 41) % 251  # some bits risen, some not
            return
        if self.cut_shape == "all_but_one":  # the far half first
            self.image[at + length // 2 : at + length] = b"\xff" * (length - length // 2)
            return
        shares = {"none": 0, "third": length // 3, "half": length // 2}
        erased = shares.get(self.cut_shape, length)
        self.image[at : at + erased] = b"\xff" * erased
