"""Commands from the command line to a real meter process and back, over kills of the gateway."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gateway import journal, store
from gateway.downlink import commands
from host_tools.chain import free_port
from host_tools.micropython import ROOT, find_micropython, micropython_env
from tests.support.a_meter import METER_ID, METER_KEY, settings
from wire import messages
from wire.keys import UP

WITHIN_S = 40.0
RESTART_CODE = 75
PASSWORD = "a-password-of-128-random-bits"


class Both:
    """A gateway process and a meter process in one folder; each can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.config = folder / "gateway.toml"
        self.meter_folder = folder / "meter"
        self.meter_folder.mkdir()
        self.gateway: subprocess.Popen[bytes] | None = None
        self.meter: subprocess.Popen[bytes] | None = None
        (folder / "master.key").write_text("07" * 32)
        (folder / "master.key").chmod(0o600)
        self.config.write_text(
            f'gateway_id = "gw-1"\n[endpoint]\nport = {self.port}\n[downlink]\nretry_s = 2\n'
        )

    def start_gateway(self) -> None:
        command = [sys.executable, "-m", "gateway", "run", "--config", str(self.config)]
        with (self.folder / "gateway.log").open("ab") as log:
            self.gateway = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        self.until(self._listens, "the gateway listens")

    def start_meter(self) -> None:
        where = self.meter_folder
        config = settings(gateway_port=self.port, password=PASSWORD, paired_s=1_700_000_000)
        (where / "config.json").write_text(json.dumps(config))
        command = [str(find_micropython()), "-X", "heapsize=512k", "-m", "boards.unix", str(where)]
        with (self.folder / "meter.log").open("ab") as log:
            self.meter = subprocess.Popen(
                command, cwd=ROOT, env=micropython_env(), stdout=log, stderr=log
            )

    def kill_gateway(self) -> None:
        assert self.gateway is not None
        self.gateway.send_signal(signal.SIGKILL)
        self.gateway.wait(10)

    def stop(self) -> None:
        for process in (self.meter, self.gateway):
            if process is not None:
                process.kill()
                process.wait(10)

    def say(self, *words: str, given: str = "") -> str:
        """One command of the gateway's command line."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words, "--config", str(self.config)],
            cwd=ROOT, input=given, capture_output=True, text=True, timeout=WITHIN_S, env=os.environ,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + self.logs()
        return done.stdout

    def look(self, work: Callable[[Any], Any]) -> Any:
        connection = store.connect_read_only(self.folder / "gateway.db")
        try:
            return work(connection)
        finally:
            connection.close()

    def commands(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.look(commands.rows)
        return found[::-1]

    def heard(self) -> list[Any]:
        """Every message the gateway journalled, apart from profiles."""
        rows = self.look(lambda connection: journal.read_rows(connection, 0, 10_000))
        said = [messages.decode(row.message, UP) for row in rows]
        return [message for message in said if not isinstance(message, messages.Profile)]

    def events(self, code: int) -> list[messages.Event]:
        found = [one for one in self.heard() if isinstance(one, messages.Event)]
        return list({one.number: one for one in found if one.code == code}.values())

    def until(self, happened: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not happened():
            assert time.monotonic() < deadline, f"no sign that {what}\n{self.logs()}"
            time.sleep(0.1)

    def logs(self) -> str:
        found = [path.read_text("utf-8", "replace") for path in sorted(self.folder.glob("*.log"))]
        return "\n".join(text[-3000:] for text in found)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextlib.contextmanager
def both(folder: Path) -> Iterator[Both]:
    pair = Both(folder)
    try:
        pair.start_gateway()
        new = {
            "meter_id": METER_ID.hex(), "meter_key": METER_KEY.hex(), "key_epoch": 0,
            "password": PASSWORD,
        }  # fmt: skip
        pair.say("meters", "add", given=json.dumps(new))
        pair.start_meter()
        yield pair
    finally:
        pair.stop()


def test_commands_are_done_once_each_by_a_real_meter_though_the_gateway_is_killed(
    tmp_path: Path,
) -> None:
    meter = METER_ID.hex()
    with both(tmp_path) as pair:
        shown = json.loads(pair.say("command", "send", meter, "read-now", "--wait", "--json"))
        assert shown[0]["state"] == "done"
        assert any(isinstance(one, messages.Registers) for one in pair.heard())
        pair.say("command", "send", meter, "set-capture-period", "300", "--wait")

        pair.say("command", "send", meter, "rekey")
        pair.until(lambda: pair.commands()[-1]["attempts"] > 0, "the rekey is sent")
        pair.kill_gateway()
        pair.say("command", "send", meter, "set-clock")  # the command line needs no gateway
        pair.start_gateway()
        pair.until(lambda: {one["state"] for one in pair.commands()} == {"done"}, "all are done")
        keys = lambda connection: connection.execute("SELECT key_epoch FROM meter_key").fetchall()  # noqa: E731
        pair.until(lambda: pair.look(keys) == [(1,)], "the new key is proven")

        pair.say("command", "send", meter, "restart", "--wait")
        assert pair.meter is not None
        assert pair.meter.wait(WITHIN_S) == RESTART_CODE
        boots = len(pair.events(messages.EVENT_BOOT))
        pair.start_meter()
        pair.until(lambda: len(pair.events(messages.EVENT_BOOT)) > boots, "the meter is back")
        pair.say("command", "send", meter, "read-now", "--wait")

        assert {one["state"] for one in pair.commands()} == {"done"}
        changes = [one.values[0] for one in pair.events(messages.EVENT_CONFIG_CHANGE)]
        assert changes.count(messages.COMMAND_SET_CAPTURE_PERIOD) == 1
        assert changes.count(messages.COMMAND_REKEY) == 1
        assert pair.look(keys) == [(1,)]
