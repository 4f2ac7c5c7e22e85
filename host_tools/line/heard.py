"""What bytes from a board say about its state. Pure: probe.py does the asking."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

SILENT = "silent"
ROM_BOOTLOADER = "rom_bootloader"
BOOT_LOOP = "boot_loop"
FRIENDLY_REPL = "friendly_repl"
RAW_REPL = "raw_repl"
OUR_FIRMWARE = "our_firmware"
OTHER_PROGRAM = "other_program"
CORRUPT_FILESYSTEM = "corrupt_filesystem"
WRONG_BAUD = "wrong_baud"

BOOTS_OF_A_LOOP = 2
GARBAGE_BYTES_MIN = 16  # before noise is called a wrong speed
GARBAGE_SHARE = 0.3
_FRIENDLY, _RAW = b">>> ", b"raw REPL; CTRL-B to exit"
_CORRUPTED = (b"filesystem appears to be corrupted", b"in fs_corrupted")
_RESET = re.compile(rb"rst:0x[0-9a-f]+ \(([A-Z0-9_]+)\)[^\r\n]*[\r\n]+([^\r\n]*)", re.IGNORECASE)
_PROGRAM = re.compile(rb"program (True|False) (True|False) end")
_IMPROV_RESULT = b"IMPROV\x01\x04"
_OUR_NAME = b"OpenLicznik"
_ASKS_FOR_PAIRING = b": pair the meter"


class Heard(NamedTuple):
    """A state, and the bytes' own words for it."""

    state: str
    evidence: str


def name_state(everything: bytes, new: bytes) -> Heard | None:
    """The state that all that was heard names, or what came after the last question; else None."""
    if b"\xc0\x01\x08" in new:
        return Heard(ROM_BOOTLOADER, "the ROM bootloader answers esptool's SYNC")
    if b"waiting for download" in everything:
        return Heard(ROM_BOOTLOADER, "the ROM says: waiting for download")
    resets = list(_RESET.finditer(everything))
    if len(resets) >= BOOTS_OF_A_LOOP:
        cause, line = (group.decode("ascii", "replace") for group in resets[-2].groups())
        return Heard(BOOT_LOOP, f"it restarts again and again ({cause}): {line}")
    if any(text in everything for text in _CORRUPTED):
        return Heard(CORRUPT_FILESYSTEM, "MicroPython says that its file system is corrupted")
    if (event := _event_of(everything)) is not None:
        return Heard(OUR_FIRMWARE, f"it logs the event {event}")
    if _ASKS_FOR_PAIRING in everything:
        return Heard(OUR_FIRMWARE, "the meter's program asks to be paired")
    if _IMPROV_RESULT in new and _OUR_NAME in new:
        return Heard(OUR_FIRMWARE, "it answers Improv and waits for its Wi-Fi")
    if _RAW in new:
        return Heard(RAW_REPL, "it answers Ctrl-A with MicroPython's raw REPL")
    if new.rstrip(b"\r\n").endswith(_FRIENDLY):
        return Heard(FRIENDLY_REPL, "it shows MicroPython's prompt >>>")
    if is_garbage(everything):
        return Heard(WRONG_BAUD, f"{len(everything)} bytes came, most of them no text")
    return None


def names_program(stopped: bytes, answer: bytes) -> Heard:
    """What was running: `stopped` is what its interruption said, `answer` that of our question."""
    found = _PROGRAM.search(answer)
    if found is not None and found[2] == b"True":
        return Heard(CORRUPT_FILESYSTEM, "it was in MicroPython's loop about a corrupted one")
    if found is not None and found[1] == b"True":
        return Heard(OUR_FIRMWARE, "the meter's program ran; it was stopped and started again")
    if b"KeyboardInterrupt" in stopped:
        return Heard(OTHER_PROGRAM, "a program ran that is not ours; it was started again")
    return Heard(FRIENDLY_REPL, "it shows MicroPython's prompt >>> after Ctrl-C")


def is_garbage(data: bytes) -> bool:
    """Whether this is what a UART makes of another speed."""
    text = sum(0x20 <= byte < 0x7F or byte in b"\r\n\t\b\x1b" for byte in data)
    return len(data) >= GARBAGE_BYTES_MIN and len(data) - text > GARBAGE_SHARE * len(data)


def _event_of(data: bytes) -> str | None:
    """The event of the last whole line of a meter's log."""
    for line in reversed(data.split(b"\n")[:-1]):
        line = line.strip()
        if line.startswith(b"{") and line.endswith(b"}"):
            try:
                event = json.loads(line).get("event")
            except ValueError:
                continue
            if isinstance(event, str):
                return event
    return None
