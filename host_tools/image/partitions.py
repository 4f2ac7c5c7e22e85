"""An ESP32's partition table: read, checked, written; ours, and where the file system lies."""

# Format (espressif/esp-idf, components/partition_table): rows of 32 bytes, magic AA 50, then an
# optional row EB EB with the MD5 of all rows before it, then 0xFF.

import hashlib
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from host_tools.image.errors import TableRefused

TABLE_OFFSET = 0x8000
TABLE_BYTES = 0xC00  # what the bootloader reads
ROWS_MAX = TABLE_BYTES // 32 - 1  # of them the last is the MD5's
ROW = struct.Struct("<2sBBII16sI")
ROW_MAGIC = b"\xaa\x50"
MD5_START = b"\xeb\xeb" + b"\xff" * 14
SECTOR_BYTES = 0x1000
APP_ALIGNMENT = 0x10000
LABEL_BYTES_MAX = 16

APP, DATA = 0, 1
FACTORY, OTA_0 = 0x00, 0x10  # of APP; the second slot is 0x11, and so on
OTADATA, PHY, NVS, NVS_KEYS = 0x00, 0x01, 0x02, 0x04  # of DATA
METER = 0x40  # of DATA: the first subtype that is free for applications
FILES = 0x81  # of DATA: "fat", which MicroPython takes for its file system whatever is in it
OTA_SLOTS = range(OTA_0, OTA_0 + 16)
FILES_LABELS = ("vfs", "ffat")  # as MicroPython's main.c looks for them
ENCRYPTED, READ_ONLY = 1, 2

VFS_OFFSET = 0x300000
VFS_BYTES_MIN = 64 * SECTOR_BYTES  # two slots of an application, and the settings
FLASH_BYTES_MIN = VFS_OFFSET + VFS_BYTES_MIN


class Partition(NamedTuple):
    """One row of a table."""

    label: str
    type: int
    subtype: int
    offset: int
    size: int
    flags: int = 0

    @property
    def end(self) -> int:
        """Where the next one may begin."""
        return self.offset + self.size

    def overlaps(self, offset: int, size: int) -> bool:
        """Says whether any byte of a region is in this partition."""
        return self.offset < offset + size and offset < self.end


Table = tuple[Partition, ...]


def ours(flash_bytes: int, locked: bool = False) -> Table:
    """The table of a meter; with more flash the file system grows.

    locked: for level L2, with a partition for the key of NVS, and an encrypted file system. `meter`
    is never encrypted: its blocks are written a byte at a time in places.
    Raises TableRefused when the flash is too small.
    """
    if flash_bytes < FLASH_BYTES_MIN or flash_bytes % SECTOR_BYTES:
        raise TableRefused(
            f"a meter needs at least {FLASH_BYTES_MIN:#x} bytes of flash in whole sectors, "
            f"not {flash_bytes:#x}: use a module with 4 MB"
        )
    nvs: Table = (Partition("nvs", DATA, NVS, 0x9000, 0x6000),)
    if locked:
        nvs = (
            Partition("nvs", DATA, NVS, 0x9000, 0x5000),
            Partition("nvs_keys", DATA, NVS_KEYS, 0xE000, 0x1000, ENCRYPTED),
        )
    table = (
        *nvs,
        Partition("phy_init", DATA, PHY, 0xF000, 0x1000),
        Partition("factory", APP, FACTORY, 0x10000, 0x1F0000),
        Partition("meter", DATA, METER, 0x200000, 0x100000),
        Partition("vfs", DATA, FILES, VFS_OFFSET, flash_bytes - VFS_OFFSET, ENCRYPTED * locked),
    )
    return check(table, flash_bytes)


def parse(content: bytes) -> Table:
    """The table in these bytes. Raises TableRefused, also for a wrong MD5 and for overlaps."""
    if content[:2] != ROW_MAGIC:
        raise TableRefused("there is no partition table: is this an image for an ESP32 at all?")
    rows: list[Partition] = []
    for at in range(0, min(len(content), TABLE_BYTES) - 31, ROW.size):
        row = content[at : at + ROW.size]
        if row[:16] == MD5_START:
            if row[16:] != hashlib.md5(content[:at], usedforsecurity=False).digest():
                raise TableRefused("the partition table's MD5 is wrong: fetch or flash it again")
            if content[at + ROW.size : TABLE_BYTES].strip(b"\xff"):
                raise TableRefused("the partition table goes on behind its MD5: flash it again")
            return check(tuple(rows))
        if row == b"\xff" * ROW.size:
            return check(tuple(rows))
        magic, kind, subtype, offset, size, label, flags = ROW.unpack(row)
        if magic != ROW_MAGIC:
            raise TableRefused(f"the partition table is damaged at row {len(rows)}: flash it again")
        name = label.rstrip(b"\0").decode("utf-8", "replace")
        rows.append(Partition(name, kind, subtype, offset, size, flags))
    raise TableRefused("the partition table has no end: fetch or flash it again")


def encode(table: Table) -> bytes:
    """The bytes that `parse` reads, with MD5. Raises TableRefused for what a chip would refuse."""
    check(table)
    rows = b"".join(ROW.pack(ROW_MAGIC, *row[1:5], row.label.encode(), row.flags) for row in table)
    md5 = MD5_START + hashlib.md5(rows, usedforsecurity=False).digest()
    return (rows + md5).ljust(TABLE_BYTES, b"\xff")


def check(table: Table, flash_bytes: int | None = None) -> Table:
    """The table itself. Raises TableRefused, which names what overlaps, and where."""
    if len(table) > ROWS_MAX:
        raise TableRefused(f"{len(table)} partitions: a table holds {ROWS_MAX}")
    labels = [row.label for row in table]
    for row in table:
        alignment = APP_ALIGNMENT if row.type == APP else SECTOR_BYTES
        if row.offset % alignment or row.size % SECTOR_BYTES or not row.size:
            raise TableRefused(
                f"{row.label}: {row.offset:#x} must be a multiple of {alignment:#x}, "
                f"and its size {row.size:#x} of {SECTOR_BYTES:#x}"
            )
        if not 0 < len(row.label.encode()) <= LABEL_BYTES_MAX:
            raise TableRefused(f"label {row.label!r}: a label has 1 to {LABEL_BYTES_MAX} bytes")
        if labels.count(row.label) > 1:
            raise TableRefused(f"{row.label} is there twice: give each partition its own label")
        if flash_bytes is not None and row.end > flash_bytes:
            raise TableRefused(
                f"{row.label} ends at {row.end:#x}, beyond the flash of {flash_bytes:#x} bytes"
            )
        if row.offset < TABLE_OFFSET + SECTOR_BYTES:
            raise TableRefused(f"{row.label} at {row.offset:#x} overlaps the partition table")
    refuse_overlaps([(row.label, row.offset, row.size) for row in table])
    return table


def refuse_overlaps(regions: Sequence[tuple[str, int, int]]) -> None:
    """Raises TableRefused with both names when two regions (name, offset, size) share a byte."""
    for (name, offset, size), (other, next_offset, _) in pairwise(
        sorted(regions, key=lambda region: region[1])
    ):
        if offset + size > next_offset:
            raise TableRefused(
                f"{name} ({offset:#x} to {offset + size:#x}) overlaps {other} "
                f"at {next_offset:#x}: move or shrink one of them"
            )


def find(table: Table, label: str) -> Partition | None:
    """The partition of this label, or None."""
    return next((row for row in table if row.label == label), None)


def app(table: Table) -> Partition:
    """Where published firmware's program goes: factory, else the first OTA slot."""
    slots = [row for row in table if row.type == APP]
    for row in slots:
        if row.subtype == FACTORY:
            return row
    for row in slots:
        if row.subtype == OTA_0:
            return row
    raise TableRefused("no partition for a program: this table boots nothing")


def files(table: Table, flash_bytes: int) -> Partition:
    """The file system: as the table says, else what MicroPython 1.26 and newer make of it.

    That is the flash from the end of the last row on (ports/esp32/main.c). Raises TableRefused.
    """
    for label in FILES_LABELS:
        if found := find(table, label):
            if found.end > flash_bytes:
                raise TableRefused(
                    f"{label} ends at {found.end:#x}, beyond the flash of {flash_bytes:#x} bytes"
                )
            return found
    end = max((row.end for row in table), default=flash_bytes)
    if end >= flash_bytes:
        raise TableRefused(f"no room for a file system behind {end:#x}: use a larger flash")
    return Partition("vfs", DATA, FILES, end, flash_bytes - end)
