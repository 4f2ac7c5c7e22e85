"""Metering points: every version of their contract, and which meter measures which point now."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from settlement.rules.contract import Assignment


class StoredPoint(NamedTuple):
    """The newest version of a metering point, as its JSON text."""

    version: int
    body: bytes


def newest(connection: sqlite3.Connection, ppe: str) -> StoredPoint | None:
    """The point as it was last put."""
    row = connection.execute(
        "SELECT version, body FROM points WHERE ppe = ? ORDER BY version DESC LIMIT 1", (ppe,)
    ).fetchone()
    return None if row is None else StoredPoint(*row)


def at_version(connection: sqlite3.Connection, ppe: str, version: int) -> StoredPoint:
    """The point as it was put under that version, which a settling refers to."""
    row = connection.execute(
        "SELECT version, body FROM points WHERE ppe = ? AND version = ?", (ppe, version)
    ).fetchone()
    assert row is not None, "versions of a point are never removed"
    return StoredPoint(*row)


def after(connection: sqlite3.Connection, ppe: str, limit: int) -> list[str]:
    """The next points in the order of their numbers, "" for the first ones."""
    rows = connection.execute(
        "SELECT DISTINCT ppe FROM points WHERE ppe > ? ORDER BY ppe LIMIT ?", (ppe, limit)
    )
    return [row[0] for row in rows]


def count(connection: sqlite3.Connection) -> int:
    """How many points there are."""
    return int(connection.execute("SELECT count(DISTINCT ppe) FROM points").fetchone()[0])


def put(
    connection: sqlite3.Connection,
    ppe: str,
    body: bytes,
    assignments: Sequence[Assignment],
    stored_s: int,
) -> int:
    """Stores a new version when the body differs, and returns the version in force."""
    known = newest(connection, ppe)
    if known is not None and known.body == body:
        return known.version
    version = 1 if known is None else known.version + 1
    connection.execute("INSERT INTO points VALUES (?, ?, ?, ?)", (ppe, version, stored_s, body))
    connection.execute("DELETE FROM assignments WHERE ppe = ?", (ppe,))
    connection.executemany(
        "INSERT INTO assignments (ppe, meter_id, from_s, to_s) VALUES (?, ?, ?, ?)",
        [(ppe, each.meter_id, each.from_s, each.to_s) for each in assignments],
    )
    return version


def taken_elsewhere(connection: sqlite3.Connection, ppe: str, wanted: Assignment) -> str | None:
    """The other point that this meter measures in an overlapping time, or None."""
    row = connection.execute(
        "SELECT ppe FROM assignments WHERE meter_id = ? AND ppe <> ?"
        " AND (to_s IS NULL OR to_s > ?) AND (? IS NULL OR from_s < ?) LIMIT 1",
        (wanted.meter_id, ppe, wanted.from_s, wanted.to_s, wanted.to_s),
    ).fetchone()
    return None if row is None else str(row[0])
