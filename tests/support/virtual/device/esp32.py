"""The module esp32 of a virtual board: partitions and NVS of its one flash file."""

import struct

from tests.support.virtual.device import nvs_pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tests.support.virtual.device.flash_file import FlashFile

SECTOR_BYTES = 4096
TABLE_OFFSET, TABLE_BYTES = 0x8000, 0xC00
_NOT_FOUND = (-4354, "ESP_ERR_NVS_NOT_FOUND")
_FULL = (-4357, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
_TOO_SHORT = (-4364, "ESP_ERR_NVS_INVALID_LENGTH")

chip: "FlashFile | Any" = None  # put here by boot.py


class Partition:
    """One row of the partition table, as a block device."""

    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, row: "tuple[int, int, int, int, str]") -> None:
        self._row = row
        self._offset, self._blocks = row[2], row[3] // SECTOR_BYTES

    @staticmethod
    def find(
        type: int = TYPE_APP, subtype: int = 0xFF, label: "str | None" = None
    ) -> "list[Partition]":
        """Those of the table that fit."""
        return [
            Partition(row)
            for row in table()
            if row[0] == type and subtype in (0xFF, row[1]) and label in (None, row[4])
        ]

    def info(self) -> "tuple[int, int, int, int, str, bool]":
        """Type, subtype, offset, size, label, encrypted."""
        return self._row + (False,)  # noqa: RUF005  (not on MicroPython)

    def readblocks(self, block: int, buffer: "Any", offset: int = 0) -> None:
        """Fill the buffer."""
        chip.read(self._at(block, offset, len(buffer)), buffer)

    def writeblocks(self, block: int, buffer: "Any", offset: "int | None" = None) -> None:
        """Program; without an offset it erases first (ports/esp32/esp32_partition.c)."""
        at = self._at(block, offset or 0, len(buffer))
        if offset is None:
            for index in range(-(-len(buffer) // SECTOR_BYTES)):
                chip.erase(at + index * SECTOR_BYTES)
        chip.program(at, buffer)

    def ioctl(self, request: int, argument: int) -> int:
        """4: number of blocks, 5: bytes in a block, 6: erase block `argument`."""
        if request == 4:
            return self._blocks
        if request == 5:
            return SECTOR_BYTES
        if request == 6:
            chip.erase(self._at(argument, 0, SECTOR_BYTES))
        return 0

    def _at(self, block: int, offset: int, length: int) -> int:
        at = block * SECTOR_BYTES + offset
        if not 0 <= at <= at + length <= self._row[3]:
            raise OSError(-258, "ESP_ERR_INVALID_ARG")
        return self._offset + at


def table() -> "list[tuple[int, int, int, int, str]]":
    """The partition table in flash; with the `vfs` that MicroPython 1.26 adds where none is."""
    raw = bytearray(TABLE_BYTES)
    chip.read(TABLE_OFFSET, raw)
    rows: list[tuple[int, int, int, int, str]] = []
    for at in range(0, TABLE_BYTES, 32):
        if raw[at : at + 2] != b"\xaa\x50":
            break
        kind, subtype, offset, size = struct.unpack("<BBII", raw[at + 2 : at + 12])
        label = bytes(raw[at + 12 : at + 28]).rstrip(b"\0").decode()
        rows.append((kind, subtype, offset, size, label))
    if rows and not [row for row in rows if row[4] in ("vfs", "ffat")]:
        end = max([row[2] + row[3] for row in rows])
        rows.append((Partition.TYPE_DATA, 0x81, end, chip.size_bytes - end, "vfs"))
    return rows


class NVS:
    """One namespace; what is set is there for the next one to look once it is committed."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        found = Partition.find(Partition.TYPE_DATA, 2)
        if not found:
            raise OSError(*_NOT_FOUND)
        self._offset, self._size = found[0].info()[2:4]
        self._new: dict[str, tuple[int, bytes] | None] = {}

    def get_i32(self, key: str) -> int:
        """A number. Raises OSError."""
        number: int = struct.unpack("<i", self._get(key, nvs_pages.I32)[:4])[0]
        return number

    def set_i32(self, key: str, value: int) -> None:
        """Keep a number."""
        self._new[self._named(key)] = (nvs_pages.I32, struct.pack("<i", value) + b"\xff" * 4)

    def get_blob(self, key: str, buffer: bytearray) -> int:
        """Fill the buffer; how many bytes there were. Raises OSError."""
        blob = self._get(key, nvs_pages.BLOB)
        if len(buffer) < len(blob):
            raise OSError(*_TOO_SHORT)
        buffer[: len(blob)] = blob
        return len(blob)

    def set_blob(self, key: str, value: "bytes | bytearray") -> None:
        """Keep bytes."""
        self._new[self._named(key)] = (nvs_pages.BLOB, bytes(value))

    def erase_key(self, key: str) -> None:
        """Forget it. Raises OSError."""
        if (self._namespace, key) not in self._entries() and key not in self._new:
            raise OSError(*_NOT_FOUND)
        self._new[key] = None

    def commit(self) -> None:
        """Write what was set. Raises OSError."""
        entries = self._entries()
        for key, entry in self._new.items():
            if entry is None:
                entries.pop((self._namespace, key), None)
            else:
                entries[self._namespace, key] = entry
        try:
            whole = nvs_pages.write_entries(entries, self._size)
        except nvs_pages.NvsFull:
            raise OSError(*_FULL) from None
        for at in range(0, self._size, SECTOR_BYTES):
            chip.erase(self._offset + at)
            page = whole[at : at + SECTOR_BYTES]
            if page != b"\xff" * SECTOR_BYTES:
                chip.program(self._offset + at, page)
        self._new = {}

    def _get(self, key: str, kind: int) -> bytes:
        entry = self._new[key] if key in self._new else self._entries().get((self._namespace, key))
        if entry is None or entry[0] != kind:
            raise OSError(*_NOT_FOUND)
        return entry[1]

    def _entries(self) -> "dict[tuple[str, str], tuple[int, bytes]]":
        region = bytearray(self._size)
        chip.read(self._offset, region)
        return nvs_pages.read_entries(bytes(region))

    def _named(self, key: str) -> str:
        if len(key) > nvs_pages.KEY_CHARS_MAX:
            raise OSError(-4361, "ESP_ERR_NVS_KEY_TOO_LONG")
        return key
