"""The meter as a real MicroPython process: its week, its kills, and what it says to its user."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from host_tools.micropython import ROOT, find_micropython, micropython_env
from tests.support.a_meter import METER_ID, METER_KEY, NOON_S, settings
from tests.support.fake_gateway import FakeGateway

HOURS = 30
HOUSEHOLD = [((hour * 137) % 901, (hour * 53) % 411 if 8 <= hour % 24 <= 16 else 0)
             for hour in range(HOURS)]  # fmt: skip
PASSWORD = settings()["password"]
WITHIN_S = 30
HEAP = "heapsize=512k"  # modules compile from source here, with 64-bit words


def a_gateway(**changes: Any) -> FakeGateway:
    return FakeGateway(METER_ID, METER_KEY, PASSWORD.encode(), **changes)


def a_folder(folder: Path, port: int, speed: int = 1_000_000, **changes: Any) -> Path:
    config = settings(gateway_port=port, household="household.csv", speed=speed, **changes)
    (folder / "config.json").write_text(json.dumps(config))
    lines = [f"{NOON_S + 3600 * h},{i},{e}\n" for h, (i, e) in enumerate(HOUSEHOLD)]
    (folder / "household.csv").write_text("".join(lines))
    return folder


def start(folder: Path, log: Any = subprocess.PIPE) -> subprocess.Popen[bytes]:
    command = [str(find_micropython()), "-X", HEAP, "-m", "boards.unix", str(folder)]
    return subprocess.Popen(
        command, env=micropython_env(), cwd=ROOT, stdout=log, stderr=subprocess.PIPE
    )


@contextmanager
def a_running_meter(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("ab") as log, start(folder, log) as process:
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / "log").read_bytes().splitlines()
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue  # the line that a kill cut
        if event["event"] == name:
            found.append(event)
    return found


def assert_the_household_arrived(gateway: FakeGateway) -> None:
    """Every interval once, measured, contiguous; every hour's energy as in the file, to the Wh."""
    assert sorted(gateway.intervals) == list(range(1, 4 * HOURS + 1))
    assert gateway.conflicts == []
    assert gateway.faults == []
    for number, (start_s, _, quality) in gateway.intervals.items():
        assert start_s == NOON_S + 900 * (number - 1)
        assert quality == 0
    for hour, (import_wh, export_wh) in enumerate(HOUSEHOLD):
        quarter = [gateway.intervals[4 * hour + index][1] for index in (1, 2, 3, 4)]
        assert sum(deltas[0] for deltas in quarter) == import_wh
        assert sum(deltas[1] for deltas in quarter) == export_wh


def wait_for(folder: Path, event: str, times: int = 1) -> dict[str, Any]:
    """The newest of at least `times` such events, over all runs of the meter in this folder."""
    end_s = time.monotonic() + WITHIN_S
    while time.monotonic() < end_s:
        found = events(folder, event)
        if len(found) >= times:
            return found[-1]
        time.sleep(0.02)
    raise AssertionError(f"no {event} within {WITHIN_S} s")


def test_a_household_s_hours_arrive_exactly(tmp_path: Path) -> None:
    with a_gateway() as gateway, a_running_meter(a_folder(tmp_path, gateway.port)):
        assert gateway.wait_for(4 * HOURS, WITHIN_S)
        assert wait_for(tmp_path, "script_end")["intervals"] == 4 * HOURS
    assert_the_household_arrived(gateway)
    assert gateway.repeats == 0
    first = events(tmp_path, "interval")[0]
    assert set(first) >= {"number", "start_s", "import_wh", "export_wh", "import_delta_wh"}
    assert len(first["pulses"]) == 2
    assert set(events(tmp_path, "sent")[0]) >= {"frame_counter", "bytes", "first", "count"}


def test_kill_9_at_any_moment_changes_no_interval(tmp_path: Path) -> None:
    chance = random.Random(20211015)
    with a_gateway() as gateway:
        a_folder(tmp_path, gateway.port, speed=60_000)
        for boots in range(1, 10):
            with a_running_meter(tmp_path):
                wait_for(tmp_path, "boot", boots)
                time.sleep(chance.random() * 0.2)
        with a_running_meter(tmp_path):
            assert gateway.wait_for(4 * HOURS, WITHIN_S)
            wait_for(tmp_path, "script_end")
    assert_the_household_arrived(gateway)
    boots_at = [event["number"] for event in events(tmp_path, "boot")]
    assert len(set(boots_at)) > 3, "the kills must fall into the run"
    assert not any(event["counts_lost"] for event in events(tmp_path, "boot"))


def test_a_gateway_that_sends_no_receipts_gets_everything_again(tmp_path: Path) -> None:
    with a_gateway() as gateway:
        a_folder(tmp_path, gateway.port)
        gateway.receipts = False
        with a_running_meter(tmp_path):
            wait_for(tmp_path, "script_end")
        assert gateway.intervals == {}  # only the greeting went out: nothing answered it
        gateway.receipts = True
        with a_running_meter(tmp_path):
            assert gateway.wait_for(4 * HOURS, WITHIN_S)
    assert_the_household_arrived(gateway)


def test_a_wrong_password_is_told_without_showing_it(tmp_path: Path) -> None:
    other = FakeGateway(METER_ID, METER_KEY, b"another")
    with other as gateway, a_running_meter(a_folder(tmp_path, gateway.port)):
        assert wait_for(tmp_path, "link")["why"] == "wrong password"
    shown = (tmp_path / "log").read_text()
    assert PASSWORD not in shown
    assert METER_KEY.hex() not in shown


def test_an_emptied_flash_is_told_and_the_meter_stays_silent(tmp_path: Path) -> None:
    with a_gateway() as gateway:
        a_folder(tmp_path, gateway.port)
        with a_running_meter(tmp_path):
            assert gateway.wait_for(4, WITHIN_S)
        counters = len(gateway.counters)
        (tmp_path / "flash.bin").unlink()
        with a_running_meter(tmp_path):
            assert "pair the meter again" in wait_for(tmp_path, "keystore")["todo"]
            wait_for(tmp_path, "script_end")
        assert len(gateway.counters) == counters


def test_a_torn_flash_file_is_mended_and_told(tmp_path: Path) -> None:
    with a_gateway() as gateway:
        a_folder(tmp_path, gateway.port)
        with a_running_meter(tmp_path):
            assert gateway.wait_for(4 * HOURS, WITHIN_S)
        flash = tmp_path / "flash.bin"
        whole = flash.read_bytes()
        flash.write_bytes(whole[: len(whole) // 2])
        with a_running_meter(tmp_path):
            assert wait_for(tmp_path, "flash", 2)["state"] == "repaired"
            wait_for(tmp_path, "boot", 2)
    assert_the_household_arrived(gateway)


def ended(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [str(find_micropython()), "-m", "boards.unix", *arguments]
    done = subprocess.run(
        command, env=micropython_env(), cwd=ROOT, capture_output=True, timeout=20, check=False
    )
    return done.returncode, done.stderr.decode()


def test_a_user_s_mistake_is_one_clear_line_and_exit_2(tmp_path: Path) -> None:
    def refused(*arguments: str) -> str:
        code, text = ended(tmp_path, *arguments)
        assert code == 2
        assert text.count("\n") == 1
        assert "Traceback" not in text
        return text

    folder = str(tmp_path)
    assert "usage" in refused()
    assert "usage" in refused(folder, "extra")
    assert "pair the meter first" in refused(folder)
    config = tmp_path / "config.json"
    config.write_text("{not json")
    assert "not JSON" in refused(folder)
    a_folder(tmp_path, 1, colour="red")
    assert "colour" in refused(folder)
    a_folder(tmp_path, 1, speed=0)
    assert "speed" in refused(folder)
    a_folder(tmp_path, 70000)
    assert "gateway_port" in refused(folder)
    a_folder(tmp_path, 1)
    (tmp_path / "household.csv").write_text("hello\n")
    assert "household.csv line 1" in refused(folder)
    (tmp_path / "household.csv").unlink()
    assert "put the file there" in refused(folder)


def test_a_folder_that_cannot_be_written_is_one_clear_line_and_exit_1(tmp_path: Path) -> None:
    a_folder(tmp_path, 1)
    (tmp_path / "flash.bin").mkdir()
    code, text = ended(tmp_path, str(tmp_path))
    assert code == 1
    assert text.startswith("the meter stopped")
    assert "Traceback" not in text


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_meter_that_is_told_to_stop_stops_without_a_traceback(
    tmp_path: Path, how: signal.Signals
) -> None:
    a_folder(tmp_path, 1, speed=1)
    with (tmp_path / "log").open("wb") as log, start(tmp_path, log) as process:
        wait_for(tmp_path, "link")
        os.kill(process.pid, how)
        _, error = process.communicate(timeout=10)
    assert error == b""


def test_without_a_household_the_meter_runs_in_real_time_with_no_pulses(tmp_path: Path) -> None:
    with a_gateway() as gateway:
        (tmp_path / "config.json").write_text(json.dumps(settings(gateway_port=gateway.port)))
        with a_running_meter(tmp_path):
            wait_for(tmp_path, "receipt")
    assert gateway.statuses == 1
    assert gateway.faults == []
