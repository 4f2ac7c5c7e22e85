"""Readings for backends: at least once, each meter's in order, never past what is committed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import config, journal, store
from gateway.config import Publish
from gateway.errors import ConfigError, PublishLost, PublishRefused, StoreFull
from gateway.forwarding import publisher
from gateway.forwarding.availability import Availability
from gateway.forwarding.publisher import CHUNK_ROWS, LANES_MAX, REFUSED_TRIES, Publisher, Timing
from tests.support.forwarding import append, journal_rows
from tests.support.gateway import FakeMeter, a_home, a_meter, rows, until

QUICK = Timing(linger_s=0.001, refused_s=0.001, failed_s=0.001, tick_s=0.001)
CONFIG = Publish(url="mqtt://127.0.0.1", topic="base")


class FakeClient:
    """A broker that takes what it is given after a turn of the loop; `bend` says otherwise."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Any]] = []
        self.retained: dict[str, bytes] = {}
        self.connected = True
        self.in_flight = self.most_in_flight = 0
        self.bend: Callable[[str, bytes], Awaitable[None]] | None = None

    async def publish(self, topic: str, data: bytes, *, qos: int = 1, retain: bool = False) -> None:
        assert qos == 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            if self.bend is not None:
                await self.bend(topic, data)
            if retain:
                self.retained[topic] = data
            else:
                self.taken.append((topic, json.loads(data)))
        finally:
            self.in_flight -= 1

    def intervals(self, meter: FakeMeter) -> list[int]:
        topic = f"base/{meter.hex_id}/reading"
        return [said["interval"] for to, said in self.taken if to == topic]


@asynccontextmanager
async def a_publisher(folder: Path, client: FakeClient) -> AsyncIterator[Publisher]:
    kept = store.Store(folder / "gateway.db")
    part = Publisher(kept, client, CONFIG, Availability(kept), QUICK)
    await part.start()
    task = asyncio.create_task(part.run())
    try:
        yield part
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        kept.close()


def cursor(folder: Path) -> int:
    found: int = rows(folder, "SELECT journal_id FROM publish_cursor")[0][0]
    return found


def begun(folder: Path) -> None:
    """The gateway ran once with [publish]: the cursor is at the start of an empty journal."""
    connection = store.connect(folder / "gateway.db")
    store.transact(connection, publisher.begin)
    connection.close()


def test_every_accepted_reading_is_published_once_and_in_order(tmp_path: Path) -> None:
    begun(tmp_path)
    meters = [a_meter(number) for number in range(5)]
    for _ in range(4):
        append(tmp_path, [row for meter in meters for row in journal_rows(meter, 1, intervals=1)])

    async def story() -> FakeClient:
        client = FakeClient()
        async with a_publisher(tmp_path, client):
            await until(lambda: cursor(tmp_path) == 20)
        return client

    client = asyncio.run(story())
    assert all(client.intervals(meter) == [1, 2, 3, 4] for meter in meters)
    assert client.retained == {}


def test_the_first_start_begins_with_what_comes_from_then_on(tmp_path: Path) -> None:
    old, new = a_meter(1), a_meter(2)
    append(tmp_path, journal_rows(old, 3))

    async def story() -> FakeClient:
        client = FakeClient()
        async with a_publisher(tmp_path, client) as part:
            append(tmp_path, journal_rows(new, 1))
            part.committed([], [])
            await until(lambda: cursor(tmp_path) == 4)
        return client

    client = asyncio.run(story())
    assert (client.intervals(old), client.intervals(new)) == ([], [1])


@pytest.mark.parametrize("lost_at", range(1, 8))
def test_a_connection_lost_at_any_publish_costs_nothing_and_keeps_the_order(
    tmp_path: Path, lost_at: int
) -> None:
    begun(tmp_path)
    meter = a_meter()
    append(tmp_path, journal_rows(meter, 6))
    calls = 0

    async def lose(topic: str, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == lost_at:
            raise PublishLost("the connection ended")

    async def story() -> FakeClient:
        client = FakeClient()
        client.bend = lose
        async with a_publisher(tmp_path, client):
            await until(lambda: cursor(tmp_path) == 6)
        return client

    assert asyncio.run(story()).intervals(meter) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("killed_at", range(1, 6))
def test_a_gateway_killed_at_any_publish_goes_on_without_losing_one(
    tmp_path: Path, killed_at: int
) -> None:
    begun(tmp_path)
    meter = a_meter()
    append(tmp_path, journal_rows(meter, 5))
    client = FakeClient()

    async def hang(topic: str, data: bytes) -> None:
        if len(client.taken) == killed_at - 1:
            await asyncio.Event().wait()

    async def story() -> None:
        client.bend = hang
        async with a_publisher(tmp_path, client):
            await until(lambda: len(client.taken) == killed_at - 1 and client.in_flight)
        assert cursor(tmp_path) == 0, "the cursor stands behind the PUBACKs"
        client.bend = None
        async with a_publisher(tmp_path, client):
            await until(lambda: cursor(tmp_path) == 5)

    asyncio.run(story())
    assert client.intervals(meter) == [*range(1, killed_at), 1, 2, 3, 4, 5]


def test_a_broker_that_is_away_holds_up_little_memory_and_loses_nothing(tmp_path: Path) -> None:
    begun(tmp_path)
    meters = [a_meter(number) for number in range(100)]
    for _ in range(15):
        append(tmp_path, [row for meter in meters for row in journal_rows(meter, 1)])
    back = asyncio.Event()

    async def wait(topic: str, data: bytes) -> None:
        await back.wait()

    async def story() -> FakeClient:
        client = FakeClient()
        client.bend = wait
        async with a_publisher(tmp_path, client):
            await until(lambda: client.in_flight == LANES_MAX)
            await asyncio.sleep(0.05)
            assert (client.in_flight, cursor(tmp_path)) == (LANES_MAX, 0)
            back.set()
            await until(lambda: cursor(tmp_path) == 1500)
        return client

    client = asyncio.run(story())
    assert client.most_in_flight == LANES_MAX
    assert 2 * CHUNK_ROWS < 1500, "several chunks"
    assert all(client.intervals(meter) == list(range(1, 16)) for meter in meters)


@pytest.mark.parametrize(
    ("refusals", "arrives"), [(REFUSED_TRIES - 1, True), (REFUSED_TRIES, False)]
)
def test_a_publish_that_the_broker_refuses_never_stops_the_rest_for_good(
    tmp_path: Path, refusals: int, arrives: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path)
    meter = a_meter()
    append(tmp_path, journal_rows(meter, 3))
    refused = 0

    async def refuse(topic: str, data: bytes) -> None:
        nonlocal refused
        if json.loads(data)["interval"] == 2 and refused < refusals:
            refused += 1
            raise PublishRefused("not authorized")

    async def story() -> tuple[FakeClient, int]:
        client = FakeClient()
        client.bend = refuse
        async with a_publisher(tmp_path, client) as part:
            await until(lambda: cursor(tmp_path) == 3)
        return client, part.passed_over

    client, passed_over = asyncio.run(story())
    assert client.intervals(meter) == ([1, 2, 3] if arrives else [1, 3])
    assert passed_over == (not arrives)
    assert ("publish_passed_over" in capsys.readouterr().out) is (not arrives)


def test_a_full_disk_only_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path)
    meter = a_meter()
    append(tmp_path, journal_rows(meter, 2))
    original, failures = publisher.move_cursor, [1]

    def move(*arguments: Any) -> None:
        if failures:
            failures.pop()
            raise StoreFull("full")
        original(*arguments)

    monkeypatch.setattr(publisher, "move_cursor", move)

    async def story() -> FakeClient:
        client = FakeClient()
        async with a_publisher(tmp_path, client):
            await until(lambda: cursor(tmp_path) == 2)
        return client

    assert asyncio.run(story()).intervals(meter) == [1, 2, 1, 2]


def test_the_cursor_never_passes_what_is_committed(tmp_path: Path) -> None:
    append(tmp_path, journal_rows(a_meter(), 2))
    connection = store.connect(tmp_path / "gateway.db")
    assert publisher.begin(connection) == journal.last_id(connection) == 2
    for wrong in (1, 2, 3):
        with pytest.raises(AssertionError):
            publisher.move_cursor(connection, wrong)
    connection.close()


@pytest.mark.parametrize("topic", ["", "/a", "a/", "a//b", "a/+", "#", "$SYS", "a b", "a" * 201])
def test_a_topic_that_cannot_be_published_under_is_refused_at_the_start(
    tmp_path: Path, topic: str
) -> None:
    path = a_home(tmp_path)
    path.write_text(f'{path.read_text()}[publish]\nurl = "mqtt://h"\ntopic = "{topic}"\n')
    with pytest.raises(ConfigError, match=r"publish\.topic"):
        config.load(path)
