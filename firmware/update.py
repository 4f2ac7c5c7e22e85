"""Update over the air: takes a bundle's manifest and chunks into the other slot, and arms it."""

# The manifest lies in the other slot as rows of ROW_BYTES, so that a row costs no search and no
# heap: row 0 is update id u32 and version; then a row for each file, path, size u32, SHA-256; then
# the SHA-256 of all rows, which says that the manifest is complete. Names in capitals are ours:
# a path of a bundle has none.

from wire.messages import RESULT_DONE, RESULT_FAILED, RESULT_REFUSED, RESULT_UNSUPPORTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Slots(Protocol):
        """The board's two application slots. Everything but state() is about the other slot."""

        def state(self) -> "tuple[bool, bool, bool]":
            """On trial; the other slot armed; fell back."""

        def size(self, path: str) -> int:
            """Bytes of a file that are there, 0 for none."""

        def read(self, path: str, offset: int, length: int) -> bytes:
            """At most so many bytes of a file. Raises OSError."""

        def write(self, path: str, offset: int, data: bytes) -> None:
            """Begin a file anew (offset 0), or append to it. Raises OSError."""

        def digest(self, path: str, length: int) -> bytes:
            """SHA-256 of a file's first `length` bytes. Raises OSError."""

        def erase(self) -> None:
            """Disarm, then remove every file. Raises OSError."""

        def arm(self, version: bytes) -> None:
            """Boot the other slot next, on trial. Raises OSError."""

        def confirm(self) -> None:
            """The running application stays; what is told of falling back is told. OSError."""


FILES_MAX = 64
PATH_BYTES_MAX = 40
BUNDLE_BYTES_MAX = 120 * 1024
PARTS_MAX = 8
PIECE_BYTES_MAX = 800  # of a manifest's part, and of a chunk
VERSION_BYTES_MAX = 64
U32_MAX = (1 << 32) - 1  # of every number in the arguments
TRIAL_S_MAX = 3600  # of one start on trial without a receipt
ROW_BYTES = 76
DIGEST_BYTES = 32
MANIFEST = "MANIFEST"
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789_/."


class Update:
    """What commands 7 and 8 do. Every answer is (result code, detail); the detail is text:

    done: `part N` (that part of the manifest is wanted next), `file F OFFSET` (these bytes are), or
    `restart` (the bundle is whole and armed). refused: `on_trial`, `malformed`, `too_large`,
    `path`, `order N` (that part of the manifest is wanted), `unknown` (of that update the meter
    holds no manifest: send it), `gap F OFFSET` (that is the next byte wanted), `hash F` (the file
    is dropped, send it again). failed: `flash`. unsupported: this board has no slots.
    """

    def __init__(self, slots: "Slots | None") -> None:
        self._slots: Any = slots
        self.restart_due = False  # the bundle is armed: restart once the result was receipted
        self.on_trial = self.fell_back = False
        self._id = -1  # of the update whose manifest is in the other slot, or still comes
        self._files = 0  # of that manifest; 0 while it is not complete
        self._part = 0  # the part of it that is wanted next
        self._bytes = 0  # of all files in its parts so far
        self._file = 0  # no file below this one is incomplete
        if slots:
            self.on_trial, _, self.fell_back = slots.state()
            if slots.size(MANIFEST) > ROW_BYTES:
                self._reopen()

    def manifest(self, args: "Any") -> "tuple[int, bytes]":
        """Command 7, args [update id, part, parts, blob]: parts come in order, from 0."""
        return self._answer(self._take_part, args)

    def chunk(self, args: "Any") -> "tuple[int, bytes]":
        """Command 8, args [update id, file index, offset, bytes]: in order within a file."""
        return self._answer(self._take_chunk, args)

    def confirm(self) -> bool:
        """After a receipt: the application on trial is good. True when that is news. OSError."""
        if not self.on_trial:
            return False
        self._slots.confirm()
        self.on_trial = False
        return True

    def told(self) -> None:
        """The event of having fallen back is durable: it is not told at the next start. OSError."""
        if self.fell_back and self._slots.state()[2]:
            self._slots.confirm()
        self.fell_back = False

    def overdue(self, uptime_s: int) -> bool:
        """True when a start on trial had no receipt for so long that the next try should begin."""
        return self.on_trial and uptime_s > TRIAL_S_MAX

    def _answer(self, take: "Any", args: "Any") -> "tuple[int, bytes]":
        if self._slots is None:
            return RESULT_UNSUPPORTED, b""
        if self.on_trial:  # the other slot holds what this one may have to fall back to
            return RESULT_REFUSED, b"on_trial"
        try:
            _check(args)
            return RESULT_DONE, take(*args[:4])
        except _Refused as error:
            return RESULT_REFUSED, error.args[0]
        except OSError:
            if not self._files:
                self._id = -1  # a piece of the part may have been written
            return RESULT_FAILED, b"flash"

    # -------------------------------------------------------------- the manifest

    def _take_part(self, update_id: int, part: int, parts: int, blob: bytes) -> bytes:
        if update_id == self._id and self._files:
            return self._wanted()
        if not part < parts <= PARTS_MAX:
            raise _Refused(b"malformed")
        if update_id != self._id:
            if part:
                raise _Refused(b"order 0")
            self._begin(update_id)
        if part > self._part:
            raise _Refused(b"order %d" % self._part)
        if part == self._part:
            try:
                self._store(blob)
            except _Refused:
                self._id = -1
                raise
            self._part += 1
            if self._part == parts:
                self._complete()
                return self._wanted()
        return b"part %d" % self._part

    def _begin(self, update_id: int) -> None:
        self._id = -1
        self._files = self._part = self._bytes = 0
        self.restart_due = False
        self._slots.erase()
        self._id = update_id

    def _store(self, blob: bytes) -> None:
        """Append the rows of a part: version first; then path, size and SHA-256 of each file."""
        at = 0
        if self._part == 0:
            at = 1 + blob[0] if blob else 0
            if not 1 < at <= min(len(blob), 1 + VERSION_BYTES_MAX):
                raise _Refused(b"malformed")
            self._append(self._id.to_bytes(4, "big") + blob[1:at])
        while at < len(blob):
            end = at + 1 + blob[at]
            path, size = blob[at + 1 : end], int.from_bytes(blob[end : end + 4], "big")
            at = end + 4 + DIGEST_BYTES
            if at > len(blob):
                raise _Refused(b"malformed")
            if not _is_path(path):
                raise _Refused(b"path")
            self._bytes += size
            full = self._slots.size(MANIFEST) > FILES_MAX * ROW_BYTES
            if full or size == 0 or self._bytes > BUNDLE_BYTES_MAX:
                raise _Refused(b"too_large" if size else b"malformed")
            self._append(path + bytes(PATH_BYTES_MAX - len(path)) + blob[end:at])

    def _append(self, row: bytes) -> None:
        slots = self._slots
        slots.write(MANIFEST, slots.size(MANIFEST), row + bytes(ROW_BYTES - len(row)))

    def _complete(self) -> None:
        size = self._slots.size(MANIFEST)
        self._slots.write(MANIFEST, size, self._slots.digest(MANIFEST, size))
        self._reopen()
        if not self._files:  # it has none, or it does not read back as it was written
            self._id = -1
            raise _Refused(b"malformed")

    def _reopen(self) -> None:
        """Go on with the manifest in the other slot, if it is complete."""
        slots = self._slots
        rows = slots.size(MANIFEST) - DIGEST_BYTES
        if slots.read(MANIFEST, rows, DIGEST_BYTES) == slots.digest(MANIFEST, rows):
            self._id = int.from_bytes(slots.read(MANIFEST, 0, 4), "big")
            self._files = rows // ROW_BYTES - 1
            self._file = 0

    # -------------------------------------------------------------- the files

    def _take_chunk(self, update_id: int, index: int, offset: int, data: bytes) -> bytes:
        if update_id != self._id or index >= self._files:
            raise _Refused(b"unknown")
        path, size, _ = self._row(index)
        have = self._slots.size(path)
        if offset > have or offset + len(data) > size or not data:
            raise _Refused(b"gap %d %d" % (index, have))
        if offset == have:
            self._slots.write(path, offset, data)
            if offset + len(data) == size:
                self._verify(index)
        return self._wanted()

    def _wanted(self) -> bytes:
        """What to send next; when nothing is, the other slot is armed."""
        while self._file < self._files:
            path, size, _ = self._row(self._file)
            have = self._slots.size(path)
            if have < size:
                return b"file %d %d" % (self._file, have)
            self._file += 1
        if not self._slots.state()[1]:
            for index in range(self._files):  # a power cut may have spared one its check
                self._verify(index)
            self._slots.arm(self._slots.read(MANIFEST, 4, VERSION_BYTES_MAX).rstrip(b"\0"))
        self.restart_due = True
        return b"restart"

    def _verify(self, index: int) -> None:
        """Drop the file if it is not what the manifest says."""
        path, size, digest = self._row(index)
        if self._slots.size(path) != size or self._slots.digest(path, size) != digest:
            self._slots.write(path, 0, b"")
            self._file = min(self._file, index)
            raise _Refused(b"hash %d" % index)

    def _row(self, index: int) -> "tuple[str, int, bytes]":
        row = self._slots.read(MANIFEST, (1 + index) * ROW_BYTES, ROW_BYTES)
        path = row[:PATH_BYTES_MAX].rstrip(b"\0").decode()
        return path, int.from_bytes(row[PATH_BYTES_MAX:-DIGEST_BYTES], "big"), row[-DIGEST_BYTES:]


class _Refused(Exception):
    """The reason, as a result's detail has it."""


def _check(args: "Any") -> None:
    """Three numbers and then at most PIECE_BYTES_MAX bytes; what follows is a later version's."""
    good = len(args) > 3 and type(args[3]) is bytes and len(args[3]) <= PIECE_BYTES_MAX
    for value in args[:3]:
        good = good and type(value) is int and 0 <= value <= U32_MAX
    if not good:
        raise _Refused(b"malformed")


def _is_path(path: bytes) -> bool:
    """Whether it stays inside the slot: no empty part, none that begins with a dot."""
    for part in path.split(b"/"):
        if not part or part[:1] == b".":
            return False
    for letter in path:
        if letter not in _LETTERS:
            return False
    return len(path) <= PATH_BYTES_MAX
