"""The tables of outages, areas and plans: what the book writes and what people ask for."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from gateway import audit
from gateway.errors import UsageError
from gateway.outages.outage_records import (
    EVERY,
    GATEWAY,
    MATCH_S,
    UNREACHED,
    AreaOutage,
    Now,
    Outage,
    Plan,
    Told,
)

AREA_METERS_MAX = 100_000  # in one command or file
PLAN_TEXT_CHARS_MAX = 200
PLAN_S_MAX = 31 * 86_400
LIST_ROWS_MAX = 1000
RECENT_ROWS_MAX = 50  # records of one meter around one of its own events

_AREA = re.compile(r"\w[\w .-]{0,63}").fullmatch
_UNFINISHED = (
    "SELECT id, meter_id, area, cause, began_s, opened_s, ended_s, end_why, said_by, number,"
    " told, area_outage_id FROM outage WHERE ended_s IS NULL OR told = '' OR area_outage_id IN"
    " (SELECT id FROM area_outage WHERE ended_s IS NULL OR told = '') ORDER BY id"
)
_AROUND = (
    "SELECT id, meter_id, area, cause, began_s, opened_s, ended_s, end_why, said_by, number,"
    " told, area_outage_id FROM outage WHERE meter_id = ? AND began_s <= ? AND ended_s >= ?"
    " AND end_why <> 'merged' ORDER BY began_s DESC LIMIT ?"
)


def save(connection: sqlite3.Connection, changed: Iterable[Outage | AreaOutage]) -> None:
    """Write records that are new or have changed; new ones get their row_id."""
    for record in sorted(changed, key=lambda record: isinstance(record, Outage)):
        if isinstance(record, AreaOutage):
            _save_area(connection, record)
        else:
            _save_outage(connection, record)


def _save_area(connection: sqlite3.Connection, record: AreaOutage) -> None:
    values = (record.began_s, record.ended_s, record.end_why, record.told)
    if record.row_id:
        connection.execute(
            "UPDATE area_outage SET began_s = ?, ended_s = ?, end_why = ?, told = ? WHERE id = ?",
            (*values, record.row_id),
        )
        return
    record.row_id = _new_id(
        connection.execute(
            "INSERT INTO area_outage (area, opened_s, began_s, ended_s, end_why, told)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (record.area, record.opened_s, *values),
        )
    )


def _save_outage(connection: sqlite3.Connection, record: Outage) -> None:
    group_id = record.group.row_id if record.group is not None else None
    values = (
        record.began_s, record.ended_s, record.end_why, record.said_by, record.number,
        group_id, record.told,
    )  # fmt: skip
    if record.row_id:
        connection.execute(
            "UPDATE outage SET began_s = ?, ended_s = ?, end_why = ?, said_by = ?, number = ?,"
            " area_outage_id = coalesce(?, area_outage_id), told = ? WHERE id = ?",
            (*values, record.row_id),
        )
        return
    record.row_id = _new_id(
        connection.execute(
            "INSERT INTO outage (meter_id, area, cause, opened_s, began_s, ended_s, end_why,"
            " said_by, number, area_outage_id, told) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (record.meter_id, record.area, record.cause, record.opened_s, *values),
        )
    )


def _new_id(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def load(connection: sqlite3.Connection, now: Now) -> tuple[list[Outage], list[AreaOutage]]:
    """Everything that is open or not told yet, with the members of open area outages."""
    areas = {
        row[0]: AreaOutage(row[1], row[2], _at(row[2], now), row[3], row[4], row[5], row[0])
        for row in connection.execute(
            "SELECT id, area, opened_s, ended_s, told, end_why FROM area_outage"
            " WHERE ended_s IS NULL OR told = ''"
        )
    }
    outages = []
    for row in connection.execute(_UNFINISHED):
        outage = to_outage(row, now)
        outages.append(outage)
        group = areas.get(row[11])
        if group is not None:
            outage.group = group
            group.members[outage.meter_id] = outage
    return outages, list(areas.values())


def around(connection: sqlite3.Connection, meter_id: bytes, told: Told, now: Now) -> list[Outage]:
    """The meter's closed records that could be the one it tells of."""
    end_s = told.began_s + told.duration_s
    return [
        to_outage(row, now)
        for row in connection.execute(
            _AROUND,
            (meter_id, end_s + MATCH_S, told.began_s - MATCH_S, RECENT_ROWS_MAX),
        )
    ]


def to_outage(row: Any, now: Now) -> Outage:
    """A record as the queries above select it."""
    return Outage(
        row[1], row[2], row[3], row[4], row[5], _at(row[5], now),
        None, row[6], row[7], row[8], row[9], row[10], row[0],
    )  # fmt: skip


def _at(opened_s: int, now: Now) -> int:
    """The steady second of a UTC one that is not in the future."""
    return now.steady_s - max(0, now.utc_s - opened_s)


def prune(connection: sqlite3.Connection, before_s: int, rows_max: int = 1000) -> int:
    """Delete some outages that ended before; returns how many."""
    gone = connection.execute(
        "DELETE FROM outage WHERE id IN"
        " (SELECT id FROM outage WHERE ended_s < ? AND told <> '' ORDER BY id LIMIT ?)",
        (before_s, rows_max),
    ).rowcount
    connection.execute(
        "DELETE FROM area_outage WHERE ended_s < ? AND told <> ''"
        " AND id NOT IN (SELECT area_outage_id FROM outage WHERE area_outage_id IS NOT NULL)",
        (before_s,),
    )
    connection.execute("DELETE FROM planned_outage WHERE to_s < ?", (before_s,))
    return gone


# -- areas and plans


def areas(connection: sqlite3.Connection) -> dict[bytes, str]:
    """The area of every meter that is in one."""
    return dict(connection.execute("SELECT meter_id, area FROM area_meter").fetchall())


def set_areas(
    connection: sqlite3.Connection, places: Mapping[bytes, str], *, actor: str, now_s: int
) -> None:
    """Put meters into areas; an empty name takes a meter out of its area. Raises UsageError."""
    if not 0 < len(places) <= AREA_METERS_MAX:
        raise UsageError(f"give 1 to {AREA_METERS_MAX} meters; split a longer list")
    known = {row[0] for row in connection.execute("SELECT meter_id FROM meter")}
    for meter_id, area in places.items():
        if meter_id not in known:
            raise UsageError(f"meter {meter_id.hex()} is not registered; nothing was changed")
        if area:
            check_area(area)
    connection.executemany(
        "INSERT OR REPLACE INTO area_meter VALUES (?, ?)",
        [(meter_id, area) for meter_id, area in places.items() if area],
    )
    connection.executemany(
        "DELETE FROM area_meter WHERE meter_id = ?",
        [(meter_id,) for meter_id, area in places.items() if not area],
    )
    names = sorted(set(places.values()))
    detail: dict[str, object] = {"meters": len(places), "areas": names[:20]}
    audit.record(connection, actor, "area.set", names[0] or "none", detail, now_s)


def check_area(area: str) -> None:
    """Raises UsageError unless it can name an area: it is used in topics and in mail subjects."""
    if not _AREA(area) or area in (GATEWAY, UNREACHED):
        raise UsageError(
            "an area's name has 1 to 64 letters, digits, blanks and . _ - and begins with a letter"
            f" or digit; {GATEWAY} and {UNREACHED} are taken"
        )


def plans(connection: sqlite3.Connection, from_s: int) -> list[Plan]:
    """The planned outages that are not over at from_s."""
    return [
        Plan(*row)
        for row in connection.execute(
            "SELECT subject, from_s, to_s, text FROM planned_outage WHERE to_s >= ? ORDER BY id",
            (from_s,),
        )
    ]


def add_plan(connection: sqlite3.Connection, plan: Plan, *, actor: str, now_s: int) -> int:
    """Announce an outage; returns its number. Raises UsageError."""
    if plan.subject not in (EVERY, GATEWAY) and not re.fullmatch("[0-9a-f]{16}", plan.subject):
        check_area(plan.subject)
    if not 0 < plan.to_s - plan.from_s <= PLAN_S_MAX or plan.to_s <= now_s:
        raise UsageError("a planned outage ends after it begins, in future, within 31 days")
    if len(plan.text) > PLAN_TEXT_CHARS_MAX or (plan.text and not plan.text.isprintable()):
        raise UsageError(f"the text is one line of at most {PLAN_TEXT_CHARS_MAX} characters")
    number = _new_id(
        connection.execute(
            "INSERT INTO planned_outage (subject, from_s, to_s, text) VALUES (?, ?, ?, ?)", plan
        )
    )
    detail: dict[str, object] = {"plan": number, "from_s": plan.from_s, "to_s": plan.to_s}
    audit.record(connection, actor, "outage.plan", plan.subject, detail, now_s)
    return number


def cancel_plan(connection: sqlite3.Connection, number: int, *, actor: str, now_s: int) -> None:
    """Take a planned outage back. Raises UsageError."""
    row = connection.execute(
        "DELETE FROM planned_outage WHERE id = ? RETURNING subject", (number,)
    ).fetchone()
    if row is None:
        raise UsageError(f"there is no planned outage {number}; `outages plans` lists them")
    audit.record(connection, actor, "outage.unplan", row[0], {"plan": number}, now_s)
