"""A board to flash, pair and diagnose without hardware: `with VirtualBoard(folder) as board:`.

One flash file lies behind both of its lives on one pty (`board.port`): the ROM bootloader, to which
real esptool talks, and the MicroPython unix port, to which real mpremote talks, which mounts the
file system out of that flash and runs its main.py. DTR and RTS lead from the one to the other as on
a board with auto-reset (wires.py); so do reset() and enter_bootloader().
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from host_tools.micropython import ROOT
from tests.support.virtual import wires
from tests.support.virtual.chips import CHIPS
from tests.support.virtual.fake_flash_chip import MIB, FakeFlashChip
from tests.support.virtual.supervisor import Supervisor
from tests.support.virtual.unix_process import Place

WITHIN_S = 10.0
_STEP_S = 0.005
_VENDOR = b"\x24\x0a\xc4"  # an address block of Espressif


class VirtualBoard:
    """The board in `folder`, where its flash stays when it is switched off or made anew."""

    def __init__(
        self,
        folder: Path,
        chip: str = "esp32",
        number: int = 1,
        flash_bytes: int = 4 * MIB,
        old_firmware: bool = False,
    ) -> None:
        """number: of this board among several; old_firmware: mounts no littlefs 2.1."""
        self.folder = folder
        self.chip = CHIPS[chip]
        self.mac = _VENDOR + number.to_bytes(3, "big")
        self.world = folder / "world"
        self.world.mkdir(parents=True, exist_ok=True)
        pipe = folder / "supervisor"
        if not pipe.exists():
            os.mkfifo(pipe)
        self.flash = FakeFlashChip(folder / "flash.bin", flash_bytes)
        place = Place(self.flash.path, pipe, self.world, self.mac)
        self._board = Supervisor(self.chip, self.flash, place, old_firmware)
        self.line = self._board.line  # faults of the line: see faults.Line

    def __enter__(self) -> "VirtualBoard":
        wires.fit()
        self._board.start()
        self.power_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._board.stop()
        self.flash.close()

    # ------------------------------------------------------------ what it is like

    @property
    def port(self) -> str:
        """The device path of its serial port."""
        return self._board.port

    @property
    def mode(self) -> str:
        """off, bootloader, application or boot_loop."""
        return self._board.mode

    @property
    def happened(self) -> list[str]:
        """Every start, soft_reset, power_cut and unplugged, in order."""
        return list(self._board.happened)

    def said(self) -> str:
        """All that it has said, whether or not a host has read it."""
        return bytes(self._board.heard).decode("utf-8", "replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of this event that the meter's firmware has logged."""
        found = []
        for line in self.said().splitlines():
            with suppress(ValueError):
                event = json.loads(line[line.find("{") :])
                if isinstance(event, dict) and event.get("event") == name:
                    found.append(event)
        return found

    def wait_for(self, text: str, within_s: float = WITHIN_S, times: int = 1) -> None:
        """Until it has said this so many times; else AssertionError with what it did say."""
        end_s = time.monotonic() + within_s
        while self.said().count(text) < times:
            if time.monotonic() > end_s:
                raise AssertionError(f"no {text!r} within {within_s} s:\n{self.said()[-2000:]}")
            time.sleep(_STEP_S)

    # ------------------------------------------------------------ the hand on the board

    def power_on(self) -> None:
        """Give it its supply."""
        self._board.call(self._board.power_on)

    def power_off(self) -> None:
        """Take its supply away, whatever it is doing. What it has written stays."""
        self._board.call(self._board.power_off)

    def reset(self) -> None:
        """Press EN."""
        self._board.call(self._board.reset)

    def enter_bootloader(self) -> None:
        """Press EN while BOOT is held."""
        self._board.call(self._board.enter_bootloader)

    def hold_boot(self, held: bool = True) -> None:
        """A strapping pin loaded the wrong way: every reset leads into the bootloader."""
        self._board.boot_held = held

    def cut_reset_wires(self) -> None:
        """A board without auto-reset: DTR and RTS do nothing."""
        self._board.auto_reset = False

    def panic(self, panics: bool = True) -> None:
        """Firmware that crashes as it starts, from the next reset on."""
        self._board.panics = panics

    def unplug(self, after_bytes: int | None = None) -> None:
        """Pull the cable, now or when the host has got so many more bytes."""
        if after_bytes is None:
            self._board.call(self._board.unplug)
        else:
            self.line.unplug_after = self.line.passed + after_bytes

    def plug_in(self) -> None:
        """Put it back: another port, and power."""
        self._board.call(self._board.plug_in)
        self.power_on()

    def add_garbage(self, garbage: bytes, after_bytes: int = 0) -> None:
        """Noise on the line once the host has got so many more bytes, in front of the next one."""
        self.line.garbage = garbage
        self.line.garbage_after = self.line.passed + after_bytes

    def cut_power_after(self, programmed_bytes: int) -> None:
        """It goes dark in the middle of a write to flash, by esptool or by its own programs."""
        self.flash.cut_after(programmed_bytes)

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Another program has the port open."""
        other = os.open(self.port, os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(other)

    # ------------------------------------------------------------ the world around it

    def play(self, household: list[tuple[int, int]], start_s: int, speed: int) -> None:
        """Script its world: import and export in Wh, hour by hour, so many times real time."""
        lines = [f"{start_s + 3600 * n},{i},{e}\n" for n, (i, e) in enumerate(household)]
        (self.world / "household.csv").write_text("".join(lines))
        script = {"household": "household.csv", "speed": speed}
        (self.world / "world.json").write_text(json.dumps(script))

    def environment(self) -> dict[str, str]:
        """For a program of its own that is to reach DTR and RTS: its environment."""
        site = Path(__file__).parent / "site"
        return {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
