"""Lots that are used first in, first out, and expire: energy in the storage, money in the deposit.

One structure in two units: the virtual storage of net-metering counts Wh, the prosumer deposit
of net-billing grosz. Both keep one lot for each month of feeding in, use the oldest first, and
lose a lot at the end of its life. Lots are tuples that never change; every function gives new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from settlement.rules.periods import Month


@dataclass(frozen=True)
class Lot:
    """One month: `booked` is all that came in, corrections included, `open` is what is left."""

    month: Month
    booked: int
    open: int

    def __post_init__(self) -> None:
        assert 0 <= self.open <= self.booked


Lots = tuple[Lot, ...]  # ascending by month


class Part(NamedTuple):
    """How much of one lot a step has moved."""

    lot: Month
    amount: int


def book(lots: Lots, month: Month, amount: int) -> Lots:
    """The lots with an amount added to the newest month; a month that comes again grows its lot."""
    assert amount >= 0
    if lots and lots[-1].month == month:
        newest = lots[-1]
        return (*lots[:-1], Lot(month, newest.booked + amount, newest.open + amount))
    assert not lots or lots[-1].month < month, "months are booked in order"
    return (*lots, Lot(month, amount, amount))


def take(lots: Lots, wanted: int) -> tuple[Lots, tuple[Part, ...]]:
    """Uses the oldest lots first, at most what is wanted and at most what there is."""
    assert wanted >= 0
    after, parts = [], []
    for lot in lots:
        amount = min(lot.open, wanted)
        wanted -= amount
        after.append(replace(lot, open=lot.open - amount) if amount else lot)
        if amount:
            parts.append(Part(lot.month, amount))
    return tuple(after), tuple(parts)


def expire(lots: Lots, last: Month) -> tuple[Lots, tuple[Part, ...]]:
    """Drops the lots up to the month `last`, and tells what was left in each."""
    gone = tuple(Part(lot.month, lot.open) for lot in lots if lot.month <= last and lot.open)
    return tuple(lot for lot in lots if lot.month > last), gone


def total(lots: Lots) -> int:
    """What is left in all of them."""
    return sum(lot.open for lot in lots)
