"""The giver's side of a move of shards, in the database: asked, given up, written out, forgotten.

    giver: (served) --ask--> asked --give_up--> given_up --export, as often as wanted--
                                                    \\--forget--> forgotten (keys destroyed)
    taker: (unknown) --take--> taken                        (gateway/shards/takeover.py)

`give_up` is the boundary: in its transaction the meters leave the giver's tables, so that nothing
that happens there later can change what the taker gets. Each step is one transaction and may be
repeated after a crash. The giver's journal and outbox keep what was accepted and deliver it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway import audit, journal
from gateway.errors import MoveRefused
from gateway.meter import Meter, Progress
from gateway.registry import Registry
from gateway.shards.move_file import Command, Key, MeterState, Move, Secret, TransferKeys, rewrapped
from wire.topics import shard_of

METERS_MAX = 50_000  # in one move: the frames of the giver's other meters wait for its transaction
MOVE_ID_BYTES = 16

GIVE_UP, EXPORT, FORGET = "shard.give_up", "shard.export", "shard.forget"
ASKED, GIVEN_UP, FORGOTTEN = "asked", "given_up", "forgotten"
MOVED = b"moved"  # detail of a command that was cancelled, and reason in a roll-out

# Why shards are not given up; takeover.py and move_file.py have more reasons.
NOT_OURS, AWAY, TOO_MANY, TO_ITSELF = "not_ours", "shard_away", "too_many_meters", "to_itself"
UNKNOWN_MOVE, NOT_GIVEN_UP = "unknown_move", "not_given_up"

_GOES = ("backfill", "area_meter", "application", "command_number", "refusal", "meter_key", "meter")
_ROLLOUT = "rollout:"  # origin of commands that stay: their roll-out is this gateway's


class Asked(NamedTuple):
    """A move out of this gateway."""

    move_id: bytes
    state: str
    shards: frozenset[str]
    other: str


def shards_away(connection: sqlite3.Connection) -> frozenset[str]:
    """What this gateway may not serve, whatever gateway.toml says."""
    rows = connection.execute("SELECT shard FROM shard WHERE away IS NOT NULL")
    return frozenset(shard for (shard,) in rows)


def meters_of(connection: sqlite3.Connection, shards: Collection[str]) -> list[bytes]:
    """The registered meters in these shards, tombstones among them."""
    rows = connection.execute("SELECT meter_id FROM meter ORDER BY meter_id")
    return [meter_id for (meter_id,) in rows if shard_of(meter_id) in shards]


def rows(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every move, for people and programs, oldest first."""
    return [
        {
            "move_id": row[0].hex(), "way": row[1], "shards": row[2], "other": row[3],
            "state": row[4], "meters": row[5], "actor": row[6], "asked_s": row[7], "done_s": row[8],
        }
        for row in connection.execute("SELECT * FROM move ORDER BY asked_s, move_id")
    ]  # fmt: skip


# ------------------------------------------------------------------ the giver


def find(connection: sqlite3.Connection, shards: Collection[str], other: str) -> Asked | None:
    """The move of exactly these shards to that gateway that is under way, if there is one."""
    for move in _under_way(connection):
        if move.shards == frozenset(shards) and move.other == other:
            return move
    return None


def _under_way(connection: sqlite3.Connection) -> list[Asked]:
    found = connection.execute(
        "SELECT DISTINCT move_id, state, shards, other FROM move JOIN shard ON away = move_id"
    )
    return [Asked(row[0], row[1], frozenset(row[2].split(",")), row[3]) for row in found]


def asked(connection: sqlite3.Connection) -> list[Asked]:
    """Moves whose shards were not given up yet."""
    return [move for move in _under_way(connection) if move.state == ASKED]


def ask(
    connection: sqlite3.Connection,
    ours: Collection[str],
    shards: frozenset[str],
    giver: str,
    taker: str,
    actor: str,
    now_s: int,
) -> Asked:
    """Let these shards be given up: from this commit on no meter of them is let in anew.

    Asked again, the same move. Raises MoveRefused.
    """
    if giver == taker:
        raise MoveRefused(TO_ITSELF, "--for names this gateway; name the one that takes over")
    before = find(connection, shards, taker)
    if before is not None:
        return before
    for shard in sorted(shards):
        if shard not in ours:
            raise MoveRefused(NOT_OURS, f"shard {shard} is not in this gateway's `shards`")
    gone = sorted(shards & shards_away(connection))
    if gone:
        raise MoveRefused(AWAY, f"shard {gone[0]} is away or on its way; `shard list` says to whom")
    meters = len(meters_of(connection, shards))
    if meters > METERS_MAX:
        raise MoveRefused(
            TOO_MANY, f"{meters} meters in these shards, at most {METERS_MAX} move at once; move"
            " fewer shards at a time",
        )  # fmt: skip
    move_id, text = os.urandom(MOVE_ID_BYTES), ",".join(sorted(shards))
    connection.execute(
        "INSERT INTO move VALUES (?, 'out', ?, ?, 'asked', ?, ?, ?, NULL)",
        (move_id, text, taker, meters, actor, now_s),
    )
    connection.executemany(
        "INSERT INTO shard VALUES (?1, 1, ?2) ON CONFLICT DO UPDATE SET term = term + 1, away = ?2",
        [(shard, move_id) for shard in sorted(shards)],
    )
    detail: dict[str, object] = {"move": move_id.hex(), "to": taker}
    audit.record(connection, actor, GIVE_UP, text, detail, now_s)
    return Asked(move_id, ASKED, shards, taker)


def give_up(
    connection: sqlite3.Connection, move: Asked, memory: Mapping[bytes, Progress], now_s: int
) -> bool:
    """Take the meters out of this gateway, as its journal has them. The process that holds the
    database's lock does it, when it accepts no frame of theirs any more.

    `memory` is what that process knows of their progress. False, and nothing is changed, while
    the journal does not have all of it: a group is still on its way to the disk.
    """
    rebuilt = journal.rebuild(connection)
    for meter_id, progress in memory.items():
        if not _is_in(progress, rebuilt.get(meter_id, Progress())):
            return False
    meters = meters_of(connection, move.shards)
    connection.execute("PRAGMA secure_delete = ON")  # zeros where the keys were
    for meter_id in meters:
        state, secrets = _freeze(connection, meter_id, rebuilt.get(meter_id, Progress()))
        connection.execute(
            "INSERT INTO moved_meter VALUES (?, ?, ?)",
            (move.move_id, meter_id, msgspec.msgpack.encode(state)),
        )
        connection.executemany(
            "INSERT INTO moved_key VALUES (?, ?, ?, ?, ?)",
            [(move.move_id, meter_id, n, one.bound, one.wrapped) for n, one in enumerate(secrets)],
        )
        _remove(connection, meter_id, now_s)
    connection.execute(
        "UPDATE move SET state = 'given_up', meters = ?, done_s = ? WHERE move_id = ?",
        (len(meters), now_s, move.move_id),
    )
    return True


def _is_in(progress: Progress, durable: Progress) -> bool:
    for epoch, window in progress.windows.items():
        kept = durable.windows.get(epoch)
        if window.bits and (
            kept is None or (kept.highest, kept.bits) != (window.highest, window.bits)
        ):
            return False
    mine, kept_intervals = progress.intervals, durable.intervals
    return (mine.upto, mine.islands) == (kept_intervals.upto, kept_intervals.islands)


def _freeze(
    connection: sqlite3.Connection, meter_id: bytes, progress: Progress
) -> tuple[MeterState, list[Secret]]:
    """All of a meter that goes with it; what is wrapped apart from it, and numbered."""

    def select(query: str) -> list[Any]:
        return connection.execute(query, (meter_id,)).fetchall()

    secrets: list[Secret] = []

    def place(bound: int, wrapped: bytes) -> int:
        secrets.append(Secret(bound, wrapped))
        return len(secrets) - 1

    snapshot = journal.take_snapshot({Meter(meter_id, progress)})
    (meter,) = select(
        "SELECT password_hash, added_s, state, highest_epoch, security_level FROM meter"
        " WHERE meter_id = ?"
    )
    keys = [
        Key(epoch, reserved, place(epoch, wrapped))
        for epoch, wrapped, reserved in select(
            "SELECT key_epoch, wrapped, down_reserved FROM meter_key WHERE meter_id = ?"
        )
    ]
    commands = []
    for command_id, code, args, wrapped, size, *rest in select(
        "SELECT command_id, code, args, wrapped, secret_bytes, state, queued_s, not_before_s,"
        " expires_s, sent_s, attempts, actor, origin FROM command"
        " WHERE meter_id = ? AND state IN ('queued', 'sent') ORDER BY id"
    ):
        if not str(rest[-1]).startswith(_ROLLOUT):
            at = None if wrapped is None else place(code << 16 | size, wrapped)
            commands.append(Command(command_id, code, args, at, size, *rest))
    numbers = select("SELECT last FROM command_number WHERE meter_id = ?")
    areas = select("SELECT area FROM area_meter WHERE meter_id = ?")
    applications = select("SELECT version, since_s, event FROM application WHERE meter_id = ?")
    state = MeterState(
        meter_id=meter_id,
        password_hash=meter[0],
        added_s=meter[1],
        state=meter[2],
        highest_epoch=meter[3],
        keys=keys,
        windows=[window[1:] for window in snapshot.windows],
        upto=progress.intervals.upto,
        islands=progress.intervals.to_bytes(),
        refusals=select("SELECT reason, frames, last_s FROM refusal WHERE meter_id = ?"),
        command_number=numbers[0][0] if numbers else 0,
        commands=commands,
        backfill=select(
            "SELECT first, last, kind, found_s, asked, next_s FROM backfill"
            " WHERE meter_id = ? AND state = 'open'"
        ),
        area=areas[0][0] if areas else None,
        application=applications[0] if applications else None,
        security_level=meter[4],
    )
    return state, secrets


def _remove(connection: sqlite3.Connection, meter_id: bytes, now_s: int) -> None:
    """Nothing here sends to this meter any more, nor waits for it. Its history stays."""
    connection.execute(
        "UPDATE command SET state = 'cancelled', ended_s = ?, detail = ?, wrapped = NULL"
        " WHERE meter_id = ? AND state IN ('queued', 'sent')",
        (now_s, MOVED, meter_id),
    )
    connection.execute("UPDATE command SET wrapped = NULL WHERE meter_id = ?", (meter_id,))
    connection.execute(
        "UPDATE rollout_meter SET state = 'stopped', reason = ?, changed_s = ?, command = NULL,"
        " due_s = NULL WHERE meter_id = ? AND state IN ('waiting', 'sending', 'restarting')",
        (MOVED.decode(), now_s, meter_id),
    )
    for table in _GOES:
        connection.execute(f"DELETE FROM {table} WHERE meter_id = ?", (meter_id,))  # noqa: S608  (ours)


def export(
    connection: sqlite3.Connection,
    move: Asked,
    giver: str,
    keeper: Registry,
    transfer: TransferKeys,
) -> Move:
    """What the file holds; the same each time. Raises MoveRefused."""
    if move.state != GIVEN_UP:
        raise MoveRefused(NOT_GIVEN_UP, f"the move is {move.state}; there is nothing to write out")
    meters, secrets = [], []
    for meter_id, state in connection.execute(
        "SELECT meter_id, state FROM moved_meter WHERE move_id = ? ORDER BY meter_id",
        (move.move_id,),
    ):
        meters.append(msgspec.msgpack.decode(state, type=MeterState))
        kept = connection.execute(
            "SELECT bound, wrapped FROM moved_key WHERE move_id = ? AND meter_id = ?"
            " ORDER BY place",
            (move.move_id, meter_id),
        )
        secrets.append([rewrapped(keeper, transfer, meter_id, *row) for row in kept])
    terms = dict(
        connection.execute("SELECT shard, term FROM shard WHERE away = ?", (move.move_id,))
    )
    return Move(move.move_id, giver, move.other, terms, meters, secrets)


def forget(connection: sqlite3.Connection, move_id: bytes, actor: str, now_s: int) -> int:
    """Destroy the giver's copy, once the taker serves; how many meters. Raises MoveRefused."""
    row = connection.execute(
        "SELECT state, meters, shards FROM move WHERE move_id = ? AND way = 'out'", (move_id,)
    ).fetchone()
    if row is None or row[0] == ASKED:
        raise MoveRefused(UNKNOWN_MOVE, "no such move was given up here; see `shard list`")
    if row[0] == GIVEN_UP:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("DELETE FROM moved_key WHERE move_id = ?", (move_id,))
        connection.execute("DELETE FROM moved_meter WHERE move_id = ?", (move_id,))
        connection.execute("UPDATE move SET state = 'forgotten' WHERE move_id = ?", (move_id,))
        audit.record(connection, actor, FORGET, row[2], {"move": move_id.hex()}, now_s)
    return int(row[1])
