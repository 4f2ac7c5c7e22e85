"""A cache of the totals of spans, each with the fingerprint of what it was made of."""

from __future__ import annotations

import sqlite3

import msgspec

from settlement.rules.periods import Period
from settlement.rules.totals import Totals


def find(
    connection: sqlite3.Connection, ppe: str, span: Period, fingerprint: bytes
) -> Totals | None:
    """The totals of the span, unless they were made of something else."""
    row = connection.execute(
        "SELECT body FROM totals WHERE ppe = ? AND start_day = ? AND end_day = ?"
        " AND fingerprint = ?",
        (ppe, span.start.isoformat(), span.end.isoformat(), fingerprint),
    ).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Totals)


def put(connection: sqlite3.Connection, ppe: str, fingerprint: bytes, totals: Totals) -> None:
    """Keeps the totals in the place of those that were made before."""
    start, end = totals.span.start.isoformat(), totals.span.end.isoformat()
    connection.execute(
        "INSERT OR REPLACE INTO totals VALUES (?, ?, ?, ?, ?)",
        (ppe, start, end, fingerprint, msgspec.json.encode(totals)),
    )
