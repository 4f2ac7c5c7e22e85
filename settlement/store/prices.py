"""Market prices and price lists that were read in: versions are added, never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from settlement.rules.market import RcemVersion
from settlement.rules.periods import Month

RCE = "rce"
RCEM = "rcem"
PRICE_LIST = "price_list"


class StoredList(NamedTuple):
    """A price list as it was read in: its table and the text of its file."""

    table_name: str
    suffix: str
    text: str


def add_import(
    connection: sqlite3.Connection, kind: str, name: str, sha256: bytes, recorded_s: int
) -> int:
    """Notes that a file is read in, and returns the number of the import."""
    cursor = connection.execute(
        "INSERT INTO imports (kind, name, sha256, recorded_s) VALUES (?, ?, ?, ?)",
        (kind, name, sha256, recorded_s),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def add_list(connection: sqlite3.Connection, import_id: int, stored: StoredList) -> None:
    """Keeps the text of a price list; it counts from now on for its table."""
    connection.execute("INSERT INTO price_lists VALUES (?, ?, ?, ?)", (import_id, *stored))


def lists(connection: sqlite3.Connection, up_to: int | None = None) -> tuple[StoredList, ...]:
    """The newest list of each table, as of that import when one is given."""
    rows = connection.execute(
        "SELECT table_name, suffix, text FROM price_lists AS each WHERE import_id ="
        " (SELECT max(import_id) FROM price_lists"
        " WHERE table_name = each.table_name AND (? IS NULL OR import_id <= ?))"
        " ORDER BY table_name",
        (up_to, up_to),
    )
    return tuple(StoredList(*row) for row in rows)


def add_rcem(
    connection: sqlite3.Connection, import_id: int, versions: Iterable[RcemVersion]
) -> None:
    """Keeps published monthly prices that are new."""
    connection.executemany(
        "INSERT INTO rcem VALUES (?, ?, ?, ?, ?)",
        [
            (
                str(each.month),
                each.published_on.isoformat(),
                str(each.pln_per_mwh),
                each.source,
                import_id,
            )
            for each in versions
        ],
    )


def rcem(connection: sqlite3.Connection, up_to: int | None = None) -> tuple[RcemVersion, ...]:
    """Monthly prices that were read in, in the order of month and publication."""
    rows = connection.execute(
        "SELECT month, pln_per_mwh, published_on, source FROM rcem"
        " WHERE ? IS NULL OR import_id <= ? ORDER BY month, published_on",
        (up_to, up_to),
    )
    return tuple(
        RcemVersion(Month.parse(month), Decimal(price), date.fromisoformat(published_on), source)
        for month, price, published_on, source in rows
    )


def add_rce(connection: sqlite3.Connection, import_id: int, quarters: Mapping[int, int]) -> None:
    """Adds a version of each quarter's price, grosz per MWh by UTC start."""
    connection.executemany(
        "INSERT INTO rce SELECT ?, 1 + coalesce(max(version), 0), ?, ? FROM rce WHERE start_s = ?",
        [(start_s, price, import_id, start_s) for start_s, price in quarters.items()],
    )


def rce(
    connection: sqlite3.Connection, start_s: int, end_s: int, up_to: int | None = None
) -> dict[int, int]:
    """The newest price of each quarter that starts in [start_s, end_s), grosz per MWh."""
    rows = connection.execute(
        "SELECT start_s, gr_per_mwh FROM rce WHERE start_s >= ? AND start_s < ?"
        " AND (? IS NULL OR import_id <= ?) ORDER BY start_s, version",
        (start_s, end_s, up_to, up_to),
    )
    # Versions come in order, so the last one written into the dict is the newest.
    return dict(rows.fetchall())


def rce_stamp(connection: sqlite3.Connection, start_s: int, end_s: int) -> Sequence[int]:
    """How many prices there are in [start_s, end_s) and the newest import of them."""
    row: tuple[int, int] = connection.execute(
        "SELECT count(*), coalesce(max(import_id), 0) FROM rce WHERE start_s >= ? AND start_s < ?",
        (start_s, end_s),
    ).fetchone()
    return row
