"""The three security levels: what they mean, and how a chip is asked for its own."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from host_tools.flashing.chip import Chip
from host_tools.flashing.chip_errors import ChipLocked
from host_tools.levels import L0, L1, L2, LEVELS, MEANING, Level, Locks, level_from, level_named
from host_tools.locking.lockdown import level_of
from tests.support.lock_bench import OPEN
from tests.support.virtual.chips import CHIPS
from tests.support.virtual.rom_bootloader import RomBootloader
from tests.support.virtual.virtual_board import VirtualBoard


def test_levels_are_named_and_honest() -> None:
    assert level_named("l1") == L1
    with pytest.raises(ValueError, match="one of L0, L1, L2, not 'L3'"):
        level_named("L3")
    assert set(MEANING) == set(LEVELS)
    assert "USB cable still reads the meter key and can replace the meter's program" in MEANING[L1]


@pytest.mark.parametrize(
    ("locks", "level"),
    [
        (Locks(False, False, False), Level(L0, ())),
        (Locks(True, False, False), Level(L1, ())),
        (Locks(True, True, True), Level(L2, ())),
        (Locks(True, True, False), Level(L1, ("a closed cable",))),
        (Locks(True, False, True), Level(L1, ("secure boot",))),
        (Locks(False, True, True), Level(L0, ("flash encryption",))),
        (Locks(False, True, False), Level(L0, ("flash encryption", "a closed cable"))),
    ],
)
def test_what_is_half_locked_is_no_more_than_its_weakest_part(locks: Locks, level: Level) -> None:
    assert level_from(locks) == level
    assert level_from(locks).meaning == MEANING[level.name]


def test_the_level_of_a_chip_is_read_over_its_port_and_it_runs_on(board: VirtualBoard) -> None:
    assert level_of(board.port) == OPEN
    assert board.happened[-1] != "bootloader", "a meter that is asked goes on counting"


@pytest.mark.parametrize(
    ("fixed", "level"),
    [
        ({0x3FF5A000: 1 << 20}, Level(L1, ())),
        ({0x3FF5A000: 0b11 << 20}, OPEN),
        ({0x3FF5A000: 0x7F << 20, 0x3FF5A018: 1 << 5 | 0b11 << 7}, Level(L2, ())),
    ],
    ids=["once", "reversed", "all"],
)
def test_the_level_of_a_burned_chip_is_read_over_its_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixed: dict[int, int], level: Level
) -> None:
    chip = CHIPS["esp32"]
    registers = {key: chip.fixed.get(key, 0) | value for key, value in fixed.items()}
    monkeypatch.setitem(CHIPS, "esp32", replace(chip, fixed=chip.fixed | registers))
    with VirtualBoard(tmp_path / "board") as board:
        assert level_of(board.port) == level


def test_a_chip_in_secure_download_mode_tells_its_level_and_takes_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shut(self: RomBootloader, body: bytes) -> tuple[int, bytes]:
        flags = 1 << 0 | 1 << 2  # secure boot, secure download
        return 0, struct.pack("<I8BII", flags, 7, *(0,) * 7, CHIPS["esp32s3"].image_id, 0)

    monkeypatch.setattr(RomBootloader, "_security_info", shut)
    with VirtualBoard(tmp_path / "board", "esp32s3") as board:
        assert level_of(board.port) == Level(L2, ())
        with pytest.raises(ChipLocked, match="update it over the air"):
            Chip.open(board.port)
