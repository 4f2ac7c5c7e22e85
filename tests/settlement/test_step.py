"""One invoice over several spans: what is counted once, what is carried, and what is shared."""

from __future__ import annotations

from datetime import date

import pytest

from settlement.rules.account import Account
from settlement.rules.book import Opening
from settlement.rules.contract import Contract
from settlement.rules.errors import NoRate
from settlement.rules.invoice import Invoice
from settlement.rules.periods import Month, Period
from settlement.rules.policies import Policies
from settlement.rules.rates import Tables
from tests.support.a_contract import (
    Changes,
    a_contract,
    a_prosumer,
    limit_of_2024,
    prices,
    some_tables,
)
from tests.support.a_point import (
    Flow,
    Flows,
    a_point,
    a_step,
    days,
    law,
    monthly,
    one_invoice,
    settled,
)

MARCH, APRIL = Month(2024, 3), Month(2024, 4)
MIDDLE = date(2024, 3, 16)
CUT: Changes = {("levies", "renewable"): {MIDDLE: "0.003"}}


def billed_kwh(found: Account) -> list[list[int]]:
    """Whole kWh of each span of each invoice."""
    return [
        [sum(part.billed_wh.values()) // 1000 for part in invoice.parts]
        for invoice in found.invoices
    ]


def with_rounding(rounding: str) -> Contract:
    return a_contract(policies=Policies(kwh_rounding=rounding))


@pytest.mark.parametrize(
    ("rounding", "kwh"),
    [
        ("half_up", [[1, 2], [1, 2], [1, 2]]),
        ("carry", [[1, 2], [1, 1], [2, 1]]),
        ("down", [[1, 1], [1, 1], [1, 1]]),
    ],
)
def test_what_whole_kwh_leave_over_goes_to_the_next_span_and_by_policy_to_the_next_invoice(
    rounding: str, kwh: list[list[int]]
) -> None:
    cuts = {MARCH.plus(at).first.replace(day=16): str(at + 1) for at in range(3)}
    flows = {
        day: Flow(energy_wh)
        for at in range(3)
        for day, energy_wh in ((MARCH.plus(at), 1_400), (list(cuts)[at], 1_333))
    }
    steps = monthly(MARCH, 3)
    rates = {("levies", "renewable"): cuts}
    # 1.400, 2.733, 4.133, 5.466, 6.866, 8.199 kWh altogether.
    assert billed_kwh(settled(a_point(with_rounding(rounding)), steps, flows, law(rates))) == kwh


def test_exactly_billed_energy_keeps_its_wh() -> None:
    contract = with_rounding("exact")
    invoice = one_invoice(contract, MARCH.period, Flow(1_234), law(CUT))
    assert [part.billed_wh for part in invoice.parts] == [{"all_day": 1_234}] * 2
    assert str(invoice.lines[0].position.quantity) == "1.234"


def test_each_zone_carries_its_own_remainder() -> None:
    contract = a_contract(
        tariff_group="G12",
        unit_prices_pln_per_kwh=prices(day="1", night="1"),
        policies=Policies(kwh_rounding="carry"),
    )
    flows = {MARCH: Flow({"day": 400, "night": 300}), APRIL: Flow({"day": 100, "night": 100})}
    found = settled(a_point(contract), monthly(MARCH, 2), flows, law({}))
    assert found.invoices[1].parts[0].billed_wh == {"day": 1000, "night": 0}


def test_moved_and_paid_energy_carry_their_remainders_apart() -> None:
    policies = Policies(kwh_rounding="carry", storage_exemption="network_variable_only")
    contract = a_prosumer("net_metering", policies=policies)
    flows = {MARCH: Flow(1_400, 1_250), APRIL: Flow(1_100)}
    found = settled(a_point(contract), monthly(MARCH, 2), flows, law({}))
    quantities = [
        {line.position.code: str(line.position.quantity) for line in invoice.lines}
        for invoice in found.invoices
    ]
    # Paid 0.400 and 1.100, moved 1.400 and 1.100.
    assert [each["active_energy"] for each in quantities] == ["0", "2"]
    assert [each["quality"] for each in quantities] == ["1", "2"]


def months_of_fees(invoice: Invoice) -> list[tuple[str, str]]:
    return [
        (line.position.code, str(line.position.quantity))
        for line in invoice.lines
        if line.position.unit == "month" and line.position.code in ("network_fixed", "subscription")
    ]


def test_a_month_that_is_cut_pays_its_fixed_fees_once() -> None:
    whole = one_invoice(a_contract(), MARCH.period, Flow(0), law({}))
    cut = one_invoice(a_contract(), MARCH.period, Flow(0), law(CUT))
    assert (
        months_of_fees(cut)
        == months_of_fees(whole)
        == [
            ("network_fixed", "1"),
            ("subscription", "1"),
        ]
    )
    assert cut.to_pay_gr == whole.to_pay_gr


def test_a_month_of_two_contracts_pays_the_fixed_fees_of_the_first() -> None:
    first, second = a_contract(valid_to=MIDDLE), a_contract(valid_from=MIDDLE, phases=1)
    steps = [a_step(days("2024-03-01", "2024-05-01"))]
    (invoice,) = settled(a_point(first, second), steps, Flow(0), law({})).invoices
    fixed = [
        (str(line.position.quantity), str(line.position.unit_price_pln))
        for line in invoice.lines
        if line.position.code == "network_fixed"
    ]
    assert fixed == [("1", "10"), ("1", "6")]


def test_by_days_both_parts_of_a_month_pay_their_share_and_the_subscription_is_whole() -> None:
    contract = a_contract(partial_month="by_days")
    assert months_of_fees(one_invoice(contract, MARCH.period, Flow(0), law(CUT))) == [
        ("network_fixed", "0.4839"),
        ("subscription", "1"),
        ("network_fixed", "0.5161"),
    ]


def test_an_invoice_that_begins_inside_of_a_month_pays_that_month() -> None:
    invoice = one_invoice(a_contract(), days("2024-03-20", "2024-04-10"), Flow(0), law({}))
    assert months_of_fees(invoice) == [("network_fixed", "2"), ("subscription", "2")]


def reference_lines(found: Account) -> list[list[tuple[str, str]]]:
    return [
        [
            (line.position.zone, str(line.position.quantity))
            for line in invoice.lines
            if line.position.code == "network_variable" and line.position.zone != "day"
        ]
        for invoice in found.invoices
    ]


def test_the_reference_of_g12as_is_that_of_the_whole_invoice_however_it_is_cut() -> None:
    contract = a_contract(
        tariff_group="G12as",
        unit_prices_pln_per_kwh=prices(day="1", night="1"),
        night_reference_kwh=100,
    )
    found = settled(a_point(contract), monthly(MARCH, 2), Flow({"night": 70_000}), law(CUT))
    up_to, above = "night_up_to_reference", "night_above_reference"
    assert reference_lines(found) == [
        [(up_to, "70"), (above, "0"), (up_to, "30"), (above, "40")],
        [(up_to, "70"), (above, "0")],
    ]


def test_another_contract_counts_its_own_reference() -> None:
    fields = {
        "tariff_group": "G12as",
        "unit_prices_pln_per_kwh": prices(day="1", night="1"),
    }
    first = a_contract(valid_to=MIDDLE, night_reference_kwh=100, **fields)
    second = a_contract(valid_from=MIDDLE, night_reference_kwh=50, **fields)
    found = settled(a_point(first, second), monthly(MARCH, 1), Flow({"night": 70_000}), law({}))
    assert [quantity for _, quantity in reference_lines(found)[0]] == ["70", "0", "50", "20"]


HALF_YEAR = [Month(2024, month) for month in range(1, 8)]


def energy_lines(found: Account) -> list[list[tuple[str, str]]]:
    return [
        [
            (str(line.position.quantity), str(line.position.unit_price_pln))
            for line in invoice.lines
            if line.position.code == "active_energy"
        ]
        for invoice in found.invoices
    ]


def limited(
    steps: list[Period], flows: Flows, opening: Opening | None = None, *contracts: Contract
) -> list[list[tuple[str, str]]]:
    """Energy lines of a household whose seller asks 0.8, by the acts of 2024."""
    asks = {"unit_prices_pln_per_kwh": prices(all_day="0.8")}
    listed = contracts or (a_contract(**asks),)
    point = a_point(*listed, opening=opening or Opening())
    return energy_lines(
        settled(point, [a_step(each) for each in steps], flows, law(limit_of_2024()))
    )


def test_a_limit_of_use_is_carried_from_invoice_to_invoice_until_its_window_ends() -> None:
    steps = [month.period for month in HALF_YEAR]
    assert limited(steps, Flow(400_000)) == [
        [("400", "0.417")],
        [("400", "0.417")],
        [("400", "0.417")],
        [("300", "0.417"), ("100", "0.698")],
        [("400", "0.698")],
        [("400", "0.698")],
        [("400", "0.505")],
    ]


def test_a_limit_of_use_is_carried_over_the_spans_of_one_invoice() -> None:
    steps = [days("2024-01-01", "2024-08-01")]
    assert limited(steps, Flow(1_600_000)) == [
        [("1500", "0.417"), ("100", "0.698"), ("1600", "0.505")]
    ]


def test_what_was_taken_elsewhere_is_missing_from_the_limit() -> None:
    steps = [days("2024-05-01", "2024-06-01"), days("2024-06-01", "2024-07-01")]
    assert limited(steps, Flow(200_000), Opening(limit_used_wh=1_250_000)) == [
        [("200", "0.417")],
        [("50", "0.417"), ("150", "0.698")],
    ]


def test_a_limit_goes_on_under_the_next_contract_and_rests_while_not_entitled() -> None:
    asks = {"unit_prices_pln_per_kwh": prices(all_day="0.8")}
    months = [Month(2024, month).first for month in range(1, 5)]
    contracts = [
        a_contract(valid_from=months[0], valid_to=months[1], **asks),
        a_contract(valid_from=months[1], valid_to=months[2], cap_entitled=False, **asks),
        a_contract(valid_from=months[2], **asks),
    ]
    steps = [month.period for month in HALF_YEAR[:3]]
    assert limited(steps, Flow(1_000_000), None, *contracts) == [
        [("1000", "0.417")],
        [("1000", "0.8")],
        [("500", "0.417"), ("500", "0.698")],
    ]


def test_who_is_not_entitled_asks_nothing_of_the_price_cap() -> None:
    rows = [row for row in some_tables().rows if row.table != "price_cap"]
    of_law = law(Tables(rows))
    invoice = one_invoice(a_contract(cap_entitled=False), MARCH.period, Flow(1_000), of_law)
    assert invoice.billed_wh == 1_000
    with pytest.raises(NoRate, match="price_cap"):
        one_invoice(a_contract(), MARCH.period, Flow(1_000), of_law)
