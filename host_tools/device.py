"""A MicroPython board at the end of a serial port: run code, handle files, restart, listen."""

from __future__ import annotations

import ast
import binascii
import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from host_tools.closing import Closing
from host_tools.line.on_board import CALM_WATCHDOG, HASH, LIST, OPEN, READ, REMOVE, SEAL, filled
from host_tools.line.ports import DeviceError, LinkLost, NoPermission, PortBusy, PortMissing
from host_tools.line.raw_repl import DeviceFailed, DeviceTimeout, NoRepl, RawRepl, open_transport

__all__ = [
    "Device",
    "DeviceError",
    "DeviceFailed",
    "DeviceTimeout",
    "Entry",
    "LinkLost",
    "NoPermission",
    "NoRepl",
    "PortBusy",
    "PortMissing",
]

OPEN_WAIT_S = 10.0
RUN_WAIT_S = 10.0
PIECE_WAIT_S = 10.0  # to write one; littlefs may erase blocks for it
HASH_WAIT_S = 30.0
FILE_WAIT_S = 300.0  # to read 2 MiB at 115200 Bd
PIECE_BYTES = 1536  # of a file, to the device; base64 makes 2048 of it
LINE_BYTES_MAX = 4096  # of the console; a longer line is cut
_FOLDER = 0x4000  # st_mode
_NO_VALUE = object()


class Entry(NamedTuple):
    """One thing in a folder of the device."""

    name: str
    is_folder: bool
    size_bytes: int


class Device(Closing):
    """A board at its raw REPL; `with Device.open(port) as device:`.

    A program that was interrupted for it is started again when it is closed. Every method raises
    DeviceError: LinkLost, NoRepl, DeviceFailed, DeviceTimeout. No error holds code or file content.
    """

    def __init__(self, repl: RawRepl) -> None:
        self._repl = repl
        self._rest = b""  # of a line of the console

    @classmethod
    def open(cls, port: str, timeout_s: float = OPEN_WAIT_S) -> Device:
        """Stop whatever runs, without a reset. Raises PortMissing, PortBusy, NoPermission, NoRepl.

        A watchdog that the meter's firmware has started is set to ten minutes: it cannot be
        stopped, and would reset the board in the middle of our work.
        """
        repl = RawRepl(open_transport(port), port)
        try:
            repl.enter(timeout_s)
            repl.execute(CALM_WATCHDOG, RUN_WAIT_S)
        except BaseException:
            repl.close()
            raise
        return cls(repl)

    @property
    def port(self) -> str:
        """The port's path."""
        return self._repl.port

    @property
    def interrupted(self) -> bool:
        """Whether a program was running that will be started again at the end."""
        return self._repl.interrupted

    def close(self) -> None:
        """Let go of the port; a program that was interrupted runs again."""
        self._repl.close()

    def run(self, code: str, timeout_s: float = RUN_WAIT_S) -> str:
        """Execute, and give what it printed. The code may hold secrets: no error tells them."""
        said = self._repl.execute(code, timeout_s)
        return said.decode("utf-8", "replace").replace("\r\n", "\n")

    def evaluate(self, expression: str, timeout_s: float = RUN_WAIT_S) -> object:
        """The value of an expression: numbers, texts, bytes, lists, tuples and dictionaries."""
        value = _value(self.run(f"print(repr(({expression})))", timeout_s))
        if value is _NO_VALUE:
            raise DeviceFailed(
                "the device answers with something that is no value; ask for its repr() or str()",
                "ValueError",
                "",
            )
        return value

    # ------------------------------------------------------------ files

    def read_file(self, path: str) -> bytes:
        """The content. DeviceFailed with kind OSError where there is none."""
        said = self.run(filled(READ, PATH=path), FILE_WAIT_S)
        try:
            pieces = [binascii.a2b_base64(line, strict_mode=True) for line in said.splitlines()]
        except ValueError:
            pieces = []
        content = b"".join(pieces[:-1])
        if not pieces or hashlib.sha256(content).digest() != pieces[-1]:
            raise self._garbled()
        return content

    def write_file(
        self, path: str, data: bytes, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Replace a file in one step: written beside it, compared, renamed. Makes its folders.

        progress(bytes written, all bytes) is called after each piece.
        """
        self.run(filled(OPEN, PATH=path), PIECE_WAIT_S)
        for at in range(0, len(data), PIECE_BYTES):
            piece = data[at : at + PIECE_BYTES]
            self.run(f"_w(_a({binascii.b2a_base64(piece, newline=False)!r}))", PIECE_WAIT_S)
            if progress is not None:
                progress(at + len(piece), len(data))
        self.run(filled(SEAL, PATH=path, DIGEST=hashlib.sha256(data).digest()), HASH_WAIT_S)

    def hash_file(self, path: str) -> bytes | None:
        """SHA-256 of the content; None where there is no such file."""
        digest = _value(self.run(filled(HASH, PATH=path), HASH_WAIT_S))
        if digest is None or (isinstance(digest, bytes) and len(digest) == 32):
            return digest
        raise self._garbled()

    def remove(self, path: str) -> None:
        """No such file is there afterwards, whether or not one was."""
        self.run(filled(REMOVE, PATH=path))

    def list_dir(self, path: str = "/") -> list[Entry]:
        """What a folder holds, by name."""
        rows: Any = _value(self.run(filled(LIST, PATH=path)))
        try:
            return sorted(Entry(str(name), mode == _FOLDER, size) for name, mode, size in rows)
        except (TypeError, ValueError):
            garbled = self._garbled()
        raise garbled

    # ------------------------------------------------------------ the running firmware

    def restart(self) -> None:
        """Leave the raw REPL and reset softly, so that main.py runs; pulse counters go on."""
        self._repl.restart()
        self._rest = b""

    def console(self, seconds: float) -> Iterator[str]:
        """Lines that the running firmware prints, as they come, until the time is over."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._rest += self._repl.read_some()
            *lines, self._rest = self._rest.split(b"\n")
            if len(self._rest) > LINE_BYTES_MAX:
                lines, self._rest = [*lines, self._rest[:LINE_BYTES_MAX]], b""
            for line in lines:
                yield line.rstrip(b"\r").decode("utf-8", "replace")

    def _garbled(self) -> LinkLost:
        return LinkLost(
            f"what came over {self.port} is not what the device sent; take a shorter or better"
            " cable, and run it again"
        )


def _value(said: str) -> object:
    """What a device printed with repr(); _NO_VALUE for anything else."""
    try:
        value: object = ast.literal_eval(said.strip())
    except (ValueError, SyntaxError):
        return _NO_VALUE
    return value
