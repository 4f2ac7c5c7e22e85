"""Runs our programs as child processes: starts them again when they die, stops them in order."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESTARTS_MAX = 20  # of one program in one run; more is a fault, not an accident
RESTART_PAUSE_S = 0.2
STEADY_S = 5.0  # a program that fails sooner was never up: its mistake is shown, not repeated
STOP_WAIT_S = 10.0  # from SIGTERM to SIGKILL
RESTART_ASKED = 75  # exit code of a meter that a command or an update restarts (boards.unix)
TAIL_LINES = 12  # of a program's output, shown when it does not stay up

Event = dict[str, Any]
_PR_SET_PDEATHSIG = 1  # prctl(2)


class ProgramFailed(Exception):
    """A program does not stay up; the text has its name and its last lines."""


class Program:
    """One child process, kept running until `stop`.

    Every line of its output that is a JSON object goes to `on_event`, called from a thread of
    this program; other lines are kept for the report of a failure.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.name = name
        self.restarts = 0
        self.failure: str | None = None
        self._command = list(command)
        self._cwd = cwd
        self._env = dict(env)
        self._on_event = on_event
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._started_s = 0.0
        self._stopping = threading.Event()
        self._launching = threading.Lock()  # nothing is started once `stop` has begun
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep_running, name=name, daemon=True)

    @property
    def pid(self) -> int:
        """Process id of the running child, 0 between two of them."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else 0

    def start(self) -> None:
        """Start the program; raises ProgramFailed when it cannot be started at all."""
        self._launch()
        self._thread.start()

    def check(self) -> None:
        """Raises ProgramFailed when the program has been given up."""
        if self.failure is not None:
            raise ProgramFailed(self.failure)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after STOP_WAIT_S; returns when the child is gone."""
        with self._launching:
            self._stopping.set()
            process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._thread.is_alive():
            self._thread.join(STOP_WAIT_S)

    def _launch(self) -> None:
        self._started_s = time.monotonic()
        try:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches us alone, and we stop them in order
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        except OSError as error:
            raise ProgramFailed(f"{self.name} cannot be started: {error.strerror}") from error

    def _keep_running(self) -> None:
        while True:
            process = self._process
            assert process is not None
            assert process.stdout is not None
            for line in process.stdout:
                self._hear(line)
            code = process.wait()
            lived_s = time.monotonic() - self._started_s
            if self._stopping.is_set():
                return
            self.restarts += 1
            if self.restarts > RESTARTS_MAX or not _worth_restarting(code, lived_s):
                self.failure = self._report(code)
                return
            self._stopping.wait(RESTART_PAUSE_S)
            try:
                with self._launching:
                    if self._stopping.is_set():
                        return
                    self._launch()
            except ProgramFailed as error:
                self.failure = str(error)
                return

    def _hear(self, line: str) -> None:
        text = line.rstrip()
        event = _event_in(text)
        if event is None:
            self._tail.append(text)
        elif self._on_event is not None:
            self._on_event(event)
        if event is not None and event.get("level") in ("error", "critical"):
            self._tail.append(text)

    def _report(self, code: int) -> str:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        lines = "\n".join(f"  {line}" for line in self._tail) or "  (it printed nothing)"
        return f"{self.name} does not stay up ({how}). Its last lines:\n{lines}"


def wait_for(
    what: str, ready: Callable[[], bool], programs: Sequence[Program], timeout_s: float
) -> None:
    """Poll until ready() is true. Raises ProgramFailed on time-out or when a program is gone."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        for program in programs:
            program.check()
        if time.monotonic() > deadline:
            raise ProgramFailed(f"waited {timeout_s:.0f} s for {what} in vain")
        time.sleep(0.05)


def _worth_restarting(code: int, lived_s: float) -> bool:
    """A program that was killed or stopped is started again; one that cannot start has said why."""
    return code in (0, RESTART_ASKED) or code < 0 or lived_s >= STEADY_S


def _event_in(line: str) -> Event | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _die_with_parent() -> None:
    """In the child: end when the parent is killed, so that nothing is left running."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1:
        os._exit(1)
