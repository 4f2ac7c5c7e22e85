"""The durable queue of frozen batches: the same journal rows are always sent as the same bytes.

A batch is frozen in one transaction before its first attempt and only one is frozen at a time,
so the backlog of a long outage stays in the journal, where it is already.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

import zstandard

from gateway import journal
from gateway.errors import DamagedStore
from gateway.journal import Row, to_signed
from wire import batch as wire_batch
from wire import messages, obis
from wire.errors import TooLarge, WireError
from wire.keys import UP

FREEZE_ROWS_MAX = wire_batch.BATCH_PROFILES_MAX
ZSTD_LEVEL = 3
REJECTION_CHARS_MAX = 500


class Frozen(NamedTuple):
    """A batch as it is sent. `body` is compressed; the key is derived from what it unpacks to."""

    batch_id: int  # 0 before it is in the database
    first_id: int
    last_id: int
    profiles: int
    idempotency_key: str
    body: bytes


def next_frozen(connection: sqlite3.Connection) -> Frozen | None:
    """The oldest batch that was frozen and neither delivered nor parked."""
    row = connection.execute(
        "SELECT id, first_id, last_id, profiles, idempotency_key, body FROM batch"
        " WHERE state = 'frozen' ORDER BY id LIMIT 1"
    ).fetchone()
    return Frozen(*row) if row else None


def read_rows(connection: sqlite3.Connection) -> list[Row]:
    """The journal rows that are in no batch yet, as many as one batch takes."""
    return journal.read_rows(connection, _last_frozen(connection), FREEZE_ROWS_MAX)


def build(gateway_id: str, rows: list[Row]) -> Frozen:
    """Make a batch of the profiles in these rows, or of the first part that fits its limits."""
    while True:
        profiles = [profile for profile in map(_profile, rows) if profile is not None]
        first_id, last_id = rows[0][0], rows[-1][0]
        if not profiles:
            return Frozen(0, first_id, last_id, 0, "", b"")
        try:
            body = wire_batch.encode(wire_batch.Batch(gateway_id, first_id, last_id, profiles))
        except TooLarge:
            assert len(rows) > 1, "one frame always fits a batch"
            rows = rows[: len(rows) // 2]
            continue
        key = wire_batch.idempotency_key(gateway_id, first_id, last_id, body)
        packed = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(body)
        return Frozen(0, first_id, last_id, len(profiles), key, packed)


def freeze(connection: sqlite3.Connection, new: Frozen, now_s: int) -> int:
    """Keep a built batch; returns its id. A batch without profiles is done at once."""
    assert new.first_id > _last_frozen(connection), "a journal row belongs to one batch"
    state = "frozen" if new.profiles else "empty"
    cursor = connection.execute(
        "INSERT INTO batch (first_id, last_id, profiles, state, idempotency_key, body, frozen_s)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (new.first_id, new.last_id, new.profiles, state, new.idempotency_key, new.body, now_s),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def delivered(
    connection: sqlite3.Connection, frozen: Frozen, answer: wire_batch.Answer, now_s: int
) -> None:
    """Settlement has the batch: note what it rejected, let the body go."""
    if answer.rejected:
        sent = wire_batch.decode(unpack(frozen.body)).profiles
        for rejection in answer.rejected:
            journal_id = _journal_id(connection, frozen, sent[rejection.index])
            detail = rejection.detail[:REJECTION_CHARS_MAX]
            connection.execute(
                "INSERT INTO rejection VALUES (?, ?, ?, ?, ?)",
                (frozen.batch_id, rejection.index, journal_id, rejection.code, detail),
            )
    _end(connection, frozen.batch_id, "delivered", now_s)
    connection.execute("UPDATE batch SET body = NULL WHERE id = ?", (frozen.batch_id,))


def park(connection: sqlite3.Connection, frozen: Frozen, now_s: int) -> None:
    """Settlement will never take this batch: put it aside with its body, and go on."""
    _end(connection, frozen.batch_id, "parked", now_s)


def unpack(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(body, wire_batch.BATCH_BYTES_MAX)


def is_answer_to(answer: wire_batch.Answer, frozen: Frozen) -> bool:
    """Whether an answer accounts for every profile of the batch, once."""
    indexes = {rejection.index for rejection in answer.rejected}
    total = answer.accepted + answer.duplicate + len(answer.rejected)
    return (
        min(answer.accepted, answer.duplicate) >= 0
        and total == frozen.profiles
        and len(indexes) == len(answer.rejected)
        and all(0 <= index < frozen.profiles for index in indexes)
    )


def _last_frozen(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT max(last_id) FROM batch").fetchone()
    return row[0] or 0


def _end(connection: sqlite3.Connection, batch_id: int, state: str, now_s: int) -> None:
    changed = connection.execute(
        "UPDATE batch SET state = ?, ended_s = ? WHERE id = ? AND state = 'frozen'",
        (state, now_s, batch_id),
    ).rowcount
    assert changed == 1, "a batch ends once"


def _profile(row: Row) -> wire_batch.Profile | None:
    row_id, meter_id, key_epoch, frame_counter, received_s, message = row
    try:
        decoded = messages.decode(message, UP)
    except WireError:
        raise DamagedStore(f"journal row {row_id} cannot be read; restore a backup") from None
    if not isinstance(decoded, messages.Profile):
        return None
    return wire_batch.Profile(
        meter_id=meter_id.hex(),
        key_epoch=key_epoch,
        frame_counter=frame_counter,
        received_s=received_s,
        first=decoded.first,
        start_s=decoded.start_s,
        capture_period_s=decoded.capture_period_s,
        channels=[obis.NAMES[code] for code in decoded.channels],
        registers_wh=list(decoded.registers_wh),
        deltas_wh=[list(row) for row in decoded.deltas_wh],
        quality=list(decoded.quality),
    )


def _journal_id(connection: sqlite3.Connection, frozen: Frozen, profile: wire_batch.Profile) -> int:
    row = connection.execute(
        "SELECT id FROM journal WHERE id BETWEEN ? AND ?"
        " AND meter_id = ? AND key_epoch = ? AND frame_counter = ?",
        (
            frozen.first_id,
            frozen.last_id,
            bytes.fromhex(profile.meter_id),
            profile.key_epoch,
            to_signed(profile.frame_counter),
        ),
    ).fetchone()
    assert row is not None, "a batch holds journal rows only"
    journal_id: int = row[0]
    return journal_id
