"""Applications for meters: a bundle folder is read and checked, stored, and cut into pieces."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from gateway import audit
from gateway.errors import UsageError
from gateway.rollout.pieces import FILE, PART, PIECE_BYTES_MAX, RESTART, Outline, wanted_of
from wire.messages import COMMAND_RESTART, COMMAND_UPDATE_CHUNK, COMMAND_UPDATE_MANIFEST

# What a meter takes: firmware/update.py.
FILES_MAX = 64
PATH_BYTES_MAX = 40
BUNDLE_BYTES_MAX = 120 * 1024
PARTS_MAX = 8
VERSION_BYTES_MAX = 64
MANIFEST_JSON_BYTES_MAX = 64 * 1024  # 64 files and 8 parts need a quarter of it
UPDATES_MAX = 100  # kept at a time: 12 MB

MANIFEST_JSON = "manifest.json"  # host_tools/bundle.py writes it

_PATH = re.compile(r"[a-z0-9_][a-z0-9_.]*(/[a-z0-9_][a-z0-9_.]*)*\Z")


class FileRow(msgspec.Struct, frozen=True):
    """One file, as manifest.json has it."""

    path: str
    bytes: Annotated[int, Meta(ge=1, le=BUNDLE_BYTES_MAX)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True):
    """manifest.json; fields we do not know are a later version's."""

    version: Annotated[str, Meta(min_length=1, max_length=VERSION_BYTES_MAX)]
    update_id: Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]
    files: Annotated[list[FileRow], Meta(min_length=1, max_length=FILES_MAX)]
    manifest_parts: Annotated[list[str], Meta(min_length=1, max_length=PARTS_MAX)]

    def parts(self) -> list[bytes]:
        """The manifest as command 7 carries it. Raises ValueError."""
        return [bytes.fromhex(part) for part in self.manifest_parts]


class Bundle(NamedTuple):
    """An application that was checked to its last byte."""

    manifest: Manifest
    parts: list[bytes]
    contents: list[bytes]  # of the files, in the manifest's order

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(map(len, self.contents))


def read_bundle(folder: Path) -> Bundle:
    """What `python -m host_tools.bundle` wrote. Raises UsageError naming what is wrong with it."""
    path = folder / MANIFEST_JSON
    manifest = parse(_read(path, MANIFEST_JSON_BYTES_MAX), path)
    contents = [_read_file(folder, row) for row in manifest.files]
    return Bundle(manifest, manifest.parts(), contents)


def parse(data: bytes, path: Path | str) -> Manifest:
    """manifest.json, consistent in itself. Raises UsageError that names `path`."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
        wrong = _wrong(manifest, manifest.parts())
    except (msgspec.DecodeError, ValueError) as error:
        wrong = str(error)
    if wrong:
        raise UsageError(f"{path}: {wrong}; make the bundle again")
    return manifest


def add(connection: sqlite3.Connection, bundle: Bundle, actor: str, now_s: int) -> bool:
    """Store it; False when it is there already. Raises UsageError."""
    manifest = bundle.manifest
    update_id = manifest.update_id
    if outline(connection, update_id) is not None:
        return False  # the id is a hash of the manifest, which has the hash of every file
    if connection.execute("SELECT count(*) FROM update_bundle").fetchone()[0] >= UPDATES_MAX:
        raise UsageError(f"{UPDATES_MAX} updates are kept already; remove old ones first")
    connection.execute(
        "INSERT INTO update_bundle VALUES (?, ?, ?, ?)",
        (update_id, manifest.version, bundle.size_bytes, now_s),
    )
    connection.executemany(
        "INSERT INTO update_part VALUES (?, ?, ?)",
        [(update_id, part, rows) for part, rows in enumerate(bundle.parts)],
    )
    connection.executemany(
        "INSERT INTO update_file VALUES (?, ?, ?, ?, ?, ?)",
        [
            (update_id, file, row.path, row.bytes, bytes.fromhex(row.sha256), content)
            for file, (row, content) in enumerate(zip(manifest.files, bundle.contents, strict=True))
        ],
    )
    detail: dict[str, object] = {"version": manifest.version, "bytes": bundle.size_bytes}
    audit.record(connection, actor, "update.add", str(update_id), detail, now_s)
    return True


def remove(connection: sqlite3.Connection, update_id: int, actor: str, now_s: int) -> None:
    """Forget an update. Raises UsageError when a roll-out still needs it."""
    if outline(connection, update_id) is None:
        raise UsageError(f"no update {update_id}; `gateway update list` shows them")
    for (rollout_id,) in connection.execute("SELECT id FROM rollout WHERE update_id = ?",
                                            (update_id,)):  # fmt: skip
        raise UsageError(f"update {update_id} belongs to roll-out {rollout_id}: its history stays")
    for table in ("update_file", "update_part", "update_bundle"):
        connection.execute(f"DELETE FROM {table} WHERE update_id = ?", (update_id,))  # noqa: S608  (ours)
    audit.record(connection, actor, "update.remove", str(update_id), {}, now_s)


def rows(connection: sqlite3.Connection) -> list[dict[str, object]]:
    """Every update, newest first, and how many meters say that they run its version."""
    names = ("update_id", "version", "bytes", "files", "added_s", "meters")
    found = connection.execute(
        "SELECT update_id, version, bytes,"
        " (SELECT count(*) FROM update_file f WHERE f.update_id = u.update_id), added_s,"
        " (SELECT count(*) FROM application a WHERE a.version = u.version)"
        " FROM update_bundle u ORDER BY added_s DESC, update_id"
    )
    return [dict(zip(names, row, strict=True)) for row in found]


def outline(connection: sqlite3.Connection, update_id: int) -> Outline | None:
    """The shape of an update; None when there is none of this id."""
    parts: int = connection.execute(
        "SELECT count(*) FROM update_part WHERE update_id = ?", (update_id,)
    ).fetchone()[0]
    sizes = connection.execute(
        "SELECT bytes FROM update_file WHERE update_id = ? ORDER BY file", (update_id,)
    ).fetchall()
    return Outline(update_id, parts, tuple(size for (size,) in sizes)) if parts else None


def command_of(
    connection: sqlite3.Connection, outline: Outline, wanted: str
) -> tuple[int, tuple[Any, ...]]:
    """Code and arguments of the command that carries this piece."""
    kind, index, offset = wanted_of(wanted)
    if kind == RESTART:
        return COMMAND_RESTART, ()
    if kind == PART:
        (blob,) = connection.execute(
            "SELECT rows FROM update_part WHERE update_id = ? AND part = ?",
            (outline.update_id, index),
        ).fetchone()
        return COMMAND_UPDATE_MANIFEST, (outline.update_id, index, outline.parts, blob)
    assert kind == FILE, wanted
    (blob,) = connection.execute(
        "SELECT substr(content, ?, ?) FROM update_file WHERE update_id = ? AND file = ?",
        (offset + 1, PIECE_BYTES_MAX, outline.update_id, index),
    ).fetchone()
    return COMMAND_UPDATE_CHUNK, (outline.update_id, index, offset, blob)


def _wrong(manifest: Manifest, parts: list[bytes]) -> str:
    """What a meter would refuse, or what the parts say and the rows do not; empty: nothing."""
    for row in manifest.files:
        if not _PATH.match(row.path) or len(row.path) > PATH_BYTES_MAX:
            return f"files: a meter takes no path {row.path!r}"
    wrong = ""
    if len(manifest.version.encode()) > VERSION_BYTES_MAX:
        wrong = f"version: more than {VERSION_BYTES_MAX} bytes"
    elif sum(row.bytes for row in manifest.files) > BUNDLE_BYTES_MAX:
        wrong = f"files: more than {BUNDLE_BYTES_MAX} bytes together"
    elif len({row.path for row in manifest.files}) < len(manifest.files):
        wrong = "files: one path twice"
    elif any(not 0 < len(part) <= PIECE_BYTES_MAX for part in parts):
        wrong = f"manifest_parts: a part has 1 to {PIECE_BYTES_MAX} bytes"
    elif not _are_rows(manifest, parts):
        wrong = "manifest_parts: not what version and files say"
    elif manifest.update_id != update_id_of(parts):
        wrong = "update_id: not that of these parts"
    return wrong


def update_id_of(parts: list[bytes]) -> int:
    """30 bits of the SHA-256 of a manifest, as host_tools/bundle.py numbers bundles."""
    digest = hashlib.sha256(b"".join(parts)).digest()
    return int.from_bytes(digest[:4], "big") & 0x3FFF_FFFF


def _are_rows(manifest: Manifest, parts: list[bytes]) -> bool:
    """Whether the parts hold the version and each file's row, none of them split (wire.cddl)."""
    version = manifest.version.encode()
    wanted = [bytes((len(version),)) + version]
    for row in manifest.files:
        path = row.path.encode()
        head = bytes((len(path) & 0xFF,)) + path + row.bytes.to_bytes(4, "big")
        wanted.append(head + bytes.fromhex(row.sha256))
    ends, at = set(), 0
    for row_bytes in wanted:
        at += len(row_bytes)
        ends.add(at)
    at = 0
    for part in parts:
        at += len(part)
        if at not in ends:
            return False
    return b"".join(parts) == b"".join(wanted)


def _read_file(folder: Path, row: FileRow) -> bytes:
    path = folder / row.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{path}: leads out of the bundle; make the bundle again")
    content = _read(path, BUNDLE_BYTES_MAX)
    if len(content) != row.bytes:
        raise UsageError(f"{path}: {len(content)} bytes, not {row.bytes}; make the bundle again")
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise UsageError(f"{path}: not the file of the manifest (SHA-256); make the bundle again")
    return content


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; `python -m host_tools.bundle DIR` makes a bundle"
        ) from None
    if len(data) > bytes_max:
        raise UsageError(f"{path}: longer than {bytes_max} bytes; is it the right file?")
    return data
