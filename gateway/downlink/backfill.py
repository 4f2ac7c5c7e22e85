"""Asks meters for the intervals that are missing, and records those that nobody has any more.

Two kinds are missing. A gap: later intervals came, and a meter that is heard does not send those
before by itself. Given up: the meter says it holds nothing older, because it was receipted once
and our database does not know (a backup was restored), or because its flash ran over; its ring
may still hold them. Each is asked for with read_profile, one request of a meter at a time, ever
more seldom, and is recorded as lost when the meter holds none of it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import structlog

from gateway.downlink import commands
from gateway.downlink.command_args import READ_PROFILE_MAX
from gateway.errors import CommandRefused, StoreError
from gateway.intervals import Intervals
from gateway.listener import Listener, Said
from gateway.meter import Meter
from gateway.store import Store
from wire import messages

GAP_OPEN_S = 600  # meters close most gaps by themselves, sending again what is not receipted
LOOK_S = 5.0
ASK_AGAIN_S = 3600  # doubled with each time
ASKED_MAX = 5  # then it counts as lost
REQUEST_EXPIRY_S = 86_400
REQUESTS_MAX = 200  # in one look
PIECES_MAX = 4  # of READ_PROFILE_MAX, the newest: no meter's ring holds four months
ROWS_OF_A_METER_MAX = 256
ORIGIN = "backfill"
GAP, GIVEN_UP = "gap", "given_up"

log = structlog.get_logger()


class Missing(NamedTuple):
    """Intervals first .. last, both inclusive."""

    first: int
    last: int
    kind: str


def first_gap(intervals: Intervals) -> Missing | None:
    """The oldest gap before intervals that came, as much of it as one command asks for (pure)."""
    if not intervals.islands:
        return None
    first = intervals.upto + 1
    last = intervals.islands[0][0] - 1
    return Missing(first, min(last, first + READ_PROFILE_MAX - 1), GAP)


def pieces(first: int, last: int) -> tuple[list[Missing], Missing | None]:
    """What was given up, cut for commands, and what is too old to be asked for (pure)."""
    found: list[Missing] = []
    while first <= last and len(found) < PIECES_MAX:
        low = max(first, last - READ_PROFILE_MAX + 1)
        found.append(Missing(low, last, GIVEN_UP))
        last = low - 1
    return found, Missing(first, last, GIVEN_UP) if first <= last else None


class Backfill(Listener):
    """Watches the meters whose progress has gaps; everything asked is in table `backfill`."""

    def __init__(
        self, store: Store, wake: Callable[[bytes], None], clock_s: Callable[[], int]
    ) -> None:
        self._store, self._wake, self._clock_s = store, wake, clock_s
        self._look: set[Meter] = set()  # whose progress is to be looked at
        self._since: dict[Meter, tuple[int, int]] = {}  # first missing, and since when it is seen

    def committed(self, meters: Collection[Meter], said: list[Said]) -> None:
        """Remember who has gaps now."""
        for meter in meters:
            if meter.progress.intervals.islands or given_up(meter.progress.intervals):
                self._look.add(meter)

    def write(self, connection: sqlite3.Connection, said: list[Said], now_s: int) -> None:
        """Take the answers to what was asked; Downlink has marked the commands already."""
        for one in said:
            if type(one.message) is messages.Result and one.message.code == messages.RESULT_DONE:
                _note_answer(connection, one.meter.meter_id, one.message, now_s)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Write down what is missing, and ask for what is due."""
        now_s = self._clock_s()
        noted = [(meter, take_given_up(meter.progress.intervals)) for meter in self._look]
        missing, lost = _cut(noted)
        missing += self._gaps(now_s)
        try:
            asked = await self._store.run(
                lambda connection: _turn(connection, missing, lost, now_s)
            )
        except StoreError as error:
            log.error("backfill_waits", error=str(error), next="it goes on when it writes again")
            for meter, ranges in noted:
                put_back(meter.progress.intervals, ranges)
            return
        for meter_id in asked:
            log.info("backfill_asked", meter_id=meter_id.hex())
            self._wake(meter_id)

    def _gaps(self, now_s: int) -> list[tuple[Meter, Missing]]:
        """Those that have been open for long enough, of meters that were heard meanwhile."""
        found = []
        for meter in list(self._look):
            gap = first_gap(meter.progress.intervals)
            if gap is None:
                self._since.pop(meter, None)
                self._look.discard(meter)
                continue
            first, since_s = self._since.get(meter, (0, 0))
            if first != gap.first or now_s < since_s:
                self._since[meter] = (gap.first, now_s)
            elif now_s - since_s >= GAP_OPEN_S and meter.heard_s > since_s:
                found.append((meter, gap))
        return found


def _cut(
    noted: list[tuple[Meter, list[tuple[int, int]]]],
) -> tuple[list[tuple[Meter, Missing]], list[tuple[Meter, Missing]]]:
    """What to ask for, and what is lost."""
    missing: list[tuple[Meter, Missing]] = []
    lost: list[tuple[Meter, Missing]] = []
    for meter, ranges in noted:
        for first, last in ranges:
            found, too_old = pieces(first, last)
            missing += [(meter, piece) for piece in found]
            lost += [(meter, too_old)] if too_old else []
    return missing, lost


def given_up(intervals: Intervals) -> list[tuple[int, int]]:
    """What was never seen and lies below the meter's oldest interval, as far as it was noted."""
    return list(intervals.given_up)


def take_given_up(intervals: Intervals) -> list[tuple[int, int]]:
    """As given_up, which is empty afterwards."""
    noted = given_up(intervals)
    if noted:
        put_back(intervals, [])
    return noted


def put_back(intervals: Intervals, ranges: list[tuple[int, int]]) -> None:
    """Undo `take_given_up`; with no ranges, empty it."""
    intervals.given_up[:] = ranges + intervals.given_up if ranges else []


# ------------------------------------------------------------------ in the store's thread


def _turn(
    connection: sqlite3.Connection,
    missing: list[tuple[Meter, Missing]],
    lost: list[tuple[Meter, Missing]],
    now_s: int,
) -> list[bytes]:
    for state, found in (("open", missing), ("lost", lost)):
        for meter, one in found:
            _note(connection, meter.meter_id, one, state, now_s)
    for meter, one in missing:
        if one.kind == GAP:
            _close(connection, meter.meter_id, one.first, now_s)
    _free(connection, now_s)
    return _ask(connection, now_s)


def _note(
    connection: sqlite3.Connection, meter_id: bytes, one: Missing, state: str, now_s: int
) -> None:
    connection.execute(
        "INSERT INTO backfill (meter_id, first, last, kind, found_s, next_s, state, ended_s)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?5, ?6, CASE ?6 WHEN 'lost' THEN ?5 END"
        " WHERE (SELECT count(*) FROM backfill WHERE meter_id = ?1) < ?7"
        " ON CONFLICT DO NOTHING",
        (meter_id, one.first, one.last, one.kind, now_s, state, ROWS_OF_A_METER_MAX),
    )


def _close(connection: sqlite3.Connection, meter_id: bytes, upto: int, now_s: int) -> None:
    """Gaps below the oldest one that is left are filled."""
    connection.execute(
        "UPDATE backfill SET state = 'filled', ended_s = ? WHERE meter_id = ? AND first < ?"
        " AND kind = 'gap' AND state = 'open'",
        (now_s, meter_id, upto),
    )


def _free(connection: sqlite3.Connection, now_s: int) -> None:
    """Requests that ended: to be asked again later, or not any more."""
    connection.execute(
        "UPDATE backfill INDEXED BY backfill_open SET row_id = NULL WHERE state = 'open'"
        " AND row_id IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM command WHERE id = row_id AND state IN ('queued', 'sent'))"
    )
    connection.execute(
        "UPDATE backfill INDEXED BY backfill_open SET state = 'lost', ended_s = ?1"
        " WHERE state = 'open' AND row_id IS NULL AND asked >= ?2 AND next_s <= ?1",
        (now_s, ASKED_MAX),
    )


def _ask(connection: sqlite3.Connection, now_s: int) -> list[bytes]:
    """One request for each meter that has none, newest intervals first; the meters asked."""
    due = connection.execute(
        "SELECT meter_id, max(first), last, asked FROM backfill AS b INDEXED BY backfill_open"
        " WHERE state = 'open' AND next_s <= ? AND NOT EXISTS (SELECT 1 FROM backfill AS other"
        " WHERE other.meter_id = b.meter_id AND other.state = 'open' AND other.row_id IS NOT NULL)"
        " GROUP BY meter_id LIMIT ?",
        (now_s, REQUESTS_MAX),
    ).fetchall()
    asked = []
    for meter_id, first, last, times in due:
        row_id: int | None = None
        try:
            row_id = commands.queue(
                connection, meter_id, messages.COMMAND_READ_PROFILE, (first, last - first + 1),
                actor="gateway", now_s=now_s, expires_s=now_s + REQUEST_EXPIRY_S, origin=ORIGIN,
            )  # fmt: skip
            asked.append(meter_id)
        except CommandRefused as refusal:
            log.info("backfill_not_asked", meter_id=meter_id.hex(), reason=refusal.reason)
        connection.execute(
            "UPDATE backfill SET row_id = ?, asked = asked + ?, next_s = ?"
            " WHERE meter_id = ? AND first = ?",
            (row_id, row_id is not None, now_s + (ASK_AGAIN_S << times), meter_id, first),
        )
    return asked


def _note_answer(
    connection: sqlite3.Connection, meter_id: bytes, result: messages.Result, now_s: int
) -> None:
    """The meter said how many it holds: the newest of them, for its ring forgets the oldest."""
    row = connection.execute(
        "SELECT b.first, b.last, b.kind FROM command AS c JOIN backfill AS b ON b.row_id = c.id"
        " AND b.meter_id = c.meter_id WHERE c.meter_id = ? AND c.command_id = ?"
        " AND b.state = 'open'",
        (meter_id, result.command_id),
    ).fetchone()
    if row is None or len(result.detail) != 4:
        return
    first, last, kind = row
    held = min(int.from_bytes(result.detail, "big"), last - first + 1)
    if held and kind == GAP:
        return  # whether they come shows in the meter's progress
    where = (now_s, meter_id, first)
    if not held:
        change = "UPDATE backfill SET state = 'lost', ended_s = ?, row_id = NULL"
        log.warning("intervals_lost", meter_id=meter_id.hex(), first=first, last=last)
    else:
        change = "UPDATE backfill SET state = 'filled', ended_s = ?, row_id = NULL"
        if held < last - first + 1:
            connection.execute(
                "UPDATE backfill SET last = ? WHERE meter_id = ? AND first = ?",
                (last - held, meter_id, first),
            )
            change = change.replace("filled", "lost")
            there = Missing(last - held + 1, last, kind)
            _note(connection, meter_id, there, "filled", now_s)
    connection.execute(f"{change} WHERE meter_id = ? AND first = ?", where)


def rows(
    connection: sqlite3.Connection, meter_id: bytes | None = None, state: str | None = None
) -> list[dict[str, Any]]:
    """What was or is missing, for people and programs; state: open, filled or lost."""
    return [
        {
            "meter_id": row[0].hex(), "first": row[1], "last": row[2], "kind": row[3],
            "found_s": row[4], "asked": row[5], "state": row[6], "ended_s": row[7],
        }
        for row in connection.execute(
            "SELECT meter_id, first, last, kind, found_s, asked, state, ended_s FROM backfill"
            " WHERE (?1 IS NULL OR meter_id = ?1) AND (?2 IS NULL OR state = ?2)"
            " ORDER BY meter_id, first LIMIT 10000",
            (meter_id, state),
        )
    ]  # fmt: skip
