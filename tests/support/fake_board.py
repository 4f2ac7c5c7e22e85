"""A board in memory that runs the device's lines in this Python, and a meter once it restarts.

It has an NVS and partitions whose blocks erase to 0xFF, a file system, one user at a time on its
port, and the faults of a workshop: a cable that is pulled after so many operations, flash that does
not erase, flash that forgets, a meter that is never heard.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import hashlib
import io
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

from host_tools.device import DeviceError, DeviceFailed, LinkLost, PortBusy
from tests.support.a_commander import STATUS, Obeying
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


class FakePartition:
    """Blocks; some may refuse to erase."""

    TYPE_DATA = 1

    def __init__(self, blocks: int) -> None:
        self.data = bytearray(b"\xff" * BLOCK * blocks)
        self.worn: set[int] = set()

    def ioctl(self, request: int, argument: int) -> int:
        if request == 4:
            return len(self.data) // BLOCK
        if request == 6 and argument not in self.worn:
            self.data[argument * BLOCK : (argument + 1) * BLOCK] = b"\xff" * BLOCK
        return 0

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        at = block * BLOCK + offset
        buffer[:] = self.data[at : at + len(buffer)]


class Store(NamedTuple):
    """What is programmed into a partition as text: erasing it erases what it says."""

    partition: FakePartition

    def read(self) -> dict[str, Any]:
        text = bytes(self.partition.data).rstrip(b"\xff")
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def write(self, values: dict[str, Any]) -> None:
        data = json.dumps(values).encode()
        self.partition.data[:] = data + b"\xff" * (len(self.partition.data) - len(data))


class FakeBoard:
    """One board on one port; `open` is what Tools wants."""

    def __init__(self, gateway: RunningGateway | None = None, board: str = "240ac4000001") -> None:
        self.gateway, self.board = gateway, board
        self.partitions = {"nvs": FakePartition(6), "meter": FakePartition(8),
                           "vfs": FakePartition(8)}  # fmt: skip
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
            self._home.begin(self._live(self._home))

    def stop_meter(self) -> None:
        """Its line breaks: the REPL has it now."""
        if self.meters and self._home is not None:
            meter = self.meters.pop()
            if meter.client is not None:
                with contextlib.suppress(OSError):
                    self._home.run(meter.leave())
            meter.client = None

    async def _live(self, gateway: RunningGateway) -> None:
        nvs, config = self.nvs, self.config()
        epoch, key = int(nvs["epoch"]), bytes.fromhex(nvs["key"])
        fake = FakeMeter(
            bytes.fromhex(nvs["id"]), key, bytes.fromhex(nvs["password"]).decode("ascii")
        )
        meter = Obeying(fake)
        meter.keys, meter.epoch = {epoch: EpochKey(epoch, key)}, epoch
        meter.counters = {epoch: self.used.get((nvs["id"], epoch), 0)}
        self.used[nvs["id"], epoch] = meter.counters[epoch] + GAP
        meter.answer = lambda command: self._answer(meter, command)
        self.meters.append(meter)
        while meter in self.meters:
            client = await Client.open(config["gateway_port"])
            refused = await client.connect(fake)
            await client.close()
            if not refused and meter in self.meters:
                await meter.join(config["gateway_port"])
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
        names = {"__builtins__": _builtins(self._board, printed)}
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


def _builtins(board: FakeBoard, printed: io.StringIO) -> dict[str, Any]:
    """What a device's program sees: its own modules, its own files, and print."""
    esp32 = SimpleNamespace(
        NVS=lambda namespace: _Nvs(board),
        Partition=SimpleNamespace(
            TYPE_DATA=1,
            find=lambda kind, label: [board.partitions[label]] if label in board.partitions else [],
        ),
    )
    machine = SimpleNamespace(unique_id=lambda: bytes.fromhex(board.board))
    if not board.board:
        del machine.unique_id
    implementation = SimpleNamespace(version=(1, 26, 0, ""), _machine="a fake with ESP32")
    modules = {
        "esp32": esp32, "machine": machine, "json": json, "hashlib": hashlib,
        "sys": SimpleNamespace(implementation=implementation),
    }  # fmt: skip
    names = ("bytearray", "bytes", "str", "len", "range", "getattr", "OSError", "ImportError",
             "AttributeError", "ValueError")  # fmt: skip
    return {
        **{name: getattr(builtins, name) for name in names},
        "__import__": lambda name, *_: modules[name],
        "print": lambda text: printed.write(f"{text}\n"),
        "open": lambda path: io.StringIO(_text_of(board, path)),
    }


class _Nvs:
    """One namespace."""

    def __init__(self, board: FakeBoard) -> None:
        self._board = board

    def get_i32(self, name: str) -> int:
        return int(self._get(name))

    def get_blob(self, name: str, buffer: bytearray) -> int:
        blob = bytes.fromhex(str(self._get(name)))
        buffer[: len(blob)] = blob
        return len(blob)

    def set_i32(self, name: str, value: int) -> None:
        self._board.step()
        self._board.keep(name, value)

    def set_blob(self, name: str, value: bytes) -> None:
        self._board.step()
        self._board.keep(name, value.hex())

    def erase_key(self, name: str) -> None:
        self._get(name)
        self._board.keep(name, None)

    def commit(self) -> None:
        self._board.step()

    def _get(self, name: str) -> str | int:
        values = self._board.nvs
        if name not in values:
            raise OSError(_NOT_FOUND)
        found: str | int = values[name]
        return found


def _text_of(board: FakeBoard, path: str) -> str:
    if path not in board.files:
        raise OSError(2)
    return bytes.fromhex(board.files[path]).decode()
