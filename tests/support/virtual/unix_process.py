"""One run of the unix port as a board's interpreter, on a pty of its own."""

import os
import signal
import subprocess
import tty
from dataclasses import dataclass
from pathlib import Path

from host_tools.micropython import ROOT, find_micropython

HEAP = "heapsize=2M"
BOOT = Path(__file__).parent / "device/boot.py"
RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
_FRIENDLY_BANNER = b'Type "help()" for more information.'
_TRANSCRIPT_BYTES = 4096  # of what it said last: enough to find the last prompt in
_INTERRUPT = 3


@dataclass(frozen=True)
class Place:
    """Where a board's interpreter finds what it is made of."""

    flash: Path
    pipe: Path
    world: Path
    mac: bytes


class UnixProcess:
    """Started by its making; `fd` is its console."""

    def __init__(self, place: Place, *how: str) -> None:
        self.fd, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.fd, False)
        arguments = (place.flash, place.pipe, place.mac.hex(), place.world, ROOT)
        command = [str(find_micropython()), "-X", HEAP, str(BOOT)]
        self._process = subprocess.Popen(
            [*command, *map(str, arguments), *how],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=place.world,
            start_new_session=True,
        )
        os.close(slave)
        self._said = b""
        self._waiting = b""
        self._early: bytes | None = b""  # typed before it listens
        self.was_raw = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self) -> bytes | None:
        """What it said since; None once it has ended."""
        try:
            said = os.read(self.fd, 65536)
        except BlockingIOError:
            return b""
        except OSError:  # EIO: nobody holds the other end any more
            return None
        self._said = (self._said + said)[-_TRANSCRIPT_BYTES:]
        raw, friendly = self._said.rfind(RAW_PROMPT), self._said.rfind(_FRIENDLY_BANNER)
        if max(raw, friendly) >= 0:
            self.was_raw = raw > friendly
        return said

    def write(self, data: bytes) -> None:
        """Type this. Ctrl-C interrupts where it would on a chip: while that is switched on."""
        if self._early is not None:
            self._early += data
            return
        for byte in data:
            if byte == _INTERRUPT and self._catches_interrupts():
                os.kill(self.pid, signal.SIGINT)
                self._waiting = b""
            else:
                self._waiting += bytes((byte,))
        self.flush()

    def listen(self) -> None:
        """Its modules are made: from now on it can be typed to."""
        early, self._early = self._early, None
        self.write(early or b"")

    def flush(self) -> bool:
        """Hand over what waits; True when all of it is."""
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self.fd, self._waiting) :]
        except BlockingIOError:
            return False
        except OSError:
            self._waiting = b""
        return True

    def stop(self) -> int:
        """Its exit code; a process that still runs is killed."""
        if self._process.poll() is None:
            self._process.kill()
        code = self._process.wait()
        os.close(self.fd)
        return code

    def _catches_interrupts(self) -> bool:
        """Whether code runs that Ctrl-C interrupts, not `kbd_intr(-1)` and not the line editor."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> signal.SIGINT - 1 & 1)
