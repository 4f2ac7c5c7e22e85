"""A serial port in mpremote's hands with an end to every wait, read in large pieces."""

from __future__ import annotations

import time
from typing import Any

STEP_S = 0.05  # of one look at the port: by so much a deadline may be missed
READ_S = 1.0  # what mpremote waits for a byte that must come at once
WRITE_S = 5.0  # the other end takes nothing any more


class Late(Exception):
    """The deadline has passed."""


class BufferedPort:
    """What mpremote asks of pyserial, over a port opened with timeout=STEP_S. All raise OSError.

    Once deadline_s (of time.monotonic) has passed, reading raises Late, also from inside mpremote.
    """

    def __init__(self, port: Any) -> None:
        self._port = port
        self._port.write_timeout = WRITE_S
        self._buffer = bytearray()
        self.deadline_s = float("inf")

    # ------------------------------------------------------------ as mpremote calls it

    def read(self, length: int = 1) -> bytes:
        """So many bytes, or what there is of them after a second."""
        end_s = time.monotonic() + READ_S
        while len(self._buffer) < length and time.monotonic() < end_s:
            self._fill()
        return self._take(length)

    def inWaiting(self) -> int:
        """How many bytes are here."""
        if not self._buffer:
            self._look()
            self._buffer += self._port.read(self._port.in_waiting)
        return len(self._buffer)

    def write(self, data: bytes) -> None:
        """Send it all."""
        self._port.write(data)

    def close(self) -> None:
        """Let go of it."""
        self._port.close()

    @property
    def rts(self) -> bool:
        """The wire that resets."""
        return bool(self._port.rts)

    @rts.setter
    def rts(self, value: bool) -> None:
        self._port.rts = value

    @property
    def dtr(self) -> bool:
        """The wire that chooses the bootloader."""
        return bool(self._port.dtr)

    @dtr.setter
    def dtr(self, value: bool) -> None:
        self._port.dtr = value

    # ------------------------------------------------------------ as we call it

    def read_to(self, ending: bytes, bytes_max: int) -> bytes:
        """All up to this and no further. Raises Late, and OverflowError past so many bytes."""
        looked = 0
        while (at := self._buffer.find(ending, looked)) < 0:
            looked = max(0, len(self._buffer) - len(ending) + 1)
            if len(self._buffer) > bytes_max:
                raise OverflowError
            self._fill()
        return self._take(at + len(ending))

    def hears(self, ending: bytes, within_s: float) -> bool:
        """Read away all up to this; False, and all is read away, when it does not come in time."""
        end_s = time.monotonic() + within_s
        while (at := self._buffer.find(ending)) < 0:
            del self._buffer[: -len(ending)]
            if time.monotonic() > end_s:
                return False
            self._fill()
        self._take(at + len(ending))
        return True

    def read_some(self) -> bytes:
        """What has come, within STEP_S."""
        if not self._buffer:
            self._fill()
        return self._take(len(self._buffer))

    def _fill(self) -> None:
        self._look()
        self._buffer += self._port.read(max(1, self._port.in_waiting))

    def _look(self) -> None:
        if time.monotonic() > self.deadline_s:
            raise Late

    def _take(self, length: int) -> bytes:
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken
