"""What people ask of outages: rows as dicts, for the command line and the admin interface."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

LIST_ROWS_MAX = 1000


def outages(
    connection: sqlite3.Connection,
    meter_id: bytes | None = None,
    *,
    is_open: bool = False,
    limit: int = 100,
) -> list[dict[str, object]]:
    """The newest outages, of one meter or of all; those that turned out the same are left out."""
    found = []
    for row in connection.execute(
        "SELECT id, meter_id, area, cause, began_s, ended_s, said_by, number, area_outage_id"
        " FROM outage WHERE end_why <> 'merged' AND (?1 IS NULL OR meter_id = ?1)"
        " AND (NOT ?2 OR ended_s IS NULL) ORDER BY id DESC LIMIT ?3",
        (meter_id, is_open, min(limit, LIST_ROWS_MAX)),
    ):
        found.append(
            {
                "id": row[0],
                "meter_id": row[1].hex(),
                "area": row[2],
                "cause": row[3],
                **_times(row[4], row[5]),
                "said_by": row[6],
                "confirmed": row[3] == "last_gasp" or row[6] != "gateway",
                "number": row[7],
                "area_outage_id": row[8],
            }
        )
    return found


def area_outages(
    connection: sqlite3.Connection, *, is_open: bool = False, limit: int = 100
) -> list[dict[str, object]]:
    """The newest outages of areas, with how many meters each held and how many are back."""
    return [
        {
            "id": row[0],
            "area": row[1],
            **_times(row[2], row[3]),
            "meters": row[4],
            "meters_back": row[5],
        }
        for row in connection.execute(
            "SELECT a.id, a.area, a.began_s, a.ended_s, count(DISTINCT o.meter_id),"
            " count(DISTINCT o.meter_id)"
            " - count(DISTINCT iif(o.ended_s IS NULL, o.meter_id, NULL))"
            " FROM area_outage AS a LEFT JOIN outage AS o ON o.area_outage_id = a.id"
            " WHERE a.end_why <> 'merged' AND (NOT ?1 OR a.ended_s IS NULL)"
            " GROUP BY a.id ORDER BY a.id DESC LIMIT ?2",
            (is_open, min(limit, LIST_ROWS_MAX)),
        )
    ]


def plans(connection: sqlite3.Connection, now_s: int) -> list[dict[str, object]]:
    """Planned outages that are not over, in the order they were announced."""
    return [
        {
            "id": row[0],
            "subject": row[1],
            "from_s": row[2],
            "to_s": row[3],
            "from": utc(row[2]),
            "to": utc(row[3]),
            "text": row[4],
        }
        for row in connection.execute(
            "SELECT id, subject, from_s, to_s, text FROM planned_outage WHERE to_s >= ?"
            " ORDER BY id",
            (now_s,),
        )
    ]


def places(connection: sqlite3.Connection) -> list[dict[str, object]]:
    """Which meter is in which area."""
    return [
        {"meter_id": row[0].hex(), "area": row[1]}
        for row in connection.execute("SELECT meter_id, area FROM area_meter ORDER BY area")
    ]


def utc(seconds: int) -> str:
    """UTC for people, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _times(began_s: int, ended_s: int | None) -> dict[str, object]:
    return {
        "began_s": began_s,
        "ended_s": ended_s,
        "began": utc(began_s),
        "ended": None if ended_s is None else utc(ended_s),
        "duration_s": None if ended_s is None else ended_s - began_s,
    }
