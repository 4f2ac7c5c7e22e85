"""NOR flash in a file, for several processes: programming clears bits, erasing sets 0xFF."""

import hashlib
import os
import struct
from pathlib import Path

SECTOR_BYTES = 4096
MIB = 1 << 20
_NEVER = 0xFFFFFFFF
_JEDEC_VENDOR = 0xEF  # Winbond; 0x20 would start esptool's cure for XMC chips
_BLANK = b"\xff"


class PowerCut(Exception):
    """The supply went away while the flash was being programmed."""


class FakeFlashChip:
    """The chip: its content is `path`, and `path`.power says when its supply goes away."""

    def __init__(self, path: Path, size_bytes: int = 4 * MIB) -> None:
        assert size_bytes & (size_bytes - 1) == 0, "a flash chip has a power of two of bytes"
        self.path = path
        self.size_bytes = size_bytes
        self.power_path = path.with_name(path.name + ".power")
        if not path.exists():
            path.write_bytes(_BLANK * size_bytes)
        assert path.stat().st_size == size_bytes, path
        self._file = os.open(path, os.O_RDWR)
        self._power = os.open(self.power_path, os.O_RDWR | os.O_CREAT, 0o600)
        self.restore_power()

    def close(self) -> None:
        """Let go of the file; its content stays."""
        os.close(self._file)
        os.close(self._power)

    @property
    def jedec_id(self) -> int:
        """What RDID answers, first byte lowest: vendor, memory type, log2 of the size."""
        return _JEDEC_VENDOR | 0x40 << 8 | (self.size_bytes.bit_length() - 1) << 16

    def read(self, offset: int, length: int) -> bytes:
        """What is there."""
        assert 0 <= offset <= offset + length <= self.size_bytes
        return os.pread(self._file, length, offset)

    def program(self, offset: int, data: bytes) -> None:
        """Clear bits. Raises PowerCut at the byte at which the supply goes away."""
        assert 0 <= offset <= offset + len(data) <= self.size_bytes
        whole = len(data)
        left = self._programs_left()
        if left != _NEVER:
            whole = min(left, whole)
            self.cut_after(left - whole)
        old = os.pread(self._file, whole, offset)
        both = int.from_bytes(old, "big") & int.from_bytes(data[:whole], "big")
        os.pwrite(self._file, both.to_bytes(whole, "big"), offset)
        if whole < len(data):
            raise PowerCut(f"at 0x{offset + whole:x}")

    def erase(self, offset: int, length: int) -> None:
        """Erase every sector that this touches."""
        first = offset // SECTOR_BYTES * SECTOR_BYTES
        end = -(-(offset + length) // SECTOR_BYTES) * SECTOR_BYTES
        assert 0 <= first <= end <= self.size_bytes
        os.pwrite(self._file, _BLANK * (end - first), first)

    def md5(self, offset: int, length: int) -> bytes:
        """As the bootloaders compute it."""
        return hashlib.md5(self.read(offset, length), usedforsecurity=False).digest()

    def write(self, offset: int, data: bytes) -> None:
        """Erase and program, as a test prepares a chip; the supply holds."""
        self.erase(offset, len(data))
        os.pwrite(self._file, data, offset)

    def cut_after(self, programmed_bytes: int) -> None:
        """The supply goes away once so many more bytes are programmed, by whoever programs."""
        os.pwrite(self._power, struct.pack("<I", programmed_bytes), 0)

    def restore_power(self) -> None:
        """The supply holds again."""
        self.cut_after(_NEVER)

    def _programs_left(self) -> int:
        left: int = struct.unpack("<I", os.pread(self._power, 4, 0))[0]
        return left
