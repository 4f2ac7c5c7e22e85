"""The chip's own serial port for tests of Improv, as MicroPython has it on an ESP32.

Stands in for sys, select, micropython and time of boards.parts.improv_serial. While the interrupt
character is on, its byte stops the program wherever it comes, also inside a packet. The port keeps
260 bytes for the program and drops what comes beyond.
"""

import boards.parts.improv_serial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RING_BYTES = 260  # MICROPY_HW_STDIN_BUFFER_LEN of the ESP32 port, as far as it holds
_NAMES = ("sys", "select", "micropython", "time")


class Silence(BaseException):
    """Nothing more will come over the port: the test has seen what it wanted to."""


class FakeSerial:
    """What a client sends, in pieces with a pause behind each, and all that the meter said.

    A piece that is no bytes is called instead of sent: something happens in the world.
    """

    POLLIN = 1

    def __init__(self, *pieces: "Any", wlan: "Any" = None) -> None:
        self.pieces = list(pieces)
        self.said = b""
        self.interrupt = 3
        self.waiting = b""
        self.pauses = 0
        self.slept_ms = 0
        self.dropped = 0
        self._wlan = wlan
        self._kept: list[Any] = []
        self.stdin = self.stdout = self.buffer = self

    def __enter__(self) -> "FakeSerial":
        module = boards.parts.improv_serial
        self._kept = [getattr(module, name) for name in _NAMES]
        for name in _NAMES:
            setattr(module, name, self)
        return self

    def __exit__(self, *error: object) -> None:
        for index, name in enumerate(_NAMES):
            setattr(boards.parts.improv_serial, name, self._kept[index])

    # sys.stdin.buffer, sys.stdout.buffer

    def read(self, length: int) -> bytes:
        assert length == 1, "more would block until so many bytes are there"
        byte, self.waiting = self.waiting[:1], self.waiting[1:]
        return byte

    def write(self, data: bytes) -> int:
        self.said += data
        return len(data)

    # select

    def poll(self, timeout_ms: "int | None" = None) -> "Any":
        if timeout_ms is None:
            return self
        if not self.waiting:
            self._next_piece()
        return [(self, self.POLLIN)] if self.waiting else []

    def register(self, stream: "Any", what: int) -> None:
        assert stream is self.stdin
        assert what == self.POLLIN

    # micropython, time

    def kbd_intr(self, character: int) -> None:
        self.interrupt = character

    def sleep_ms(self, duration_ms: int) -> None:
        self.slept_ms += duration_ms
        if self._wlan is not None:
            self._wlan.settle()

    def arrive(self, data: bytes) -> None:
        """These bytes come in."""
        for byte in data:
            if byte == self.interrupt:
                raise KeyboardInterrupt
            if len(self.waiting) == RING_BYTES:
                self.dropped += 1
            else:
                self.waiting += bytes((byte,))

    def _next_piece(self) -> None:
        if self.pauses < 0:
            raise Silence
        self.pauses += 1
        if self.pauses % 2 == 0:  # a pause behind each piece
            return
        if not self.pieces:
            self.pauses = -1
            return
        piece = self.pieces.pop(0)
        if isinstance(piece, bytes):
            self.arrive(piece)
        else:
            piece()
