"""A power cut at every moment of a recorded run: what the gateway had acknowledged is on the disk.

strace records a real gateway's writes, syncs and PUBACKs; every prefix of the record is a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import journal, store
from gateway.mqtt import packets
from tests.support import disk_trace
from tests.support.disk_trace import SEND, Disk, Step
from tests.support.gateway import Client, FakeMeter, a_home, a_meter, until

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 1500  # enough commits for SQLite to move the write-ahead log into the database
BURST_FRAMES = 5
REBUILT_APART = 20  # disks between two on which a start's whole reading is tried
WRITES_APART = 40  # between two cuts within one commit, besides those around syncs and PUBACKs
FILES = ("gateway.db", "gateway.db-wal")
SEED = 7


async def _load(port: int, meter: FakeMeter) -> None:
    client = await Client.join(port, meter)
    while meter.counter < FRAMES:
        for _ in range(BURST_FRAMES):
            client.publish(meter, meter.frame(), meter.counter)
        for _ in range(BURST_FRAMES):
            await client.puback()
    await client.close()


async def _run(folder: Path, config: Path, meter: FakeMeter) -> Path:
    """A gateway under strace and load, stopped by SIGTERM; returns the record."""
    record, log = folder.parent / "strace.txt", folder.parent / "log.jsonl"
    with log.open("wb") as out:
        process = subprocess.Popen(
            disk_trace.recorded(record, sys.executable, "-m", "gateway", "run", "--config", config),
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,  # so that the gateway goes with its strace, whatever happens
        )
    try:

        def listening() -> list[str]:
            assert process.poll() is None, log.read_text()
            return [line for line in log.read_text().splitlines() if '"listening"' in line]

        await until(listening, limit_s=30)
        await _load(json.loads(listening()[0])["port"], meter)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        await asyncio.to_thread(process.wait, 30)
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended, as it should
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
    return record


def _cuts(record: list[Step]) -> list[int]:
    """Where to cut: around everything that is no mere write, and now and then between writes."""
    cuts, last = [], 0
    for index, step in enumerate(record):
        if step.kind != disk_trace.WRITE or index - last >= WRITES_APART:
            cuts.extend({index, index + 1} - {last})
            last = index + 1
    return sorted(set(cuts))


def _matters(step: Step) -> bool:
    if step.kind == SEND:
        return _pubacks(step) > 0
    return step.name in FILES or step.kind == disk_trace.SYNC_FOLDER


def _pubacks(step: Step) -> int:
    """How many PUBACKs one write to a meter begins with."""
    count = 0
    while step.data[4 * count : 4 * count + 2] == packets.puback(1)[:2]:
        count += 1
    return count


def _frames_on(folder: Path, *, whole: bool) -> list[int]:
    """The journal that a start after the cut finds; `whole`: read as a start reads it."""
    connection = store.connect(folder / "gateway.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if whole:
            journal.rebuild(connection)  # refuses a frame that is there twice
        last = journal.last_id(connection)
        return [row.frame_counter for row in journal.read_rows(connection, 0, last)]
    finally:
        connection.close()


def replayed(record: list[Step], disk: Disk, folder: Path) -> tuple[int, int]:
    """Cut at every chosen moment; how many disks were looked at, and the most frames acked."""
    chance = random.Random(SEED)
    folder.mkdir()
    cuts, acked, disks = set(_cuts(record)), 0, 0
    for index, step in enumerate(record):
        if index in cuts:
            for kept in ("synced", "some", "all")[: 1 if step.kind == SEND else 3]:
                disk.after_a_cut(folder, kept, chance)
                found = _frames_on(folder, whole=disks % REBUILT_APART == 0)
                assert found == list(range(len(found))), (index, kept)
                assert len(found) >= acked, f"{acked - len(found)} lost at {index} with {kept}"
                disks += 1
        disk.follow(step)
        if step.kind == SEND:
            acked += _pubacks(step)
    return disks, acked


def test_a_power_cut_at_any_moment_loses_no_acknowledged_frame(tmp_path: Path) -> None:
    home, meter = tmp_path / "home", a_meter()
    home.mkdir()
    config = a_home(home, meter)
    disk = Disk(home, FILES)
    path = asyncio.run(_run(home, config, meter))
    record = [step for step in disk_trace.steps(path, home) if _matters(step)]
    checkpoints = [s for s in record if s.name == FILES[0] and s.kind == disk_trace.SYNC]
    disks, acked = replayed(record, disk, tmp_path / "cut")
    assert checkpoints, "the write-ahead log was never moved into the database"
    assert acked == FRAMES
    assert disks > 500
    print(f"{len(record)} steps, {disks} disks")


def test_the_replay_finds_an_acknowledgement_before_the_sync(tmp_path: Path) -> None:
    """Teeth: the same record with PUBACKs moved before the sync they waited for is caught."""
    home = tmp_path / "home"
    home.mkdir()
    a_home(home, a_meter())
    disk = Disk(home, FILES)
    connection = sqlite3.connect(home / "gateway.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    early = [Step(SEND, data=packets.puback(1)), Step(disk_trace.SYNC_FOLDER)]
    with pytest.raises(AssertionError, match="1 lost"):
        replayed(early, disk, tmp_path / "cut")
