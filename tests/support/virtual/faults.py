"""What may go wrong on the line between a board and its host, and when."""

import termios
from dataclasses import dataclass

_SPEEDS = {
    getattr(termios, name): int(name[1:])
    for name in dir(termios)
    if name[0] == "B" and name[1:].isdigit()
}


class Unplugged(Exception):
    """The cable is out: nothing more goes through."""


@dataclass
class Line:
    """The serial line's state; bytes pass through to_host and to_board."""

    baud: int = 115_200  # of the board; the host's is what it has set
    mute: bool = False  # the board's answers do not arrive
    deaf: bool = False  # what the host says does not arrive
    unplug_after: int | None = None  # bytes from the board
    garbage_after: int | None = None  # bytes from the board, then
    garbage: bytes = b""
    passed: int = 0  # bytes that reached the host

    def to_host(self, data: bytes, host_baud: int) -> bytes:
        """What arrives of it. Raises Unplugged with what still did in its arguments."""
        if self.mute:
            return b""
        if host_baud != self.baud:
            data = garbled(data)
        if self.garbage_after is not None and self.passed + len(data) >= self.garbage_after:
            cut = max(0, self.garbage_after - self.passed)
            data = data[:cut] + self.garbage + data[cut:]
            self.garbage_after = None
        if self.unplug_after is not None and self.passed + len(data) >= self.unplug_after:
            last = data[: max(0, self.unplug_after - self.passed)]
            self.unplug_after = None
            raise Unplugged(last)
        self.passed += len(data)
        return data

    def to_board(self, data: bytes, host_baud: int) -> bytes:
        """What the board receives of it."""
        if self.deaf:
            return b""
        return data if host_baud == self.baud else bytes(byte & 0x7F for byte in garbled(data))


def garbled(data: bytes) -> bytes:
    """As a UART at another speed reads it: framing errors, mostly high bits."""
    return bytes((byte * 37 + 11) & 0x7F | 0x80 for byte in data)


def baud_of(fd: int) -> int:
    """The speed that a host has set on the pty with this slave."""
    return _SPEEDS.get(termios.tcgetattr(fd)[5], 0)
