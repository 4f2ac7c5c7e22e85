"""Estimates in the place of missing intervals: every version kept, the newest that fits counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from settlement.rules.estimation import Substitute

_RANGE = "FROM substitutes WHERE meter_id = ? AND obis = ? AND start_s >= ? AND start_s < ?"


def add(connection: sqlite3.Connection, substitutes: Iterable[Substitute], recorded_s: int) -> None:
    """Keeps substitutes whose versions are new."""
    connection.executemany(
        "INSERT INTO substitutes (meter_id, obis, start_s, version, capture_period_s, energy_wh,"
        " quality, method, recorded_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                each.meter_id,
                each.obis,
                each.start_s,
                each.version,
                each.capture_period_s,
                each.energy_wh,
                each.quality,
                each.method,
                recorded_s,
            )
            for each in substitutes
        ],
    )


def within(
    connection: sqlite3.Connection,
    meter_id: str,
    obis: str,
    start_s: int,
    end_s: int,
    up_to: int | None = None,
) -> list[Substitute]:
    """All versions that start in [start_s, end_s), up to that substitute_id when one is given."""
    rows = connection.execute(
        "SELECT meter_id, obis, start_s, capture_period_s, energy_wh, quality, method, version"
        f" {_RANGE} AND (? IS NULL OR substitute_id <= ?)"
        " ORDER BY start_s, version",
        (meter_id, obis, start_s, end_s, up_to, up_to),
    )
    return [Substitute(*row) for row in rows]


def last_version(
    connection: sqlite3.Connection, meter_id: str, obis: str, start_s: int, end_s: int
) -> int:
    """The highest version of a substitute that starts in [start_s, end_s); 0 without any."""
    row = connection.execute(
        f"SELECT coalesce(max(version), 0) {_RANGE}",
        (meter_id, obis, start_s, end_s),
    ).fetchone()
    return int(row[0])


def stamp(
    connection: sqlite3.Connection, meter_id: str, obis: str, start_s: int, end_s: int
) -> tuple[int, int]:
    """How many there are in [start_s, end_s) and the newest: another set has another stamp."""
    row = connection.execute(
        f"SELECT count(*), coalesce(max(substitute_id), 0) {_RANGE}",
        (meter_id, obis, start_s, end_s),
    ).fetchone()
    return int(row[0]), int(row[1])
