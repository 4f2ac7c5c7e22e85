"""The boards' MicroPython definitions: as MicroPython's own are laid out, and whole.

Nothing is built here: there is no ESP-IDF. What a build would read is checked file by file, and the
manifest is run as MicroPython's manifestfile.py runs it.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from host_tools import bundle
from host_tools.board_profiles import BOARDS, BoardProfile, profiles, read_pins
from host_tools.image import partitions
from host_tools.micropython import ROOT

ALL = list(profiles().values())
ON_EACH = pytest.mark.parametrize("board", ALL, ids=lambda board: board.name)
FILES = {
    "board.json",
    "main.py",
    "manifest.py",
    "mpconfigboard.cmake",
    "mpconfigboard.h",
    "mpconfigvariant_SECURE.cmake",
    "pins.csv",
    "profile.toml",
    "sdkconfig.board",
}
# tools/autobuild/build-downloads.py of MicroPython: what a board may say of itself.
FEATURES = {
    "BLE", "CAN", "Ethernet", "LoRa", "USB", "USB-C", "WiFi", "Dual-core", "External Flash",
    "External RAM", "Feather", "JST-PH", "JST-SH", "mikroBUS", "microSD", "SDCard",
    "Environment Sensor", "IMU", "Audio Codec", "Battery Charging", "Camera", "DAC", "Display",
    "Microphone", "PoE", "RGB LED", "RGB WS2812B LED", "Secure Element",
}  # fmt: skip
KEYS = {
    "deploy": list,
    "deploy_options": dict,
    "docs": str,
    "features": list,
    "images": list,
    "mcu": str,
    "product": str,
    "thumbnail": str,
    "url": str,
    "variants": dict,
    "vendor": str,
}
GPIOS_MAX = 62  # ports/esp32/boards/make-pins.py, NUM_GPIOS
SECURE = (
    "CONFIG_SECURE_BOOT=y",
    "CONFIG_SECURE_BOOT_V2_ENABLED=y",
    "CONFIG_SECURE_BOOT_BUILD_SIGNED_BINARIES=y",
    "CONFIG_SECURE_FLASH_ENC_ENABLED=y",
    "CONFIG_SECURE_FLASH_ENCRYPTION_MODE_RELEASE=y",
    "CONFIG_NVS_ENCRYPTION=y",
    "CONFIG_NVS_SEC_KEY_PROTECT_USING_FLASH_ENC=y",
    "CONFIG_SECURE_DISABLE_ROM_DL_MODE=y",
)
REVISION = {"esp32": "CONFIG_ESP32_REV_MIN_3=y", "esp32c3": "CONFIG_ESP32C3_REV_MIN_3=y"}


def text_of(board: BoardProfile, name: str) -> str:
    return (board.folder / name).read_text("utf-8")


def settings_of(text: str) -> list[str]:
    """The lines of an sdkconfig that set something."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


class Options:
    """The options of a manifest that is included."""

    def __init__(self, **given: object) -> None:
        self._given = given

    def __getattr__(self, name: str) -> object:
        return self._given.get(name)


class Manifest:
    """Runs a manifest as MicroPython does, and keeps what it freezes: target -> source."""

    def __init__(self, board: BoardProfile) -> None:
        self.board = board
        self.frozen: dict[str, Path] = {}
        self.stock: list[str] = []
        self.opt: set[int | None] = set()
        self.include(str(board.folder / "manifest.py"))

    def include(self, path: str, **options: object) -> None:
        if path.startswith("$(PORT_DIR)"):
            self.stock.append(path)
            return
        api: dict[str, Any] = {
            "include": self.include,
            "package": self.package,
            "module": self.module,
            "options": Options(**options),
        }
        exec(self.path(path).read_text("utf-8"), api)

    def package(
        self, name: str, files: list[str], base_path: str = ".", opt: int | None = None
    ) -> None:
        for file in files:
            self._add(f"{name}/{file}", self.path(base_path) / name / file, opt)

    def module(self, name: str, base_path: str = ".", opt: int | None = None) -> None:
        self._add(name, self.path(base_path) / name, opt)

    def path(self, text: str) -> Path:
        return Path(text.replace("$(BOARD_DIR)", str(self.board.folder))).resolve()

    def _add(self, target: str, source: Path, opt: int | None) -> None:
        assert source.is_file(), f"{target}: the build would find no {source}"
        assert target not in self.frozen, target
        self.frozen[target] = source
        self.opt.add(opt)


def test_every_folder_in_capitals_is_a_board_and_has_every_file_of_one() -> None:
    folders = [path for path in BOARDS.iterdir() if path.is_dir() and path.name.isupper()]
    assert {path.name for path in folders} == {board.folder.name for board in ALL}
    for folder in folders:
        assert {path.name for path in folder.iterdir() if path.is_file()} == FILES, folder.name


@ON_EACH
def test_board_json_has_micropython_s_keys_in_its_order_and_its_words(board: BoardProfile) -> None:
    told = json.loads(text_of(board, "board.json"))
    assert list(told) == sorted(KEYS)
    for key, kind in KEYS.items():
        assert type(told[key]) is kind, key
    assert set(told["features"]) <= FEATURES
    assert told["features"] == sorted(told["features"])
    assert ("Ethernet" in told["features"]) is board.ethernet
    assert told["url"].startswith("https://")
    assert set(told["variants"]) == {"SECURE"}
    for name in told["deploy"]:
        assert (board.folder / name).resolve().is_file()
    assert text_of(board, "board.json") == json.dumps(told, indent=4) + "\n"


@ON_EACH
def test_pins_csv_has_pins_that_micropython_s_generator_takes(board: BoardProfile) -> None:
    pins = read_pins(board.folder / "pins.csv")
    assert {"import", "export", "supply"} <= set(pins)
    assert all(0 <= pin < GPIOS_MAX for pin in pins.values())
    assert len(set(pins.values())) == len(pins)
    assert all(row.split(",")[0].isupper() for row in text_of(board, "pins.csv").split())


@ON_EACH
def test_mpconfigboard_h_names_the_board_and_its_chip(board: BoardProfile) -> None:
    defined = dict(re.findall(r"^#define (\w+) (.+)$", text_of(board, "mpconfigboard.h"), re.M))
    assert set(defined) == {
        "MICROPY_HW_BOARD_NAME",
        "MICROPY_HW_MCU_NAME",
        "MICROPY_PY_BLUETOOTH",
    }
    assert defined["MICROPY_HW_MCU_NAME"] == f'"{board.chip.upper()}"'
    assert defined["MICROPY_HW_BOARD_NAME"].endswith(' meter"')


@ON_EACH
def test_mpconfigboard_cmake_is_of_the_board_s_chip_and_flash(board: BoardProfile) -> None:
    said = text_of(board, "mpconfigboard.cmake")
    assert f"set(IDF_TARGET {board.chip})" in said
    assert f"set(METER_FLASH_SIZE {board.flash_bytes >> 20}MB)" in said
    assert re.findall(r"boards/(\S+)", said) == ["sdkconfig.base"], "what every version has"
    assert said.rstrip().endswith("include(${MICROPY_BOARD_DIR}/../meter.cmake)")


@pytest.mark.parametrize("path", sorted(BOARDS.rglob("*.cmake")), ids=lambda path: path.name)
def test_every_file_that_cmake_is_sent_to_is_there(path: Path) -> None:
    said = path.read_text("utf-8")
    assert said.count("(") == said.count(")")
    for board in [b for b in ALL if path.parent in (BOARDS, b.folder)]:
        text = said.replace("${METER_FLASH_SIZE}", f"{board.flash_bytes >> 20}MB")
        for name in re.findall(r"\$\{MICROPY_BOARD_DIR\}/([\w./-]+\w)", text):
            assert (board.folder / name).resolve().is_file(), name


@ON_EACH
def test_the_manifest_freezes_all_that_the_board_imports_and_nothing_else(
    board: BoardProfile,
) -> None:
    made = Manifest(board)
    assert set(made.frozen) == {*bundle.application(board.name), "main.py"}
    assert all(source == ROOT / target for target, source in made.frozen.items()
               if target != "main.py")  # fmt: skip
    assert made.stock == ["$(PORT_DIR)/boards/manifest.py"], "umqtt comes with MicroPython's own"
    assert made.opt == {3, None}


@ON_EACH
def test_the_frozen_program_is_the_board_s_own(board: BoardProfile) -> None:
    said = text_of(board, "main.py")
    assert f"from boards import {board.name}\n" in said
    assert f"{board.name}.main([])\n" in said


@ON_EACH
def test_the_secure_variant_has_every_lock_of_its_chip_and_no_way_round_it(
    board: BoardProfile,
) -> None:
    found = settings_of(text_of(board, "sdkconfig.board"))
    assert set(SECURE) <= set(found)
    wanted = REVISION.get(board.chip)
    assert [line for line in found if "REV_MIN" in line] == ([wanted] if wanted else [])
    for word in ("INSECURE", "DEVELOPMENT", "ALLOW_JTAG", "ALLOW_DL", "SECURE_ROM_DL"):
        assert not [line for line in found if word in line]
    assert len(found) == len(set(found))
    assert all(re.fullmatch(r"CONFIG_\w+=(y|\d+)", line) for line in found)


@ON_EACH
def test_no_build_locks_a_chip_unless_it_is_asked_to(board: BoardProfile) -> None:
    plain = text_of(board, "mpconfigboard.cmake") + (BOARDS / "meter.cmake").read_text("utf-8")
    assert "sdkconfig.board" not in plain
    assert "secure" not in plain.lower()
    secure = (BOARDS / "secure.cmake").read_text("utf-8")
    assert "${MICROPY_BOARD_DIR}/sdkconfig.board" in secure
    assert "FATAL_ERROR" in secure, "without a key of one's own nothing is built"
    assert "MICROPY_HW_ENABLE_UART_REPL=0" in secure
    assert "secure.cmake" in text_of(board, "mpconfigvariant_SECURE.cmake")


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("locked", [False, True])
def test_the_partition_tables_are_those_that_an_image_has(size: int, locked: bool) -> None:
    name = f"partitions-{'secure-' if locked else ''}{size}MB.csv"
    rows = [
        [part.strip() for part in line.split(",")]
        for line in (BOARDS / name).read_text("utf-8").splitlines()
        if not line.startswith("#")
    ]
    kinds = {"app": partitions.APP, "data": partitions.DATA}
    subtypes = {"nvs": 2, "nvs_keys": 4, "phy": 1, "factory": 0, "fat": 0x81, "0x40": 0x40}
    flags = {(): 0, ("encrypted",): partitions.ENCRYPTED}
    found = tuple(
        partitions.Partition(
            label, kinds[kind], subtypes[subtype], int(at, 0), int(length, 0), flags[tuple(more)]
        )
        for label, kind, subtype, at, length, *more in rows
    )
    assert found == partitions.ours(size << 20, locked)


def test_there_is_a_table_for_the_flash_of_each_board() -> None:
    assert {board.flash_bytes >> 20 for board in ALL} <= {4, 8}
