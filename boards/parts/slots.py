"""The two application slots in the root filesystem; see firmware.update.Slots."""

import os
from hashlib import sha256

from boards import start

TRIES_MAX = 3  # how often a new application may start before it is given up
_PIECE_BYTES = 512
_IS_FOLDER = 0x4000  # st_mode


class Slots:
    """The slot this application runs from, and the other one, to which alone it may write."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.running = start.running
        self._other = "b" if self.running == "a" else "a"

    def state(self) -> "tuple[bool, bool, bool]":
        """On trial; the other slot armed; fell back. From the record, so true after any cut."""
        record = start.read_record(self._root)
        if record is None:
            return False, False, False
        _, trial, _, fell_back = record
        return trial == self.running, trial == self._other, fell_back == 1

    def size(self, path: str) -> int:
        """How many bytes of a file of the other slot are there; 0 for none."""
        try:
            return os.stat(self._at(path))[6]
        except OSError:
            return 0

    def read(self, path: str, offset: int, length: int) -> bytes:
        """At most so many bytes of a file of the other slot. Raises OSError."""
        with open(self._at(path), "rb") as file:
            file.seek(offset)
            return file.read(length)

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Begin a file of the other slot anew (offset 0), or append. Raises OSError."""
        if offset == 0:
            self._make_folders(path)
        with open(self._at(path), "ab" if offset else "wb") as file:
            file.write(data)

    def digest(self, path: str, length: int) -> bytes:
        """SHA-256 of the first `length` bytes of a file of the other slot. Raises OSError."""
        hasher = sha256()
        with open(self._at(path), "rb") as file:
            while length:
                piece = file.read(min(length, _PIECE_BYTES))
                if not piece:
                    break
                hasher.update(piece)
                length -= len(piece)
        return hasher.digest()

    def erase(self) -> None:
        """Empty the other slot, which from the first moment on is not booted. Raises OSError."""
        if self.state()[1]:
            start.write_record(self._root, self.running, start.NO_SLOT, 0, 0)
        folder = self._root + "/" + self._other
        try:
            os.remove(folder + start.WHOLE)
        except OSError:
            pass  # it was never whole
        _remove(folder)

    def arm(self, version: bytes) -> None:
        """The other slot is whole: it is booted next, on trial. Raises OSError."""
        self.write(start.WHOLE[1:], 0, version)
        start.write_record(self._root, self.running, self._other, TRIES_MAX, 0)

    def confirm(self) -> None:
        """The running application is good: it stays; and a fall-back is told. Raises OSError."""
        start.write_record(self._root, self.running, start.NO_SLOT, 0, 0)

    def _at(self, path: str) -> str:
        return self._root + "/" + self._other + "/" + path

    def _make_folders(self, path: str) -> None:
        whole = self._at(path)
        at = whole.find("/", len(self._root) + 1)
        while at > 0:
            try:
                os.mkdir(whole[:at])
            except OSError:
                pass  # it is there; if not, opening the file says so
            at = whole.find("/", at + 1)


def _remove(folder: str) -> None:
    """Everything in a folder; nothing where there is none. Raises OSError."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        path = folder + "/" + name
        if os.stat(path)[0] & _IS_FOLDER:
            _remove(path)
            os.rmdir(path)
        else:
            os.remove(path)


def open_slots(root: str) -> "Slots | None":
    """The slots of the meter in this root; None where the slot loader did not start it."""
    return Slots(root) if start.running != start.NO_SLOT else None
