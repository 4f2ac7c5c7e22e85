"""Tenant prosumers (prosument lokatorski): the deposit goes to a bank, the invoice stays whole.

Act on renewable sources (OZE) art. 4c, since October 2023: a housing community, a co-operative or
a manager of a residential building feeds in behind the meter of its common parts; ust. 16 says
what the money is for.
Export is valued and booked as in net-billing (valuation.py); what is booked is paid out at once
to the bank number of the contract, and its invoices are due in full.

A month runs: open_month, feed_in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from settlement.rules import valuation
from settlement.rules.errors import NoRate, NoTenantScheme
from settlement.rules.ledger import (
    BOOKED,
    DEPOSIT,
    FORFEITED,
    PAID_OUT,
    REVALUED,
    Entry,
    movements,
)
from settlement.rules.market import Rcem
from settlement.rules.periods import Month
from settlement.rules.rates import Tables
from settlement.rules.totals import Totals
from settlement.rules.valuation import Export, Terms, Worth


@dataclass(frozen=True)
class TenantLot:
    """One month of export: its worth as known now, and as first booked.

    `payout` is the policy tenant_payout under which it was booked, and stays so.
    """

    worth: Worth
    original_gr: int
    payout: str

    @property
    def paid_out_gr(self) -> int:
        """The whole value, or what the rule of refunds would give back of it."""
        share = self.payout == "refund_share"
        return self.worth.refund_max_gr if share else self.worth.amount_gr

    @property
    def sums_gr(self) -> dict[str, int]:
        """All that has moved so far, by kind of entry; nothing ever stays open."""
        return {
            BOOKED: self.original_gr,
            REVALUED: self.worth.amount_gr - self.original_gr,
            PAID_OUT: self.paid_out_gr,
            FORFEITED: self.worth.amount_gr - self.paid_out_gr,
        }


@dataclass(frozen=True)
class TenantDeposit:
    """The deposit of a tenant prosumer. `owed_gr` was paid out before a price fell.

    It is set off against later payouts, so the sum of `paid_out` entries is what the bank got
    less what is owed.
    """

    lots: tuple[TenantLot, ...] = ()
    pending: tuple[Export, ...] = ()
    owed_gr: int = 0


class Payout(NamedTuple):
    """A month that is opened: the deposit, its movements, and the grosz to transfer now."""

    deposit: TenantDeposit
    entries: tuple[Entry, ...]
    payout_gr: int


def feed_in(deposit: TenantDeposit, month: Month, totals: Totals, tables: Tables) -> TenantDeposit:
    """Remembers the export of a span that lies within the month; spans of a month add up.

    Raises NoTenantScheme for a month before the scheme (table prosumer, tenant_scheme).
    """
    try:
        in_force = tables.rate_on("prosumer", "tenant_scheme", month.first).value != 0
    except NoRate:
        in_force = False
    if not in_force:
        raise NoTenantScheme(
            f"{month} is before there were tenant prosumers: settle it as net_billing"
        )
    return replace(deposit, pending=valuation.add(deposit.pending, month, totals))


def open_month(
    deposit: TenantDeposit,
    month: Month,
    rcem: Rcem,
    tables: Tables,
    terms: Terms,
    known_on: date,
    whole: bool = True,
) -> Payout:
    """Posts the corrections of RCEm known by `known_on`, books the export that is due, and pays.

    Policy tenant_payout: the whole value, or its share by the rule of refunds with the rest
    forfeited at once. A price that rises is paid too; one that falls is owed and set off. Raises
    NoRate (no RCEm yet) and NoMarketValue, both naming the month.
    """
    worths = [each.worth for each in deposit.lots]
    if terms.policies.rcem_correction == "post_difference":
        worths = [valuation.corrected(worth, rcem, known_on) for worth in worths]
    lots = [replace(each, worth=new) for each, new in zip(deposit.lots, worths, strict=True)]
    due, pending = valuation.due(deposit.pending, month, terms.policies, whole)
    for export in due:
        worth = valuation.worth_of(export, terms, rcem, tables, known_on)
        lots.append(TenantLot(worth, worth.amount_gr, terms.policies.tenant_payout))
    months = [each.worth.month for each in lots]
    assert months == sorted(set(months)), "a month is fed in whole before it is booked, in order"
    entries = movements(
        DEPOSIT,
        month,
        before={each.worth.month: each.sums_gr for each in deposit.lots},
        after={each.worth.month: each.sums_gr for each in lots},
        notes={each.worth.month: each.worth.explained for each in lots},
    )
    paid_gr = sum(entry.amount for entry in entries if entry.kind == PAID_OUT)
    balance_gr = paid_gr - deposit.owed_gr
    after = TenantDeposit(tuple(lots), pending, owed_gr=max(0, -balance_gr))
    return Payout(after, entries, max(0, balance_gr))
