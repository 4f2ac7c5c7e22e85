"""Net-billing: export becomes grosz in a prosumer deposit, which pays for active energy.

Act on renewable sources (OZE) art. 4 ust. 11 and art. 4b, 4c: the value of a month's export is
booked in the next month and pays, oldest month first, for the gross active energy of twelve
months, never for distribution or the trade fee. What is left then is refunded up to a percentage
of the month's whole value; the rest is forfeited. How a month is valued: valuation.py.

A month runs: open_month, use, feed_in, close_month.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from settlement.rules import lots, valuation
from settlement.rules.ledger import (
    BOOKED,
    DEPOSIT,
    FORFEITED,
    REFUNDED,
    REVALUED,
    USED,
    Entry,
    LotKey,
    movements,
)
from settlement.rules.lots import Lot
from settlement.rules.market import Rcem
from settlement.rules.periods import Month
from settlement.rules.rates import Tables
from settlement.rules.totals import Totals
from settlement.rules.valuation import Export, Terms, Worth


@dataclass(frozen=True)
class DepositLot:
    """The deposit of one month of export, kept for good, since its price may be corrected late.

    `lot.booked` is the value as revalued, `original_gr` as first booked. `closed`: it has ended
    and can pay no more; what was not used is `refunded_gr` or forfeited.
    """

    lot: Lot
    worth: Worth
    original_gr: int
    refunded_gr: int = 0
    forfeited_gr: int = 0
    closed: bool = False

    @property
    def used_gr(self) -> int:
        """What it has paid of invoices."""
        return self.lot.booked - self.lot.open - self.refunded_gr - self.forfeited_gr

    @property
    def sums_gr(self) -> dict[str, int]:
        """All that has moved so far, by kind of entry."""
        return {
            BOOKED: self.original_gr,
            REVALUED: self.lot.booked - self.original_gr,
            USED: self.used_gr,
            REFUNDED: self.refunded_gr,
            FORFEITED: self.forfeited_gr,
        }


@dataclass(frozen=True)
class Deposit:
    """The prosumer deposit of one metering point: lots by month, and export not booked yet."""

    lots: tuple[DepositLot, ...] = ()
    pending: tuple[Export, ...] = ()


class Returned(NamedTuple):
    """What a lower price takes back of a lot that is spent already.

    `used_gr` has paid of invoices and is due again, by a correcting invoice; `refunded_gr` has
    been refunded beyond what the lower value allows.
    """

    lot: Month
    used_gr: int
    refunded_gr: int


class Opened(NamedTuple):
    """A month that is opened: the deposit, its movements, and what must be claimed back."""

    deposit: Deposit
    entries: tuple[Entry, ...]
    returned: tuple[Returned, ...]


class Used(NamedTuple):
    """What the deposit has paid of an invoice, in grosz."""

    deposit: Deposit
    used_gr: int
    entries: tuple[Entry, ...]


def feed_in(deposit: Deposit, month: Month, totals: Totals) -> Deposit:
    """Remembers the export of a span that lies within the month; spans of a month add up."""
    return replace(deposit, pending=valuation.add(deposit.pending, month, totals))


def take_over(deposit: Deposit, month: Month, kwh: int) -> Deposit:
    """Takes whole kWh out of net-metering (net_metering.convert), as if fed in in that month.

    `month` is the last one of net-metering; its RCEm values them, whatever holds for export.
    """
    return replace(deposit, pending=valuation.add_converted(deposit.pending, month, kwh))


def open_month(
    deposit: Deposit,
    month: Month,
    rcem: Rcem,
    tables: Tables,
    terms: Terms,
    known_on: date,
    whole: bool = True,
) -> Opened:
    """Posts the corrections of RCEm known by `known_on`, then books the export that is due.

    Export is due in the month after it (policy deposit_booking: or in its own, when all of it is
    at hand, which `whole` says). Policy rcem_correction: with settle_again nothing is posted, since
    the past is settled again by the prices known now. Raises NoRate (no RCEm yet) and
    NoMarketValue, both naming the month.
    """
    kept = deposit.lots
    if terms.policies.rcem_correction == "post_difference":
        newest = (valuation.corrected(each.worth, rcem, known_on) for each in kept)
        kept = tuple(_revalued(each, worth) for each, worth in zip(kept, newest, strict=True))
    due, pending = valuation.due(deposit.pending, month, terms.policies, whole)
    booked = tuple(
        _booked(valuation.worth_of(export, terms, rcem, tables, known_on)) for export in due
    )
    moved, entries = _move(deposit, (*kept, *booked), month)
    return Opened(replace(moved, pending=pending), entries, _returned(deposit.lots, kept))


def use(deposit: Deposit, month: Month, gross_energy_gr: int) -> Used:
    """Pays for active energy, VAT included, from the oldest lots: art. 4c, art. 4 ust. 11.

    `used_gr` is the smaller one of the gross active energy and of all that is open.
    """
    live = [each for each in deposit.lots if not each.closed]
    assert all(month <= each.worth.last for each in live), "the month before is not closed"
    taken, parts = lots.take(tuple(each.lot for each in deposit.lots), gross_energy_gr)
    after = tuple(
        each if lot is each.lot else replace(each, lot=lot)
        for each, lot in zip(deposit.lots, taken, strict=True)
    )
    moved, entries = _move(deposit, after, month)
    return Used(moved, sum(part.amount for part in parts), entries)


def close_month(deposit: Deposit, month: Month) -> tuple[Deposit, tuple[Entry, ...]]:
    """Ends the lots whose last usable month is `month` or earlier: art. 4 ust. 11.

    Refunded is what is left, at most the percentage of the month's value (as revalued), rounded
    down to grosz; the rest is forfeited.
    """
    after = tuple(_end(each) if each.worth.last <= month else each for each in deposit.lots)
    return _move(deposit, after, month)


def leave(deposit: Deposit, month: Month) -> tuple[Deposit, tuple[Entry, ...]]:
    """The contract ends in `month`, or the seller changes: every lot ends by the rule of refunds.

    Export that is still pending stays so: open the month after, when its price is known, and leave
    again.
    """
    return _move(deposit, tuple(_end(each) for each in deposit.lots), month)


def held(deposit: Deposit) -> dict[LotKey, int]:
    """What is open in each lot, grosz, for the comparison with the ledger (ledger.unbalanced)."""
    return {LotKey(DEPOSIT, "", each.lot.month): each.lot.open for each in deposit.lots}


def _booked(worth: Worth) -> DepositLot:
    amount_gr = worth.amount_gr
    return DepositLot(Lot(worth.month, amount_gr, amount_gr), worth, amount_gr)


def _revalued(each: DepositLot, worth: Worth) -> DepositLot:
    """The lot as if it had had this worth all along: what is used stays used where it can.

    A lot that has ended ends anew, so that its refund is that of the new value.
    """
    if worth is each.worth:
        return each
    amount_gr = worth.amount_gr
    left = Lot(worth.month, amount_gr, max(0, amount_gr - each.used_gr))
    again = DepositLot(left, worth, each.original_gr)
    return _end(again) if each.closed else again


def _end(each: DepositLot) -> DepositLot:
    """The lot without a rest: refunded up to the limit, the other part forfeited."""
    if each.closed:
        return each
    refunded_gr = min(each.lot.open, each.worth.refund_max_gr)
    return replace(
        each,
        lot=replace(each.lot, open=0),
        refunded_gr=refunded_gr,
        forfeited_gr=each.lot.open - refunded_gr,
        closed=True,
    )


def _move(
    deposit: Deposit, after: tuple[DepositLot, ...], month: Month
) -> tuple[Deposit, tuple[Entry, ...]]:
    """The deposit with these lots, and the entries that lead there from what it had."""
    months = [each.lot.month for each in after]
    assert months == sorted(set(months)), "a month is fed in whole before it is booked, in order"
    before = {each.lot.month: each for each in deposit.lots}
    moved = {each.lot.month: each for each in after if before.get(each.lot.month) is not each}
    return replace(deposit, lots=after), movements(
        DEPOSIT,
        month,
        before={lot: before[lot].sums_gr for lot in moved if lot in before},
        after={lot: each.sums_gr for lot, each in moved.items()},
        notes={lot: each.worth.explained for lot, each in moved.items()},
    )


def _returned(
    before: tuple[DepositLot, ...], after: tuple[DepositLot, ...]
) -> tuple[Returned, ...]:
    every = (
        Returned(
            old.lot.month,
            max(0, old.used_gr - new.used_gr),
            max(0, old.refunded_gr - new.refunded_gr),
        )
        for old, new in zip(before, after, strict=True)
    )
    return tuple(each for each in every if each.used_gr or each.refunded_gr)
