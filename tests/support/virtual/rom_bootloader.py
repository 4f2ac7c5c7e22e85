"""An ESP32's ROM bootloader without a chip: bytes in, bytes out, over a fake flash chip.

esptool's real detect_chip, run_stub, write_flash, verify_flash and read_flash talk to it. The stub
that esptool uploads is not run: once it is started, the answers change as the stub's differ.
Documented faults are kept: no flash before SPI_ATTACH, 2 MiB of it before SPI_SET_PARAMS.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

from tests.support.virtual.chips import Chip
from tests.support.virtual.fake_flash_chip import MIB, SECTOR_BYTES, FakeFlashChip

ROM_FLASH_BYTES = 2 * MIB  # what the ROM believes until it is told
READ_SLOW_BYTES = 64
_FRAME, _ESCAPE = 0xC0, 0xDB
_BEGIN_MEM, _USR_BIT = 0x05, 1 << 18
_RDID, _RDSFDP = 0x9F, 0x5A
_SFDP_SIGNATURE = 0x50444653
_INVALID, _FAILED, _BAD_CHECKSUM = 0x05, 0x06, 0x07
_OK = 0


class Refused(Exception):
    """The command fails with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"0x{code:02x}")
        self.code = code


class RomBootloader:
    """One run of the bootloader, from reset to reset."""

    def __init__(self, chip: Chip, flash: FakeFlashChip, mac: bytes) -> None:
        self._chip = chip
        self._flash = flash
        self._registers = chip.registers(mac)
        self._received = bytearray()
        self._attached = False
        self._flash_bytes = ROM_FLASH_BYTES
        self._download: _Download | None = None
        self._upload: Iterator[bytes] | None = None
        self.is_stub = False
        self.leaves = False  # it was told to start the application
        self.operations: list[int] = []  # every command it was given

    def feed(self, data: bytes) -> bytes:
        """What it says to these bytes. Raises PowerCut when the flash does."""
        self._received += data
        said = b""
        while (end := self._received.find(_FRAME, 1)) > 0 and not self.leaves:
            frame = bytes(self._received[:end])
            begins = frame[0] == _FRAME and len(frame) > 1
            del self._received[: end + 1 if begins else end]
            if begins:
                said += self._answer(_unescaped(frame[1:]))
        return said

    # ------------------------------------------------------------ frames

    def _answer(self, packet: bytes) -> bytes:
        if self._upload is not None and len(packet) == 4:
            return self._next_piece()
        if len(packet) < 8 or packet[0] != 0:
            return b""
        operation, length, checksum = struct.unpack_from("<xBHI", packet)
        body = packet[8:]
        self.operations.append(operation)
        command = self._commands().get(operation)
        if command is None or length != len(body):
            return 8 * self._reply(0, 0, b"", _INVALID)
        try:
            if operation in _WITH_CHECKSUM and checksum != _checksum(body[16:]):
                raise Refused(_BAD_CHECKSUM)
            value, content = command(body)
        except Refused as refused:
            return self._reply(operation, 0, b"", refused.code)
        said = self._reply(operation, value, content)
        if operation == _SYNC:
            said *= 8
        if operation == _MEM_END and self.is_stub:
            said += _framed(b"OHAI")
        return said + (self._next_piece() if operation == _READ_FLASH else b"")

    def _reply(self, operation: int, value: int, content: bytes, code: int = _OK) -> bytes:
        state = bytes((int(code != _OK), code)) + (b"" if self.is_stub else b"\0\0")
        if operation == _MEM_END:  # the ROM's last word, before the stub's first
            state = bytes((0, 0, 0, 0))
        body = content + state
        return _framed(struct.pack("<BBHI", 1, operation, len(body), value) + body)

    def _commands(self) -> dict[int, Callable[[bytes], tuple[int, bytes]]]:
        both = {
            0x02: self._flash_begin,
            0x03: self._flash_data,
            0x04: self._flash_end,
            _BEGIN_MEM: self._nothing,
            _MEM_END: self._mem_end,
            0x07: self._nothing,  # MEM_DATA
            _SYNC: self._sync,
            0x09: self._write_registers,
            0x0A: self._read_register,
            0x0B: self._set_flash_size,
            0x0D: self._attach,
            0x0F: self._nothing,  # CHANGE_BAUDRATE
            0x10: self._deflate_begin,
            0x11: self._flash_data,
            0x12: self._flash_end,
            0x13: self._md5,
        }
        if self._chip.has_security_info:
            both[0x14] = self._security_info
        if not self.is_stub:
            return both | {0x0E: self._read_slow}
        return both | {0xD0: self._erase_all, 0xD1: self._erase_region, _READ_FLASH: self._read}

    # ------------------------------------------------------------ registers

    def _nothing(self, _body: bytes) -> tuple[int, bytes]:
        return 0, b""

    def _sync(self, body: bytes) -> tuple[int, bytes]:
        if body != b"\x07\x07\x12\x20" + 32 * b"\x55":
            raise Refused(_INVALID)
        return 0 if self.is_stub else 0x20120707, b""

    def _mem_end(self, body: bytes) -> tuple[int, bytes]:
        stays, _entry = struct.unpack("<II", body)
        self.is_stub = self.is_stub or not stays
        self._attached = self._attached or self.is_stub
        if self.is_stub:
            self._flash_bytes = self._flash.size_bytes
        return 0, b""

    def _read_register(self, body: bytes) -> tuple[int, bytes]:
        return self._registers.get(struct.unpack("<I", body)[0], 0), b""

    def _write_registers(self, body: bytes) -> tuple[int, bytes]:
        for at in range(0, len(body), 16):
            address, value, mask, _delay_us = struct.unpack_from("<IIII", body, at)
            old = self._registers.get(address, 0)
            self._registers[address] = old & ~mask | value & mask
            if address == self._chip.spi.base and value & _USR_BIT:
                self._run_flash_command()
        return 0, b""

    def _run_flash_command(self) -> None:
        """What the flash chip answers lands in W0; the command bit falls."""
        spi = self._chip.spi
        self._registers[spi.base] = 0
        command = self._registers.get(spi.base + spi.usr2, 0) & 0xFF
        address = self._registers.get(spi.base + 4, 0) >> (8 if spi.address_from_top else 0)
        found = 0
        if command == _RDID:
            found = self._flash.jedec_id
        elif command == _RDSFDP:
            found = _SFDP_SIGNATURE if address == 0 else self._flash.jedec_id & 0xFF
        bits = self._registers.get(spi.base + spi.miso_length, 0) + 1
        self._registers[spi.base + spi.w0] = found & ((1 << min(bits, 32)) - 1)

    def _security_info(self, _body: bytes) -> tuple[int, bytes]:
        return 0, struct.pack("<I8BII", 0, 0, *(0,) * 7, self._chip.image_id, 0)

    # ------------------------------------------------------------ flash

    def _attach(self, _body: bytes) -> tuple[int, bytes]:
        self._attached = True
        return 0, b""

    def _set_flash_size(self, body: bytes) -> tuple[int, bytes]:
        self._flash_bytes = min(struct.unpack_from("<xxxxI", body)[0], self._flash.size_bytes)
        return 0, b""

    def _within(self, offset: int, length: int) -> None:
        if not self._attached or offset + length > self._flash_bytes:
            raise Refused(_FAILED)

    def _flash_begin(self, body: bytes) -> tuple[int, bytes]:
        return self._begin(body, None)

    def _deflate_begin(self, body: bytes) -> tuple[int, bytes]:
        return self._begin(body, zlib.decompressobj())

    def _begin(self, body: bytes, inflate: "zlib._Decompress | None") -> tuple[int, bytes]:
        size, blocks, block_bytes, offset = struct.unpack_from("<IIII", body)
        whole = -(-size // SECTOR_BYTES) * SECTOR_BYTES
        if size:
            self._within(offset, whole)
            self._flash.erase(offset, whole)
        self._download = _Download(offset, blocks, block_bytes, inflate)
        return 0, b""

    def _flash_data(self, body: bytes) -> tuple[int, bytes]:
        size, number = struct.unpack_from("<II", body)
        download, data = self._download, body[16:]
        if download is None or size != len(data) or size > download.block_bytes:
            raise Refused(_INVALID)
        if number not in (download.next_block, download.next_block - 1):
            raise Refused(_INVALID)
        if number == download.next_block:  # else it is said once more: its answer was lost
            download.next_block += 1
            data = download.inflate.decompress(data) if download.inflate else data
            self._within(download.at, len(data))
            self._flash.program(download.at, data)
            download.at += len(data)
        return 0, b""

    def _flash_end(self, body: bytes) -> tuple[int, bytes]:
        stays = struct.unpack("<I", body)[0] == 1
        self._download = None
        self.leaves = not (self.is_stub and stays)  # the ROM goes away however it is told
        return 0, b""

    def _md5(self, body: bytes) -> tuple[int, bytes]:
        offset, length = struct.unpack_from("<II", body)
        self._within(offset, length)
        digest = self._flash.md5(offset, length)
        return 0, digest if self.is_stub else digest.hex().encode()

    def _read_slow(self, body: bytes) -> tuple[int, bytes]:
        offset, length = struct.unpack("<II", body)
        if length > READ_SLOW_BYTES:
            raise Refused(_INVALID)
        self._within(offset, length)
        return 0, self._flash.read(offset, length).ljust(READ_SLOW_BYTES, b"\0")

    def _erase_all(self, _body: bytes) -> tuple[int, bytes]:
        self._flash.erase(0, self._flash.size_bytes)
        return 0, b""

    def _erase_region(self, body: bytes) -> tuple[int, bytes]:
        offset, length = struct.unpack("<II", body)
        if offset % SECTOR_BYTES or length % SECTOR_BYTES:
            raise Refused(_INVALID)
        self._within(offset, length)
        self._flash.erase(offset, length)
        return 0, b""

    def _read(self, body: bytes) -> tuple[int, bytes]:
        offset, length, piece_bytes, _in_flight = struct.unpack("<IIII", body)
        self._within(offset, length)
        ends = range(offset, offset + length, piece_bytes)
        pieces = [self._flash.read(at, min(piece_bytes, offset + length - at)) for at in ends]
        self._upload = iter([*pieces, self._flash.md5(offset, length)])
        return 0, b""

    def _next_piece(self) -> bytes:
        """The next data of READ_FLASH; the digest goes with the last of them."""
        assert self._upload is not None
        piece = next(self._upload, None)
        if piece is None:
            self._upload = None
            return b""
        return _framed(piece)


class _Download:
    """What FLASH_BEGIN or FLASH_DEFL_BEGIN announced, and how far it is."""

    def __init__(
        self, at: int, blocks: int, block_bytes: int, inflate: "zlib._Decompress | None"
    ) -> None:
        self.at = at
        self.blocks = blocks
        self.block_bytes = block_bytes
        self.inflate = inflate
        self.next_block = 0


_MEM_END, _SYNC, _READ_FLASH = 0x06, 0x08, 0xD2
_WITH_CHECKSUM = {0x03, 0x07, 0x11}


def sync_frame() -> bytes:
    """The frame with which every host begins."""
    body = b"\x07\x07\x12\x20" + 32 * b"\x55"
    return _framed(struct.pack("<BBHI", 0, _SYNC, len(body), 0) + body)


def _checksum(data: bytes) -> int:
    state = 0xEF
    for byte in data:
        state ^= byte
    return state


def _framed(packet: bytes) -> bytes:
    escaped = packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    return b"\xc0" + escaped + b"\xc0"


def _unescaped(frame: bytes) -> bytes:
    return frame.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
