"""A day without settlement, then it is back: how fast the journal drains, in how much memory.

The journal is filled as an outage of 24 hours leaves it: every meter a frame each capture period.
Then the gateway is started and drains into a sink that only decodes (what the gateway can do), and
into the real settlement service (what both can do together). Only the ratio to real time means
something on another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
import zstandard
from aiohttp import web

from gateway import journal, registry, store
from gateway.forwarding import outbox
from wire import batch as wire_batch
from wire import messages

ROOT = Path(__file__).resolve().parents[1]
METERS = 200
CAPTURE_PERIOD_S = 900
DAY_S = 86_400
START_S = 1_760_000_400  # on the grid of the capture periods
TOKEN = "a-token-of-thirty-two-characters"  # noqa: S105  (of a bench on loopback)
LIMIT_S = 300.0


class Drain(NamedTuple):
    """One run."""

    frames: int
    seconds: float
    cpu_s: float
    rss_idle_mb: float
    rss_most_mb: float


def main(arguments: list[str] | None = None) -> int:
    """Print how fast a day drains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=METERS)
    parser.add_argument("--sink", action="store_true", help="be the sink, for the bench itself")
    chosen = parser.parse_args(arguments if arguments is not None else [])
    if chosen.sink:
        asyncio.run(sink())
        return 0
    frames = chosen.meters * DAY_S // CAPTURE_PERIOD_S
    print(
        f"24 h of {chosen.meters} meters, a frame of 2 registers each 15 minutes: {frames} frames"
    )
    print(f"{'into':<22}{'drained':>9}{'frames/s':>10}{'real time x':>13}{'CPU us':>8}", end="")
    print(f"{'MB idle':>11}{'MB most':>9}{'meters at 10x':>15}")
    for name, server in (("a sink that decodes", a_sink), ("settlement", a_settlement)):
        with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as port:
            show(name, drain(Path(folder), port, chosen.meters))
    return 0


def show(name: str, run: Drain) -> None:
    """A line of the table."""
    rate = run.frames / run.seconds
    at_ten = rate / 10 * CAPTURE_PERIOD_S  # as many meters send a tenth of what drains
    print(
        f"{name:<22}{run.seconds:>7.1f} s{rate:>10.0f}{DAY_S / run.seconds:>13.0f}"
        f"{1e6 * run.cpu_s / run.frames:>8.0f}{run.rss_idle_mb:>11.0f}{run.rss_most_mb:>9.0f}"
        f"{at_ten:>15.0f}",
        flush=True,
    )


def drain(folder: Path, port: int, meters: int) -> Drain:
    """Fill a journal, start the gateway, wait until all of it is delivered."""
    home = folder / "gateway"
    home.mkdir()
    write_token(home)
    registry_key(home)
    (home / "gateway.toml").write_text(
        'gateway_id = "bench"\n[endpoint]\nport = 0\n[log]\nformat = "json"\nlevel = "warning"\n'
        f'[settlement]\nurl = "http://127.0.0.1:{port}"\n'
    )
    frames = fill(home / "gateway.db", meters)
    started = time.monotonic()
    command = [sys.executable, "-m", "gateway", "run", "--config", str(home / "gateway.toml")]
    process = subprocess.Popen(command, cwd=ROOT)
    looked = psutil.Process(process.pid)
    try:
        idle_mb = most_mb = 0.0
        while delivered(home / "gateway.db") < frames:
            assert process.poll() is None, "the gateway ended"
            assert time.monotonic() - started < LIMIT_S, "it does not drain"
            rss_mb = looked.memory_info().rss / 1e6
            idle_mb, most_mb = idle_mb or rss_mb, max(most_mb, rss_mb)
            if delivered(home / "gateway.db") == 0:
                idle_mb = rss_mb
            time.sleep(0.05)
        seconds = time.monotonic() - started
        cpu = looked.cpu_times()
    finally:
        process.terminate()
        process.wait(20)
    return Drain(frames, seconds, cpu.user + cpu.system, idle_mb, most_mb)


def fill(path: Path, meters: int) -> int:
    """The journal of a day without settlement, a group commit for each capture period."""
    connection = store.connect(path)
    ids = [number.to_bytes(8, "big") for number in range(1, meters + 1)]
    frames = 0
    for number in range(DAY_S // CAPTURE_PERIOD_S):
        at_s = START_S + number * CAPTURE_PERIOD_S
        rows = []
        for place, meter_id in enumerate(ids):
            energy_wh = 40 + (place * 31 + number * 7) % 400
            message = messages.encode(
                messages.Profile(
                    number + 1, 1, at_s, CAPTURE_PERIOD_S, (1, 2),
                    (1_000_000 + 250 * number, 5000), ((energy_wh,), (0,)), (0,),
                )
            )  # fmt: skip
            rows.append((meter_id, 0, number, at_s + CAPTURE_PERIOD_S, message))
        frames += len(rows)
        group = journal.Group(at_s, rows=rows)
        store.transact(connection, partial(journal.commit, group=group))
    connection.close()
    return frames


def delivered(path: Path) -> int:
    """The highest frame up to which all are delivered."""
    connection = store.connect_read_only(path)
    try:
        return outbox.delivered_up_to(connection)
    finally:
        connection.close()


def registry_key(home: Path) -> None:
    """A master key; no meter is registered, because none connects."""
    registry.write_master_key(home / "master.key")


def write_token(folder: Path) -> None:
    """The same for both ends."""
    file = folder / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)


@contextmanager
def a_sink(_: Path) -> Iterator[int]:
    """A server of its own process that decodes every batch and forgets it."""
    with listening([sys.executable, "-m", "bench.forwarding", "--sink"]) as port:
        yield port


@contextmanager
def a_settlement(folder: Path) -> Iterator[int]:
    """The real service on an empty database."""
    write_token(folder)
    config = folder / "settlement.toml"
    config.write_text(
        '[store]\npath = "settlement.db"\n[auth]\ntoken_file = "token"\n[http]\nport = 0\n'
        '[log]\nformat = "json"\n'
    )
    with listening([sys.executable, "-m", "settlement", "run", "--config", str(config)]) as port:
        yield port


@contextmanager
def listening(command: list[str]) -> Iterator[int]:
    """A program that says on which port it listens, in a line of JSON."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            said = json.loads(line)
            if said.get("event") == "listening":
                yield said["port"]
                break
    finally:
        process.terminate()
        process.communicate(timeout=20)


async def sink() -> None:
    """Until it is ended."""

    async def take(request: web.Request) -> web.Response:
        body = zstandard.ZstdDecompressor().decompress(await request.read())
        profiles = wire_batch.decode(body).profiles
        return web.Response(body=wire_batch.encode_answer(wire_batch.Answer(len(profiles), 0, [])))

    app = web.Application(client_max_size=2 * wire_batch.BATCH_BYTES_MAX)
    app.router.add_post("/v1/batches", take)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"event": "listening", "port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
