"""Names the state of what is on a serial port, in bounded time, each with one next step.

No chip is reset for it. It listens, knocks as esptool does, presses Enter and Ctrl-A. Last it asks
what Improv asks, in which there is a Ctrl-C: a program that answers Improv goes on, any other is
interrupted, looked at, and started again.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from host_tools.line import ports
from host_tools.line.heard import (
    BOOT_LOOP,
    CORRUPT_FILESYSTEM,
    FRIENDLY_REPL,
    OTHER_PROGRAM,
    OUR_FIRMWARE,
    RAW_REPL,
    ROM_BOOTLOADER,
    SILENT,
    WRONG_BAUD,
    Heard,
    name_state,
    names_program,
)
from host_tools.line.ports import DeviceError, LinkLost, NoPermission, PortBusy, PortMissing

BUDGET_S = 5.0
PORT_BUSY, NO_PERMISSION, PORT_MISSING = PortBusy.reason, NoPermission.reason, PortMissing.reason
NEXT_STEPS = {
    SILENT: "check supply and cable, press reset (EN); if it stays silent, hold BOOT, press EN, let"
    " go of BOOT, and flash it",
    ROM_BOOTLOADER: "flash it; or press reset (EN) without BOOT to start what is in its flash",
    BOOT_LOOP: "flash it: what is in its flash does not start",
    FRIENDLY_REPL: "flash it, or pair it if the application is on it",
    RAW_REPL: "another tool may have left it so; run what you meant to run",
    OUR_FIRMWARE: "pair it, or look at it with `doctor`",
    OTHER_PROGRAM: "flash it: the program on it is not a meter's",
    CORRUPT_FILESYSTEM: "flash it again: a write to its file system was cut off",
    WRONG_BAUD: "press reset (EN) and run it again; if it stays so, take another cable or flash it",
    PORT_BUSY: "close serial monitors, IDEs and other runs of this tool",
    NO_PERMISSION: "join the group that owns the port (dialout or uucp), log out and in again",
    PORT_MISSING: "plug the board in, with a cable that carries data",
}
STATES = tuple(NEXT_STEPS)
_STEP_S = 0.02
_QUIET_S, _SYNC_S, _KEY_S, _STOP_S = 0.25, 0.12, 0.3, 0.6
_SYNC_TRIES = 3
_HEARD_BYTES_MAX = 8192  # of what a board says, the last; more would be looked through too slowly
_STOPPED = (FRIENDLY_REPL, RAW_REPL, CORRUPT_FILESYSTEM)  # what an interrupted program leaves
# SLIP: SYNC of the ROM bootloaders, as esptool sends it.
_SYNC = b"\xc0\0\x08\x24\0\0\0\0\0\x07\x07\x12\x20" + b"\x55" * 32 + b"\xc0"
# Improv via serial, RPC "device info". In it 0x03: Ctrl-C to a program that knows no Improv.
_INFO = b"IMPROV\x01\x03\x02\x03\0"
_ASK_IMPROV = _INFO + bytes((sum(_INFO) & 0xFF, 0x0A))
# A meter that is interrupted before its main.py has imported anything is a meter all the same.
_ASK_MODULES = b"""
import sys
def ours():
    try:
        with open('main.py') as file:
            return file.read(12) == 'import start'
    except OSError:
        return False
print('program','start' in sys.modules or ours(),'inisetup' in sys.modules,'end')
\x04"""


class Probed(NamedTuple):
    """What is there, how one can tell, and what to do."""

    state: str
    evidence: str
    next_step: str


def probe(port: str, budget_s: float = BUDGET_S) -> Probed:
    """The state of what is on the port, within the budget and a tenth of a second."""
    end_s = time.monotonic() + budget_s
    try:
        line = ports.open_serial(port, _STEP_S)
    except DeviceError as error:
        return _probed(error.reason, str(error).partition(";")[0])
    try:
        line.write_timeout = budget_s
        heard = _Look(line, end_s).state()
    except OSError:
        return _probed(PORT_MISSING, f"{port} went away ({LinkLost.reason})")
    finally:
        _let_go(line)
    return _probed(heard.state, heard.evidence)


def _probed(state: str, evidence: str) -> Probed:
    return Probed(state, evidence, NEXT_STEPS[state])


def _let_go(line: Any) -> None:
    """Close it with RTS first: the other way round resets an ESP32."""
    try:
        line.rts = False
        line.dtr = False
    except OSError:
        pass  # a port without these wires, or gone
    line.close()


class _Look:
    """One look at an open port. Every method returns as soon as it knows, or in its time."""

    def __init__(self, line: Any, end_s: float) -> None:
        self._line = line
        self._end_s = end_s
        self._all = b""  # the end of what was heard
        self._new = b""  # of it what came after the last question

    def state(self) -> Heard:
        """What all of it comes to."""
        found = self._listen(_QUIET_S)
        for _ in range(_SYNC_TRIES):
            found = found or self._send(_SYNC, _SYNC_S)
        found = found or self._send(b"\r\n", _KEY_S) or self._send(b"\x01", _KEY_S)
        if found is None and b"rst:0x" in self._all:
            found = self._listen(self._left_s() / 2)  # does it start again, or start?
        return found or self._stop() or self._listen(self._left_s()) or self._unnamed()

    def _stop(self) -> Heard | None:
        """Interrupt what runs, unless it answers Improv; see what it was; let it run again."""
        found = self._send(_ASK_IMPROV, _STOP_S) or self._send(b"\r\x03", 2 * _STOP_S)
        if found is None or found.state not in _STOPPED:
            return found
        if found.state != CORRUPT_FILESYSTEM:
            stopped = self._new
            self._type(b"\x03\x01", b"CTRL-B to exit\r\n>")
            self._type(_ASK_MODULES, b"\x04>")
            found = names_program(stopped, self._new)
        self._type(b"\x03\x02", b">>> ")
        if found.state != FRIENDLY_REPL:
            self._type(b"\x04", b"soft reboot")
        return found

    def _unnamed(self) -> Heard:
        if self._all.strip():
            shown = self._all.decode("ascii", "replace").strip()[-60:]
            return Heard(OTHER_PROGRAM, f"it says {shown!r} and does not stop for Ctrl-C")
        return Heard(SILENT, "it says nothing, and answers neither esptool nor Ctrl-C")

    def _type(self, keys: bytes, ending: bytes) -> None:
        """Press keys at a prompt, and wait for what they bring up."""
        end_s = min(self._end_s, time.monotonic() + _STOP_S)
        self._line.write(keys)
        self._new = b""
        while ending not in self._new and time.monotonic() < end_s:
            self._new += self._line.read(max(1, self._line.in_waiting))

    def _send(self, data: bytes, within_s: float) -> Heard | None:
        self._line.write(data)
        self._new = b""
        return self._listen(within_s)

    def _listen(self, within_s: float) -> Heard | None:
        """What is heard names a state, or nothing does in this time."""
        end_s = min(self._end_s, time.monotonic() + within_s)
        while True:
            data = self._line.read(max(1, self._line.in_waiting))
            self._new = (self._new + data)[-_HEARD_BYTES_MAX:]
            self._all = (self._all + data)[-_HEARD_BYTES_MAX:]
            if data and (found := name_state(self._all, self._new)):
                return found
            if time.monotonic() >= end_s:
                return None

    def _left_s(self) -> float:
        return max(0.0, self._end_s - time.monotonic())
