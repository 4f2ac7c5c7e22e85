"""Improv on the chip's own serial port: takes a Wi-Fi name and password from whoever is there."""

# A packet holds 0x03, which is Ctrl-C: MicroPython would stop the program in the middle of it. So
# that is switched off while listening and on again after, whatever happened. It must be done in the
# program that reads: each thing that the REPL runs begins with it on (micropython#17097, closed as
# meant). A Ctrl-C that is in no packet stops the program as ever: mpremote comes in by it.

import select
import sys
import time

import micropython

from boards.parts.wifi import RESTING, UP
from firmware import improv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CTRL_C = 3
QUIET_MS = 500  # a packet that does not go on for so long never will: forget it
STEP_MS = 50  # between two looks at the radio, while it joins


def listen(
    link: "Any",
    save: "Callable[[tuple[str, ...]], None]",
    about: "tuple[str, ...]",
    feed: "Callable[[], None]",
) -> None:
    """Answer until somebody has set the Wi-Fi. Raises KeyboardInterrupt for a Ctrl-C.

    link: boards.parts.wifi.WifiLink. save((name, password) or (name,)) keeps what was joined, and
    may raise OSError. about: firmware, version, chip, device. feed(): the watchdog's.
    """
    parser = improv.Parser()
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    micropython.kbd_intr(-1)
    try:
        while True:
            feed()
            if not poll.poll(QUIET_MS):
                parser.forget()
                continue
            byte = sys.stdin.buffer.read(1)[0]
            try:
                request = parser.feed(byte)
                if request and _answered(request, link, save, about, feed):
                    return
            except ValueError:
                _say(improv.TYPE_ERROR, improv.INVALID_PACKET)
            except OSError:
                _say(improv.TYPE_ERROR, improv.UNKNOWN_ERROR)
            else:
                if request is None and byte == CTRL_C and not parser.inside():
                    raise KeyboardInterrupt
    finally:
        micropython.kbd_intr(CTRL_C)


def _answered(
    request: bytes, link: "Any", save: "Any", about: "tuple[str, ...]", feed: "Any"
) -> bool:
    """Answer a client; True when the Wi-Fi is set."""
    command = request[0]
    _say(improv.TYPE_ERROR, improv.NO_ERROR)
    if command == improv.SEND_WIFI:
        names = improv.wifi_of(request[2:])
        _say(improv.TYPE_STATE, improv.PROVISIONING)
        link.join(names)
        while link.state not in (UP, RESTING):
            feed()
            time.sleep_ms(STEP_MS)
            link.step()
        if link.state == UP:
            save(names)
            _say(improv.TYPE_STATE, improv.PROVISIONED)
            _tell(command)
            return True
        _say(improv.TYPE_ERROR, improv.UNABLE_TO_CONNECT)
    if command == improv.GET_INFO:
        _tell(command, *about)
    elif command == improv.GET_NETWORKS:
        for name, _, _, rssi_dbm, security, _ in link.scan():
            if name:  # hidden ones have none
                _tell(command, name, str(rssi_dbm), "YES" if security else "NO")
        _tell(command)
    elif improv.SEND_WIFI <= command <= improv.GET_STATE:
        _say(improv.TYPE_STATE, improv.READY)
    else:
        _say(improv.TYPE_ERROR, improv.UNKNOWN_COMMAND)
    return False


def _say(kind: int, value: int) -> None:
    sys.stdout.buffer.write(improv.packet(kind, bytes((value,))))


def _tell(command: int, *texts: "Any") -> None:
    sys.stdout.buffer.write(improv.result(command, texts))
