"""What can stop work on a chip: esptool's texts become errors with a name and a next step."""

# esptool has one class for every error (FatalError) and tells them apart by text. The texts are
# those of 5.6; tests/host_tools/test_chip.py reads them out of the installed version's source.

import re
from typing import NamedTuple

from host_tools.line.ports import DeviceError, LinkLost, NoPermission, PortBusy, PortMissing


class ChipError(DeviceError):
    """Something between us and a chip in its bootloader; the text ends with what to do."""

    reason = "chip_error"


class ChipSilent(ChipError):
    """Nothing answers on the port: the chip is not in its bootloader, or not powered."""

    reason = "chip_silent"


class WrongBootMode(ChipError):
    """The chip started its program, not its bootloader."""

    reason = "wrong_boot_mode"


class TransmitDead(ChipError):
    """The chip is in its bootloader and does not hear us."""

    reason = "transmit_dead"


class LineNoise(ChipError):
    """What arrives is garbled."""

    reason = "line_noise"


class UnknownChip(ChipError):
    """A chip that no board of ours has."""

    reason = "unknown_chip"


class WrongChip(ChipError):
    """The image is for another chip, or for a newer revision of it."""

    reason = "wrong_chip"


class FlashTooSmall(ChipError):
    """The chip's flash is smaller than the image needs."""

    reason = "flash_too_small"


class FlashUnreachable(ChipError):
    """The chip answers, its flash does not."""

    reason = "flash_unreachable"


class FlashFaulty(ChipError):
    """The flash does not hold what was written."""

    reason = "flash_faulty"


class ChipLocked(ChipError):
    """Flash encryption or secure boot stands against what was asked."""

    reason = "chip_locked"


class NotLocked(ChipError):
    """The image is as flash encryption has it, and the chip's is off."""

    reason = "not_locked"


class RegistersEndangered(ChipError):
    """What was asked would lose the meter's registers or identity; nothing was written."""

    reason = "registers_endangered"


class RegistersLost(ChipError):
    """The meter's registers or identity changed while flashing, and could not be put back."""

    reason = "registers_lost"


class BaudRefused(ChipError):
    """The port's driver does not know this speed."""

    reason = "baud_refused"


class StubFailed(ChipError):
    """esptool's helper did not start on the chip; everything goes without it, more slowly."""

    reason = "stub_failed"


class ToolBroken(ChipError):
    """esptool is not whole, or was asked for what it cannot do: not the user's mistake."""

    reason = "tool_broken"


class Sign(NamedTuple):
    """A text of esptool, and what it means."""

    pattern: str
    error: type[DeviceError]
    text: str


# In this order: a text about opening a port holds the system's own words, and a failed connection
# holds the reason of its last try.
SIGNS = (
    Sign(
        r"Could not open.*(Permission denied|Errno 13)", NoPermission,
        "this user may not open the port; join the group that owns it (dialout or uucp), log out "
        "and in again",
    ),
    Sign(
        r"Could not open.*(No such file|FileNotFound|Errno 2\b)", PortMissing,
        "there is no such port; plug the board in with a cable that carries data",
    ),
    Sign(
        r"Could not open", PortBusy,
        "another program has the port open; close serial monitors and IDEs, then run it again",
    ),
    Sign(
        # Modes 0x0 to 0x7 are the bootloader's on all our chips: its log was only cut short.
        r"serial TX path seems to be down|Wrong boot mode detected \(0x[0-7]\)", TransmitDead,
        "the chip is in its bootloader and does not hear; check the wire from TX of the adapter to "
        "RX of the board, and that nothing else is on GPIO 3",
    ),
    Sign(
        r"Wrong boot mode detected", WrongBootMode,
        "the chip started its program; hold BOOT (GPIO 0 to ground), press EN once, run it again, "
        "and take off what is wired to strapping pins",
    ),
    Sign(
        r"Guru Meditation", LineNoise,
        "the chip's bootloader crashed; press EN and run it again, if it stays with another supply",
    ),
    Sign(
        r"No serial data received|Could not connect to an Espressif", ChipSilent,
        "nothing answers; hold BOOT, press EN once, run it again; check power, and that the cable "
        "carries data",
    ),
    Sign(
        r"Serial data stream stopped|No more data to read|Packet content transfer stopped|"
        r"device reports readiness|device disconnected|Input/output error|Errno 5\b|"
        r"write failed|Bad file descriptor|ClearCommError|Write timeout|read failed|"
        r"device not configured", LinkLost,
        "the line went dead in the middle; check cable and supply and run it again: it goes on "
        "with what is missing",
    ),
    Sign(
        r"This chip is|Use --force to flash anyway", WrongChip,
        "the image is not for this chip: choose the board that this chip is on",
    ),
    Sign(
        r"Failed to autodetect chip type|does not contain chip ID", UnknownChip,
        "no board of ours has this chip; see docs/boards.md",
    ),
    Sign(
        r"Failed to start stub flasher|Stub flasher is resident", StubFailed,
        "esptool's helper does not start; run it again without it",
    ),
    Sign(
        r"will not fit in", FlashTooSmall,
        "the chip's flash is smaller than the board's should be: see what module is on it",
    ),
    Sign(
        r"Secure Download Mode|secure download mode|Secure Boot V1|Flash encryption with Key|"
        r"Detected flash encryption|Active security features|encrypt functionality|"
        r"encrypted flash write|encrypted writes|encrypted flashing", ChipLocked,
        "the chip is locked against this; see its security level with doctor",
    ),
    Sign(
        r"is not supported in the current download mode", ChipLocked,
        "the bootloader refuses this command, as a locked chip does; see its level with doctor",
    ),
    Sign(
        r"Unable to verify flash chip connection|SPI command did not complete|"
        r"Failed SPI|Unknown size", FlashUnreachable,
        "the flash does not answer; take off what is wired to GPIO 6 to 12, and check the supply",
    ),
    Sign(
        r"MD5 of file does not match|the written flash region is empty|Verification failed|"
        r"Flash write error|Flash read error|Digest mismatch|running result is wrong", FlashFaulty,
        "the flash does not keep what is written; run it again with --baud 115200, and if that "
        "does not help replace the board",
    ),
    Sign(
        r"Failed to set baud rate", BaudRefused,
        "the driver does not know this speed; run it with --baud 115200",
    ),
    Sign(
        r"Invalid head of packet|Invalid SLIP escape|Response doesn't match|Corrupt data|"
        r"Expected digest|Read more than|byte status response|Serial errors|Checksum error|"
        r"Bad data checksum|^Failed to ", LineNoise,
        "what arrives is garbled; use a shorter cable and --baud 115200, then run it again",
    ),
    Sign(
        r"stub data is missing|does not support|not supported|multiple of|Invalid |"
        r"mutually exclusive|must be in range|unsupported", ToolBroken,
        "esptool cannot do what it was asked: run `make test` once, which installs it whole, and "
        "report this if it stays",
    ),
)  # fmt: skip


def named(text: str) -> DeviceError:
    """The error with a name for a text of esptool or pyserial. The text itself is not repeated:

    what a port or a chip says is not ours to vouch for.
    """
    flat = " ".join(text.split())
    for sign in SIGNS:
        if re.search(sign.pattern, flat):
            return sign.error(sign.text)
    return ChipError("the chip refuses; press EN and run it again, and report this if it stays")
