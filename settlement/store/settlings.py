"""Settlings: each time that something came of settling a point's account, with all its inputs."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple


class Horizon(NamedTuple):
    """The newest rows of every kind of input that a settling knows. Rows are only ever added."""

    batch_id: int
    substitute_id: int
    import_id: int


class Settling(NamedTuple):
    """One settling of a point: when, under which version of the point, by which rules."""

    settling_id: int
    ppe: str
    settled_s: int
    point_version: int
    horizon: Horizon
    rules: str


def horizon_now(connection: sqlite3.Connection) -> Horizon:
    """Everything that is in the database."""
    row = connection.execute(
        "SELECT (SELECT coalesce(max(batch_id), 0) FROM inbox),"
        " (SELECT coalesce(max(substitute_id), 0) FROM substitutes),"
        " (SELECT coalesce(max(import_id), 0) FROM imports)"
    ).fetchone()
    return Horizon(*row)


def add(
    connection: sqlite3.Connection,
    *,
    ppe: str,
    settled_s: int,
    point_version: int,
    horizon: Horizon,
    rules: str,
) -> int:
    """Notes a settling and returns its number."""
    cursor = connection.execute(
        "INSERT INTO settlings (ppe, settled_s, point_version, batch_id, substitute_id, import_id,"
        " rules) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (ppe, settled_s, point_version, *horizon, rules),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def get(connection: sqlite3.Connection, settling_id: int) -> Settling:
    """The settling of that number, which a document refers to."""
    row = connection.execute(
        "SELECT settling_id, ppe, settled_s, point_version, batch_id, substitute_id, import_id,"
        " rules FROM settlings WHERE settling_id = ?",
        (settling_id,),
    ).fetchone()
    assert row is not None, "documents refer to settlings"
    number, ppe, settled_s, point_version, *horizon, rules = row
    return Settling(number, ppe, settled_s, point_version, Horizon(*horizon), rules)
