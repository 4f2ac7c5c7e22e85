"""The programs of the gateway's benchmark: a gateway on an empty database, its load, its peers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.mqtt_load import INTERVALS, meter_key
from gateway import registry, store
from gateway.process import raise_file_limit
from tests.support import certificates

ROOT = Path(__file__).resolve().parents[1]

CONFIG = """gateway_id = "bench"
[endpoint]
port = 0
{tls}
{limits}
[log]
format = "json"
level = "info"
"""
# The rate of one meter is let go: on a fat connection one meter stands for thousands.
NO_LIMITS = "[limits]\nframes_per_second = 100000000\nframes_burst = 100000000"
TLS = 'certificate_file = "server.pem"\nkey_file = "server.key"'


class Round(NamedTuple):
    """One measurement: all that was pushed, until all of it was acknowledged."""

    messages: int
    intervals: int
    seconds: float
    cpu_s: float  # of what is measured, not of the load
    p99_ms: float


class Gateway(NamedTuple):
    """A running gateway."""

    process: subprocess.Popen[str]
    port: int
    ca: str  # empty without TLS


@contextmanager
def a_gateway(numbers: range, *, tls: bool = False, limits: str = NO_LIMITS) -> Iterator[Gateway]:
    """A real gateway process that knows these meters."""
    raise_file_limit()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "gateway.toml"
        config.write_text(CONFIG.format(tls=TLS if tls else "", limits=limits))
        ca = _certify(folder) if tls else ""
        _register(folder, numbers)
        with program("gateway", "run", "--config", str(config)) as gateway:
            yield Gateway(gateway, _listening(gateway), ca)


def gateway_round(
    meters: int,
    frames: int,
    window: int,
    *,
    single: bool = True,
    tls: bool = False,
    deaf: bool = False,
    shards: int = 1,
) -> Round:
    """Frames through one gateway, or through several that split the meters between them."""
    frames -= frames % meters
    with ExitStack() as stack:
        sources, gateways = [], []
        for shard in range(shards):
            numbers = range(meters * shard // shards, meters * (shard + 1) // shards)
            gateway = stack.enter_context(a_gateway(numbers, tls=tls))
            load = (
                "bench.mqtt_load", "meters", "--port", gateway.port, "--first", numbers[0],
                "--meters", len(numbers), "--frames", frames // shards, "--window", window,
                *(["--single"] if single else []), *(["--ca", gateway.ca] if tls else []),
                *(["--deaf"] if deaf else []),
            )  # fmt: skip
            sources.append(stack.enter_context(program(*map(str, load))))
            gateways.append(gateway.process)
        return _measure(sources, gateways, frames, frames * (1 if single else INTERVALS))


def poison_round(meters: int, frames: int, window: int, how: str) -> Round:
    """Good meters, while one more sends as fast as the gateway's limits let it: `how` it is bad.

    `wrong_key`: each frame is refused. `flood`: good frames above its rate. `malformed`: bytes
    that are no MQTT, on one new connection after another. `none`: the yardstick.
    """
    frames -= frames % meters
    with a_gateway(range(meters + 1), limits="") as gateway, ExitStack() as stack:
        common = ["bench.mqtt_load", "meters", "--port", str(gateway.port), "--single"]
        good = [*common, "--meters", str(meters), "--frames", str(frames), "--window", str(window)]
        source = stack.enter_context(program(*good))
        if how in ("wrong_key", "flood"):
            bad = [*common, "--first", str(meters), "--meters", "1", "--frames", "60000"]
            bad += ["--window", "2000", *(["--wrong-key"] if how == "wrong_key" else [])]
            poison = stack.enter_context(program(*bad))
            event(poison, "ready")
            _go(poison)
        elif how == "malformed":
            event(stack.enter_context(program("bench.malformed", str(gateway.port))), "ready")
        return _measure([source], [gateway.process], frames, frames)


def broker_round(
    script: Sequence[str],
    meters: int,
    frames: int,
    *options: str,
    split: bool = False,
) -> Round:
    """A script on an empty database, fed by the load's broker with the readings of the frames."""
    messages = frames * (INTERVALS if split else 1)
    with tempfile.TemporaryDirectory() as name:
        load = ["bench.mqtt_load", "broker", "--meters", str(meters), "--frames", str(frames)]
        with program(*load, *options) as source:
            port = int(event(source, "port"))
            module, *how = script
            with program(module, str(port), str(Path(name) / "peer.db"), *how) as peer:
                intervals = messages if "--single" in options else frames * INTERVALS
                return _measure([source], [peer], messages, intervals)


def _register(folder: Path, numbers: range) -> None:
    registry.write_master_key(folder / "master.key")
    keeper = registry.Registry(registry.read_master_key(folder / "master.key"))
    connection = store.connect(folder / "gateway.db")
    connection.execute("BEGIN")
    keeper.check_master_key(connection)
    for number in numbers:
        meter_id, key, password = meter_key(number)
        keeper.add(connection, registry.NewMeter(meter_id.hex(), key.hex(), 0, password), 0)
    connection.execute("COMMIT")
    connection.close()


def _certify(folder: Path) -> str:
    """A server certificate in the folder; returns the path of the CA that signed it."""
    ca = certificates.a_ca()
    certificates.a_context(certificates.a_gateway(ca), folder)
    both = next(path for path in folder.glob("*.pem")).read_bytes()
    at = both.index(b"-----BEGIN PRIVATE KEY")
    (folder / "server.pem").write_bytes(both[:at])
    (folder / "server.key").write_bytes(both[at:])
    (folder / "server.key").chmod(0o600)
    (folder / "ca.pem").write_bytes(ca.pem())
    return str(folder / "ca.pem")


def _measure(
    sources: list[subprocess.Popen[str]],
    workers: list[subprocess.Popen[str]],
    messages: int,
    intervals: int,
) -> Round:
    """From the first push to the last PUBACK, and the workers' CPU meanwhile."""
    for source in sources:
        event(source, "ready")
    before = sum(_cpu_s(worker.pid) for worker in workers)
    for source in sources:
        _go(source)
    told = [_object(source, "seconds") for source in sources]
    cpu_s = sum(_cpu_s(worker.pid) for worker in workers) - before
    seconds = max(one["seconds"] for one in told)
    return Round(messages, intervals, seconds, cpu_s, max(one.get("p99_ms", 0) for one in told))


def _go(source: subprocess.Popen[str]) -> None:
    assert source.stdin is not None
    source.stdin.write("go\n")
    source.stdin.flush()


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def event(process: subprocess.Popen[str], name: str) -> float:
    """Read the process's output up to the object that has this field."""
    return float(_object(process, name)[name])


def _object(process: subprocess.Popen[str], name: str) -> dict[str, float]:
    assert process.stdout is not None
    for line in process.stdout:
        fields: dict[str, float] = json.loads(line)
        if name in fields:
            return fields
    raise RuntimeError(f"a program of the benchmark ended before it said {name}")


def _listening(process: subprocess.Popen[str]) -> int:
    """The gateway's port; its log is read on, so that a full pipe does not stop it."""
    port = int(event(process, "port"))
    assert process.stdout is not None
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return port


@contextmanager
def program(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One program of ours, stopped at the end."""
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
