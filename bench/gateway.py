"""Endpoint -> open -> replay check -> FULL commit -> PUBACK, beside what people write.

Everything in the same run, in turn; the figures are medians. Only the ratios mean something on
another machine. CPU is of the process that is measured; the load has the rest.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from bench.gateway_programs import (
    Round,
    a_gateway,
    broker_round,
    event,
    gateway_round,
    poison_round,
    program,
)
from bench.mqtt_load import a_profile, meter_key
from wire import frame, messages, topics
from wire.keys import UP, EpochKey

ROUNDS = 3
FAT = "gateway, 8 connections, 2000 in flight"
MANY = "gateway, 200 connections, 32 in flight"
THIN = "gateway, 1000 connections, 1 in flight"
FAT_24 = "the first, 24 intervals a message"
FAT_TLS = "the first, with TLS"
DEAF = "the third, without receipts"
THIN_TLS = "the third, with TLS"
TWO = "the first, 2 processes, meters split"
PAHO = "paho, manual ack, our acceptance, store"
NAIVE = "naive, commit per message"
NAIVE_WAL = "naive, commit per message, WAL"
NAIVE_100 = "naive, commit per 100 messages"
NAIVE_100_WAL = "naive, commit per 100 messages, WAL"
NAIVE_24 = "naive, 24 intervals a message"

POISON_LOAD = (200, 120_000, 32)
IDLE_METERS = 1000
HELD_METERS = 5000


def plan(scale: int) -> dict[str, Callable[[], Round]]:
    """What is measured, in the order of the table; `scale` 100 is the published run."""

    def times(frames: int) -> int:
        return max(2000, frames * scale // 100 // 2000 * 2000)

    naive = "bench.naive"
    return {
        FAT: lambda: gateway_round(8, times(80_000), 2000),
        MANY: lambda: gateway_round(200, times(40_000), 32),
        THIN: lambda: gateway_round(1000, times(40_000), 1),
        DEAF: lambda: gateway_round(1000, times(40_000), 1, deaf=True),
        FAT_TLS: lambda: gateway_round(8, times(80_000), 2000, tls=True),
        THIN_TLS: lambda: gateway_round(1000, times(20_000), 1, tls=True),
        TWO: lambda: gateway_round(8, times(160_000), 2000, shards=2),
        PAHO: lambda: broker_round(
            ["bench.paho_gateway", "--meters", "8"], 8, times(16_000), "--single", "--sealed"
        ),
        NAIVE: lambda: broker_round([naive], 8, times(4_000) // 24, "--single", split=True),
        NAIVE_WAL: lambda: broker_round(
            [naive, "--wal"], 8, times(8_000) // 24, "--single", split=True
        ),
        NAIVE_100: lambda: broker_round(
            [naive, "--commit-every", "100"], 8, times(24_000) // 24, "--single", split=True
        ),
        NAIVE_100_WAL: lambda: broker_round(
            [naive, "--wal", "--commit-every", "100"],
            8,
            times(24_000) // 24,
            "--single",
            split=True,
        ),
        FAT_24: lambda: gateway_round(8, times(40_000), 2000, single=False),
        NAIVE_24: lambda: broker_round([naive], 8, times(4_000)),
    }


def main(arguments: list[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--scale", type=int, default=100, help="per cent of the frames")
    parser.add_argument("--only", help="rows whose name has this in it")
    chosen = parser.parse_args(arguments if arguments is not None else [])
    work = {n: w for n, w in plan(chosen.scale).items() if chosen.only is None or chosen.only in n}
    rows: dict[str, list[Round]] = {name: [] for name in work}
    calibration = []
    for _ in range(chosen.rounds):
        for name, measure in work.items():
            rows[name].append(measure())
        calibration.append(open_us())
    print(
        f"2 registers, an interval a message where nothing else is said; medians of {chosen.rounds}"
    )
    print(
        "interleaved rounds. gateway: every frame opened and checked, committed, receipts sealed."
    )
    print(f"wire.frame.open alone, between the rounds: {statistics.median(calibration):.1f} us")
    print_table(rows)
    if chosen.only is None:
        print_poison(chosen.rounds + 2)  # what is asked for is small beside the noise
        print_connections()
    return 0


def print_table(rows: dict[str, list[Round]]) -> None:
    """Messages a second, CPU, latency, and how many times as fast the first row is."""
    print(f"{'':40}{'messages/s':>11}{'intervals/s':>12}{'CPU us/msg':>11}{'p99 ms':>8}", end="")
    print(f"{'first is':>10}")
    first = next(iter(rows.values()))
    by_message = _median(r.messages / r.seconds for r in first)
    for name, rounds in rows.items():
        messages = _median(r.messages / r.seconds for r in rounds)
        intervals = _median(r.intervals / r.seconds for r in rounds)
        cpu_us = _median(1e6 * r.cpu_s / r.messages for r in rounds)
        p99_ms = _median(r.p99_ms for r in rounds)
        print(f"{name:40}{messages:>11,.0f}{intervals:>12,.0f}{cpu_us:>11.1f}", end="")
        print(f"{p99_ms:>8.0f}" if p99_ms else f"{'-':>8}", end="")
        print(f"{by_message / messages:>9.1f}x")


def print_poison(rounds: int) -> None:
    """What a bad meter costs the others: rate and CPU beside it, of those without it."""
    found: dict[str, list[Round]] = {how: [] for how in ("none", "wrong_key", "flood", "malformed")}
    for _ in range(rounds):
        for how, measured in found.items():
            measured.append(poison_round(*POISON_LOAD, how))
    alone = found.pop("none")
    for how, measured in found.items():
        rate = _rate(measured) / _rate(alone)
        cpu = _cpu_us(measured) / _cpu_us(alone)
        print(f"beside a bad meter ({how}): {rate:.0%} of the rate alone, {cpu:.0%} of the CPU")


def _rate(rounds: list[Round]) -> float:
    return statistics.median(one.messages / one.seconds for one in rounds)


def _cpu_us(rounds: list[Round]) -> float:
    return statistics.median(1e6 * one.cpu_s / one.messages for one in rounds)


def print_connections() -> None:
    """What connections cost that do nothing."""
    for tls in (False, True):
        bytes_each = idle_bytes(IDLE_METERS, tls=tls)
        print(
            f"an idle connection{', TLS' if tls else '':5}: {bytes_each / 1024:.1f} KiB of memory"
        )
    print(f"{HELD_METERS} connections held: {held(HELD_METERS):,.0f} MiB in all")


def idle_bytes(meters: int, *, tls: bool) -> float:
    """Memory of the gateway for each meter that is connected and silent (RSS)."""
    with a_gateway(range(meters), tls=tls) as gateway:
        before = psutil.Process(gateway.process.pid).memory_info().rss
        options = ["--ca", gateway.ca] if tls else []
        with _joined(gateway.port, meters, *options):
            after: int = psutil.Process(gateway.process.pid).memory_info().rss
    return float(after - before) / meters


def held(meters: int) -> float:
    """MiB of a gateway with so many connections, all of which still stand after a while."""
    with a_gateway(range(meters)) as gateway, _joined(gateway.port, meters):
        time.sleep(2)
        process = psutil.Process(gateway.process.pid)
        established = [c for c in process.net_connections("tcp") if c.status == "ESTABLISHED"]
        assert len(established) == meters, f"{len(established)} of {meters} connections held"
        return float(process.memory_info().rss) / 2**20


@contextmanager
def _joined(port: int, meters: int, *options: str) -> Iterator[None]:
    """So many meters, connected and subscribed, that send nothing."""
    load = ("meters", "--port", str(port), "--meters", str(meters), "--frames", "0", *options)
    with program("bench.mqtt_load", *load) as source:
        event(source, "ready")
        yield


def open_us() -> float:
    """What opening one frame costs here and now: the yardstick of the CPU column."""
    meter_id, key, _ = meter_key(0)
    up, epoch_key = topics.up(meter_id), EpochKey(0, key)
    sealed = frame.seal(epoch_key, UP, 1, up, messages.encode(a_profile(1, 1)))
    started, times = time.perf_counter(), 20_000
    for _ in range(times):
        frame.open(epoch_key, sealed, up)
    return 1e6 * (time.perf_counter() - started) / times


def _median(values: Iterator[float]) -> float:
    return statistics.median(list(values))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
