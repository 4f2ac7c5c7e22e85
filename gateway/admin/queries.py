"""What the command line shows of the database: meters with their refusals, where a frame went."""

from __future__ import annotations

import sqlite3

from gateway import journal
from gateway.forwarding import readings
from gateway.registry import UNKNOWN_METER
from wire.messages import Profile


def list_meters(
    connection: sqlite3.Connection, after: bytes = b"", limit: int = -1
) -> list[dict[str, object]]:
    """For `meters list`: what is known of every meter, by id, without any secret.

    A page begins behind `after` and has `limit` meters (negative: all). On the first page the
    refusals of ids that nobody registered come last, under no id.
    """
    found = connection.execute(
        "SELECT meter_id, state, added_s, security_level FROM meter WHERE meter_id > ?"
        " ORDER BY meter_id LIMIT ?",
        (after, limit),
    ).fetchall()
    meters = [_meter(connection, *row) for row in found]
    unknown = {} if after else _refused(connection, UNKNOWN_METER)
    if unknown:
        meters.append({"meter_id": None, "refused": unknown})
    return meters


def show_meter(connection: sqlite3.Connection, meter_id: bytes) -> dict[str, object] | None:
    """One of them; None when nobody registered it."""
    found = connection.execute(
        "SELECT state, added_s, security_level FROM meter WHERE meter_id = ?", (meter_id,)
    ).fetchone()
    return _meter(connection, meter_id, *found) if found else None


def _meter(
    connection: sqlite3.Connection, meter_id: bytes, state: str, added_s: int, level: str | None
) -> dict[str, object]:
    epochs = connection.execute(
        "SELECT key_epoch FROM meter_key WHERE meter_id = ? ORDER BY key_epoch", (meter_id,)
    )
    gone = connection.execute("SELECT closed_s FROM last_will WHERE meter_id = ?", (meter_id,))
    return {
        "meter_id": meter_id.hex(),
        "state": state,
        "key_epochs": [epoch for (epoch,) in epochs],
        "added_s": added_s,
        "security_level": level,
        "gone_s": (gone.fetchone() or (None,))[0],
        "refused": _refused(connection, meter_id),
    }


def _refused(connection: sqlite3.Connection, meter_id: bytes) -> dict[str, int]:
    return dict(
        connection.execute(
            "SELECT reason, frames FROM refusal WHERE meter_id = ? ORDER BY reason", (meter_id,)
        ).fetchall()
    )


def trace(
    connection: sqlite3.Connection, meter_id: bytes, counter: int
) -> dict[str, object] | None:
    """Where a frame went and what it says, newest key epoch first; None when it was never accepted.

    `message` is as gateway/forwarding/readings.py sums it up. Raises DamagedStore.
    """
    row = journal.find(connection, meter_id, counter)
    if row is None:
        return None
    message = readings.message_of(row)
    is_profile = isinstance(message, Profile)
    batch = connection.execute(
        "SELECT id, idempotency_key, ended_s, state FROM batch WHERE last_id >= ?1"
        " AND first_id <= ?1 ORDER BY last_id LIMIT 1",
        (row.journal_id,),
    ).fetchone() or (None, None, None, None)
    parked = connection.execute(
        "SELECT state, code FROM parked WHERE journal_id = ? AND state <> 'delivered'",
        (row.journal_id,),
    ).fetchone() or (None, None)
    return {
        "journal_id": row.journal_id,
        "received_s": row.received_s,
        "first": message.first if is_profile else None,
        "intervals": len(message.quality) if is_profile else 0,
        "batch_id": batch[0],
        "idempotency_key": batch[1],
        "delivered_s": batch[2] if batch[3] == "delivered" and parked[0] is None else None,
        "state": parked[0] or batch[3] or "waiting",
        "parked_code": parked[1],
        "message": readings.summary(row, message),
    }
