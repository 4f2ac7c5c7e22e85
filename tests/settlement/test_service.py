"""Real processes: start, stop, kill, port in use, and one clear line for every user's mistake."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.settlement import (
    EXPORTS,
    PPE,
    PROJECT,
    SCENARIOS,
    TOKEN,
    a_batch,
    a_day_of_profiles,
    a_key,
    a_point,
)

START_TIMEOUT_S = 30
WEEK = EXPORTS / "elicznik-2021-10-15-week.csv"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "settlement", *arguments]


def once(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )


class Running:
    """A service process on a free port."""

    def __init__(self, config: Path) -> None:
        self.process = subprocess.Popen(
            command("run", "--config", str(config)),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate(timeout=10)[1]
        event = json.loads(line)
        assert event["event"] == "listening"
        self.port: int = event["port"]

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_TIMEOUT_S)
        named = {"Authorization": f"Bearer {TOKEN}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        connection.request(method, path, body, named)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, json.loads(data)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=START_TIMEOUT_S)
        return self.process.returncode, out, err


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(TOKEN, encoding="ascii")
    (tmp_path / "token").chmod(0o600)
    path = tmp_path / "settlement.toml"
    path.write_text(
        '[http]\nport = 0\n[store]\npath = "settlement.db"\n[auth]\ntoken_file = "token"\n'
        '[log]\nformat = "json"\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture
def running(config: Path) -> Iterator[list[Running]]:
    started = [Running(config)]
    yield started
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate(timeout=START_TIMEOUT_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_on_request_is_clean(running: list[Running], number: int) -> None:
    assert running[0].ask("GET", "/readyz") == (200, {"status": "ready"})
    code, out, err = running[0].stop(number)
    assert (code, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["event"] == "stopped"


def test_a_kill_between_batches_loses_nothing_and_counts_nothing_twice(
    running: list[Running], config: Path
) -> None:
    profiles = a_day_of_profiles()
    point = f"/v1/points/{PPE}"
    assert running[0].ask("PUT", point, a_point())[0] == 200
    for first in range(0, 24, 4):
        body = a_batch(profiles[first : first + 4], first_id=first + 1)
        key = a_key(body, first + 1)
        answered = running[-1].ask("POST", "/v1/batches", body, Idempotency_Key=key)
        assert answered == (200, {"accepted": 4, "duplicate": 0, "rejected": []})
        if first % 8 == 0:
            running[-1].process.send_signal(signal.SIGKILL)
            running[-1].process.communicate(timeout=START_TIMEOUT_S)
            running.append(Running(config))
            again = running[-1].ask("POST", "/v1/batches", body, Idempotency_Key=key)
            assert again == answered
    order = json.dumps({"start": "2024-10-14", "end": "2024-10-15"}).encode()
    status, invoice = running[-1].ask("POST", f"{point}/invoices", order)
    assert (status, invoice["usage"]["import_wh"], invoice["usage"]["intervals"]) == (
        201,
        9600,
        96,
    )


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.03])
def test_a_kill_in_the_middle_of_a_batch_counts_every_interval_once(
    running: list[Running], config: Path, after_s: float
) -> None:
    point = f"/v1/points/{PPE}"
    assert running[0].ask("PUT", point, a_point())[0] == 200
    batches = [a_batch([each], first_id=n + 1) for n, each in enumerate(a_day_of_profiles())]
    answered: list[Any] = []

    def deliver(service: Running) -> None:
        for number, body in enumerate(batches, start=1):
            key = a_key(body, number)
            answered.append(service.ask("POST", "/v1/batches", body, Idempotency_Key=key))

    def deliver_until_killed() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            deliver(running[0])

    delivering = threading.Thread(target=deliver_until_killed)
    delivering.start()
    time.sleep(after_s)
    running[0].process.send_signal(signal.SIGKILL)
    running[0].process.communicate(timeout=START_TIMEOUT_S)
    delivering.join(timeout=START_TIMEOUT_S)
    before = list(answered)
    running.append(Running(config))
    answered.clear()
    deliver(running[1])
    assert answered[: len(before)] == before
    assert {status for status, _ in answered} == {200}
    order = json.dumps({"start": "2024-10-14", "end": "2024-10-15"}).encode()
    usage = running[1].ask("POST", f"{point}/invoices", order)[1]["usage"]
    assert (usage["import_wh"], usage["intervals"]) == (9600, 96)


def test_the_token_is_never_in_the_log(running: list[Running]) -> None:
    status, _ = running[0].ask("GET", f"/v1/points/{PPE}/invoices", Authorization=f"Basic {TOKEN}")
    assert status == 401
    _, out, err = running[0].stop()
    assert "unauthorized" in out
    assert TOKEN not in out + err


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_port_in_use_is_one_line_and_exit_code_1(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = config.read_text(encoding="utf-8").replace("port = 0", f"port = {port}")
        config.write_text(text, encoding="utf-8")
        done = once("run", "--config", str(config))
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in complaint(done)


def test_an_unknown_key_is_one_line_and_exit_code_2(config: Path) -> None:
    config.write_text("[http]\nprot = 1\n" + config.read_text(encoding="utf-8")[7:])
    for name in ("run", "check-config"):
        done = once(name, "--config", str(config))
        assert done.returncode == 2
        assert "unknown key http.prot" in complaint(done)


def test_a_file_that_is_no_database_is_one_line_and_exit_code_1(config: Path) -> None:
    (config.parent / "settlement.db").write_bytes(b"not a database" * 100)
    done = once("run", "--config", str(config))
    assert done.returncode == 1
    assert "not a database of this service" in complaint(done)


def test_a_good_configuration_is_said_to_be_fine_without_its_token(config: Path) -> None:
    done = once("check-config", "--config", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    assert "is fine" in done.stdout
    assert TOKEN not in done.stdout
    assert not os.path.exists(config.parent / "settlement.db")


def test_an_export_is_printed_as_hours_of_utc() -> None:
    done = once("elicznik", str(WEEK), "--move-to", "2024-10-11")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert (len(lines), lines[0]) == (168, "1728597600,396,0")


@pytest.mark.parametrize(
    ("arguments", "code", "fault"),
    [
        (["elicznik", str(WEEK), "--move-to", "2024-10-21"], 1, "move to another day"),
        (["elicznik", str(WEEK), "--move-to", "soon"], 2, "'soon' is not a day"),
        (["elicznik", "nowhere.csv"], 1, "nowhere.csv: No such file"),
        (["scenario", "nowhere"], 2, "has none of contract.toml"),
        (["check-config", "--config", "nowhere.toml"], 2, "nowhere.toml"),
    ],
)
def test_a_users_mistake_is_one_clear_line(arguments: Sequence[str], code: int, fault: str) -> None:
    done = once(*arguments)
    assert done.returncode == code
    assert fault in complaint(done)


def test_a_command_that_does_not_exist_is_exit_code_2() -> None:
    done = once("setle")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_scenario_is_printed_as_its_then_files() -> None:
    folder = SCENARIOS / "given_a_capped_household_in_july_2024"
    done = once("scenario", str(folder))
    written = json.loads((folder / "then" / "invoice.json").read_text(encoding="utf-8"))
    assert json.loads(done.stdout)["invoice.json"] == written
