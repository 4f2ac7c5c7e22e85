"""A board in memory that runs the device's lines in this Python, and a meter once it restarts.

It has an NVS and partitions whose blocks erase to 0xFF, a file system, one user at a time on its
port, and the faults of a workshop: a cable that is pulled after so many operations, flash that does
not erase, flash that forgets, a meter that is never heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from host_tools.device import DeviceError, DeviceFailed, LinkLost, PortBusy
from tests.support.a_commander import STATUS, Obeying
from tests.support.fake_board_parts import FakePartition, Store, names_for
from tests.support.gateway import Client, FakeMeter
from tests.support.running_gateway import RunningGateway
from wire import messages
from wire.keys import EpochKey

BLOCK = 4096
_NOT_FOUND = -4354
RETRY_S = 0.05
CONSOLE_S = 0.02
GAP = 128  # a start leaves out more frame counters than it may have used
_KEYSTORE = b"used counters"


class Probed(NamedTuple):
    """What is on the port."""

    state: str
    evidence: str = "a fake"
    next_step: str = "nothing"


class FakeBoard:
    """One board on one port; `open` is what Tools wants."""

    def __init__(self, gateway: RunningGateway | None = None, board: str = "240ac4000001") -> None:
        self.gateway, self.board = gateway, board
        self.partitions = {"nvs": FakePartition(6), "meter": FakePartition(8),
                           "vfs": FakePartition(8)}  # fmt: skip
        self.put("/board.txt", b"esp32_devkit\n")
        self.put("/a/WHOLE", b"0.1.0")
        self.state = "friendly_repl"
        self.is_open = False
        self.operations = 0
        self.pull_after: int | None = None  # operations, then the cable is gone
        self.forgets: set[str] = set()  # names in the NVS that do not stick
        self.complains: dict[str, str] = {}  # what the firmware says instead of working
        self.deaf = False  # it restarts, and is never heard
        self.refuses_keys = False
        self.codes: list[str] = []
        self.lines: list[str] = []
        self.meters: list[Obeying] = []
        self._home = gateway  # at which the newest of them is
        self.used: dict[tuple[str, int], int] = {}  # frame counters, by meter id and key epoch
        self.unplugged_on_restart = False

    @property
    def nvs(self) -> dict[str, Any]:
        """By name; bytes as hex."""
        return Store(self.partitions["nvs"]).read()

    @property
    def files(self) -> dict[str, str]:
        """By path; contents as hex."""
        return Store(self.partitions["vfs"]).read()

    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(bytes.fromhex(self.files["/config.json"]))
        return found

    def keep(self, name: str, value: str | int | None) -> None:
        """In the NVS; None takes it out."""
        if name in self.forgets:
            return
        values = self.nvs
        if value is None:
            del values[name]
        else:
            values[name] = value
        Store(self.partitions["nvs"]).write(values)

    def put(self, path: str, data: bytes | None) -> None:
        """In the file system; None takes it out."""
        files = self.files
        if data is None:
            del files[path]
        else:
            files[path] = data.hex()
        Store(self.partitions["vfs"]).write(files)

    def probe(self, port: str) -> Probed:
        return Probed(self.state)

    def open(self, port: str) -> FakeDevice:
        return FakeDevice(self, port)

    def step(self) -> None:
        """Every operation comes by here."""
        self.operations += 1
        if self.pull_after is not None and self.operations > self.pull_after:
            raise LinkLost("the cable was pulled; plug it in and run it again")

    # ---------------------------------------------------------------- as a meter

    def boot(self) -> None:
        """Out of NVS and config.json, as the firmware reads them."""
        self.stop_meter()
        self.lines = []
        if self.complains:
            self.lines.append(json.dumps({"event": "board", **self.complains}))
            return
        if "epoch" not in self.nvs or "/config.json" not in self.files:
            return
        self.state = "our_firmware"
        self.partitions["meter"].data[: len(_KEYSTORE)] = _KEYSTORE
        self.lines.append(json.dumps({"event": "boot", "why": "power_on"}))
        if self.gateway is not None and not self.deaf:
            self._home = self.gateway
            meter = self._a_meter()
            self.meters.append(meter)
            self._home.begin(self._live(meter, self.config()["gateway_port"]))

    def stop_meter(self) -> None:
        """Its line breaks: the REPL has it now."""
        if self.meters and self._home is not None:
            meter = self.meters.pop()
            if meter.client is not None:
                with contextlib.suppress(OSError):
                    self._home.run(meter.leave())
            meter.client = None

    def _a_meter(self) -> Obeying:
        nvs = self.nvs
        epoch, key = int(nvs["epoch"]), bytes.fromhex(nvs["key"])
        password = bytes.fromhex(nvs["password"]).decode("ascii")
        meter = Obeying(FakeMeter(bytes.fromhex(nvs["id"]), key, password))
        meter.keys, meter.epoch = {epoch: EpochKey(epoch, key)}, epoch
        meter.counters = {epoch: self.used.get((nvs["id"], epoch), 0)}
        self.used[nvs["id"], epoch] = meter.counters[epoch] + GAP
        meter.answer = lambda command: self._answer(meter, command)
        return meter

    async def _live(self, meter: Obeying, port: int) -> None:
        while meter in self.meters:
            client = await Client.open(port)
            refused = await client.connect(meter.meter)
            await client.close()
            if not refused and meter in self.meters:
                await meter.join(port)
                if meter not in self.meters:  # stopped meanwhile
                    await meter.leave()
                    return
                meter.say(STATUS)
                self.lines.append(json.dumps({"event": "link", "state": "up", "why": "connected"}))
                assert meter._task is not None
                await asyncio.wait([meter._task])  # until the gateway ends the session
            self.lines.append(json.dumps({"event": "link", "state": "down", "why": "refused"}))
            await asyncio.sleep(RETRY_S)

    def _answer(self, meter: Obeying, command: messages.Command) -> messages.Result:
        if command.code == messages.COMMAND_REKEY and self.refuses_keys:
            return messages.Result(command.command_id, messages.RESULT_REFUSED, b"key_epoch")
        if command.code == messages.COMMAND_REKEY:
            epoch, key = command.args
            meter.keys[epoch] = EpochKey(epoch, key)
            asyncio.get_running_loop().call_later(RETRY_S, self._switch, meter, epoch)
        return messages.Result(command.command_id, messages.RESULT_DONE, b"")

    def _switch(self, meter: Obeying, epoch: int) -> None:
        if meter.client is not None:
            meter.epoch = epoch
            meter.say(STATUS)


class FakeDevice:
    """The board in its raw REPL."""

    def __init__(self, board: FakeBoard, port: str) -> None:
        self._board, self._port = board, port
        self._interrupted = False

    def __enter__(self) -> FakeDevice:
        if self._board.is_open:
            raise PortBusy(f"{self._port} is in use; close the other program")
        self._board.step()
        self._board.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self._board.is_open = False
        if self._interrupted:
            self._board.boot()

    def _ready(self) -> None:
        """At its raw REPL; what ran is interrupted for it."""
        self._board.step()
        if self._board.meters:
            self._interrupted = True
            self._board.stop_meter()

    def run(self, code: str, timeout_s: float = 10.0) -> str:
        self._ready()
        self._board.codes.append(code)
        printed = io.StringIO()
        names = {"__builtins__": names_for(self._board, printed)}
        try:
            exec(code, names)
        except DeviceError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise DeviceFailed(f"the device says {kind}; run it again", kind, "") from None
        return printed.getvalue()

    def read_file(self, path: str) -> bytes:
        self._ready()
        return bytes.fromhex(self._board.files[path])

    def write_file(self, path: str, data: bytes) -> None:
        self._ready()
        self._board.put(path, data)

    def hash_file(self, path: str) -> bytes | None:
        self._ready()
        found = self._board.files.get(path)
        return None if found is None else hashlib.sha256(bytes.fromhex(found)).digest()

    def remove(self, path: str) -> None:
        self._ready()
        if path in self._board.files:
            self._board.put(path, None)

    def restart(self) -> None:
        self._ready()
        self._interrupted = False
        self._board.boot()

    def console(self, seconds: float) -> Iterator[str]:
        if self._board.unplugged_on_restart:
            raise LinkLost("the port is gone")
        lines, self._board.lines = self._board.lines, []
        yield from lines
        time.sleep(min(seconds, CONSOLE_S))
