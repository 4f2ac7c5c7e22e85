"""Readings, events and frames out of the journal as text, a bounded piece at a time."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway import journal
from gateway.forwarding import readings
from gateway.forwarding.readings import Fields
from gateway.segments import Row
from wire.messages import Event, Profile

CHUNK_ROWS = 1000  # journal rows in memory at a time
PIECE_ROWS = 1000  # from so many on what was picked is handed on; one frame adds 2000 at most

READING_COLUMNS = (
    "meter_id", "interval", "start", "end", "start_s", "end_s", "capture_period_s", "obis", "unit",
    "energy", "register", "quality", "flags", "key_epoch", "frame_counter", "received",
    "received_s",
)  # fmt: skip
EVENT_COLUMNS = (
    "meter_id", "number", "event", "code", "at", "at_s", "values", "key_epoch", "frame_counter",
    "received", "received_s",
)  # fmt: skip
FRAME_COLUMNS = (
    "journal_id", "meter_id", "key_epoch", "frame_counter", "received", "received_s", "kind",
    "message",
)  # fmt: skip


class Wanted(NamedTuple):
    """Which meter (None: all), and which instants: [from_s, to_s), UTC seconds, None: no limit."""

    meter_id: bytes | None = None
    from_s: int | None = None
    to_s: int | None = None

    def takes(self, time_s: int) -> bool:
        """Whether an instant is in the half-open span."""
        return (self.from_s is None or self.from_s <= time_s) and (
            self.to_s is None or time_s < self.to_s
        )


class Piece(NamedTuple):
    """Some of what was picked, and how far in the journal that is."""

    rows: list[Fields]
    journal_id: int


def pieces(
    connection: sqlite3.Connection,
    pick: Callable[[Row, Wanted], Iterator[Fields]],
    wanted: Wanted,
) -> Iterator[Piece]:
    """The whole journal in order, as `pick` sees it. Raises DamagedStore."""
    after_id = 0
    picked: list[Fields] = []
    while rows := journal.read_rows(connection, after_id, CHUNK_ROWS):
        for row in rows:
            after_id = row.journal_id
            if wanted.meter_id in (None, row.meter_id):
                picked += pick(row, wanted)
            if len(picked) >= PIECE_ROWS:
                yield Piece(picked, after_id)
                picked = []
        yield Piece(picked, after_id)
        picked = []


def pick_readings(row: Row, wanted: Wanted) -> Iterator[Fields]:
    """Intervals that start in the span. One that a meter sent twice comes twice."""
    message = readings.message_of(row)
    if isinstance(message, Profile):
        for reading in readings.readings(row, message):
            if wanted.takes(reading["start_s"]):
                yield reading


def pick_events(row: Row, wanted: Wanted) -> Iterator[Fields]:
    """Events in the span; where the meter did not know the time, by when they came."""
    message = readings.message_of(row)
    if isinstance(message, Event) and wanted.takes(message.at_s or row.received_s):
        yield readings.event(row, message)


def pick_frames(row: Row, wanted: Wanted) -> Iterator[Fields]:
    """Opened frames that came in the span, their message as hexadecimal CBOR (wire.cddl)."""
    if wanted.takes(row.received_s):
        yield {
            "journal_id": row.journal_id,
            "meter_id": row.meter_id.hex(),
            "key_epoch": row.key_epoch,
            "frame_counter": row.frame_counter,
            "received": readings.utc(row.received_s),
            "received_s": row.received_s,
            "kind": type(readings.message_of(row)).__name__.lower(),
            "message": row.message.hex(),
        }


def json_lines(rows: list[Fields]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def csv_lines(rows: list[Fields], columns: tuple[str, ...]) -> str:
    """One line for each row, or for each register of a reading; what is missing is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        for flat in _flat(row, columns):
            writer.writerow("" if flat[name] is None else flat[name] for name in columns)
    return text.getvalue()


def _flat(row: Fields, columns: tuple[str, ...]) -> Iterator[Fields]:
    if "obis" not in columns:
        yield row | ({"values": json.dumps(row["values"])} if "values" in row else {})
        return
    for unit in ("wh", "varh", "w"):
        energies = row.get(f"energy_{unit}", {})
        for name, register in row.get(f"registers_{unit}", {}).items():
            yield row | {
                "obis": name,
                "unit": unit,
                "energy": energies.get(name),
                "register": register,
                "flags": "+".join(row["flags"]),
            }
