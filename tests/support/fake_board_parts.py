"""What a fake board is made of: partitions as text, and the modules that its programs import."""

from __future__ import annotations

import builtins
import hashlib
import io
import json
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

BLOCK = 4096
_NOT_FOUND = -4354


class BoardLike(Protocol):
    """What the modules ask of tests.support.fake_board.FakeBoard."""

    board: str

    @property
    def partitions(self) -> dict[str, FakePartition]: ...
    @property
    def nvs(self) -> dict[str, Any]: ...
    @property
    def files(self) -> dict[str, str]: ...
    def keep(self, name: str, value: str | int | None) -> None: ...
    def step(self) -> None: ...


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


def names_for(board: BoardLike, printed: io.StringIO) -> dict[str, Any]:
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

    def __init__(self, board: BoardLike) -> None:
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


def _text_of(board: BoardLike, path: str) -> str:
    if path not in board.files:
        raise OSError(2)
    return bytes.fromhex(board.files[path]).decode()
