"""Tells the running gateway what was administered meanwhile, by reading the audit log on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence

import structlog

from gateway import audit
from gateway.errors import StoreError
from gateway.listener import Listener
from gateway.store import Store

LOOK_S = 1.0  # how long an act of the command line may go unnoticed

log = structlog.get_logger()


class News:
    """Looks for new acts and hands each to every listener, in order."""

    def __init__(self, store: Store, listeners: Sequence[Listener], look_s: float = LOOK_S) -> None:
        self._store, self._listeners, self._look_s = store, listeners, look_s
        self._seen = 0

    async def start(self) -> None:
        """What was done before the start is in the database already."""
        self._seen = await self._store.run(_newest)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._look_s)
            await self.look()

    async def look(self) -> None:
        """Hand on what is new now."""
        seen = self._seen
        try:
            acts = await self._store.run(lambda connection: audit.since(connection, seen))
        except StoreError as error:
            log.error("news_not_read", error=str(error))
            return
        for act in acts:
            self._seen = act.act_id
            for listener in self._listeners:
                listener.acted(act)


def _newest(connection: sqlite3.Connection) -> int:
    newest: int = connection.execute("SELECT coalesce(max(id), 0) FROM audit").fetchone()[0]
    return newest
