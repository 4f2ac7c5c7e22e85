"""DTR and RTS of a virtual board: a pty has no such wires, so their ioctls are carried beside it.

fit() makes pyserial's, esptool's and mpremote's calls reach the board behind a pty by a local
socket; for every other device they stay what they were. With it esptool's real reset sequences
work, and what opening and closing a port does to a board can be seen.
"""

import fcntl
import os
import socket
import struct
import sys
import tempfile
import termios
from typing import Any

import esp_pylib.serial_reset
import serial.serialposix

TIMEOUT_S = 5.0
DTR, RTS = termios.TIOCM_DTR, termios.TIOCM_RTS
_REQUESTS = {
    termios.TIOCMGET: b"?",
    termios.TIOCMSET: b"=",
    termios.TIOCMBIS: b"+",
    termios.TIOCMBIC: b"-",
}


def address_of(tty: str) -> str:
    """Where the board behind this pty listens."""
    name = "virtual-board" + tty.replace("/", "-")
    return "\0" + name if sys.platform == "linux" else f"{tempfile.gettempdir()}/{name}"


def fit() -> None:
    """Let the wires of virtual boards be seen in this process. Once is enough."""
    modules: tuple[Any, ...] = (serial.serialposix, esp_pylib.serial_reset)
    for module in modules:
        if not isinstance(module.fcntl, _Fcntl):
            module.fcntl = _Fcntl()


def apply(state: int, request: bytes, bits: int) -> int:
    """The wires after a request, as the kernel computes it."""
    bits &= DTR | RTS
    return {b"?": state, b"=": bits, b"+": state | bits, b"-": state & ~bits}[request]


class _Fcntl:
    """The module fcntl, but for ioctls on the wires of a virtual board."""

    def __getattr__(self, name: str) -> Any:
        return getattr(fcntl, name)

    def ioctl(self, fd: int, request: int, argument: Any = 0, *more: Any) -> Any:
        if request in _REQUESTS:
            bits = struct.unpack("I", argument)[0]
            state = _ask(fd, _REQUESTS[request], bits)
            if state is not None:
                return struct.pack("I", state)
        return fcntl.ioctl(fd, request, argument, *more)


def _ask(fd: int, request: bytes, bits: int) -> int | None:
    """The state of the wires after the request; None where there is no virtual board."""
    try:
        address = address_of(os.ttyname(fd))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as board:
            board.settimeout(TIMEOUT_S)
            board.connect(address)
            board.sendall(request + struct.pack("<I", bits))
            return int(struct.unpack("<I", board.recv(4, socket.MSG_WAITALL))[0])
    except (OSError, struct.error):
        return None
