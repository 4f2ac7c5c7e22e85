"""Builders for updates: an application bundle, its manifest's parts, and the gateway's side."""

from hashlib import sha256

from firmware.update import PIECE_BYTES_MAX
from wire.messages import RESULT_DONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.update import Update

    Files = list[tuple[str, bytes]]
    Answer = tuple[int, bytes]


def a_bundle(**changes: bytes) -> "Files":
    """Files by path, in the manifest's order; `changes` replaces by position: file_1=b"..."."""
    files = [
        ("firmware/__init__.mpy", b"\x01"),
        ("firmware/app.mpy", bytes(range(256)) * 5),
        ("boards/parts/slots.mpy", b"slots" * 30),
    ]
    for name in changes:
        index = int(name[5:])
        files[index] = (files[index][0], changes[name])
    return files


def row_of(path: "str | bytes", content: bytes) -> bytes:
    """A file's row on the wire: path, size, SHA-256."""
    name = path if isinstance(path, bytes) else path.encode()
    head = bytes([len(name)]) + name + len(content).to_bytes(4, "big")
    return head + sha256(content).digest()


def parts_of(
    files: "Files", version: bytes = b"0.2.0", piece_bytes: int = PIECE_BYTES_MAX
) -> "list[bytes]":
    """The blobs of the manifest's parts: rows are never split between two."""
    parts = [bytes([len(version)]) + version]
    for path, content in files:
        row = row_of(path, content)
        if len(parts[-1]) + len(row) > piece_bytes:
            parts.append(b"")
        parts[-1] += row
    return parts


class Sender:
    """A gateway that remembers nothing: each answer says what the meter wants next."""

    def __init__(
        self, files: "Files", update_id: int = 7, chunk_bytes: int = 600, piece_bytes: int = 800
    ) -> None:
        self.files = files
        self.parts = parts_of(files, piece_bytes=piece_bytes)
        self.update_id = update_id
        self.chunk_bytes = chunk_bytes
        self.sent = 0

    def send(self, update: "Update", commands_max: int = 1000) -> "Answer":
        """Send until the meter says restart, or so many commands; gives the last answer."""
        code, detail = self.part(update, 0)
        while detail != b"restart" and self.sent < commands_max:
            assert code == RESULT_DONE, detail
            words = detail.split(b" ")
            if words[0] == b"part":
                code, detail = self.part(update, int(words[1]))
            else:
                assert words[0] == b"file", detail
                code, detail = self.chunk(update, int(words[1]), int(words[2]))
        return code, detail

    def part(self, update: "Update", part: int) -> "Answer":
        self.sent += 1
        return update.manifest([self.update_id, part, len(self.parts), self.parts[part]])

    def chunk(self, update: "Update", index: int, offset: int) -> "Answer":
        self.sent += 1
        piece = self.files[index][1][offset : offset + self.chunk_bytes]
        return update.chunk([self.update_id, index, offset, piece])
