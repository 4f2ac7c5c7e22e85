"""Programs of `make run`: started again when killed, given up when they cannot start, all ended."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from host_tools import programs
from host_tools.programs import Event, Program, ProgramFailed, wait_for

WAIT_S = 20.0
SLEEP = 'import time; print(\'{"event": "up"}\', flush=True); time.sleep(100)'
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"

Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python one-liner as a program; whatever was started is stopped at the end."""
    started = []

    def begin(code: str, hear: Callable[[Event], None] | None = None) -> Program:
        program = Program("a program", [sys.executable, "-c", code], Path(), os.environ, hear)
        started.append(program)
        program.start()
        return program

    yield begin
    for program in started:
        program.stop()


def until(happened: Callable[[], object]) -> None:
    """Waits for something; fails when it does not come."""
    deadline = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_program_is_started_again(start: Start) -> None:
    program = start(SLEEP)
    first = program.pid
    os.kill(first, signal.SIGKILL)
    until(lambda: program.pid not in (0, first))
    assert program.restarts == 1
    program.check()


def test_a_program_that_cannot_start_is_given_up_with_its_last_lines(start: Start) -> None:
    program = start("print('the port is in use'); raise SystemExit(2)")
    until(lambda: program.failure)
    with pytest.raises(ProgramFailed, match=r"exit code 2[\s\S]*the port is in use"):
        program.check()
    assert program.restarts == 1


def test_a_program_that_ends_late_is_started_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "STEADY_S", 0.0)
    monkeypatch.setattr(programs, "RESTARTS_MAX", 2)
    monkeypatch.setattr(programs, "RESTART_PAUSE_S", 0.0)
    program = start("raise SystemExit(3)")
    until(lambda: program.failure)
    assert program.restarts == 3  # two were allowed


@pytest.mark.parametrize(
    ("code", "lived_s", "again"),
    [
        (-9, 0.0, True),
        (0, 0.0, True),
        (75, 0.0, True),
        (74, 0.0, False),
        (1, 4.9, False),
        (1, 5.0, True),
        (1, 5.1, True),
    ],
)
def test_only_a_quick_failure_is_final(code: int, lived_s: float, again: bool) -> None:
    assert programs._worth_restarting(code, lived_s) is again


def test_a_command_that_is_not_there_is_named() -> None:
    program = Program("the meter", ["/no/such/program"], Path(), os.environ)
    with pytest.raises(ProgramFailed, match="the meter cannot be started"):
        program.start()


def test_a_command_that_has_gone_before_a_restart_is_told(tmp_path: Path) -> None:
    script = tmp_path / "program"
    script.write_text(f"#!{sys.executable}\n{SLEEP}\n")
    script.chmod(0o700)
    program = Program("the meter", [str(script)], Path(), os.environ)
    program.start()
    script.unlink()
    os.kill(program.pid, signal.SIGKILL)
    until(lambda: program.failure)
    with pytest.raises(ProgramFailed, match="cannot be started"):
        program.check()
    program.stop()


def test_a_program_that_does_not_hear_is_ended_all_the_same(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "STOP_WAIT_S", 0.5)
    up: list[Event] = []
    program = start(DEAF, up.append)
    until(lambda: up)
    child = psutil.Process(program.pid)
    program.stop()
    assert program.pid == 0
    assert not child.is_running()
    assert program.restarts == 0


def test_events_are_heard_and_other_lines_kept_for_the_report(start: Start) -> None:
    heard: list[Event] = []
    lines = "\n".join(['{"event": "up", "n": 1}', "{broken", "[1]", "plain"])
    program = start(f"print({lines!r}); raise SystemExit(1)", heard.append)
    until(lambda: program.failure)
    assert heard == [{"event": "up", "n": 1}]
    assert "{broken" in str(program.failure)
    assert "plain" in str(program.failure)


def test_the_report_holds_the_last_lines_only(start: Start) -> None:
    program = start("[print('line', n) for n in range(30)]; raise SystemExit(1)")
    until(lambda: program.failure)
    said = str(program.failure)
    assert said.count("line ") == programs.TAIL_LINES
    assert "line 29" in said


def test_waiting_ends_with_what_was_waited_for(start: Start) -> None:
    program = start(SLEEP)
    wait_for("something", lambda: True, [program], 0.0)
    with pytest.raises(ProgramFailed, match="for the moon in vain"):
        wait_for("the moon", lambda: False, [program], 0.1)
    broken = start("raise SystemExit(1)")
    with pytest.raises(ProgramFailed, match="does not stay up"):
        wait_for("the moon", lambda: False, [broken], WAIT_S)
