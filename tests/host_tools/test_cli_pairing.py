"""Pairing from the command line, for real: each stage told, exit codes, signals, many boards."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from host_tools.cli.pair import said
from host_tools.pairing import label
from tests.support.a_bench import a_setup_file, json_lines, run
from tests.support.a_pairing import WIFI_PASSWORD
from tests.support.admin import ADMIN_TOKEN
from tests.support.running_gateway import RunningGateway
from tests.support.virtual.an_image import a_flashed_board, application


def test_pairing_from_the_command_line_tells_each_stage_and_no_secret(
    bench: Path, gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    a_setup_file(bench, gateway)
    with a_flashed_board(bench / "board", application()) as board:
        assert run("pair", "--port", board.port, "--json", "--ppe", "590322400000000010") == 0
        shown = capsys.readouterr()
        *events, result = json_lines(shown.out)
        assert (result["event"], result["state"]) == ("result", "paired")
        assert result["ppe"] == "590322400000000010"
        assert [e["stage"] for e in events if e["state"] == "done"][-1] == "audit"
        for secret in (WIFI_PASSWORD, ADMIN_TOKEN):
            assert secret not in shown.out + shown.err
        assert label.meter_id_of_serial(result["serial"]).hex() == result["meter_id"]
        read = result["reading"]["registers"]
        assert all(Path(path).exists() for path in result["label"]["label"])

        assert run("pair", "--port", board.port) == 0
        shown = capsys.readouterr()
        assert re.search(r"^serial +[0-9A-F-]{22}$", shown.out, re.MULTILINE)
        assert shown.out.splitlines()[-1] == f"first reading: {said(read)}"
        assert "before  identity" in shown.err

        assert run("audit", "list", "--json") == 0
        assert [act["action"] for act in json_lines(capsys.readouterr().out)] == ["meter.pair"]
        assert run("audit", "head") == 0
        head = capsys.readouterr().out.strip()
        assert run("audit", "verify", "--kept", head) == 0

        assert run("repair", result["serial"], "--json") == 0
        assert json_lines(capsys.readouterr().out)[-1]["key_epoch"] == 1
        serial = result["serial"]
        words = ["decommission", "--meter", serial, "--port", board.port, "--yes", "--json"]
        assert run(*words) == 0
        assert json_lines(capsys.readouterr().out)[-1]["erase"]["read_back"] == "all 0xFF"


def test_a_stage_that_fails_gives_its_exit_code(
    bench: Path, gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    a_setup_file(bench, gateway)
    assert run("pair", "--port", "/dev/nowhere") == 10
    assert "probe: not_ready: /dev/nowhere is port_missing" in capsys.readouterr().err
    assert run("pair", "--port", "/dev/nowhere", "--json") == 10
    assert json_lines(capsys.readouterr().out)[-1]["state"] == "failed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_pairing_that_goes_on(
    bench: Path, gateway: RunningGateway, number: signal.Signals
) -> None:
    a_setup_file(bench, gateway, port=9)  # where nobody listens
    with a_flashed_board(bench / "board", application()) as board:
        command = [sys.executable, "-m", "host_tools", "pair", "--port", board.port, "--json"]
        env = {**board.environment(), "OPENLICZNIK_STATE": str(bench / "state")}
        first = subprocess.Popen(command, cwd=bench, env=env, stdout=subprocess.PIPE, text=True)
        assert first.stdout is not None
        timer = threading.Timer(60, first.kill)
        timer.start()
        for line in first.stdout:
            event = json.loads(line)
            if (event.get("stage"), event.get("state")) == ("reading", "begun"):
                first.send_signal(number)
        assert first.wait() == 130
        timer.cancel()
        a_setup_file(bench, gateway)
        second = subprocess.run(command, cwd=bench, env=env, stdout=subprocess.PIPE, text=True)
        assert second.returncode == 0
        events = json_lines(second.stdout)
        assert {"event": "stage", "stage": "register", "state": "done_before"} in events
        assert events[-1]["state"] == "paired"


def test_a_fleet_of_two_boards_one_of_them_silent(
    bench: Path, gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    a_setup_file(bench, gateway)
    with a_flashed_board(bench / "board", application()) as board:
        (bench / "orders.csv").write_text(f"port,note\n{board.port},box 1\n/dev/nowhere,box 2\n")
        assert run("fleet", "orders.csv", "result.csv") == 10
        rows = {row["note"]: row for row in csv.DictReader((bench / "result.csv").open())}
        assert (rows["box 1"]["state"], rows["box 2"]["reason"]) == ("paired", "not_ready")
        assert "paired" in capsys.readouterr().err
        assert run("fleet", "orders.csv", "result.csv") == 2
        assert "--continue" in capsys.readouterr().err
        assert run("fleet", "orders.csv", "result.csv", "--continue", "--json") == 10
        ports = {event.get("port") for event in json_lines(capsys.readouterr().out)}
        assert ports == {"/dev/nowhere"}, "the other one is done"
