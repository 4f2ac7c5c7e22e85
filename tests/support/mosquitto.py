"""Starts a real mosquitto on a free port in a folder of its own; ends only what it started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

START_S = 10.0
ENDED_S = 10.0


def find_mosquitto() -> str | None:
    """The program's path; Debian keeps it in /usr/sbin, which is not on everybody's PATH."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


OPEN = "allow_anonymous true\n"
PERSISTENT = OPEN + "persistence true\n"  # and otherwise mosquitto's defaults


class Mosquitto:
    """One broker. `conf` is what comes behind its listener; it may be killed and started again."""

    def __init__(self, folder: Path, conf: str = OPEN, port: int = 0) -> None:
        self.folder = folder
        self.port = port or _free_port()
        folder.mkdir(exist_ok=True)
        self._conf = folder / "mosquitto.conf"
        # As root mosquitto would become another user, who could not write here.
        head = f"listener {self.port} 127.0.0.1\nuser root\n" if os.getuid() == 0 else ""
        head = head or f"listener {self.port} 127.0.0.1\n"
        self._conf.write_text(f"{head}persistence_location {folder}/\nlog_dest stderr\n{conf}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As gateway.toml has it."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Mosquitto:
        """Start it; returns when it accepts connections."""
        program = find_mosquitto()
        assert program is not None, "mosquitto is not installed: apt-get install mosquitto"
        self._process = subprocess.Popen(
            [program, "-c", str(self._conf)],
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "log").open("ab"),
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + START_S
        while not _accepts(self.port):
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.01)
        return self

    def listen(self, topic: str, count: int, *options: str) -> list[str]:
        """What mosquitto's own client hears, as lines of topic and message."""
        command = ["mosquitto_sub", "-h", "localhost", "-p", str(self.port), "-v", "-W", "5"]
        heard = subprocess.run(
            [*command, "-t", topic, "-C", str(count), *options], capture_output=True, text=True
        )
        assert heard.returncode == 0, heard.stdout + heard.stderr
        return heard.stdout.splitlines()

    def kill(self) -> None:
        """As a crash: SIGKILL, nothing is saved."""
        self._end(kill=True)

    def stop(self) -> None:
        """SIGTERM: it saves what it keeps."""
        self._end(kill=False)

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        process.wait(ENDED_S)

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
