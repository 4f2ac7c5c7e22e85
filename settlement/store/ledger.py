"""The ledgers of all points: entries are only ever added, each with when and by which document."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from settlement.rules.ledger import Entry
from settlement.rules.periods import Month

_SELECT = (
    "SELECT account, kind, lot, month, amount, zone, note, settling_id, recorded_s, document"
    " FROM ledger"
)


class StoredEntry(NamedTuple):
    """An entry as recorded: at which UTC second, in which settling, shown by which document."""

    entry: Entry
    settling_id: int
    recorded_s: int
    document: str


def add(
    connection: sqlite3.Connection,
    *,
    ppe: str,
    settling_id: int,
    recorded_s: int,
    entries: Iterable[tuple[Entry, str]],
) -> None:
    """Appends entries, each with the number of the document that shows it."""
    connection.executemany(
        "INSERT INTO ledger (ppe, settling_id, recorded_s, document, account, kind, lot, month,"
        " amount, zone, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                ppe,
                settling_id,
                recorded_s,
                document,
                entry.account,
                entry.kind,
                str(entry.lot),
                str(entry.month),
                entry.amount,
                entry.zone,
                entry.note,
            )
            for entry, document in entries
        ],
    )


def of_point(connection: sqlite3.Connection, ppe: str) -> list[StoredEntry]:
    """Every entry of the point in the order of recording."""
    return _read(connection.execute(f"{_SELECT} WHERE ppe = ? ORDER BY entry_id", (ppe,)))


def of_document(connection: sqlite3.Connection, number: str) -> list[StoredEntry]:
    """The entries that an invoice or a correction shows."""
    return _read(connection.execute(f"{_SELECT} WHERE document = ? ORDER BY entry_id", (number,)))


def _read(
    rows: Iterable[tuple[str, str, str, str, int, str, str, int, int, str]],
) -> list[StoredEntry]:
    return [
        StoredEntry(
            Entry(account, kind, Month.parse(lot), Month.parse(month), amount, zone, note),
            settling_id,
            recorded_s,
            document,
        )
        for (
            account,
            kind,
            lot,
            month,
            amount,
            zone,
            note,
            settling_id,
            recorded_s,
            document,
        ) in rows
    ]
