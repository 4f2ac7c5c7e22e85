"""What meters say about their updates moves a roll-out on, in the transaction that keeps it."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from gateway.listener import Said
from gateway.rollout import rollout_book as book
from gateway.rollout import rollout_moves as moves
from gateway.rollout import updates
from gateway.rollout.pieces import Failed, Restarting, Send, Way, next_step
from wire.messages import EVENT_UPDATE, Event, Result, Status

# The first value of event 11: firmware/watch.py.
UPDATE_CONFIRMED, UPDATE_FELL_BACK = 2, 3

FELL_BACK = "fell_back"
WENT_BACK = "went_back"  # confirmed, and later its status named another version
ALREADY = "already"  # its first status said that it runs this version


class Heard(NamedTuple):
    """What followed from messages."""

    wake: list[bytes]  # meters that have a new piece in their queue
    settled: bool  # a meter has its outcome, or restarts: others may begin


class _Under(NamedTuple):
    """A meter in a roll-out."""

    rollout_id: int
    state: str
    said_confirmed: int
    said_version: int
    command: int | None


def hear(connection: sqlite3.Connection, said: list[Said], now_s: int) -> Heard:
    """Take these messages in, in order."""
    wake: list[bytes] = []
    settled = False
    for one in said:
        message, meter_id = one.message, one.meter.meter_id
        if isinstance(message, Result):
            row = _asked(connection, meter_id, message.command_id)
            if row is None:
                continue
            if answer(connection, *row, meter_id, message.code, message.detail, now_s):
                wake.append(meter_id)
            else:
                settled = True
        elif isinstance(message, Status):
            settled = _status(connection, meter_id, message.version, now_s) or settled
        elif isinstance(message, Event) and message.code == EVENT_UPDATE and message.values:
            settled = _event(connection, meter_id, message, now_s) or settled
    return Heard(wake, settled)


def answer(
    connection: sqlite3.Connection,
    rollout_id: int,
    row_id: int,
    meter_id: bytes,
    code: int,
    detail: bytes,
    now_s: int,
) -> bool:
    """A meter's answer to its last piece; True when the next one is in its queue."""
    ongoing = book.ongoing(connection, rollout_id)
    assert ongoing is not None
    outline = updates.outline(connection, ongoing.update_id)
    assert outline is not None  # an update that a roll-out names cannot be removed
    state, *found = connection.execute(
        "SELECT state, wanted, pieces, hashes, flashes, trials FROM rollout_meter"
        " WHERE rollout_id = ? AND meter_id = ?",
        (rollout_id, meter_id),
    ).fetchone()
    _prune(connection, ongoing.origin, meter_id, row_id)
    way = Way(*found)
    way = way._replace(pieces=way.pieces + 1)
    connection.execute(
        "UPDATE rollout_meter SET pieces = ? WHERE rollout_id = ? AND meter_id = ?",
        (way.pieces, rollout_id, meter_id),
    )
    step = next_step(outline, way, code, detail)
    taken = state == "stopped" and book.busy_in(connection, meter_id) is not None
    if taken or (state == "stopped" and not isinstance(step, Restarting)):
        return False
    if isinstance(step, Restarting):
        _restarts(connection, ongoing, meter_id, now_s)
    elif isinstance(step, Failed):
        moves.settle(connection, rollout_id, meter_id, "failed", step.reason, now_s)
    elif ongoing.state == "running":
        return moves.send(connection, ongoing, outline, meter_id, step.way, now_s, step.after_s)
    else:
        _keep(connection, rollout_id, meter_id, step, now_s)
    return False


def _asked(
    connection: sqlite3.Connection, meter_id: bytes, command_id: int
) -> tuple[int, int] | None:
    """The roll-out and the command's row, if this answers the piece that is under way."""
    row: tuple[int, int] | None = connection.execute(
        "SELECT m.rollout_id, c.id FROM command c JOIN rollout_meter m"
        " ON m.meter_id = c.meter_id AND m.command = c.id AND m.state IN ('sending', 'stopped')"
        " WHERE c.meter_id = ? AND c.command_id = ?",
        (meter_id, command_id),
    ).fetchone()
    return row


def _prune(connection: sqlite3.Connection, origin: str, meter_id: bytes, row_id: int) -> None:
    """Of a meter's pieces only the last stays: a bundle is a hundred of them."""
    connection.execute(
        "DELETE FROM command WHERE meter_id = ? AND origin = ? AND id < ?"
        " AND state NOT IN ('queued', 'sent')",
        (meter_id, origin, row_id),
    )


def _restarts(
    connection: sqlite3.Connection, ongoing: book.Ongoing, meter_id: bytes, now_s: int
) -> None:
    connection.execute(
        "UPDATE rollout_meter SET state = 'restarting', due_s = ?, said_confirmed = 0,"
        " said_version = 0, command = NULL, changed_s = ? WHERE rollout_id = ? AND meter_id = ?",
        (now_s + ongoing.confirm_s, now_s, ongoing.rollout_id, meter_id),
    )


def _keep(
    connection: sqlite3.Connection, rollout_id: int, meter_id: bytes, step: Send, now_s: int
) -> None:
    """Paused: what is wanted next is sent when the roll-out goes on."""
    way = step.way
    connection.execute(
        "UPDATE rollout_meter SET wanted = ?, pieces = ?, hashes = ?, flashes = ?, trials = ?,"
        " command = NULL, changed_s = ? WHERE rollout_id = ? AND meter_id = ?",
        (*way, now_s, rollout_id, meter_id),
    )


def _status(connection: sqlite3.Connection, meter_id: bytes, version: str, now_s: int) -> bool:
    """A greeting names the version that runs. True when a meter's state changed."""
    row = connection.execute(
        "SELECT version FROM application WHERE meter_id = ?", (meter_id,)
    ).fetchone()
    before = row[0] if row else None
    if before != version:
        connection.execute(
            "INSERT INTO application VALUES (?1, ?2, ?3, 0) ON CONFLICT DO UPDATE"
            " SET version = ?2, since_s = ?3",
            (meter_id, version, now_s),
        )
    changed = False
    for under, ongoing in _under(connection, meter_id):
        is_new = version == ongoing.version
        if under.state == "confirmed" and not is_new:
            moves.settle(connection, ongoing.rollout_id, meter_id, "failed", WENT_BACK, now_s)
        elif under.state == "restarting" and is_new:
            _said(connection, ongoing.rollout_id, meter_id, under._replace(said_version=1), now_s)
        elif under.state in ("waiting", "sending") and is_new:
            _runs_it(connection, ongoing, meter_id, under, before, now_s)
        else:
            continue
        changed = True
    return changed


def _runs_it(
    connection: sqlite3.Connection,
    ongoing: book.Ongoing,
    meter_id: bytes,
    under: _Under,
    before: str | None,
    now_s: int,
) -> None:
    """It runs the version although it did not say `restart`: that answer was lost, or nobody knew.

    A meter restarts 60 s after that answer, whether it was receipted or not (firmware/uplink.py).
    """
    if under.command is not None:
        book.cancel(connection, under.command, now_s)
    if before is None or before == ongoing.version:
        moves.settle(connection, ongoing.rollout_id, meter_id, "confirmed", ALREADY, now_s)
        return
    _restarts(connection, ongoing, meter_id, now_s)
    fresh = under._replace(said_confirmed=0, said_version=1)
    _said(connection, ongoing.rollout_id, meter_id, fresh, now_s)


def _event(connection: sqlite3.Connection, meter_id: bytes, event: Event, now_s: int) -> bool:
    """An update was confirmed or taken back. True when a meter's state changed."""
    known = connection.execute(
        "SELECT event FROM application WHERE meter_id = ?", (meter_id,)
    ).fetchone()
    if event.number and known and event.number <= known[0]:
        return False  # one that is sent twice counts once; number 0 has none
    connection.execute(
        "INSERT INTO application VALUES (?1, NULL, ?2, ?3) ON CONFLICT DO UPDATE"
        " SET event = max(event, ?3)",
        (meter_id, now_s, event.number),
    )
    changed = False
    for under, ongoing in _under(connection, meter_id):
        begun = under.state in ("sending", "restarting", "confirmed")
        if event.values[0] == UPDATE_FELL_BACK and begun:
            if under.command is not None:
                book.cancel(connection, under.command, now_s)
            moves.settle(connection, ongoing.rollout_id, meter_id, "failed", FELL_BACK, now_s)
        elif event.values[0] == UPDATE_CONFIRMED and under.state == "restarting":
            _said(connection, ongoing.rollout_id, meter_id, under._replace(said_confirmed=1), now_s)
        else:
            continue
        changed = True
    return changed


def _said(
    connection: sqlite3.Connection, rollout_id: int, meter_id: bytes, under: _Under, now_s: int
) -> None:
    """Confirmed once it said both: that it runs the version, and that the trial is over."""
    connection.execute(
        "UPDATE rollout_meter SET said_confirmed = ?, said_version = ?"
        " WHERE rollout_id = ? AND meter_id = ?",
        (under.said_confirmed, under.said_version, rollout_id, meter_id),
    )
    if under.said_confirmed and under.said_version:
        moves.settle(connection, rollout_id, meter_id, "confirmed", "", now_s)


def _under(connection: sqlite3.Connection, meter_id: bytes) -> list[tuple[_Under, book.Ongoing]]:
    """The roll-outs this meter matters to: at most one under way, and those that watch it soak."""
    found = connection.execute(
        "SELECT m.rollout_id, m.state, said_confirmed, said_version, command"
        " FROM rollout_meter m JOIN rollout r ON r.id = m.rollout_id WHERE m.meter_id = ?"
        " AND (m.state IN ('sending', 'restarting')"
        " OR m.state IN ('waiting', 'confirmed') AND r.state IN ('running', 'paused'))",
        (meter_id,),
    ).fetchall()
    pairs = [(_Under(*row), book.ongoing(connection, row[0])) for row in found]
    return [(under, ongoing) for under, ongoing in pairs if ongoing is not None]
