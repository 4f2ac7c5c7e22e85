"""Publishes accepted readings to a broker for backends: at least once, each meter's in order."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple, Protocol

import structlog

from gateway import journal
from gateway.config import Publish
from gateway.errors import PublishLost, PublishRefused, StoreError
from gateway.forwarding import readings
from gateway.forwarding.availability import Availability
from gateway.listener import Listener, Said
from gateway.meter import Meter
from gateway.segments import Row
from gateway.store import Store
from wire.messages import Event, Live, Profile, Registers

CHUNK_ROWS = 500  # journal rows between two writes of the cursor; a crash repeats at most these
LANES_MAX = 64  # publishes that wait for their PUBACK at a time, one for each of so many meters
LINGER_S = 0.2  # lets a few commits share a write of the cursor
REFUSED_S = 60.0  # until a publish that the broker refused is tried again
REFUSED_TRIES = 5
FAILED_S = 5.0  # until the database is tried again
TICK_S = 1.0  # between two looks at who is here

log = structlog.get_logger()


class Client(Protocol):
    """What is needed of gateway.mqtt_client.MqttClient."""

    @property
    def connected(self) -> bool: ...

    async def publish(
        self, topic: str, data: bytes, *, qos: int = 1, retain: bool = False
    ) -> None: ...


class Timing(NamedTuple):
    """How long to wait, in seconds; tests shorten it."""

    linger_s: float = LINGER_S
    refused_s: float = REFUSED_S
    failed_s: float = FAILED_S
    tick_s: float = TICK_S


def state_topic(base: str) -> str:
    """Where the gateway says, retained, whether it is there: `online`, by its will `offline`."""
    return f"{base}/bridge/state"


def publishes(row: Row, config: Publish) -> Iterator[tuple[str, bytes]]:
    """Topic and bytes of everything that a journal row becomes, in order. Raises DamagedStore."""
    message = readings.message_of(row)
    base = f"{config.topic}/{row.meter_id.hex()}"
    if isinstance(message, Profile):
        if "json" in config.formats:
            for reading in readings.readings(row, message):
                yield f"{base}/reading", _json(reading)
        if "senml" in config.formats:
            for pack in readings.senml(row, message, config.enterprise):
                yield f"{base}/senml", _json(pack)
    elif isinstance(message, Registers):
        yield f"{base}/registers", _json(readings.registers(row, message))
    elif isinstance(message, Live):
        yield f"{base}/live", _json(readings.live(row, message))
    elif isinstance(message, Event):
        yield f"{base}/event", _json(readings.event(row, message))


class Publisher(Listener):
    """Reads the journal on from its own cursor, which moves only behind PUBACKs.

    Nothing is retained but what is true now (who is here), so that a backend never takes an old
    reading for a new one. While the broker is away everything waits in the journal.
    """

    def __init__(
        self,
        store: Store,
        client: Client,
        config: Publish,
        availability: Availability,
        timing: Timing = Timing(),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._client, self._config = store, client, config
        self._availability, self._timing, self._now = availability, timing, now
        self._cursor = 0
        self._more = asyncio.Event()
        self.published = Counter[str]()  # by the topic's last part
        self.passed_over = 0  # publishes that the broker refused for good
        self._was_connected = False

    async def start(self) -> None:
        """Find where to go on; the very first start begins with what comes from now on."""
        self._cursor = await self._store.run(begin)
        await self._availability.start(self._now())

    def committed(self, meters: Collection[Meter], said: list[Said]) -> None:
        """There are new journal rows."""
        self._more.set()

    async def run(self) -> None:
        """Until cancelled. What was not acknowledged then is published again by the next run."""
        looks = asyncio.create_task(self._look_who_is_here())
        try:
            await self._read_on()
        finally:
            looks.cancel()
            await asyncio.gather(looks, return_exceptions=True)

    async def _read_on(self) -> None:
        self._more.set()  # what an earlier run left
        while True:
            try:
                await self._more.wait()
                await asyncio.sleep(self._timing.linger_s)
                self._more.clear()
                while await self._next_chunk():
                    pass
            except StoreError as error:
                log.error("publisher_failed", error=str(error))
                self._more.set()
                await asyncio.sleep(self._timing.failed_s)

    async def _next_chunk(self) -> bool:
        """Publish some rows, then say that they are; whether there may be more."""
        cursor = self._cursor
        rows = await self._store.run(lambda c: journal.read_rows(c, cursor, CHUNK_ROWS))
        if not rows:
            return False
        await self._publish(rows)
        reached = rows[-1].journal_id
        await self._store.run(lambda c: move_cursor(c, reached))
        self._cursor = reached
        return len(rows) == CHUNK_ROWS

    async def _publish(self, rows: list[Row]) -> None:
        """A lane for each meter: a meter's next message leaves when the one before is taken."""
        lanes: dict[bytes, list[Row]] = {}
        for row in rows:
            lanes.setdefault(row.meter_id, []).append(row)
        room = asyncio.Semaphore(LANES_MAX)
        try:
            async with asyncio.TaskGroup() as group:
                for lane in lanes.values():
                    group.create_task(self._publish_lane(lane, room))
        except* StoreError as errors:
            raise errors.exceptions[0] from None

    async def _publish_lane(self, rows: list[Row], room: asyncio.Semaphore) -> None:
        async with room:
            for row in rows:
                for topic, data in publishes(row, self._config):
                    await self._put(topic, data, row.journal_id)

    async def _put(self, topic: str, data: bytes, journal_id: int) -> None:
        """Until the broker has it, however often it goes away meanwhile."""
        refused = 0
        while True:
            try:
                await self._client.publish(topic, data, qos=1)
                self.published[topic.rpartition("/")[2]] += 1
                return
            except PublishRefused as error:
                refused += 1
                log.error("publish_refused", journal_id=journal_id, error=str(error))
                if refused == REFUSED_TRIES:
                    self.passed_over += 1
                    log.error(
                        "publish_passed_over",
                        journal_id=journal_id,
                        next="correct the broker's access list; `gateway export` has the reading",
                    )
                    return
                await asyncio.sleep(self._timing.refused_s)
            except PublishLost:
                self._was_connected = False  # whoever comes back may have forgotten everything

    async def _look_who_is_here(self) -> None:
        while True:
            await asyncio.sleep(self._timing.tick_s)
            if not self._client.connected:
                self._was_connected = False
                continue
            if not self._was_connected:
                self._was_connected = True
                self._availability.say_again(self._now())
            try:
                await self._say(self._availability.due(self._now()))
            except StoreError as error:
                log.error("availability_not_noted", error=str(error))

    async def _say(self, due: list[tuple[bytes, str]]) -> None:
        """Publish who is here, retained; what did not arrive is due again."""
        results = await asyncio.gather(
            *(
                self._client.publish(
                    f"{self._config.topic}/{meter_id.hex()}/availability",
                    state.encode(), qos=1, retain=True,
                )
                for meter_id, state in due
            ),
            return_exceptions=True,
        )  # fmt: skip
        for result in results:
            if isinstance(result, PublishLost):
                self._was_connected = False
            elif result is not None:
                raise result
        told = [each for each, result in zip(due, results, strict=True) if result is None]
        await self._availability.said(told)


def begin(connection: sqlite3.Connection) -> int:
    """The cursor, made at the newest journal row when there is none yet."""
    connection.execute(
        "INSERT OR IGNORE INTO publish_cursor VALUES (1, ?)", (journal.last_id(connection),)
    )
    return cursor_of(connection)


def cursor_of(connection: sqlite3.Connection) -> int:
    """Journal rows up to here are with the broker."""
    found: int = connection.execute("SELECT journal_id FROM publish_cursor").fetchone()[0]
    return found


def move_cursor(connection: sqlite3.Connection, journal_id: int) -> None:
    """Every row up to this one is with the broker. Never past what is committed."""
    assert cursor_of(connection) < journal_id <= journal.last_id(connection)
    connection.execute("UPDATE publish_cursor SET journal_id = ?", (journal_id,))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
