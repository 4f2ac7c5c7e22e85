"""Settles once more exactly as it was settled then: the same inputs give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import zip_longest
from sqlite3 import Connection
from typing import NamedTuple

import msgspec

from settlement import history, inputs, laws
from settlement.rules.account import spans_needed
from settlement.rules.errors import Refused
from settlement.rules.ledger import Entry
from settlement.rules.periods import Period, day_of
from settlement.rules.schemes import Law
from settlement.settling import Draft, drafted, places_of
from settlement.store import corrections, invoices, ledger, settlings
from settlement.store.invoices import StoredInvoice
from settlement.store.settlings import Settling


class Replay(NamedTuple):
    """Whether documents and ledger entries come out as they are stored, and what does not.

    Under other rules or other tables than then, a difference is no fault: see both names.
    """

    identical: bool
    rules_then: str
    rules_now: str
    differences: tuple[str, ...]


class _Stored(NamedTuple):
    """What a settling has left in the database."""

    invoice: StoredInvoice | None
    corrections: tuple[tuple[str, bytes], ...]
    entries: tuple[Entry, ...]


def replayed(connection: Connection, law: Law, settling_id: int) -> Replay:
    """Settles again from the stored inputs of a settling and compares, byte by byte."""
    settling = settlings.get(connection, settling_id)
    stored = _stored(connection, settling)
    try:
        draft = _settled_again(connection, law, settling, stored.invoice)
        differences = tuple(_differences(draft, stored))
    except Refused as refusal:
        differences = (f"refused today: {refusal}",)
    return Replay(not differences, settling.rules, laws.rules_name(), differences)


def _stored(connection: Connection, settling: Settling) -> _Stored:
    number, ppe = settling.settling_id, settling.ppe
    issued = [each for each in invoices.all_of(connection, ppe) if each.settling_id == number]
    return _Stored(
        issued[0] if issued else None,
        tuple(
            (each.corrects, each.body)
            for each in corrections.all_of(connection, ppe)
            if each.settling_id == number
        ),
        tuple(
            each.entry for each in ledger.of_point(connection, ppe) if each.settling_id == number
        ),
    )


def _settled_again(
    connection: Connection, law: Law, settling: Settling, invoice: StoredInvoice | None
) -> Draft:
    found = history.before(connection, settling)
    in_force = laws.in_force(connection, law, settling.horizon.import_id)
    period = None
    if invoice is not None:
        period = Period(date.fromisoformat(invoice.start), date.fromisoformat(invoice.end))
    places = places_of(found, period, day_of(settling.settled_s))
    spans = spans_needed(found.point, [each.step for each in places], in_force)
    totals = inputs.measured_again(connection, found, spans, in_force, settling.horizon)
    return drafted(found, places, totals, in_force)


def _differences(draft: Draft, stored: _Stored) -> Iterator[str]:
    if stored.invoice is not None and msgspec.json.encode(draft.invoice) != stored.invoice.body:
        yield f"{stored.invoice.number} comes out otherwise"
    again = [(each.corrects.number, msgspec.json.encode(each.data)) for each in draft.corrections]
    for then, now in zip_longest(stored.corrections, again):
        if then != now:
            yield f"the correction of {(then or now or ('', b''))[0]} comes out otherwise"
    if tuple(each.entry for each in draft.entries) != stored.entries:
        yield "the ledger comes out otherwise"
