"""The one caller of mpremote: a raw REPL entered without a reset, and an end to every wait."""

# Of mpremote (1.25 or newer) this uses SerialTransport's constructor, serial, exec_raw_no_follow
# and close, whose signatures have not changed since 1.25. The rest has waits without an end:
# read_until looks at its timeouts only while nothing comes, and on a pty only with `timeout=`.
# buffered_port.py, as its `serial`, puts an end to those inside of what is used.

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from host_tools.line import ports
from host_tools.line.buffered_port import STEP_S, BufferedPort, Late
from host_tools.line.ports import DeviceError, LinkLost, PortBusy
from host_tools.line.told import told_error

ENTER_WAIT_S = 10.0
CLOSE_WAIT_S = 3.0  # a board that does not come back has been told of by then
RESTART_WAIT_S = 5.0
OPEN_TRIES, OPEN_PAUSE_S = 4, 0.25
OUTPUT_BYTES_MAX = 2 << 20  # of one piece of code
_NO_END = float("inf")
_PROMPT_S = 0.4
_ANSWER_S = 2.0
_RAW = b"raw REPL; CTRL-B to exit\r\n"
_FRIENDLY = b">>> "
_SOFT_REBOOT = b"soft reboot"

Answer = TypeVar("Answer")


class NoRepl(DeviceError):
    """No MicroPython prompt came: see what is on the port with `probe`, press reset, try again."""

    reason = "no_repl"


class DeviceFailed(DeviceError):
    """Code raised on the device. `kind` is the exception's name, `trace` what may be told of it."""

    reason = "device_failed"

    def __init__(self, text: str, kind: str, trace: str) -> None:
        super().__init__(text)
        self.kind, self.trace = kind, trace


class DeviceTimeout(DeviceError):
    """Code did not end in time; it was interrupted."""

    reason = "device_timeout"


def open_transport(port: str) -> Any:
    """mpremote's hold on the port. Raises PortMissing, PortBusy, NoPermission.

    A port that was let go a moment ago may be held by somebody who saw that: such are waited for.
    """
    refusal = PortBusy(f"{port} is in use again and again; see who opens it, and run it again")
    for _ in range(OPEN_TRIES):
        with suppress(TransportError, OSError):
            return SerialTransport(port, ports.BAUD, exclusive=True, timeout=STEP_S)
        try:  # mpremote does not say why it could not
            ports.open_serial(port, STEP_S).close()
        except PortBusy as busy:
            refusal = busy
        time.sleep(OPEN_PAUSE_S)
    raise refusal


class RawRepl:
    """One board's prompt. Entering it interrupts what runs; `interrupted` says that it did."""

    def __init__(self, transport: Any, port: str) -> None:
        self._transport = transport
        self.serial = BufferedPort(transport.serial)
        transport.serial = self.serial
        self.port = port
        self.interrupted = False  # a program ran, and has not run since
        self._at_prompt = False
        self._asked = 0

    def close(self) -> None:
        """Let go of the port; a program that was interrupted runs again."""
        with suppress(DeviceError):
            if self.interrupted:
                self.restart(CLOSE_WAIT_S)
            elif self._at_prompt:
                self._write(b"\r\x02")
        with suppress(OSError):
            self._transport.close()

    def enter(self, timeout_s: float) -> None:
        """At once where nothing runs, else by Ctrl-C until it stops. Raises NoRepl, LinkLost."""
        end_s = time.monotonic() + timeout_s
        if self._at_prompt or self._hears_prompt():
            return
        while time.monotonic() < end_s:
            self._write(b"\r\x03\x03")
            if self._hears_prompt():
                self.interrupted = True
                return
        raise NoRepl(
            f"no MicroPython prompt within {timeout_s:.0f} s; press the board's reset button (EN)"
            " and run it again at once, or see with `probe` what is on the port"
        )

    def execute(self, code: str, timeout_s: float) -> bytes:
        """What the code prints. Raises DeviceFailed, DeviceTimeout, NoRepl, LinkLost."""
        self.enter(ENTER_WAIT_S)
        self._at_prompt = False  # until the end of the answer has been seen
        failure: DeviceError | None = None
        said = trace = b""
        self.serial.deadline_s = time.monotonic() + timeout_s
        try:
            self._transport.exec_raw_no_follow(code)
            said = self.serial.read_to(b"\x04", OUTPUT_BYTES_MAX)[:-1]
            trace = self.serial.read_to(b"\x04", OUTPUT_BYTES_MAX)[:-1]
        except Late:
            failure = DeviceTimeout(
                f"the device was not done after {timeout_s:g} s and was interrupted; run it"
                " again, or press its reset button (EN)"
            )
        except OverflowError:
            failure = DeviceFailed(
                f"the device prints more than {OUTPUT_BYTES_MAX} bytes; ask for less at a time",
                "OverflowError",
                "",
            )
        except (TransportError, struct.error):
            failure = NoRepl(
                "the board left its prompt, as after a reset; check its supply and run it again"
            )
        except OSError:
            failure = self.lost()
        finally:  # Ctrl-C of the user too: what closes the port then has no deadline
            self.serial.deadline_s = _NO_END
        if failure is not None:  # raised here: an error that knows the code is not its context
            if not isinstance(failure, LinkLost):
                self._write(b"\x03")
            raise failure
        self._at_prompt = True
        if trace:
            raise DeviceFailed(*told_error(trace.decode("utf-8", "replace"), code))
        return said

    def restart(self, timeout_s: float = ENTER_WAIT_S) -> None:
        """Leave the raw REPL and reset softly, so that main.py runs; pulse counters go on."""
        self.enter(timeout_s)
        self._write(b"\r\x02")
        self._hears(_FRIENDLY, RESTART_WAIT_S)
        self._write(b"\x04")
        if not self._hears(_SOFT_REBOOT, RESTART_WAIT_S):
            raise NoRepl("the board does not restart; press its reset button (EN)")
        self._at_prompt = self.interrupted = False

    def read_some(self) -> bytes:
        """What has come, within BufferedPort's step. Raises LinkLost."""
        return self._with_link(self.serial.read_some)

    def lost(self) -> LinkLost:
        """The error for a link that is gone; nobody is there to be started again."""
        self.interrupted = self._at_prompt = False
        return LinkLost(
            f"{self.port} went away in the middle; check the cable and the board's supply, then"
            " run it again"
        )

    def _hears_prompt(self) -> bool:
        """Ask for the raw REPL, and read away what all that was typed before still brings up."""
        self._write(b"\r\x01")
        if not self._hears(_RAW, _PROMPT_S):
            return False
        self._asked += 1
        self._write(b"print('at','prompt%d')\x04" % self._asked)
        answers = (b"at prompt%d" % self._asked, b"\x04\x04>")
        if not all(self._hears(answer, _ANSWER_S) for answer in answers):
            return False
        self._write(b"\x01")
        self._at_prompt = self._hears(_RAW, _ANSWER_S)
        return self._at_prompt

    def _hears(self, ending: bytes, within_s: float) -> bool:
        return self._with_link(lambda: self.serial.hears(ending, within_s))

    def _write(self, data: bytes) -> None:
        self._with_link(lambda: self.serial.write(data))

    def _with_link(self, act: Callable[[], Answer]) -> Answer:
        try:
            return act()
        except OSError:
            lost = self.lost()
        raise lost
