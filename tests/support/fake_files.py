"""A root filesystem in memory that loses its power after any number of operations."""

# Stands in for `open` and `os` of boards.start, boards.parts.slots and boards.parts.config_file.
# Truncating, writing, making, renaming and removing are one operation each. At the cut a write
# keeps `torn` of its bytes, and noise after them if asked; every operation from then on fails,
# until power is back.

import os

import boards.parts.config_file
import boards.parts.slots
import boards.start

_FOLDER, _FILE = 0x4000, 0x8000
_OPENING = (boards.start, boards.parts.slots, boards.parts.config_file)


class PowerCut(Exception):
    """The power went; nothing of the program lives on."""


class FakeFiles:
    """Files by their path; use `with` to have the loader and the slots work on them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.folders: set[str] = set()
        self.cut_at: int | None = None  # the operation, from 0, at which power goes
        self.torn = 0  # of 4 quarters of a write that the cut leaves
        self.full = False  # True: every write is refused as on a full disk
        self.operations = 0

    def __enter__(self) -> "FakeFiles":
        for module in _OPENING:
            setattr(module, "open", self.open)  # noqa: B010
        for module in _OPENING[1:]:
            setattr(module, "os", self)  # noqa: B010
        return self

    def __exit__(self, *error: object) -> None:
        for module in _OPENING:
            setattr(module, "open", open)  # noqa: B010
        for module in _OPENING[1:]:
            setattr(module, "os", os)  # noqa: B010
        boards.start.running = boards.start.NO_SLOT

    def power_on(self) -> None:
        """The next start finds what is there."""
        self.cut_at = None
        self.operations = 0

    def step(self) -> None:
        """Count one operation. Raises PowerCut at the one that is cut, and ever after."""
        if self.cut_at is not None and self.operations >= self.cut_at:
            raise PowerCut
        self.operations += 1

    def open(self, path: str, mode: str = "r") -> "_File":
        if mode in ("r", "rb"):
            if path not in self.files:
                raise OSError(2)
            return _File(self, path)
        folder = path.rpartition("/")[0]
        if folder and folder not in self.folders:
            raise OSError(2)
        if mode in ("w", "wb") or path not in self.files:
            self.step()
            self.files[path] = b""
        return _File(self, path)

    def stat(self, path: str) -> "tuple[int, ...]":
        if path in self.folders:
            return (_FOLDER,) + (0,) * 9
        if path not in self.files:
            raise OSError(2)
        return (_FILE, 0, 0, 0, 0, 0, len(self.files[path]), 0, 0, 0)

    def listdir(self, folder: str) -> "list[str]":
        if folder not in self.folders:
            raise OSError(2)
        at = len(folder) + 1
        names = [name[at:] for name in list(self.files) + list(self.folders)
                 if name.startswith(folder + "/")]  # fmt: skip
        return [name for name in names if "/" not in name]

    def mkdir(self, path: str) -> None:
        above = path.rpartition("/")[0]
        if path in self.folders or path in self.files or (above and above not in self.folders):
            raise OSError(17)
        self.step()
        self.folders.add(path)

    def remove(self, path: str) -> None:
        if path not in self.files:
            raise OSError(2)
        self.step()
        del self.files[path]

    def rename(self, path: str, other: str) -> None:
        """In one step, over what is there, as littlefs does."""
        if path not in self.files:
            raise OSError(2)
        self.step()
        self.files[other] = self.files.pop(path)

    def rmdir(self, path: str) -> None:
        if self.listdir(path):
            raise OSError(39)
        self.step()
        self.folders.remove(path)


class _File:
    def __init__(self, disk: FakeFiles, path: str) -> None:
        self._disk = disk
        self._path = path
        self._at = 0

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def close(self) -> None:
        pass

    def seek(self, offset: int) -> None:
        self._at = offset

    def read(self, length: int = -1) -> bytes:
        data = self._disk.files[self._path][self._at :]
        data = data if length < 0 else data[:length]
        self._at += len(data)
        return data

    def write(self, data: "bytes | str") -> None:
        disk = self._disk
        data = data.encode() if isinstance(data, str) else data
        if disk.full:
            raise OSError(28)
        try:
            disk.step()
        except PowerCut:
            if disk.operations == disk.cut_at:
                disk.files[self._path] += data[: len(data) * disk.torn // 4]
                disk.operations += 1
            raise
        disk.files[self._path] += data
