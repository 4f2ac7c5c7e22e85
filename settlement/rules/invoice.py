"""The invoice: amounts of every line, sums of the sections, and what is left to pay.

Each line is rounded by itself (net, then VAT of that net); sections and totals are plain sums of
rounded lines. VAT on a sum would be wrong by grosze against the seller's own invoices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from settlement.rules.contract import Contract, check_contract, check_covers, check_ppe
from settlement.rules.periods import Period
from settlement.rules.rates import Tables
from settlement.rules.tariff import ALL_DAY, DISTRIBUTION, SALE, Position, positions
from settlement.rules.units import amount_gr, kwh_from_wh, price_text, ratio, vat_gr
from settlement.rules.validation import Usage

AVERAGE_PRICE_DECIMALS = 4


@dataclass(frozen=True)
class Line:
    """One printed line, amounts in grosz."""

    position: Position
    vat_percent: Decimal
    net_gr: int
    vat_gr: int
    gross_gr: int


@dataclass(frozen=True)
class Sum:
    """Plain sum of rounded lines, in grosz."""

    net_gr: int
    vat_gr: int
    gross_gr: int


@dataclass(frozen=True)
class Invoice:
    """A settled period. The numbered rows of the summary follow the seller's layout:

    1 sale, 2 distribution, 3 result (1 + 2), 4 deposit of the period, 5 deposit of earlier
    periods, 6 deposit available (4 + 5), 7 deposit used, 8 to pay (3 - 7).
    """

    ppe: str
    period: Period
    contract: Contract
    usage: Usage
    kwh: int
    lines: tuple[Line, ...]
    sale: Sum
    distribution: Sum
    result: Sum
    deposit_available_gr: int
    deposit_used_gr: int
    to_pay_gr: int
    average_gross_pln_per_kwh: Decimal | None


def settle(
    ppe: str,
    contract: Contract,
    tables: Tables,
    period: Period,
    usage: Usage,
    deposit_available_gr: int = 0,
) -> Invoice:
    """The invoice of a plain household: billed energy is the raw import of the period.

    Raises any Refused of the contract and the tables. `deposit_available_gr` is a balance brought
    in from elsewhere; it pays gross active energy only, never distribution or the trade fee.
    """
    assert deposit_available_gr >= 0
    check_ppe(ppe)
    check_contract(contract)
    check_covers(contract, period)
    kwh = kwh_from_wh(usage.energy_wh)
    vat_percent = tables.rate("vat", "electricity", period).value
    lines = tuple(
        line_of(position, vat_percent)
        for position in positions(contract, tables, period, {ALL_DAY: kwh})
    )
    sale = _total(line for line in lines if line.position.section == SALE)
    distribution = _total(line for line in lines if line.position.section == DISTRIBUTION)
    result = _total(lines)
    assert result.gross_gr == sale.gross_gr + distribution.gross_gr
    energy_gr = sum(line.gross_gr for line in lines if line.position.code == "active_energy")
    used_gr = min(deposit_available_gr, energy_gr)
    return Invoice(
        ppe=ppe,
        period=period,
        contract=contract,
        usage=usage,
        kwh=kwh,
        lines=lines,
        sale=sale,
        distribution=distribution,
        result=result,
        deposit_available_gr=deposit_available_gr,
        deposit_used_gr=used_gr,
        to_pay_gr=result.gross_gr - used_gr,
        average_gross_pln_per_kwh=(
            ratio(result.gross_gr, 100 * kwh, AVERAGE_PRICE_DECIMALS) if kwh else None
        ),
    )


def line_of(position: Position, vat_percent: Decimal) -> Line:
    """Net, VAT and gross of one position, each rounded half-up at the line."""
    net = amount_gr(position.quantity, position.unit_price_pln)
    vat = vat_gr(net, vat_percent)
    return Line(position, vat_percent, net, vat, net + vat)


def _total(lines: Iterable[Line]) -> Sum:
    net = vat = gross = 0
    for line in lines:
        net += line.net_gr
        vat += line.vat_gr
        gross += line.gross_gr
    assert gross == net + vat
    return Sum(net, vat, gross)


def as_data(invoice: Invoice) -> dict[str, Any]:
    """The invoice as plain data for JSON: amounts in grosz, exact decimals as text."""
    average = invoice.average_gross_pln_per_kwh
    return {
        "ppe": invoice.ppe,
        "start": invoice.period.start.isoformat(),
        "end": invoice.period.end.isoformat(),
        "tariff_group": invoice.contract.tariff_group,
        "scheme": invoice.contract.scheme,
        "usage": {
            "import_wh": invoice.usage.energy_wh,
            "billed_kwh": invoice.kwh,
            "intervals": invoice.usage.intervals,
            "quality": dict(invoice.usage.quality),
            "readings_sha256": invoice.usage.readings_sha256,
        },
        "lines": [_line_data(line) for line in invoice.lines],
        "summary": {
            "1_sale": _sum_data(invoice.sale),
            "2_distribution": _sum_data(invoice.distribution),
            "3_result": _sum_data(invoice.result),
            "4_deposit_of_period_gr": 0,
            "5_deposit_of_earlier_periods_gr": invoice.deposit_available_gr,
            "6_deposit_available_gr": invoice.deposit_available_gr,
            "7_deposit_used_gr": invoice.deposit_used_gr,
            "8_to_pay_gr": invoice.to_pay_gr,
        },
        "average_gross_pln_per_kwh": None if average is None else f"{average:.4f}",
    }


def _line_data(line: Line) -> dict[str, Any]:
    position = line.position
    return {
        "section": position.section,
        "code": position.code,
        "zone": position.zone,
        "quantity": str(position.quantity),
        "unit": position.unit,
        "unit_price_pln": price_text(position.unit_price_pln),
        "net_gr": line.net_gr,
        "vat_percent": str(line.vat_percent),
        "vat_gr": line.vat_gr,
        "gross_gr": line.gross_gr,
    }


def _sum_data(total: Sum) -> dict[str, int]:
    return {"net_gr": total.net_gr, "vat_gr": total.vat_gr, "gross_gr": total.gross_gr}
