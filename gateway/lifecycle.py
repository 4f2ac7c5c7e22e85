"""A meter's life at the gateway: added, revoked, restored, decommissioned; each act is audited.

    (unknown) --add--> active --revoke--> revoked --restore--> active
                          \\--decommission--> decommissioned <--decommission--/
    decommissioned --add, again, under a newer key epoch--> active

Each function works in the caller's transaction. A running gateway reads of it in the audit log and
closes the meter's session.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from gateway import audit, registry
from gateway.downlink import commands
from gateway.errors import UsageError
from gateway.registry import ACTIVE, DECOMMISSIONED, REVOKED, NewMeter, Registry

ADD, PASSWORD, LEVEL = "meter.add", "meter.password", "meter.level"
REVOKE, RESTORE, DECOMMISSION = "meter.revoke", "meter.restore", "meter.decommission"

SECURITY_LEVELS = ("L0", "L1", "L2")  # of a meter's chip: docs/security.md

# What may follow what. Decommissioned is left only by `add` with `again`.
NEXT_STATES = {
    REVOKE: {ACTIVE: REVOKED},
    RESTORE: {REVOKED: ACTIVE},
    DECOMMISSION: {ACTIVE: DECOMMISSIONED, REVOKED: DECOMMISSIONED},
}


def add(
    connection: sqlite3.Connection,
    keeper: Registry,
    new: Sequence[NewMeter],
    actor: str,
    now_s: int,
    *,
    again: bool = False,
) -> None:
    """Register these meters, all or none of them. Raises MeterExists, naming the first."""
    for meter in new:
        keeper.add(connection, meter, now_s, again=again)
        detail: dict[str, object] = {"key_epoch": meter.key_epoch, "again": again}
        audit.record(connection, actor, ADD, meter.meter_id, detail, now_s)


def revoke(connection: sqlite3.Connection, meter_id: bytes, actor: str, now_s: int) -> None:
    """Close the door to a meter; its keys are kept, so that it can be restored."""
    _change(connection, meter_id, REVOKE, actor, now_s)


def restore(connection: sqlite3.Connection, meter_id: bytes, actor: str, now_s: int) -> None:
    """Let a revoked meter in again."""
    _change(connection, meter_id, RESTORE, actor, now_s)


def decommission(connection: sqlite3.Connection, meter_id: bytes, actor: str, now_s: int) -> None:
    """Destroy a meter's keys and password for good; the tombstone and its journal stay."""
    _change(connection, meter_id, DECOMMISSION, actor, now_s)
    for (row_id,) in connection.execute(
        "SELECT id FROM command WHERE meter_id = ? AND state IN ('queued', 'sent')", (meter_id,)
    ).fetchall():
        commands.cancel(connection, row_id, actor, now_s)
    connection.execute("PRAGMA secure_delete = ON")  # zeros where the keys were
    connection.execute("DELETE FROM meter_key WHERE meter_id = ?", (meter_id,))
    connection.execute("UPDATE command SET wrapped = NULL WHERE meter_id = ?", (meter_id,))
    connection.execute(
        "UPDATE meter SET password_hash = zeroblob(32) WHERE meter_id = ?", (meter_id,)
    )


def set_password(
    connection: sqlite3.Connection, meter_id: bytes, text: str, actor: str, now_s: int
) -> None:
    """A new password for a meter, which needs it at its next CONNECT. Raises UsageError."""
    hashed = registry.password_hash(meter_id, registry.check_password(text))
    if _known(connection, meter_id) == DECOMMISSIONED:
        raise UsageError(f"meter {meter_id.hex()} is decommissioned; it has no password any more")
    connection.execute("UPDATE meter SET password_hash = ? WHERE meter_id = ?", (hashed, meter_id))
    audit.record(connection, actor, PASSWORD, meter_id.hex(), {}, now_s)


def set_security_level(
    connection: sqlite3.Connection, meter_id: bytes, level: str, actor: str, now_s: int
) -> None:
    """Record what a meter's eFuses said: one of SECURITY_LEVELS. Raises UsageError.

    The level that it has already changes nothing, so it may be said again after a lost answer. A
    decommissioned meter keeps its level and has it when it comes back: eFuses stay burned.
    """
    if level not in SECURITY_LEVELS:
        raise UsageError(
            f"a security level is one of {', '.join(SECURITY_LEVELS)}; `doctor` reads a chip's"
        )
    if _known(connection, meter_id) == DECOMMISSIONED:
        raise UsageError(f"meter {meter_id.hex()} is decommissioned; its level stays as it was")
    (before,) = connection.execute(
        "SELECT security_level FROM meter WHERE meter_id = ?", (meter_id,)
    ).fetchone()
    if level == before:
        return
    connection.execute("UPDATE meter SET security_level = ? WHERE meter_id = ?", (level, meter_id))
    detail: dict[str, object] = {"before": before, "security_level": level}
    audit.record(connection, actor, LEVEL, meter_id.hex(), detail, now_s)


def _change(
    connection: sqlite3.Connection, meter_id: bytes, action: str, actor: str, now_s: int
) -> None:
    state = _known(connection, meter_id)
    state_after = NEXT_STATES[action].get(state)
    if state_after is None:
        raise UsageError(
            f"meter {meter_id.hex()} is {state}: {action.partition('.')[2]} is for a meter that is"
            f" {' or '.join(NEXT_STATES[action])}; nothing was changed"
        )
    connection.execute("UPDATE meter SET state = ? WHERE meter_id = ?", (state_after, meter_id))
    audit.record(connection, actor, action, meter_id.hex(), {}, now_s)


def _known(connection: sqlite3.Connection, meter_id: bytes) -> str:
    state = registry.state_of(connection, meter_id)
    if state is None:
        raise UsageError(f"meter {meter_id.hex()} is not registered; `meters list` shows who is")
    return state
