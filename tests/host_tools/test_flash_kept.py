"""What a re-flash leaves alone: registers, identity and settings, proven or put back."""

import pytest

from host_tools import flash as flashing
from host_tools.flashing import kept
from host_tools.flashing.chip import Chip
from host_tools.flashing.chip_errors import (
    RegistersEndangered,
    RegistersLost,
)
from host_tools.flashing.kept import METER, SETTINGS
from host_tools.image import filesystem, nvs, partitions
from host_tools.image.build import NVS, Settings, build
from host_tools.image.partitions import Partition
from tests.support.a_firmware import WITH_VFS, WITHOUT_VFS, a_firmware
from tests.support.an_image import a_board, a_small_application, an_identity
from tests.support.flashing import (
    METER_AT,
    METER_BYTES,
    MIB,
    REGISTERS,
    VFS_AT,
    bare,
    content,
    live_here,
    missing,
    once,
    registers,
)
from tests.support.flashing import a_meters_image as an_image
from tests.support.virtual.virtual_board import VirtualBoard


def test_registers_and_identity_stay_byte_for_byte_through_a_new_image(board: VirtualBoard) -> None:
    live_here(board)
    before = registers(board)
    identity = nvs.read(board.flash.read(0x9000, 0x6000))
    done = once(board, an_image(seed=99, version="9.9.9", firmware_seed=2))
    assert done.kept == ["nvs", "meter"]
    assert done.restored == []
    assert registers(board) == before
    assert nvs.read(board.flash.read(0x9000, 0x6000)) == identity


def test_a_chip_that_was_never_paired_gets_the_image_s_identity(board: VirtualBoard) -> None:
    live_here(board, bare())
    wifi_s_own = (nvs.Entry("cal_data", b"\x01" * 100),)
    board.flash.write(0x9000, nvs.generate(wifi_s_own, 0x6000, namespace="phy"))
    done = once(board, an_image())
    assert "nvs" in done.written
    assert done.kept == ["meter"]
    assert nvs.holds_identity(board.flash.read(0x9000, 0x6000))
    assert registers(board)[: len(REGISTERS)] == REGISTERS


def test_identity_and_registers_are_replaced_only_when_asked(board: VirtualBoard) -> None:
    live_here(board)
    done = once(board, an_image(seed=99), keep=(METER,))
    assert "nvs" in done.written
    assert done.kept == ["meter"]
    key = nvs.read(board.flash.read(0x9000, 0x6000))["meter", "key"]
    assert key == an_identity(99).meter_key.reveal()
    done = once(board, an_image(seed=99), keep=(NVS,))
    assert (done.kept, done.erased) == (["nvs"], ["meter"])
    assert set(registers(board)) == {0xFF}
    assert once(board, bare(), keep=()).erased == ["nvs"]
    assert set(board.flash.read(0x9000, 0x6000)) == {0xFF}


@pytest.mark.parametrize("table", [WITH_VFS, WITHOUT_VFS], ids=["vfs", "no_vfs"])
def test_what_stock_firmware_left_where_registers_go_is_erased(
    board: VirtualBoard, table: partitions.Table
) -> None:
    board.flash.write(0x1000, a_firmware(table=table))
    board.flash.write(METER_AT, filesystem.build({"main.py": b"print()"}, 2 * MIB))
    done = once(board, an_image())
    assert done.erased == ["meter"]
    assert done.kept == []
    assert set(registers(board)) == {0xFF}
    assert missing(board, an_image()) == []


def test_with_its_table_lost_a_meter_is_still_known_by_its_nvs(board: VirtualBoard) -> None:
    for table in (b"\xff" * 0x1000, partitions.encode(an_image().table)[:40], b"\0" * 0xC00):
        live_here(board)
        board.flash.write(0x8000, table)
        before = registers(board)
        done = once(board, an_image())
        assert done.kept == ["nvs", "meter"]
        assert registers(board) == before
        assert missing(board, an_image()) == []
    live_here(board, bare())
    board.flash.write(0x8000, b"\xff" * 0x1000)
    assert once(board, an_image()).erased == ["meter"]


def test_settings_that_the_chip_has_go_into_an_image_without_any(board: VirtualBoard) -> None:
    live_here(board)
    once(board, bare("9.9.9"))
    files = filesystem.read(content(board)[VFS_AT:])
    assert b"correct horse" in files["config.json"]
    assert files["a/WHOLE"] == b"9.9.9"
    assert once(board, bare("9.9.9")).written == []
    once(board, an_image(version="9.9.9"), keep=(NVS, METER, SETTINGS))
    once(board, bare("9.9.9"), keep=(NVS, METER))
    assert "config.json" not in filesystem.read(content(board)[VFS_AT:])


def test_an_image_s_own_settings_come_before_those_of_the_chip(board: VirtualBoard) -> None:
    old = build(
        a_board(), a_firmware(), a_small_application(), Settings({"tls": True}, b"OLD CA"), None
    )
    live_here(board, old)
    once(board, an_image())
    files = filesystem.read(content(board)[VFS_AT:])
    assert b"correct horse" in files["config.json"]
    assert "ca.der" not in files


def test_registers_move_with_their_partition(board: VirtualBoard) -> None:
    elsewhere = (
        *WITH_VFS[:3],
        Partition("vfs", 1, 0x81, 0x200000, 0x80000),
        Partition("meter", 1, 0x40, 0x380000, 0x80000),
    )
    live_here(board)
    board.flash.write(0x8000, partitions.encode(elsewhere))
    board.flash.write(0x380000, REGISTERS.ljust(0x80000, b"\xff"))
    board.flash.write(0x3F0000, REGISTERS)
    done = once(board, an_image())
    assert done.kept == ["nvs", "meter"]
    found = registers(board)
    assert found[: len(REGISTERS)] == REGISTERS
    assert found[0x70000 : 0x70000 + len(REGISTERS)] == REGISTERS
    assert found.count(0xFF) == METER_BYTES - 2 * len(REGISTERS)
    assert missing(board, an_image()) == []


def test_what_a_grown_partition_gains_is_erased(board: VirtualBoard) -> None:
    smaller = tuple(
        row._replace(size=0x80000) if row.label == "meter" else row for row in an_image().table
    )
    live_here(board)
    board.flash.write(0x8000, partitions.encode(smaller))
    board.flash.write(METER_AT + 0x80000, b"a file that was here")
    once(board, an_image())
    assert registers(board)[: len(REGISTERS)] == REGISTERS
    assert set(registers(board)[0x80000:]) == {0xFF}


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (Partition("meter", 1, 0x40, 0x280000, 0x100000), "over what must be kept"),
        (Partition("meter", 1, 0x40, 0x200000, 0x200000), "more than the new partition table"),
    ],
)
def test_registers_that_would_be_lost_stop_it_before_anything_is_written(
    board: VirtualBoard, before: Partition, why: str
) -> None:
    live_here(board)
    board.flash.write(0x8000, partitions.encode((*WITH_VFS[:3], before)))
    board.flash.write(before.end - 0x10000, REGISTERS)
    as_it_was = content(board)
    with pytest.raises(RegistersEndangered, match=why):
        once(board, an_image(version="9.9.9"))
    assert content(board) == as_it_was


def test_a_table_without_a_place_for_registers_is_refused_where_there_are_some(
    board: VirtualBoard,
) -> None:
    stock = build(
        a_board(), a_firmware(), a_small_application(), Settings({}), None, keep_table=True
    )
    live_here(board)
    as_it_was = content(board)
    with pytest.raises(RegistersEndangered, match="the new partition table has no meter"):
        once(board, stock)
    assert content(board) == as_it_was
    assert once(board, stock, keep=(NVS,)).kept == ["nvs"]
    assert missing(board, stock) == []


def test_registers_that_change_while_flashing_are_put_back_and_named(
    board: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_here(board)
    before = registers(board)

    class Careless(Chip):
        def write(self, offset: int, content: bytes, *rest: object) -> None:
            super().write(offset, content, *rest)  # type: ignore[arg-type]
            if offset == 0x10000:
                board.flash.write(METER_AT, b"a fault of the flash")
                board.flash.write(METER_AT + 0x90000, b"another, where nothing was")

    monkeypatch.setattr(flashing, "Chip", Careless)
    done = once(board, an_image(firmware_seed=2))
    assert done.restored == ["meter"]
    assert registers(board) == before

    class Stuck(Careless):
        def holds(self, offset: int, content: bytes) -> bool:
            return offset != METER_AT and super().holds(offset, content)

    monkeypatch.setattr(flashing, "Chip", Stuck)
    with pytest.raises(RegistersLost, match="meter changed while flashing and cannot be put back"):
        once(board, an_image(firmware_seed=3))


def test_no_repr_shows_what_was_read_from_a_chip(board: VirtualBoard) -> None:
    live_here(board)
    with Chip.open(board.port) as chip:
        found = kept.survey(chip, an_image(), kept.KEEP)
    assert found.kept
    assert an_identity().meter_key.reveal() in found.kept[0].pieces[0].content
    assert len(repr(found)) < 1500
    assert "content" not in repr(found)
