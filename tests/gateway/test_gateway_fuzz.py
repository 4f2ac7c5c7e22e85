"""Hostile bytes on a running gateway's port: nothing gets in, nothing grows, nobody is harmed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import msgspec
import psutil
import pytest

from gateway import config as config_file
from gateway import journal
from gateway.doors import limits
from gateway.mqtt import packets
from tests.support.gateway import (
    Client,
    FakeMeter,
    a_connect,
    a_gateway,
    a_home,
    a_meter,
    refusals,
    until,
)
from tests.support.nursery import a_nursery
from wire import topics

SEED = 20_261_122
TALKS = 400
SWELL_BYTES_MAX = 40 * 1024 * 1024  # of the process, over a thousand hostile talks
FLOOD_TALKS = 1000
FLOOD_BYTES = 64 * 1024
PATIENCE_S = 0.3


def a_talk(meter: FakeMeter, chance: random.Random) -> bytes:
    """What a meter sends in a good session, with bytes changed, cut out, doubled or put in."""
    connect = packets.connect(a_connect(meter))
    down = ((topics.down(meter.meter_id), 1),)
    subscribe = packets.subscribe(packets.Subscribe(1, down))
    up = topics.up(meter.meter_id)
    frames = [packets.publish(up, meter.frame(), number) for number in range(1, 4)]
    data = bytearray(b"".join([connect, subscribe, *frames, packets.PINGREQ, packets.DISCONNECT]))
    for _ in range(chance.randrange(1, 6)):
        at, size = chance.randrange(len(data)), chance.randrange(1, 9)
        kind = chance.randrange(4)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size]
        else:
            data[at:at] = chance.randbytes(size)
    return bytes(data)


async def hostile(port: int, data: bytes, chance: random.Random) -> None:
    """Send it in pieces of any size; read what comes until the line ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        at = 0
        while at < len(data):
            size = chance.choice((1, 7, 64, 4096))
            writer.write(data[at : at + size])
            await writer.drain()
            at += size
        writer.write_eof()
        async with asyncio.timeout(15):
            while await reader.read(4096):
                pass
    except OSError:
        pass  # thrown out before it had finished
    finally:
        writer.transport.abort()


def test_changed_sessions_let_no_frame_in_that_was_not_sealed_and_harm_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"seed {SEED}")
    monkeypatch.setattr(limits, "WRONG_DELAY_S_MAX", 0.0)  # so many in a row would wait for hours
    chance, bad, good = random.Random(SEED), a_meter(1), a_meter(2)

    async def story() -> None:
        config = config_file.load(a_home(tmp_path, bad, good))
        allowed = msgspec.structs.replace(config.limits, connects_per_minute=2 * TALKS)
        async with a_gateway(msgspec.structs.replace(config, limits=allowed)) as service:
            client = await Client.join(service.port, good)
            for number in range(TALKS // 8):
                talks = [a_talk(bad, chance) for _ in range(8)]
                await asyncio.gather(*(hostile(service.port, talk, chance) for talk in talks))
                client.publish(good, good.frame(), number + 1)
                assert await client.puback() == number + 1
            await client.close()
            await until(lambda: not service.endpoint.sessions)
            last = await service.store.run(journal.last_id)
            rows = await service.store.run(lambda c: journal.read_rows(c, 0, last))
            found = [row.frame_counter for row in rows if row.meter_id == bad.meter_id]
            assert len(found) == len(set(found))
            assert set(found) <= set(range(bad.counter))
            assert len(rows) - len(found) == TALKS // 8
        assert sum(refusals(tmp_path).values()) > TALKS // 4

    asyncio.run(story())


def test_floods_of_garbage_leave_the_memory_of_the_gateway_bounded(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    chance, good = random.Random(SEED), a_meter(2)

    async def shout(port: int, data: bytes) -> None:
        with contextlib.suppress(TimeoutError):  # nonsense is let go ever more slowly: do not wait
            async with asyncio.timeout(PATIENCE_S):
                await hostile(port, data, chance)

    async def flood(port: int, talks: int) -> None:
        for _ in range(talks // 50):
            starts = (packets.connect(a_connect(good))[:20], b"", b"\x10\xff\xff\xff\x7f", b"\x32")
            streams = [chance.choice(starts) + chance.randbytes(FLOOD_BYTES) for _ in range(50)]
            await asyncio.gather(*(shout(port, stream) for stream in streams))

    async def story() -> None:
        with a_nursery(a_home(tmp_path, good)) as gateways:
            port = await gateways.start()
            process = psutil.Process(gateways.pid)
            await flood(port, FLOOD_TALKS // 10)
            before = process.memory_info().rss
            await flood(port, FLOOD_TALKS)
            assert process.memory_info().rss - before < SWELL_BYTES_MAX
            client = await Client.join(port, good)
            client.publish(good, good.frame(), 1)
            assert await client.puback() == 1
            await client.close()

    asyncio.run(story())
