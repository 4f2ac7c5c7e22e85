"""Roll-outs in the database: begun, paused, resumed, stopped; and how far each one is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from gateway import audit
from gateway.downlink import commands
from gateway.errors import CommandRefused, UsageError
from gateway.rollout import waves

METERS_AT_ONCE_MAX = 10_000
DAY_S = 86_400
SOAK_S_MAX = 90 * DAY_S
CONFIRM_S_MIN, CONFIRM_S_MAX = 60, 30 * DAY_S
PATIENCE_S_MIN, PATIENCE_S_MAX = 60, 365 * DAY_S

ENROLL_METERS = 2000  # entered in one transaction, a tenth of a second
START_METERS_MAX = 20_000  # ... when somebody else's transaction has to take them all
NOT_BEGUN = "not begun"  # why a draft was stopped
GATEWAY = "gateway"  # the actor of what a roll-out does by itself

ACTIVE = "('waiting', 'sending', 'restarting')"  # states of a meter that has no outcome yet
_COLUMNS = (
    "id", "update_id", "version", "state", "reason", "wave", "stop_after", "at_once", "soak_s",
    "confirm_s", "patience_s", "actor", "started_s", "paused_s", "ended_s",
)  # fmt: skip
# A meter's state as people see it: who waited when a roll-out was stopped, waits no more.
_SHOWN = "CASE WHEN m.state = 'waiting' AND r.state = 'stopped' THEN 'stopped' ELSE m.state END"

Act = Callable[[Callable[[sqlite3.Connection], Any]], Any]  # does it in one transaction


class Plan(NamedTuple):
    """How an update is rolled out."""

    waves: tuple[str, ...] = ("1", "1%", "10%", "100%")
    stop_after: str = "1"  # failures: a number, or a share of the meters begun
    at_once: int = 20  # meters that are sent pieces at the same time
    soak_s: int = 3600  # from a wave's last outcome to the next wave
    confirm_s: int = 4 * 3600  # a trial is three starts of an hour each: firmware/update.py
    patience_s: int = 7 * DAY_S  # for a wave's meters to be heard and to take every piece


class Ongoing(NamedTuple):
    """A row of table rollout."""

    rollout_id: int
    update_id: int
    version: str
    state: str
    reason: str
    wave: int
    stop_after: str
    at_once: int
    soak_s: int
    confirm_s: int
    patience_s: int
    actor: str
    started_s: int
    paused_s: int | None
    ended_s: int | None

    @property
    def origin(self) -> str:
        """What its commands bear in table command."""
        return f"rollout:{self.rollout_id}"


def start(
    connection: sqlite3.Connection,
    update_id: int,
    meters: Sequence[bytes],
    plan: Plan,
    actor: str,
    now_s: int,
) -> int:
    """As `start_in_pieces`, in the caller's one transaction; so not for very many meters."""
    if len(meters) > START_METERS_MAX:
        raise UsageError(
            f"{len(meters)} meters at once would keep frames waiting: `gateway update start` enters"
            f" them in pieces; or choose at most {START_METERS_MAX}"
        )
    return start_in_pieces(lambda work: work(connection), update_id, meters, plan, actor, now_s)


def start_in_pieces(
    act: Act,
    update_id: int,
    meters: Sequence[bytes],
    plan: Plan,
    actor: str,
    now_s: int,
) -> int:
    """Begin a roll-out to these meters, in this order; returns its number. Raises UsageError.

    In many small transactions, because frames wait for each; until the last it is a draft.
    """
    if not meters:
        raise UsageError("no meter to update: none is selected, or all run it already")
    _check(plan)
    sizes = waves.cut(plan.waves, len(meters))
    rollout_id: int = act(
        lambda connection: _draft(connection, update_id, plan, sizes, actor, now_s)
    )
    try:
        for wave, chunk in _chunks(meters, sizes):
            act(partial(_enroll, rollout_id=rollout_id, wave=wave, meters=chunk, now_s=now_s))
    except UsageError:
        act(lambda connection: stop(connection, rollout_id, actor, NOT_BEGUN, now_s))
        raise
    act(lambda connection: _go(connection, rollout_id, sizes, actor, now_s))
    return rollout_id


def _draft(
    connection: sqlite3.Connection,
    update_id: int,
    plan: Plan,
    sizes: list[int],
    actor: str,
    now_s: int,
) -> int:
    row = connection.execute(
        "SELECT version FROM update_bundle WHERE update_id = ?", (update_id,)
    ).fetchone()
    if row is None:
        raise UsageError(f"no update {update_id}; `gateway update list` shows them")
    rollout_id = connection.execute(
        "INSERT INTO rollout (update_id, version, state, stop_after, at_once, soak_s, confirm_s,"
        " patience_s, actor, started_s) VALUES (?, ?, 'draft', ?, ?, ?, ?, ?, ?, ?)",
        (update_id, row[0], plan.stop_after, plan.at_once, plan.soak_s, plan.confirm_s,
         plan.patience_s, actor, now_s),
    ).lastrowid  # fmt: skip
    assert rollout_id is not None
    connection.executemany(
        "INSERT INTO rollout_wave (rollout_id, wave, meters) VALUES (?, ?, ?)",
        [(rollout_id, wave, size) for wave, size in enumerate(sizes)],
    )
    return rollout_id


def _chunks(meters: Sequence[bytes], sizes: list[int]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Yields waves with some of their meters."""
    at = 0
    for wave, size in enumerate(sizes):
        for first in range(at, at + size, ENROLL_METERS):
            yield wave, meters[first : min(first + ENROLL_METERS, at + size)]
        at += size


def _enroll(
    connection: sqlite3.Connection,
    rollout_id: int,
    wave: int,
    meters: Sequence[bytes],
    now_s: int,
) -> None:
    for meter_id in meters:
        other = busy_in(connection, meter_id)
        if other is not None:
            raise UsageError(
                f"meter {meter_id.hex()} is in roll-out {other}; stop that one, or wait"
            )
        connection.execute(
            "INSERT INTO rollout_meter (rollout_id, meter_id, wave, state, changed_s)"
            " VALUES (?, ?, ?, 'waiting', ?)",
            (rollout_id, meter_id, wave, now_s),
        )


def _go(
    connection: sqlite3.Connection, rollout_id: int, sizes: list[int], actor: str, now_s: int
) -> None:
    ongoing = _in_state(connection, rollout_id, "draft")
    connection.execute("UPDATE rollout SET state = 'running' WHERE id = ?", (rollout_id,))
    detail: dict[str, object] = {
        "update_id": ongoing.update_id, "version": ongoing.version, "waves": sizes,
    }  # fmt: skip
    audit.record(connection, actor, "rollout.start", str(rollout_id), detail, now_s)


def busy_in(connection: sqlite3.Connection, meter_id: bytes) -> int | None:
    """The roll-out that has this meter now: one that may send to it, or watches its restart."""
    row = connection.execute(
        "SELECT m.rollout_id FROM rollout_meter m JOIN rollout r ON r.id = m.rollout_id"
        " WHERE m.meter_id = ? AND (m.state IN ('sending', 'restarting')"
        " OR m.state = 'waiting' AND r.state IN ('draft', 'running', 'paused'))",
        (meter_id,),
    ).fetchone()
    return row[0] if row else None


def pause(connection: sqlite3.Connection, rollout_id: int, actor: str, now_s: int) -> None:
    """No further piece is queued; what a meter holds already, it keeps. Raises UsageError."""
    _in_state(connection, rollout_id, "running")
    connection.execute(
        "UPDATE rollout SET state = 'paused', paused_s = ? WHERE id = ?", (now_s, rollout_id)
    )
    audit.record(connection, actor, "rollout.pause", str(rollout_id), {}, now_s)


def resume(connection: sqlite3.Connection, rollout_id: int, actor: str, now_s: int) -> None:
    """Go on; the wave's patience is longer by the pause. Raises UsageError."""
    ongoing = _in_state(connection, rollout_id, "paused")
    assert ongoing.paused_s is not None
    connection.execute(
        "UPDATE rollout SET state = 'running', paused_s = NULL WHERE id = ?", (rollout_id,)
    )
    connection.execute(
        "UPDATE rollout_wave SET began_s = began_s + ? WHERE rollout_id = ? AND wave = ?",
        (max(0, now_s - ongoing.paused_s), rollout_id, ongoing.wave),
    )
    audit.record(connection, actor, "rollout.resume", str(rollout_id), {}, now_s)


def stop(
    connection: sqlite3.Connection, rollout_id: int, actor: str, reason: str, now_s: int
) -> None:
    """End it for good. A meter that restarts already is still watched. Raises UsageError."""
    ongoing = _in_state(connection, rollout_id, "draft", "running", "paused")
    under_way = connection.execute(
        "SELECT c.id FROM rollout_meter m JOIN command c ON c.id = m.command"
        " WHERE m.rollout_id = ? AND m.state = 'sending' AND c.state IN ('queued', 'sent')",
        (rollout_id,),
    ).fetchall()
    for (row_id,) in under_way:
        cancel(connection, row_id, now_s)
    connection.execute(
        "UPDATE rollout_meter SET state = 'stopped', changed_s = ?"
        " WHERE rollout_id = ? AND state = 'sending'",
        (now_s, rollout_id),
    )
    connection.execute(
        "UPDATE rollout SET state = 'stopped', reason = ?, ended_s = ? WHERE id = ?",
        (reason, now_s, rollout_id),
    )
    detail: dict[str, object] = {"reason": reason, "wave": ongoing.wave}
    audit.record(connection, actor, "rollout.stop", str(rollout_id), detail, now_s)


def cancel(connection: sqlite3.Connection, row_id: int, now_s: int) -> None:
    """Take a piece back, if the meter has not answered it yet."""
    try:
        commands.cancel(connection, row_id, GATEWAY, now_s)
    except CommandRefused:
        return  # it ended meanwhile: its result says the rest


def ongoing(connection: sqlite3.Connection, rollout_id: int) -> Ongoing | None:
    """One roll-out; None when there is none of this number."""
    row = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM rollout WHERE id = ?",  # noqa: S608  (our own names)
        (rollout_id,),
    ).fetchone()
    return Ongoing(*row) if row else None


def _in_state(connection: sqlite3.Connection, rollout_id: int, *states: str) -> Ongoing:
    found = ongoing(connection, rollout_id)
    if found is None:
        raise UsageError(f"no roll-out {rollout_id}; `gateway update status` shows them")
    if found.state not in states:
        raise UsageError(f"roll-out {rollout_id} is {found.state}; nothing was changed")
    return found


def _check(plan: Plan) -> None:
    for name, value, low, high in (
        ("--at-once", plan.at_once, 1, METERS_AT_ONCE_MAX),
        ("--soak", plan.soak_s, 0, SOAK_S_MAX),
        ("--confirm", plan.confirm_s, CONFIRM_S_MIN, CONFIRM_S_MAX),
        ("--patience", plan.patience_s, PATIENCE_S_MIN, PATIENCE_S_MAX),
    ):
        if not low <= value <= high:
            raise UsageError(f"{name}: {value} is not from {low} to {high}")


def rows(connection: sqlite3.Connection, rollout_id: int | None = None) -> list[dict[str, Any]]:
    """Roll-outs, newest first, each with its waves and how many of its meters are in each state."""
    found = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM rollout"  # noqa: S608  (our own names)
        " WHERE ?1 IS NULL OR id = ?1 ORDER BY id DESC",
        (rollout_id,),
    )
    rollouts = []
    for row in found.fetchall():
        rollout = dict(zip(_COLUMNS, row, strict=True))
        rollout["waves"] = _waves(connection, row[0])
        rollouts.append(rollout)
    return rollouts


def _waves(connection: sqlite3.Connection, rollout_id: int) -> list[dict[str, Any]]:
    names = ("wave", "meters", "began_s", "settled_s")
    found = [
        dict(zip(names, row, strict=True))
        for row in connection.execute(
            "SELECT wave, meters, began_s, settled_s FROM rollout_wave WHERE rollout_id = ?"
            " ORDER BY wave",
            (rollout_id,),
        )
    ]
    for wave, state, meters in connection.execute(
        f"SELECT m.wave, {_SHOWN}, count(*) FROM rollout_meter m JOIN rollout r"  # noqa: S608  (ours)
        " ON r.id = m.rollout_id WHERE m.rollout_id = ? GROUP BY m.wave, m.state",
        (rollout_id,),
    ):
        states = found[wave].setdefault("states", {})
        states[state] = states.get(state, 0) + meters
    return found


def meters(
    connection: sqlite3.Connection, rollout_id: int, limit: int = 1000
) -> list[dict[str, object]]:
    """How far each meter is: those with an outcome to look at first, the waiting ones last."""
    names = ("meter_id", "wave", "state", "reason", "wanted", "pieces", "changed_s", "version")
    found = connection.execute(
        f"SELECT hex(m.meter_id), m.wave, {_SHOWN}, m.reason, wanted, pieces,"  # noqa: S608  (ours)
        " changed_s, a.version FROM rollout_meter m JOIN rollout r ON r.id = m.rollout_id"
        " LEFT JOIN application a ON a.meter_id = m.meter_id WHERE rollout_id = ?"
        " ORDER BY m.state <> 'failed', m.wave, m.state = 'waiting', m.meter_id"
        " LIMIT ?",
        (rollout_id, limit),
    )
    return [dict(zip(names, (row[0].lower(), *row[1:]), strict=True)) for row in found]
