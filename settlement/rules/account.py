"""The story of one metering point: invoice after invoice, each from the totals of its spans.

The second half of settling. Everything is a fold over steps with a Book between them, so that the
same inputs give the same invoices and ledger entries, byte by byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from settlement.rules.book import Book, check_opening, opened
from settlement.rules.contract import check_ppe
from settlement.rules.errors import BadPeriod
from settlement.rules.invoice import Invoice
from settlement.rules.ledger import Entry
from settlement.rules.net_billing import Returned
from settlement.rules.periods import Month, Period
from settlement.rules.schemes import Law
from settlement.rules.spans import Span, spans_of
from settlement.rules.step import Point, SettledStep, Step, YearlyUse, settle_step
from settlement.rules.totals import Totals


@dataclass(frozen=True)
class Return:
    """An invoice corrected because a market price fell after its deposit was used.

    `at` is the step in which that became known, `place` the corrected invoice's; `invoice` is how
    it stands from then on.
    """

    at: int
    place: int
    invoice: Invoice


@dataclass(frozen=True)
class Account:
    """All invoices as first issued, their corrections, and every ledger entry, in order."""

    invoices: tuple[Invoice, ...]
    returns: tuple[Return, ...]
    entries: tuple[Entry, ...]
    book: Book


def spans_needed(point: Point, steps: Sequence[Step], law: Law) -> tuple[Span, ...]:
    """The spans whose totals `settle` will ask for, in order."""
    return tuple(
        span
        for step in steps
        for span in spans_of(point.contracts, law.tables, law.schedules, step.period)
    )


def standing(account: Account) -> tuple[Invoice, ...]:
    """Each invoice as it stands after all of its corrections."""
    latest = list(account.invoices)
    for each in account.returns:
        latest[each.place] = each.invoice
    return tuple(latest)


def settle(
    point: Point, steps: Sequence[Step], totals: Mapping[Period, Totals], law: Law
) -> Account:
    """Every invoice of the steps, which follow one another in time. `totals` are by span.

    Raises any Refused of the contracts, the tables and the schemes.
    """
    check_ppe(point.ppe)
    _check_order(steps)
    first = Month.of(steps[0].period.start) if steps else None
    check_opening(point.opening, first)
    book = opened(point.opening, point.contracts[0], point.rebate_gr)
    run = _Run()
    for at, step in enumerate(steps):
        settled = settle_step(point, step, totals, law, book, run.uses)
        run.add(at, settled)
        book = settled.book
    assert book.is_balanced(), "what came in is what went out and what is open"
    return Account(tuple(run.issued), tuple(run.returns), book.entries, book)


class _Run:
    """The invoices so far, how they stand, and which lots of the deposit have paid them."""

    def __init__(self) -> None:
        self.issued: list[Invoice] = []
        self.latest: list[Invoice] = []
        self.returns: list[Return] = []
        self.uses: list[YearlyUse] = []
        self._paid_gr: list[Counter[Month]] = []

    def add(self, at: int, settled: SettledStep) -> None:
        """Takes the next step's invoice, then corrects those that its lower prices reach."""
        for each in settled.returned:
            self._take_back(at, each)
        self.issued.append(settled.invoice)
        self.latest.append(settled.invoice)
        self.uses.extend(settled.uses)
        self._paid_gr.append(Counter(settled.paid_gr))

    def _take_back(self, at: int, returned: Returned) -> None:
        """What a lot had paid is due again, of the latest invoices first."""
        left_gr = returned.used_gr
        for place in reversed(range(at)):
            amount_gr = min(left_gr, self._paid_gr[place][returned.lot])
            if amount_gr:
                left_gr -= amount_gr
                self._paid_gr[place][returned.lot] -= amount_gr
                self.latest[place] = _due_again(self.latest[place], returned.lot, amount_gr)
                self.returns.append(Return(at, place, self.latest[place]))
        assert left_gr == 0, "what is taken back had been used"


def _check_order(steps: Sequence[Step]) -> None:
    for before, after in pairwise(steps):
        if after.period.start < before.period.end:
            raise BadPeriod(
                f"the invoice from {after.period.start} begins before the one before it ends"
            )
        if after.known_on < before.known_on:
            raise BadPeriod(
                f"the invoice from {after.period.start} is settled with what was known on "
                f"{after.known_on}, the one before it with {before.known_on}: give no earlier day"
            )


def _due_again(invoice: Invoice, lot: Month, amount_gr: int) -> Invoice:
    deposit = replace(invoice.deposit, used_gr=invoice.deposit.used_gr - amount_gr)
    if deposit.of_period_gr and lot >= Month.of(invoice.period.start):
        deposit = replace(deposit, of_period_gr=deposit.of_period_gr - amount_gr)
    else:
        of_earlier_gr = deposit.of_earlier_periods_gr - amount_gr
        deposit = replace(deposit, of_earlier_periods_gr=of_earlier_gr)
    return replace(invoice, deposit=deposit)
