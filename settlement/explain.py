"""Explains an invoice or a correction: where each quantity, price and amount comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from sqlite3 import Connection
from typing import Any, NamedTuple

import msgspec

from settlement import history, laws, replay
from settlement.balances import entry_data
from settlement.errors import UnknownInvoice
from settlement.rules.contract import contract_on
from settlement.rules.rates import Row, Tables
from settlement.rules.schemes import Law
from settlement.rules.tariff import KWH
from settlement.rules.units import GR_PER_PLN
from settlement.store import corrections, invoices, ledger, settlings
from settlement.store.corrections import StoredCorrection
from settlement.store.invoices import StoredInvoice

CORRECTION_PREFIX = "FK-"
# How policies and rows are put together in the `price_from` of a line.
_PLUS = " + "
_AVERAGED = ", average of the zones"


class _Document(NamedTuple):
    """The invoice to explain as plain data, and the settling that it came of."""

    body: Mapping[str, Any]
    settling_id: int


def explained(connection: Connection, law: Law, number: str) -> dict[str, Any]:
    """All that can be told of a document. Raises UnknownInvoice."""
    if number.startswith(CORRECTION_PREFIX):
        correction = corrections.by_number(connection, number)
        if correction is not None:
            return _of_correction(connection, law, correction)
    else:
        invoice = invoices.by_number(connection, number)
        if invoice is not None:
            return _of_invoice(connection, law, invoice)
    raise UnknownInvoice(f"there is no document {number[:40]!r}: FV-... and FK-... are numbers")


def _of_invoice(connection: Connection, law: Law, invoice: StoredInvoice) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(invoice.body)
    told = {
        "number": invoice.number,
        "ppe": invoice.ppe,
        "start": invoice.start,
        "end": invoice.end,
        "issued_s": invoice.issued_s,
        "summary": body["summary"],
        "corrected_by": [
            each.number
            for each in corrections.all_of(connection, invoice.ppe)
            if each.invoice_id == invoice.invoice_id
        ],
    }
    if invoice.settling_id is None:
        # Schema 1 kept neither the parts nor where a price is from, nor what it was settled from.
        return {**told, "lines": body["lines"], "entries": [], "settling": None, "replay": None}
    return told | _settled(connection, law, _Document(body, invoice.settling_id), invoice.number)


def _of_correction(
    connection: Connection, law: Law, correction: StoredCorrection
) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(correction.body)
    told = {
        "number": correction.number,
        "corrects": correction.corrects,
        # A corrected price is posted with the invoice of its month, which shows the lots.
        "issued_with": [
            each.number
            for each in invoices.all_of(connection, correction.ppe)
            if each.settling_id == correction.settling_id
        ],
        "ppe": correction.ppe,
        "start": body["start"],
        "end": body["end"],
        "issued_s": correction.issued_s,
        "reason": body["reason"],
        "reason_text": body["reason_text"],
        "difference": body["difference"],
        "billed": {"lines": body["billed"]["lines"], "summary": body["billed"]["summary"]},
        "summary": body["should_have_been"]["summary"],
    }
    document = _Document(body["should_have_been"], correction.settling_id)
    return told | _settled(connection, law, document, correction.number)


def _settled(connection: Connection, law: Law, document: _Document, number: str) -> dict[str, Any]:
    settling = settlings.get(connection, document.settling_id)
    in_force = laws.in_force(connection, law, settling.horizon.import_id)
    point = history.before(connection, settling).point
    lines = []
    for line in document.body["lines"]:
        day = date.fromisoformat(line["start"])
        contract = contract_on(point.contracts, day)
        rounding, months = contract.policies.kwh_rounding, contract.partial_month
        lines.append(
            {
                **line,
                "quantity_from": _quantity_from(document.body, line, rounding, months),
                "price_rows": [_row_data(each) for each in _rows(in_force.tables, line)],
                "vat_row": _row_data(in_force.tables.rate_on("vat", "electricity", day)),
                "amounts": _amounts(line),
            }
        )
    return {
        "lines": lines,
        "parts": document.body["parts"],
        "storage": document.body.get("storage"),
        "deposit": document.body.get("deposit"),
        "entries": [entry_data(each) for each in ledger.of_document(connection, number)],
        "settling": {
            "settled_s": settling.settled_s,
            "point_version": settling.point_version,
            **settling.horizon._asdict(),
            "rules": settling.rules,
        },
        "replay": replay.replayed(connection, law, settling.settling_id)._asdict(),
    }


def _quantity_from(
    body: Mapping[str, Any], line: Mapping[str, Any], rounding: str, months: str
) -> dict[str, Any]:
    """The energy of the line's span and zone and its rounding, or how months are counted."""
    if line["unit"] != KWH:
        return {"months": "started" if line["code"] == "subscription" else months}
    for part in body["parts"]:
        if part["start"] == line["start"] and line["zone"] in part["zones"]:
            return {**part["zones"][line["zone"]], "kwh_rounding": rounding}
    return {"kwh_rounding": rounding}


def _rows(tables: Tables, line: Mapping[str, Any]) -> Iterator[Row]:
    """The rows that the price is from; "contract" is none. A band is told by its value."""
    for origin in line["price_from"].removesuffix(_AVERAGED).split(_PLUS):
        named = [each for each in tables.rows if each.origin == origin]
        exact = [each for each in named if each.value == Decimal(line["unit_price_pln"])]
        yield from (exact or named)[:1]


def _row_data(row: Row) -> dict[str, Any]:
    return {
        "table": row.table,
        "key": row.key,
        "value": str(row.value),
        "unit": row.unit,
        "valid_from": row.valid_from.isoformat(),
        "source": row.source,
    }


def _amounts(line: Mapping[str, Any]) -> dict[str, str]:
    """Net and VAT before and after their one rounding, half away from zero."""
    exact = Decimal(line["quantity"]) * Decimal(line["unit_price_pln"])
    net = Decimal(line["net_gr"]) / GR_PER_PLN
    vat = net * Decimal(line["vat_percent"]) / 100
    return {
        "net": f"{line['quantity']} x {line['unit_price_pln']} = {exact} -> {net:.2f}",
        "vat": f"{net:.2f} x {line['vat_percent']} % = {vat} -> {pln(line['vat_gr'])}",
        "gross": f"{net:.2f} + {pln(line['vat_gr'])} = {pln(line['gross_gr'])}",
    }


def pln(amount_gr: int) -> str:
    """Grosz as PLN with two decimals."""
    return f"{Decimal(amount_gr) / GR_PER_PLN:.2f}"
