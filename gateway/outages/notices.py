"""The queue of notices: durable, at least once, in order for each subject, tried until too old."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import structlog

from gateway.errors import StoreError
from gateway.outages import notice_text
from gateway.outages.meter_events import Kept
from gateway.outages.notice_text import Notice
from gateway.store import Store

EXPIRES_S = 86_400  # older news help nobody
WAITING_MAX = 2000  # of one channel; beyond it the oldest is displaced
KEPT_S = 30 * 86_400  # what became of a notice can be looked up so long
PRUNE_ROWS = 1000
EVENTS_A_NOTICE = 100
ATTEMPT_S = 30.0
BACKOFF_BASE_S, BACKOFF_CAP_S = 2, 300
IDLE_S = 1.0
LIST_ROWS_MAX = 1000

WAITING, SENT, REFUSED = "waiting", "sent", "refused"
EXPIRED, DISPLACED = "expired", "displaced"

log = structlog.get_logger()


class NoticeFailed(Exception):
    """An attempt failed; `forever` when no other attempt can succeed."""

    def __init__(self, why: str, *, forever: bool = False) -> None:
        super().__init__(why)
        self.why, self.forever = why, forever


class Channel(Protocol):
    """A way to tell somebody."""

    name: str
    events: bool  # whether events of meters go there, beside outages

    async def send(self, notice_id: str, body: dict[str, object]) -> None:
        """Raises NoticeFailed."""


class Waiting(NamedTuple):
    """A notice whose turn it is."""

    row_id: int
    notice_id: str
    body: str
    created_s: int
    attempts: int


class Timing(NamedTuple):
    """How long to wait, in seconds; tests shorten it."""

    attempt_s: float = ATTEMPT_S
    idle_s: float = IDLE_S
    base_s: int = BACKOFF_BASE_S
    cap_s: int = BACKOFF_CAP_S


def backoff_s(attempts: int, chance: float, timing: Timing) -> int:
    """Full jitter, whole seconds from 1 to the cap; `chance` is in [0, 1), attempts from 1."""
    bound: int = min(timing.cap_s, timing.base_s << min(attempts - 1, 32))
    return max(1, round(chance * bound))


class Notices:
    """Puts notices into the queue, in the caller's transaction; one task sends for each channel."""

    def __init__(
        self,
        store: Store,
        channels: Sequence[Channel],
        clock_s: Callable[[], int],
        chance: Callable[[], float],
        timing: Timing = Timing(),
    ) -> None:
        self._store, self.channels, self._timing = store, channels, timing
        self._clock_s, self._chance = clock_s, chance
        self.ended: dict[str, int] = dict.fromkeys((SENT, REFUSED, EXPIRED, DISPLACED), 0)

    def queue(self, connection: sqlite3.Connection, notice: Notice, now_s: int) -> None:
        """For every channel. What is queued already, under its id, is not queued again."""
        for channel in self.channels:
            self._put(connection, channel.name, notice, now_s)

    def forward(
        self, connection: sqlite3.Connection, gateway_id: str, events: Sequence[Kept], now_s: int
    ) -> None:
        """Hand events of meters on to the channels that take them."""
        names = [channel.name for channel in self.channels if channel.events]
        for start in range(0, len(events) if names else 0, EVENTS_A_NOTICE):
            notice = notice_text.of_events(gateway_id, events[start : start + EVENTS_A_NOTICE])
            for name in names:
                self._put(connection, name, notice, now_s)

    def _put(
        self, connection: sqlite3.Connection, channel: str, notice: Notice, now_s: int
    ) -> None:
        connection.execute(
            "INSERT OR IGNORE INTO notice (channel, subject, notice_id, body, created_s, due_s)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
            (channel, notice.subject, notice.notice_id, json.dumps(notice.body), now_s),
        )
        self.ended[DISPLACED] += connection.execute(
            "UPDATE notice SET state = 'displaced', ended_s = ?1, why = 'queue full' WHERE id IN"
            " (SELECT id FROM notice WHERE channel = ?2 AND state = 'waiting'"
            "  ORDER BY id DESC LIMIT -1 OFFSET ?3)",
            (now_s, channel, WAITING_MAX),
        ).rowcount

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for channel in self.channels:
                group.create_task(self._run(channel))

    async def _run(self, channel: Channel) -> None:
        while True:
            try:
                sent = await self.step(channel)
            except StoreError as error:
                log.error("notices_not_read", channel=channel.name, error=str(error))
                sent = False
            if not sent:
                await asyncio.sleep(self._timing.idle_s)

    async def step(self, channel: Channel) -> bool:
        """Try the next notice that is due; False when there is none."""
        now_s, cap_s = self._clock_s(), self._timing.cap_s
        waiting = await self._store.run(lambda c: next_due(c, channel.name, now_s, cap_s))
        if waiting is None:
            return False
        state, why = SENT, ""
        if abs(now_s - waiting.created_s) > EXPIRES_S:
            state, why = EXPIRED, "too old, or the clock jumped"
        else:
            try:
                async with asyncio.timeout(self._timing.attempt_s):
                    await channel.send(waiting.notice_id, json.loads(waiting.body))
            except TimeoutError:
                state, why = WAITING, f"no answer within {self._timing.attempt_s:g} s"
            except NoticeFailed as failure:
                state, why = REFUSED if failure.forever else WAITING, failure.why
        await self._note(channel, waiting, state, why)
        return True

    async def _note(self, channel: Channel, waiting: Waiting, state: str, why: str) -> None:
        now_s = self._clock_s()
        attempts = waiting.attempts + 1
        due_s = now_s + backoff_s(attempts, self._chance(), self._timing)
        ended_s = None if state == WAITING else now_s
        values = (state, attempts, due_s, ended_s, why, waiting.row_id)
        await self._store.run(
            lambda connection: connection.execute(
                "UPDATE notice SET state = ?, attempts = ?, due_s = ?, ended_s = ?, why = ?"
                " WHERE id = ? AND state = 'waiting'",
                values,
            )
        )
        if state == WAITING:
            log.warning(
                "notice_waits", channel=channel.name, notice_id=waiting.notice_id, why=why,
                attempts=attempts, wait_s=due_s - now_s,
            )  # fmt: skip
            return
        self.ended[state] += 1
        if state != SENT:
            log.error("notice_" + state, channel=channel.name, id=waiting.notice_id, why=why)


def next_due(
    connection: sqlite3.Connection, channel: str, now_s: int, cap_s: int
) -> Waiting | None:
    """The oldest notice that is due and has none of its subject before it.

    One that is due later than any back-off could have made it saw a clock that jumped.
    """
    row = connection.execute(
        "SELECT id, notice_id, body, created_s, attempts FROM notice AS n WHERE channel = ?1"
        " AND state = 'waiting' AND (due_s <= ?2 OR due_s > ?2 + ?3) AND NOT EXISTS"
        " (SELECT 1 FROM notice AS e WHERE e.channel = ?1 AND e.state = 'waiting'"
        "  AND e.subject = n.subject AND e.id < n.id) ORDER BY id LIMIT 1",
        (channel, now_s, cap_s),
    ).fetchone()
    return Waiting(*row) if row is not None else None


def rows(
    connection: sqlite3.Connection, state: str | None = None, limit: int = 100
) -> list[dict[str, object]]:
    """The newest notices and what became of them."""
    names = ("id", "channel", "notice_id", "state", "attempts", "created_s", "ended_s", "why")
    return [
        dict(zip(names, row, strict=True))
        for row in connection.execute(
            "SELECT id, channel, notice_id, state, attempts, created_s, ended_s, why FROM notice"
            " WHERE ?1 IS NULL OR state = ?1 ORDER BY id DESC LIMIT ?2",
            (state, min(limit, LIST_ROWS_MAX)),
        )
    ]


def prune(connection: sqlite3.Connection, now_s: int) -> None:
    """Delete some notices that ended long ago."""
    connection.execute(
        "DELETE FROM notice WHERE id IN (SELECT id FROM notice WHERE state <> 'waiting'"
        " AND ended_s < ? ORDER BY id LIMIT ?)",
        (now_s - KEPT_S, PRUNE_ROWS),
    )


def waiting_by_channel(connection: sqlite3.Connection) -> Mapping[str, int]:
    """How many notices wait, for metrics."""
    return dict(
        connection.execute(
            "SELECT channel, count(*) FROM notice WHERE state = 'waiting' GROUP BY channel"
        ).fetchall()
    )
