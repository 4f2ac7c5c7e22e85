"""The table of what meters have noticed: every event once, in the meter's own numbering."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from gateway.listener import Said
from wire.messages import (
    EVENT_BOOT,
    EVENT_CLOCK_SET,
    EVENT_CONFIG_CHANGE,
    EVENT_COUNTER_LOSS,
    EVENT_EVENTS_LOST,
    EVENT_FLASH_DAMAGE,
    EVENT_LAST_GASP,
    EVENT_OUTAGE,
    EVENT_SAG,
    EVENT_SWELL,
    EVENT_TAMPER,
    EVENT_UPDATE,
    Event,
)

EVENTS_MAX = 1_000_000  # rows kept; the oldest go first
PRUNE_ROWS = 1000  # deleted in one transaction
LIST_ROWS_MAX = 1000
IMPLAUSIBLE = "implausible"  # a verdict: its times cannot be true, so no outage is made of it

NAMES = {
    EVENT_OUTAGE: "outage",
    EVENT_LAST_GASP: "last_gasp",
    EVENT_SAG: "sag",
    EVENT_SWELL: "swell",
    EVENT_TAMPER: "tamper",
    EVENT_CLOCK_SET: "clock_set",
    EVENT_BOOT: "boot",
    EVENT_CONFIG_CHANGE: "config_change",
    EVENT_COUNTER_LOSS: "counter_loss",
    EVENT_FLASH_DAMAGE: "flash_damage",
    EVENT_UPDATE: "update",
    EVENT_EVENTS_LOST: "events_lost",
}


class Kept(NamedTuple):
    """An event in the table."""

    event_id: int
    meter_id: bytes
    number: int
    code: int
    values: tuple[int, ...]
    at_s: int
    received_s: int
    verdict: str


def keep(connection: sqlite3.Connection, said: Iterable[Said]) -> None:
    """Write down the events among these messages; one that came before counts once.

    An event that first came without its time, and now has it, is dated.
    """
    connection.executemany(
        "INSERT INTO meter_event (meter_id, number, code, vals, at_s, received_s)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET at_s = excluded.at_s"
        " WHERE meter_event.at_s = 0",
        [
            (
                one.meter.meter_id,
                one.message.number,
                one.message.code,
                json.dumps(one.message.values, separators=(",", ":")),
                one.message.at_s,
                one.received_s,
            )
            for one in said
            if isinstance(one.message, Event)
        ],
    )


def unjudged(connection: sqlite3.Connection, rows_max: int) -> list[Kept]:
    """The oldest events that nobody has looked at yet."""
    query = (
        "SELECT id, meter_id, number, code, vals, at_s, received_s, verdict FROM meter_event"
        " WHERE id > (SELECT event_id FROM event_cursor) ORDER BY id LIMIT ?"
    )
    return [_kept(row) for row in connection.execute(query, (rows_max,))]


def judged(connection: sqlite3.Connection, event_id: int) -> None:
    """Events up to this one were looked at, in this transaction."""
    connection.execute("UPDATE event_cursor SET event_id = ?", (event_id,))


def doubt(connection: sqlite3.Connection, event_id: int) -> None:
    """Mark an event as IMPLAUSIBLE."""
    connection.execute("UPDATE meter_event SET verdict = ? WHERE id = ?", (IMPLAUSIBLE, event_id))


def rows(
    connection: sqlite3.Connection,
    meter_id: bytes | None = None,
    code: int | None = None,
    limit: int = 100,
) -> list[dict[str, object]]:
    """The newest events, of one meter or of one code, for people and for the admin interface."""
    query = (
        "SELECT id, meter_id, number, code, vals, at_s, received_s, verdict FROM meter_event"
        " WHERE (?1 IS NULL OR meter_id = ?1) AND (?2 IS NULL OR code = ?2)"
        " ORDER BY id DESC LIMIT ?3"
    )
    values = (meter_id, code, min(limit, LIST_ROWS_MAX))
    return [to_dict(_kept(row)) for row in connection.execute(query, values)]


def to_dict(event: Kept) -> dict[str, object]:
    """An event with its name; for events_lost also which numbers will never come."""
    shown: dict[str, object] = {
        "event_id": event.event_id,
        "meter_id": event.meter_id.hex(),
        "number": event.number,
        "code": event.code,
        "name": NAMES.get(event.code, f"code_{event.code}"),
        "values": list(event.values),
        "at_s": event.at_s or None,
        "received_s": event.received_s,
        "verdict": event.verdict,
    }
    if event.code == EVENT_EVENTS_LOST and event.values and 0 < event.values[0] <= event.number:
        shown["lost_first"] = event.number - event.values[0] + 1
        shown["lost_last"] = event.number
    return shown


def prune(connection: sqlite3.Connection, before_s: int, rows_max: int = EVENTS_MAX) -> int:
    """Delete some events that are too old or too many, judged ones only; returns how many."""
    return connection.execute(
        "DELETE FROM meter_event WHERE id IN (SELECT id FROM meter_event WHERE"
        " id <= (SELECT event_id FROM event_cursor) AND (received_s < ?1 OR"
        " id <= (SELECT max(id) FROM meter_event) - ?2) ORDER BY id LIMIT ?3)",
        (before_s, rows_max, PRUNE_ROWS),
    ).rowcount


def _kept(row: Any) -> Kept:
    return Kept(row[0], row[1], row[2], row[3], tuple(json.loads(row[4])), row[5], row[6], row[7])
