"""The audit log: every administrative act, hash-chained; the running gateway reads it as news.

The chain shows an altered, removed or inserted row. It cannot show that the newest rows were cut
off, or that everything was written anew by somebody who has the database: for that keep the head
(`audit head`) somewhere else and verify against it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import NamedTuple

from gateway.errors import UsageError

ACTS_MAX = 1000  # read at a time
HASH_BYTES = 32


class Act(NamedTuple):
    """Who did what to which meter (or other subject), when. Never a secret."""

    act_id: int
    at_s: int
    actor: str  # of the operating system, or of the admin interface
    action: str  # noun.verb, such as meter.revoke
    subject: str  # a meter id in hex, or what else was acted on
    detail: str  # JSON


class Head(NamedTuple):
    """The newest act and its hash: stands for the whole log up to there."""

    act_id: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.act_id}:{self.hash.hex()}"


def record(
    connection: sqlite3.Connection,
    actor: str,
    action: str,
    subject: str,
    detail: dict[str, object],
    now_s: int,
) -> int:
    """Add a row, in the transaction of the act itself; returns its number."""
    last = head(connection)
    text = json.dumps(detail, sort_keys=True, separators=(",", ":"))
    act = Act(last.act_id + 1, now_s, actor, action, subject, text)
    connection.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", (*act, chain(last.hash, act))
    )
    return act.act_id


def since(connection: sqlite3.Connection, act_id: int, acts_max: int = ACTS_MAX) -> list[Act]:
    """The acts after this one, oldest first."""
    return [
        Act(*row)
        for row in connection.execute(
            "SELECT id, at_s, actor, action, subject, detail FROM audit WHERE id > ?"
            " ORDER BY id LIMIT ?",
            (act_id, acts_max),
        )
    ]


def head(connection: sqlite3.Connection) -> Head:
    """Where the log stands now."""
    row = connection.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    return Head(*(row or (0, bytes(HASH_BYTES))))


def parse_head(text: str) -> Head:
    """What `audit head` printed. Raises UsageError."""
    number, _, digest = text.strip().partition(":")
    try:
        kept = Head(int(number), bytes.fromhex(digest))
    except ValueError:
        kept = Head(-1, b"")
    if kept.act_id < 0 or len(kept.hash) != HASH_BYTES:
        raise UsageError("a kept head is NUMBER:64 hex digits, as `audit head` printed it")
    return kept


def verify(connection: sqlite3.Connection, kept: Head | None = None) -> int | None:
    """The first row that is not as it was written (or missing); None when all of them are.

    With a head that was kept elsewhere also what was cut off or written anew is found.
    """
    last = Head(0, bytes(HASH_BYTES))
    if kept is not None and kept.act_id == 0 and kept != last:
        return 0
    for *fields, digest in connection.execute(
        "SELECT id, at_s, actor, action, subject, detail, hash FROM audit ORDER BY id"
    ):
        act = Act(*fields)
        if act.act_id != last.act_id + 1 or digest != chain(last.hash, act):
            return last.act_id + 1
        last = Head(act.act_id, digest)
        if kept is not None and kept.act_id == act.act_id and kept.hash != digest:
            return act.act_id
    if kept is not None and kept.act_id > last.act_id:
        return last.act_id + 1
    return None


def chain(last_hash: bytes, act: Act) -> bytes:
    """The hash of a row: SHA-256 over the hash before it and its own fields as one JSON array."""
    fields = json.dumps(list(act), separators=(",", ":")).encode()
    return hashlib.sha256(last_hash + fields).digest()
