"""The one adapter of esptool: a chip in its bootloader, its flash, and nothing on our stdout."""

# Of esptool (5.6 or newer) this uses esptool.cmds, which is its public interface, the logger's, and
# of the loader object what the public scripting guide shows. Errors: chip_errors.py.

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import serial
from esptool import cmds
from esptool.logger import TemplateLogger, log
from esptool.util import FatalError

from host_tools.closing import Closing
from host_tools.flashing.chip_errors import (
    BaudRefused,
    ChipError,
    ChipLocked,
    FlashFaulty,
    FlashUnreachable,
    StubFailed,
    named,
)
from host_tools.levels import Locks
from host_tools.line.ports import BAUD, DeviceError, LinkLost

FAST_BAUD = 460_800  # what every USB bridge on our boards does
CONNECT_TRIES = 4  # one for each way of pulling EN and IO0 that esptool knows
SECTOR_BYTES = 4096
BLANK = b"\xff"
LOG_LINES_MAX = 200

Progress = Callable[[int, int], None]  # bytes done, all bytes


class Chip(Closing):
    """A chip at its bootloader; `with Chip.open(port) as chip:`. Every method raises DeviceError.

    It is left in the bootloader unless `restart` is called.
    """

    def __init__(self, esp: Any, port: str) -> None:
        self._esp = esp
        self.port = port
        self.said: deque[str] = deque(maxlen=LOG_LINES_MAX)  # what esptool would have printed
        self.name = ""
        self.mac = b""
        self.flash_bytes = 0

    @classmethod
    def open(cls, port: str, baud: int = FAST_BAUD, stub: bool = True) -> Chip:
        """Bring the chip into its bootloader and ask what it is.

        With esptool's helper (the stub) where it starts, else without it. Raises DeviceError.
        """
        chip = cls._detected(port)
        try:
            chip._begin(baud, stub)
        except StubFailed:
            chip.close()
            return cls.open(port, baud, stub=False)
        except BaseException:
            chip.close()
            raise
        return chip

    def close(self) -> None:
        """Let go of the port."""
        with suppress(OSError):
            self._esp._port.close()

    # ------------------------------------------------------------ what it is

    @property
    def locks(self) -> Locks:
        """Its locks, as its eFuses say."""
        with self._working():
            if self._esp.secure_download_mode:  # registers are closed, this command is not
                info = self._esp.get_security_info()
                encrypted = info["flash_crypt_cnt"].bit_count() % 2 == 1
                return Locks(encrypted, bool(info["parsed_flags"]["SECURE_BOOT_EN"]), True)
            return Locks(
                bool(self._esp.get_flash_encryption_enabled()),
                bool(self._esp.get_secure_boot_enabled()),
                bool(self._esp.get_encrypted_download_disabled()),
            )

    @classmethod
    def locks_of(cls, port: str) -> Locks:
        """The locks of the chip on this port, also of one that takes nothing else any more.

        It runs its program again afterwards.
        """
        with cls._detected(port) as chip:
            locks = chip.locks
            chip.restart()
            return locks

    # ------------------------------------------------------------ its flash

    def read(self, offset: int, length: int, progress: Progress | None = None) -> bytes:
        """What is there."""
        with self._working(progress):
            found: bytes = cmds.read_flash(self._esp, offset, length)
        return found

    def holds(self, offset: int, content: bytes) -> bool:
        """Says whether these bytes are there; the chip computes a digest, nothing is read."""
        try:
            with self._working():
                cmds.verify_flash(self._esp, [(offset, content)])
        except FlashFaulty:
            return False
        return True

    def write(
        self, offset: int, content: bytes, progress: Progress | None = None, force: bool = False
    ) -> None:
        """Erase, write, and compare. Raises FlashFaulty when it is not there afterwards.

        force: for a chip that is locked, which esptool protects from plain content.
        """
        with self._working(progress):
            cmds.write_flash(self._esp, [(offset, content)], force=force)

    def erase(self, offset: int, length: int) -> None:
        """Erase whole sectors."""
        with self._working():
            cmds.erase_region(self._esp, offset, length)

    def restart(self) -> None:
        """Start the program in the flash."""
        with self._working():
            cmds.reset_chip(self._esp, "hard-reset")

    # ------------------------------------------------------------ how

    @classmethod
    def _detected(cls, port: str) -> Chip:
        with quiet() as said, errors():
            esp = cmds.detect_chip(port, BAUD, connect_attempts=CONNECT_TRIES)
        chip = cls(esp, port)
        chip.said.extend(said)
        return chip

    def _begin(self, baud: int, stub: bool) -> None:
        with self._working():
            self.name = self._esp.CHIP_NAME.lower().replace("-", "")
            if self._esp.secure_download_mode:
                raise ChipLocked(
                    "the chip takes nothing over the cable any more (secure download mode); "
                    "update it over the air"
                )
            self.mac = bytes(self._esp.read_mac("BASE_MAC"))
            if stub:
                self._esp = cmds.run_stub(self._esp)
            # One try: what was cut off goes on when it is run again, and knows what is missing.
            self._esp.WRITE_FLASH_ATTEMPTS = 1
            cmds.attach_flash(self._esp)
            size = cmds.detect_flash_size(self._esp)
        if size is None:
            raise FlashUnreachable(
                "the flash does not say its size; take off what is wired to GPIO 6 to 12"
            )
        self.flash_bytes = int(size[:-2]) << {"KB": 10, "MB": 20}[size[-2:]]
        if baud != BAUD:
            with suppress(BaudRefused), self._working():
                self._esp.change_baud(baud)

    @contextmanager
    def _working(self, progress: Progress | None = None) -> Iterator[None]:
        with quiet(progress) as said, errors():
            try:
                yield
            finally:
                self.said.extend(said)


@contextmanager
def errors() -> Iterator[None]:
    """Turns what esptool and pyserial raise into errors with a name."""
    try:
        yield
    except DeviceError:
        raise
    except serial.SerialException:
        raise LinkLost(
            "the port went away in the middle; plug the board in and run it again: it goes on with "
            "what is missing"
        ) from None
    except (FatalError, OSError, ValueError) as error:
        raise named(str(error)) from None
    except SystemExit:  # how esptool's tools give up
        raise ChipError("esptool gave up; press EN and run it again") from None


class _Now(threading.local):
    """What esptool says in this thread: many boards are flashed at once, and its logger is one."""

    said: list[str] | None = None
    progress: Progress | None = None


_now = _Now()


class Quiet(TemplateLogger):  # type: ignore[misc]  # esptool asks for this base, and has no types
    """Keeps what esptool says while `quiet` is on in this thread; prints it as ever elsewhere.

    It has no state of its own: some versions of esptool take a logger's class alone.
    """

    def print(self, *args: Any, **kwargs: Any) -> None:
        text = kwargs.get("sep", " ").join(str(arg) for arg in args)
        if _now.said is not None:
            _now.said += [line for line in text.split("\n") if line.strip()]
        else:
            print(text, end=kwargs.get("end", "\n"), file=kwargs.get("file"))

    def note(self, message: str) -> None:
        self.print(f"Note: {message}")

    def warning(self, message: str) -> None:
        self.print(f"Warning: {message}")

    def error(self, message: str) -> None:
        self.print(f"Error: {message}")

    def stage(self, finish: bool = False) -> None:
        """Nothing is folded away."""

    def set_verbosity(self, verbosity: str) -> None:
        """One is enough."""

    def progress_bar(
        self,
        cur_iter: int,
        total_iters: int,
        prefix: str = "",
        suffix: str = "",
        bar_length: int = 30,
    ) -> None:
        if _now.progress is not None:
            _now.progress(cur_iter, total_iters)


@contextmanager
def quiet(progress: Progress | None = None) -> Iterator[list[str]]:
    """Nothing that esptool says in this thread is printed; gives its lines."""
    if hasattr(log, "set_logger"):  # ours has none: it is there already
        log.set_logger(Quiet())
    before = _now.said, _now.progress
    said: list[str] = []
    _now.said, _now.progress = said, progress
    try:
        yield said
    finally:
        _now.said, _now.progress = before
