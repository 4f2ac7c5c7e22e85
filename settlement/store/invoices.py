"""Issued invoices: stored once per point and period, never changed afterwards."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

INVOICES_LISTED_MAX = 120  # ten years of monthly invoices


class StoredInvoice(NamedTuple):
    """An invoice as it was issued; `body` is its JSON text."""

    number: str
    issued_s: int
    body: bytes


def of_period(
    connection: sqlite3.Connection, ppe: str, start: str, end: str
) -> StoredInvoice | None:
    """The invoice of exactly these days."""
    row = connection.execute(
        "SELECT number, issued_s, body FROM invoices"
        " WHERE ppe = ? AND start_day = ? AND end_day = ?",
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


def add(
    connection: sqlite3.Connection,
    ppe: str,
    start: str,
    end: str,
    point_version: int,
    issued_s: int,
    body: bytes,
) -> StoredInvoice:
    """Stores the invoice under the next number: FV-<month billed>-<running number>."""
    last = connection.execute("SELECT coalesce(max(invoice_id), 0) FROM invoices").fetchone()[0]
    number = f"FV-{start[:7]}-{last + 1:06d}"
    connection.execute(
        "INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (last + 1, number, ppe, start, end, point_version, issued_s, body),
    )
    return StoredInvoice(number, issued_s, body)


def by_number(connection: sqlite3.Connection, ppe: str, number: str) -> StoredInvoice | None:
    """One invoice of this point."""
    row = connection.execute(
        "SELECT number, issued_s, body FROM invoices WHERE ppe = ? AND number = ?", (ppe, number)
    ).fetchone()
    return None if row is None else StoredInvoice(*row)


def newest_of(connection: sqlite3.Connection, ppe: str) -> list[StoredInvoice]:
    """Invoices of the point, newest period first, at most INVOICES_LISTED_MAX."""
    rows = connection.execute(
        "SELECT number, issued_s, body FROM invoices WHERE ppe = ? ORDER BY start_day DESC LIMIT ?",
        (ppe, INVOICES_LISTED_MAX),
    )
    return [StoredInvoice(*row) for row in rows]
