"""Published firmware: split at its partitions, checked to its last byte, or refused."""

import struct
from pathlib import Path

import pytest
from esptool import cmds
from esptool.targets import CHIP_DEFS

from host_tools.image import partitions, published
from host_tools.image.errors import FirmwareRefused, TableRefused, WrongFirmware
from host_tools.locking.ciphered import new_signing_key
from tests.support.a_firmware import (
    OFFSETS,
    OTA,
    WITH_VFS,
    WITHOUT_VFS,
    a_firmware,
    a_program,
    a_signed_firmware,
)

MIB = 1 << 20
TABLE_AT = partitions.TABLE_OFFSET


@pytest.mark.parametrize("chip", OFFSETS)
@pytest.mark.parametrize("table", [WITH_VFS, WITHOUT_VFS, OTA], ids=["vfs", "no_vfs", "ota"])
def test_a_published_bin_is_split_into_bootloader_table_and_program(
    chip: str, table: partitions.Table
) -> None:
    found = published.split(a_firmware(chip, table), chip, OFFSETS[chip])
    assert found.table == table
    assert found.bootloader == a_program(chip, 6000, 1001)
    assert found.program == a_program(chip, 20_000, 1)


def test_chips_and_header_are_numbered_as_in_esptool() -> None:
    for chip, number in published.CHIP_IDS.items():
        told = CHIP_DEFS[chip]
        assert (number, OFFSETS[chip]) == (told.IMAGE_CHIP_ID, told.BOOTLOADER_FLASH_OFFSET)
        for mib, nibble in published.FLASH_SIZES.items():
            assert told.FLASH_SIZES[f"{mib}MB"] == nibble << 4


@pytest.mark.parametrize("chip", OFFSETS)
@pytest.mark.parametrize("mib", [4, 8, 16])
def test_a_bootloader_is_told_its_flash_size_exactly_as_esptool_does_it(
    chip: str, mib: int
) -> None:
    bootloader = published.split(a_firmware(chip), chip, OFFSETS[chip]).bootloader
    merged = cmds.merge_bin([(OFFSETS[chip], bootloader)], chip, flash_size=f"{mib}MB")
    assert merged is not None
    sized = published.sized(bootloader, mib * MIB)
    assert merged[OFFSETS[chip] :] == sized
    assert published.length_of(sized, chip, "bootloader") == len(sized)


def test_a_size_that_no_header_can_say_is_refused() -> None:
    for size in (3 * MIB, 4 * MIB + 1, 128 * MIB):
        with pytest.raises(FirmwareRefused, match="a flash has 1, 2, 4, 8, 16"):
            published.sized(a_program(), size)


def test_firmware_for_another_chip_is_named_with_both_chips() -> None:
    with pytest.raises(WrongFirmware, match="for esp32s3, the board has an esp32c3") as told:
        published.split(a_firmware("esp32s3"), "esp32c3", 0)
    assert told.value.reason == "wrong_firmware"
    other = bytearray(a_firmware())
    struct.pack_into("<H", other, 12, 23)
    with pytest.raises(WrongFirmware, match="for chip 23"):
        published.split(bytes(other), "esp32", 0x1000)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100_000, b"PK\x03\x04", b"<!doctype html>"])
def test_a_file_that_is_no_firmware_is_named_so(content: bytes) -> None:
    with pytest.raises(FirmwareRefused, match="does not begin with 0xE9"):
        published.split(content, "esp32", 0x1000)


def test_a_download_that_broke_off_is_refused_wherever_it_did() -> None:
    whole = a_firmware()
    for length in (1, 23, 24, 100, 6000, TABLE_AT - 0x1000, TABLE_AT, 0xF000, len(whole) - 1):
        with pytest.raises((FirmwareRefused, TableRefused)):
            published.split(whole[:length], "esp32", 0x1000)


def test_a_flipped_bit_is_found_in_every_program_table_and_gap() -> None:
    whole = bytearray(a_firmware())
    published.split(bytes(whole), "esp32", 0x1000)
    for at in (*range(0, len(whole), 97), 1, 3, 8, 15, 23, 0x7000, 0x7001, 0x7000 + 32 * 4 + 16):
        whole[at] ^= 0x10
        try:
            published.split(bytes(whole), "esp32", 0x1000)
        except (FirmwareRefused, TableRefused):
            whole[at] ^= 0x10
        else:
            raise AssertionError(hex(at))


def test_a_program_without_sha256_is_still_proven_by_its_checksum() -> None:
    program = bytearray(a_program()[:-32])
    program[23] = 0
    assert published.length_of(bytes(program), "esp32", "program") == len(program)
    program[100] ^= 1
    with pytest.raises(FirmwareRefused, match="the program of the firmware is damaged"):
        published.length_of(bytes(program), "esp32", "program")


@pytest.mark.parametrize("at", [0x5000, 0x7C00, 0x8000, 0xEFFF])
def test_bytes_that_no_part_explains_are_refused(at: int) -> None:
    strange = bytearray(a_firmware())
    strange[at] = 0x42
    with pytest.raises(FirmwareRefused, match="no part of it explains"):
        published.split(bytes(strange), "esp32", 0x1000)


def test_an_image_with_a_file_system_behind_the_program_is_refused() -> None:
    whole = a_firmware().ljust(0x200000 - 0x1000, b"\xff")
    assert published.split(whole, "esp32", 0x1000).program
    with pytest.raises(FirmwareRefused, match="it holds a file system or more"):
        published.split(whole + b"littlefs", "esp32", 0x1000)


def test_a_program_fills_its_partition_and_no_more() -> None:
    row = partitions.Partition("factory", partitions.APP, partitions.FACTORY, 0x10000, 0x2000)
    room = 0x2000 - 80  # two headers, padding, SHA-256
    for size in (room - 16, room):
        table = (*WITH_VFS[:2], row)
        assert published.split(a_firmware(table=table, program_bytes=size), "esp32", 0x1000)
    with pytest.raises(FirmwareRefused, match="larger than factory"):
        published.split(a_firmware(table=table, program_bytes=room + 64), "esp32", 0x1000)


def test_no_more_than_8_mib_is_taken_for_a_firmware() -> None:
    most = published.PUBLISHED_BYTES_MAX
    whole = a_firmware().ljust(most, b"\xff")
    for length in (most - 1, most):
        assert published.split(whole[:length], "esp32", 0x1000)
    with pytest.raises(FirmwareRefused, match="more than 8388608"):
        published.split(whole + b"\xff", "esp32", 0x1000)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 9, 31, 1000])
def test_bytes_are_folded_as_one_by_one(length: int) -> None:
    content = bytes(n * 37 & 0xFF for n in range(length))
    expected = 0
    for byte in content:
        expected ^= byte
    assert published.folded(content) == expected


def test_a_table_that_overlaps_itself_is_refused_with_its_firmware() -> None:
    """So was one that MicroPython had for 8 MiB with OTA: ota_1 began inside of ota_0."""
    whole = bytearray(a_firmware(table=OTA))
    rows = [row._replace(size=0x2F0000) if row.label == "ota_0" else row for row in OTA]
    packed = b"".join(
        partitions.ROW.pack(b"\xaa\x50", *row[1:5], row.label.encode(), row.flags) for row in rows
    )
    whole[0x7000:0x7C00] = packed.ljust(0xC00, b"\xff")
    with pytest.raises(TableRefused, match=r"ota_0 .* overlaps ota_1"):
        published.split(bytes(whole), "esp32", 0x1000)


def test_firmware_built_for_secure_boot_keeps_its_signatures(tmp_path: Path) -> None:
    key = tmp_path / "signing.pem"
    new_signing_key(key)
    for chip in ("esp32", "esp32c3"):
        found = published.split(a_signed_firmware(chip, key), chip, OFFSETS[chip])
        for signed in (found.bootloader, found.program):
            assert len(signed) % 4096 == 0
            assert published.is_signed(signed, len(signed) - 4096)
            assert published.extent(signed, chip, "program") == len(signed)
            assert published.length_of(signed, chip, "program") < len(signed) - 4096
        assert published.sized(found.bootloader, 4 * MIB) == found.bootloader
        with pytest.raises(FirmwareRefused, match="signed for another flash size than 8 MB"):
            published.sized(found.bootloader, 8 * MIB)
