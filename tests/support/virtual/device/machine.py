"""The module machine of a virtual board: its address, and resets that its supervisor does."""

import time

from umachine import (  # type: ignore[import-not-found]  # noqa: F401  (as on a chip)
    idle,
    mem8,
    mem16,
    mem32,
    soft_reset,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

supervisor: "Any" = None  # where a reset is asked for; put here by boot.py
address = b""
cause = PWRON_RESET


def reset() -> None:
    """As the EN button does."""
    supervisor.write(b"R")
    while True:
        time.sleep(1)


def reset_cause() -> int:
    """Why this run began."""
    return cause


def unique_id() -> bytes:
    """The MAC address, which esptool reads as well."""
    return address
