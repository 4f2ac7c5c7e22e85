"""A virtual board and the images that are flashed to it: what stands in its flash, and what not."""

from dataclasses import replace
from functools import cache

import pytest

from host_tools.flash import Flashed, flash
from host_tools.image import filesystem
from host_tools.image.build import Image, Settings, build, merged
from host_tools.image.errors import FilesRefused
from tests.support import an_image as images
from tests.support.a_firmware import a_firmware
from tests.support.an_image import a_board, a_small_application
from tests.support.virtual.chips import CHIPS
from tests.support.virtual.virtual_board import VirtualBoard

MIB = 1 << 20
METER_AT, METER_BYTES = 0x200000, 0x100000
VFS_AT = 0x300000
PARTS = ["nvs", "partition_table", "bootloader", "factory", "vfs"]
REGISTERS = bytes(range(255)) * 16  # what a meter may have in its partition
NO_SETTINGS = Settings({})
ENCRYPTED = {0x3FF5A000: 1 << 20}  # FLASH_CRYPT_CNT of an ESP32, one bit


def a_meters_image(seed: int = 7, version: str = "1.2.3", firmware_seed: int = 1) -> Image:
    """A meter's image, with a small application that nobody runs."""
    return images.an_image("esp32", seed, version, firmware_seed)


@cache
def bare(version: str = "1.2.3") -> Image:
    """An image without identity and settings: for meters that are paired later."""
    return build(a_board(), a_firmware(), a_small_application(version), NO_SETTINGS, None)


def a_stock_image(settings: Settings = NO_SETTINGS, keep_table: bool = False) -> Image:
    application = a_small_application()
    return build(a_board(), a_firmware(), application, settings, None, keep_table=keep_table)


def content(board: VirtualBoard) -> bytes:
    return board.flash.read(0, board.flash.size_bytes)


def live_here(board: VirtualBoard, image: Image | None = None) -> None:
    """A meter was flashed, paired and has counted."""
    board.flash.write(0, merged(image or a_meters_image()))
    board.flash.write(METER_AT, REGISTERS)
    board.flash.write(METER_AT + 0x50000, REGISTERS)


def registers(board: VirtualBoard) -> bytes:
    return board.flash.read(METER_AT, METER_BYTES)


def files_of(board: VirtualBoard) -> dict[str, bytes]:
    try:
        return filesystem.read(content(board)[VFS_AT:])
    except FilesRefused:
        return {}


def is_readable(area: bytes) -> bool:
    try:
        filesystem.read(area)
    except FilesRefused:
        return False
    return True


def missing(board: VirtualBoard, image: Image) -> list[str]:
    """Parts of an image that are not in the flash."""
    found = content(board)
    return [
        part.name
        for part in image.parts
        if found[part.offset : part.offset + len(part.content)] != part.content
    ]


def once(board: VirtualBoard, image: Image, **options: object) -> Flashed:
    """Flash, and leave the chip in its bootloader: nothing else writes to its flash then."""
    return flash(board.port, image, restart=False, **options)  # type: ignore[arg-type]


def with_registers(monkeypatch: pytest.MonkeyPatch, fixed: dict[int, int]) -> None:
    """Every ESP32 from now on has these eFuses burned."""
    chip = CHIPS["esp32"]
    merged_registers = {key: chip.fixed.get(key, 0) | value for key, value in fixed.items()}
    monkeypatch.setitem(CHIPS, "esp32", replace(chip, fixed=chip.fixed | merged_registers))
