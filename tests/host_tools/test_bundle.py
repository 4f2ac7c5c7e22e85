"""Bundles: what is in them, what they refuse, and that a meter takes what they write."""

import hashlib
import json
from pathlib import Path

import pytest

from boards import start
from boards.parts.slots import Slots
from firmware import update as meter
from firmware.update import Update
from host_tools import bundle
from host_tools.bundle import (
    Bundle,
    BundleError,
    BundleFile,
    application,
    compile_bundle,
    main,
    manifest_json,
    manifest_parts,
)
from tests.support.fake_files import FakeFiles
from wire.messages import RESULT_DONE


def a_bundle(count: int = 3, version: str = "0.2.0") -> Bundle:
    files = [BundleFile(f"firmware/file_{n}.mpy", b"M" * (n + 1)) for n in range(count)]
    return Bundle(version, files)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle of the unix board."""
    folder = tmp_path_factory.mktemp("bundle") / "out"
    bundle.write(compile_bundle("unix", "9.9"), "unix", folder)
    return folder


def test_a_bundle_has_what_the_board_imports_and_nothing_of_the_host() -> None:
    for board in bundle.BOARDS:
        paths = application(board)
        assert {"wire/ccm.py", "firmware/app.py", f"boards/{board}.py"} <= set(paths)
        assert {"wire/__init__.py", "firmware/__init__.py", "boards/__init__.py"} <= set(paths)
        assert not {"wire/batch.py", "wire/span.py", "boards/start.py"} & set(paths)
    assert "boards/unix.py" not in application("esp32_devkit")


def test_every_file_is_bytecode_for_31_bit_integers_that_micropython_1_23_loads(out: Path) -> None:
    found = sorted(out.rglob("*.mpy"))
    assert len(found) > 30
    for path in found:
        assert path.read_bytes()[:4] == b"M\x06\x00\x1f", path


def test_beside_the_slots_lie_the_loader_main_and_the_boards_name(out: Path) -> None:
    assert (out / "root/main.py").read_text() == "import start\n\nstart.boot()\n"
    assert (out / "root/board.txt").read_text() == "boards.unix\n"
    assert (out / "root/start.mpy").is_file()
    assert (out / "WHOLE").read_text() == "9.9"
    assert start.WHOLE == "/WHOLE"


def test_the_manifest_tells_size_and_sha256_of_every_file_of_the_slot(out: Path) -> None:
    told = json.loads((out / "manifest.json").read_text())
    assert told["version"] == "9.9"
    listed = {file["path"]: file for file in told["files"]}
    found = {path.relative_to(out).as_posix() for path in out.rglob("*.mpy")} - {"root/start.mpy"}
    assert set(listed) == found
    for path, file in listed.items():
        content = (out / path).read_bytes()
        assert file["bytes"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert told["bytes"] == sum(file["bytes"] for file in listed.values())
    assert b"9.9" in (out / "firmware/app.mpy").read_bytes()


def test_the_short_names_of_a_traceback_can_be_looked_up(out: Path) -> None:
    names = json.loads((out / "names.json").read_text())
    assert len(names["next_frame"]) < len("next_frame")
    assert names["boards/parts/mqtt_link.py:WORDS"]  # a name that one file keeps to itself
    told = [names[path] for path in application("unix")]
    assert len(set(told)) == len(told), "each file has a name of its own in a traceback"
    for path, name in zip(application("unix"), told, strict=True):
        source_name = bytes((2 * len(name),)) + name.encode()
        assert source_name in (out / bundle.slot_path(path)).read_bytes()[:16], path
    assert list(names) == sorted(names)


def test_a_meter_takes_the_manifest_and_every_file_and_is_armed() -> None:
    made = compile_bundle("unix")
    parts = manifest_parts(made)
    with FakeFiles() as files:
        files.folders.add("/a")
        start.running = "a"
        update = Update(Slots(""))
        for number, part in enumerate(parts):
            said = update.manifest([made.update_id, number, len(parts), part])
            assert said[0] == RESULT_DONE
        for index, file in enumerate(made.files):
            for offset in range(0, len(file.content), bundle.PIECE_BYTES_MAX):
                piece = file.content[offset : offset + bundle.PIECE_BYTES_MAX]
                said = update.chunk([made.update_id, index, offset, piece])
                assert said[0] == RESULT_DONE
        assert said == (RESULT_DONE, b"restart")
        assert files.files["/b/WHOLE"] == made.version.encode()


def test_the_limits_are_the_meter_s() -> None:
    for name in (
        "FILES_MAX",
        "PATH_BYTES_MAX",
        "PARTS_MAX",
        "PIECE_BYTES_MAX",
        "VERSION_BYTES_MAX",
    ):
        assert getattr(bundle, name) == getattr(meter, name), name
    assert bundle.BUNDLE_BYTES_MAX <= meter.BUNDLE_BYTES_MAX


def test_the_same_bundle_has_the_same_update_id_and_another_has_another() -> None:
    assert a_bundle().update_id == a_bundle().update_id
    assert a_bundle().update_id != a_bundle(version="0.2.1").update_id
    assert a_bundle().update_id != a_bundle(2).update_id
    assert 0 <= a_bundle().update_id < 1 << 30


def test_files_up_to_64_and_paths_up_to_40_bytes_make_a_manifest() -> None:
    assert len(manifest_parts(a_bundle(63))) <= len(manifest_parts(a_bundle(64))) <= 8
    with pytest.raises(BundleError, match="65 files"):
        manifest_parts(a_bundle(65))
    for length in (39, 40):
        manifest_parts(Bundle("1", [BundleFile("f" * length, b"x")]))
    with pytest.raises(BundleError, match="longer than 40"):
        manifest_parts(Bundle("1", [BundleFile("f" * 41, b"x")]))


def test_a_version_without_a_name_or_too_long_or_quoted_is_refused() -> None:
    for version in ("", "v" * 65, 'a"b', "a\\b"):
        with pytest.raises(BundleError, match="a version has"):
            compile_bundle("unix", version)
    assert compile_bundle("unix", "v" * 64).version == "v" * 64


def test_a_folder_in_use_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("x")
    assert main([str(tmp_path), "--board", "unix"]) == 1
    assert "name a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_bundle_larger_than_its_limit_is_told_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = a_bundle()
    monkeypatch.setattr(bundle, "compile_bundle", lambda board, version: made)
    size = made.size_bytes
    for limit, code in ((size + 1, 0), (size, 0), (size - 1, 1)):
        monkeypatch.setattr(bundle, "BUNDLE_BYTES_MAX", limit)
        assert main([str(tmp_path / str(limit)), "--board", "unix"]) == code
        assert ("too large" in capsys.readouterr().err) == bool(code)


def test_what_the_compiler_refuses_is_told_with_its_words() -> None:
    with pytest.raises(BundleError, match=r"refuses firmware/app\.py: [\s\S]*SyntaxError"):
        bundle.compiled("firmware/app.py", "def (")


def test_json_prints_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = a_bundle(64)
    monkeypatch.setattr(bundle, "compile_bundle", lambda board, version: made)
    assert main([str(tmp_path / "out"), "--board", "unix", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == manifest_json(made)
    assert len(told["manifest_parts"]) <= 8
