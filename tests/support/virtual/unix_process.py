"""One run of the unix port as a board's interpreter, on a pty of its own."""

import os
import signal
import subprocess
import time
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
# The unix port raises KeyboardInterrupt inside its signal handler, wherever it is: in the middle of
# an import it may then hold a lock for ever. So Ctrl-C waits until the process waits for something,
# longest while it starts. A second one so soon after the first is swallowed: a chip joins them.
_STARTING_S, _STARTING_WAIT_S, _WAIT_S, _STEP_S = 10.0, 1.0, 0.15, 0.001
_INTERRUPT_S = 0.4


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
        self._listened_s = self._interrupted_s = 0.0
        self._has_prompted = self.was_raw = False
        self.left = b""  # typed to a process that had ended: for the next

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
            self._has_prompted, self.was_raw = True, raw > friendly
        return said

    def write(self, data: bytes) -> None:
        """Type this. Ctrl-C interrupts where it would on a chip: while that is switched on."""
        if self._early is not None:
            self._early += data
            return
        for at in range(len(data)):
            if data[at] != _INTERRUPT or not self._is_interrupted():
                self._waiting += data[at : at + 1]
            elif self._has_ended():
                self.left = data[at:]
                break
            else:
                self._waiting = b""
        self.flush()

    def listen(self) -> None:
        """It is booted, and reads one byte before it runs anything: here Ctrl-C is safe."""
        early, self._early = self._early or b"", None
        self._listened_s = time.monotonic()
        self.write(early[early.find(_INTERRUPT) :] if _INTERRUPT in early else b"\0" + early)

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

    def _is_interrupted(self) -> bool:
        """Whether this Ctrl-C is an interrupt, which is then on its way, and not a key."""
        if time.monotonic() < self._interrupted_s + _INTERRUPT_S:
            return self._catches_interrupts()
        starts = not self._has_prompted and time.monotonic() < self._listened_s + _STARTING_S
        end_s = time.monotonic() + (_STARTING_WAIT_S if starts else _WAIT_S)
        while self._state() == "R" and time.monotonic() < end_s:
            time.sleep(_STEP_S)
        if self._has_ended():
            return True
        if not self._catches_interrupts():
            return False
        self._interrupted_s = time.monotonic()
        os.kill(self.pid, signal.SIGINT)
        return True

    def _has_ended(self) -> bool:
        return self._state() in "ZX"

    def _state(self) -> str:
        """R while it computes, S while it waits for something."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def _catches_interrupts(self) -> bool:
        """Whether code runs that Ctrl-C interrupts, not `kbd_intr(-1)` and not the line editor."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> signal.SIGINT - 1 & 1)
