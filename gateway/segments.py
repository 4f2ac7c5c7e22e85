"""A segment of the journal as bytes: the frames of one group commit, with a checksum.

One row for a group instead of one for each frame: SQLite takes it several times faster, and gives
Python's lock away a few times a commit instead of a few times a frame.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from gateway.errors import DamagedStore

SEGMENT_FRAMES_MAX = 1000  # a larger group is cut, so that a reader holds at most about 1 MB

# The meter and the counter come first and together: `key_of` finds a frame by them.
_HEAD = struct.Struct(">8sQBqH")  # meter id, frame counter, key epoch, received_s, message bytes
_KEY = struct.Struct(">8sQ")
_PLACE = struct.Struct(">QI")  # what the checksum covers besides the frames: first id, frames

Accepted = tuple[bytes, int, int, int, bytes]  # meter id, epoch, counter, received_s, message


class Row(NamedTuple):
    """A frame in the journal."""

    journal_id: int
    meter_id: bytes
    key_epoch: int
    frame_counter: int
    received_s: int
    message: bytes


def pack(frames: Sequence[Accepted]) -> bytes:
    """The frames of a segment, one after the other."""
    parts: list[bytes] = []
    head = _HEAD.pack
    for meter_id, key_epoch, frame_counter, received_s, message in frames:
        parts.append(head(meter_id, frame_counter, key_epoch, received_s, len(message)))
        parts.append(message)
    return b"".join(parts)


def checksum(first_id: int, frames: int, data: bytes) -> int:
    """CRC-32 of a segment at its place: a segment in another's place does not match."""
    return zlib.crc32(data, zlib.crc32(_PLACE.pack(first_id, frames)))


def unpack(first_id: int, frames: int, crc: int, data: bytes) -> list[Row]:
    """The frames of a segment, numbered from `first_id`. Raises DamagedStore."""
    if checksum(first_id, frames, data) != crc:
        raise damaged(first_id)
    rows: list[Row] = []
    at = 0
    for journal_id in range(first_id, first_id + frames):
        if at + _HEAD.size > len(data):
            raise damaged(first_id)
        meter_id, frame_counter, key_epoch, received_s, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size + size
        message = data[at - size : at]
        rows.append(Row(journal_id, meter_id, key_epoch, frame_counter, received_s, message))
    if at != len(data):
        raise damaged(first_id)
    return rows


def key_of(meter_id: bytes, frame_counter: int) -> bytes:
    """Bytes that a segment with this frame holds (and, by chance, another may)."""
    return _KEY.pack(meter_id, frame_counter)


def damaged(first_id: int) -> DamagedStore:
    """A segment that is not what was written."""
    return DamagedStore(
        f"journal segment {first_id} is damaged; stop the gateway, keep the file and restore a"
        " backup"
    )
