"""The taker's side of a move of shards, in the database: everything of a file, once, or nothing.

The gateway is stopped meanwhile. It reads its meters' progress when it starts, so there is no
moment in which it knows a meter and not yet which of its frames were seen.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from gateway import audit, journal
from gateway.errors import MoveRefused
from gateway.journal import Group
from gateway.meter import Meter
from gateway.registry import Registry
from gateway.shards.move_file import MeterState, Move, Secret, TransferKeys, rewrapped

IMPORT = "shard.import"

# Why shards are not taken over; gateway/shards/move_file.py has more reasons.
WRONG_GATEWAY, NOT_SERVED = "wrong_gateway", "not_served"
LIVING_METER, OLD_MOVE = "living_meter", "old_move"


def take(
    connection: sqlite3.Connection,
    move: Move,
    ours: Collection[str],
    taker: str,
    keeper: Registry,
    transfer: TransferKeys,
    actor: str,
    now_s: int,
) -> bool:
    """Take over, once: False for a move that was taken before. Raises MoveRefused.

    The gateway is stopped: it reads the meters' progress when it starts.
    """
    if move.taker != taker:
        raise MoveRefused(WRONG_GATEWAY, f"this move is for gateway {move.taker}, we are {taker}")
    if connection.execute("SELECT 1 FROM move WHERE move_id = ?", (move.move_id,)).fetchone():
        return False
    _check(connection, move, ours)
    keeper.check_master_key(connection)
    # A checkpoint, so that no row of the journal is read on top of what comes now.
    everything = {Meter(meter_id, kept) for meter_id, kept in journal.rebuild(connection).items()}
    journal.commit(connection, Group(now_s, snapshot=journal.take_snapshot(everything)))
    for meter, wrapped in zip(move.meters, move.secrets, strict=True):
        secrets = [
            rewrapped(transfer, keeper, meter.meter_id, one.bound, one.wrapped) for one in wrapped
        ]
        _write(connection, meter, secrets)
    text = ",".join(sorted(move.terms))
    connection.execute(
        "INSERT INTO move VALUES (?, 'in', ?, ?, 'taken', ?, ?, ?, ?)",
        (move.move_id, text, move.giver, len(move.meters), actor, now_s, now_s),
    )
    connection.executemany(
        "INSERT INTO shard VALUES (?1, ?2, NULL) ON CONFLICT DO UPDATE SET term = ?2, away = NULL",
        list(move.terms.items()),
    )
    detail: dict[str, object] = {"move": move.move_id.hex(), "from": move.giver}
    audit.record(connection, actor, IMPORT, text, detail, now_s)
    return True


def _check(connection: sqlite3.Connection, move: Move, ours: Collection[str]) -> None:
    for shard, term in sorted(move.terms.items()):
        if shard not in ours:
            raise MoveRefused(
                NOT_SERVED, f"shard {shard} is not in `shards` of this gateway's gateway.toml; add"
                " it there, then repeat",
            )  # fmt: skip
        row = connection.execute("SELECT term FROM shard WHERE shard = ?", (shard,)).fetchone()
        if row is not None and row[0] >= term:
            raise MoveRefused(
                OLD_MOVE, f"shard {shard} moved since this file was written (term {term}, here"
                f" {row[0]}); take over the file of the latest move",
            )  # fmt: skip
    for meter in move.meters:
        row = connection.execute(
            "SELECT state FROM meter WHERE meter_id = ? AND state <> 'decommissioned'",
            (meter.meter_id,),
        ).fetchone()
        if row is not None:
            raise MoveRefused(
                LIVING_METER, f"meter {meter.meter_id.hex()} is {row[0]} here already; decommission"
                " the wrong one of the two, and repeat",
            )  # fmt: skip


def _write(connection: sqlite3.Connection, meter: MeterState, secrets: list[Secret]) -> None:
    """A meter's rows, in the place of those that an earlier time here has left."""
    meter_id = meter.meter_id
    for table in ("window", "interval", "application", "area_meter"):
        connection.execute(f"DELETE FROM {table} WHERE meter_id = ?", (meter_id,))  # noqa: S608  (ours)
    row = (
        meter_id, meter.password_hash, meter.added_s, meter.state, meter.highest_epoch,
        meter.security_level,
    )  # fmt: skip
    connection.execute(
        "INSERT INTO meter"
        " (meter_id, password_hash, added_s, state, highest_epoch, security_level)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET password_hash = ?2,"
        " added_s = ?3, state = ?4, highest_epoch = max(highest_epoch, ?5),"
        " security_level = coalesce(?6, security_level)",  # who says nothing knows no better
        row,
    )
    insert = connection.executemany
    insert("INSERT INTO meter_key VALUES (?, ?, ?, ?)", [
        (meter_id, key.key_epoch, secrets[key.place].wrapped, key.down_reserved)
        for key in meter.keys
    ])  # fmt: skip
    insert("INSERT INTO window VALUES (?, ?, ?, ?)", [(meter_id, *row) for row in meter.windows])
    connection.execute(
        "INSERT INTO interval VALUES (?, ?, ?)", (meter_id, meter.upto, meter.islands)
    )
    insert("INSERT INTO refusal VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE"
           " SET frames = frames + ?3, last_s = max(last_s, ?4)",
           [(meter_id, *row) for row in meter.refusals])  # fmt: skip
    insert("INSERT INTO backfill (meter_id, first, last, kind, found_s, asked, next_s, state)"
           " VALUES (?, ?, ?, ?, ?, ?, ?, 'open') ON CONFLICT DO NOTHING",
           [(meter_id, *row) for row in meter.backfill])  # fmt: skip
    if meter.area is not None:
        connection.execute("INSERT INTO area_meter VALUES (?, ?)", (meter_id, meter.area))
    if meter.application is not None:
        connection.execute(
            "INSERT INTO application VALUES (?, ?, ?, ?)", (meter_id, *meter.application)
        )
    _write_commands(connection, meter, secrets)


def _write_commands(
    connection: sqlite3.Connection, meter: MeterState, secrets: list[Secret]
) -> None:
    """Under their own ids, which a meter that carried one out already knows. One that was given
    here, went and came back is the same row again."""
    for command in meter.commands:
        wrapped = None if command.place is None else secrets[command.place].wrapped
        row = (
            meter.meter_id, command.command_id, command.code, command.args, wrapped,
            command.secret_bytes, command.state, command.queued_s, command.not_before_s,
            command.expires_s, command.sent_s, command.attempts, command.actor, command.origin,
        )  # fmt: skip
        connection.execute(
            "INSERT INTO command (meter_id, command_id, code, args, wrapped, secret_bytes, state,"
            " queued_s, not_before_s, expires_s, sent_s, attempts, actor, origin)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (meter_id, command_id) DO UPDATE SET state = excluded.state,"
            " wrapped = excluded.wrapped, sent_s = excluded.sent_s, attempts = excluded.attempts,"
            " ended_s = NULL, detail = NULL",
            row,
        )
    if meter.command_number:
        connection.execute(
            "INSERT INTO command_number VALUES (?1, ?2)"
            " ON CONFLICT DO UPDATE SET last = max(last, ?2)",
            (meter.meter_id, meter.command_number),
        )
