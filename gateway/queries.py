"""What the command line shows of the database: meters with their refusals, a frame's way."""

from __future__ import annotations

import sqlite3

from gateway.journal import to_signed
from gateway.registry import UNKNOWN_METER
from wire.span import read_span


def list_meters(connection: sqlite3.Connection) -> list[dict[str, object]]:
    """For `meters list`: what is known of every meter, without any secret."""
    refused: dict[bytes, dict[str, int]] = {}
    for meter_id, reason, frames in connection.execute(
        "SELECT meter_id, reason, frames FROM refusal ORDER BY meter_id, reason"
    ):
        refused.setdefault(meter_id, {})[reason] = frames
    epochs: dict[bytes, list[int]] = {}
    for meter_id, epoch in connection.execute("SELECT meter_id, key_epoch FROM meter_key"):
        epochs.setdefault(meter_id, []).append(epoch)
    wills = dict(connection.execute("SELECT meter_id, closed_s FROM last_will").fetchall())
    meters: list[dict[str, object]] = [
        {
            "meter_id": meter_id.hex(),
            "key_epochs": epochs.get(meter_id, []),
            "added_s": added_s,
            "gone_s": wills.get(meter_id),
            "refused": refused.get(meter_id, {}),
        }
        for meter_id, added_s in connection.execute("SELECT meter_id, added_s FROM meter")
    ]
    if UNKNOWN_METER in refused:
        meters.append({"meter_id": None, "refused": refused[UNKNOWN_METER]})
    return meters


def trace(
    connection: sqlite3.Connection, meter_id: bytes, counter: int
) -> dict[str, object] | None:
    """Where a frame went, newest key epoch first; None when it was never accepted.

    Reads through the journal: it has no index, because appends are what must be fast.
    """
    row = connection.execute(
        "SELECT id, received_s, message FROM journal WHERE frame_counter = ? AND meter_id = ?"
        " ORDER BY key_epoch DESC LIMIT 1",
        (to_signed(counter), meter_id),
    ).fetchone()
    if row is None:
        return None
    span = read_span(row[2])
    batch = connection.execute(
        "SELECT id, idempotency_key, ended_s, state FROM batch WHERE last_id >= ?"
        " ORDER BY last_id LIMIT 1",
        (row[0],),
    ).fetchone() or (None, None, None, None)
    return {
        "journal_id": row[0],
        "received_s": row[1],
        "first": span.first if span else None,
        "intervals": span.intervals if span else 0,
        "batch_id": batch[0],
        "idempotency_key": batch[1],
        "delivered_s": batch[2] if batch[3] == "delivered" else None,
        "state": batch[3] or "waiting",
    }
