"""`command` and `schedule` as people type them: what they print, one line for a mistake."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.__main__ import main
from host_tools.micropython import ROOT
from tests.support.gateway import a_home, a_meter, rows

METER = a_meter(1)
OTHER = a_meter(2)
ID = METER.hex_id


class Done(NamedTuple):
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Runs the command line inside this process."""

    def run(*words: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = main([*words, "--config", str(tmp_path / "gateway.toml")])
        return Done(code, *capsys.readouterr())

    return run


Say = Callable[..., Done]


def listed(say: Say, *words: str) -> list[dict[str, Any]]:
    done = say(*words, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_a_command_is_queued_listed_shown_and_cancelled(tmp_path: Path, say: Say) -> None:
    a_home(tmp_path, METER)
    (queued,) = listed(say, "command", "send", ID, "set-capture-period", "900")
    assert (queued["state"], queued["args"]) == ("queued", [900])
    assert "[900]" in say("command", "list").stdout
    assert "not_before_s" in say("command", "show", str(queued["id"])).stdout
    assert say("command", "cancel", str(queued["id"])).returncode == 0
    assert listed(say, "command", "list", "--state", "queued") == []
    acts = [row[0] for row in rows(tmp_path, "SELECT action FROM audit ORDER BY id")]
    assert acts[-2:] == ["command.queue", "command.cancel"]


def test_several_commands_for_all_meters_are_a_bundle(tmp_path: Path, say: Say) -> None:
    a_home(tmp_path, METER, OTHER)
    words = ["set-capture-period", "900", "+", "read-now", "--bundle", "to 15 minutes"]
    queued = listed(say, "command", "send", "all", *words)
    assert len(queued) == 4
    (bundle,) = listed(say, "command", "bundles")
    assert (bundle["title"], bundle["open"], bundle["on_failure"]) == ("to 15 minutes", 4, "stop")
    for row in queued:
        say("command", "cancel", str(row["id"]))
    assert "4 commands" in say("command", "retry", str(bundle["bundle_id"])).stdout


def test_a_begin_and_an_expiry_are_taken_as_typed(tmp_path: Path, say: Say) -> None:
    a_home(tmp_path, METER)
    begin = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + 86_400))
    (row,) = listed(say, "command", "send", ID, "restart", "--at", begin, "--expires", "6h")
    assert row["expires_s"] - row["not_before_s"] == 6 * 3600
    assert row["not_before_s"] % 60 == 0


def test_a_home_key_is_read_from_standard_input_and_printed_nowhere(
    tmp_path: Path, say: Say
) -> None:
    a_home(tmp_path, METER)
    key = "00112233445566778899aabbccddeeff"
    done = say("command", "send", ID, "home-key", stdin=key + "\n")
    assert done.returncode == 0, done.stderr
    assert key not in done.stdout + done.stderr
    assert "hidden" in done.stdout
    wrong = say("command", "send", ID, "home-key", stdin=key[:-2])
    assert wrong.returncode == 2
    assert key[:-2] not in wrong.stdout + wrong.stderr


def test_a_rekey_is_queued_with_its_key_and_audited(tmp_path: Path, say: Say) -> None:
    a_home(tmp_path, METER)
    (row,) = listed(say, "command", "send", ID, "rekey")
    assert row["args"] == [1, "hidden"]
    assert rows(tmp_path, "SELECT key_epoch FROM meter_key") == [(0,), (1,)]
    assert ("key.rotate", ID) in rows(tmp_path, "SELECT action, subject FROM audit")


def test_waiting_ends_when_the_command_ends_and_is_1_unless_it_was_done(
    tmp_path: Path, say: Say
) -> None:
    config = a_home(tmp_path, METER)
    waiting = subprocess.Popen(
        [sys.executable, "-m", "gateway", "command", "send", ID, "restart", "--wait",
         "--config", str(config)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert waiting.stderr is not None
        assert waiting.stderr.readline() == "queued=1\n"
        say("command", "cancel", "1")
        out, err = waiting.communicate(timeout=20)
    finally:
        waiting.kill()
    assert waiting.returncode == 1
    assert err == "cancelled=1\n"
    assert "cancelled" in out


def test_ctrl_c_leaves_the_command_queued(tmp_path: Path, say: Say) -> None:
    config = a_home(tmp_path, METER)
    waiting = subprocess.Popen(
        [sys.executable, "-m", "gateway", "command", "send", ID, "restart", "--wait",
         "--config", str(config)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert waiting.stderr is not None
        assert waiting.stderr.readline() == "queued=1\n"
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=20)
    finally:
        waiting.kill()
    assert waiting.returncode == 130
    assert "stays queued" in err
    assert "Traceback" not in err
    assert listed(say, "command", "list")[0]["state"] == "queued"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["command", "send", "12", "read-now"], "16 hex digits"),
        (["command", "send", "00" * 8, "read-now"], "unknown_meter"),
        (["command", "send", ID, "explode"], "no such command"),
        (["command", "send", ID, "read-now", "+"], "no such command"),
        (["command", "send", ID, "read-profile", "one", "2"], "not a whole number"),
        (["command", "send", ID, "read-profile", "1"], "arguments"),
        (["command", "send", ID, "read-profile", "1", "2977"], "range"),
        (["command", "send", ID, "set-tariff", "xyz"], "hex"),
        (["command", "send", ID, "restart", "--at", "tomorrow"], "--at"),
        (["command", "send", ID, "restart", "--expires", "6"], "--expires"),
        (["command", "send", ID, "restart", "--expires", "367d"], "expiry"),
        (["command", "send", f"{ID},{ID}", "home-key"], "for one meter"),
        (["command", "send", f"{ID},{OTHER.hex_id}", "rekey"], "keys rotate"),
        (["command", "list", "--state", "lost"], "a state is one of"),
        (["command", "show", "7"], "no command 7"),
        (["command", "cancel", "7"], "unknown_command"),
        (["command", "retry", "7"], "unknown_bundle"),
        (["schedule", "add", "restart", "--every", "60"], "not_scheduled"),
        (["schedule", "add", "read-now", "--daily", "24:00"], "00:00 to 23:59"),
        (["schedule", "add", "read-now"], "limit"),
        (["schedule", "remove", "7"], "unknown_schedule"),
    ],
)
def test_a_mistake_is_answered_by_one_line_and_exit_code_2(
    tmp_path: Path, say: Say, words: list[str], said: str
) -> None:
    a_home(tmp_path, METER, OTHER)
    done = say(*words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert rows(tmp_path, "SELECT id FROM command") == []


def test_a_schedule_is_added_listed_and_removed(tmp_path: Path, say: Say) -> None:
    a_home(tmp_path, METER)
    words = ["schedule", "add", "set-clock", "--daily", "02:30", "--jitter", "3600"]
    assert say(*words).stdout == "schedule 1 added\n"
    (shown,) = listed(say, "schedule", "list")
    assert (shown["command"], shown["daily_s"]) == ("set_clock", 9000)
    words = ["schedule", "add", "read-profile", "96", "--every", "86400", "--meter", ID]
    assert say(*words).returncode == 0
    assert listed(say, "schedule", "list")[1]["meters"] == [ID]
    assert say("schedule", "remove", "1").returncode == 0
    assert [row["id"] for row in listed(say, "schedule", "list")] == [2]
