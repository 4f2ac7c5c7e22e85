"""What many meters cost: gateways beside each other, a broker in front, memory, disk, a start.

`python -m bench.scale memory` is one part in a process of its own. Absolute figures are those of
one machine; docs/scale.md reckons with them.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import psutil

from bench.central import measure as measure_central
from bench.gateway_programs import CONFIG, NO_LIMITS, event, gateway_round, program
from bench.mqtt_load import a_profile
from gateway import journal, registry, store
from gateway.journal import Group
from gateway.meter import Meter, Progress
from gateway.registry import Registry, StoredMeter
from gateway.segments import Accepted
from gateway.shards import move_file, moves, takeover
from tests.support.mosquitto import OPEN, Mosquitto, find_mosquitto
from wire import messages

ROUNDS = 3
FRAMES = 80_000
BROKER_FRAMES = 40_000
THIN_FRAMES = 20_000
GROUP_FRAMES = 256
MEMORY_METERS = 50_000
DISK_FRAMES = 96 * 1000  # a day of 1000 meters
START_METERS = 100_000
MOVED_METERS = 23_047  # a shard of 5.9 million
NOW_S = 1_700_000_000
EVERY = frozenset(f"{number:02x}" for number in range(256))
# docs/broker.md: a window as wide as the gateway's, and a queue that does not drop.
MOSQUITTO = OPEN + "max_inflight_messages 2000\nmax_queued_messages 1000000\n"


def main() -> None:
    """Every part in turn."""
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    two_gateways()
    many_connections()
    behind_a_broker()
    for part in ("memory", "disk", "start", "move"):
        subprocess.run([sys.executable, "-m", "bench.scale", part], check=True)
    measure_central()


# ------------------------------------------------------------------ gateways and brokers


def two_gateways() -> None:
    """One process and two, in turn; each has a load process beside it."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    cpu: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for count in (1, 2):
            done = gateway_round(8, FRAMES * count, 2000, shards=count)
            rates[count].append(done.messages / done.seconds)
            cpu[count].append(done.cpu_s / done.seconds)
    one, two = (statistics.median(rates[count]) for count in (1, 2))
    busy = [statistics.median(cpu[count]) for count in (1, 2)]
    print(
        f"one gateway                {one:>9,.0f} frames/s, {busy[0]:.2f} processors busy with it"
    )
    print(
        f"two, meters split          {two:>9,.0f} frames/s, {busy[1]:.2f} processors busy with them"
    )
    print(f"two to one                 {two / one:>9.2f}")


def many_connections() -> None:
    """1000 meters with one frame in flight each, as on any day; and with TLS."""
    for tls, name in ((False, "in clear"), (True, "TLS")):
        rounds = [gateway_round(1000, THIN_FRAMES, 1, tls=tls) for _ in range(ROUNDS)]
        rate = statistics.median(done.messages / done.seconds for done in rounds)
        cpu_us = statistics.median(1e6 * done.cpu_s / done.messages for done in rounds)
        print(f"1000 connections, {name:<8} {rate:>9,.0f} frames/s, {cpu_us:.0f} us of CPU a frame")


def behind_a_broker() -> None:
    """Meters -> mosquitto -> gateway, QoS 1: until all of it is in the gateway's journal."""
    if find_mosquitto() is None:
        print("mosquitto: not installed (apt-get install mosquitto)")
        return
    rates = []
    for _ in range(ROUNDS):
        with (
            tempfile.TemporaryDirectory() as name,
            Mosquitto(Path(name) / "m", MOSQUITTO) as broker,
        ):
            rates.append(_broker_round(Path(name), broker))
    print(f"one, behind mosquitto      {statistics.median(rates):>9,.0f} frames/s")


def _broker_round(folder: Path, broker: Mosquitto) -> float:
    registry.write_master_key(folder / "master.key")
    config = folder / "gateway.toml"
    text = CONFIG.format(tls="", limits=NO_LIMITS).replace("port = 0", "enabled = false")
    config.write_text(text + f'[broker]\nurl = "{broker.url}"\n')
    _register(folder, [_bench_meter(number) for number in range(8)])
    load = ["bench.mqtt_load", "meters", "--port", str(broker.port), "--meters", "8", "--single",
            "--frames", str(BROKER_FRAMES), "--window", "1000", "--deaf"]  # fmt: skip
    with (
        program("gateway", "run", "--config", str(config)) as gateway,
        program(*load) as source,
    ):
        event(gateway, "port")
        event(source, "ready")
        time.sleep(1.0)  # the gateway's SUBSCRIBE
        assert source.stdin is not None
        started = time.perf_counter()
        source.stdin.write("go\n")
        source.stdin.flush()
        looking = sqlite3.connect(folder / "gateway.db", timeout=10)
        try:
            while journal.last_id(looking) < BROKER_FRAMES:
                assert time.perf_counter() - started < 60, "frames are missing"
                time.sleep(0.01)
        finally:
            looking.close()
        return BROKER_FRAMES / (time.perf_counter() - started)


# ------------------------------------------------------------------ memory, disk, start, move


def memory() -> None:
    """Of one meter in the registry: known from the journal, and let in with its key."""
    keeper = Registry(bytes(32))
    ids = [os.urandom(8) for _ in range(MEMORY_METERS)]
    wrapped = [keeper.wrap(meter_id, 0, os.urandom(32)) for meter_id in ids]
    before = _resident()
    keeper.restore({meter_id: _some_progress() for meter_id in ids})
    idle = _resident()
    for meter_id, key in zip(ids, wrapped, strict=True):
        keeper.admit(StoredMeter(meter_id, bytes(32), [(0, key, 1024)]))
    loaded = _resident()
    each = [(after - before) / MEMORY_METERS for after in (idle, loaded)]
    print(f"memory of a meter          {each[0]:>9,.0f} B known, {each[1]:,.0f} B let in")


def disk() -> None:
    """Bytes of the database for a frame, and for a day of a meter."""
    for intervals, name in ((1, "1 interval"), (24, "24 intervals")):
        with tempfile.TemporaryDirectory() as folder:
            connection = store.connect(Path(folder) / "gateway.db")
            before = _database_bytes(connection)
            frames = DISK_FRAMES // intervals
            _journal(connection, frames, meters=1000, intervals=intervals)
            each = (_database_bytes(connection) - before) / frames
            connection.close()
        a_day = 96 // intervals
        print(f"database, {name:<16} {each:>9,.0f} B a frame, {each * a_day:,.0f} B a meter and day"
              f" of {a_day} frames")  # fmt: skip


def start() -> None:
    """From the command to the open door."""
    for meters, rows, what in (
        (1000, 0, "1,000 meters"),
        (START_METERS, 0, f"{START_METERS:,} meters"),
        (START_METERS, journal.CHECKPOINT_FRAMES,
         f"{START_METERS:,} meters, {journal.CHECKPOINT_FRAMES:,} frames since the checkpoint"),
    ):  # fmt: skip
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            registry.write_master_key(folder / "master.key")
            (folder / "gateway.toml").write_text(CONFIG.format(tls="", limits=""))
            _register(folder, [_bench_meter(number) for number in range(meters)], known=True)
            if rows:
                connection = store.connect(folder / "gateway.db")
                _journal(connection, rows, meters=1000, intervals=1, known=True)
                connection.close()
            started = time.perf_counter()
            with program("gateway", "run", "--config", str(folder / "gateway.toml")) as gateway:
                event(gateway, "port")
                seconds = time.perf_counter() - started
                resident = psutil.Process(gateway.pid).memory_info().rss / 2**20
        print(f"start                      {seconds:>9.2f} s, {resident:,.0f} MiB: {what}")


def move() -> None:
    """A shard from gateway to gateway: what the giver's and the taker's other meters wait for."""
    with tempfile.TemporaryDirectory() as name:
        folder, transfer = Path(name), move_file.derive(bytes(32))
        registry.write_master_key(folder / "master.key")
        _register(folder, [_bench_meter(number) for number in range(MOVED_METERS)], known=True)
        giver = store.connect(folder / "gateway.db")
        keeper = Registry(registry.read_master_key(folder / "master.key"))
        asked = store.transact(giver, lambda c: moves.ask(c, EVERY, EVERY, "a", "b", "x", NOW_S))
        marks = [time.perf_counter()]
        store.transact(giver, lambda c: moves.give_up(c, asked, {}, NOW_S))
        marks.append(time.perf_counter())
        given = moves.find(giver, EVERY, "b")
        assert given is not None
        sealed = move_file.seal(moves.export(giver, given, "a", keeper, transfer), transfer)
        marks.append(time.perf_counter())
        taker, other = store.connect(folder / "other.db"), Registry(bytes(range(32)))
        taken = move_file.unseal(sealed, transfer)
        assert store.transact(
            taker, lambda c: takeover.take(c, taken, EVERY, "b", other, transfer, "y", NOW_S)
        )
        marks.append(time.perf_counter())
        steps = [after - before for before, after in pairwise(marks)]
        print(
            f"move of {MOVED_METERS:,} meters      {steps[0]:>9.2f} s given up, {steps[1]:.2f} s"
            f" written out, {steps[2]:.2f} s taken over; {len(sealed) / MOVED_METERS:.0f} B a meter"
        )
        giver.close()
        taker.close()


# ------------------------------------------------------------------ helpers


def _bench_meter(number: int) -> tuple[bytes, bytes, str]:
    from bench.mqtt_load import meter_key

    return meter_key(number)


def _register(folder: Path, meters: list[tuple[bytes, bytes, str]], *, known: bool = False) -> None:
    """Meters in a new database; `known`: each has sent 100 frames."""
    keeper = Registry(registry.read_master_key(folder / "master.key"))
    connection = store.connect(folder / "gateway.db")

    def add(connection: sqlite3.Connection) -> None:
        keeper.check_master_key(connection)
        connection.executemany(
            "INSERT INTO meter (meter_id, password_hash, added_s) VALUES (?, ?, 0)",
            [(one[0], registry.password_hash(one[0], one[2].encode())) for one in meters],
        )
        connection.executemany(
            "INSERT INTO meter_key VALUES (?, 0, ?, 1024)",
            [(one[0], keeper.wrap(one[0], 0, one[1])) for one in meters],
        )
        if known:
            everybody = {Meter(one[0], _some_progress()) for one in meters}
            journal.commit(connection, Group(0, snapshot=journal.take_snapshot(everybody)))

    store.transact(connection, add)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _some_progress() -> Progress:
    progress = Progress()
    progress.windows[0] = type(progress.window(0))(99, (1 << 64) - 1)
    progress.intervals.upto = 100
    return progress


def _journal(
    connection: sqlite3.Connection, frames: int, *, meters: int, intervals: int, known: bool = False
) -> None:
    """Frames of many meters in turn, in groups as under load."""
    ids = [_bench_meter(number)[0] for number in range(meters)]
    first = 100 if known else 0
    rows: list[Accepted] = []
    for number in range(frames):
        index, meter = divmod(number, meters)
        message = messages.encode(a_profile(first + index, intervals))
        rows.append((ids[meter], 0, first + index, NOW_S, message))
        if len(rows) == GROUP_FRAMES or number == frames - 1:
            group = Group(NOW_S, rows=rows)
            store.transact(connection, partial(journal.commit, group=group))
            rows = []


def _database_bytes(connection: sqlite3.Connection) -> int:
    (pages,), (size,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size")
    )
    return int(pages) * int(size)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    {"memory": memory, "disk": disk, "start": start, "move": move}[sys.argv[1]]()
