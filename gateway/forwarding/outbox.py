"""The durable queue of frozen batches: the same journal rows are always sent as the same bytes.

A batch is frozen in one transaction before its first attempt and no other is frozen before it has
ended, so the backlog of a long outage stays in the journal, where it is already. Only a batch that
settlement refuses as a whole becomes two, and so on, until what it refuses stands alone.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

import zstandard

from gateway import journal
from gateway.errors import DamagedStore
from gateway.forwarding import parked
from gateway.segments import Row
from wire import batch as wire_batch
from wire import messages, obis
from wire.errors import TooLarge, WireError
from wire.keys import UP

FREEZE_ROWS_MAX = wire_batch.BATCH_PROFILES_MAX
ZSTD_LEVEL = 3


class Frozen(NamedTuple):
    """A batch as it is sent. `body` is compressed; the key is derived from what it unpacks to."""

    batch_id: int  # 0 before it is in the database, and for a parked profile sent again
    first_id: int
    last_id: int
    profiles: int
    idempotency_key: str
    body: bytes

    @property
    def is_retry(self) -> bool:
        """Whether this is one parked profile that somebody had sent again."""
        return self.batch_id == 0


def next_frozen(connection: sqlite3.Connection) -> Frozen | None:
    """The batch to send: the oldest frozen one, or else a parked profile that is to go again."""
    row = connection.execute(
        "SELECT id, first_id, last_id, profiles, idempotency_key, body FROM batch"
        " WHERE state = 'frozen' ORDER BY first_id LIMIT 1"
    ).fetchone()
    if row is not None:
        return Frozen(*row)
    again = parked.next_retry(connection)
    if again is None:
        return None
    return Frozen(0, again.journal_id, again.journal_id, 1, again.idempotency_key, again.body)


def read_rows(connection: sqlite3.Connection, rows_max: int = FREEZE_ROWS_MAX) -> list[Row]:
    """The journal rows that are in no batch yet, as many as one batch takes."""
    return journal.read_rows(connection, _last_frozen(connection), rows_max)


def build(gateway_id: str, rows: list[Row]) -> Frozen:
    """Make a batch of the profiles in these rows, or of the first part that fits its limits."""
    while True:
        profiles = [profile for profile in map(_profile, rows) if profile is not None]
        first_id, last_id = rows[0][0], rows[-1][0]
        if not profiles:
            return Frozen(0, first_id, last_id, 0, "", b"")
        try:
            return _frozen(gateway_id, first_id, last_id, profiles)
        except TooLarge:
            assert len(rows) > 1, "one frame always fits a batch"
            rows = rows[: len(rows) // 2]


def _frozen(
    gateway_id: str, first_id: int, last_id: int, profiles: list[wire_batch.Profile]
) -> Frozen:
    body = wire_batch.encode(wire_batch.Batch(gateway_id, first_id, last_id, profiles))
    key = wire_batch.idempotency_key(gateway_id, first_id, last_id, body)
    packed = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(body)
    return Frozen(0, first_id, last_id, len(profiles), key, packed)


def freeze(connection: sqlite3.Connection, new: Frozen, now_s: int) -> int:
    """Keep a built batch; returns its id. A batch without profiles is done at once."""
    assert new.first_id > _last_frozen(connection), "a journal row belongs to one batch"
    return _insert(connection, new, now_s)


def _insert(connection: sqlite3.Connection, new: Frozen, now_s: int) -> int:
    state, ended_s = ("frozen", None) if new.profiles else ("empty", now_s)
    cursor = connection.execute(
        "INSERT INTO batch (first_id, last_id, profiles, state, idempotency_key, body, frozen_s,"
        " ended_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*new[1:4], state, *new[4:], now_s, ended_s),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def delivered(
    connection: sqlite3.Connection, frozen: Frozen, answer: wire_batch.Answer, now_s: int
) -> None:
    """Settlement has the batch: let the body go, park what it rejected."""
    if frozen.is_retry and not answer.rejected:
        parked.taken(connection, frozen.first_id, now_s)
    if answer.rejected:
        rows = _rows(connection, frozen)
        for rejection in answer.rejected:
            row = rows[rejection.index]
            parked.park(connection, row, rejection.code, rejection.detail, now_s)
    if not frozen.is_retry:
        _end(connection, frozen.batch_id, "delivered", now_s)


def split(connection: sqlite3.Connection, frozen: Frozen, now_s: int) -> None:
    """Settlement refused the batch whole: two halves take its place, under keys of their own.

    A refusal (HTTP 400, 413, 422) says that nothing of it was taken: settlement looks for the key
    before anything else, and a batch that it took once is never refused later. So the profiles
    may come under new keys, and these are derived, so that a crash before or after changes nothing.
    """
    sent = wire_batch.decode(unpack(frozen.body))
    half = frozen.profiles // 2
    assert 0 < half < frozen.profiles == len(sent.profiles), "one profile is parked, not split"
    second_id = _rows(connection, frozen)[half].journal_id
    deleted = connection.execute(
        "DELETE FROM batch WHERE id = ? AND state = 'frozen'", (frozen.batch_id,)
    ).rowcount
    assert deleted == 1, "a batch ends once"
    for first_id, last_id, profiles in (
        (frozen.first_id, second_id - 1, sent.profiles[:half]),
        (second_id, frozen.last_id, sent.profiles[half:]),
    ):
        _insert(connection, _frozen(sent.gateway_id, first_id, last_id, profiles), now_s)


def park(connection: sqlite3.Connection, frozen: Frozen, code: str, now_s: int) -> None:
    """Settlement will never take this profile: put it aside, and go on."""
    assert frozen.profiles == 1, "only what stands alone is parked"
    (row,) = _rows(connection, frozen)
    parked.park(connection, row, code, "settlement refuses a batch with it alone", now_s)
    if not frozen.is_retry:
        _end(connection, frozen.batch_id, "parked", now_s)


def meter_of(frozen: Frozen) -> str:
    """The meter of a batch's first profile, in hex."""
    return wire_batch.decode(unpack(frozen.body)).profiles[0].meter_id


def delivered_up_to(connection: sqlite3.Connection) -> int:
    """Every journal row up to this one is delivered, parked, or nothing that settlement wants."""
    row = connection.execute("SELECT min(first_id) FROM batch WHERE state = 'frozen'").fetchone()
    return _last_frozen(connection) if row[0] is None else row[0] - 1


def prune(connection: sqlite3.Connection, before_s: int, below_id: int, rows_max: int) -> int:
    """Forget some batches that ended before `before_s`, of journal rows below this one; how many.

    A batch stays as long as its frames do, so that `trace` says where they went. The newest stays
    in any case: it is the mark that keeps a journal row from being frozen twice.
    """
    return connection.execute(
        "DELETE FROM batch WHERE id IN (SELECT id FROM batch WHERE coalesce(ended_s, frozen_s) < ?"
        " AND state <> 'frozen' AND last_id < ? AND last_id < (SELECT max(last_id) FROM batch)"
        " ORDER BY id LIMIT ?)",
        (before_s, below_id, rows_max),
    ).rowcount


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
        "UPDATE batch SET state = ?, ended_s = ?, body = NULL WHERE id = ? AND state = 'frozen'",
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


def _rows(connection: sqlite3.Connection, frozen: Frozen) -> list[Row]:
    """The journal rows of a batch's profiles, in the order of the batch."""
    if frozen.is_retry:
        return [parked.find(connection, frozen.first_id).row]
    rows_max = frozen.last_id - frozen.first_id + 1
    by_frame = {
        (row.meter_id.hex(), row.key_epoch, row.frame_counter): row
        for row in journal.read_rows(connection, frozen.first_id - 1, rows_max)
    }
    sent = wire_batch.decode(unpack(frozen.body)).profiles
    return [by_frame[each.meter_id, each.key_epoch, each.frame_counter] for each in sent]
