"""What the tools know of each board: all of it, agreeing with what the board's program does."""

from tests.support.fake_esp32 import Chip  # isort: skip  (first)

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from boards.parts.esp32_board import Pins
from boards.parts.ethernet import Lan
from host_tools import board_profiles, bundle
from host_tools.board_profiles import (
    BOARDS,
    FUNCTIONS,
    BoardProfile,
    ProfileDamaged,
    UnknownBoard,
    profile,
    profiles,
    read,
    read_pins,
)

NAMES = list(profiles())


def program(board: BoardProfile) -> Any:
    """boards/<name>.py, on a fake chip."""
    Chip(board.chip)
    return importlib.import_module(f"boards.{board.name}")


def a_copy(tmp_path: Path, name: str = "esp32_devkit") -> Path:
    """A board's folder that a test may spoil."""
    folder = tmp_path / profile(name).folder.name
    shutil.copytree(profile(name).folder, folder)
    return folder


def test_there_is_a_profile_for_each_board_that_is_shipped_and_a_bundle_for_each_profile() -> None:
    assert set(NAMES) == {
        "esp32_devkit",
        "esp32s3_devkit",
        "esp32c3_supermini",
        "esp32c6_devkit",
        "wt32_eth01",
        "olimex_esp32_poe",
    }
    assert set(bundle.BOARDS) == {"unix", *NAMES}
    assert list(NAMES) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_is_the_board_s_name_in_capitals_and_its_program_is_there(name: str) -> None:
    board = profile(name)
    assert board.folder == BOARDS / name.upper()
    assert (BOARDS / f"{name}.py").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_the_pins_are_those_of_the_board_s_program(name: str) -> None:
    board = profile(name)
    found = program(board)
    pins: Pins = found.PINS
    assert [board.pins["import"], board.pins["export"]] == list(pins.pulses)
    assert board.pins["supply"] == (None if pins.supply < 0 else pins.supply)
    assert board.pins["tamper"] == (None if pins.tamper < 0 else pins.tamper)
    assert board.chip == found.CHIP
    assert set(board.pins) == set(FUNCTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_the_ethernet_is_that_of_the_board_s_program_or_neither_has_one(name: str) -> None:
    board = profile(name)
    lan: Lan | None = getattr(program(board), "LAN", None)
    assert board.ethernet is (lan is not None)
    if lan is not None and board.wired is not None:
        wired = board.wired
        names = ("eth_mdc", "eth_mdio", "eth_power", "eth_clk")
        assert [wired.pins[line] for line in names] == list(lan.pins)
        assert (wired.phy_addr, wired.clock_out) == (lan.phy_addr, lan.clock_out)


def test_offsets_are_where_the_rom_of_each_chip_looks_for_a_bootloader() -> None:
    wanted = {"esp32": 0x1000, "esp32s3": 0, "esp32c3": 0, "esp32c6": 0}
    assert {board.chip: board.flash_offset for board in profiles().values()} == wanted


def test_what_counts_by_interrupt_is_not_for_settlement_and_says_so_alone() -> None:
    by_irq = [board.name for board in profiles().values() if board.counts_by == "irq"]
    assert by_irq == ["esp32c3_supermini"]
    assert [board.name for board in profiles().values() if not board.settlement] == by_irq


def test_an_unknown_board_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(UnknownBoard, match="there is no board 'esp8266': name one of esp32_devkit"):
        profile("esp8266")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("board.json", '"mcu": "esp32",', "", "'mcu' is missing"),
        ("board.json", "{", "", "ESP32_DEVKIT"),
        ("profile.toml", 'board = "esp32_devkit"', "", "'board' is missing"),
        ("profile.toml", 'counts_by = "pcnt"', 'counts_by = "ear"', "counts_by is of"),
        ("profile.toml", "4_194_304", "4_194_305", "flash_bytes of"),
        ("profile.toml", '"0-19"', '"0-x"', "ESP32_DEVKIT"),
        ("pins.csv", "IMPORT,GPIO25", "IMPORT,25", "write LABEL,GPIO12"),
        ("pins.csv", "IMPORT,GPIO25", "IMPORT", "write LABEL,GPIO12"),
        ("pins.csv", "IMPORT,GPIO25", "IM PORT,GPIO25", "write LABEL,GPIO12"),
        ("pins.csv", "IMPORT,GPIO25", "EXPORT,GPIO25", "EXPORT is there twice"),
        ("pins.csv", "IMPORT,GPIO25", "LAMP,GPIO25", "LAMP is none of"),
        ("pins.csv", "IMPORT,GPIO25", "ETH_MDC,GPIO23", r"\[ethernet\] is missing"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(
    tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    folder = a_copy(tmp_path)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(ProfileDamaged, match=f"ESP32_DEVKIT.*{said}|{said}"):
        read(folder)


@pytest.mark.parametrize("file", ["board.json", "pins.csv", "profile.toml"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, file: str) -> None:
    folder = a_copy(tmp_path)
    (folder / file).unlink()
    with pytest.raises(ProfileDamaged, match=file):
        read(folder)


def test_an_ethernet_board_needs_all_four_pins_of_its_phy(tmp_path: Path) -> None:
    folder = a_copy(tmp_path, "wt32_eth01")
    text = (folder / "pins.csv").read_text()
    (folder / "pins.csv").write_text(text.replace("ETH_CLK,GPIO0\n", ""))
    with pytest.raises(ProfileDamaged, match="'eth_clk' is missing"):
        read(folder)


def test_comments_and_empty_lines_of_pins_csv_are_no_pins_and_32_are_the_most(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pins.csv"
    for count in (0, 1, board_profiles.PINS_MAX):
        path.write_text("# label,pin\n\n" + "".join(f"P{n},GPIO{n}\n" for n in range(count)))
        assert read_pins(path) == {f"p{n}": n for n in range(count)}
    path.write_text("".join(f"P{n},GPIO{n}\n" for n in range(board_profiles.PINS_MAX + 1)))
    with pytest.raises(ValueError, match="33 pins"):
        read_pins(path)


def test_numbers_are_listed_alone_and_in_ranges_with_both_ends() -> None:
    assert board_profiles.numbers([3, "6-8", "1"]) == [3, 6, 7, 8, 1]
    assert board_profiles.numbers([]) == []
    with pytest.raises(ValueError, match="invalid literal"):
        board_profiles.numbers(["6-"[:1] + "x"])
