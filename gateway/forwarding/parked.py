"""Profiles that settlement did not take: kept, listed, and sent again on request."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any, NamedTuple

from gateway import audit, journal
from gateway.errors import DamagedStore, UsageError
from gateway.segments import Row

DETAIL_CHARS_MAX = 500
LIST_ROWS_MAX = 1000

_FIELDS = (
    "journal_id, meter_id, key_epoch, frame_counter, received_s, message,"
    " code, detail, parked_s, state, tries"
)


class Parked(NamedTuple):
    """One profile with its reason."""

    row: Row
    code: str
    detail: str
    parked_s: int
    state: str  # parked, retrying or delivered
    tries: int


class Retry(NamedTuple):
    """A frozen batch of one parked profile, under a key of its own."""

    journal_id: int
    idempotency_key: str
    body: bytes


def park(connection: sqlite3.Connection, row: Row, code: str, detail: str, now_s: int) -> None:
    """Keep a profile aside. One that was sent again keeps its number of tries."""
    connection.execute(
        "INSERT INTO parked (journal_id, meter_id, key_epoch, frame_counter, received_s, message,"
        " code, detail, parked_s, state) VALUES (?, ?, ?, ?, ?, ?, ?7, ?8, ?9, 'parked')"
        " ON CONFLICT DO UPDATE SET code = ?7, detail = ?8, parked_s = ?9, state = 'parked',"
        " idempotency_key = NULL, body = NULL",
        (
            row.journal_id,
            row.meter_id,
            row.key_epoch,
            row.frame_counter.to_bytes(8, "big"),
            row.received_s,
            row.message,
            code,
            detail[:DETAIL_CHARS_MAX],
            now_s,
        ),
    )


def find(connection: sqlite3.Connection, journal_id: int) -> Parked:
    """One of them. Raises UsageError when there is none under this journal row."""
    found = connection.execute(
        f"SELECT {_FIELDS} FROM parked WHERE journal_id = ?",  # noqa: S608  (a constant)
        (journal_id,),
    ).fetchone()
    if found is None:
        raise UsageError(f"journal row {journal_id} is not parked; `parked list` shows what is")
    return _parked(connection, found)


def rows(
    connection: sqlite3.Connection, *, after_id: int = 0, limit: int = LIST_ROWS_MAX
) -> list[Parked]:
    """Those that wait for somebody or are being sent again, by journal row."""
    found = connection.execute(
        f"SELECT {_FIELDS} FROM parked WHERE journal_id > ? AND state <> 'delivered'"  # noqa: S608  (ours)
        " ORDER BY journal_id LIMIT ?",
        (after_id, limit),
    ).fetchall()
    return [_parked(connection, row) for row in found]


def retry(
    connection: sqlite3.Connection, parked: Parked, key: str, body: bytes, actor: str, now_s: int
) -> str:
    """Have a profile sent again as the frozen batch `body`; returns the key of this try.

    Settlement keeps its answer under the key, a rejection too. So each try has its own, derived
    from `key` (the batch's) and the number of the try: it is asked for only after the answer to
    the one before said that nothing was taken. Raises UsageError unless the profile is parked.
    """
    if parked.state != "parked":
        raise UsageError(f"journal row {parked.row.journal_id} is {parked.state}: nothing to do")
    tries = parked.tries + 1
    own_key = hashlib.sha256(f"{key}:try:{tries}".encode()).hexdigest()
    connection.execute(
        "UPDATE parked SET state = 'retrying', tries = ?, idempotency_key = ?, body = ?"
        " WHERE journal_id = ?",
        (tries, own_key, body, parked.row.journal_id),
    )
    detail: dict[str, object] = {"meter_id": parked.row.meter_id.hex(), "try": tries}
    audit.record(connection, actor, "parked.retry", str(parked.row.journal_id), detail, now_s)
    return own_key


def next_retry(connection: sqlite3.Connection) -> Retry | None:
    """The first profile that is to be sent again."""
    row = connection.execute(
        "SELECT journal_id, idempotency_key, body FROM parked WHERE state = 'retrying'"
        " ORDER BY journal_id LIMIT 1"
    ).fetchone()
    return Retry(*row) if row else None


def taken(connection: sqlite3.Connection, journal_id: int, now_s: int) -> None:
    """Settlement has it after all; `parked_s` becomes when."""
    changed = connection.execute(
        "UPDATE parked SET state = 'delivered', parked_s = ?, idempotency_key = NULL, body = NULL"
        " WHERE journal_id = ? AND state = 'retrying'",
        (now_s, journal_id),
    ).rowcount
    assert changed == 1, "a try ends once"


def prune(connection: sqlite3.Connection, before_s: int, rows_max: int) -> int:
    """Forget some of those that were delivered before `before_s`; how many."""
    return connection.execute(
        "DELETE FROM parked WHERE journal_id IN (SELECT journal_id FROM parked"
        " WHERE state = 'delivered' AND parked_s < ? LIMIT ?)",
        (before_s, rows_max),
    ).rowcount


def _parked(connection: sqlite3.Connection, found: tuple[Any, ...]) -> Parked:
    journal_id, meter_id, key_epoch, frame_counter, received_s, message, *rest = found
    if meter_id is not None:
        frame = (meter_id, key_epoch, int.from_bytes(frame_counter, "big"), received_s, message)
        return Parked(Row(journal_id, *frame), *rest)
    kept = journal.read_rows(connection, journal_id - 1, 1)
    if not kept or kept[0].journal_id != journal_id:
        raise DamagedStore(f"journal row {journal_id} is missing; restore a backup")
    return Parked(kept[0], *rest)
