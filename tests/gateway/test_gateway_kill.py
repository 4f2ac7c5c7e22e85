"""kill -9 under load: what was acknowledged or receipted is in the journal, and counted once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.gateway import (
    Client,
    FakeMeter,
    FakeSettlement,
    a_home,
    a_meter,
    rows,
    until,
)

ROOT = Path(__file__).resolve().parents[2]
KILLS = 12
SEED = 20_241_015
WINDOW_FRAMES = 32  # in flight for each meter; the replay window is 64


@contextlib.contextmanager
def a_process(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real gateway process, gone at the end whatever happens."""
    log = config.with_name("log.jsonl")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", "--config", str(config)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)


async def port_of(process: subprocess.Popen[bytes], config: Path) -> int:
    log = config.with_name("log.jsonl")

    def port() -> int:
        assert process.poll() is None, log.read_text()
        for line in log.read_text().splitlines():
            if '"listening"' in line and line.endswith("}"):
                return int(json.loads(line)["port"])
        return 0

    await until(port, limit_s=20)
    return port()


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


def test_no_acknowledged_frame_is_lost_and_none_is_counted_twice_over_many_kills(
    tmp_path: Path,
) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    loads = [Load(a_meter(number)) for number in range(3)]

    async def kill_once(config: Path) -> None:
        with a_process(config) as process:
            port = await port_of(process, config)
            before = sum(len(load.acked) for load in loads)
            tasks = [asyncio.create_task(load.run(port)) for load in loads]
            await until(lambda: sum(len(load.acked) for load in loads) > before)
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=10)
            await asyncio.gather(*tasks)
        check_journal(tmp_path, loads)

    async def story() -> None:
        settlement = FakeSettlement()
        await settlement.start()
        config = a_home(tmp_path, *(load.meter for load in loads), settlement_url=settlement.url)
        for _ in range(KILLS):
            await kill_once(config)
        with a_process(config) as process:
            port = await port_of(process, config)
            await asyncio.gather(*(load.run(port, frames_max=0) for load in loads))
            total = sum(load.meter.counter for load in loads)
            await until(lambda: len(settlement.frames()) >= total, limit_s=30)
        await settlement.stop()
        check_journal(tmp_path, loads)
        assert rows(tmp_path, "SELECT count(*) FROM journal") == [(total,)]
        assert len(settlement.frames()) == len(set(settlement.frames())) == total
        keys = [key for key, _ in settlement.seen]
        assert len(set(settlement.seen)) == len(set(keys))  # one key, one sequence of bytes

    asyncio.run(story())


def check_journal(folder: Path, loads: list[Load]) -> None:
    """Every acknowledged and every receipted frame is there, and none is there twice."""
    for load in loads:
        found = rows(
            folder,
            "SELECT frame_counter FROM journal WHERE meter_id = ? ORDER BY id",
            load.meter.meter_id,
        )
        counters = [row[0] for row in found]
        assert len(counters) == len(set(counters))
        assert load.acked <= set(counters)
        assert set(range(load.receipted[0] + 1)) <= set(counters)
        assert load.receipted[1] <= 2 * len(counters)  # two intervals a frame, none missing
