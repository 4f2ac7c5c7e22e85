"""Writes the `then` side of a scenario: invoices, lines, ledger and corrections as plain files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from settlement.rules.invoice import Invoice
from settlement.rules.ledger import STORAGE, Entry
from settlement.rules.units import kwh

INVOICE_COLUMNS = (
    "start",
    "end",
    "billed_kwh",
    "net",
    "vat",
    "gross",
    "deposit_available",
    "deposit_used",
    "rebate_used",
    "to_pay",
    "storage_kwh",
    "deposit",
)
LINE_COLUMNS = (
    "start",
    "end",
    "code",
    "zone",
    "quantity",
    "unit",
    "unit_price",
    "net",
    "vat_percent",
    "vat",
    "gross",
)
LEDGER_COLUMNS = ("month", "account", "zone", "lot", "kind", "amount", "unit")
CORRECTION_COLUMNS = (
    "start",
    "end",
    "reason",
    "gross_billed",
    "gross_due",
    "deposit_billed",
    "deposit_due",
    "to_pay_billed",
    "to_pay_due",
    "difference",
)


def pln(amount_gr: int) -> str:
    """Grosz as PLN with two decimals."""
    sign = "-" if amount_gr < 0 else ""
    return f"{sign}{abs(amount_gr) // 100}.{abs(amount_gr) % 100:02d}"


def invoices_csv(invoices: Sequence[Invoice]) -> str:
    """One row for each invoice, amounts in PLN."""
    return _table(INVOICE_COLUMNS, [_invoice_row(each) for each in invoices])


def _invoice_row(invoice: Invoice) -> list[object]:
    result, deposit = invoice.result, invoice.deposit
    return [
        invoice.period.start,
        invoice.period.end,
        kwh(invoice.billed_wh),
        pln(result.net_gr),
        pln(result.vat_gr),
        pln(result.gross_gr),
        pln(deposit.of_period_gr + deposit.of_earlier_periods_gr),
        pln(deposit.used_gr),
        pln(invoice.rebate_used_gr),
        pln(invoice.to_pay_gr),
        "" if invoice.storage is None else kwh(invoice.storage.open_wh),
        pln(deposit.open_gr),
    ]


def lines_csv(invoices: Sequence[Invoice]) -> str:
    """Every line of every invoice, amounts in PLN."""
    rows = []
    for line in (line for each in invoices for line in each.lines):
        position = line.position
        rows.append(
            [
                position.span.start,
                position.span.end,
                position.code,
                position.zone,
                position.quantity,
                position.unit,
                f"{position.unit_price_pln:.5f}",
                pln(line.net_gr),
                line.vat_percent,
                pln(line.vat_gr),
                pln(line.gross_gr),
            ]
        )
    return _table(LINE_COLUMNS, rows)


def ledger_csv(entries: Iterable[Entry]) -> str:
    """Every movement in order: Wh of the storage, grosz of deposit and rebate."""
    rows = [
        [
            each.month,
            each.account,
            each.zone,
            each.lot,
            each.kind,
            each.amount,
            "wh" if each.account == STORAGE else "gr",
        ]
        for each in entries
    ]
    return _table(LEDGER_COLUMNS, rows)


def corrections_csv(corrections: Sequence[Mapping[str, Any]]) -> str:
    """One row for each correction: what was billed, what should have been, in PLN."""
    rows = []
    for each in corrections:
        billed, due = each["billed"]["summary"], each["should_have_been"]["summary"]
        rows.append(
            [
                each["start"],
                each["end"],
                each["reason"],
                pln(billed["3_result"]["gross_gr"]),
                pln(due["3_result"]["gross_gr"]),
                pln(billed["7_deposit_used_gr"]),
                pln(due["7_deposit_used_gr"]),
                pln(billed["8_to_pay_gr"]),
                pln(due["8_to_pay_gr"]),
                pln(each["difference"]["to_pay_gr"]),
            ]
        )
    return _table(CORRECTION_COLUMNS, rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
