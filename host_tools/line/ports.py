"""Serial ports: which there are, which one is meant, and why one of them cannot be opened."""

from __future__ import annotations

import errno
from typing import Any, NamedTuple

import serial
from serial.tools import list_ports as pyserial_ports

AUTO = "auto"
BAUD = 115_200  # of MicroPython's REPL, and what every ROM bootloader finds by itself
# USB vendors of the bridges on boards, and of chips with USB of their own.
BOARD_VENDORS = {
    0x303A: "Espressif",
    0x10C4: "Silicon Labs CP210x",
    0x1A86: "WCH CH340 or CH9102",
    0x0403: "FTDI",
}


class DeviceError(Exception):
    """Something between this computer and a board; the text ends with what to do. No secret in it.

    `reason` is its name.
    """

    reason = "device_error"


class PortMissing(DeviceError):
    """There is no such port: plug the board in, with a cable that carries data."""

    reason = "port_missing"


class SeveralPorts(DeviceError):
    """More than one board is plugged in: say which one is meant."""

    reason = "several_ports"


class PortBusy(DeviceError):
    """Another program has the port open: close it there."""

    reason = "port_busy"


class NoPermission(DeviceError):
    """This user may not open the port: join the group that owns it."""

    reason = "no_permission"


class LinkLost(DeviceError):
    """The port went away or fell silent in the middle: check cable and supply, run it again."""

    reason = "link_lost"


class Port(NamedTuple):
    """One serial port of this computer."""

    path: str
    vid_pid: str | None  # 303a:1001; None where it is no USB device
    description: str


def list_ports() -> list[Port]:
    """All of them, USB first, by path."""
    found = [
        Port(
            port.device,
            None if port.vid is None else f"{port.vid:04x}:{port.pid or 0:04x}",
            port.description if port.description != "n/a" else "",
        )
        for port in pyserial_ports.comports()
    ]
    return sorted(found, key=lambda port: (port.vid_pid is None, port.path))


def choose(asked: str) -> str:
    """The port that was asked for; for "auto" the only one with a board.

    A USB port of a known vendor comes before any other USB port. Raises PortMissing, SeveralPorts.
    """
    if asked != AUTO:
        return asked
    usb = [port for port in list_ports() if port.vid_pid is not None]
    boards = [port for port in usb if int((port.vid_pid or "0")[:4], 16) in BOARD_VENDORS] or usb
    if not boards:
        raise PortMissing(
            "no USB serial port is there; plug the board in with a cable that carries data,"
            " or name its port with --port"
        )
    if len(boards) > 1:
        listed = ", ".join(f"{port.path} ({port.description or port.vid_pid})" for port in boards)
        raise SeveralPorts(f"{len(boards)} boards are plugged in: {listed}; say which with --port")
    return boards[0].path


def open_serial(path: str, timeout_s: float, baud: int = BAUD) -> Any:
    """The port for this program alone. Raises PortMissing, PortBusy, NoPermission."""
    try:
        return serial.serial_for_url(path, baud, timeout=timeout_s, exclusive=True)
    except (OSError, ValueError) as error:  # SerialException is an OSError
        raise refusal(path, error) from None


def refusal(path: str, error: Exception) -> DeviceError:
    """The named error for what opening a port raised."""
    number = getattr(error, "errno", None)
    text = str(error)
    if number in (errno.EACCES, errno.EPERM) and "exclusively" not in text:
        return NoPermission(
            f"this user may not open {path}; join the group that owns it (dialout or uucp:"
            " `sudo usermod -aG dialout $USER`), log out and in again"
        )
    if number in (errno.EAGAIN, errno.EBUSY, errno.EACCES) or "Access is denied" in text:
        return PortBusy(
            f"another program has {path} open; close serial monitors, IDEs and other runs of this"
            " tool, then run it again"
        )
    return PortMissing(
        f"there is no port {path}; plug the board in, or see which ports there are with"
        " `python -m serial.tools.list_ports`"
    )
