"""For tests of outages: a book on a real database with clocks that are set, channels that bend."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.listener import Said
from gateway.outages.notices import NoticeFailed, Notices, Timing
from gateway.outages.outage_book import OutageBook
from gateway.outages.outage_records import Rules
from gateway.store import Store
from tests.support.gateway import NOW_S, FakeMeter, a_home, a_loaded_meter, a_meter
from wire.messages import Event

A, B, C, D = ALL = tuple(a_meter(number) for number in range(1, 5))


class Clocks:
    """The wall's clock and the steady one; both stand still until told."""

    def __init__(self) -> None:
        self.utc_s, self.steady_s = NOW_S, 5000.0

    def pass_s(self, seconds: int) -> None:
        self.utc_s += seconds
        self.steady_s += seconds

    def utc(self) -> int:
        return self.utc_s

    def steady(self) -> float:
        return self.steady_s


class FakeChannel:
    """Keeps what it is told; `mood` bends the next attempts: a failure to raise, or None."""

    name, events = "webhook", True

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.mood: list[NoticeFailed | None] = []

    async def send(self, notice_id: str, body: dict[str, Any]) -> None:
        failure = self.mood.pop(0) if self.mood else None
        if failure is not None:
            raise failure
        self.heard.append((notice_id, body))


class Bench:
    """A book with its notices, on the database of a home (tests.support.gateway.a_home)."""

    def __init__(self, folder: Path, rules: Rules = Rules()) -> None:  # noqa: B008  (immutable)
        self.folder, self.rules, self.clocks = folder, rules, Clocks()
        self.channel = FakeChannel()
        self.meters: dict[bytes, Any] = {}
        self.deaf = False
        self.open()

    def open(self) -> None:
        self.store = Store(self.folder / "gateway.db")
        self.notices = Notices(
            self.store, [self.channel], self.clocks.utc, lambda: 0.5, Timing(idle_s=0.01)
        )
        self.book = OutageBook(
            self.store, "gw-1", self.rules, self.notices,
            self.clocks.utc, self.clocks.steady, 400, lambda: self.deaf,
        )  # fmt: skip

    async def start(self, *heard: FakeMeter) -> None:
        await self.book.start([meter.meter_id for meter in heard])

    async def restart(self, *heard: FakeMeter) -> None:
        """As after a crash: what was only in memory is gone."""
        self.store.close()
        self.open()
        await self.start(*heard)

    def meter(self, fake: FakeMeter) -> Any:
        found: Any = self.meters.get(fake.meter_id)
        if found is None:
            found = self.meters[fake.meter_id] = a_loaded_meter(fake)
            found.line = object()
        return found

    async def say(self, fake: FakeMeter, *events: Event, heard: bool = True) -> None:
        """These events become durable, as the intake makes them; then what it tells listeners."""
        meter = self.meter(fake)
        said = [Said(meter, 0, 0, self.clocks.utc_s, event) for event in events]

        def write(connection: sqlite3.Connection) -> None:
            self.book.write(connection, said, self.clocks.utc_s)

        await self.store.run(write)
        if heard:
            self.book.committed({meter}, said)

    async def pass_s(self, seconds: int) -> None:
        """Let time go by as it does: with a look at least every 20 seconds."""
        while seconds > 0:
            step = min(seconds, 20)
            self.clocks.pass_s(step)
            await self.book.look()
            seconds -= step

    async def tell_all(self) -> None:
        """Send every notice that is due."""
        while await self.notices.step(self.channel):
            pass

    def rows(self, query: str, *values: Any) -> list[Any]:
        connection = sqlite3.connect(self.folder / "gateway.db", timeout=10)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def close(self) -> None:
        self.store.close()


@contextmanager
def a_bench(folder: Path, rules: Rules = Rules()) -> Iterator[Bench]:  # noqa: B008  (immutable)
    a_home(folder, *ALL)
    bench = Bench(folder, rules)
    try:
        yield bench
    finally:
        bench.close()


def outages(bench: Bench) -> list[tuple[Any, ...]]:
    return bench.rows(
        "SELECT cause, began_s, ended_s, said_by FROM outage WHERE end_why <> 'merged' ORDER BY id"
    )
