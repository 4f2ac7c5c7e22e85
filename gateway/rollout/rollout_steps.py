"""A look at every roll-out: deadlines, lost pieces, who begins, whether the next wave may."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import NamedTuple

from gateway.rollout import rollout_answers as answers
from gateway.rollout import rollout_book as book
from gateway.rollout import rollout_moves as moves
from gateway.rollout import updates, waves
from gateway.rollout.pieces import Outline, Way

STALL_S = 600  # a meter that took no piece for so long leaves its place to another
ABSENT_MAX = 2000  # meters given up in one look: frames wait for it
CANDIDATES_MAX = 20_000  # waiting meters looked at in one go

NO_CONFIRMATION = "no_confirmation"
NO_ANSWER = "no_answer"  # ... to a piece, as long as the wave's patience lasted
NO_RESULT = "no_result"  # the downlink gave a piece up: sent many times, never answered
NOT_HEARD = "not_heard"
CANCELLED = "cancelled"  # somebody took its piece out of the queue
LEFT = "left"  # revoked or decommissioned meanwhile
TOO_MANY_FAILURES = "too_many_failures"
NOBODY_CONFIRMED = "nobody_confirmed"


# What a piece's end without an answer is for its meter. Who is not there does not speak against
# the application; who is there and does not answer does.
_ENDED = {
    "expired": ("absent", NO_ANSWER),
    "cancelled": ("absent", CANCELLED),
    "failed": ("failed", NO_RESULT),
}


class Step(NamedTuple):
    """What a look did."""

    wake: list[bytes]  # meters with a new piece in their queue
    stopped: list[tuple[int, str]]  # roll-outs that stopped by themselves, and why
    finished: list[int]


def candidates(connection: sqlite3.Connection, after: dict[int, bytes]) -> list[tuple[int, bytes]]:
    """Meters that wait for their turn in the waves under way: (roll-out, meter id), page by page.

    `after` says for each roll-out which meter was the last one looked at; it is kept by the caller.
    """
    found: list[tuple[int, bytes]] = []
    for rollout_id, wave in connection.execute(
        "SELECT id, wave FROM rollout WHERE state = 'running'"
    ).fetchall():
        page = connection.execute(
            "SELECT rollout_id, meter_id FROM rollout_meter INDEXED BY rollout_progress"
            " WHERE rollout_id = ? AND wave = ? AND state = 'waiting' AND meter_id > ?"
            " ORDER BY meter_id LIMIT ?",
            (rollout_id, wave, after.get(rollout_id, b""), CANDIDATES_MAX),
        ).fetchall()
        after[rollout_id] = page[-1][1] if len(page) == CANDIDATES_MAX else b""
        found += page
    return found


def look(
    connection: sqlite3.Connection,
    here: dict[int, list[bytes]],
    left: Collection[bytes],
    now_s: int,
) -> Step:
    """Move every roll-out on. `here`: its candidates that can be reached now."""
    step = Step([], [], [])
    for meter_id in left:
        connection.execute(
            f"UPDATE rollout_meter SET state = 'absent', reason = ?, changed_s = ?"  # noqa: S608  (ours)
            f" WHERE meter_id = ? AND state IN {book.ACTIVE}",
            (LEFT, now_s, meter_id),
        )
    connection.execute(
        "UPDATE rollout_meter SET state = 'failed', reason = ?, due_s = NULL, changed_s = ?"
        " WHERE state = 'restarting' AND due_s <= ?",
        (NO_CONFIRMATION, now_s, now_s),
    )
    for (rollout_id,) in connection.execute(
        "SELECT id FROM rollout WHERE state IN ('running', 'paused')"
    ).fetchall():
        ongoing = book.ongoing(connection, rollout_id)
        assert ongoing is not None
        _one(connection, ongoing, here.get(rollout_id, []), now_s, step)
    return step


def _one(
    connection: sqlite3.Connection,
    ongoing: book.Ongoing,
    here: list[bytes],
    now_s: int,
    step: Step,
) -> None:
    if _has_too_many_failures(connection, ongoing):
        _stop(connection, ongoing, TOO_MANY_FAILURES, now_s, step)
        return
    if ongoing.state == "paused":
        return
    outline = updates.outline(connection, ongoing.update_id)
    assert outline is not None  # an update that a roll-out names cannot be removed
    began_s, settled_s = _wave(connection, ongoing, now_s)
    late = settled_s is None and now_s >= began_s + ongoing.patience_s
    _mend(connection, ongoing, outline, late, now_s, step)
    if late:
        connection.execute(
            "UPDATE rollout_meter SET state = 'absent', reason = ?1, changed_s = ?2"
            " WHERE rollout_id = ?3 AND meter_id IN (SELECT meter_id FROM rollout_meter"
            " INDEXED BY rollout_progress WHERE rollout_id = ?3 AND wave = ?4"
            " AND state = 'waiting' LIMIT ?5)",
            (NOT_HEARD, now_s, ongoing.rollout_id, ongoing.wave, ABSENT_MAX),
        )
    _begin(connection, ongoing, outline, here, now_s, step)
    if _count(connection, ongoing, book.ACTIVE):
        return
    if _has_too_many_failures(connection, ongoing):  # of what was mended just now
        _stop(connection, ongoing, TOO_MANY_FAILURES, now_s, step)
    elif not _count(connection, ongoing, "('confirmed')"):
        _stop(connection, ongoing, NOBODY_CONFIRMED, now_s, step)
    else:
        _after_wave(connection, ongoing, settled_s, now_s, step)


def _wave(
    connection: sqlite3.Connection, ongoing: book.Ongoing, now_s: int
) -> tuple[int, int | None]:
    """When the wave under way began (now, if it did not yet), and when it was settled."""
    connection.execute(
        "UPDATE rollout_wave SET began_s = ? WHERE rollout_id = ? AND wave = ? AND began_s IS NULL",
        (now_s, ongoing.rollout_id, ongoing.wave),
    )
    row: tuple[int, int | None] = connection.execute(
        "SELECT began_s, settled_s FROM rollout_wave WHERE rollout_id = ? AND wave = ?",
        (ongoing.rollout_id, ongoing.wave),
    ).fetchone()
    return row


def _mend(
    connection: sqlite3.Connection,
    ongoing: book.Ongoing,
    outline: Outline,
    late: bool,
    now_s: int,
    step: Step,
) -> None:
    """Meters whose piece is no longer under way: not queued yet, expired, cancelled, or gone."""
    stuck = connection.execute(
        "SELECT m.meter_id, c.id, c.state, c.result_code, c.detail, wanted, pieces, hashes,"
        " flashes, trials FROM rollout_meter m INDEXED BY rollout_progress"
        " LEFT JOIN command c ON c.id = m.command"
        " WHERE m.rollout_id = ? AND m.wave = ? AND m.state = 'sending'"
        " AND (c.id IS NULL OR c.state NOT IN ('queued', 'sent'))",
        (ongoing.rollout_id, ongoing.wave),
    ).fetchall()
    for meter_id, row_id, state, code, detail, *way in stuck:
        if code is not None:  # answered, and we were not there: read it now
            if answers.answer(
                connection, ongoing.rollout_id, row_id, meter_id, code, detail or b"", now_s
            ):
                step.wake.append(meter_id)
        elif state in _ENDED:
            outcome, why = _ENDED[state]
            moves.settle(connection, ongoing.rollout_id, meter_id, outcome, why, now_s)
        elif late:
            moves.settle(connection, ongoing.rollout_id, meter_id, "absent", NO_ANSWER, now_s)
        elif moves.send(connection, ongoing, outline, meter_id, Way(*way), now_s):
            step.wake.append(meter_id)


def _begin(
    connection: sqlite3.Connection,
    ongoing: book.Ongoing,
    outline: Outline,
    here: list[bytes],
    now_s: int,
    step: Step,
) -> None:
    """Let as many meters begin as there are places."""
    busy: int = connection.execute(
        "SELECT count(*) FROM rollout_meter INDEXED BY rollout_progress"
        " WHERE rollout_id = ? AND wave = ? AND state = 'sending' AND changed_s > ?",
        (ongoing.rollout_id, ongoing.wave, now_s - STALL_S),
    ).fetchone()[0]
    for meter_id in here:
        if busy >= ongoing.at_once:
            return
        waits = connection.execute(
            "SELECT 1 FROM rollout_meter WHERE rollout_id = ?1 AND meter_id = ?2 AND wave = ?3"
            " AND state = 'waiting' AND NOT EXISTS (SELECT 1 FROM rollout_meter"
            " WHERE meter_id = ?2 AND state IN ('sending', 'restarting'))",
            (ongoing.rollout_id, meter_id, ongoing.wave),
        ).fetchone()
        if waits and moves.send(connection, ongoing, outline, meter_id, Way(), now_s):
            step.wake.append(meter_id)
            busy += 1


def _after_wave(
    connection: sqlite3.Connection,
    ongoing: book.Ongoing,
    settled_s: int | None,
    now_s: int,
    step: Step,
) -> None:
    """Every meter of the wave has its outcome: soak, then the next wave, or the end."""
    if settled_s is None:
        settled_s = now_s
        connection.execute(
            "UPDATE rollout_wave SET settled_s = ? WHERE rollout_id = ? AND wave = ?",
            (now_s, ongoing.rollout_id, ongoing.wave),
        )
    if now_s < settled_s + ongoing.soak_s:
        return
    more = connection.execute(
        "SELECT 1 FROM rollout_wave WHERE rollout_id = ? AND wave = ?",
        (ongoing.rollout_id, ongoing.wave + 1),
    ).fetchone()
    if more:
        connection.execute("UPDATE rollout SET wave = wave + 1 WHERE id = ?", (ongoing.rollout_id,))
        return
    connection.execute(
        "UPDATE rollout SET state = 'done', ended_s = ? WHERE id = ?", (now_s, ongoing.rollout_id)
    )
    step.finished.append(ongoing.rollout_id)


def _has_too_many_failures(connection: sqlite3.Connection, ongoing: book.Ongoing) -> bool:
    failures: int = connection.execute(
        "SELECT count(*) FROM rollout_meter WHERE rollout_id = ? AND wave <= ?"
        " AND state = 'failed'",
        (ongoing.rollout_id, ongoing.wave),
    ).fetchone()[0]
    begun: int = connection.execute(
        "SELECT sum(meters) FROM rollout_wave WHERE rollout_id = ? AND wave <= ?",
        (ongoing.rollout_id, ongoing.wave),
    ).fetchone()[0]
    return waves.too_many(ongoing.stop_after, failures, begun)


def _count(connection: sqlite3.Connection, ongoing: book.Ongoing, states: str) -> bool:
    """Whether a meter of the wave under way is in one of these states."""
    row = connection.execute(
        f"SELECT 1 FROM rollout_meter WHERE rollout_id = ? AND wave = ?"  # noqa: S608  (ours)
        f" AND state IN {states} LIMIT 1",
        (ongoing.rollout_id, ongoing.wave),
    ).fetchone()
    return row is not None


def _stop(
    connection: sqlite3.Connection, ongoing: book.Ongoing, reason: str, now_s: int, step: Step
) -> None:
    book.stop(connection, ongoing.rollout_id, book.GATEWAY, reason, now_s)
    step.stopped.append((ongoing.rollout_id, reason))
