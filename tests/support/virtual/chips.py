"""What four chips answer when esptool asks who they are: registers, and where their SPI lies."""

# Which register means what is in the technical reference manuals and in esptool's targets/*.py.

from dataclasses import dataclass, field
from typing import NamedTuple

_CRYSTAL_40_MHZ_AT_115200 = 347  # UART clock divider


class Spi(NamedTuple):
    """Where the controller of the flash chip has its registers."""

    base: int  # of SPI_CMD; SPI_ADDR is the next
    usr2: int = 0x20
    w0: int = 0x58
    miso_length: int = 0x28
    address_from_top: bool = False  # in the upper bits of SPI_ADDR


@dataclass(frozen=True)
class Chip:
    """One chip, as its ROM shows it."""

    name: str  # as boards and esptool say it: esp32c3
    description: str  # what esptool calls it
    image_id: int  # in image headers and in the security info
    magic: int  # at 0x40001000
    has_security_info: bool
    bootloader_offset: int
    spi: Spi
    mac_registers: tuple[int, int]  # of the last four bytes; of the first two
    fixed: dict[int, int] = field(default_factory=dict)  # further registers
    download_boot: str = "0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))"

    def registers(self, mac: bytes) -> dict[int, int]:
        """Its registers after a reset, for the chip that bears this MAC address."""
        low, high = self.mac_registers
        found = {
            0x40001000: self.magic,
            low: int.from_bytes(mac[2:6], "big"),
            high: int.from_bytes(mac[0:2], "big"),
        }
        return found | self.fixed


CHIPS = {
    chip.name: chip
    for chip in (
        Chip(
            name="esp32",
            description="ESP32-D0WD-V3 (revision v3.1)",
            image_id=0,
            magic=0x00F01D83,
            has_security_info=False,
            bootloader_offset=0x1000,
            spi=Spi(0x3FF42000, 0x24, 0x80, 0x2C, True),
            mac_registers=(0x3FF5A004, 0x3FF5A008),
            fixed={
                0x3FF5A00C: 1 << 15 | 1 << 9,  # revision, first bit; package 1
                0x3FF5A010: 128,  # 8 MHz oscillator, calibrated
                0x3FF5A014: 1 << 24 | 1 << 20,  # minor revision 1; revision, second bit
                0x3FF6607C: 1 << 31,  # revision, third bit
                0x3FF5F06C: 800 << 7,  # RTC calibration against it: 40 MHz
                0x3FF40014: _CRYSTAL_40_MHZ_AT_115200,
            },
        ),
        Chip(
            name="esp32s3",
            description="ESP32-S3 (QFN56) (revision v0.2)",
            image_id=9,
            magic=0x9,
            has_security_info=True,
            bootloader_offset=0,
            spi=Spi(0x60002000),
            mac_registers=(0x60007044, 0x60007048),
            fixed={0x60007050: 2 << 18, 0x60004038: 1 << 3},  # minor revision; straps: SPI boot
            download_boot="0x0 (DOWNLOAD(USB/UART0))",
        ),
        Chip(
            name="esp32c3",
            description="ESP32-C3 (QFN32) (revision v0.4)",
            image_id=5,
            magic=0x1B31506F,
            has_security_info=True,
            bootloader_offset=0,
            spi=Spi(0x60002000),
            mac_registers=(0x60008844, 0x60008848),
            fixed={0x60008850: 4 << 18},
            download_boot="0x5 (DOWNLOAD(USB/UART0/1))",
        ),
        Chip(
            name="esp32c6",
            description="ESP32-C6FH4 (QFN32) (revision v0.1)",
            image_id=13,
            magic=0x2CE0806F,
            has_security_info=True,
            bootloader_offset=0,
            spi=Spi(0x60003000),
            mac_registers=(0x600B0844, 0x600B0848),
            fixed={0x600B0850: 1 << 24 | 1 << 18, 0x600B0854: 1},  # package 1, v0.1; 4 MiB inside
            download_boot="0x4 (DOWNLOAD(UART0/USB/SDIO_REI_REO))",
        ),
    )
}
