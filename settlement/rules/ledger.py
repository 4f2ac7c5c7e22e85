"""The ledgers of a metering point: entries that are only ever added, and what they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from settlement.rules.periods import Month

STORAGE = "storage"  # virtual storage of net-metering, in Wh
DEPOSIT = "deposit"  # prosumer deposit of net-billing, in grosz
REBATE = "rebate"  # what is left of the rebate, in grosz
ACCOUNTS = (STORAGE, DEPOSIT, REBATE)

BOOKED = "booked"
REVALUED = "revalued"
USED = "used"
REFUNDED = "refunded"
FORFEITED = "forfeited"
CONVERTED = "converted"  # out of the storage, when a prosumer moves to net-billing
PAID_OUT = "paid_out"  # to the bank account of a tenant prosumer or of one who has left
INWARD = (BOOKED, REVALUED)
OUTWARD = (USED, REFUNDED, FORFEITED, CONVERTED, PAID_OUT)


@dataclass(frozen=True)
class Entry:
    """One movement. `lot` is the month the energy was fed in, `month` the month that was settled.

    `amount` is Wh in the storage and grosz elsewhere. It is positive for what its kind says, and
    negative where that is taken back: `revalued` when the new price is lower; `used`, `refunded`,
    `forfeited` and `paid_out` when such a price left less for them; any kind when a correction
    appends the `difference` to what was entered before, since nothing is ever removed.
    `zone` is "" where one queue serves all zones.
    """

    account: str
    kind: str
    lot: Month
    month: Month
    amount: int
    zone: str = ""
    note: str = ""


class LotKey(NamedTuple):
    """Where a lot lies: account, zone, and the month it was fed in."""

    account: str
    zone: str
    lot: Month


class SumKey(NamedTuple):
    """What movements are summed by when two runs of the same months are compared."""

    account: str
    zone: str
    lot: Month
    month: Month
    kind: str


@dataclass(frozen=True)
class Recorded:
    """An entry and the UTC second at which it was entered."""

    entry: Entry
    recorded_s: int


def known_at(recorded: Iterable[Recorded], when_s: int) -> tuple[Entry, ...]:
    """The ledger as it stood at that UTC second: what was entered later is left out."""
    return tuple(each.entry for each in recorded if each.recorded_s <= when_s)


def open_amounts(entries: Iterable[Entry]) -> dict[LotKey, int]:
    """What is left in every lot, Wh or grosz: all that came in less all that went out."""
    left: Counter[LotKey] = Counter()
    for entry in entries:
        assert entry.kind in INWARD + OUTWARD, entry.kind
        sign = 1 if entry.kind in INWARD else -1
        left[LotKey(entry.account, entry.zone, entry.lot)] += sign * entry.amount
    return dict(left)


def balance(entries: Iterable[Entry], account: str) -> int:
    """What is left in all lots of one account: Wh in the storage, grosz elsewhere."""
    left = open_amounts(entries)
    return sum(amount for key, amount in left.items() if key.account == account)


def unbalanced(entries: Iterable[Entry], held: Mapping[LotKey, int]) -> dict[LotKey, int]:
    """Lots where the ledger and what is `held` disagree, and by how much; empty when all is well.

    This is the conservation law of every account, zone and lot:
    booked + revalued = used + refunded + forfeited + converted + paid_out + open.
    """
    left = open_amounts(entries)
    off = {key: left.get(key, 0) - held.get(key, 0) for key in (*left, *held)}
    return {key: amount for key, amount in off.items() if amount}


def sums(entries: Iterable[Entry]) -> dict[SumKey, int]:
    """Movements of one lot, month and kind as one amount; those that come to 0 are left out."""
    summed: Counter[SumKey] = Counter()
    for entry in entries:
        summed[SumKey(entry.account, entry.zone, entry.lot, entry.month, entry.kind)] += (
            entry.amount
        )
    return {key: amount for key, amount in summed.items() if amount}


def difference(old: Iterable[Entry], new: Iterable[Entry], note: str = "") -> tuple[Entry, ...]:
    """The entries to append to the old ledger, so that its sums become those of the new run.

    A correction appends and never removes, therefore any kind may have a negative amount here.
    They come in the order of month, account, lot, zone and kind, each with the note given.
    """
    entered, due = sums(old), sums(new)
    changed = {key: due.get(key, 0) - entered.get(key, 0) for key in (*entered, *due)}
    order = sorted(changed, key=lambda key: (key.month, key.account, key.lot, key.zone, key.kind))
    return tuple(
        Entry(key.account, key.kind, key.lot, key.month, changed[key], key.zone, note)
        for key in order
        if changed[key]
    )


def movements(
    account: str,
    month: Month,
    before: Mapping[Month, Mapping[str, int]],
    after: Mapping[Month, Mapping[str, int]],
    notes: Mapping[Month, str],
) -> tuple[Entry, ...]:
    """The entries that a step has made, from all that each lot had moved by kind before and after.

    `notes` explain by lot what came in: where its value is from.
    """
    return tuple(
        Entry(account, kind, lot, month, moved, note=notes[lot] if kind in INWARD else "")
        for lot, by_kind in after.items()
        for kind, amount in by_kind.items()
        if (moved := amount - before.get(lot, {}).get(kind, 0))
    )
