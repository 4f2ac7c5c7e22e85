"""A bundle folder is taken in whole and checked, or refused with what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import UsageError
from gateway.rollout import pieces, updates
from host_tools import bundle as host_bundle
from host_tools.bundle import Bundle, BundleFile
from tests.support.a_rollout import NOW_S, Fleet, a_bundle, a_folder
from wire.messages import COMMAND_RESTART, COMMAND_UPDATE_CHUNK, COMMAND_UPDATE_MANIFEST


def bent(folder: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """Why a bundle with a changed manifest.json is refused."""
    a_folder(folder, a_bundle())
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    return refusal(folder)


def refusal(folder: Path) -> str:
    with pytest.raises(UsageError) as error:
        updates.read_bundle(folder)
    return str(error.value)


def test_what_the_bundle_maker_wrote_is_taken_in_piece_for_piece(tmp_path: Path) -> None:
    made = host_bundle.compile_bundle("unix", "9.9.9")
    read = updates.read_bundle(a_folder(tmp_path / "bundle", made))
    assert read.manifest.version == "9.9.9"
    assert read.parts == host_bundle.manifest_parts(made)
    assert read.contents == [file.content for file in made.files]


def test_the_pieces_of_a_stored_update_are_its_bytes(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 0)
    files = [file.content for file in fleet.bundle.files]
    outline = updates.outline(fleet.connection, fleet.bundle.update_id)
    assert outline is not None
    assert outline.sizes == (1700, 300)

    def piece(wanted: str) -> Any:
        return updates.command_of(fleet.connection, outline, wanted)

    update_id, parts = fleet.bundle.update_id, host_bundle.manifest_parts(fleet.bundle)
    assert piece("part 0") == (COMMAND_UPDATE_MANIFEST, (update_id, 0, len(parts), parts[0]))
    assert piece("file 0 800") == (COMMAND_UPDATE_CHUNK, (update_id, 0, 800, files[0][800:1600]))
    assert piece("file 0 1600") == (COMMAND_UPDATE_CHUNK, (update_id, 0, 1600, files[0][1600:]))
    assert piece("file 1 0") == (COMMAND_UPDATE_CHUNK, (update_id, 1, 0, files[1]))
    assert piece("restart") == (COMMAND_RESTART, ())
    assert len(piece("file 0 0")[1][3]) == pieces.PIECE_BYTES_MAX


def set_to(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        at: Any = manifest
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (set_to("update_id", value=5), "update_id: not that of these parts"),
        (set_to("update_id", value=1 << 32), "update_id"),
        (set_to("version", value="0.3.1"), "manifest_parts: not what version and files say"),
        (set_to("version", value=""), "version"),
        (set_to("files", 0, "bytes", value=1701), "not what version and files say"),
        (set_to("files", 0, "bytes", value=0), "bytes"),
        (set_to("files", 0, "sha256", value="00" * 32), "not what version and files say"),
        (set_to("files", 0, "path", value="../boot.py"), "takes no path '../boot.py'"),
        (set_to("files", 0, "path", value="/boot.py"), "takes no path"),
        (set_to("files", 0, "path", value="a//b"), "takes no path"),
        (set_to("files", 0, "path", value="a/.b"), "takes no path"),
        (set_to("files", 0, "path", value="Boot"), "takes no path"),
        (set_to("files", 0, "path", value="a" * 41), "takes no path"),
        (set_to("files", 1, "path", value="firmware/part0.mpy"), "one path twice"),
        (set_to("files", value=[]), "files"),
        (set_to("manifest_parts", value=[]), "manifest_parts"),
        (set_to("manifest_parts", value=["00"] * 9), "manifest_parts"),
        (set_to("manifest_parts", 0, value="zz"), "hex"),
        (set_to("manifest_parts", 0, value="00" * 801), "1 to 800 bytes"),
        (set_to("manifest_parts", 0, value=""), "1 to 800 bytes"),
        (set_to("manifest_parts", 0, value="0530"), "not what version and files say"),
    ],
)
def test_a_manifest_that_a_meter_would_refuse_is_refused_here(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], says: str
) -> None:
    assert says in bent(tmp_path, change)


def test_a_part_that_ends_inside_a_row_is_refused(tmp_path: Path) -> None:
    def split(manifest: dict[str, Any]) -> None:
        (part,) = manifest["manifest_parts"]
        manifest["manifest_parts"] = [part[:20], part[20:]]

    assert "manifest_parts" in bent(tmp_path, split)


@pytest.mark.parametrize(
    ("size", "good"), [(120 * 1024 - 1, True), (120 * 1024, True), (120 * 1024 + 1, False)]
)
def test_a_bundle_has_at_most_120_kib(tmp_path: Path, size: int, good: bool) -> None:
    folder = a_folder(tmp_path, a_bundle(sizes=(size - 100, 100)))
    if good:
        assert updates.read_bundle(folder).size_bytes == size
    else:
        assert "more than 122880 bytes together" in refusal(folder)


@pytest.mark.parametrize(("files", "good"), [(63, True), (64, True), (65, False)])
def test_a_bundle_has_at_most_64_files(tmp_path: Path, files: int, good: bool) -> None:
    made = Bundle("0.3.0", [BundleFile(f"f{number}", b"x") for number in range(min(files, 64))])
    folder = a_folder(tmp_path, made)
    if good:
        assert len(updates.read_bundle(folder).contents) == files
        return
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"].append(manifest["files"][0])
    path.write_text(json.dumps(manifest))
    assert "files" in refusal(folder)


def test_a_file_that_is_not_the_manifests_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, a_bundle())
    file = folder / "firmware/part1.mpy"
    good = file.read_bytes()
    file.write_bytes(good[:-1] + b"\0")
    assert "SHA-256" in refusal(folder)
    file.write_bytes(good[:-1])
    assert "299 bytes, not 300" in refusal(folder)
    file.unlink()
    assert "host_tools.bundle" in refusal(folder)
    outside = tmp_path.parent / "outside"
    outside.write_bytes(good)
    file.symlink_to(outside)
    assert "leads out of the bundle" in refusal(folder)


def test_a_folder_without_a_manifest_or_with_another_file_there_is_refused(tmp_path: Path) -> None:
    assert "manifest.json" in refusal(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    assert "make the bundle again" in refusal(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b" " * (updates.MANIFEST_JSON_BYTES_MAX + 1))
    assert "longer than 65536 bytes" in refusal(tmp_path)


def test_an_update_is_stored_once_listed_and_removed_until_a_rollout_uses_it(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path, 1)
    fleet.add(fleet.bundle)
    (row,) = updates.rows(fleet.connection)
    assert (row["version"], row["files"], row["bytes"]) == ("0.3.0", 2, 2000)
    other = a_bundle("0.4.0")
    fleet.add(other)
    fleet.start(at_once=1)

    def remove(update_id: int) -> None:
        fleet.do(lambda connection: updates.remove(connection, update_id, "anna", NOW_S))

    remove(other.update_id)
    assert len(updates.rows(fleet.connection)) == 1
    with pytest.raises(UsageError, match="belongs to roll-out 1"):
        remove(fleet.bundle.update_id)
    with pytest.raises(UsageError, match="no update 5"):
        remove(5)
    acts = fleet.connection.execute("SELECT action FROM audit ORDER BY id").fetchall()
    assert acts == [("update.add",), ("update.add",), ("rollout.start",), ("update.remove",)]


def test_so_many_updates_are_kept_and_no_more(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(updates, "UPDATES_MAX", 2)
    fleet = Fleet(tmp_path, 0)
    fleet.add(a_bundle("0.4.0"))
    with pytest.raises(UsageError, match="remove old ones"):
        fleet.add(a_bundle("0.5.0"))
    assert len(updates.rows(fleet.connection)) == 2
