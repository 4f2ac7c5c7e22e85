"""Published firmware that is none: a valid .bin in the shape of MicroPython's, small and made here.

Header, segments, checksum and SHA-256 are right, so that esptool and our own reader take it; what
runs on it is nothing.
"""

import hashlib
import struct
import tempfile
from pathlib import Path

import espsecure

from host_tools.flashing.chip import quiet
from host_tools.image import partitions
from host_tools.image.partitions import APP, DATA, FACTORY, FILES, NVS, OTA_0, OTADATA, PHY
from host_tools.image.partitions import Partition as Row
from host_tools.image.published import CHIP_IDS

OFFSETS = {"esp32": 0x1000, "esp32s3": 0, "esp32c3": 0, "esp32c6": 0}  # board.json, flash_offset
FLASH_BYTES = 4 << 20
_LOAD = {"esp32": 0x3FFF0000, "esp32s3": 0x3FC88000, "esp32c3": 0x3FC80000, "esp32c6": 0x40800000}

NVS_ROW = Row("nvs", DATA, NVS, 0x9000, 0x6000)
PHY_ROW = Row("phy_init", DATA, PHY, 0xF000, 0x1000)
WITH_VFS = (  # as v1.20 and v1.23
    NVS_ROW,
    PHY_ROW,
    Row("factory", APP, FACTORY, 0x10000, 0x1F0000),
    Row("vfs", DATA, FILES, 0x200000, 0x200000),
)
WITHOUT_VFS = WITH_VFS[:-1]  # since v1.26
OTA = (
    Row("nvs", DATA, NVS, 0x9000, 0x4000),
    Row("otadata", DATA, OTADATA, 0xD000, 0x2000),
    PHY_ROW,
    Row("ota_0", APP, OTA_0, 0x10000, 0x180000),
    Row("ota_1", APP, OTA_0 + 1, 0x190000, 0x180000),
)


def a_program(chip: str = "esp32", size: int = 20_000, seed: int = 1) -> bytes:
    """A program image of about this size, with checksum and SHA-256."""
    noise = b"".join(
        hashlib.sha256(struct.pack("<II", seed, n)).digest() for n in range(size // 32 + 1)
    )
    segments = [noise[: size // 8 * 4], noise[size // 8 * 4 : size // 4 * 4]]
    header = struct.pack("<BBBBI", 0xE9, len(segments), 2, 0x20, _LOAD[chip])
    header += struct.pack("<B3sHBHH4sB", 0xEE, b"\0\0\0", CHIP_IDS[chip], 0, 0, 399, bytes(4), 1)
    content, checksum = header, 0xEF
    for at, segment in enumerate(segments):
        content += struct.pack("<II", _LOAD[chip] + at * 0x8000, len(segment)) + segment
        for byte in segment:
            checksum ^= byte
    content += bytes(15 - len(content) % 16) + bytes((checksum,))
    return content + hashlib.sha256(content).digest()


def a_firmware(
    chip: str = "esp32",
    table: partitions.Table = WITH_VFS,
    program_bytes: int = 20_000,
    seed: int = 1,
) -> bytes:
    """A .bin as it is published, for one write at OFFSETS[chip]."""
    offset = OFFSETS[chip]
    place = partitions.app(table)
    content = a_program(chip, 6000, seed + 1000)
    content = content.ljust(partitions.TABLE_OFFSET - offset, b"\xff") + partitions.encode(table)
    return content.ljust(place.offset - offset, b"\xff") + a_program(chip, program_bytes, seed)


def a_signed_firmware(chip: str, signing_key: Path, table: partitions.Table = WITH_VFS) -> bytes:
    """As a build for secure boot makes it: bootloader and program bear this key's signature."""
    offset, place = OFFSETS[chip], partitions.app(table)
    content = a_signed(a_program(chip, 6000, 1001), signing_key)
    content = content.ljust(partitions.TABLE_OFFSET - offset, b"\xff") + partitions.encode(table)
    program = a_signed(a_program(chip), signing_key)
    return content.ljust(place.offset - offset, b"\xff") + program


def a_signed(program: bytes, signing_key: Path) -> bytes:
    """A program with its signature behind it."""
    with tempfile.TemporaryDirectory() as name, quiet():
        source, target = Path(name) / "program.bin", Path(name) / "signed.bin"
        source.write_bytes(program)
        with source.open("rb") as data, signing_key.open("rb") as key:
            espsecure.sign_data("2", [key], str(target), False, False, None, [], [], data)
        return target.read_bytes()
