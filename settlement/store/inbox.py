"""Batches that were taken, by idempotency key, with the answer that was given."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple


class Taken(NamedTuple):
    """A batch that is in the database, and what was answered."""

    body_sha256: bytes
    answer: bytes


def find(connection: sqlite3.Connection, key: str) -> Taken | None:
    """The batch that was taken under this key."""
    row = connection.execute(
        "SELECT body_sha256, answer FROM inbox WHERE idempotency_key = ?", (key,)
    ).fetchone()
    return None if row is None else Taken(*row)


def open_batch(
    connection: sqlite3.Connection,
    *,
    key: str,
    body_sha256: bytes,
    gateway_id: str,
    first_id: int,
    last_id: int,
    received_s: int,
) -> int:
    """Notes the batch, still without its answer, and returns its id."""
    cursor = connection.execute(
        "INSERT INTO inbox (idempotency_key, body_sha256, gateway_id, first_id, last_id,"
        " received_s, answer) VALUES (?, ?, ?, ?, ?, ?, x'')",
        (key, body_sha256, gateway_id, first_id, last_id, received_s),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def close_batch(connection: sqlite3.Connection, batch_id: int, answer: bytes) -> None:
    """Notes the answer, in the same transaction as the readings."""
    connection.execute("UPDATE inbox SET answer = ? WHERE batch_id = ?", (answer, batch_id))
