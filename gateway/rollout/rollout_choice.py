"""Which meters a roll-out is for."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from gateway.errors import UsageError
from gateway.rollout import waves
from gateway.shards import shards
from wire.topics import METER_ID_BYTES


class Choice(NamedTuple):
    """All active meters, or those that every field lets through."""

    meters: list[bytes] | None = None  # None: every one; else these, and in this order
    shards: str = ""
    running: str = ""  # the version that a meter's latest status named


def ids_of(text: str) -> list[bytes]:
    """Meter ids, one a line; empty lines and what follows a # are skipped. Raises UsageError."""
    ids: dict[bytes, None] = {}
    for line in text.splitlines():
        word = line.partition("#")[0].strip()
        if not word:
            continue
        try:
            meter_id = bytes.fromhex(word)
        except ValueError:
            meter_id = b""
        if len(meter_id) != METER_ID_BYTES:
            raise UsageError(f"--meters: {word!r} is not a meter id of 16 hex digits")
        ids[meter_id] = None
    return list(ids)


def choose(connection: sqlite3.Connection, update_id: int, choice: Choice) -> list[bytes]:
    """The meters in the order in which they get it; without those that say they run it already.

    Raises UsageError for an id in the list that is no active meter here.
    """
    row = connection.execute(
        "SELECT version FROM update_bundle WHERE update_id = ?", (update_id,)
    ).fetchone()
    if row is None:
        raise UsageError(f"no update {update_id}; `gateway update list` shows them")
    active = dict(
        connection.execute(
            "SELECT m.meter_id, a.version FROM meter m LEFT JOIN application a"
            " ON a.meter_id = m.meter_id WHERE m.state = 'active'"
        ).fetchall()
    )
    for meter_id in choice.meters or ():
        if meter_id not in active:
            raise UsageError(f"--meters: {meter_id.hex()} is no active meter here")
    ordered = waves.in_order(active, update_id) if choice.meters is None else choice.meters
    ours = shards.parse(choice.shards) if choice.shards else None
    return [
        meter_id
        for meter_id in ordered
        if active[meter_id] != row[0]
        and (ours is None or shards.is_ours(ours, meter_id))
        and (not choice.running or active[meter_id] == choice.running)
    ]
