"""kill -9 under load: what was acknowledged or receipted is in the journal, and counted once."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest

from gateway import journal
from tests.support.gateway import (
    Client,
    FakeMeter,
    FakeSettlement,
    a_home,
    a_meter,
    until,
)
from tests.support.nursery import Nursery, a_nursery

KILLS = 100  # a part; there are two of them
WINDOW_FRAMES = 32  # in flight for each meter; the replay window is 64


class Load:
    """A meter that keeps frames in flight, and sends again whatever was not acknowledged."""

    def __init__(self, meter: FakeMeter) -> None:
        self.meter = meter
        self.unacked: dict[int, bytes] = {}  # by frame counter
        self.acked: set[int] = set()
        self.receipted = (-1, 0)

    async def run(self, port: int, frames_max: int | None = None) -> None:
        """Until the line breaks, or until everything is acknowledged and no more is wanted."""
        client = await Client.join(port, self.meter)
        numbers: dict[int, int] = {}  # packet id -> frame counter
        for counter, sealed in self.unacked.items():
            self._send(client, numbers, counter, sealed)
        try:
            while frames_max is None or self.unacked or self.meter.counter < frames_max:
                while len(self.unacked) < WINDOW_FRAMES and frames_max is None:
                    counter, sealed = self.meter.counter, self.meter.frame(2)
                    self.unacked[counter] = sealed
                    self._send(client, numbers, counter, sealed)
                first, body = await client.packet()
                if first == 0x40:
                    counter = numbers.pop(int.from_bytes(body, "big"))
                    self.acked.add(counter)
                    self.unacked.pop(counter, None)
                else:
                    client.received.append((first, body))
                    receipt = await client.receipt(self.meter)
                    self.receipted = (receipt.frame_counter, receipt.interval)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            await client.close()

    def _send(self, client: Client, numbers: dict[int, int], counter: int, sealed: bytes) -> None:
        packet_id = counter % 65_535 + 1
        numbers[packet_id] = counter
        client.publish(self.meter, sealed, packet_id)


@pytest.mark.parametrize("seed", [20_241_015, 20_261_122])
def test_no_acknowledged_frame_is_lost_and_none_is_counted_twice_over_many_kills(
    tmp_path: Path, seed: int
) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    loads = [Load(a_meter(number)) for number in range(3)]
    books = Books(tmp_path, loads)

    async def kill_once(gateways: Nursery) -> None:
        port = await gateways.start()
        before = sum(len(load.acked) for load in loads)
        tasks = [asyncio.create_task(load.run(port)) for load in loads]
        await until(lambda: sum(len(load.acked) for load in loads) > before)
        await asyncio.sleep(chance.uniform(0.0, 0.06))
        gateways.kill()
        await asyncio.gather(*tasks)
        books.check()

    async def story() -> None:
        settlement = FakeSettlement()
        await settlement.start()
        config = a_home(tmp_path, *(load.meter for load in loads), settlement_url=settlement.url)
        with a_nursery(config) as gateways:
            for _ in range(KILLS):
                await kill_once(gateways)
            port = await gateways.start()
            await asyncio.gather(*(load.run(port, frames_max=0) for load in loads))
            total = sum(load.meter.counter for load in loads)
            await until(lambda: len(settlement.frames()) >= total, limit_s=60)
        await settlement.stop()
        books.check()
        assert books.frames == total
        fresh = Books(tmp_path, loads)
        fresh.check()  # and what was read before is still there
        assert fresh.frames == total
        assert len(settlement.frames()) == len(set(settlement.frames())) == total
        keys = [key for key, _ in settlement.seen]
        assert len(set(settlement.seen)) == len(set(keys))  # one key, one sequence of bytes

    asyncio.run(story())


class Books:
    """What the journal holds, read on after every kill."""

    def __init__(self, folder: Path, loads: list[Load]) -> None:
        self._folder, self._loads, self._last = folder, loads, 0
        self._counters: dict[bytes, set[int]] = {load.meter.meter_id: set() for load in loads}
        self.frames = 0

    def check(self) -> None:
        """Every acknowledged and every receipted frame is there, and none is there twice."""
        connection = sqlite3.connect(self._folder / "gateway.db", timeout=10)
        try:
            for row in journal.read_rows(connection, self._last, 1_000_000):
                counters = self._counters[row.meter_id]
                assert row.frame_counter not in counters, "counted twice"
                counters.add(row.frame_counter)
                self._last, self.frames = row.journal_id, self.frames + 1
        finally:
            connection.close()
        for load in self._loads:
            counters = self._counters[load.meter.meter_id]
            assert load.acked <= counters
            assert counters.issuperset(range(load.receipted[0] + 1))
            assert load.receipted[1] <= 2 * len(counters)  # two intervals a frame, none missing
