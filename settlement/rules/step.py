"""One step: the invoice of one period, span by span, with the book in hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import takewhile
from typing import NamedTuple

from settlement.rules import price_cap, rebate, schemes
from settlement.rules.book import NOTHING_BROUGHT, REBATE_LOT, Book, Opening
from settlement.rules.contract import NET_METERING, PROSUMERS, Contract
from settlement.rules.invoice import Deposit, Invoice, Part, Storage, energy_gr, line_of
from settlement.rules.ledger import (
    DEPOSIT,
    FORFEITED,
    PAID_OUT,
    REBATE,
    REFUNDED,
    STORAGE,
    USED,
    Entry,
)
from settlement.rules.lots import total
from settlement.rules.net_billing import Returned
from settlement.rules.periods import Month, Period
from settlement.rules.schemes import Law, Needs
from settlement.rules.spans import Span, spans_of
from settlement.rules.tariff import (
    REFERENCE_ZONE,
    Use,
    fixed_months,
    positions,
    started_months,
)
from settlement.rules.totals import Totals
from settlement.rules.units import WH_PER_KWH, billed_wh, divide_half_up

REBATE_FROM = date(2024, 1, 1)  # the first invoice of 2024 is the first that a rebate lowers


@dataclass(frozen=True)
class Point:
    """A metering point: its contracts in order of time, and what it brings along."""

    ppe: str
    contracts: tuple[Contract, ...]
    opening: Opening = NOTHING_BROUGHT
    rebate_gr: int = 0


@dataclass(frozen=True)
class Step:
    """One invoice: its days, and the day whose knowledge of market prices it is settled with."""

    period: Period
    known_on: date


class YearlyUse(NamedTuple):
    """Energy of one span, by which the bands of yearly use are picked."""

    period: Period
    energy_wh: int


@dataclass(frozen=True)
class SettledStep:
    """What a step gives: its invoice, the book after it, and what later steps need to know.

    `returned` is what corrected prices took back of lots that had paid earlier invoices; `paid_gr`
    is what each lot of the deposit paid of this one.
    """

    invoice: Invoice
    book: Book
    returned: tuple[Returned, ...]
    paid_gr: Mapping[Month, int]
    uses: tuple[YearlyUse, ...]


def settle_step(
    point: Point,
    step: Step,
    totals: Mapping[Period, Totals],
    law: Law,
    book: Book,
    uses: Sequence[YearlyUse],
) -> SettledStep:
    """Settles one period. `uses` are those of the spans before it. Raises Refused."""
    walk = _Walk(point, step, totals, law, book, uses)
    for span in walk.spans:
        walk.take(span)
    return walk.settled()


class _Walk:
    """Walks the spans of one invoice; what adds up over them is kept here."""

    def __init__(
        self,
        point: Point,
        step: Step,
        totals: Mapping[Period, Totals],
        law: Law,
        book: Book,
        uses: Sequence[YearlyUse],
    ) -> None:
        self.spans = spans_of(point.contracts, law.tables, law.schedules, step.period)
        self._point, self._step, self._law = point, step, law
        self._totals = totals
        self._book, self._entered = book, len(book.entries)
        self._uses = tuple(_use_of(span, totals[span.period]) for span in self.spans)
        self._year = (*uses, *self._uses)
        self._remainders_wh = dict(book.remainders_wh)
        self._parts: list[Part] = []
        self._returned: list[Returned] = []
        self._covered: dict[Period, Needs] = {}
        self._credited_wh = self._covered_wh = 0
        self._used_gr = self._available_gr = 0
        self._of_period_gr: dict[Month, int] = {}
        self._owed_gr = book.tenant.owed_gr

    def take(self, span: Span) -> None:
        """Settles the next span."""
        known_on, totals = self._step.known_on, self._totals[span.period]
        fed_in = self._fed_in_first(span)
        book, returned = schemes.begin(self._book, span, self._law, known_on, fed_in)
        book, needs = self._needs_of(book, span)
        self._credited_wh += needs.credited_wh
        self._covered_wh += needs.covered_wh
        self._returned += returned
        self._book = book
        part = self._part(span, totals, needs)
        self._parts.append(part)
        self._pay(span, part)
        if fed_in is None:
            self._book = schemes.feed_in(self._book, span.month, totals, span.contract, self._law)
        following = self._following(span.contract)
        self._book = schemes.end(self._book, span, following, self._law, known_on)

    def _needs_of(self, book: Book, span: Span) -> tuple[Book, Needs]:
        """What the span is charged for; net-metering settles the spans of a month together."""
        if span.contract.scheme != NET_METERING:
            return book, schemes.needs(span, self._totals[span.period])
        if span.period not in self._covered:
            after = self.spans[self.spans.index(span) :]
            spans = list(takewhile(lambda each: _is_stored_in(each, span.month), after))
            book, self._covered = schemes.covered_needs(book, spans, self._totals, self._law)
        return book, self._covered[span.period]

    def _fed_in_first(self, span: Span) -> list[Totals] | None:
        """What the month feeds in, for its first span, when it pays in its own month already.

        Nothing for its later spans; None when it pays later or when its last day is not at hand.
        """
        of_month = [each for each in self.spans if each.month == span.month]
        last = of_month[-1]
        is_whole = last.period.end.day == 1 or schemes.ends_scheme(
            last, self._following(last.contract)
        )
        # Where contracts of one scheme follow each other, the month is booked as the last one says.
        alike = [each for each in of_month if each.contract.scheme == span.contract.scheme]
        if not schemes.is_fed_in_first(alike[-1].contract) or not is_whole:
            return None
        return [self._totals[each.period] for each in alike] if span == alike[0] else []

    def _part(self, span: Span, totals: Totals, needs: Needs) -> Part:
        contract, law = span.contract, self._law
        window = (
            price_cap.limit_window(law.tables, span.period.start) if contract.cap_entitled else None
        )
        billed = self._rounded(contract, "billed", needs.payable_wh)
        use = Use(
            span=span.period,
            billed_wh=billed,
            moved_wh=self._rounded(contract, "moved", needs.moved_wh),
            months=fixed_months(span.period, contract.partial_month, self._step.period.start),
            started_months=Decimal(started_months(span.period, self._step.period.start)),
            annual_kwh=self._annual_kwh(contract),
            limit_used_wh=self._book.taken_wh(window),
            night_before_wh=self._night_before_wh(contract),
        )
        charged, taken_wh = positions(contract, law.tables, use)
        self._book = self._book.with_taken(window, taken_wh)
        vat_percent = law.tables.rate("vat", "electricity", span.period).value
        lines = tuple(line_of(position, vat_percent) for position in charged)
        return Part(span, totals, billed, lines)

    def _night_before_wh(self, contract: Contract) -> int:
        alike = (part for part in self._parts if part.span.contract == contract)
        return sum(part.billed_wh.get(REFERENCE_ZONE, 0) for part in alike)

    def _annual_kwh(self, contract: Contract) -> int:
        """Yearly use as the contract says, else of the year that ends with the invoice."""
        if contract.annual_kwh is not None:
            return contract.annual_kwh
        return _annual_kwh(self._year, self._step.period.end)

    def _rounded(
        self, contract: Contract, kind: str, energy_wh: Mapping[str, int]
    ) -> dict[str, int]:
        """Energy as billed; what whole kWh leave over goes on to the next span of the zone."""
        rounded = {}
        for zone, of_zone_wh in energy_wh.items():
            rest_wh = self._remainders_wh.get((zone, kind), 0)
            rounded[zone], rest_wh = billed_wh(of_zone_wh, rest_wh, contract.policies.kwh_rounding)
            self._remainders_wh[zone, kind] = rest_wh
        return rounded

    def _pay(self, span: Span, part: Part) -> None:
        lots = tuple(each.lot for each in self._book.deposit.lots)
        self._available_gr = max(self._available_gr, self._used_gr + total(lots))
        self._of_period_gr |= {lot.month: lot.booked for lot in lots if lot.month == span.month}
        self._book, used_gr = schemes.pay(self._book, span, energy_gr(part.lines))
        self._used_gr += used_gr

    def _following(self, contract: Contract) -> Contract | None:
        after = self._point.contracts[self._point.contracts.index(contract) + 1 :]
        return after[0] if after else None

    def settled(self) -> SettledStep:
        """The step with its invoice, after its last span."""
        carries = self.spans[-1].contract.policies.kwh_rounding == "carry"
        book = self._book.post(remainders_wh=self._remainders_wh if carries else {})
        posted = book.entries[self._entered :]
        invoice = Invoice(
            ppe=self._point.ppe,
            period=self._step.period,
            parts=tuple(self._parts),
            deposit=self._deposit(posted),
            storage=self._storage(posted),
            rebate_used_gr=0,
        )
        if self._step.period.start >= REBATE_FROM and book.rebate_gr and invoice.to_pay_gr > 0:
            used_gr, left_gr = rebate.apply(book.rebate_gr, invoice.to_pay_gr)
            month = Month.of(self._step.period.start)
            spent = Entry(REBATE, USED, REBATE_LOT, month, used_gr)
            book = book.post((spent,), rebate_gr=left_gr)
            invoice = replace(invoice, rebate_used_gr=used_gr)
        book = self._rebate_paid_out(book)
        paid_gr: Counter[Month] = Counter()
        for each in posted:
            if each.account == DEPOSIT and each.kind == USED and each.amount > 0:
                paid_gr[each.lot] += each.amount
        return SettledStep(invoice, book, tuple(self._returned), paid_gr, self._uses)

    def _rebate_paid_out(self, book: Book) -> Book:
        """What the last invoice of a seller leaves of the rebate goes to the customer's bank.

        A seller who is left before 2024 owes none: it is the next one who grants it.
        """
        last = self.spans[-1]
        is_left = schemes.leaves_seller(last, self._following(last.contract))
        if not is_left or last.period.end < REBATE_FROM or not book.rebate_gr:
            return book
        paid = Entry(REBATE, PAID_OUT, REBATE_LOT, last.month, book.rebate_gr)
        return book.post((paid,), rebate_gr=0)

    def _deposit(self, posted: Sequence[Entry]) -> Deposit:
        of_period_gr = sum(self._of_period_gr.values())
        return Deposit(
            of_period_gr=of_period_gr,
            of_earlier_periods_gr=self._available_gr - of_period_gr,
            used_gr=self._used_gr,
            refunded_gr=_sum(posted, DEPOSIT, REFUNDED),
            forfeited_gr=_sum(posted, DEPOSIT, FORFEITED),
            # What a price that fell has left owed is set off against what is transferred.
            paid_out_gr=_sum(posted, DEPOSIT, PAID_OUT) + self._book.tenant.owed_gr - self._owed_gr,
            open_gr=total(tuple(each.lot for each in self._book.deposit.lots)),
        )

    def _storage(self, posted: Sequence[Entry]) -> Storage | None:
        if all(span.contract.scheme != NET_METERING for span in self.spans):
            return None
        return Storage(
            credited_wh=self._credited_wh,
            covered_wh=self._covered_wh,
            forfeited_wh=_sum(posted, STORAGE, FORFEITED),
            open_wh=sum(total(queue.lots) for queue in self._book.storage.queues),
        )


def _sum(posted: Sequence[Entry], account: str, kind: str) -> int:
    return sum(each.amount for each in posted if (each.account, each.kind) == (account, kind))


def _is_stored_in(span: Span, month: Month) -> bool:
    return span.month == month and span.contract.scheme == NET_METERING


def _use_of(span: Span, totals: Totals) -> YearlyUse:
    """Which import counts for the bands: policy band_basis, for prosumers alone."""
    contract = span.contract
    balanced = contract.scheme in PROSUMERS and contract.policies.band_basis == "balanced"
    counted = totals.positive_wh if balanced else totals.import_wh
    return YearlyUse(span.period, sum(counted.values()))


def _annual_kwh(uses: Sequence[YearlyUse], end: date) -> int:
    """Use of the year that ends with the last reading; of all there is when that is shorter.

    Of a span in which the year begins, its energy counts by days.
    """
    year_before = _year_before(end)
    energy_wh = Fraction(0)
    for period, of_span_wh in uses:
        inside = (period.end - max(period.start, year_before)).days
        if inside > 0:
            energy_wh += Fraction(of_span_wh * inside, (period.end - period.start).days)
    return divide_half_up(energy_wh.numerator, energy_wh.denominator * WH_PER_KWH)


def _year_before(day: date) -> date:
    leap_day = (day.month, day.day) == (2, 29)
    return day.replace(year=day.year - 1, day=28 if leap_day else day.day)
