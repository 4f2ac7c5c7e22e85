"""The rebate lowers the invoices of 2024, the first one first, until nothing is left of it."""

from __future__ import annotations

import pytest

from settlement.rules.account import Account
from settlement.rules.book import Opening
from settlement.rules.periods import Month
from tests.support.a_contract import a_contract, a_prosumer, prices
from tests.support.a_point import Flow, a_point, a_step, days, law, monthly, moves, settled, to_pay

JANUARY = Month(2024, 1)
# Energy that makes three invoices of P14, at 1 PLN for a kWh with everything and no fees.
FREE = {
    ("distribution_tauron", "quality"): {JANUARY.first: "0"},
    ("distribution_tauron", "g11.variable.all_day"): {JANUARY.first: "0"},
    ("distribution_tauron", "g11.fixed.3_phase"): {JANUARY.first: "0"},
    ("distribution_tauron", "subscription.1_month"): {JANUARY.first: "0"},
    ("levies", "renewable"): {JANUARY.first: "0"},
    ("levies", "cogeneration"): {JANUARY.first: "0"},
    ("vat", "electricity"): {JANUARY.first: "0"},
    **{(f"{name}_fee", "household"): {JANUARY.first: "0"} for name in ("capacity", "transitional")},
}


def used(found: Account) -> list[int]:
    return [each.rebate_used_gr for each in found.invoices]


def test_p14_a_rebate_of_24864_grosz_lowers_three_invoices() -> None:
    contract = a_contract(unit_prices_pln_per_kwh=prices(all_day="0.01"))
    flows = {JANUARY.plus(at): Flow(kwh * 1000) for at, kwh in enumerate((9840, 11205, 13120))}
    found = settled(a_point(contract, rebate_gr=24864), monthly(JANUARY, 4), flows, law(FREE))
    assert used(found) == [9840, 11205, 3819, 0]
    assert to_pay(found.invoices) == [0, 0, 9301, 0]
    assert moves(found, "rebate") == [
        ("2023-12", "booked", "2023-12", 24864),
        ("2024-01", "used", "2023-12", 9840),
        ("2024-02", "used", "2023-12", 11205),
        ("2024-03", "used", "2023-12", 3819),
    ]


@pytest.mark.parametrize(
    ("start", "lowered"), [("2023-12-01", False), ("2023-12-31", False), ("2024-01-01", True)]
)
def test_an_invoice_that_begins_before_2024_is_not_lowered(start: str, lowered: bool) -> None:
    steps = [a_step(days(start, "2024-02-01"))]
    found = settled(a_point(a_contract(), rebate_gr=100), steps, Flow(10_000), law({}))
    assert used(found) == ([100] if lowered else [0])


def test_the_deposit_pays_before_the_rebate_and_an_invoice_of_nothing_uses_none() -> None:
    contract = a_prosumer(unit_prices_pln_per_kwh=prices(all_day="0.01"))
    opening = Opening(deposit=((Month(2023, 11), 6_000, 6_000),))
    flows = {JANUARY.plus(at): Flow(5_000_000) for at in range(3)}
    point = a_point(contract, opening=opening, rebate_gr=3_000)
    found = settled(point, monthly(JANUARY, 3), flows, law(FREE))
    assert [each.deposit.used_gr for each in found.invoices] == [5_000, 1_000, 0]
    assert used(found) == [0, 3_000, 0]
    assert to_pay(found.invoices) == [0, 1_000, 5_000]
    assert [each[:2] for each in moves(found, "rebate")] == [
        ("2023-12", "booked"),
        ("2024-02", "used"),
    ]


def test_without_a_rebate_no_ledger_of_it_is_kept() -> None:
    found = settled(a_point(a_contract()), monthly(JANUARY, 2), Flow(10_000), law({}))
    assert (used(found), moves(found, "rebate")) == ([0, 0], [])
