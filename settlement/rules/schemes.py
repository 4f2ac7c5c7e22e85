"""What a settlement scheme does with a span: before its lines are known, and after.

plain: import is paid for. net_metering: the storage covers a part. net_billing: balanced import is
paid for, and the deposit pays active energy. tenant: the same without the deposit, which goes to a
bank. Months are closed in order, whether a contract ends inside of one or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from settlement.rules import net_billing, net_metering, tenant, valuation
from settlement.rules.book import Book
from settlement.rules.contract import (
    NET_BILLING,
    PLAIN,
    PROSUMERS,
    TENANT,
    Contract,
)
from settlement.rules.ledger import BOOKED, USED
from settlement.rules.market import Rcem
from settlement.rules.net_billing import Returned
from settlement.rules.periods import Month, Period
from settlement.rules.rates import Tables
from settlement.rules.spans import Span
from settlement.rules.tariff import network_rates
from settlement.rules.totals import Totals
from settlement.rules.zones import Schedules


@dataclass(frozen=True)
class Law:
    """The tables that settling reads: rates, RCEm with its corrections, zones of tariff groups."""

    tables: Tables
    rcem: Rcem
    schedules: Schedules


@dataclass(frozen=True)
class Needs:
    """What a span is charged for, in Wh by zone: paid for, and moved through the grid.

    `credited_wh` and `covered_wh` are what the storage did in the month, told in its first span.
    """

    payable_wh: Mapping[str, int]
    moved_wh: Mapping[str, int]
    credited_wh: int = 0
    covered_wh: int = 0


def begin(
    book: Book, span: Span, law: Law, known_on: date, fed_in: Sequence[Totals] | None = None
) -> tuple[Book, tuple[Returned, ...]]:
    """Closes the month before and opens the span's month.

    `fed_in` is what that whole month feeds in, where it pays in its own month already; None lets
    the month's export wait until all of it is at hand.
    """
    contract, month = span.contract, span.month
    book = close_month(book, month.plus(-1), contract)
    if contract.scheme in (NET_BILLING, TENANT):
        book = _converted(_handed_over(book, contract), month, contract)
        for totals in fed_in or ():
            book = feed_in(book, month, totals, contract, law)
        return open_month(book, month, contract, law, known_on, whole=fed_in is not None)
    return book, ()


def close_month(book: Book, month: Month, contract: Contract) -> Book:
    """Ends what can be used in that month for the last time. Does nothing the second time."""
    storage, stored = net_metering.close_month(book.storage, month, contract.policies)
    deposit, deposited = net_billing.close_month(book.deposit, month)
    return book.post((*stored, *deposited), storage=storage, deposit=deposit)


def open_month(
    book: Book, month: Month, contract: Contract, law: Law, known_on: date, whole: bool = True
) -> tuple[Book, tuple[Returned, ...]]:
    """Books the export that is due and posts what corrected prices change."""
    terms = valuation.terms_of(contract)
    known = (month, law.rcem, law.tables, terms, known_on, whole)
    opened = net_billing.open_month(book.deposit, *known)
    book = book.post(opened.entries, deposit=opened.deposit)
    payout = tenant.open_month(book.tenant, *known)
    return book.post(payout.entries, tenant=payout.deposit), opened.returned


def _handed_over(book: Book, contract: Contract) -> Book:
    """Export not booked yet follows a prosumer from net_billing to tenant and back."""
    if contract.scheme == TENANT and book.deposit.pending:
        pending = (*book.deposit.pending, *book.tenant.pending)
        return book.post(
            deposit=replace(book.deposit, pending=()), tenant=replace(book.tenant, pending=pending)
        )
    if contract.scheme == NET_BILLING and book.tenant.pending:
        pending = (*book.tenant.pending, *book.deposit.pending)
        return book.post(
            deposit=replace(book.deposit, pending=pending), tenant=replace(book.tenant, pending=())
        )
    return book


def _converted(book: Book, month: Month, contract: Contract) -> Book:
    """Energy left from net-metering becomes export of its last month (art. 4 ust. 1b)."""
    if not any(queue.lots for queue in book.storage.queues):
        return book
    last = Month.of(max(month.first, contract.valid_from) - timedelta(days=1))
    kwh, storage, entries = net_metering.convert(book.storage, last)
    if contract.scheme == TENANT:
        pending = valuation.add_converted(book.tenant.pending, last, kwh)
        return book.post(entries, storage=storage, tenant=replace(book.tenant, pending=pending))
    deposit = net_billing.take_over(book.deposit, last, kwh)
    return book.post(entries, storage=storage, deposit=deposit)


def needs(span: Span, totals: Totals) -> Needs:
    """What a span is charged for where no storage covers any of it."""
    of_plain = span.contract.scheme == PLAIN
    moved = _every(span, totals.import_wh if of_plain else totals.positive_wh)
    return Needs(moved, moved)


def covered_needs(
    book: Book, spans: Sequence[Span], totals: Mapping[Period, Totals], law: Law
) -> tuple[Book, dict[Period, Needs]]:
    """What the net-metering spans of one month are charged for, the storage having covered a part.

    The credit of a month covers all of its import, whatever changed inside of it. The ratio is
    that of the last span, since energy counts as fed in on the last day of its month (art. 4d).
    """
    month, contract = spans[0].month, spans[-1].contract
    assert contract.installed_power_w is not None, "check_contract has asked for it"
    slots = [(place, zone) for place, span in enumerate(spans) for zone in span.zones]
    names = {slot: f"{slot[0]}:{slot[1]}" for slot in slots}
    rates = [network_rates(each.contract, law.tables, each.period, each.zones) for each in spans]
    covered = net_metering.cover(
        book.storage,
        month,
        _by_slot(names, [totals[each.period].positive_wh for each in spans]),
        _by_slot(names, [totals[each.period].negative_wh for each in spans]),
        net_metering.storage_ratio(contract.installed_power_w, law.tables, month),
        [names[slot] for slot in sorted(slots, key=lambda slot: -rates[slot[0]][slot[1]])],
        contract.policies,
        zone_of=lambda name: name.partition(":")[2],
    )
    found = {}
    for place, span in enumerate(spans):
        payable = {zone: covered.payable_wh[names[place, zone]] for zone in span.zones}
        moved = _every(span, totals[span.period].positive_wh)
        found[span.period] = Needs(payable, moved)
    covered_wh = sum(covered.covered_wh.values())
    booked_wh = sum(each.amount for each in covered.entries if each.kind == BOOKED)
    used_wh = sum(each.amount for each in covered.entries if each.kind == USED)
    first = found[spans[0].period]
    found[spans[0].period] = replace(
        first, credited_wh=covered_wh - used_wh + booked_wh, covered_wh=covered_wh
    )
    return book.post(covered.entries, storage=covered.storage), found


def _by_slot(
    names: Mapping[tuple[int, str], str], energies_wh: Sequence[Mapping[str, int]]
) -> dict[str, int]:
    """Energy of every zone of every span of the month, by the names of the slots."""
    return {name: energies_wh[place].get(zone, 0) for (place, zone), name in names.items()}


def _every(span: Span, energy_wh: Mapping[str, int]) -> dict[str, int]:
    """Energy by zone, in the order of the invoice, zones without energy included."""
    assert set(energy_wh) <= set(span.zones), "totals are of this tariff group"
    return {zone: energy_wh.get(zone, 0) for zone in span.zones}


def pay(book: Book, span: Span, energy_gr: int) -> tuple[Book, int]:
    """Pays gross active energy from the deposit. A tenant's older lots go on paying, too."""
    if span.contract.scheme not in (NET_BILLING, TENANT):
        return book, 0
    used = net_billing.use(book.deposit, span.month, energy_gr)
    return book.post(used.entries, deposit=used.deposit), used.used_gr


def feed_in(book: Book, month: Month, totals: Totals, contract: Contract, law: Law) -> Book:
    """Remembers the export of a span until its month is booked."""
    if contract.scheme == NET_BILLING:
        return book.post(deposit=net_billing.feed_in(book.deposit, month, totals))
    if contract.scheme == TENANT:
        return book.post(tenant=tenant.feed_in(book.tenant, month, totals, law.tables))
    return book


def end(book: Book, span: Span, next_contract: Contract | None, law: Law, known_on: date) -> Book:
    """Closes the month when the span ends with it, and the scheme when the contract does."""
    contract = span.contract
    if span.period.end == span.month.plus(1).first:
        book = close_month(book, span.month, contract)
    return _left(book, span, law, known_on) if ends_scheme(span, next_contract) else book


def ends_scheme(span: Span, next_contract: Contract | None) -> bool:
    """Whether storage and deposit end with the span: its seller is left, or no prosumer follows."""
    if leaves_seller(span, next_contract):
        return True
    contract = span.contract
    if contract.valid_to != span.period.end or next_contract is None:
        return False
    return contract.scheme in PROSUMERS and next_contract.scheme == PLAIN


def leaves_seller(span: Span, next_contract: Contract | None) -> bool:
    """Whether the seller has no contract with the point on the day after the span."""
    contract = span.contract
    if contract.valid_to != span.period.end:
        return False
    if next_contract is None or next_contract.valid_from != contract.valid_to:
        return True
    return next_contract.seller != contract.seller


def _left(book: Book, span: Span, law: Law, known_on: date) -> Book:
    """A contract ends: storage is forfeited, the deposit refunded by its rule."""
    month = span.month
    storage, entries = net_metering.leave(book.storage, month)
    book = book.post(entries, storage=storage)
    if span.contract.scheme in (NET_BILLING, TENANT):
        # What the last month fed in is booked first, at its price, then it ends like the others.
        book, returned = open_month(book, month.plus(1), span.contract, law, known_on)
        assert not returned, "the same prices were known when the span began"
        _, entries = net_billing.leave(book.deposit, month.plus(1))
        # A later seller does not post corrections of this one's lots.
        rest = tenant.TenantDeposit(owed_gr=book.tenant.owed_gr)
        book = book.post(entries, deposit=net_billing.Deposit(), tenant=rest)
    return book


def is_fed_in_first(contract: Contract) -> bool:
    """Whether a month's export already pays in its own month (policy deposit_booking)."""
    return contract.policies.deposit_booking == "same_month"
