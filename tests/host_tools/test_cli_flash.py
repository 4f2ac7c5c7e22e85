"""`image` and `flash` as they are typed: files and boards that hold what they say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from host_tools import bundle
from host_tools.cli.flash import built_image
from host_tools.flashing.kept import SAVED
from host_tools.image import filesystem, partitions
from host_tools.image.build import IDENTITY_KEYS, merged
from host_tools.image.errors import TableRefused
from host_tools.locking.ciphered import ciphered, new_flash_key
from tests.support.a_bench import json_lines, run
from tests.support.a_firmware import a_firmware
from tests.support.flashing import ENCRYPTED, VFS_AT, content, files_of, with_registers
from tests.support.virtual.virtual_board import VirtualBoard

BOARD = "esp32_devkit"
compiled_once = cache(bundle.compile_bundle)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a firmware, two pairing.toml and a state folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bundle, "compile_bundle", compiled_once)
    monkeypatch.setenv("OPENLICZNIK_STATE", str(tmp_path / "state"))
    Path("firmware.bin").write_bytes(a_firmware())
    Path("newer.bin").write_bytes(a_firmware(seed=2))
    Path("wifi.password").write_text("correct horse")
    Path("wifi.password").chmod(0o600)
    gateway = '[gateway]\nhost = "gateway.test"\nport = 1883\n'
    wifi = '[wifi]\nname = "cellar"\npassword_file = "wifi.password"\n'
    Path("pairing.toml").write_text(gateway + wifi)
    Path("open.toml").write_text(gateway)
    return tmp_path


@pytest.fixture
def board(bench: Path) -> Iterator[VirtualBoard]:
    with VirtualBoard(bench / "board") as board:
        yield board


def test_an_image_is_written_as_one_file_for_the_start_of_the_flash(
    bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("image", BOARD, "meter.bin", "--firmware", "firmware.bin", "--json") == 0
    (told,) = json_lines(capsys.readouterr().out)
    written = Path("meter.bin").read_bytes()
    assert (told["board"], told["chip"], len(written)) == (BOARD, "esp32", 4 << 20)
    files = filesystem.read(written[VFS_AT:])
    assert files["board.txt"] == f"boards.{BOARD}\n".encode()
    assert "config.json" not in files
    assert run("image", BOARD, "again.bin", "--firmware", "firmware.bin", "--json") == 0
    assert Path("again.bin").read_bytes() == written, "the same input gives the same image"


def test_a_folder_for_browsers_is_refused_a_wifi_password(
    bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("image", BOARD, "site", "--web-tools", "--firmware", "firmware.bin")
    assert run(*words, "--settings", "pairing.toml") == 1
    assert "wifi_password" in capsys.readouterr().err
    assert not Path("site").exists()
    assert run(*words, "--settings", "open.toml", "--json") == 0
    (told,) = json_lines(capsys.readouterr().out)
    (part_of,) = json.loads(Path(told["written"]).read_text())["builds"]
    assert part_of["improv"] is True
    for part in part_of["parts"]:
        assert b"correct horse" not in (bench / "site" / part["path"]).read_bytes()


def test_a_flashed_board_holds_the_image_and_the_second_run_writes_nothing(
    board: VirtualBoard, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("flash", BOARD, "--port", board.port, "--firmware", "firmware.bin", "--json")
    assert run(*words, "--settings", "pairing.toml") == 0
    *parts, told = json_lines(capsys.readouterr().out)
    assert [each["part"] for each in parts] == told["written"]
    config = json.loads(files_of(board)["config.json"])
    assert (config["gateway_host"], config["wifi_name"]) == ("gateway.test", "cellar")
    assert not set(IDENTITY_KEYS) & set(config)
    before = hashlib.sha256(content(board)).digest()
    assert run(*words) == 0
    assert json_lines(capsys.readouterr().out)[-1]["written"] == []
    assert hashlib.sha256(content(board)).digest() == before


def test_settings_outlive_a_power_cut_between_the_old_files_and_the_new(
    bench: Path, board: VirtualBoard, capsys: pytest.CaptureFixture[str]
) -> None:
    port = ("--port", board.port)
    assert run("flash", BOARD, *port, "--firmware", "firmware.bin", "--settings", "open.toml") == 0
    another = ("flash", "wt32_eth01", *port, "--firmware", "newer.bin")
    board.cut_power_after(100_000)
    assert run(*another) == 1
    assert "config.json" not in files_of(board)
    assert [path.name for path in (bench / "state").iterdir()] == [SAVED.format(board.mac.hex())]
    board.power_on()
    assert run(*another) == 0
    assert b"gateway.test" in files_of(board)["config.json"]
    assert list((bench / "state").iterdir()) == []
    assert "link_lost" in capsys.readouterr().err


def test_a_board_that_is_not_there_and_a_firmware_that_is_none_are_one_line(
    bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("junk.bin").write_bytes(b"junk" * 10_000)
    for words, reason in (
        (("--port", "/dev/nowhere", "--firmware", "firmware.bin"), "port_missing"),
        (("--port", "/dev/nowhere", "--firmware", "junk.bin"), "bad_firmware"),
        (("--port", "/dev/nowhere", "--firmware", "nothing.bin"), "bad_input"),
    ):
        assert run("flash", BOARD, *words) in (1, 2)
        shown = capsys.readouterr().err
        assert reason in shown
        assert "Traceback" not in shown


def test_a_meter_under_flash_encryption_is_flashed_with_its_key(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new_flash_key(Path("meter.key"))
    new_flash_key(Path("other.key"))
    words = ("flash", BOARD, "--firmware", "firmware.bin", "--settings", "pairing.toml")
    with VirtualBoard(bench / "open") as plain:
        assert run(*words, "--port", plain.port, "--flash-key", "meter.key") == 1
        assert "not_locked" in capsys.readouterr().err
        assert set(content(plain)) == {0xFF}
    with_registers(monkeypatch, ENCRYPTED)
    told = built_image(BOARD, Path("newer.bin"), "", "", Path("pairing.toml"))
    with VirtualBoard(bench / "locked") as locked:
        locked.flash.write(0, merged(ciphered(told, Path("meter.key"))))
        assert run(*words, "--port", locked.port) == 1
        assert "chip_locked" in capsys.readouterr().err
        assert run(*words, "--port", locked.port, "--flash-key", "other.key") == 1
        assert "under another key" in capsys.readouterr().err
        assert run(*words, "--port", locked.port, "--flash-key", "meter.key", "--json") == 0
        assert "factory" in json_lines(capsys.readouterr().out)[-1]["written"]
        with pytest.raises(TableRefused):
            partitions.parse(content(locked)[partitions.TABLE_OFFSET :])
