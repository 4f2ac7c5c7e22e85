"""Alive, ready, and telling systemd: with a real notify socket, abstract or in a file."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.admin import health
from gateway.admin.health import Notifier, Pulse, Readiness
from gateway.config import Http, load
from tests.support.gateway import a_gateway, a_home, a_meter, until

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def a_manager(address: str) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind("\0" + address[1:] if address.startswith("@") else address)
        line.settimeout(10)
        yield line


def with_http(config: Path, **changes: object) -> Path:
    keys = {"port": 0} | changes
    lines = [f"{name} = {value!r}" for name, value in keys.items()]
    config.write_text(config.read_text() + "\n".join(["[http]", *lines]) + "\n")
    return config


@pytest.mark.parametrize(
    ("age_s", "is_alive"), [(0.0, True), (4.99, True), (5.0, False), (5.01, False)]
)
def test_a_loop_that_has_not_turned_for_five_seconds_is_not_alive(
    age_s: float, is_alive: bool
) -> None:
    now = [100.0]
    pulse = Pulse(lambda: now[0])
    now[0] += age_s
    assert pulse.is_alive() is is_alive


def test_the_pulse_ticks_while_the_loop_turns() -> None:
    async def look() -> bool:
        now = [100.0]
        pulse = Pulse(lambda: now[0])
        now[0] = 200.0
        assert not pulse.is_alive()
        task = asyncio.create_task(pulse.run())
        await asyncio.sleep(0)
        task.cancel()
        return pulse.is_alive()

    assert asyncio.run(look())


def test_a_part_that_gives_no_answer_is_not_ready_and_the_others_are() -> None:
    async def fine() -> str:
        return ""

    async def hangs() -> str:
        await asyncio.sleep(60)
        return ""

    said = asyncio.run(Readiness({"door": fine, "store": hangs}, check_s=0.05).look())
    assert said == {"door": "", "store": "gives no answer within 0.05 s"}


@pytest.mark.parametrize(("above_bytes", "ready"), [(-1, False), (0, True), (1, True)])
def test_a_disk_with_less_than_the_floor_is_not_ready(above_bytes: int, ready: bool) -> None:
    said = health.too_full(health.DISK_FREE_BYTES_MIN + above_bytes, Path("here"))
    assert (said == "") is ready
    assert ready or "free space" in said


def test_the_free_space_is_that_of_the_databases_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asyncio.run(health.check_disk(tmp_path)) == ""
    monkeypatch.setattr(health, "DISK_FREE_BYTES_MIN", 1 << 60)
    assert str(tmp_path) in asyncio.run(health.check_disk(tmp_path))


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_what_we_say_arrives_in_one_datagram(tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "n") if kind == "file" else f"@openlicznik-test-{os.getpid()}"
    with a_manager(address) as manager:
        Notifier({"NOTIFY_SOCKET": address}, 1).say("READY=1", "STATUS=good")
        assert manager.recv(100) == b"READY=1\nSTATUS=good"


def test_nobody_listens_and_nothing_breaks(tmp_path: Path) -> None:
    Notifier({}, 1).say("READY=1")
    gone = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}, 1)
    gone.say("READY=1")
    assert gone.watchdog_s == 0


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_is_ours_only_when_systemd_says_so(
    environ: dict[str, str], watchdog_s: float
) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/n"} | environ, 7).watchdog_s == watchdog_s


@pytest.mark.parametrize("alive", [True, False])
def test_the_watchdog_hears_nothing_of_a_loop_that_is_stuck(tmp_path: Path, alive: bool) -> None:
    address = str(tmp_path / "n")
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000"}
    now = [100.0]
    pulse = Pulse(lambda: now[0])
    now[0] += 0 if alive else health.TICK_LATE_S

    async def watch() -> None:
        task = asyncio.create_task(Notifier(environ, 1).watch(pulse))
        await asyncio.sleep(0.1)
        task.cancel()

    with a_manager(address) as manager:
        asyncio.run(watch())
        manager.setblocking(False)
        said = []
        while True:
            try:
                said.append(manager.recv(100))
            except BlockingIOError:
                break
    assert (len(said) >= 2) is alive
    assert set(said) <= {b"WATCHDOG=1"}


def test_systemd_hears_ready_after_listening_then_reload_then_stop(tmp_path: Path) -> None:
    config = a_home(tmp_path, a_meter())
    address = f"@openlicznik-run-{os.getpid()}"
    environ = os.environ | {
        "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "600000",
    }  # fmt: skip
    with a_manager(address) as manager:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", "--config", str(config)],
            stdout=subprocess.DEVNULL,
            env=environ,
        )

        def heard(first: bytes) -> bytes:
            while True:
                said = manager.recv(200)
                if said.startswith(first):
                    return said

        try:
            port = int(heard(b"READY=1\nSTATUS=port ").rpartition(b" ")[2])
            socket.create_connection(("127.0.0.1", port)).close()  # ready means listening
            assert heard(b"WATCHDOG") == b"WATCHDOG=1"
            process.send_signal(signal.SIGHUP)
            assert b"MONOTONIC_USEC=" in heard(b"RELOADING=1")
            assert heard(b"READY=1")
            process.send_signal(signal.SIGTERM)
            assert heard(b"STOPPING=1")
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


def test_a_running_gateway_is_live_and_ready(tmp_path: Path) -> None:
    async def look() -> list[tuple[int, str]]:
        async with (
            a_gateway(with_http(a_home(tmp_path))) as running,
            aiohttp.ClientSession(f"http://127.0.0.1:{running.http_port}") as session,
        ):
            found = []
            for path in ("/livez", "/readyz"):
                async with session.get(path) as answer:
                    found.append((answer.status, (await answer.json())["status"]))
            return found

    assert asyncio.run(look()) == [(200, "live"), (200, "ready")]


def test_a_gateway_whose_store_takes_no_writes_says_which_part_is_not_ready(
    tmp_path: Path,
) -> None:
    async def look() -> tuple[int, dict[str, str]]:
        async with (
            a_gateway(with_http(a_home(tmp_path))) as running,
            aiohttp.ClientSession(f"http://127.0.0.1:{running.http_port}") as session,
        ):
            running.intake.halted = True
            async with session.get("/readyz") as answer:
                status, parts = answer.status, (await answer.json())["parts"]
            running.intake.halted = False
            return status, parts

    status, parts = asyncio.run(look())
    assert status == 503
    assert "free space" in parts.pop("store")
    assert set(parts.values()) == {"ready"}


def test_the_http_port_in_use_stops_the_start_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        config = with_http(a_home(tmp_path), port=busy.getsockname()[1])
        refused = subprocess.run(
            [sys.executable, "-m", "gateway", "run", "--config", str(config)],
            capture_output=True, text=True, timeout=30, check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert refused.returncode == 1
    assert "set [http] port" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_an_http_server_that_ends_by_itself_ends_the_gateway(tmp_path: Path) -> None:
    async def look() -> bool:
        async with a_gateway(with_http(a_home(tmp_path))) as running:
            assert running.http is not None
            waiting = asyncio.create_task(running.wait())
            await asyncio.sleep(0.1)
            assert not waiting.done()
            running.http._server.should_exit = True
            await asyncio.wait_for(waiting, 10)
            return waiting.done()

    assert asyncio.run(look())


def test_without_http_nothing_listens_there(tmp_path: Path) -> None:
    async def look() -> int:
        async with a_gateway(a_home(tmp_path)) as running:
            await until(lambda: running.port)
            return running.http_port

    assert asyncio.run(look()) == 0
    assert load(tmp_path / "gateway.toml").http is None
    assert Http().host == "127.0.0.1"
