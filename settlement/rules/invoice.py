"""The invoice: amounts of every line, sums of the sections, and what is left to pay.

Each line is rounded by itself (net, then VAT of that net); sections and totals are plain sums of
rounded lines. VAT on a sum would be wrong by grosze against the seller's own invoices.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from settlement.rules.periods import Period
from settlement.rules.spans import Span
from settlement.rules.tariff import ACTIVE_ENERGY, DISTRIBUTION, SALE, Position
from settlement.rules.totals import Totals
from settlement.rules.units import amount_gr, kwh, price_text, ratio, vat_gr

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
class Part:
    """One span of the invoice with its energy. `billed_wh` by zone is what is paid for."""

    span: Span
    totals: Totals
    billed_wh: Mapping[str, int]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Storage:
    """What the virtual storage did in the period, in Wh."""

    credited_wh: int
    covered_wh: int
    forfeited_wh: int
    open_wh: int


@dataclass(frozen=True)
class Deposit:
    """What the prosumer deposit did in the period, in grosz.

    `refunded_gr` is what is left of ended lots and given back, `paid_out_gr` goes to the bank of a
    tenant prosumer.
    """

    of_period_gr: int
    of_earlier_periods_gr: int
    used_gr: int
    refunded_gr: int
    forfeited_gr: int
    paid_out_gr: int
    open_gr: int


NO_DEPOSIT = Deposit(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Invoice:
    """A settled period. The numbered rows of the summary follow the seller's layout:

    1 sale, 2 distribution, 3 result (1 + 2), 4 deposit of the period, 5 deposit of earlier
    periods, 6 deposit available (4 + 5), 7 deposit used, 8 to pay (3 - 7 - rebate).
    """

    ppe: str
    period: Period
    parts: tuple[Part, ...]
    deposit: Deposit
    storage: Storage | None
    rebate_used_gr: int

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every line, span by span."""
        return tuple(line for part in self.parts for line in part.lines)

    @property
    def sale(self) -> Sum:
        """Row 1."""
        return total(line for line in self.lines if line.position.section == SALE)

    @property
    def distribution(self) -> Sum:
        """Row 2."""
        return total(line for line in self.lines if line.position.section == DISTRIBUTION)

    @property
    def result(self) -> Sum:
        """Row 3."""
        return total(self.lines)

    @property
    def to_pay_gr(self) -> int:
        """Row 8."""
        return self.result.gross_gr - self.deposit.used_gr - self.rebate_used_gr

    @property
    def billed_wh(self) -> int:
        """Energy that is paid for, over all zones."""
        return sum(sum(part.billed_wh.values()) for part in self.parts)

    @property
    def average_gross_pln_per_kwh(self) -> Decimal | None:
        """Row 3 over the billed kWh, None when nothing was billed."""
        if not self.billed_wh:
            return None
        numerator = 10 * self.result.gross_gr  # grosz per Wh x 1000 / 100 is PLN per kWh
        return ratio(numerator, self.billed_wh, AVERAGE_PRICE_DECIMALS)


def line_of(position: Position, vat_percent: Decimal) -> Line:
    """Net, VAT and gross of one position, each rounded half-up at the line."""
    net = amount_gr(position.quantity, position.unit_price_pln)
    vat = vat_gr(net, vat_percent)
    return Line(position, vat_percent, net, vat, net + vat)


def total(lines: Iterable[Line]) -> Sum:
    """Plain sums of rounded lines."""
    net = vat = gross = 0
    for line in lines:
        net += line.net_gr
        vat += line.vat_gr
        gross += line.gross_gr
    assert gross == net + vat
    return Sum(net, vat, gross)


def energy_gr(lines: Iterable[Line]) -> int:
    """Gross active energy, which is all that a deposit may pay (art. 4 ust. 11)."""
    return sum(line.gross_gr for line in lines if line.position.code == ACTIVE_ENERGY)


def as_data(invoice: Invoice) -> dict[str, Any]:
    """The invoice as plain data for JSON: amounts in grosz, exact decimals as text."""
    average = invoice.average_gross_pln_per_kwh
    last = invoice.parts[-1].span.contract
    deposit = invoice.deposit
    data: dict[str, Any] = {
        "ppe": invoice.ppe,
        "start": invoice.period.start.isoformat(),
        "end": invoice.period.end.isoformat(),
        "seller": last.seller,
        "tariff_group": last.tariff_group,
        "scheme": last.scheme,
        "usage": _usage_data(invoice),
        "parts": [_part_data(part) for part in invoice.parts],
        "lines": [_line_data(line) for line in invoice.lines],
        "summary": {
            "1_sale": _sum_data(invoice.sale),
            "2_distribution": _sum_data(invoice.distribution),
            "3_result": _sum_data(invoice.result),
            "4_deposit_of_period_gr": deposit.of_period_gr,
            "5_deposit_of_earlier_periods_gr": deposit.of_earlier_periods_gr,
            "6_deposit_available_gr": deposit.of_period_gr + deposit.of_earlier_periods_gr,
            "7_deposit_used_gr": deposit.used_gr,
            "rebate_used_gr": invoice.rebate_used_gr,
            "8_to_pay_gr": invoice.to_pay_gr,
        },
        "average_gross_pln_per_kwh": None if average is None else f"{average:.4f}",
    }
    if invoice.storage is not None:
        data["storage"] = _fields(invoice.storage)
    if deposit != NO_DEPOSIT:
        data["deposit"] = {
            "refunded_gr": deposit.refunded_gr,
            "forfeited_gr": deposit.forfeited_gr,
            "paid_out_gr": deposit.paid_out_gr,
            "open_gr": deposit.open_gr,
        }
    return data


def _fields(storage: Storage) -> dict[str, int]:
    return {
        "credited_wh": storage.credited_wh,
        "covered_wh": storage.covered_wh,
        "forfeited_wh": storage.forfeited_wh,
        "open_wh": storage.open_wh,
    }


def _usage_data(invoice: Invoice) -> dict[str, Any]:
    totals = [part.totals for part in invoice.parts]
    quality: Counter[str] = Counter()
    for each in totals:
        quality.update(dict(each.quality))
    return {
        "import_wh": sum(sum(each.import_wh.values()) for each in totals),
        "export_wh": sum(sum(each.export_wh.values()) for each in totals),
        "billed_kwh": str(kwh(invoice.billed_wh)),
        "intervals": sum(each.intervals for each in totals),
        "quality": dict(sorted(quality.items())),
        "findings": [finding for each in totals for finding in each.findings],
        "readings_sha256": _digest([each.readings_sha256 for each in totals]),
    }


def _digest(digests: Sequence[str]) -> str:
    """The digest of the only span, or of all of them in order."""
    if len(digests) == 1 or not any(digests):
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _part_data(part: Part) -> dict[str, Any]:
    totals = part.totals
    zones = {
        zone: {
            "import_wh": totals.import_wh.get(zone, 0),
            "export_wh": totals.export_wh.get(zone, 0),
            "positive_wh": totals.positive_wh.get(zone, 0),
            "negative_wh": totals.negative_wh.get(zone, 0),
            "billed_wh": part.billed_wh.get(zone, 0),
        }
        for zone in part.span.zones
    }
    return {
        "start": part.span.period.start.isoformat(),
        "end": part.span.period.end.isoformat(),
        "tariff_group": part.span.contract.tariff_group,
        "scheme": part.span.contract.scheme,
        "zones": zones,
    }


def _line_data(line: Line) -> dict[str, Any]:
    position = line.position
    return {
        "section": position.section,
        "code": position.code,
        "zone": position.zone,
        "start": position.span.start.isoformat(),
        "end": position.span.end.isoformat(),
        "quantity": str(position.quantity),
        "unit": position.unit,
        "unit_price_pln": price_text(position.unit_price_pln),
        "price_from": position.origin,
        "net_gr": line.net_gr,
        "vat_percent": str(line.vat_percent),
        "vat_gr": line.vat_gr,
        "gross_gr": line.gross_gr,
    }


def _sum_data(each: Sum) -> dict[str, int]:
    return {"net_gr": each.net_gr, "vat_gr": each.vat_gr, "gross_gr": each.gross_gr}
