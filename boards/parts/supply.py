"""Inputs that see the mains go and the cover open, as firmware.board.Sensors."""

import machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.board import Measured


class SupplyPins:
    """Two pins to ground with the chip's own pull-ups, and a sensor of current and voltage or none.

    supply_pin: held low by the mains detector while there is mains; high means gone. It must be a
    steady level: rectified and smoothed, not 50 Hz pulses. tamper_pin: a switch to ground that the
    closed cover keeps shut. A pin of -1 is not there and sees nothing, so a cut wire says "gone"
    and "open", and no wire says so only where one is configured.
    """

    def __init__(self, supply_pin: int = -1, tamper_pin: int = -1, windows: "Any" = None) -> None:
        self._supply = _input(supply_pin)
        self._tamper = _input(tamper_pin)
        self._windows = windows

    def measured(self) -> "Measured | None":
        """The newest window of the current and voltage sensor; None without one."""
        return None if self._windows is None else self._windows.measured()

    def supply_lost(self) -> bool:
        """True while the detector does not hold its pin low."""
        return self._supply is not None and self._supply.value() == 1

    def tampered(self) -> bool:
        """True while the cover's switch is open."""
        return self._tamper is not None and self._tamper.value() == 1


def _input(pin: int) -> "Any":
    return None if pin < 0 else machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
