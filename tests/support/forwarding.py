"""For tests of what leaves the gateway: journals to send, a forwarder, a settlement with poison."""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import zstandard
from aiohttp import web

from gateway import journal, store
from gateway.forwarding.attempts import Timing
from gateway.forwarding.forwarder import Forwarder
from tests.support.gateway import NOW_S, TOKEN, FakeMeter, FakeSettlement, a_profile
from wire import batch as wire_batch
from wire import messages

QUICK = Timing(request_s=10.0, base_s=0.01, cap_s=0.05, linger_s=0.01)
IMPATIENT = QUICK._replace(request_s=0.3)  # for a settlement that does not answer


class Crash(BaseException):
    """The process dies here."""


@asynccontextmanager
async def a_forwarder(
    kept: store.Store, url: str, timing: Timing = QUICK
) -> AsyncIterator[Forwarder]:
    forward = Forwarder(kept, "gw-1", url, TOKEN, lambda: NOW_S, lambda: 0.5, timing)
    task = asyncio.create_task(forward.run())
    try:
        yield forward
    finally:
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        assert all(isinstance(r, asyncio.CancelledError | Crash) for r in results), results


def journal_rows(meter: FakeMeter, count: int, **changes: Any) -> list[Any]:
    made = []
    for _ in range(count):
        counter, meter.counter = meter.counter, meter.counter + 1
        message = messages.encode(a_profile(counter + 1, **changes))
        made.append((meter.meter_id, 0, counter, NOW_S, message))
    return made


def append(folder: Path, made: list[Any]) -> None:
    connection = store.connect(folder / "gateway.db")
    store.transact(connection, lambda c: journal.commit(c, journal.Group(NOW_S, rows=made)))
    connection.close()


def states(kept: store.Store) -> list[str]:
    connection = sqlite3.connect(kept.path)
    try:
        return [row[0] for row in connection.execute("SELECT state FROM batch ORDER BY id")]
    finally:
        connection.close()


def with_settlement(
    folder: Path,
    story: Callable[[Any, store.Store], Any],
    settlement: FakeSettlement | None = None,
) -> FakeSettlement:
    """Run a story with a fake settlement and an open store."""
    settlement = settlement or FakeSettlement()

    async def run() -> FakeSettlement:
        kept = store.Store(folder / "gateway.db")
        await settlement.start()
        try:
            await story(settlement, kept)
        finally:
            await settlement.stop()
            kept.close()
        return settlement

    return asyncio.run(run())


class PoisonSettlement(FakeSettlement):
    """Refuses a batch whole, with `status`, while a frame in it is poison; reads `codings` only."""

    def __init__(self, *poison: int, status: int = 400) -> None:
        super().__init__()
        self.poison, self.status = set(poison), status  # frame counters
        self.codings: tuple[str, ...] = ("zstd",)
        self.accept_header: str | None = None
        self.profiles_max = 1000
        self.sizes: list[int] = []  # of every batch seen, in profiles
        self.keys: list[tuple[str, tuple[int, ...]]] = []  # (key, frame counters) of each attempt

    async def _take(self, request: web.Request) -> web.StreamResponse:
        coding, key = request.headers["Content-Encoding"], request.headers["Idempotency-Key"]
        headers = {"Accept-Encoding": self.accept_header} if self.accept_header else {}
        body = await request.read()
        if coding not in self.codings:
            return web.Response(status=415, headers=headers)
        batch = wire_batch.decode(_decoded(body, coding))
        self.sizes.append(len(batch.profiles))
        counters = tuple(profile.frame_counter for profile in batch.profiles)
        self.keys.append((key, counters))
        self.seen.append((key, body))
        if len(batch.profiles) > self.profiles_max:
            return web.Response(status=413)
        if key not in self.taken and self.poison & set(counters):
            return web.Response(status=self.status)
        fresh = key not in self.taken
        self.taken[key] = batch
        count = len(counters)
        answer = wire_batch.Answer(count, 0, []) if fresh else wire_batch.Answer(0, count, [])
        return web.Response(body=wire_batch.encode_answer(answer), headers=headers)


def _decoded(body: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.decompress(body)
    return zstandard.ZstdDecompressor().decompress(body, 1 << 24) if coding == "zstd" else body
