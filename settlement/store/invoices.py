"""Issued invoices: stored once per point and period, never changed afterwards."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

INVOICES_LISTED_MAX = 120  # ten years of monthly invoices
_SELECT = (
    "SELECT invoice_id, number, ppe, start_day, end_day, issued_s, body, known_on, settling_id"
    " FROM invoices"
)


class StoredInvoice(NamedTuple):
    """An invoice as it was issued; `body` is its JSON text, days are written YYYY-MM-DD.

    `known_on` and `settling_id` are None for an invoice of schema 1, whose body has another form.
    """

    invoice_id: int
    number: str
    ppe: str
    start: str
    end: str
    issued_s: int
    body: bytes
    known_on: str | None
    settling_id: int | None


def of_period(
    connection: sqlite3.Connection, ppe: str, start: str, end: str
) -> StoredInvoice | None:
    """The invoice of exactly these days."""
    row = connection.execute(
        f"{_SELECT} WHERE ppe = ? AND start_day = ? AND end_day = ?",
        (ppe, start, end),
    ).fetchone()
    return None if row is None else StoredInvoice(*row)


def overlapping(connection: sqlite3.Connection, ppe: str, start: str, end: str) -> str | None:
    """Number of an invoice that already bills one of these days. ISO days sort as text."""
    row = connection.execute(
        "SELECT number FROM invoices WHERE ppe = ? AND start_day < ? AND end_day > ? LIMIT 1",
        (ppe, end, start),
    ).fetchone()
    return None if row is None else str(row[0])


def next_number(connection: sqlite3.Connection, start: str) -> str:
    """The number that `add` gives next: FV-<month billed>-<running number>."""
    return f"FV-{start[:7]}-{_last_id(connection) + 1:06d}"


def add(
    connection: sqlite3.Connection,
    *,
    ppe: str,
    start: str,
    end: str,
    point_version: int,
    issued_s: int,
    body: bytes,
    known_on: str,
    settling_id: int,
) -> StoredInvoice:
    """Stores the invoice under the next number."""
    number = next_number(connection, start)
    invoice_id = _last_id(connection) + 1
    connection.execute(
        "INSERT INTO invoices (invoice_id, number, ppe, start_day, end_day, point_version,"
        " issued_s, body, known_on, settling_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            invoice_id,
            number,
            ppe,
            start,
            end,
            point_version,
            issued_s,
            body,
            known_on,
            settling_id,
        ),
    )
    return StoredInvoice(invoice_id, number, ppe, start, end, issued_s, body, known_on, settling_id)


def _last_id(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT coalesce(max(invoice_id), 0) FROM invoices").fetchone()
    return int(row[0])


def by_number(connection: sqlite3.Connection, number: str) -> StoredInvoice | None:
    """The invoice of that number, whoever's it is."""
    row = connection.execute(
        f"{_SELECT} WHERE number = ?",
        (number,),
    ).fetchone()
    return None if row is None else StoredInvoice(*row)


def newest_of(connection: sqlite3.Connection, ppe: str) -> list[StoredInvoice]:
    """Invoices of the point, newest period first, at most INVOICES_LISTED_MAX."""
    rows = connection.execute(
        f"{_SELECT} WHERE ppe = ? ORDER BY start_day DESC LIMIT ?",
        (ppe, INVOICES_LISTED_MAX),
    )
    return [StoredInvoice(*row) for row in rows]


def all_of(connection: sqlite3.Connection, ppe: str) -> list[StoredInvoice]:
    """Every invoice of the point in the order of its days."""
    rows = connection.execute(
        f"{_SELECT} WHERE ppe = ? ORDER BY start_day",
        (ppe,),
    )
    return [StoredInvoice(*row) for row in rows]
