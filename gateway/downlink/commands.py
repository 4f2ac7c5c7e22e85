"""The durable queue of commands: queued, cancelled, listed; every change of state is here."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from gateway import audit
from gateway.downlink.command_args import NAMES, SECRETS, Hidden, check, check_secret
from gateway.errors import CommandRefused
from gateway.registry import ACTIVE, Registry, state_of
from wire import cbor, messages
from wire.keys import METER_KEY_BYTES

EXPIRY_S = 7 * 86_400  # of a command that says nothing else
EXPIRY_S_MAX = 366 * 86_400  # from its queueing
QUEUE_MAX = 64  # open commands of one meter
COMMAND_ID_MAX = (1 << 32) - 1
ROWS_MAX = 1000  # in one listing
KEPT_S = 400 * 86_400  # ended commands stay so long, for whoever asks what was done
PIECES_KEPT_S = 86_400  # ... and the pieces of updates, of which there are many

QUEUED, SENT, EXPIRED, CANCELLED = "queued", "sent", "expired", "cancelled"
DONE, REFUSED, FAILED, UNSUPPORTED = "done", "refused", "failed", "unsupported"

_BY_RESULT = {
    messages.RESULT_DONE: DONE,
    messages.RESULT_UNSUPPORTED: UNSUPPORTED,
    messages.RESULT_REFUSED: REFUSED,
    messages.RESULT_FAILED: FAILED,
}

# (state, what happens) -> state. docs/commands.md shows this table; a test compares them.
# A result is the truth whenever it comes: also after the expiry, also for a database that was
# restored from a backup made before the sending. A second result changes nothing.
TABLE = {
    (state, event): after
    for state in (QUEUED, SENT, EXPIRED, CANCELLED)
    for event, after in [(f"result {name}", name) for name in _BY_RESULT.values()]
} | {
    (QUEUED, "send"): SENT,
    (QUEUED, "expire"): EXPIRED,
    (QUEUED, "cancel"): CANCELLED,
    (SENT, "send"): SENT,  # again, under the same command id
    (SENT, "give up"): FAILED,
    (SENT, "expire"): EXPIRED,
    (SENT, "cancel"): CANCELLED,
}
STATES = (QUEUED, SENT, DONE, REFUSED, FAILED, UNSUPPORTED, EXPIRED, CANCELLED)

BUNDLE_STOPPED = b"bundle_stopped"  # detail of what was cancelled so

# Why a command is not queued or not changed, beside the reasons in command_args.py.
UNKNOWN_METER, NOT_ACTIVE = "unknown_meter", "not_active"
QUEUE_FULL, EXPIRY = "queue_full", "expiry"
IDS_USED_UP, NOT_THERE, ENDED = "command_ids_used_up", "unknown_command", "command_ended"


def hide(keeper: Registry, meter_id: bytes, code: int, secret: bytes) -> Hidden:
    """The secret argument of a command, wrapped with whom and what it is for.

    Raises CommandRefused when its length is not what the command takes.
    """
    check_secret(code, secret)
    padded = secret + bytes(METER_KEY_BYTES - len(secret))
    return Hidden(keeper.wrap(meter_id, _bound(code, len(secret)), padded), len(secret))


def reveal(keeper: Registry, meter_id: bytes, code: int, hidden: Hidden) -> bytes:
    """What `hide` hid. Raises StoreError when the row is damaged or was exchanged."""
    bound = _bound(code, hidden.secret_bytes)
    return keeper.unwrap(meter_id, bound, hidden.wrapped)[: hidden.secret_bytes]


def _bound(code: int, secret_bytes: int) -> int:
    """Stands where a meter key has its key epoch, which is below all of these."""
    return code << 16 | secret_bytes


def queue(
    connection: sqlite3.Connection,
    meter_id: bytes,
    code: int,
    args: tuple[Any, ...],
    *,
    actor: str,
    now_s: int,
    not_before_s: int | None = None,
    expires_s: int | None = None,
    bundle_id: int | None = None,
    origin: str = "",
) -> int:
    """Queue a command, in the caller's transaction; returns its row. Raises CommandRefused.

    `not_before_s` and `expires_s` are UTC seconds since 1970. With `origin` (the part that queues
    by itself) no audit row is written: whoever acted wrote one. Then call Downlink.wake.
    """
    check(code, args)
    not_before_s = now_s if not_before_s is None else not_before_s
    expires_s = max(now_s, not_before_s) + EXPIRY_S if expires_s is None else expires_s
    if not max(now_s, not_before_s) < expires_s <= now_s + EXPIRY_S_MAX:
        raise CommandRefused(EXPIRY, "a command expires after its begin, within 366 days")
    _check_meter(connection, meter_id)
    plain, hidden = (args[:-1], args[-1]) if code in SECRETS else (args, (None, None))
    command_id = _next_id(connection, meter_id, now_s)
    row_id = connection.execute(
        "INSERT INTO command (meter_id, command_id, code, args, wrapped, secret_bytes, state,"
        " queued_s, not_before_s, expires_s, actor, bundle_id, origin)"
        " VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?)",
        (
            meter_id, command_id, code, cbor.encode(list(plain)), *hidden, now_s,
            not_before_s, expires_s, actor, bundle_id, origin,
        ),
    ).lastrowid  # fmt: skip
    assert row_id is not None
    if not origin:
        detail: dict[str, object] = {"row": row_id, "command": NAMES[code]}
        audit.record(connection, actor, "command.queue", meter_id.hex(), detail, now_s)
    return row_id


def _check_meter(connection: sqlite3.Connection, meter_id: bytes) -> None:
    state = state_of(connection, meter_id)
    if state is None:
        raise CommandRefused(UNKNOWN_METER, f"no meter {meter_id.hex()} here; see `meters list`")
    if state != ACTIVE:
        raise CommandRefused(NOT_ACTIVE, f"meter {meter_id.hex()} is {state}; it hears nothing")
    waiting = open_rows(connection, meter_id)
    if waiting >= QUEUE_MAX:
        raise CommandRefused(
            QUEUE_FULL, f"{waiting} commands wait for meter {meter_id.hex()}; cancel some, or wait"
        )


def _next_id(connection: sqlite3.Connection, meter_id: bytes, now_s: int) -> int:
    """At least the seconds since 2020, so that a database restored from a backup, which does not
    know of the ids given since, does not give them again: the meter would answer without acting.
    """
    row = connection.execute(
        "SELECT last FROM command_number WHERE meter_id = ?", (meter_id,)
    ).fetchone()
    number = max((row[0] if row else 0) + 1, now_s - messages.START_S_MIN)
    if number > COMMAND_ID_MAX:
        raise CommandRefused(IDS_USED_UP, "every command id of this meter is used; replace it")
    connection.execute("INSERT OR REPLACE INTO command_number VALUES (?, ?)", (meter_id, number))
    return number


def open_rows(connection: sqlite3.Connection, meter_id: bytes) -> int:
    """How many commands wait for this meter or its answer."""
    count: int = connection.execute(
        "SELECT count(*) FROM command WHERE meter_id = ? AND state IN ('queued', 'sent')",
        (meter_id,),
    ).fetchone()[0]
    return count


def cancel(connection: sqlite3.Connection, row_id: int, actor: str, now_s: int) -> None:
    """End a command that has no result yet. Raises CommandRefused.

    One that was sent may have been carried out: its result, if it comes, takes precedence.
    """
    row = connection.execute(
        "SELECT meter_id, state FROM command WHERE id = ?", (row_id,)
    ).fetchone()
    if row is None:
        raise CommandRefused(NOT_THERE, f"no command {row_id}; see `command list`")
    if (row[1], "cancel") not in TABLE:
        raise CommandRefused(ENDED, f"command {row_id} is {row[1]} already")
    end(connection, row_id, "cancel", now_s, detail=f"by {actor}".encode())
    detail: dict[str, object] = {"row": row_id, "was": row[1]}
    audit.record(connection, actor, "command.cancel", row[0].hex(), detail, now_s)


# ------------------------------------------------------------------ what happens to a command


class Sending(NamedTuple):
    """A command to be sent now, and which attempt it is. Its repr shows no secret."""

    row_id: int
    meter_id: bytes
    command_id: int
    code: int
    args: bytes
    wrapped: bytes | None
    secret_bytes: int
    attempts: int

    def __repr__(self) -> str:
        return f"Sending({self.row_id})"

    def message(self, keeper: Registry, now_s: int) -> messages.Command:
        """What the meter is to hear: with its secret, and with the time of this sending."""
        args = tuple(cbor.decode(self.args))
        if self.code == messages.COMMAND_SET_CLOCK:
            args = (now_s,)
        if self.wrapped is not None:
            hidden = Hidden(self.wrapped, self.secret_bytes)
            args += (reveal(keeper, self.meter_id, self.code, hidden),)
        return messages.Command(self.command_id, self.code, args)


def note_sent(connection: sqlite3.Connection, row_id: int, now_s: int) -> Sending:
    """Write down that it is sent, before it is: what was begun is known after a crash."""
    row = connection.execute(
        "UPDATE command SET state = 'sent', sent_s = ?, attempts = attempts + 1 WHERE id = ?"
        " RETURNING id, meter_id, command_id, code, args, wrapped,"
        " coalesce(secret_bytes, 0), attempts",
        (now_s, row_id),
    ).fetchone()
    return Sending(*row)


def note_result(
    connection: sqlite3.Connection, meter_id: bytes, result: messages.Result, now_s: int
) -> bool:
    """Mark the command that a meter answered. False: this gateway never gave such an id."""
    row = connection.execute(
        "SELECT id, state FROM command WHERE meter_id = ? AND command_id = ?",
        (meter_id, result.command_id),
    ).fetchone()
    if row is None:
        return False
    event = f"result {_BY_RESULT.get(result.code, FAILED)}"
    if (row[1], event) in TABLE:
        end(connection, row[0], event, now_s, code=result.code, detail=result.detail)
    return True


def end(
    connection: sqlite3.Connection,
    row_id: int,
    event: str,
    now_s: int,
    *,
    code: int | None = None,
    detail: bytes = b"",
) -> None:
    """Move a command to a state it does not leave by itself; lets go what is needed no more."""
    meter_id, was, kind, bundle_id = connection.execute(
        "SELECT meter_id, state, code, bundle_id FROM command WHERE id = ?", (row_id,)
    ).fetchone()
    state = TABLE[was, event]
    connection.execute(
        "UPDATE command SET state = ?, ended_s = ?, result_code = ?, detail = ? WHERE id = ?",
        (state, now_s, code, detail, row_id),
    )
    if state == DONE:
        connection.execute("UPDATE command SET wrapped = NULL WHERE id = ?", (row_id,))
    if kind == messages.COMMAND_UPDATE_CHUNK:  # its maker has the bytes
        connection.execute("UPDATE command SET args = x'80' WHERE id = ?", (row_id,))
    if state != DONE and bundle_id is not None:
        _stop_bundle(connection, bundle_id, meter_id, row_id, now_s)


def _stop_bundle(
    connection: sqlite3.Connection, bundle_id: int, meter_id: bytes, row_id: int, now_s: int
) -> None:
    """What comes after a failure in a bundle that stops is not sent to this meter."""
    connection.execute(
        "UPDATE command SET state = 'cancelled', ended_s = ?, detail = ?"
        " WHERE bundle_id = ? AND meter_id = ? AND id > ? AND state = 'queued'"
        " AND (SELECT on_failure FROM bundle WHERE id = bundle_id) = 'stop'",
        (now_s, BUNDLE_STOPPED, bundle_id, meter_id, row_id),
    )


def expire(connection: sqlite3.Connection, now_s: int, rows_max: int) -> list[bytes]:
    """End what is past its time, whether its meter is there or not; the meters concerned."""
    rows = connection.execute(
        "SELECT id, meter_id FROM command WHERE state IN ('queued', 'sent') AND expires_s <= ?"
        " ORDER BY expires_s LIMIT ?",
        (now_s, rows_max),
    ).fetchall()
    for row_id, _ in rows:
        still = connection.execute("SELECT state FROM command WHERE id = ?", (row_id,)).fetchone()
        if (still[0], "expire") in TABLE:  # not stopped with its bundle a moment ago
            end(connection, row_id, "expire", now_s)
    return [meter_id for _, meter_id in rows]


def prune(connection: sqlite3.Connection, now_s: int, rows_max: int) -> int:
    """Forget commands that ended long ago; how many."""
    forgotten = 0
    for only, kept_s in (("", KEPT_S), (" AND code = 8", PIECES_KEPT_S)):  # 8: update_chunk
        forgotten += connection.execute(
            "DELETE FROM command WHERE id IN"  # noqa: S608  (our own words)
            f" (SELECT id FROM command WHERE ended_s <= ?{only} LIMIT ?)",
            (now_s - kept_s, rows_max),
        ).rowcount
    return forgotten


# ------------------------------------------------------------------ what is shown


def rows(
    connection: sqlite3.Connection,
    meter_id: bytes | None = None,
    state: str | None = None,
    limit: int = 100,
    *,
    bundle_id: int | None = None,
    row_id: int | None = None,
) -> list[dict[str, Any]]:
    """Commands as people and programs read them, newest first; never a secret."""
    found = connection.execute(
        "SELECT id, meter_id, command_id, code, args, secret_bytes IS NOT NULL, state, queued_s,"
        " not_before_s, expires_s, sent_s, ended_s, attempts, result_code, detail, actor,"
        " bundle_id, origin, retried_as FROM command WHERE (?1 IS NULL OR meter_id = ?1)"
        " AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR bundle_id = ?3)"
        " AND (?4 IS NULL OR id = ?4) ORDER BY id DESC LIMIT ?5",
        (meter_id, state, bundle_id, row_id, min(limit, ROWS_MAX)),
    )
    return [_shown(row) for row in found]


def _shown(row: tuple[Any, ...]) -> dict[str, Any]:
    args: list[Any] = [
        arg.hex() if isinstance(arg, bytes) else arg for arg in cbor.decode(bytes(row[4]))
    ]
    detail = bytes(row[14] or b"")
    text = detail.decode("ascii", "replace")
    if row[3] == messages.COMMAND_READ_PROFILE and row[6] == DONE and len(detail) == 4:
        text = f"{int.from_bytes(detail, 'big')} intervals held"
    elif not text.isprintable() or "\ufffd" in text:
        text = detail.hex()
    return {
        "id": row[0], "meter_id": row[1].hex(), "command_id": row[2], "command": NAMES[row[3]],
        "args": [*args, "hidden"] if row[5] else args, "state": row[6], "queued_s": row[7],
        "not_before_s": row[8], "expires_s": row[9], "sent_s": row[10], "ended_s": row[11],
        "attempts": row[12], "result_code": row[13], "detail": text, "actor": row[15],
        "bundle_id": row[16], "origin": row[17], "retried_as": row[18],
    }  # fmt: skip
