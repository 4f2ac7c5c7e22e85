"""Moves one meter of a roll-out: its next piece is queued, or it gets its outcome."""

from __future__ import annotations

import sqlite3

from gateway.downlink import commands
from gateway.errors import CommandRefused
from gateway.rollout import updates
from gateway.rollout.pieces import Outline, Way
from gateway.rollout.rollout_book import Ongoing

EXPIRY_S_MIN = 60  # of a piece that is queued when the wave's patience is nearly over


def send(
    connection: sqlite3.Connection,
    ongoing: Ongoing,
    outline: Outline,
    meter_id: bytes,
    way: Way,
    now_s: int,
    after_s: int = 0,
) -> bool:
    """Queue the piece that `way` names; False when its queue has no place: then later."""
    code, args = updates.command_of(connection, outline, way.wanted)
    began_s = connection.execute(
        "SELECT began_s FROM rollout_wave WHERE rollout_id = ? AND wave ="
        " (SELECT wave FROM rollout_meter WHERE rollout_id = ?1 AND meter_id = ?2)",
        (ongoing.rollout_id, meter_id),
    ).fetchone()[0]
    not_before_s = now_s + after_s
    try:
        row_id = commands.queue(
            connection, meter_id, code, args, actor=ongoing.actor, now_s=now_s,
            not_before_s=not_before_s if after_s else None,
            expires_s=max(began_s + ongoing.patience_s, not_before_s + EXPIRY_S_MIN),
            origin=ongoing.origin,
        )  # fmt: skip
    except CommandRefused:
        row_id = None  # no place now: rollout_steps tries again
    connection.execute(
        "UPDATE rollout_meter SET state = 'sending', wanted = ?, pieces = ?, hashes = ?,"
        " flashes = ?, trials = ?, command = ?, changed_s = ?"
        " WHERE rollout_id = ? AND meter_id = ?",
        (way.wanted, way.pieces, way.hashes, way.flashes, way.trials,
         row_id, now_s, ongoing.rollout_id, meter_id),
    )  # fmt: skip
    return row_id is not None


def settle(
    connection: sqlite3.Connection,
    rollout_id: int,
    meter_id: bytes,
    state: str,
    reason: str,
    now_s: int,
) -> None:
    """A meter's outcome: confirmed, failed or absent, and why."""
    connection.execute(
        "UPDATE rollout_meter SET state = ?, reason = ?, due_s = NULL, changed_s = ?"
        " WHERE rollout_id = ? AND meter_id = ?",
        (state, reason, now_s, rollout_id, meter_id),
    )
