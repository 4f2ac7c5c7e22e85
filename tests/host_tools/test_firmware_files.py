"""Published firmware by name: pinned, proven, cached; from a folder or an address of the user's."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from host_tools.image import firmware_files
from host_tools.image.errors import FirmwareMissing, FirmwareRefused, WrongFirmware
from host_tools.image.firmware_files import Firmware, Listed, choose, listed, obtain, pin
from tests.support.a_firmware import OFFSETS, a_firmware

CONTENT = a_firmware()
PINNED = Firmware("9.9.9", "esp32", "a_board-9.9.9.bin", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / PINNED.file).write_bytes(CONTENT)
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def address(source: Path) -> Iterator[str]:
    """A real HTTP server on loopback that serves the folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(source))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_chip_of_our_boards_has_firmware_listed_and_no_host_is_named(tmp_path: Path) -> None:
    ours = listed(cache=tmp_path)
    for chip in OFFSETS:
        assert choose(ours, chip).version == ours.default
        assert choose(ours, chip, "1.24.1").file.endswith("v1.24.1.bin")
    assert len({row.file for row in ours.rows}) == len(ours.rows)
    text = firmware_files.LISTED.read_text()
    assert "://" not in text
    assert "www." not in text


def test_what_is_not_listed_says_what_is() -> None:
    ours = listed(cache=Path("/nowhere"))
    with pytest.raises(FirmwareMissing, match=r"no firmware 0.1 for esp32 is listed: choose 1\.24"):
        choose(ours, "esp32", "0.1")
    with pytest.raises(FirmwareMissing, match=r"choose a \.bin"):
        choose(ours, "esp8266")


def test_a_pinned_file_comes_out_of_a_folder_and_is_kept(source: Path, cache: Path) -> None:
    assert obtain(PINNED, str(source), cache) == CONTENT
    assert [path.name for path in cache.iterdir()] == [PINNED.file]
    (source / PINNED.file).unlink()
    assert obtain(PINNED, str(source), cache) == CONTENT
    assert obtain(PINNED, None, cache) == CONTENT


def test_a_pinned_file_is_fetched_from_a_base_address(address: str, cache: Path) -> None:
    assert obtain(PINNED, address, cache) == CONTENT
    assert obtain(PINNED, "http://127.0.0.1:9/", cache) == CONTENT, "it is in the cache"


def test_a_slash_at_the_end_of_the_address_is_all_the_same(address: str, cache: Path) -> None:
    assert obtain(PINNED, address + "/", cache) == CONTENT


@pytest.mark.parametrize("remote", [False, True])
def test_a_file_with_another_sha256_is_refused_and_not_kept(
    source: Path, address: str, cache: Path, remote: bool
) -> None:
    wrong = bytearray(CONTENT)
    wrong[5000] ^= 1
    (source / PINNED.file).write_bytes(wrong)
    with pytest.raises(FirmwareMissing, match="is not the pinned one"):
        obtain(PINNED, address if remote else str(source), cache)
    assert not cache.exists()


def test_a_cache_that_was_tampered_with_is_not_believed(source: Path, cache: Path) -> None:
    cache.mkdir()
    (cache / PINNED.file).write_bytes(b"evil" + CONTENT)
    with pytest.raises(FirmwareMissing, match="name a folder that holds it"):
        obtain(PINNED, None, cache)
    assert obtain(PINNED, str(source), cache) == CONTENT
    assert (cache / PINNED.file).read_bytes() == CONTENT


def test_what_nobody_has_pinned_is_not_used(source: Path, cache: Path) -> None:
    with pytest.raises(FirmwareMissing, match="is not pinned: fetch it yourself, compare"):
        obtain(PINNED._replace(sha256=""), str(source), cache)


def test_what_is_not_there_is_said_in_one_line_without_a_password(
    address: str, source: Path, cache: Path
) -> None:
    other = PINNED._replace(file="other.bin")
    with pytest.raises(FirmwareMissing, match=r"other\.bin is not there \(404\)"):
        obtain(other, address, cache)
    with pytest.raises(FirmwareMissing, match="No such file"):
        obtain(other, str(source), cache)
    with pytest.raises(FirmwareMissing, match="could not be fetched") as told:
        obtain(PINNED, "http://anna:hunter2@127.0.0.1:9/x", cache)
    assert "hunter2" not in str(told.value)
    for odd in ("file:///etc", "ftp://127.0.0.1/"):
        with pytest.raises(FirmwareMissing):
            obtain(PINNED, odd, cache)


@pytest.mark.parametrize("remote", [False, True])
def test_no_more_than_a_firmware_can_have_is_read(
    source: Path, address: str, cache: Path, monkeypatch: pytest.MonkeyPatch, remote: bool
) -> None:
    where = address if remote else str(source)
    for most, taken in ((len(CONTENT) + 1, True), (len(CONTENT), True), (len(CONTENT) - 1, False)):
        monkeypatch.setattr(firmware_files, "PUBLISHED_BYTES_MAX", most)
        if taken:
            assert obtain(PINNED, where, cache) == CONTENT
            (cache / PINNED.file).unlink()
        else:
            with pytest.raises(FirmwareMissing, match="is larger than"):
                obtain(PINNED, where, cache)


def test_a_file_that_its_user_pins_is_the_right_one_from_then_on(source: Path, cache: Path) -> None:
    path = source / PINNED.file
    assert pin(path, "1.26.1", "esp32", cache) == PINNED._replace(version="1.26.1")
    row = choose(listed(cache=cache), "esp32", "1.26.1")
    assert row.file == PINNED.file
    assert obtain(row, None, cache) == CONTENT
    other = source / "other.bin"
    other.write_bytes(a_firmware(seed=2))
    pin(other, "1.26.1", "esp32", cache)
    pin(path, "1.24.1", "esp32", cache)
    assert choose(listed(cache=cache), "esp32", "1.26.1").file == "other.bin"
    assert choose(listed(cache=cache), "esp32", "1.24.1").file == PINNED.file
    assert not choose(listed(cache=cache), "esp32c3", "1.26.1").sha256


def test_a_file_for_another_chip_or_a_damaged_one_is_not_pinned(source: Path, cache: Path) -> None:
    with pytest.raises(WrongFirmware, match="for esp32, the board has an esp32c3"):
        pin(source / PINNED.file, "1", "esp32c3", cache)
    (source / "half.bin").write_bytes(CONTENT[:3000])
    with pytest.raises(FirmwareRefused, match="damaged"):
        pin(source / "half.bin", "1", "esp32", cache)
    with pytest.raises(FirmwareMissing, match="no folders, no spaces"):
        (source / "a b.bin").write_bytes(CONTENT)
        pin(source / "a b.bin", "1", "esp32", cache)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ('version = "1"\nchip = "esp32"\nfile = "a.bin"', "each row has version, chip, file"),
        ('version = "1"\nchip = "avr"\nfile = "a.bin"\nsha256 = ""', "'avr' is not one of esp32"),
        ('version = "1"\nchip = "esp32"\nfile = "../a.bin"\nsha256 = ""', "no folders"),
        ('version = "1"\nchip = "esp32"\nfile = "a.bin"\nsha256 = "AB"', "64 hex digits"),
        ("version = ", "cannot be read"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path: Path, row: str, why: str) -> None:
    table = tmp_path / "firmware.toml"
    table.write_text(f"[[firmware]]\n{row}\n")
    with pytest.raises(FirmwareMissing, match=why):
        listed(table, tmp_path)


def test_a_table_of_the_user_s_own_is_read(tmp_path: Path) -> None:
    table = tmp_path / "firmware.toml"
    rows = "".join(f'{key} = "{value}"\n' for key, value in PINNED._asdict().items())
    table.write_text(f'default = "9.9.9"\n[[firmware]]\n{rows}')
    assert listed(table, tmp_path) == Listed("9.9.9", (PINNED,))
