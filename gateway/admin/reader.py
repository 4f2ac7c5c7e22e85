"""Looks into the database beside the running gateway, so that no question makes a commit wait."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway import store

READERS_MAX = 4  # at a time; the others wait

T = TypeVar("T")


class Reader:
    """Read-only connections, each in a thread of its own (WAL: readers and the writer go on)."""

    def __init__(self, path: Path, readers_max: int = READERS_MAX) -> None:
        self.path = path
        self._free = asyncio.Semaphore(readers_max)

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` finds in one state of the database. Raises StoreError."""
        async with self._free:
            return await asyncio.to_thread(self._do, work)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = store.connect_read_only(self.path)
        try:
            connection.execute("BEGIN")
            return work(connection)
        except sqlite3.Error as error:
            raise store.explain(error, self.path) from error
        finally:
            connection.close()
