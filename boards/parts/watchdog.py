"""The ESP32's watchdog, as firmware.board.Watchdog."""

import machine

from firmware.board import WATCHDOG_MS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def start_watchdog() -> "Any":
    """machine.WDT: from now on WATCHDOG_MS without feed() reset the CPU. It cannot be stopped."""
    return machine.WDT(timeout=WATCHDOG_MS)


def why_started() -> str:
    """firmware.board.Start.why: "power_on", "watchdog" or "soft" (machine.reset, REPL, update)."""
    cause = machine.reset_cause()
    if cause == machine.PWRON_RESET:  # brown-out and the EN button, too
        return "power_on"
    return "watchdog" if cause == machine.WDT_RESET else "soft"
