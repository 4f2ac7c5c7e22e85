"""Invoices that exist outside of this project, typed by hand, reproduced to the grosz."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from settlement import tables
from settlement.rules.invoice import Invoice, settle
from settlement.rules.periods import Period
from tests.support.settlement import JULY, PPE, a_contract, a_usage

# code: net, VAT, gross in grosz
Printed = dict[str, tuple[int, int, int]]


def lines_of(invoice: Invoice) -> Printed:
    return {line.position.code: (line.net_gr, line.vat_gr, line.gross_gr) for line in invoice.lines}


def test_p1_the_cap_of_the_act_costs_62115_grosz_for_1000_kwh() -> None:
    contract = a_contract(unit_price_pln_per_kwh=Decimal("0.70000"))
    invoice = settle(PPE, contract, tables.load(), JULY, a_usage(1_000_000))
    energy = invoice.lines[0]
    assert energy.position.unit_price_pln == Decimal("0.5050")
    assert lines_of(invoice)["active_energy"] == (50500, 11615, 62115)


def test_p2_a_capped_household_in_the_second_half_of_2024() -> None:
    invoice = settle(PPE, a_contract(), tables.load(), JULY, a_usage(231_000))
    assert lines_of(invoice) == {
        "active_energy": (11666, 2683, 14349),
        "network_fixed": (1034, 238, 1272),
        "quality": (725, 167, 892),
        "network_variable": (5944, 1367, 7311),
        "renewable": (0, 0, 0),
        "cogeneration": (143, 33, 176),
        "subscription": (456, 105, 561),
        "capacity": (0, 0, 0),
        "transitional": (33, 8, 41),
    }
    dist = invoice.distribution
    assert (dist.net_gr, dist.vat_gr, dist.gross_gr) == (8335, 1918, 10253)
    assert invoice.result.gross_gr == invoice.to_pay_gr == 24602


def test_p2_without_the_cap_the_energy_line_is_18440_grosz() -> None:
    invoice = settle(PPE, a_contract(cap_entitled=False), tables.load(), JULY, a_usage(231_000))
    assert lines_of(invoice)["active_energy"][2] == 18440


def test_p3_the_real_invoice_of_february_2024_in_every_printed_line() -> None:
    contract = a_contract(
        unit_price_pln_per_kwh=Decimal("0.67270"),
        trade_fee_pln_per_month=Decimal("28.86"),
        cap_entitled=False,
        annual_kwh=9000,
    )
    february = Period(date(2024, 2, 1), date(2024, 3, 1))
    usage = a_usage(1_226_000)
    invoice = settle(PPE, contract, tables.load(), february, usage, deposit_available_gr=219)
    assert lines_of(invoice) == {
        "active_energy": (82473, 18969, 101442),
        "trade_fee": (2886, 664, 3550),
        "network_fixed": (1034, 238, 1272),
        "quality": (3850, 886, 4736),
        "network_variable": (31545, 7255, 38800),
        "renewable": (0, 0, 0),
        "cogeneration": (758, 174, 932),
        "subscription": (456, 105, 561),
        "capacity": (1490, 343, 1833),
        "transitional": (33, 8, 41),
    }
    sale, dist = invoice.sale, invoice.distribution
    assert (sale.net_gr, sale.vat_gr, sale.gross_gr) == (85359, 19633, 104992)
    assert (dist.net_gr, dist.vat_gr, dist.gross_gr) == (39166, 9009, 48175)
    assert invoice.result.gross_gr == 153167
    assert invoice.deposit_used_gr == 219
    assert invoice.to_pay_gr == 152948


@pytest.mark.parametrize(
    ("annual_kwh", "published_pln"),
    [(1000, 1171), (2000, 2158), (4000, 4126), (6000, 6094), (10000, 10029)],
)
def test_published_yearly_totals_of_late_2024_agree(annual_kwh: int, published_pln: int) -> None:
    # Totals published for a year at the rates of the second half of 2024, read every two
    # months, whole zlotys cut off: twice our half-year must give the same.
    contract = a_contract(annual_kwh=annual_kwh, readout_months=2)
    half = Period(date(2024, 7, 1), date(2025, 1, 1))
    invoice = settle(PPE, contract, tables.load(), half, a_usage(annual_kwh * 500))
    assert 2 * invoice.to_pay_gr // 100 == published_pln
