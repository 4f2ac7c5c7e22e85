"""The audit log: every administrative act, hash-chained; the running gateway reads it as news."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import NamedTuple


class Act(NamedTuple):
    """Who did what to which meter (or other subject), when. Never a secret."""

    act_id: int
    at_s: int
    actor: str  # of the operating system, or of the admin interface
    action: str  # noun.verb, such as meter.revoke
    subject: str  # a meter id in hex, or what else was acted on
    detail: str  # JSON


def record(
    connection: sqlite3.Connection,
    actor: str,
    action: str,
    subject: str,
    detail: dict[str, object],
    now_s: int,
) -> int:
    """Add a row, in the transaction of the act itself; returns its number."""
    row = connection.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    last_id, last_hash = row or (0, bytes(32))
    text = json.dumps(detail, sort_keys=True, separators=(",", ":"))
    act = Act(last_id + 1, now_s, actor, action, subject, text)
    connection.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", (*act, chain(last_hash, act))
    )
    return act.act_id


def since(connection: sqlite3.Connection, act_id: int) -> list[Act]:
    """The acts after this one, oldest first."""
    return [
        Act(*row)
        for row in connection.execute(
            "SELECT id, at_s, actor, action, subject, detail FROM audit WHERE id > ? ORDER BY id",
            (act_id,),
        )
    ]


def chain(last_hash: bytes, act: Act) -> bytes:
    """The hash of a row: SHA-256 over the hash before it and its own fields as one JSON array."""
    fields = json.dumps(list(act), separators=(",", ":")).encode()
    return hashlib.sha256(last_hash + fields).digest()
