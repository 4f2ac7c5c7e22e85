"""Two real gateway processes that split the meters, one settlement behind both of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import zstandard

from settlement import ingest
from settlement.store import Store, readings
from tests.support.gateway import (
    START_S,
    Client,
    FakeMeter,
    FakeSettlement,
    a_home,
    until,
)
from wire.obis import NAMES

ROOT = Path(__file__).resolve().parents[2]
ENDED_S = 20.0
TRANSFER_KEY = "5a" * 32
WH_AN_INTERVAL = 250  # as a_profile has it


class Gateway:
    """One gateway in a folder of its own; started, stopped, killed, and started again."""

    def __init__(
        self, folder: Path, name: str, shards: str, settlement: str, *meters: FakeMeter,
        more: str = "",
    ) -> None:  # fmt: skip
        folder.mkdir()
        self.folder, self.name = folder, name
        self.config = a_home(folder, *meters, settlement_url=settlement)
        text = self.config.read_text().replace('"gw-1"', f'"{name}"', 1)
        if more:
            text = text.replace("port = 0\n", "enabled = false\n", 1)
        self._text = text + more
        self.serve(shards)
        self.key = folder / "transfer.key"
        self.key.write_text(TRANSFER_KEY)
        self.key.chmod(0o600)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def serve(self, shards: str) -> None:
        """What gateway.toml says from the next start on."""
        head, rest = self._text.split("\n", 1)
        self.config.write_text(f'{head}\nshards = "{shards}"\n{rest}')

    async def start(self) -> None:
        log = self.folder / "log"
        log.write_bytes(b"")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", "--config", str(self.config)],
            stdin=subprocess.DEVNULL, stdout=log.open("ab"), stderr=subprocess.STDOUT, cwd=ROOT,
        )  # fmt: skip
        await until(lambda: '"listening"' in log.read_text(), limit_s=30)
        for line in log.read_text().splitlines():
            if '"listening"' in line:
                self.port = json.loads(line)["port"]

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        process, self._process, self.port = self._process, None, 0
        if process is not None:
            process.send_signal(how)
            await asyncio.to_thread(process.wait, ENDED_S)

    async def command(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """One command of its command line."""
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "gateway", *map(str, words), "--config", str(self.config)],
            capture_output=True, text=True, timeout=60, cwd=ROOT, env=dict(os.environ),
        )  # fmt: skip

    async def export(self, shard: str, taker: str, *more: str) -> Path:
        """`shard export`; the file."""
        to = self.folder / f"{shard}.move"
        done = await self.command(
            "shard", "export", shard, "--for", taker, "--to", to, "--key", self.key, *more
        )
        assert done.returncode == 0, done.stderr
        return to

    async def take(self, file: Path) -> str:
        """`shard import`; what it said."""
        done = await self.command("shard", "import", file, "--key", self.key)
        assert done.returncode == 0, done.stderr
        return done.stdout


class Reporter:
    """A meter that keeps frames in flight and goes to whichever gateway lets it in."""

    def __init__(self, meter: FakeMeter, pause_s: float = 0.01) -> None:
        self.meter, self._pause_s = meter, pause_s
        self.unacked: dict[int, bytes] = {}  # by frame counter
        self.ended = False  # no new frames
        self.at = ""  # the gateway of its session

    async def run(self, gateways: list[Gateway]) -> None:
        """Until it is to end and everything is acknowledged."""
        turn = 0
        while not (self.ended and not self.unacked):
            gateway = gateways[turn % len(gateways)]
            try:
                if not await self._session(gateway):
                    turn += 1
            except (OSError, asyncio.IncompleteReadError):
                turn += 1
            self.at = ""
            await asyncio.sleep(0.02)

    async def _session(self, gateway: Gateway) -> bool:
        if not gateway.port:
            return False
        client = await Client.open(gateway.port)
        try:
            if await client.connect(self.meter):
                return False  # not let in
            self.at = gateway.name
            for counter, sealed in self.unacked.items():
                client.publish(self.meter, sealed, counter % 65_535 + 1)
            while not (self.ended and not self.unacked):
                if not self.ended and len(self.unacked) < 8:
                    counter, sealed = self.meter.counter, self.meter.frame()
                    self.unacked[counter] = sealed
                    client.publish(self.meter, sealed, counter % 65_535 + 1)
                    await asyncio.sleep(self._pause_s)
                    if len(self.unacked) < 4:
                        continue
                packet_id = await client.puback()
                for counter in [c for c in self.unacked if c % 65_535 + 1 == packet_id]:
                    del self.unacked[counter]
        finally:
            await client.close()
        return True


def check_settlement(folder: Path, fake: FakeSettlement, intervals: dict[str, int]) -> None:
    """The real settlement takes all the batches: no interval missing, none counted twice.

    `intervals` says how many each meter closed at least, by its id.
    """
    office = Store(folder / "settlement.db")
    try:
        for key, body in fake.seen:
            ingest.take(office, key, zstandard.ZstdDecompressor().decompress(body, 1 << 24), 1)
        with office.reading() as connection:
            for meter_id, closed in intervals.items():
                found = readings.intervals(
                    connection, meter_id, NAMES[1], START_S, START_S + 900 * 100_000
                )
                assert len(found) >= closed, meter_id
                assert [one.start_s for one in found] == [
                    START_S + 900 * number for number in range(len(found))
                ], meter_id
                assert sum(one.energy_wh for one in found) == WH_AN_INTERVAL * len(found)
    finally:
        office.close()
