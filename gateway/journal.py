"""The append-only journal: group commit of accepted frames, and what is rebuilt from it."""

from __future__ import annotations

import sqlite3
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.errors import DamagedStore
from gateway.intervals import Intervals
from gateway.listener import Said
from gateway.meter import Meter, Progress
from gateway.window import NEW, Window
from wire.errors import WireError
from wire.span import read_span

CHECKPOINT_FRAMES = 20_000  # a start reads at most about this many rows again
PROBE_BYTES = 256 * 1024  # this much must fit before a gateway with a full disk goes on

_SIGN = 1 << 63


def to_signed(counter: int) -> int:
    """An unsigned 64-bit frame counter as SQLite can hold it."""
    return counter if counter < _SIGN else counter - (1 << 64)


def to_unsigned(number: int) -> int:
    return number & ((1 << 64) - 1)


class Will(NamedTuple):
    """A meter's line went dead at `closed_s`, because of `why`."""

    meter_id: bytes
    closed_s: int
    why: str
    message: bytes


class Snapshot(NamedTuple):
    """Progress of the meters that changed since the last checkpoint, as rows."""

    windows: list[tuple[bytes, int, bytes, bytes]]
    intervals: list[tuple[bytes, int, bytes]]


@dataclass
class Group:
    """Everything that becomes durable in one transaction."""

    now_s: int
    rows: list[tuple[bytes, int, int, int, bytes]] = field(default_factory=list)
    refusals: dict[tuple[bytes, str], int] = field(default_factory=dict)
    wills: list[Will] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    reservations: list[tuple[int, bytes, int]] = field(default_factory=list)
    snapshot: Snapshot | None = None

    def is_empty(self) -> bool:
        return not (self.rows or self.refusals or self.wills or self.snapshot)


def commit(connection: sqlite3.Connection, group: Group) -> None:
    """Write a group; the caller holds the transaction."""
    if group.rows:
        connection.executemany(
            "INSERT INTO journal (meter_id, key_epoch, frame_counter, received_s, message)"
            " VALUES (?, ?, ?, ?, ?)",
            group.rows,
        )
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


def _write_snapshot(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    connection.executemany("INSERT OR REPLACE INTO window VALUES (?, ?, ?, ?)", snapshot.windows)
    connection.executemany("INSERT OR REPLACE INTO interval VALUES (?, ?, ?)", snapshot.intervals)
    connection.execute("UPDATE checkpoint SET journal_id = ?", (last_id(connection),))


class Row(NamedTuple):
    """A frame in the journal."""

    journal_id: int
    meter_id: bytes
    key_epoch: int
    frame_counter: int
    received_s: int
    message: bytes


def read_rows(connection: sqlite3.Connection, after_id: int, rows_max: int) -> list[Row]:
    """The frames after this one in the order of their ids, which have no gaps."""
    return [
        Row(row[0], row[1], row[2], to_unsigned(row[3]), row[4], row[5])
        for row in connection.execute(
            "SELECT id, meter_id, key_epoch, frame_counter, received_s, message FROM journal"
            " WHERE id > ? ORDER BY id LIMIT ?",
            (after_id, rows_max),
        )
    ]


def last_id(connection: sqlite3.Connection) -> int:
    """The newest journal row; 0 when there is none."""
    row = connection.execute("SELECT max(id) FROM journal").fetchone()
    return row[0] or 0


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
    for row in connection.execute(
        "SELECT id, meter_id, key_epoch, frame_counter, message FROM journal WHERE id > ?", (since,)
    ):
        _replay(meters.setdefault(row[1], Progress()), *row)
    return meters


def _replay(
    progress: Progress, row_id: int, meter_id: bytes, epoch: int, counter: int, message: bytes
) -> None:
    window = progress.window(epoch)
    counter = to_unsigned(counter)
    if window.look(counter) != NEW:
        raise DamagedStore(
            f"journal row {row_id} repeats frame {counter} of meter {meter_id.hex()};"
            " keep the file and restore a backup"
        )
    window.mark(counter)
    try:
        span = read_span(message)
    except WireError:
        raise DamagedStore(f"journal row {row_id} cannot be read; restore a backup") from None
    if span is not None:
        progress.intervals.add(span.first, span.intervals, span.oldest)


def probe(connection: sqlite3.Connection) -> None:
    """Find out whether the disk takes writes again; raises sqlite3.Error while it does not."""
    connection.execute("INSERT INTO probe VALUES (zeroblob(?))", (PROBE_BYTES,))
    connection.execute("DELETE FROM probe")


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")
