"""Starts gateways by forking one that has everything imported: many starts in a short test.

Each child is a gateway process of its own, on the same gateway.toml, with its log in log.jsonl.
`python -m tests.support.nursery CONFIG` is the parent; `a_nursery` and `Nursery` speak to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gateway import config as config_file
from gateway import logs, service
from tests.support.gateway import until

ROOT = Path(__file__).resolve().parents[2]


class Nursery:
    """One gateway at a time: `start`, then `kill`."""

    def __init__(self, parent: subprocess.Popen[str], log: Path) -> None:
        self._parent, self._log = parent, log
        self.pid = 0

    async def start(self) -> int:
        """Fork a gateway; the port it listens on."""
        self._log.unlink(missing_ok=True)
        self._say("start")
        self.pid = int(await asyncio.to_thread(self._hear))
        await until(self._port, limit_s=20)
        return self._port()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it, and wait until it is gone."""
        os.kill(self.pid, how)
        assert self._hear() == "gone"
        self.pid = 0

    def _say(self, word: str) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.write(word + "\n")
        self._parent.stdin.flush()

    def _hear(self) -> str:
        assert self._parent.stdout is not None
        line = self._parent.stdout.readline().strip()
        assert line, "the parent of the gateways ended"
        return line

    def _port(self) -> int:
        text = self._log.read_text() if self._log.exists() else ""
        for line in text.splitlines():
            if '"listening"' in line and line.endswith("}"):
                return int(json.loads(line)["port"])
        return 0


@contextlib.contextmanager
def a_nursery(config: Path) -> Iterator[Nursery]:
    """The parent process; it and its child are gone at the end whatever happens."""
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.support.nursery", str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    nursery = Nursery(parent, config.with_name("log.jsonl"))
    try:
        yield nursery
    finally:
        if nursery.pid:
            nursery.kill()
        parent.kill()
        parent.wait(timeout=10)
        for pipe in (parent.stdin, parent.stdout):
            assert pipe is not None
            pipe.close()


def _run_child(config: Path) -> None:
    out = os.open(config.with_name("log.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    loaded = config_file.load(config)
    logs.set_up(loaded.log, os.environ)
    asyncio.run(service.run(loaded, os.environ))


def main() -> None:
    """Fork a gateway for each line on standard input; say its pid, and when it is gone."""
    config = Path(sys.argv[1])
    while sys.stdin.readline():
        pid = os.fork()
        if not pid:
            try:
                _run_child(config)
            finally:
                os._exit(0)
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main()
