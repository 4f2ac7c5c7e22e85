"""Issued corrections of invoices: numbered, never changed, the newest of an invoice counts."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

_SELECT = (
    "SELECT c.number, i.number, i.ppe, c.invoice_id, c.settling_id, c.reason, c.issued_s, c.body"
    " FROM corrections AS c JOIN invoices AS i ON i.invoice_id = c.invoice_id"
)


class StoredCorrection(NamedTuple):
    """A correction as it was issued; `body` is its JSON text, `corrects` the invoice's number."""

    number: str
    corrects: str
    ppe: str
    invoice_id: int
    settling_id: int
    reason: str
    issued_s: int
    body: bytes


def next_number(connection: sqlite3.Connection, start: str) -> str:
    """The number that `add` gives next: FK-<month billed>-<running number>."""
    return f"FK-{start[:7]}-{_last_id(connection) + 1:06d}"


def add(
    connection: sqlite3.Connection,
    *,
    invoice_id: int,
    start: str,
    settling_id: int,
    reason: str,
    issued_s: int,
    body: bytes,
) -> str:
    """Stores the correction of an invoice whose days begin on `start`, and returns its number."""
    number = next_number(connection, start)
    connection.execute(
        "INSERT INTO corrections VALUES (?, ?, ?, ?, ?, ?, ?)",
        (_last_id(connection) + 1, number, invoice_id, settling_id, reason, issued_s, body),
    )
    return number


def _last_id(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT coalesce(max(correction_id), 0) FROM corrections").fetchone()
    return int(row[0])


def by_number(connection: sqlite3.Connection, number: str) -> StoredCorrection | None:
    """The correction of that number, whoever's it is."""
    row = connection.execute(f"{_SELECT} WHERE c.number = ?", (number,)).fetchone()
    return None if row is None else StoredCorrection(*row)


def all_of(connection: sqlite3.Connection, ppe: str) -> list[StoredCorrection]:
    """Every correction of the point's invoices, oldest first."""
    rows = connection.execute(f"{_SELECT} WHERE i.ppe = ? ORDER BY c.correction_id", (ppe,))
    return [StoredCorrection(*row) for row in rows]
