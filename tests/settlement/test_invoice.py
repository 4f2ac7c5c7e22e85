"""The invoice conserves: lines sum to totals, whatever is billed; fees follow their policy."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement import tables
from settlement.rules.errors import BadPpe, NoRate, OutsideContract, UnsupportedTariff
from settlement.rules.invoice import Invoice, as_data, settle
from settlement.rules.periods import Period
from settlement.rules.price_cap import unit_price
from settlement.rules.tariff import fixed_months
from settlement.rules.units import amount_gr, vat_gr
from tests.support.settlement import JULY, PPE, a_contract, a_usage

HALF_START = date(2024, 7, 1)


def billed(
    kwh: int = 100, deposit_gr: int = 0, period: Period = JULY, **changes: object
) -> Invoice:
    contract = a_contract(**changes)
    return settle(PPE, contract, tables.load(), period, a_usage(kwh * 1000), deposit_gr)


@settings(max_examples=60)
@given(
    energy_wh=st.integers(0, 10**9),
    price_e5=st.integers(1, 10**6),
    fee_gr=st.integers(0, 100_000),
    deposit_gr=st.integers(0, 10**8),
    days=st.integers(1, 180),
    policy=st.sampled_from(["full_month", "by_days"]),
    annual_kwh=st.integers(0, 5000),
)
def test_lines_sum_to_totals_and_nothing_is_lost(
    energy_wh: int,
    price_e5: int,
    fee_gr: int,
    deposit_gr: int,
    days: int,
    policy: str,
    annual_kwh: int,
) -> None:
    contract = a_contract(
        unit_price_pln_per_kwh=Decimal(price_e5).scaleb(-5),
        trade_fee_pln_per_month=Decimal(fee_gr).scaleb(-2),
        partial_month=policy,
        annual_kwh=annual_kwh,
    )
    period = Period(HALF_START, HALF_START + timedelta(days=days))
    invoice = settle(PPE, contract, tables.load(), period, a_usage(energy_wh), deposit_gr)
    for line in invoice.lines:
        assert line.net_gr == amount_gr(line.position.quantity, line.position.unit_price_pln)
        assert line.vat_gr == vat_gr(line.net_gr, line.vat_percent)
        assert line.gross_gr == line.net_gr + line.vat_gr
    assert invoice.result.gross_gr == sum(line.gross_gr for line in invoice.lines)
    assert invoice.result.net_gr == invoice.sale.net_gr + invoice.distribution.net_gr
    assert invoice.result.vat_gr == invoice.sale.vat_gr + invoice.distribution.vat_gr
    energy_gr = invoice.lines[0].gross_gr
    assert invoice.deposit_used_gr == min(deposit_gr, energy_gr)
    assert invoice.to_pay_gr + invoice.deposit_used_gr == invoice.result.gross_gr
    assert invoice.lines[0].position.unit_price_pln <= Decimal("0.505")


@pytest.mark.parametrize(
    ("listed", "paid", "capped"),
    [("0.50499", "0.50499", False), ("0.50500", "0.50500", False), ("0.50501", "0.505", True)],
)
def test_the_lower_of_list_price_and_cap_is_paid(listed: str, paid: str, capped: bool) -> None:
    contract = a_contract(unit_price_pln_per_kwh=Decimal(listed))
    price = unit_price(contract, tables.load(), JULY)
    assert (price.pln_per_kwh, price.capped) == (Decimal(paid), capped)


def test_who_is_not_entitled_pays_the_list_price() -> None:
    price = unit_price(a_contract(cap_entitled=False), tables.load(), JULY)
    assert (price.pln_per_kwh, price.capped) == (Decimal("0.649"), False)


@pytest.mark.parametrize(
    ("start", "end", "full_months", "by_days"),
    [
        ("2024-07-01", "2024-08-01", "1", "1"),
        ("2024-07-01", "2024-07-02", "1", "0.0323"),
        ("2024-07-01", "2024-08-02", "2", "1.0323"),
        ("2024-07-15", "2024-08-15", "2", "1"),
        ("2024-09-16", "2024-10-16", "2", "0.9839"),
        ("2024-07-01", "2025-01-01", "6", "6"),
    ],
)
def test_fixed_fees_of_a_partial_month_follow_the_policy(
    start: str, end: str, full_months: str, by_days: str
) -> None:
    period = Period(date.fromisoformat(start), date.fromisoformat(end))
    assert fixed_months(period, "full_month") == Decimal(full_months)
    assert fixed_months(period, "by_days") == Decimal(by_days)


def test_the_subscription_is_whole_for_a_started_month_under_both_policies() -> None:
    week = Period(date(2024, 10, 11), date(2024, 10, 18))
    for policy in ("full_month", "by_days"):
        lines = {
            line.position.code: line for line in billed(52, 0, week, partial_month=policy).lines
        }
        assert lines["subscription"].net_gr == 456
        assert lines["network_fixed"].net_gr == {"full_month": 1034, "by_days": 233}[policy]


def test_a_trade_fee_is_a_line_of_the_sale_that_the_deposit_does_not_pay() -> None:
    invoice = billed(100, 1_000_000, trade_fee_pln_per_month=Decimal("28.86"))
    assert invoice.sale.gross_gr == invoice.deposit_used_gr + 3550


def test_the_deposit_is_used_up_to_the_gross_energy_and_not_further() -> None:
    energy_gr = billed().lines[0].gross_gr
    for deposit_gr, used_gr in (
        (energy_gr - 1, energy_gr - 1),
        (energy_gr, energy_gr),
        (energy_gr + 1, energy_gr),
    ):
        assert billed(100, deposit_gr).deposit_used_gr == used_gr


def test_nothing_used_has_fixed_fees_and_no_average_price() -> None:
    invoice = billed(0)
    assert invoice.lines[0].gross_gr == 0
    assert invoice.to_pay_gr == 1874
    assert invoice.average_gross_pln_per_kwh is None


def test_the_average_price_is_the_result_over_the_kwh() -> None:
    assert as_data(billed(231))["average_gross_pln_per_kwh"] == "1.0650"


def test_the_refusals_of_contract_and_tables_reach_the_one_who_settles() -> None:
    january = Period(date(2025, 1, 1), date(2025, 2, 1))
    for period, changes, refusal in (
        (JULY, {"tariff_group": "G12"}, UnsupportedTariff),
        (JULY, {"phases": 1}, NoRate),
        (january, {}, NoRate),
        (JULY, {"valid_from": date(2024, 7, 2)}, OutsideContract),
    ):
        with pytest.raises(refusal):
            billed(100, 0, period, **changes)
    with pytest.raises(BadPpe):
        settle("590", a_contract(), tables.load(), JULY, a_usage(0))
