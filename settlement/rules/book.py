"""The book of a metering point: what is carried from one invoice to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from settlement.rules import ledger, net_billing, net_metering
from settlement.rules.contract import Contract
from settlement.rules.errors import BadOpening
from settlement.rules.ledger import BOOKED, REBATE, Entry, LotKey
from settlement.rules.lots import Lot
from settlement.rules.net_billing import Deposit, DepositLot
from settlement.rules.net_metering import Queue, Storage
from settlement.rules.periods import Month, Period
from settlement.rules.tenant import TenantDeposit
from settlement.rules.totals import VALUE_PER_GR
from settlement.rules.valuation import RCEM, Worth, is_forfeited, last_month

REBATE_LOT = Month(2023, 12)  # the rebate is earned by the end of 2023
OPENING_REFUND_PERCENT = Decimal(20)  # art. 4 ust. 11, the share for RCEm


@dataclass(frozen=True)
class Opening:
    """What a point brings along from a settlement elsewhere.

    `storage`: zone ("" for all), month and Wh of each lot. `deposit`: month of export, its whole
    value and what is left of it, grosz. `limit_used_wh`: taken of the current limit of use.
    """

    storage: tuple[tuple[str, Month, int], ...] = ()
    deposit: tuple[tuple[Month, int, int], ...] = ()
    limit_used_wh: int = 0


NOTHING_BROUGHT = Opening()


def check_opening(opening: Opening, first: Month | None = None) -> None:
    """Raises BadOpening for what cannot have been left: by `first`, the first month settled here.

    A lot that is there twice, a deposit of which more is left than it was worth, a later month.
    """
    stored = [(zone, month) for zone, month, _ in opening.storage]
    deposited = [("", month) for month, *_ in opening.deposit]
    for lots in (stored, deposited):
        for zone, month in lots:
            if lots.count((zone, month)) > 1:
                raise BadOpening(f"the opening has two lots of {month}: add them up to one")
            if first is not None and month >= first:
                raise BadOpening(
                    f"the opening has a lot of {month}, and {first} is settled here: bring along "
                    "what earlier months have left"
                )
    for month, value_gr, open_gr in opening.deposit:
        if open_gr > value_gr:
            raise BadOpening(
                f"of the deposit of {month} more is left ({open_gr} gr) than it was worth "
                f"({value_gr} gr): one of the two is mistyped"
            )


@dataclass(frozen=True)
class Book:
    """The state between two invoices, and every ledger entry that led there.

    `limit_used_wh` is by window of the limit of use; what was brought along counts in the first
    window. `remainders_wh` are what whole kWh have left over, by zone and kind of quantity.
    """

    storage: Storage = field(default_factory=Storage)
    deposit: Deposit = field(default_factory=Deposit)
    tenant: TenantDeposit = field(default_factory=TenantDeposit)
    rebate_gr: int = 0
    limit_used_wh: Mapping[Period, int] = field(default_factory=dict)
    limit_brought_wh: int = 0
    remainders_wh: Mapping[tuple[str, str], int] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()

    def post(self, entries: Iterable[Entry] = (), **changes: Any) -> Book:
        """The book after these entries, with these fields changed."""
        return replace(self, entries=(*self.entries, *entries), **changes)

    def taken_wh(self, window: Period | None) -> int:
        """Wh that a limit of use has lost so far in its window."""
        if window is None:
            return 0
        return self.limit_used_wh.get(window, 0) + self.limit_brought_wh

    def with_taken(self, window: Period | None, energy_wh: int) -> Book:
        """The book after an invoice took of the limit of use."""
        if window is None:
            return self
        taken = self.taken_wh(window) + energy_wh
        return replace(
            self, limit_used_wh={**self.limit_used_wh, window: taken}, limit_brought_wh=0
        )

    def held(self) -> dict[LotKey, int]:
        """What is open in each lot: the ledger's entries come to exactly this."""
        rest = {LotKey(REBATE, "", REBATE_LOT): self.rebate_gr}
        return {**net_metering.held(self.storage), **net_billing.held(self.deposit), **rest}

    def is_balanced(self) -> bool:
        """Conservation: of each lot, what came in is what went out and what is open."""
        return not ledger.unbalanced(self.entries, self.held())


def opened(opening: Opening, contract: Contract, rebate_gr: int) -> Book:
    """The book before the first invoice under the first contract."""
    queues: dict[str, list[Lot]] = {}
    for zone, month, energy_wh in sorted(opening.storage, key=lambda lot: lot[1]):
        queues.setdefault(zone, []).append(Lot(month, energy_wh, energy_wh))
    storage = Storage(tuple(Queue(zone, tuple(lots)) for zone, lots in queues.items()))
    deposit = Deposit(
        tuple(_brought(contract, *lot) for lot in sorted(opening.deposit, key=lambda lot: lot[0]))
    )
    entries = [
        Entry(key.account, BOOKED, key.lot, key.lot, amount, key.zone, "brought along")
        for key, amount in {**net_metering.held(storage), **net_billing.held(deposit)}.items()
        if amount
    ]
    if rebate_gr:
        entries.append(Entry(REBATE, BOOKED, REBATE_LOT, REBATE_LOT, rebate_gr, "", "granted"))
    return Book(
        storage=storage,
        deposit=deposit,
        rebate_gr=rebate_gr,
        limit_brought_wh=opening.limit_used_wh,
        entries=tuple(entries),
    )


def _brought(contract: Contract, month: Month, value_gr: int, open_gr: int) -> DepositLot:
    """A lot whose price is not ours to correct: only its value is known."""
    policies = contract.policies
    last = last_month(month, policies)
    worth = Worth(
        month=month,
        mode=RCEM,
        kwh=0,
        version=None,
        value=value_gr * VALUE_PER_GR,
        uplift=Decimal(1),
        refund_percent=Decimal(0) if is_forfeited(last, policies) else OPENING_REFUND_PERCENT,
        last=last,
    )
    return DepositLot(Lot(month, value_gr, open_gr), worth, value_gr)
