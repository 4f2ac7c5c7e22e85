"""What a process wrote, synced and sent, by strace; and the disks that a power cut leaves.

A cut keeps everything that was synced before it. Of what was written since, it may keep any part:
nothing, all of it, or some sectors of some writes. A new file is there for sure only once its
folder was synced, and so with one that was removed.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR_BYTES = 512
CALLS = "openat,pwrite64,write,sendto,ftruncate,fdatasync,fsync,unlink,rename"
WRITE, TRUNCATE, SYNC, SYNC_FOLDER, SEND, CREATE, UNLINK = range(7)

_LINE = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>.*|(\w+)\((.*))$")
_FILE = re.compile(r"^(\d+)<([^>]*)>(?:, )?(.*)$", re.DOTALL)
_HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def recorded(record: Path, *arguments: str | Path) -> list[str]:
    """The command line of a program that is to be recorded."""
    strace = ["strace", "-f", "-qq", "-y", "-xx", "-s", "2000000", "-e"]
    return [*strace, f"trace={CALLS}", "-o", str(record), *map(str, arguments)]


@dataclass(frozen=True)
class Step:
    """One thing that happened. `name` is a file's; data are what was written or sent."""

    kind: int
    name: str = ""
    at: int = 0  # offset, or the new size
    data: bytes = b""


def steps(record: Path, folder: Path) -> Iterator[Step]:
    """What happened to the files of one folder, and what was sent, from strace's record.

    A write counts from when it began, a sync from when it returned: the worst order there can be.
    """
    begun: dict[str, tuple[str, str]] = {}
    for line in record.read_text().splitlines():
        found = _LINE.match(line)
        if found is None:
            continue  # a signal, an exit
        thread, resumed, name, rest = found.groups()
        if resumed:
            name, rest = begun.pop(thread, ("", ""))
            failed = " = -1 " in line
            if name in ("fdatasync", "fsync", "openat", "unlink") and not failed:
                yield from _step(name, rest, folder)
            continue
        unfinished = rest.endswith("<unfinished ...>")
        if unfinished:
            begun[thread] = (name, rest)
        if " = -1 " in rest:
            continue
        if not unfinished or name in ("pwrite64", "write", "sendto", "ftruncate"):
            yield from _step(name, rest, folder)


def _step(name: str, rest: str, folder: Path) -> Iterator[Step]:
    if name in ("openat", "unlink"):
        path = Path(_text(rest))
        if path.parent == folder and (name == "unlink" or "O_CREAT" in rest):
            yield Step(UNLINK if name == "unlink" else CREATE, path.name)
        return
    assert name != "rename", "not followed here"
    found = _FILE.match(rest)
    if found is None:
        return
    path, arguments = Path(_unescaped(found[2])), found[3]
    if name == "sendto" or (name == "write" and found[2].startswith("socket:")):
        yield Step(SEND, data=_text(arguments).encode("latin-1"))
    elif path == folder:
        yield Step(SYNC_FOLDER)
    elif path.parent == folder and name in ("fdatasync", "fsync"):
        yield Step(SYNC, path.name)
    elif path.parent == folder and name == "pwrite64":
        offset = int(re.split(r"[,) ]+", arguments[arguments.rindex('"') + 1 :].strip(", "))[1])
        yield Step(WRITE, path.name, offset, _text(arguments).encode("latin-1"))
    elif path.parent == folder and name == "ftruncate":
        yield Step(TRUNCATE, path.name, int(arguments.split(")")[0]))


def _text(arguments: str) -> str:
    found = _HEX.search(arguments)
    assert found is not None, arguments[:80]
    return bytes.fromhex(found[1].replace("\\x", "")).decode("latin-1")


def _unescaped(path: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), path)


@dataclass
class File:
    """A file on the disk: what is safe, and what was written since the last sync."""

    synced: bytearray = field(default_factory=bytearray)
    since: list[Step] = field(default_factory=list)
    linked: bool = False  # its name is safe
    removed: bool = False  # unlinked, but the folder is not synced yet


class Disk:
    """Follows the steps; `after_a_cut` makes what could be found afterwards."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        """Begins with these files of the folder as they are."""
        self.files: dict[str, File] = {}
        for name in names:
            if (folder / name).exists():
                self.files[name] = File(bytearray((folder / name).read_bytes()), linked=True)

    def follow(self, step: Step) -> None:
        """Take one step on."""
        if step.kind == SYNC_FOLDER:
            for name, file in list(self.files.items()):
                file.linked = True
                if file.removed:
                    del self.files[name]
        elif step.kind == CREATE:
            file = self.files.setdefault(step.name, File())
            if file.removed:
                self.files[step.name] = File()
        elif step.kind == UNLINK:
            self.files[step.name].removed = True
        elif step.kind == SYNC:
            file = self.files[step.name]
            for write in file.since:
                _apply(file.synced, write)
            file.since.clear()
        elif step.kind != SEND:
            self.files.setdefault(step.name, File()).since.append(step)

    def after_a_cut(self, folder: Path, kept: str, chance: random.Random) -> None:
        """Write one possible outcome into a folder. kept: `synced`, `all` or `some`."""
        for name, file in self.files.items():
            there = file.linked or kept == "all" or (kept == "some" and chance.random() < 0.5)
            if not there or (file.removed and kept == "all"):
                (folder / name).unlink(missing_ok=True)
                continue
            data = bytearray(file.synced)
            for write in file.since:
                if kept == "all":
                    _apply(data, write)
                elif kept == "some":
                    _apply_some(data, write, chance)
            (folder / name).write_bytes(data)
        for name in set(os.listdir(folder)) - set(self.files):
            (folder / name).unlink()


def _apply(data: bytearray, step: Step) -> None:
    if step.kind == TRUNCATE:
        del data[step.at :]
        data.extend(bytes(step.at - len(data)))
        return
    if len(data) < step.at:
        data.extend(bytes(step.at - len(data)))
    data[step.at : step.at + len(step.data)] = step.data


def _apply_some(data: bytearray, step: Step, chance: random.Random) -> None:
    """Each sector of a write may or may not have reached the disk."""
    if step.kind == TRUNCATE:
        if chance.random() < 0.5:
            _apply(data, step)
        return
    at = 0
    while at < len(step.data):
        end = min(len(step.data), at + SECTOR_BYTES - (step.at + at) % SECTOR_BYTES)
        if chance.random() < 0.5:
            _apply(data, Step(WRITE, step.name, step.at + at, step.data[at:end]))
        at = end
