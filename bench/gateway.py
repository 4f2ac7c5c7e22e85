"""Endpoint -> open -> replay check -> FULL commit -> PUBACK, beside a naive script, same readings.

Both get them one interval a message, as home-made meters send them, and 24 a message, as our
frames have them. All in the same run, in turn; the figures are medians. Only the ratios mean
something on another machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.mqtt_load import INTERVALS, meter_key
from gateway import registry, store

ROUNDS = 3
METERS = 200
FRAMES = 12_000
ROOT = Path(__file__).resolve().parents[1]

CONFIG = 'gateway_id = "bench"\n[endpoint]\nport = 0\n[log]\nformat = "json"\nlevel = "info"\n'


OURS_SINGLE = "gateway, an interval a message"
OURS = "gateway, 24 intervals a message"
NAIVE_SINGLE = "naive, an interval a message"
NAIVE_SINGLE_WAL = "naive, an interval a message, WAL"
NAIVE = "naive, 24 intervals a message"
NAIVE_WAL = "naive, 24 intervals a message, WAL"
NAIVE_100 = "the same, one commit per 100 messages"


class Round(NamedTuple):
    messages: int
    intervals: int
    seconds: float
    cpu_s: float


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--meters", type=int, default=METERS)
    chosen = parser.parse_args(arguments if arguments is not None else [])
    frames = chosen.frames - chosen.frames % chosen.meters
    few = max(chosen.meters, frames // INTERVALS)  # as many messages, not a run of minutes
    plan: dict[str, Callable[[], Round]] = {
        OURS_SINGLE: lambda: gateway_round(chosen.meters, frames, single=True),
        NAIVE_SINGLE: lambda: naive_round(chosen.meters, few, "--single"),
        NAIVE_SINGLE_WAL: lambda: naive_round(chosen.meters, few, "--single", wal=True),
        OURS: lambda: gateway_round(chosen.meters, frames),
        NAIVE: lambda: naive_round(chosen.meters, frames),
        NAIVE_WAL: lambda: naive_round(chosen.meters, frames, wal=True),
        NAIVE_100: lambda: naive_round(chosen.meters, frames, wal=True, commit_every=100),
    }
    rows: dict[str, list[Round]] = {name: [] for name in plan}
    for _ in range(chosen.rounds):
        for name, work in plan.items():
            rows[name].append(work())
    print(f"{frames} frames from {chosen.meters} meters, 2 registers; medians of")
    print(f"{chosen.rounds} interleaved rounds. gateway: a connection for each meter, every frame")
    print("opened and checked, receipts sealed. naive: one connection, plain JSON.")
    print_table(rows)
    return 0


def print_table(rows: dict[str, list[Round]]) -> None:
    """Messages and intervals a second, CPU, and how many times faster the gateway is.

    By message: beside the gateway with as many intervals in a message. By interval: beside the
    gateway as it is used, 24 in a frame.
    """
    print(f"{'':38}{'messages/s':>11}{'intervals/s':>12}{'CPU us/msg':>11}", end="")
    print(f"{'by message':>12}{'by interval':>12}")
    by_interval = _median(r.intervals / r.seconds for r in rows[OURS])
    by_message = 0.0
    for name, rounds in rows.items():
        messages = _median(r.messages / r.seconds for r in rounds)
        intervals = _median(r.intervals / r.seconds for r in rounds)
        cpu_us = _median(1e6 * r.cpu_s / r.messages for r in rounds)
        if name in (OURS, OURS_SINGLE):
            by_message = messages
        print(f"{name:38}{messages:>11,.0f}{intervals:>12,.0f}{cpu_us:>11.1f}", end="")
        print(f"{by_message / messages:>11.1f}x{by_interval / intervals:>11.1f}x")


def gateway_round(meters: int, frames: int, *, single: bool = False) -> Round:
    """A real gateway process on an empty database."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "gateway.toml"
        config.write_text(CONFIG)
        _register(folder, meters)
        with _program("gateway", "run", "--config", str(config)) as gateway:
            port = int(_event(gateway, "port"))
            _drain(gateway)
            load = ["bench.mqtt_load", "meters", "--port", str(port), "--meters", str(meters)]
            load += ["--frames", str(frames), *(["--single"] if single else [])]
            with _program(*load) as source:
                intervals = frames * (1 if single else INTERVALS)
                return Round(frames, intervals, *_measure(source, gateway))


def naive_round(
    meters: int, frames: int, *options: str, wal: bool = False, commit_every: int = 1
) -> Round:
    """The naive script on an empty database, with the readings of so many frames."""
    messages = frames * (INTERVALS if "--single" in options else 1)
    with tempfile.TemporaryDirectory() as name:
        load = ("bench.mqtt_load", "broker", "--meters", str(meters), "--frames", str(frames))
        with _program(*load, *options) as source:
            port = int(_event(source, "port"))
            database = str(Path(name) / "naive.db")
            how = ["--commit-every", str(commit_every), *(["--wal"] if wal else [])]
            with _program("bench.naive", str(port), database, *how) as script:
                return Round(messages, frames * INTERVALS, *_measure(source, script))


def _register(folder: Path, meters: int) -> None:
    registry.write_master_key(folder / "master.key")
    keeper = registry.Registry(registry.read_master_key(folder / "master.key"))
    connection = store.connect(folder / "gateway.db")
    connection.execute("BEGIN")
    keeper.check_master_key(connection)
    for number in range(meters):
        meter_id, key, password = meter_key(number)
        keeper.add(connection, registry.NewMeter(meter_id.hex(), key.hex(), 0, password), 0)
    connection.execute("COMMIT")
    connection.close()


def _measure(source: subprocess.Popen[str], worker: subprocess.Popen[str]) -> tuple[float, float]:
    """Seconds from the first push to the last PUBACK, and of the worker's CPU."""
    _event(source, "ready")
    before = _cpu_s(worker.pid)
    assert source.stdin is not None
    source.stdin.write("go\n")
    source.stdin.flush()
    seconds = _event(source, "seconds")
    return seconds, _cpu_s(worker.pid) - before


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _event(process: subprocess.Popen[str], name: str) -> float:
    """Read the process's output up to the object that has this field."""
    assert process.stdout is not None
    for line in process.stdout:
        fields = json.loads(line)
        if name in fields:
            return float(fields[name])
    raise RuntimeError(f"a program of the benchmark ended before it said {name}")


def _drain(process: subprocess.Popen[str]) -> None:
    """Read the log on, so that a full pipe does not stop the process."""
    assert process.stdout is not None
    threading.Thread(target=process.stdout.read, daemon=True).start()


@contextmanager
def _program(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _median(values: Iterator[float]) -> float:
    return statistics.median(list(values))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
