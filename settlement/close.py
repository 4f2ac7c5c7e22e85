"""Issues the documents of a point: settle its account, store what came of it, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from sqlite3 import Connection

import msgspec

from settlement import history, inputs, laws, points
from settlement.errors import InvoiceOverlaps, MeterTaken, OutOfOrder
from settlement.history import History
from settlement.inputs import Measured
from settlement.rules.account import spans_needed
from settlement.rules.contract import PROSUMERS, Contract, check_ppe
from settlement.rules.periods import Period, day_of
from settlement.rules.schemes import Law
from settlement.settling import Draft, drafted, places_of
from settlement.store import Store, corrections, invoices, ledger, settlings
from settlement.store import points as stored_points
from settlement.store.invoices import StoredInvoice


@dataclass(frozen=True)
class Settled:
    """The account of a point, settled from what the database held at one instant."""

    history: History
    measured: Measured
    draft: Draft


def put_point(store: Store, law: Law, ppe: str, form: points.PointForm, now_s: int) -> int:
    """Stores the point and returns its version; the same form again changes nothing.

    Raises Refused for a bad number, contract or assignment, MeterTaken when a meter measures
    another point at that time.
    """
    check_ppe(ppe)
    for contract in form.checked_contracts():
        _check_group(contract, law)
    form.opening.opening()
    assignments = form.assignments()
    with store.writing() as connection:
        for wanted in assignments:
            other = stored_points.taken_elsewhere(connection, ppe, wanted)
            if other is not None:
                raise MeterTaken(
                    f"meter {wanted.meter_id} measures point {other} at that time: end it there"
                )
        return stored_points.put(connection, ppe, points.encode(form), assignments, now_s)


def _check_group(contract: Contract, law: Law) -> None:
    """Raises UnsupportedTariff for a group without zones; days without a zone table come later."""
    if contract.tariff_group not in law.schedules.groups:
        law.schedules.zones(contract.tariff_group, contract.valid_from)


def issue(
    store: Store, law: Law, ppe: str, period: Period, now_s: int
) -> tuple[StoredInvoice, bool]:
    """The invoice of the period, and whether it was issued just now.

    Asking again returns the stored one, whatever came in since. What came in since the invoices
    before it becomes corrections of them, in the same transaction. Raises Refused, UnknownPoint,
    InvoiceOverlaps or OutOfOrder.
    """
    with store.reading() as connection:
        stored = _stored(connection, ppe, period)
        if stored is not None:
            return stored, False
        early = settled(connection, law, ppe, period, now_s)
    with store.writing() as connection:
        early.measured.keep(connection, ppe)
        # Looked up and settled again, this time from the cache: readings or another request may
        # have come in between, and others wait for this transaction.
        stored = _stored(connection, ppe, period)
        if stored is not None:
            return stored, False
        number = _keep(connection, settled(connection, law, ppe, period, now_s), now_s)[0]
        issued = invoices.by_number(connection, number)
    assert issued is not None, "an invoice was asked for"
    return issued, True


def correct(store: Store, law: Law, ppe: str, now_s: int) -> list[str]:
    """Issues corrections of what has changed since the invoices, and returns their numbers.

    Late readings, a changed contract or a changed price list do that. A corrected RCEm waits for
    the next invoice, which is when the deposit is revalued. Raises Refused or UnknownPoint.
    """
    with store.reading() as connection:
        early = settled(connection, law, ppe, None, now_s)
    if early.draft.is_empty and not early.measured.fresh:
        return []
    with store.writing() as connection:
        early.measured.keep(connection, ppe)
        return _keep(connection, settled(connection, law, ppe, None, now_s), now_s)


def settled(
    connection: Connection, law: Law, ppe: str, period: Period | None, now_s: int
) -> Settled:
    """Settles the account with the period asked for, from what is known now. Raises Refused."""
    found = history.now(connection, ppe)
    if period is not None:
        _check_order(found, period)
    in_force = laws.in_force(connection, law)
    places = places_of(found, period, day_of(now_s))
    spans = spans_needed(found.point, [each.step for each in places], in_force)
    measured = inputs.measured(connection, found, spans, in_force)
    return Settled(found, measured, drafted(found, places, measured.totals, in_force))


def _stored(connection: Connection, ppe: str, period: Period) -> StoredInvoice | None:
    """The invoice of exactly this period. Raises InvoiceOverlaps when another bills a day of it."""
    history.form_of(connection, ppe)
    start, end = period.start.isoformat(), period.end.isoformat()
    stored = invoices.of_period(connection, ppe, start, end)
    if stored is None:
        other = invoices.overlapping(connection, ppe, start, end)
        if other is not None:
            raise InvoiceOverlaps(f"invoice {other} already bills a day of {start} to {end}")
    return stored


def _check_order(found: History, period: Period) -> None:
    """Raises OutOfOrder when a prosumer's days before are not billed, or days after are."""
    ends = [date.fromisoformat(each.end) for each in found.invoices]
    before = max((end for end in ends if end <= period.start), default=None)
    after = max((end for end in ends if end >= period.end), default=None)
    contracts = found.point.contracts
    if before is not None and _has_prosumer(contracts, before, period.start):
        raise OutOfOrder(f"bill {before} to {period.start} first: what was fed in then counts on")
    if after is not None and _has_prosumer(contracts, period.start, after):
        raise OutOfOrder(
            f"days up to {after} are billed: a prosumer's earlier days can only be brought along, "
            "in `opening`"
        )


def _has_prosumer(contracts: Sequence[Contract], start: date, end: date) -> bool:
    return any(
        each.valid_from < end and (each.valid_to is None or each.valid_to > start)
        for each in contracts
        if each.scheme in PROSUMERS and start < end
    )


def _keep(connection: Connection, found: Settled, now_s: int) -> list[str]:
    """Stores what came of settling, and returns the numbers of its documents, the invoice first."""
    if found.draft.is_empty:
        return []
    settling_id = settlings.add(
        connection,
        ppe=found.history.ppe,
        settled_s=now_s,
        point_version=found.history.version,
        horizon=settlings.horizon_now(connection),
        rules=laws.rules_name(),
    )
    # By the id of the invoice that a document is, or corrects; None for the new one.
    documents: dict[int | None, str] = {}
    if found.draft.new is not None:
        documents[None] = _add_invoice(connection, found, settling_id, now_s)
    numbers = list(documents.values())
    for corrects, data in found.draft.corrections:
        number = corrections.add(
            connection,
            invoice_id=corrects.invoice_id,
            start=corrects.start,
            settling_id=settling_id,
            reason=data["reason"],
            issued_s=now_s,
            body=msgspec.json.encode(data),
        )
        documents[corrects.invoice_id] = number
        numbers.append(number)
    entries = [(entry, documents.get(place.invoice_id, "")) for entry, place in found.draft.entries]
    ppe = found.history.ppe
    ledger.add(connection, ppe=ppe, settling_id=settling_id, recorded_s=now_s, entries=entries)
    return numbers


def _add_invoice(connection: Connection, found: Settled, settling_id: int, now_s: int) -> str:
    new = found.draft.new
    assert new is not None
    return invoices.add(
        connection,
        ppe=found.history.ppe,
        start=new.period.start.isoformat(),
        end=new.period.end.isoformat(),
        point_version=found.history.version,
        issued_s=now_s,
        body=msgspec.json.encode(found.draft.invoice),
        known_on=new.known_on.isoformat(),
        settling_id=settling_id,
    ).number
