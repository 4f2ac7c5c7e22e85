"""Metering points with months of energy, settled by the rules alone: name only what matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from settlement import tables
from settlement.rules import account
from settlement.rules.account import Account, spans_needed
from settlement.rules.book import NOTHING_BROUGHT, Opening
from settlement.rules.contract import Contract
from settlement.rules.invoice import Invoice
from settlement.rules.market import Rcem, RcemVersion
from settlement.rules.periods import Month, Period
from settlement.rules.rates import Tables
from settlement.rules.schemes import Law
from settlement.rules.spans import Span, spans_of
from settlement.rules.step import Point, Step
from settlement.rules.totals import VALUE_PER_GR, Totals
from settlement.rules.zones import Schedules
from settlement.tables import load_rcem
from settlement.tables.zones import load_schedules
from tests.support.a_contract import Changes, some_tables

PPE = "590322400000000010"
KNOWN_AFTER_DAYS = 14

Energy = int | Mapping[str, int]  # Wh of the first zone, or by zone


class Flow(NamedTuple):
    """Balanced energy of a span, and what its export is worth by the hour."""

    taken_wh: Energy
    fed_in_wh: Energy = 0
    value_gr: int | None = None
    raw_wh: Energy | None = None  # import as metered, where it differs


# By the first day of a span, by the month of its first day, or the same for every span.
Flows = Mapping[Any, Flow] | Flow


def law(
    rates: Changes | Tables | None = None,
    rcem: Rcem | None = None,
    schedules: Schedules | None = None,
) -> Law:
    """The tables that come with this version, or made-up rates; RCEm as published, or other."""
    if rates is None:
        rates = tables.load()
    return Law(
        rates if isinstance(rates, Tables) else some_tables(rates),
        load_rcem() if rcem is None else rcem,
        load_schedules() if schedules is None else schedules,
    )


def rcem_of(versions: Mapping[Month, str | Mapping[date, str]]) -> Rcem:
    """Monthly prices, published on the 11th of the next month, or on the days given."""
    every = []
    for month, price in versions.items():
        published = month.plus(1).first + timedelta(days=10)
        by_day = {published: price} if isinstance(price, str) else price
        every += [RcemVersion(month, Decimal(each), day, "a test") for day, each in by_day.items()]
    return Rcem(every)


def steady_rcem(price: str = "500") -> Rcem:
    """The same price in every month of April 2022 to March 2026."""
    return rcem_of({Month(2022, 4).plus(place): price for place in range(48)})


def a_point(*contracts: Contract, opening: Opening = NOTHING_BROUGHT, rebate_gr: int = 0) -> Point:
    """A point under these contracts."""
    return Point(PPE, contracts, opening, rebate_gr)


def days(start: str, end: str) -> Period:
    """Civil days [start, end)."""
    return Period(date.fromisoformat(start), date.fromisoformat(end))


def a_step(period: Period, known_on: date | None = None) -> Step:
    """One invoice, settled in the middle of the month after its last day."""
    last = Month.of(period.end - timedelta(days=1))
    return Step(period, known_on or last.plus(1).first + timedelta(days=KNOWN_AFTER_DAYS))


def monthly(first: Month, count: int, known_on: date | None = None) -> list[Step]:
    """An invoice for each of some months in a row."""
    return [a_step(first.plus(place).period, known_on) for place in range(count)]


def spans_in(contracts: Sequence[Contract], period: Period, of_law: Law) -> tuple[Span, ...]:
    """The spans of a period."""
    return spans_of(contracts, of_law.tables, of_law.schedules, period)


def totals_of(span: Span, flow: Flow) -> Totals:
    """The totals of a span; energy given as a number is of its first zone."""
    taken, fed_in = (_by_zone(span, each) for each in (flow.taken_wh, flow.fed_in_wh))
    value = None if flow.value_gr is None else flow.value_gr * VALUE_PER_GR
    raw = taken if flow.raw_wh is None else _by_zone(span, flow.raw_wh)
    return Totals(span.period, raw, fed_in, taken, fed_in, value)


def _by_zone(span: Span, energy_wh: Energy) -> dict[str, int]:
    if isinstance(energy_wh, int):
        return {span.zones[0]: energy_wh} if energy_wh else {}
    return dict(energy_wh)


def settled(
    point: Point,
    steps: Sequence[Step],
    flows: Flows,
    of_law: Law | None = None,
) -> Account:
    """The account of a point. Spans without a flow are without energy."""
    of_law = of_law or law()
    needed = spans_needed(point, steps, of_law)
    totals = {span.period: totals_of(span, _flow(flows, span)) for span in needed}
    return account.settle(point, steps, totals, of_law)


def _flow(flows: Flows, span: Span) -> Flow:
    if isinstance(flows, Flow):
        return flows
    by_day = flows.get(span.period.start)
    return by_day or flows.get(span.month, Flow(0))


def one_invoice(
    contract: Contract, period: Period, flow: Flow, of_law: Law | None = None, **of_point: int
) -> Invoice:
    """The invoice of one period alone."""
    point = a_point(contract, rebate_gr=of_point.get("rebate_gr", 0))
    (invoice,) = settled(point, [a_step(period)], flow, of_law).invoices
    return invoice


Printed = dict[tuple[str, str], tuple[int, int, int]]


def lines_of(invoice: Invoice) -> Printed:
    """Net, VAT and gross in grosz of each line, by code and zone."""
    found = {
        (line.position.code, line.position.zone): (line.net_gr, line.vat_gr, line.gross_gr)
        for line in invoice.lines
    }
    assert len(found) == len(invoice.lines), "this is for invoices of one span"
    return found


def to_pay(invoices: Iterable[Invoice]) -> list[int]:
    """What each invoice asks for, grosz."""
    return [each.to_pay_gr for each in invoices]


def moves(found: Account, account_name: str = "deposit") -> list[tuple[str, str, str, int]]:
    """The movements of one ledger: month, kind, lot and amount."""
    return [
        (str(each.month), each.kind, str(each.lot), each.amount)
        for each in found.entries
        if each.account == account_name
    ]
