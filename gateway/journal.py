"""The append-only journal: group commit of accepted frames, and what is rebuilt from it.

Frames are numbered 1, 2, 3 ... without gaps, and kept in segments (gateway/segments.py).
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway import segments
from gateway.errors import DamagedStore
from gateway.intervals import Intervals
from gateway.listener import Said
from gateway.meter import DownCounter, Meter, Progress
from gateway.segments import SEGMENT_FRAMES_MAX, Accepted
from gateway.segments import Row as Row
from gateway.window import NEW, Window
from wire.errors import WireError
from wire.span import read_span

CHECKPOINT_FRAMES = 20_000  # a start reads at most about this many rows again
PROBE_BYTES = 256 * 1024  # this much must fit before a gateway with a full disk goes on

_SIGN = 1 << 63


def to_signed(counter: int) -> int:
    """An unsigned 64-bit frame counter as a column of SQLite can hold it."""
    return counter if counter < _SIGN else counter - (1 << 64)


def to_unsigned(number: int) -> int:
    """The frame counter that to_signed wrote."""
    return number & ((1 << 64) - 1)


class Will(NamedTuple):
    """A meter's line went dead at `closed_s`, because of `why`."""

    meter_id: bytes
    closed_s: int
    why: str
    message: bytes


class Proven(NamedTuple):
    """The first frame of a newer key epoch of a meter, and the lowest epoch it had before."""

    meter: Meter
    key_epoch: int
    epoch_before: int


class Snapshot(NamedTuple):
    """Progress of the meters that changed since the last checkpoint, as rows."""

    windows: list[tuple[bytes, int, bytes, bytes]]
    intervals: list[tuple[bytes, int, bytes]]


@dataclass
class Group:
    """Everything that becomes durable in one transaction."""

    now_s: int
    rows: list[Accepted] = field(default_factory=list)
    refusals: dict[tuple[bytes, str], int] = field(default_factory=dict)
    wills: list[Will] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    reservations: list[tuple[int, bytes, int]] = field(default_factory=list)
    reserved: list[tuple[DownCounter, int]] = field(default_factory=list)  # the same, in memory
    proven: list[Proven] = field(default_factory=list)
    snapshot: Snapshot | None = None

    def is_empty(self) -> bool:
        return not (self.rows or self.refusals or self.wills or self.snapshot)


def commit(connection: sqlite3.Connection, group: Group) -> None:
    """Write a group; the caller holds the transaction."""
    if group.rows:
        _append(connection, group.rows)
    if group.reservations:
        connection.executemany(
            "UPDATE meter_key SET down_reserved = max(down_reserved, ?)"
            " WHERE meter_id = ? AND key_epoch = ?",
            group.reservations,
        )
    for (meter_id, reason), frames in group.refusals.items():
        connection.execute(
            "INSERT INTO refusal VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE"
            " SET frames = frames + ?3, last_s = ?4",
            (meter_id, reason, frames, group.now_s),
        )
    for will in group.wills:
        connection.execute(
            "INSERT INTO last_will VALUES (?1, ?2, ?3, ?4, 1) ON CONFLICT DO UPDATE"
            " SET closed_s = ?2, why = ?3, message = ?4, times = times + 1",
            will,
        )
    if group.snapshot is not None:
        _write_snapshot(connection, group.snapshot)


def _append(connection: sqlite3.Connection, frames: list[Accepted]) -> None:
    first_id = last_id(connection) + 1
    for at in range(0, len(frames), SEGMENT_FRAMES_MAX):
        some = frames[at : at + SEGMENT_FRAMES_MAX]
        data = segments.pack(some)
        newest_s = max([frame[3] for frame in some])
        crc = segments.checksum(first_id, len(some), data)
        connection.execute(
            "INSERT INTO segment VALUES (?, ?, ?, ?, ?)", (first_id, len(some), newest_s, crc, data)
        )
        first_id += len(some)


def _write_snapshot(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    connection.executemany("INSERT OR REPLACE INTO window VALUES (?, ?, ?, ?)", snapshot.windows)
    connection.executemany("INSERT OR REPLACE INTO interval VALUES (?, ?, ?)", snapshot.intervals)
    connection.execute("UPDATE checkpoint SET journal_id = ?", (last_id(connection),))


def read_rows(connection: sqlite3.Connection, after_id: int, rows_max: int) -> list[Row]:
    """The frames after this one in the order of their ids. Raises DamagedStore."""
    rows: list[Row] = []
    for segment in _segments(connection, after_id):
        rows += segment[: rows_max - len(rows)]
        if len(rows) == rows_max:
            break
    return rows


def find(
    connection: sqlite3.Connection, meter_id: bytes, counter: int, key_epoch: int | None = None
) -> Row | None:
    """A frame of a meter, the newest key epoch's when none is named; None when it is not there.

    Reads through the journal: it has no index, because appends are what must be fast.
    """
    found: Row | None = None
    for segment in connection.execute(
        "SELECT first_id, frames, crc, data FROM segment WHERE instr(data, ?)",
        (segments.key_of(meter_id, counter),),
    ):
        for row in segments.unpack(*segment):
            if (row.meter_id, row.frame_counter) != (meter_id, counter):
                continue
            if key_epoch is None and (found is None or row.key_epoch > found.key_epoch):
                found = row
            elif row.key_epoch == key_epoch:
                return row
    return found


def last_id(connection: sqlite3.Connection) -> int:
    """The newest frame's number; 0 when there is none."""
    row = connection.execute(
        "SELECT first_id + frames - 1 FROM segment ORDER BY first_id DESC LIMIT 1"
    ).fetchone()
    return row[0] if row else 0


def prune(connection: sqlite3.Connection, before_s: int, up_to_id: int, rows_max: int) -> int:
    """Let go of segments that were received before `before_s` and end at `up_to_id` or below.

    Looks at the oldest `rows_max` segments; returns how many it let go, 0 when there is no more
    to do now. The newest stays, because the numbers go on from it, and so does what the next
    start reads. A segment that a clock set years ahead has stamped stays until that time comes.
    """
    checkpoint = connection.execute("SELECT journal_id FROM checkpoint").fetchone()[0]
    return connection.execute(
        "DELETE FROM segment WHERE first_id IN ("
        " SELECT first_id FROM (SELECT * FROM segment ORDER BY first_id LIMIT ?1)"
        " WHERE newest_s < ?2 AND first_id + frames - 1 <= ?3)"
        " AND first_id < (SELECT max(first_id) FROM segment)",
        (rows_max, before_s, min(up_to_id, checkpoint)),
    ).rowcount


def _segments(connection: sqlite3.Connection, after_id: int) -> Iterator[list[Row]]:
    """The frames after this one, a segment at a time."""
    for segment in connection.execute(
        "SELECT first_id, frames, crc, data FROM segment WHERE first_id >= coalesce("
        " (SELECT max(first_id) FROM segment WHERE first_id <= ?1 + 1), 0) ORDER BY first_id",
        (after_id,),
    ):
        rows = segments.unpack(*segment)
        yield rows if rows[0].journal_id > after_id else rows[after_id + 1 - rows[0].journal_id :]


def take_snapshot(meters: set[Meter]) -> Snapshot:
    """The progress of these meters, which must be exactly what the journal will hold."""
    windows = [
        (meter.meter_id, epoch, _u64(window.highest & ((1 << 64) - 1)), _u64(window.bits))
        for meter in meters
        for epoch, window in meter.progress.windows.items()
        if window.bits
    ]
    intervals = [
        (meter.meter_id, meter.progress.intervals.upto, meter.progress.intervals.to_bytes())
        for meter in meters
    ]
    return Snapshot(windows, intervals)


def rebuild(connection: sqlite3.Connection) -> dict[bytes, Progress]:
    """Every meter's progress: the checkpoint and the journal after it. Raises DamagedStore."""
    meters: dict[bytes, Progress] = {}
    for meter_id, epoch, highest, bits in connection.execute("SELECT * FROM window"):
        window = Window(int.from_bytes(highest, "big"), int.from_bytes(bits, "big"))
        meters.setdefault(meter_id, Progress()).windows[epoch] = window
    for meter_id, upto, islands in connection.execute("SELECT * FROM interval"):
        try:
            kept = Intervals.from_bytes(upto, islands)
        except (struct.error, ValueError):
            raise DamagedStore("table interval is damaged; restore a backup") from None
        meters.setdefault(meter_id, Progress()).intervals = kept
    since = connection.execute("SELECT journal_id FROM checkpoint").fetchone()[0]
    for rows in _segments(connection, since):
        for row in rows:
            _replay(meters.setdefault(row.meter_id, Progress()), row)
    return meters


def _replay(progress: Progress, row: Row) -> None:
    window = progress.window(row.key_epoch)
    if window.look(row.frame_counter) != NEW:
        raise DamagedStore(
            f"journal row {row.journal_id} repeats frame {row.frame_counter} of meter"
            f" {row.meter_id.hex()}; keep the file and restore a backup"
        )
    window.mark(row.frame_counter)
    try:
        span = read_span(row.message)
    except WireError:
        raise DamagedStore(
            f"journal row {row.journal_id} cannot be read; restore a backup"
        ) from None
    if span is not None:
        progress.intervals.add(span.first, span.intervals, span.oldest)


def probe(connection: sqlite3.Connection) -> None:
    """Find out whether the disk takes writes again; raises sqlite3.Error while it does not."""
    connection.execute("INSERT INTO probe VALUES (zeroblob(?))", (PROBE_BYTES,))
    connection.execute("DELETE FROM probe")


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")
