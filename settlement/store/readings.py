"""Intervals of meters, every version kept; the newest version of each counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from settlement.rules.validation import Interval

_COUNTER_BYTES = 8
FRAME_COUNTER_MAX = 2 ** (8 * _COUNTER_BYTES) - 1


class Reading(NamedTuple):
    """One interval of one register as the meter told it."""

    start_s: int
    capture_period_s: int
    energy_wh: int
    quality: int
    register_end_wh: int


def frame_order(key_epoch: int, frame_counter: int) -> bytes:
    """Bytes that sort like the order in which the meter sealed its frames."""
    return bytes([key_epoch]) + frame_counter.to_bytes(_COUNTER_BYTES, "big")


def add(
    connection: sqlite3.Connection,
    meter_id: str,
    obis: str,
    readings: Sequence[Reading],
    order: bytes,
    batch_id: int,
) -> int:
    """Adds what is new and returns how many readings were.

    The same value again is a duplicate; another value is a new version, unless it comes from an
    older frame than the stored one (a late batch never undoes a correction).
    """
    newest = _newest(connection, meter_id, obis, readings[0].start_s, readings[-1].start_s)
    rows = []
    for reading in readings:
        version, stored, stored_order = newest.get(reading.start_s, (0, None, b""))
        if reading != stored and order >= stored_order:
            rows.append(
                (meter_id, obis, reading.start_s, version + 1, *reading[1:], order, batch_id)
            )
    connection.executemany(
        "INSERT INTO readings (meter_id, obis, start_s, version, capture_period_s, energy_wh,"
        " quality, register_end_wh, frame_order, batch_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    return len(rows)


def intervals(
    connection: sqlite3.Connection,
    meter_id: str,
    obis: str,
    start_s: int,
    end_s: int,
    up_to: int | None = None,
) -> list[Interval]:
    """The newest versions of the intervals that lie wholly in [start_s, end_s), in order.

    `up_to` is a batch_id: what came in later is left out.
    """
    newest = _newest(connection, meter_id, obis, start_s, end_s - 1, up_to)
    return [
        Interval(meter_id, *reading)
        for _, reading, _ in newest.values()
        if reading.start_s + reading.capture_period_s <= end_s
    ]


def stamp(
    connection: sqlite3.Connection, meter_id: str, obis: str, start_s: int, end_s: int
) -> tuple[int, int]:
    """How many versions start in [start_s, end_s) and the newest batch of them.

    Rows are only added, so that other readings have another stamp.
    """
    row = connection.execute(
        "SELECT count(*), coalesce(max(batch_id), 0) FROM readings"
        " WHERE meter_id = ? AND obis = ? AND start_s >= ? AND start_s < ?",
        (meter_id, obis, start_s, end_s),
    ).fetchone()
    return int(row[0]), int(row[1])


def _newest(
    connection: sqlite3.Connection,
    meter_id: str,
    obis: str,
    first_s: int,
    last_s: int,
    up_to: int | None = None,
) -> dict[int, tuple[int, Reading, bytes]]:
    """By start, ascending: version, reading and frame order of what counts."""
    rows = connection.execute(
        "SELECT start_s, version, capture_period_s, energy_wh, quality, register_end_wh,"
        " frame_order FROM readings WHERE meter_id = ? AND obis = ? AND start_s BETWEEN ? AND ?"
        " AND (? IS NULL OR batch_id <= ?) ORDER BY start_s, version",
        (meter_id, obis, first_s, last_s, up_to, up_to),
    )
    # Versions come in order, so the last one written into the dict is the newest.
    return {row[0]: (row[1], Reading(row[0], *row[2:6]), row[6]) for row in rows}


def last_start_s(connection: sqlite3.Connection, meter_id: str, obis: str) -> int | None:
    """Start of the latest interval of this register."""
    row = connection.execute(
        "SELECT max(start_s) FROM readings WHERE meter_id = ? AND obis = ?", (meter_id, obis)
    ).fetchone()
    return None if row[0] is None else int(row[0])
