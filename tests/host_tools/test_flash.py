"""Flashing a virtual board with the real esptool: what is written, in which order, or refused."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from host_tools import flash as flashing
from host_tools.flash import Flashed, flash
from host_tools.flashing.chip import Chip
from host_tools.flashing.chip_errors import (
    ChipLocked,
    FlashTooSmall,
    NotLocked,
    RegistersEndangered,
    WrongChip,
)
from host_tools.image import filesystem
from host_tools.image.build import Image, Part
from host_tools.line import ports
from host_tools.line.ports import Port, SeveralPorts
from tests.support import an_image as images
from tests.support.flashing import (
    ENCRYPTED,
    METER_AT,
    MIB,
    PARTS,
    REGISTERS,
    VFS_AT,
    content,
    live_here,
    missing,
    once,
    with_registers,
)
from tests.support.flashing import a_meters_image as an_image
from tests.support.virtual.chips import CHIPS
from tests.support.virtual.virtual_board import VirtualBoard

SIGNED = {0x3FF5A018: 1 << 4 | 1 << 5}  # ABS_DONE_0 and _1


@pytest.mark.parametrize("chip", CHIPS)
def test_a_bare_chip_gets_every_part_and_starts_as_a_meter(tmp_path: Path, chip: str) -> None:
    image = images.an_image(chip)
    with VirtualBoard(tmp_path / "board", chip) as board:
        board.flash.write(METER_AT, b"\xff")
        done = once(board, image)
        assert (done.chip, done.mac, done.written) == (chip, board.mac, PARTS)
        assert (done.skipped, done.kept, done.restored, done.erased) == ([], [], [], [])
        assert missing(board, image) == []
        board.reset()
        board.wait_for('"event": "boot"')
        assert board.mode == "application"


def test_what_is_there_already_is_not_written_again(board: VirtualBoard) -> None:
    live_here(board)
    before = content(board)
    done = once(board, an_image())
    assert done.written == []
    assert done.kept == ["nvs", "meter"]
    assert done.skipped == ["partition_table", "bootloader", "factory", "vfs"]
    assert content(board) == before


def test_another_application_is_written_to_the_files_alone(board: VirtualBoard) -> None:
    live_here(board)
    image = an_image(version="9.9.9")
    assert once(board, image).written == ["vfs"]
    assert missing(board, image) == []
    assert filesystem.read(content(board)[VFS_AT:])["a/WHOLE"] == b"9.9.9"


def test_other_firmware_is_written_to_bootloader_and_program(board: VirtualBoard) -> None:
    live_here(board)
    image = an_image(firmware_seed=2)
    assert once(board, image).written == ["bootloader", "factory"]
    assert missing(board, image) == []


def test_files_that_a_meter_has_moved_are_still_the_same_files(board: VirtualBoard) -> None:
    """MicroPython raises the disk version at its first write; littlefs moves what it changes."""
    image = an_image()
    live_here(board, image)
    part = image.part("vfs")
    assert part is not None
    memory = filesystem.Memory(buffer=bytearray(part.content))
    system = filesystem._open(memory, len(part.content), 0)
    system.mount()
    with system.open("new", "wb") as file:
        file.write(b"x" * 5000)
    system.remove("new")
    system.unmount()
    assert bytes(memory.buffer) != part.content
    board.flash.write(VFS_AT, bytes(memory.buffer))
    assert once(board, image).written == []
    board.flash.write(VFS_AT, filesystem.build({"other": b"x"}, len(part.content)))
    assert once(board, image).written == ["vfs"]


def test_the_wrong_chip_and_too_small_a_flash_are_named_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    with VirtualBoard(tmp_path / "s3", "esp32s3") as other:
        with pytest.raises(WrongChip, match="the chip is an esp32s3, the image is for unix"):
            once(other, an_image())
        assert set(content(other)) == {0xFF}
    with VirtualBoard(tmp_path / "small", flash_bytes=2 * MIB) as small:
        with pytest.raises(FlashTooSmall, match="has 2 MB of flash, unix needs 4 MB"):
            once(small, an_image())
        assert set(content(small)) == {0xFF}
    with VirtualBoard(tmp_path / "large", flash_bytes=8 * MIB) as large:
        assert once(large, an_image()).written == PARTS


@pytest.mark.parametrize("fixed", [ENCRYPTED, SIGNED], ids=["encrypted", "signed"])
def test_a_plain_image_never_goes_onto_a_locked_chip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixed: dict[int, int]
) -> None:
    with_registers(monkeypatch, fixed)
    with VirtualBoard(tmp_path / "board") as board:
        with pytest.raises(ChipLocked, match="the image is plain: it would not start"):
            once(board, an_image())
        assert set(content(board)) == {0xFF}


def ciphered_like(image: Image) -> Image:
    """As flash encryption would have it, as far as flashing can tell."""
    table = image.part("partition_table")
    assert table is not None
    turned = tuple(
        part if part.name in ("nvs", "vfs")
        else Part(part.name, part.offset, bytes(byte ^ 0x5A for byte in part.content))
        for part in image.parts
    )  # fmt: skip
    return replace(image, parts=turned, clear_table=table.content, level="L1")


def test_an_image_under_flash_encryption_goes_onto_a_chip_that_has_it(
    tmp_path: Path, board: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ciphered_like(an_image())
    with pytest.raises(NotLocked, match="build a plain image, or lock the chip"):
        once(board, image)
    assert once(board, image, locking=True).written == PARTS
    with_registers(monkeypatch, ENCRYPTED)
    with VirtualBoard(tmp_path / "locked") as locked:
        locked.flash.write(0, content(board))
        locked.flash.write(METER_AT, REGISTERS)
        done = once(locked, image)
        assert (done.written, done.kept) == ([], ["nvs", "meter"])
        locked.flash.write(0x8000, b"\x11" * 0xC00)
        with pytest.raises(RegistersEndangered, match="under another key"):
            once(locked, image)


def test_files_are_written_last_and_their_superblocks_last_of_all(
    board: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, int, int]] = []

    class Watched(Chip):
        def write(self, offset: int, content: bytes, *rest: object) -> None:
            done.append(("write", offset, len(content)))
            super().write(offset, content, *rest)  # type: ignore[arg-type]

        def erase(self, offset: int, length: int) -> None:
            done.append(("erase", offset, length))
            super().erase(offset, length)

    monkeypatch.setattr(flashing, "Chip", Watched)
    once(board, an_image())
    assert [offset for _, offset, _ in done[:4]] == [0x9000, 0x8000, 0x1000, 0x10000]
    files = done[4:]
    assert files[0] == ("erase", VFS_AT, 0x2000)
    assert files[-2:] == [("write", VFS_AT + 0x1000, 0x1000), ("write", VFS_AT, 0x1000)]
    assert all(offset >= VFS_AT + 0x2000 for _, offset, _ in files[1:-2])


def test_a_meter_that_was_running_goes_on_after_a_refusal_and_after_a_flash(
    board: VirtualBoard,
) -> None:
    live_here(board)
    board.reset()
    with pytest.raises(WrongChip):
        flash(board.port, images.an_image("esp32s3", version="1.2.3"))
    assert board.happened[-2:] == ["bootloader", "application"]
    assert flash(board.port, an_image(version="9.9.9")).written == ["vfs"]
    assert board.happened[-2:] == ["bootloader", "application"]


def test_a_name_that_is_mistyped_never_costs_the_registers(board: VirtualBoard) -> None:
    with pytest.raises(ValueError, match="metre cannot be kept: name of nvs, meter, settings"):
        once(board, an_image(), keep=("nvs", "metre"))


def test_progress_counts_up_to_all_of_each_part_that_is_written(board: VirtualBoard) -> None:
    told: list[tuple[str, int, int]] = []
    once(board, an_image(), progress=lambda *row: told.append(row))
    assert list(dict.fromkeys(name for name, _, _ in told)) == PARTS
    for name in PARTS:
        rows = [(done, whole) for part, done, whole in told if part == name]
        counts = [done for done, _ in rows]
        assert counts == sorted(counts)
        assert len({whole for _, whole in rows}) == 1
        assert rows[-1][0] == rows[-1][1] > 0


def test_the_only_board_that_is_plugged_in_is_found_by_itself(
    board: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_here(board)
    found = [Port(board.port, "10c4:ea60", "CP2102")]
    monkeypatch.setattr(ports, "list_ports", lambda: found)
    assert flash("auto", an_image(), restart=False).mac == board.mac
    found.append(Port("/dev/ttyUSB9", "10c4:ea60", "CP2102"))
    with pytest.raises(SeveralPorts, match="say which with --port"):
        flash("auto", an_image())


def test_two_boards_are_flashed_at_once_and_nothing_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done: dict[int, Flashed] = {}

    def one(number: int, board: VirtualBoard) -> None:
        done[number] = once(board, an_image())

    with VirtualBoard(tmp_path / "1", number=1) as a, VirtualBoard(tmp_path / "2", number=2) as b:
        threads = [threading.Thread(target=one, args=pair) for pair in enumerate((a, b))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [done[n].mac for n in (0, 1)] == [a.mac, b.mac]
        assert [done[n].written for n in (0, 1)] == [PARTS, PARTS]
        assert missing(a, an_image()) == missing(b, an_image()) == []
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""
