"""Lets go of what is delivered, published and older than [store] keep_days: a little at a time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable

import structlog

from gateway import journal
from gateway.errors import StoreError
from gateway.forwarding import outbox, parked, publisher
from gateway.outages import quality_book
from gateway.store import Store

EVERY_S = 3600.0
STEP_ROWS_MAX = 200  # of each table in one transaction; the meters wait as long as it takes
STEP_PAUSE_S = 0.1
DAY_S = 86_400

log = structlog.get_logger()


class Pruner:
    """One loop. Nothing that settlement or the publisher still lacks is ever let go."""

    def __init__(
        self,
        store: Store,
        keep_days: int,
        clock_s: Callable[[], int],
        *,
        is_publishing: bool,
        every_s: float = EVERY_S,
    ) -> None:
        self._store, self._keep_s, self._clock_s = store, keep_days * DAY_S, clock_s
        self._is_publishing, self._every_s = is_publishing, every_s

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.look()
            except StoreError as error:
                log.error("not_pruned", error=str(error))

    async def look(self) -> int:
        """Let go of everything that is due, step by step; how many rows that were."""
        before_s = self._clock_s() - self._keep_s
        total = 0
        while True:
            gone = await self._store.run(lambda c: self._step(c, before_s))
            if not gone:
                break
            total += gone
            await asyncio.sleep(STEP_PAUSE_S)
        if total:
            log.info("pruned", rows=total)
        return total

    def _step(self, connection: sqlite3.Connection, before_s: int) -> int:
        up_to_id = outbox.delivered_up_to(connection)
        if self._is_publishing:
            up_to_id = min(up_to_id, publisher.cursor_of(connection))
        up_to_id = min(up_to_id, quality_book.cursor_of(connection))
        gone = journal.prune(connection, before_s, up_to_id, STEP_ROWS_MAX)
        left = journal.read_rows(connection, 0, 1)
        below_id = left[0].journal_id if left else 0
        return (
            gone
            + outbox.prune(connection, before_s, below_id, STEP_ROWS_MAX)
            + parked.prune(connection, before_s, STEP_ROWS_MAX)
        )
