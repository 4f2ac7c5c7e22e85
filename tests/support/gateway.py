"""For the gateway's tests: a meter that seals, a raw MQTT client, a settlement that bends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard
from aiohttp import web

from gateway import journal, registry, store
from gateway.config import Config, load
from gateway.meter import DownCounter, Meter, Progress
from gateway.mqtt import packets
from gateway.service import Service
from wire import batch as wire_batch
from wire import frame, messages, topics
from wire.keys import DOWN, UP, EpochKey

START_S = 1_634_256_000  # 2021-10-15T00:00:00Z
NOW_S = 1_760_000_000
TOKEN = "a-token-of-thirty-two-characters"


@dataclass
class FakeMeter:
    """Seals what a meter would, numbering frames and intervals by itself."""

    meter_id: bytes
    meter_key: bytes
    password: str
    counter: int = 0
    next_interval: int = 1
    heard: list[Any] = field(default_factory=list)

    @property
    def hex_id(self) -> str:
        return self.meter_id.hex()

    @property
    def key(self) -> EpochKey:
        return EpochKey(0, self.meter_key)

    def new(self) -> registry.NewMeter:
        return registry.NewMeter(self.hex_id, self.meter_key.hex(), 0, self.password)

    def seal(self, message: Any, counter: int | None = None) -> bytes:
        if counter is None:
            counter, self.counter = self.counter, self.counter + 1
        up = topics.up(self.meter_id)
        return frame.seal(self.key, UP, counter, up, messages.encode(message))

    def frame(self, intervals: int = 1) -> bytes:
        """The next profile frame."""
        first, self.next_interval = self.next_interval, self.next_interval + intervals
        return self.seal(a_profile(first, intervals))

    def open(self, sealed: bytes) -> Any:
        opened = frame.open(self.key, sealed, topics.down(self.meter_id))
        return messages.decode(opened, DOWN)


def a_meter(number: int = 1) -> FakeMeter:
    digest = hashlib.sha256(b"test meter %d" % number).digest()
    return FakeMeter(digest[:8], hashlib.sha256(digest).digest(), f"{digest.hex()[:30]}+{number}")


def a_profile(first: int = 1, intervals: int = 1, **changes: Any) -> messages.Profile:
    base = messages.Profile(
        first=first,
        oldest=min(first, changes.pop("oldest", 1)),
        start_s=START_S + 900 * (first - 1),
        capture_period_s=900,
        channels=(1, 2),
        registers_wh=(1000 + 250 * (first - 1), 0),
        deltas_wh=((250,) * intervals, (0,) * intervals),
        quality=(0,) * intervals,
    )
    return base._replace(**changes)


def a_loaded_meter(fake: FakeMeter, epoch: int = 0) -> Meter:
    """The gateway's side of a fake meter, as after CONNECT."""
    meter = Meter(fake.meter_id, Progress())
    meter.keys[epoch] = EpochKey(epoch, fake.meter_key)
    meter.down[epoch] = DownCounter(0)
    return meter


def a_home(folder: Path, *meters: FakeMeter, settlement_url: str | None = None) -> Path:
    """A folder with everything a gateway needs; returns its gateway.toml."""
    config = folder / "gateway.toml"
    text = 'gateway_id = "gw-1"\n[endpoint]\nport = 0\n[log]\nformat = "json"\n'
    if settlement_url is not None:
        text += f'[settlement]\nurl = "{settlement_url}"\n'
        token = folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
    config.write_text(text)
    if not (folder / "master.key").exists():
        registry.write_master_key(folder / "master.key")
    for meter in meters:
        add_meter(folder, meter)
    return config


def add_meter(folder: Path, meter: FakeMeter) -> None:
    keeper = registry.Registry(registry.read_master_key(folder / "master.key"))
    connection = store.connect(folder / "gateway.db")

    def add(connection: sqlite3.Connection) -> None:
        keeper.check_master_key(connection)
        keeper.add(connection, meter.new(), NOW_S)

    store.transact(connection, add)
    connection.close()


@contextlib.asynccontextmanager
async def a_gateway(config: Path | Config) -> AsyncIterator[Service]:
    """A running gateway inside this process."""
    service = Service(load(config) if isinstance(config, Path) else config)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


def rows(folder: Path, query: str, *values: Any) -> list[Any]:
    """Look into a gateway's database from outside."""
    connection = sqlite3.connect(folder / "gateway.db", timeout=10)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def journal_of(folder: Path) -> list[journal.Row]:
    """Every frame in a gateway's journal, in order."""
    connection = store.connect_read_only(folder / "gateway.db")
    try:
        return journal.read_rows(connection, 0, 1 << 30)
    finally:
        connection.close()


def refusals(folder: Path) -> dict[str, int]:
    """Frames refused, by reason."""
    return dict(rows(folder, "SELECT reason, sum(frames) FROM refusal GROUP BY reason"))


async def until(condition: Callable[[], Any], limit_s: float = 10.0) -> None:
    """Wait for something to become true; a test that waits in vain fails."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)


class Client:
    """A raw MQTT client: sends any bytes, keeps what comes back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.received: list[tuple[int, bytes]] = []  # packets not asked for yet

    @classmethod
    async def open(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def join(cls, port: int, meter: FakeMeter, **changes: Any) -> Client:
        """Connect and subscribe as this meter."""
        client = await cls.open(port)
        assert await client.connect(meter, **changes) == packets.ACCEPTED
        down = ((topics.down(meter.meter_id), 1),)
        client.send(packets.subscribe(packets.Subscribe(1, down)))
        assert await client.expect(0x90) == b"\x00\x01\x00"
        return client

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def connect(self, meter: FakeMeter, **changes: Any) -> int:
        """Send CONNECT; the CONNACK's return code."""
        packet = a_connect(meter, **changes)
        self.send(packets.connect(packet))
        body = await self.expect(0x20)
        assert body[0] == 0
        return body[1]

    def publish(self, meter: FakeMeter, sealed: bytes, packet_id: int = 0) -> None:
        self.send(packets.publish(topics.up(meter.meter_id), sealed, packet_id))

    async def packet(self) -> tuple[int, bytes]:
        """The next packet: first byte and body. Raises IncompleteReadError at the end."""
        async with asyncio.timeout(10):
            first = (await self._reader.readexactly(1))[0]
            length = shift = 0
            while True:
                byte = (await self._reader.readexactly(1))[0]
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return first, await self._reader.readexactly(length)

    async def expect(self, first: int) -> bytes:
        """The body of the next packet of this kind; others are kept in `received`."""
        for index, kept in enumerate(self.received):
            if kept[0] == first:
                return self.received.pop(index)[1]
        while True:
            packet = await self.packet()
            if packet[0] == first:
                return packet[1]
            self.received.append(packet)

    async def puback(self) -> int:
        return int.from_bytes(await self.expect(0x40), "big")

    async def receipt(self, meter: FakeMeter) -> messages.Receipt:
        body = await self.expect(0x30)
        size = int.from_bytes(body[:2], "big")
        assert body[2 : 2 + size].decode() == topics.down(meter.meter_id)
        message = meter.open(body[2 + size :])
        assert isinstance(message, messages.Receipt)
        return message

    async def is_closed(self) -> bool:
        """Wait until the gateway closed the line; what came before is kept."""
        try:
            while True:
                self.received.append(await self.packet())
        except (asyncio.IncompleteReadError, ConnectionError):
            return True

    async def close(self) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def a_connect(meter: FakeMeter, **changes: Any) -> packets.Connect:
    base = packets.Connect(
        client_id=meter.hex_id,
        user=meter.hex_id,
        password=meter.password.encode(),
        keep_alive_s=60,
        clean=True,
        will=None,
    )
    return base._replace(**changes)


class FakeSettlement:
    """Takes batches exactly once, by their key; `mood` bends the next answers."""

    def __init__(self) -> None:
        self.mood: list[str] = []  # one word per coming request; empty means well-behaved
        self.seen: list[tuple[str, bytes]] = []  # (key, compressed body) of every attempt
        self.taken: dict[str, wire_batch.Batch] = {}
        self.times: list[float] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def frames(self) -> list[tuple[str, int]]:
        """Every (meter, frame counter) that was taken, in order of arrival."""
        return [(p.meter_id, p.frame_counter) for b in self.taken.values() for p in b.profiles]

    async def start(self) -> None:
        app = web.Application(client_max_size=2 * wire_batch.BATCH_BYTES_MAX)
        app.router.add_post("/v1/batches", self._take)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, auto_decompress=False
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        key = request.headers["Idempotency-Key"]
        self.times.append(asyncio.get_running_loop().time())
        body = await request.read()
        self.seen.append((key, body))
        mood = self.mood.pop(0) if self.mood else "good"
        if mood == "hang":
            await asyncio.sleep(30)
        if mood == "reset":
            assert request.transport is not None
            request.transport.abort()
        if mood.isdigit():
            return web.Response(status=int(mood))
        if mood.startswith("429 "):
            return web.Response(status=429, headers={"Retry-After": mood[4:]})
        batch = wire_batch.decode(zstandard.ZstdDecompressor().decompress(body, 1 << 24))
        fresh = key not in self.taken
        self.taken[key] = batch
        if mood == "lost_answer":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=wire_batch.encode_answer(_answer(batch, mood, fresh)))


def _answer(batch: wire_batch.Batch, mood: str, fresh: bool) -> wire_batch.Answer:
    count = len(batch.profiles)
    if mood == "reject_first":
        return wire_batch.Answer(count - 1, 0, [wire_batch.Rejection(0, "unknown_meter", "who?")])
    if mood == "miscount":
        return wire_batch.Answer(count + 1, 0, [])
    return wire_batch.Answer(count, 0, []) if fresh else wire_batch.Answer(0, count, [])
