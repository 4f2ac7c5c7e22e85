"""What a run over many points last made of each: for people, nothing is settled by it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Outcome(NamedTuple):
    """What became of one point: a state, and for a refusal its reason and what to do next."""

    ppe: str
    state: str
    reason: str = ""
    detail: str = ""


def begin(connection: sqlite3.Connection, task: str, began_s: int) -> int:
    """Notes that a run of the task begins, and returns its number."""
    cursor = connection.execute("INSERT INTO runs (task, began_s) VALUES (?, ?)", (task, began_s))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def end(connection: sqlite3.Connection, run_id: int, ended_s: int) -> None:
    """Notes that the run has gone through all of its points."""
    connection.execute("UPDATE runs SET ended_s = ? WHERE run_id = ?", (ended_s, run_id))


def put(
    connection: sqlite3.Connection, run_id: int, task: str, outcomes: Iterable[Outcome]
) -> None:
    """Keeps outcomes in the place of those of earlier runs of the task."""
    connection.executemany(
        "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?)",
        [(task, each.ppe, run_id, each.state, each.reason, each.detail) for each in outcomes],
    )


def of_run(connection: sqlite3.Connection, run_id: int, state: str) -> Iterator[Outcome]:
    """The points that the run left in that state, reason by reason."""
    rows = connection.execute(
        "SELECT ppe, state, reason, detail FROM outcomes WHERE run_id = ? AND state = ?"
        " ORDER BY reason, ppe",
        (run_id, state),
    )
    for row in rows:
        yield Outcome(*row)
