"""How much a register grew between two readings, and whether it went round to 0 in between."""

from __future__ import annotations

from typing import NamedTuple

from settlement.rules.errors import RegisterBreak

# A display of 5 to 9 digits of whole kWh and the Wh behind them: what registers go round at.
ROLLOVERS_WH = tuple(10**digits for digits in range(8, 13))


class Growth(NamedTuple):
    """Wh by which a register grew; the Wh it went round at, None when it did not."""

    energy_wh: int
    rollover_wh: int | None


def growth(before_wh: int, after_wh: int, known_wh: int, unknown_wh: int | None = 0) -> Growth:
    """The growth from one reading of a register to a later one of the same meter.

    `known_wh` is the energy of the known intervals in between, `unknown_wh` the most that the
    missing ones can hold (0: none is missing, None: nobody knows). A smaller later reading is a
    rollover only where going round explains it: exactly when nothing is missing, else within
    `unknown_wh`. Raises RegisterBreak when neither growing nor going round explains the readings.
    """
    assert min(before_wh, after_wh, known_wh, unknown_wh or 0) >= 0
    grown_wh = after_wh - before_wh
    if grown_wh == known_wh or (grown_wh > known_wh and unknown_wh != 0):
        return Growth(grown_wh, None)
    for rollover_wh in ROLLOVERS_WH:
        round_wh = grown_wh + rollover_wh
        fits = unknown_wh is not None and known_wh <= round_wh <= known_wh + unknown_wh
        if fits and max(before_wh, after_wh) < rollover_wh:
            return Growth(round_wh, rollover_wh)
    raise RegisterBreak(
        f"the register went from {before_wh} to {after_wh} Wh, the intervals in between hold "
        f"{known_wh} Wh: look for a replaced or reset meter"
    )
