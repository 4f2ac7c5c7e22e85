"""Settles the whole account of a point and drafts what comes of it: documents and ledger entries.

Every invoice is settled again with every new one, since late readings, a changed contract or a
corrected price may move them all. What was issued stays; the difference becomes corrections and
appended entries. Nothing is stored here (close.py does).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from settlement.history import History
from settlement.rules import ledger
from settlement.rules.account import Account, settle
from settlement.rules.contract import Contract, contract_on
from settlement.rules.correction import MARKET_PRICE, correction_of
from settlement.rules.invoice import as_data
from settlement.rules.ledger import Entry, SumKey
from settlement.rules.periods import Period
from settlement.rules.schemes import Law
from settlement.rules.step import Step
from settlement.rules.totals import Totals
from settlement.rules.units import whole_kwh
from settlement.store.invoices import StoredInvoice

# What a customer sees of an invoice, beside the whole kWh of each zone: without a difference in it
# no correction is issued. The ledger is made right all the same.
SHOWN = ("seller", "tariff_group", "scheme", "lines", "summary", "storage", "deposit")


class Place(NamedTuple):
    """One step of the account, and the invoice that was issued for it; None for the new one."""

    step: Step
    issued: StoredInvoice | None

    @property
    def invoice_id(self) -> int | None:
        """The id of its invoice, None for the new one."""
        return None if self.issued is None else self.issued.invoice_id


class DraftCorrection(NamedTuple):
    """A correction to be issued, and the invoice that it corrects."""

    corrects: StoredInvoice
    data: dict[str, Any]


class DraftEntry(NamedTuple):
    """An entry to be appended, and the place of the invoice that its month belongs to."""

    entry: Entry
    place: Place


@dataclass(frozen=True)
class Draft:
    """What came of settling: the new invoice if one was asked for, corrections, entries."""

    new: Step | None
    invoice: dict[str, Any] | None
    corrections: tuple[DraftCorrection, ...]
    entries: tuple[DraftEntry, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store."""
        return self.invoice is None and not self.corrections and not self.entries


def places_of(history: History, period: Period | None, today: date) -> tuple[Place, ...]:
    """The steps of the account in the order of their days, with the period asked for.

    A period before others is settled with what was known when the one after it was issued. Under
    the policy `settle_again` every step is settled with what is known today.
    """
    places = [_issued(each) for each in history.settled]
    if period is not None:
        later = [each.step for each in places if each.step.period.start >= period.end]
        known_on = min([today, *(step.known_on for step in later[:1])])
        places.append(Place(Step(period, known_on), None))
        places.sort(key=lambda each: each.step.period.start)
    contracts = history.point.contracts
    return tuple(each._replace(step=_known_today(each.step, contracts, today)) for each in places)


def _issued(invoice: StoredInvoice) -> Place:
    assert invoice.known_on is not None, "invoices of schema 1 are not settled again"
    period = Period(date.fromisoformat(invoice.start), date.fromisoformat(invoice.end))
    return Place(Step(period, date.fromisoformat(invoice.known_on)), invoice)


def _known_today(step: Step, contracts: Sequence[Contract], today: date) -> Step:
    policies = contract_on(contracts, step.period.start).policies
    again = policies.rcem_correction == "settle_again"
    return Step(step.period, today) if again else step


def drafted(
    history: History, places: Sequence[Place], totals: Mapping[Period, Totals], law: Law
) -> Draft:
    """Settles the account and compares it with what was issued and entered. Raises Refused.

    Without an invoice there is no account yet: what is brought along is entered with the first.
    """
    if not places:
        return Draft(new=None, invoice=None, corrections=(), entries=())
    account = settle(history.point, [each.step for each in places], totals, law)
    new = next((at for at, each in enumerate(places) if each.issued is None), None)
    return Draft(
        new=None if new is None else places[new].step,
        invoice=None if new is None else as_data(account.invoices[new]),
        corrections=tuple(_corrections(history, places, account, new)),
        entries=tuple(_entries(history, places, account)),
    )


def _corrections(
    history: History, places: Sequence[Place], account: Account, new: int | None
) -> Iterable[DraftCorrection]:
    """First what changed data correct, then what a corrected price does since the new invoice."""
    due = [as_data(each) for each in account.invoices]
    by_price: dict[int, dict[str, Any]] = {}
    for each in account.returns:
        if each.at == new:
            by_price[each.place] = as_data(each.invoice)
        else:
            due[each.place] = as_data(each.invoice)
    for at, (place, should_be) in enumerate(zip(places, due, strict=True)):
        if place.issued is None:
            continue
        stands = history.standing(place.issued)
        if _is_seen(stands, should_be):
            yield from _correction(place.issued, stands, should_be, None)
            stands = should_be
        if at in by_price:
            yield from _correction(place.issued, stands, by_price[at], MARKET_PRICE)


def _is_seen(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    if not all(_same(before.get(name), after.get(name)) for name in SHOWN):
        return True
    return _energies(before) != _energies(after)


def _same(before: Any, after: Any) -> bool:
    """Whether both say the same in what both say: a later version may tell more of an invoice."""
    if isinstance(before, dict) and isinstance(after, dict):
        return all(_same(before[name], after[name]) for name in before.keys() & after.keys())
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_same, before, after))
    return bool(before == after)


def _energies(invoice: Mapping[str, Any]) -> list[tuple[str, str, str, int]]:
    """Whole kWh that were taken, fed in and balanced, by span and zone."""
    return [
        (part["start"], zone, name, whole_kwh(energy_wh))
        for part in invoice["parts"]
        for zone, energies in part["zones"].items()
        for name, energy_wh in energies.items()
    ]


def _correction(
    corrects: StoredInvoice,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    reason: str | None,
) -> Iterable[DraftCorrection]:
    data = correction_of(before, after, reason)
    if data is not None:
        yield DraftCorrection(corrects, data)


def _entries(history: History, places: Sequence[Place], account: Account) -> Iterable[DraftEntry]:
    """What is to be appended so that the ledger comes to that of the account."""
    notes: dict[SumKey, list[str]] = defaultdict(list)
    for each in account.entries:
        if each.note:
            key = SumKey(each.account, each.zone, each.lot, each.month, each.kind)
            notes[key].append(each.note)
    for entry in ledger.difference((each.entry for each in history.entries), account.entries):
        key = SumKey(entry.account, entry.zone, entry.lot, entry.month, entry.kind)
        note = "; ".join(dict.fromkeys(notes[key]))
        noted = Entry(
            entry.account, entry.kind, entry.lot, entry.month, entry.amount, entry.zone, note
        )
        yield DraftEntry(noted, _place_of(entry, places))


def _place_of(entry: Entry, places: Sequence[Place]) -> Place:
    """The invoice that was the newest at the end of the entry's month.

    Else the first one: it is the first to tell what the point has brought along.
    """
    begun = [each for each in places if each.step.period.start < entry.month.plus(1).first]
    return [*places[:1], *begun][-1]
