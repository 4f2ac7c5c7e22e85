"""A published MicroPython .bin for an ESP32: checked to its last byte, and split at its partitions.

It is one file for one write at the bootloader's offset, and so lies over the NVS as well, with
0xFF. What stands beside it must be given the parts, never the whole.
"""

import hashlib
import struct
from typing import NamedTuple

from host_tools.image import partitions
from host_tools.image.errors import FirmwareRefused, WrongFirmware
from host_tools.image.partitions import SECTOR_BYTES, TABLE_BYTES, TABLE_OFFSET, Table

# The program image (espressif/esptool, docs/en/advanced-topics/firmware-image-format.rst).
MAGIC = 0xE9
HEADER = struct.Struct("<BBBBI")
EXTENDED = struct.Struct("<B3sHBHH4sB")
SEGMENT = struct.Struct("<II")
SEGMENTS_MAX = 16
CHECKSUM_START = 0xEF
HASH_BYTES = 32
SIGNATURE_START = b"\xe7\x02"  # of a block of secure boot v2, in the sector behind the image
CHIP_IDS = {"esp32": 0, "esp32c3": 5, "esp32s3": 9, "esp32c6": 13}
FLASH_SIZES = {1: 0x0, 2: 0x1, 4: 0x2, 8: 0x3, 16: 0x4, 32: 0x5, 64: 0x6}  # MiB -> high nibble
MIB = 1 << 20
PUBLISHED_BYTES_MAX = 8 * MIB  # the largest seen had 2.1 MiB; a bound for what is read


class Published(NamedTuple):
    """What a published .bin holds."""

    bootloader: bytes
    table: Table
    program: bytes


def split(content: bytes, chip: str, offset: int) -> Published:
    """Split a .bin that is to be written at `offset`. Raises FirmwareRefused, TableRefused."""
    if len(content) > PUBLISHED_BYTES_MAX:
        raise FirmwareRefused(
            f"the firmware has {len(content)} bytes, more than {PUBLISHED_BYTES_MAX}: "
            "name the .bin, not an image of a whole flash"
        )
    if content[:1] != bytes((MAGIC,)):
        raise FirmwareRefused(
            "the firmware does not begin with 0xE9: name the .bin file of an ESP32 board, "
            "not a .uf2, a .zip or a web page"
        )
    start = TABLE_OFFSET - offset
    if len(content) < start + SECTOR_BYTES:
        raise FirmwareRefused("the firmware ends before its partition table: fetch it again")
    bootloader = content[: extent(content[:start], chip, "bootloader")]
    table = partitions.parse(content[start : start + TABLE_BYTES])
    place = partitions.app(table)
    program = content[place.offset - offset :]
    program = program[: extent(program, chip, "program")]
    if len(program) > place.size:
        raise FirmwareRefused(f"the program is larger than {place.label}: fetch the firmware again")
    used = {
        "bootloader": (offset, len(bootloader)),
        "table": (TABLE_OFFSET, TABLE_BYTES),
        "program": (place.offset, len(program)),
    }
    refuse_strays(content, offset, used)
    return Published(bootloader, table, program)


def refuse_strays(content: bytes, offset: int, used: dict[str, tuple[int, int]]) -> None:
    """Raises FirmwareRefused when a byte outside of these regions is not erased flash."""
    at = offset
    for start, size in sorted(used.values()):
        if content[at - offset : start - offset].strip(b"\xff"):
            raise FirmwareRefused(
                f"the firmware holds something between {at:#x} and {start:#x} that no part of it "
                "explains: use one that its publisher made for this chip"
            )
        at = start + size
    if content[at - offset :].strip(b"\xff"):
        raise FirmwareRefused(
            f"the firmware goes on behind its program at {at:#x}: it holds a file system or more; "
            "use a .bin without one"
        )


def extent(content: bytes, chip: str, what: str) -> int:
    """How long a program image is with its signature, where it has one. Raises as `length_of`."""
    length = length_of(content, chip, what)
    sector = -(-length // SECTOR_BYTES) * SECTOR_BYTES
    return sector + SECTOR_BYTES if is_signed(content, sector) else length


def is_signed(content: bytes, sector: int) -> bool:
    """Says whether a signature of secure boot v2 lies in this sector; not whose, nor if it fits."""
    return content[sector : sector + 2] == SIGNATURE_START and len(content) >= sector + SECTOR_BYTES


def length_of(content: bytes, chip: str, what: str) -> int:
    """How long a program image is, checked: chip, segments, checksum and SHA-256.

    Raises WrongFirmware for another chip, FirmwareRefused for damage.
    """
    damaged = FirmwareRefused(f"the {what} of the firmware is damaged: fetch it again")
    if len(content) < HEADER.size + EXTENDED.size or content[0] != MAGIC:
        raise damaged
    segments = HEADER.unpack_from(content)[1]
    _, _, chip_id, _, _, _, _, has_hash = EXTENDED.unpack_from(content, HEADER.size)
    if chip_id != CHIP_IDS[chip]:
        found = {number: name for name, number in CHIP_IDS.items()}.get(chip_id, f"chip {chip_id}")
        raise WrongFirmware(f"the {what} is for {found}, the board has an {chip}: name its .bin")
    if not 0 < segments <= SEGMENTS_MAX:
        raise damaged
    at, checksum = HEADER.size + EXTENDED.size, CHECKSUM_START
    for _ in range(segments):
        if at + SEGMENT.size > len(content):
            raise damaged
        size = SEGMENT.unpack_from(content, at)[1]
        at += SEGMENT.size
        if at + size > len(content):
            raise damaged
        checksum ^= folded(content[at : at + size])
        at += size
    at = at // 16 * 16 + 16  # the checksum is the last byte of a block of 16
    if at > len(content) or content[at - 1] != checksum:
        raise damaged
    if has_hash:
        digest = content[at : at + HASH_BYTES]
        if digest != hashlib.sha256(content[:at]).digest():
            raise damaged
        at += HASH_BYTES
    return at


def folded(content: bytes) -> int:
    """All bytes XORed with one another."""
    value, width = int.from_bytes(content, "little"), 8 * max(1, len(content))
    while width > 8:
        half = (width // 8 + 1) // 2 * 8
        value, width = (value >> half) ^ (value & ((1 << half) - 1)), half
    return value


def sized(bootloader: bytes, flash_bytes: int) -> bytes:
    """The bootloader told how large the flash is, or it refuses partitions beyond what it thinks.

    Raises FirmwareRefused for a size that the header cannot say.
    """
    nibble = FLASH_SIZES.get(flash_bytes // MIB)
    if nibble is None or flash_bytes % MIB:
        sizes = ", ".join(str(size) for size in FLASH_SIZES)
        raise FirmwareRefused(f"a flash has {sizes} MiB, not {flash_bytes:#x} bytes: see the board")
    marked = bytearray(bootloader)
    marked[3] = nibble << 4 | marked[3] & 0x0F
    if is_signed(bootloader, len(bootloader) - SECTOR_BYTES):
        if marked != bootloader:
            raise FirmwareRefused(
                f"the bootloader is signed for another flash size than {flash_bytes >> 20} MB: "
                "build it for this board"
            )
        return bootloader
    if EXTENDED.unpack_from(bootloader, HEADER.size)[-1]:
        marked[-HASH_BYTES:] = hashlib.sha256(marked[:-HASH_BYTES]).digest()
    return bytes(marked)
