"""The fake flash chip's file as the unix port sees it, with the same NOR rules and power cuts."""

import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SECTOR_BYTES = 4096
_NEVER = 0xFFFFFFFF
_BLANK = b"\xff" * SECTOR_BYTES


class FlashFile:
    """Read, program and erase; `cut()` is called when the supply goes away."""

    def __init__(self, path: str, cut: "Callable[[], None]") -> None:
        self._file = open(path, "r+b", buffering=0)  # noqa: SIM115  (for good)
        self._power = open(path + ".power", "r+b", buffering=0)  # noqa: SIM115
        self._cut = cut
        self.size_bytes = self._file.seek(0, 2)

    def read(self, offset: int, buffer: "bytearray | memoryview") -> None:
        """Fill the buffer."""
        self._file.seek(offset)
        self._file.readinto(buffer)

    def program(self, offset: int, data: "bytes | bytearray | memoryview") -> None:
        """Clear bits."""
        whole = min(len(data), self._programs_left(len(data)))
        old = bytearray(whole)
        self.read(offset, old)
        both = int.from_bytes(old, "big") & int.from_bytes(bytes(data[:whole]), "big")
        self._file.seek(offset)
        self._file.write(both.to_bytes(whole, "big"))
        if whole < len(data):
            self._cut()
            while True:  # nothing goes on without power
                time.sleep(1)

    def erase(self, offset: int) -> None:
        """One sector."""
        self._file.seek(offset)
        self._file.write(_BLANK)

    def _programs_left(self, wanted: int) -> int:
        """How many bytes the supply still lasts; takes off what is wanted."""
        self._power.seek(0)
        left: int = struct.unpack("<I", self._power.read(4))[0]
        if left != _NEVER:
            self._power.seek(0)
            self._power.write(struct.pack("<I", max(0, left - wanted)))
        return left
