"""The fake ROM bootloader, by the one judge there is: real esptool, on four chips."""

import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import esptool
import pytest
import serial
from esptool import cmds
from esptool.util import FatalError

from tests.support.virtual import an_image, chips, wires
from tests.support.virtual.fake_flash_chip import MIB, FakeFlashChip, PowerCut
from tests.support.virtual.rom_bootloader import RomBootloader, sync_frame
from tests.support.virtual.virtual_board import VirtualBoard

# Bytes that SLIP must escape, some that compress and some that do not.
PROGRAM = bytes(range(256)) * 40 + b"\xc0\xdb" * 900 + bytes(8000)
FILES_AT, FILES = 0x300000, b"files \xc0\xdb" * 700  # above the 2 MiB that the ROM believes in
STUB = {"without_stub": False, "with_stub": True}
READ = 0x03


@contextmanager
def connected(board: VirtualBoard, stub: bool, **how: Any) -> Iterator[esptool.ESPLoader]:
    """esptool at the board's flash."""
    with cmds.detect_chip(board.port, **how) as esp:
        ready = cmds.run_stub(esp) if stub else esp
        cmds.attach_flash(ready)
        yield ready


def write(esp: esptool.ESPLoader, *parts: tuple[int, bytes], **how: Any) -> None:
    cmds.write_flash(esp, [*parts], no_progress=True, **how)


@pytest.mark.parametrize("stub", STUB.values(), ids=STUB)
@pytest.mark.parametrize("chip", chips.CHIPS)
def test_esptool_writes_verifies_and_reads_each_chip(tmp_path: Path, chip: str, stub: bool) -> None:
    with VirtualBoard(tmp_path, chip, number=7) as board:
        with connected(board, stub) as esp:
            assert esp.CHIP_NAME.replace("-", "").lower() == chip
            assert esp.get_chip_description() == board.chip.description
            assert bytes(esp.read_mac()) == board.mac
            assert esp.get_crystal_freq() == 40
            assert cmds.detect_flash_size(esp) == "4MB"
            write(esp, (0x10000, PROGRAM), (FILES_AT, FILES))
            cmds.verify_flash(esp, [(0x10000, PROGRAM), (FILES_AT, FILES)])
            assert cmds.read_flash(esp, FILES_AT, 3000, no_progress=True) == FILES[:3000]
            cmds.erase_region(esp, FILES_AT, 0x1000)
            assert cmds.read_flash(esp, FILES_AT + 4090, 12, no_progress=True) == (
                b"\xff" * 6 + FILES[4096:4102]
            )
        assert board.flash.read(0x10000, len(PROGRAM)) == PROGRAM


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as board, connected(board, stub=True) as esp:
        write(esp, (0x10000, PROGRAM))
        board.cut_power_after(0)
        write(esp, (0x10000, PROGRAM), skip_flashed=True)
        assert board.mode == "bootloader"


def test_a_difference_of_one_bit_is_found(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as board, connected(board, stub=True) as esp:
        write(esp, (0x10000, PROGRAM))
        board.flash.program(0x10000 + 1, b"\x00")
        with pytest.raises(FatalError, match="Verification failed"):
            cmds.verify_flash(esp, [(0x10000, PROGRAM)])


def test_a_larger_chip_says_so(tmp_path: Path) -> None:
    large = VirtualBoard(tmp_path, "esp32s3", flash_bytes=16 * MIB)
    with large as board, connected(board, stub=False) as esp:
        assert cmds.detect_flash_size(esp) == "16MB"


def test_reset_wires_lead_into_the_bootloader_and_out_of_it(tmp_path: Path) -> None:
    with an_image.a_flashed_board(tmp_path, {"main.py": b"print('it runs')"}) as board:
        board.wait_for("it runs")
        with cmds.detect_chip(board.port) as esp:
            assert board.mode == "bootloader"
            cmds.reset_chip(esp, "hard-reset")
        board.wait_for("it runs", times=2)
        assert board.happened == ["application", "bootloader", "application"]


def test_the_rom_leaves_for_the_application_when_it_is_told_to(tmp_path: Path) -> None:
    with an_image.a_flashed_board(tmp_path, {"main.py": b"print('it runs')"}) as board:
        board.wait_for("it runs")
        with cmds.detect_chip(board.port) as esp:
            cmds.reset_chip(esp, "soft-reset")
        board.wait_for("it runs", times=2)
        assert board.happened == ["application", "bootloader", "application"]


def test_without_reset_wires_esptool_finds_nobody_until_a_hand_presses_boot(
    tmp_path: Path,
) -> None:
    with an_image.a_flashed_board(tmp_path, {"main.py": b"while True: pass"}) as board:
        board.cut_reset_wires()
        with pytest.raises(FatalError, match="Failed to connect"):
            cmds.detect_chip(board.port, connect_attempts=1)
        board.enter_bootloader()
        with cmds.detect_chip(board.port, connect_attempts=1) as esp:
            assert esp.CHIP_NAME == "ESP32"


def test_a_strapping_pin_that_is_held_keeps_the_chip_in_its_bootloader(tmp_path: Path) -> None:
    with an_image.a_flashed_board(tmp_path, {"main.py": b""}) as board:
        board.hold_boot()
        with cmds.detect_chip(board.port) as esp:
            cmds.reset_chip(esp, "hard-reset")
        assert board.mode == "bootloader"
        board.hold_boot(False)
        board.reset()
        assert board.mode == "application"


def test_a_chip_of_another_kind_than_asked_for_is_named(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path, "esp32c3") as board:
        esp = esptool.CHIP_DEFS["esp32s3"](board.port)
        with pytest.raises(FatalError, match="This chip is ESP32-C3, not ESP32-S3"):
            esp.connect()
        esp._port.close()


@pytest.mark.parametrize("stub", STUB.values(), ids=STUB)
def test_a_power_cut_leaves_what_was_written_before_and_silence(tmp_path: Path, stub: bool) -> None:
    with VirtualBoard(tmp_path) as board:
        with connected(board, stub) as esp:
            board.cut_power_after(5000)
            with pytest.raises(FatalError):
                write(esp, (0x10000, PROGRAM))
        assert (board.mode, board.happened[-1]) == ("off", "power_cut")
        assert board.flash.read(0x10000, 5000) == PROGRAM[:5000]
        assert board.flash.read(0x10000 + 5000, 4000) == b"\xff" * 4000
        board.power_on()
        with connected(board, stub) as esp:
            write(esp, (0x10000, PROGRAM))
            cmds.verify_flash(esp, [(0x10000, PROGRAM)])


def test_a_cable_pulled_in_the_middle_is_an_error_and_the_board_comes_back(
    tmp_path: Path,
) -> None:
    with VirtualBoard(tmp_path) as board:
        with connected(board, stub=True) as esp:
            board.unplug(after_bytes=100)
            with pytest.raises((FatalError, serial.SerialException, OSError)):
                cmds.read_flash(esp, 0, 20_000, no_progress=True)
            esp._port.close()
        assert board.happened[-1] == "unplugged"
        board.plug_in()
        with cmds.detect_chip(board.port) as esp:
            assert bytes(esp.read_mac()) == board.mac


def test_noise_on_the_line_fails_a_read(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as board, connected(board, stub=True) as esp:
        board.add_garbage(b"\x00\xc0\xff\xdb", after_bytes=50)
        with pytest.raises(FatalError):
            cmds.read_flash(esp, 0, 20_000, no_progress=True)


# ------------------------------------------------------------ without a line


@pytest.fixture
def flash(tmp_path: Path) -> Iterator[FakeFlashChip]:
    chip = FakeFlashChip(tmp_path / "flash.bin")
    yield chip
    chip.close()


@pytest.fixture
def rom(flash: FakeFlashChip) -> RomBootloader:
    return RomBootloader(chips.CHIPS["esp32c3"], flash, bytes(6))


def a_command(operation: int, body: bytes, checksum: int = 0) -> bytes:
    packet = struct.pack("<BBHI", 0, operation, len(body), checksum) + body
    return b"\xc0" + packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


def code_of(answer: bytes) -> tuple[int, int]:
    """Failed or not, and why, of the one answer."""
    assert (answer[0], answer[-1]) == (0xC0, 0xC0)
    return answer[-5], answer[-4]


def test_sync_is_answered_eight_times_whatever_comes_before_it(rom: RomBootloader) -> None:
    assert rom.feed(b"\r\n\x03noise\xc0\xc0" + sync_frame()).count(b"\xc0\x01\x08") == 8


def test_a_frame_may_come_byte_by_byte(rom: RomBootloader) -> None:
    answers = [rom.feed(bytes((byte,))) for byte in sync_frame()]
    assert not any(answers[:-1])
    assert answers[-1].count(b"\xc0\x01\x08") == 8


def test_an_unknown_command_is_refused_eight_times(rom: RomBootloader) -> None:
    answer = rom.feed(a_command(0xD0, b""))  # ERASE_FLASH: the stub's
    assert answer.count(b"\x01\x05\x00\x00\xc0") == 8


def test_flash_is_not_there_before_it_is_attached(rom: RomBootloader) -> None:
    begin = struct.pack("<IIIII", 1024, 1, 1024, 0x1000, 0)
    assert code_of(rom.feed(a_command(0x02, begin))) == (1, 0x06)
    rom.feed(a_command(0x0D, bytes(8)))
    assert code_of(rom.feed(a_command(0x02, begin))) == (0, 0)


@pytest.mark.parametrize(("offset", "code"), [(0x1FF000, (0, 0)), (0x200000, (1, 0x06))])
def test_the_rom_believes_in_two_mebibytes_until_it_is_told(
    rom: RomBootloader, offset: int, code: tuple[int, int]
) -> None:
    rom.feed(a_command(0x0D, bytes(8)))
    begin = a_command(0x02, struct.pack("<IIIII", 1024, 1, 1024, offset, 0))
    assert code_of(rom.feed(begin)) == code
    rom.feed(a_command(0x0B, struct.pack("<IIIIII", 0, 4 * MIB, 65536, 4096, 256, 0xFFFF)))
    assert code_of(rom.feed(begin)) == (0, 0)


def test_a_block_with_a_wrong_checksum_is_refused_and_not_written(
    rom: RomBootloader, flash: FakeFlashChip
) -> None:
    rom.feed(a_command(0x0D, bytes(8)))
    rom.feed(a_command(0x02, struct.pack("<IIIII", 1024, 1, 1024, 0x1000, 0)))
    block = struct.pack("<IIII", 1024, 0, 0, 0) + b"\x01" * 1024
    assert code_of(rom.feed(a_command(READ, block, 0xEE))) == (1, 0x07)
    assert flash.read(0x1000, 1024) == b"\xff" * 1024
    assert code_of(rom.feed(a_command(READ, block, 0xEF))) == (0, 0)
    assert flash.read(0x1000, 1024) == b"\x01" * 1024


def test_a_block_that_is_said_twice_is_written_once(
    rom: RomBootloader, flash: FakeFlashChip
) -> None:
    rom.feed(a_command(0x0D, bytes(8)))
    rom.feed(a_command(0x02, struct.pack("<IIIII", 2048, 2, 1024, 0x1000, 0)))
    for number, byte in ((0, 1), (0, 1), (1, 2)):
        block = struct.pack("<IIII", 1024, number, 0, 0) + bytes((byte,)) * 1024
        assert code_of(rom.feed(a_command(READ, block, 0xEF))) == (0, 0)
    assert flash.read(0x1000, 2048) == b"\x01" * 1024 + b"\x02" * 1024


def test_flash_is_nor_programming_clears_bits_and_erasing_sets_a_sector(
    flash: FakeFlashChip,
) -> None:
    flash.program(0x2000, b"\xf0")
    flash.program(0x2000, b"\x3c")
    assert flash.read(0x2000, 2) == b"\x30\xff"
    flash.erase(0x2FFF, 2)
    assert flash.read(0x2000, 1) == b"\xff"


@pytest.mark.parametrize(("cut", "written"), [(0, 0), (9, 9), (10, 10)])
def test_power_goes_away_at_the_byte_it_was_told(
    flash: FakeFlashChip, cut: int, written: int
) -> None:
    flash.cut_after(cut)
    if cut < 10:
        with pytest.raises(PowerCut):
            flash.program(0, bytes(10))
    else:
        flash.program(0, bytes(10))
        with pytest.raises(PowerCut):
            flash.program(20, b"\0")
    assert flash.read(0, 11) == bytes(written) + b"\xff" * (11 - written)


def test_wires_are_asked_only_of_virtual_boards(tmp_path: Path) -> None:
    wires.fit()
    with (tmp_path / "file").open("w") as file:
        fcntl = serial.serialposix.fcntl
        with pytest.raises(OSError, match="Inappropriate ioctl"):
            fcntl.ioctl(file.fileno(), termios.TIOCMGET, b"\0\0\0\0")
