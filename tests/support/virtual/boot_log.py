"""What a chip's ROM prints at a reset, by how it starts; flasher tools and `probe` look for it."""

from tests.support.virtual.chips import Chip
from tests.support.virtual.fake_flash_chip import FakeFlashChip

IMAGE_MAGIC = 0xE9
APPLICATION_OFFSET = 0x10000
SOFT_REBOOT = b"MPY: soft reboot\r\n"
_FLASH_BOOT = "0x13 (SPI_FAST_FLASH_BOOT)"
_PANIC = """\
Guru Meditation Error: Core  1 panic'ed (LoadProhibited). Exception was unhandled.
Backtrace: 0x400d1f3a:0x3ffb5e30
Rebooting...
"""


def starting() -> bytes:
    """From flash, after power-on or the EN button."""
    return _lines("", f"rst:0x1 (POWERON_RESET),boot:{_FLASH_BOOT}", "mode:DIO, clock div:2")


def downloading(chip: Chip) -> bytes:
    """Into the bootloader."""
    reset = f"rst:0x1 (POWERON_RESET),boot:{chip.download_boot}"
    return _lines("", reset, "waiting for download")


def without_firmware() -> bytes:
    """Once around of a chip whose flash holds nothing that starts."""
    reset = f"rst:0x10 (RTCWDT_RTC_RESET),boot:{_FLASH_BOOT}"
    return _lines(reset, "invalid header: 0xffffffff")


def panicking() -> bytes:
    """Once around of firmware that crashes as it starts."""
    return _lines(f"rst:0xc (SW_CPU_RESET),boot:{_FLASH_BOOT}", *_PANIC.splitlines())


def starts(chip: Chip, flash: FakeFlashChip) -> bool:
    """Whether a bootloader and an application are where this chip looks for them."""
    offsets = (chip.bootloader_offset, APPLICATION_OFFSET)
    return all(flash.read(offset, 1)[0] == IMAGE_MAGIC for offset in offsets)


def _lines(*lines: str) -> bytes:
    return "".join(line + "\r\n" for line in lines).encode()
