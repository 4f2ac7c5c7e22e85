"""Reads the journal on behind everything else and keeps the quality of communication up to date."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable

import structlog

from gateway import journal
from gateway.errors import StoreError
from gateway.journal import Row
from gateway.outages import indicators
from gateway.outages.indicators import Days
from gateway.store import Store
from wire.errors import WireError

STEP_ROWS = 200  # of the journal in one step
REST_SHARE = 9  # after a step, a rest so many times as long: at most a tenth of a core
IDLE_S = 5.0  # between looks when there is nothing new
PRUNE_STEPS = 100

log = structlog.get_logger()


class QualityBook:
    """One task with a cursor. `lag` is how many journal rows it was behind at its last step."""

    def __init__(
        self,
        store: Store,
        clock_s: Callable[[], int],
        steady_s: Callable[[], float],
        idle_s: float = IDLE_S,
    ) -> None:
        self._store, self._clock_s, self._steady_s = store, clock_s, steady_s
        self._idle_s = idle_s
        self._steps = 0
        self.lag = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            began = self._steady_s()
            try:
                more = await self.step()
            except StoreError as error:
                log.error("quality_not_written", error=str(error), next="tried again by itself")
                more = False
            took_s = self._steady_s() - began
            await asyncio.sleep(took_s * REST_SHARE if more else self._idle_s)

    async def step(self) -> bool:
        """Take the next rows of the journal; says whether there may be more."""
        rows, newest = await self._store.run(_read)
        if not rows:
            self.lag = 0
            return False
        days = await asyncio.to_thread(gather, rows)
        last_id, now_s = rows[-1].journal_id, self._clock_s()
        self._steps += 1
        prune = self._steps % PRUNE_STEPS == 0

        def write(connection: sqlite3.Connection) -> None:
            days.write(connection)
            connection.execute("UPDATE quality_cursor SET journal_id = ?", (last_id,))
            if prune:
                indicators.prune(connection, now_s)

        await self._store.run(write)
        self.lag = newest - last_id
        return len(rows) == STEP_ROWS


def gather(rows: list[Row]) -> Days:
    """The bits that these rows set."""
    days = Days()
    for row in rows:
        try:
            days.add(row.meter_id, indicators.intervals_of(row))
        except WireError as error:  # what was accepted can be read; then the file is damaged
            log.error("journal_row_unreadable", journal_id=row.journal_id, why=error.reason)
    return days


def cursor_of(connection: sqlite3.Connection) -> int:
    """The last journal row that was counted: what is newer may not be let go yet."""
    journal_id: int = connection.execute("SELECT journal_id FROM quality_cursor").fetchone()[0]
    return journal_id


def _read(connection: sqlite3.Connection) -> tuple[list[Row], int]:
    rows = journal.read_rows(connection, cursor_of(connection), STEP_ROWS)
    return rows, journal.last_id(connection)
