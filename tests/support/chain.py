"""Starts `make run`'s chain as a process and lets a test watch it, ask it and kill its parts."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from host_tools.micropython import ROOT

WAIT_S = 100.0


class RunningChain:
    """One `python -m host_tools.chain` process in a folder of its own for temporary files."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "host_tools.chain", "--json", *arguments],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> "RunningChain":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def result(self) -> dict[str, Any]:
        """The JSON that the chain prints once the invoice is issued."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.said()
        value: dict[str, Any] = json.loads(line)
        return value

    def children(self) -> dict[str, psutil.Process]:
        """The chain's own programs by name, as they run now."""
        found = {}
        for process in psutil.Process(self._process.pid).children():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            for name, module in (
                ("meter", "boards.unix"),
                ("gateway", "gateway"),
                ("settlement", "settlement"),
            ):
                if module in words and ("run" in words or name == "meter"):
                    found[name] = process
        return found

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """A signal to one program, as soon as it runs."""
        self.until(lambda: name in self.children(), f"{name} runs")
        self.children()[name].send_signal(how)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self._process.terminate()
        return self._process.wait(WAIT_S)

    def wait(self) -> int:
        """The exit code, once it ends by itself."""
        code = self._process.wait(WAIT_S)
        self._listener.join(5)
        return code

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for something; fails with all that the chain has said."""
        deadline = time.monotonic() + WAIT_S
        while not happened():
            assert self._process.poll() is None, f"ended before {what}:\n{self.said()}"
            assert time.monotonic() < deadline, f"no sign that {what}:\n{self.said()}"
            time.sleep(0.02)

    def intervals_closed(self) -> int:
        """As the last line of progress has it."""
        for line in reversed(self.lines):
            if "intervals closed" in line:
                return int(line.split()[0])
        return 0

    def said(self) -> str:
        """All lines of progress so far."""
        return "\n".join(self.lines)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line.rstrip())


def fetch(url: str) -> str:
    """The body of a page on loopback."""
    with urlopen(url, timeout=20) as answer:
        body: bytes = answer.read()
    return body.decode()
