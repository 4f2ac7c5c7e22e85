"""This computer as a meter: scripted pulses, a file as flash, sockets. `-m boards.unix DIR`."""

import asyncio
import json
import os
import sys

from boards.parts.mqtt_link import SocketLink, read_ca
from boards.parts.slots import open_slots
from boards.unix_flash import FileFlash
from boards.unix_world import Household, RealClock, World, WorldClock, WorldPulses
from firmware import app
from firmware.board import RETAINED_BYTES_MAX, Board, NoSensors, Start
from firmware.config import ConfigError, parse, text, whole
from firmware.storage import FlashTooSmall

try:  # a virtual board has a chip's module esp32: the tests' fake, with partitions and NVS
    from boards.parts import identity, partition
except ImportError:
    is_virtual = False
else:
    is_virtual = True

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RESTART_CODE = 75  # sysexits.h, EX_TEMPFAIL
SPEED_MAX = 1_000_000
FLASH_BLOCKS = 256  # 1 MiB, as the chips' partition `meter`
_BOARD_KEYS = ("household", "speed")
_CHIP_KEYS = ("wifi_name", "wifi_password")  # taken and not needed: this computer has a network
_SCRIPT = "world.json"  # in the folder `world`, if that is there: household and speed
_FILE_CHARS_MAX = 255
_USAGE = "usage: micropython -m boards.unix DIR, where DIR holds config.json"


def main(arguments: "list[str]") -> int:
    """Run the meter of DIR until it is stopped; 2 for what its user can mend, 1 for the rest."""
    if len(arguments) != 1:
        return _fail(_USAGE, 2)
    folder = arguments[0]
    try:
        asyncio.run(app.main(make_board(folder)))
    except (ConfigError, FlashTooSmall) as error:
        return _fail(str(error), 2)
    except OSError as error:
        return _fail("the meter stopped: " + _name_of(error) + " in " + folder, 1)
    except KeyboardInterrupt:
        if is_virtual:  # to the prompt, as on a chip
            raise
        return 0
    return 0


def make_board(folder: str) -> Board:
    """The board of a meter's folder. Raises ConfigError, whose text says what to do.

    What is not the meter's own lies in the folder `world` in it, if that has a world.json.
    """
    settings = _read_config(folder)
    world_folder = _path(folder, "world")
    if _exists(_path(world_folder, _SCRIPT)):
        settings.update(_read_config(world_folder, _SCRIPT))
    else:
        world_folder = folder
    if is_virtual:
        identity.add_identity(settings)
    config = parse(settings, _BOARD_KEYS + _CHIP_KEYS if is_virtual else _BOARD_KEYS)
    speed = whole(settings, "speed", 1, SPEED_MAX) if "speed" in settings else 1
    log = Log()
    household = None
    if "household" in settings:
        name = text(settings, "household", _FILE_CHARS_MAX)
        household = Household(config.imp_per_kwh)
        household.read(_path(world_folder, name))
    ca = read_ca(config, _path(folder, "ca.der"))
    had_world = _exists(_path(world_folder, "world.bin"))
    world = World(_path(world_folder, "world.bin"), household, log)
    clock: Any = RealClock() if household is None else WorldClock(world, speed, log)
    flash, flash_lost = _open_flash(folder, config.meter_key, had_world, log)
    retained = FileRetained(_path(world_folder, "retained.bin"))
    why = "watchdog" if retained.read() else "power_on"
    return Board(
        config,
        clock,
        WorldPulses(world),
        flash,
        SocketLink(ca, config.server_name),
        log,
        random_below,
        Start(why, flash_lost),
        retained,
        NoSensors(),
        NoWatchdog(),
        open_slots(folder),
        restart,
    )


def _open_flash(folder: str, meter_key: bytes, had_world: bool, log: "Log") -> "tuple[Any, bool]":
    """The meter's flash, and whether one that was there is lost: a partition, or else a file."""
    if not is_virtual:
        path = _path(folder, "flash.bin")
        had_flash = _exists(path)
        return FileFlash(path, FLASH_BLOCKS, log), had_world and not had_flash
    try:
        flash = partition.open_partition()
    except partition.FlashMissing as error:
        raise ConfigError(str(error)) from None
    log.life = partition.Life(meter_key)
    return flash, log.life.flash_lost(flash)


class Log:
    """One JSON object a line on standard output. Remembers the last interval for `script_end`."""

    def __init__(self) -> None:
        self.intervals = 0  # number of the last interval that was closed
        self.life: Any = None  # parts.partition.Life, which begins with the event `boot`

    def __call__(self, event: str, **fields: "Any") -> None:
        if event == "interval":
            self.intervals = fields["number"]
        elif event == "boot":
            self.intervals = fields["number"] - 1
            if self.life is not None:
                self.life.begin()
        fields["event"] = event
        sys.stdout.write(json.dumps(fields) + "\n")


class FileRetained:
    """A file as the memory that a reset leaves alone: a killed process is a reset here."""

    def __init__(self, path: str) -> None:
        try:
            self._file = open(path, "r+b", buffering=0)  # noqa: SIM115  (for good)
        except OSError:
            self._file = open(path, "w+b", buffering=0)  # noqa: SIM115

    def read(self) -> bytes:
        """What was written last."""
        self._file.seek(0)
        return self._file.read(RETAINED_BYTES_MAX) or b""

    def write(self, data: "bytes | bytearray") -> None:
        """Replace it."""
        self._file.seek(0)
        self._file.write(data)


class NoWatchdog:
    """Nothing resets a process that hangs: its user does."""

    def feed(self) -> None:
        """Nothing to feed."""


def restart() -> None:
    """End with a code that asks whoever started the process to start it again."""
    raise SystemExit(RESTART_CODE)


def random_below(limit: int) -> int:
    """A random integer in 0..limit - 1; for jitter, not for keys."""
    return int.from_bytes(os.urandom(4), "little") % max(1, limit)


def _read_config(folder: str, name: str = "config.json") -> "Any":
    path = _path(folder, name)
    try:
        with open(path) as file:
            return json.load(file)
    except OSError:
        raise ConfigError("no config at " + path + ": pair the meter first") from None
    except ValueError:
        raise ConfigError(path + " is not JSON: pair the meter again") from None


def _path(folder: str, name: str) -> str:
    return name if name.startswith("/") else folder + "/" + name


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def _name_of(error: OSError) -> str:
    return str(error.args[-1]) if error.args else "input or output failed"


def _fail(line: str, code: int) -> int:
    sys.stderr.write(line + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
