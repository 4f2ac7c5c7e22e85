"""An Improv client as browsers have one, written from the protocol's page and not from our code.

It reads lines: what does not begin with IMPROV is skipped up to its line feed, as the published
JavaScript client does it. A request is repeated every second until something answers.
"""

import contextlib
import os
import select
import time
from collections.abc import Iterator
from typing import NamedTuple

HEAD = b"IMPROV\x01"
REPEAT_S = 1.0


class Packet(NamedTuple):
    """What a meter said: type 1 is a state, 2 an error, 4 a result."""

    kind: int
    data: bytes

    @property
    def texts(self) -> list[str]:
        """The strings of a result."""
        assert self.kind == 4
        assert self.data[1] == len(self.data) - 2
        found, at = [], 2
        while at < len(self.data):
            end = at + 1 + self.data[at]
            found.append(self.data[at + 1 : end].decode())
            at = end
        assert at == len(self.data)
        return found


class ImprovClient:
    """Talks to a meter over an open terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._kept = b""
        self.skipped = b""  # what was no packet

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        os.write(self._terminal, data)

    def request(self, command: int, *texts: bytes) -> None:
        """An RPC; its checksum is the low byte of the sum of all before it."""
        given = b"".join(bytes((len(text),)) + text for text in texts)
        data = bytes((command, len(given))) + given
        packet = HEAD + bytes((3, len(data))) + data
        self.send(packet + bytes((sum(packet) % 256,)) + b"\n")

    def packets(self, within_s: float) -> Iterator[Packet]:
        """What the meter says, until it has been silent for within_s."""
        line = b""
        while (byte := self._next(within_s)) is not None:
            if byte == b"\n":
                self.skipped += line + byte
                line = b""
                continue
            line += byte
            if len(line) == 9 and line.startswith(HEAD):
                rest = b"".join(self._next(within_s) or b"" for _ in range(line[8] + 1))
                assert len(rest) == line[8] + 1, "a packet was cut short"
                assert sum(line + rest[:-1]) % 256 == rest[-1], "a checksum is wrong"
                yield Packet(line[7], rest[:-1])
                line = b""

    def until(self, kind: int, command: int, *texts: bytes, within_s: float = 60.0) -> list[Packet]:
        """Asks, again every second, until a packet of this kind comes; all that came up to it.

        The answers to what was asked more than once are waited for, too.
        """
        deadline_s = time.monotonic() + within_s
        found: list[Packet] = []
        asked = 0
        while time.monotonic() < deadline_s:
            self.request(command, *texts)
            asked += 1
            for packet in self.packets(REPEAT_S):
                found.append(packet)
                if packet.kind == kind:
                    if asked > 1:
                        list(self.packets(REPEAT_S))
                    return found
        raise AssertionError(f"no answer to {command}, only {found} and {self.skipped!r}")

    def _next(self, within_s: float) -> bytes | None:
        """The next byte; None when none came in time, or the other end is closed."""
        if not self._kept and select.select([self._terminal], [], [], within_s)[0]:
            with contextlib.suppress(OSError):  # how Linux says that the other end is closed
                self._kept = os.read(self._terminal, 4096)
        byte, self._kept = self._kept[:1], self._kept[1:]
        return byte or None
