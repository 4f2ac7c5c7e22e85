"""Corrections: what was billed and what should have been, why, and the difference."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from typing import Any

import pytest

from settlement.rules.account import Account, standing
from settlement.rules.book import Opening
from settlement.rules.contract import Contract
from settlement.rules.correction import (
    CONTRACT,
    LEDGER,
    MARKET_PRICE,
    RATES,
    READINGS,
    REASON_TEXTS,
    correction_of,
    difference,
    reason_of,
    ripple,
)
from settlement.rules.invoice import as_data
from settlement.rules.periods import Month
from tests.support.a_contract import Changes, a_contract, a_prosumer, limit_of_2024, prices
from tests.support.a_point import Flow, Flows, a_point, law, monthly, settled

MAY = Month(2024, 5)
Data = dict[str, Any]


def data_of(account: Account) -> list[Data]:
    return [as_data(each) for each in standing(account)]


def an_invoice(
    contract: Contract | None = None,
    flow: Flow | None = None,
    rates: Changes | None = None,
    opening: Opening | None = None,
) -> Data:
    """The data of May 2024."""
    point = a_point(contract or a_contract(), opening=opening or Opening())
    flows: Flows = flow or Flow(100_000)
    (data,) = data_of(settled(point, monthly(MAY, 1), flows, law(rates or {})))
    return data


def test_equal_invoices_need_no_correction() -> None:
    assert correction_of(an_invoice(), an_invoice()) is None
    assert correction_of(an_invoice(), an_invoice(), READINGS) is None


def test_a_correction_shows_both_sides_the_reason_and_the_difference() -> None:
    billed, due = an_invoice(), an_invoice(flow=Flow(110_000))
    correction = correction_of(billed, due)
    assert correction == {
        "ppe": billed["ppe"],
        "start": "2024-05-01",
        "end": "2024-06-01",
        "reason": READINGS,
        "reason_text": REASON_TEXTS[READINGS],
        "billed": billed,
        "should_have_been": due,
        "difference": {
            "net_gr": 932,  # 6.49 + 0.30 + 2.50 + 0.01 + 0.02
            "vat_gr": 215,
            "gross_gr": 1147,
            "deposit_used_gr": 0,
            "rebate_used_gr": 0,
            "to_pay_gr": 1147,
        },
    }


def test_a_correction_keeps_its_own_copy_of_both_sides() -> None:
    billed, due = an_invoice(), an_invoice(flow=Flow(110_000))
    correction = correction_of(billed, due)
    assert correction is not None
    billed["ppe"] = due["ppe"] = "another"
    assert correction["billed"]["ppe"] == correction["should_have_been"]["ppe"] != "another"


def test_what_is_billed_too_high_comes_out_negative() -> None:
    billed, due = an_invoice(), an_invoice(flow=Flow(110_000))
    there, back = difference(billed, due), difference(due, billed)
    assert back == {name: -amount for name, amount in there.items()}


def test_the_difference_of_deposit_and_rebate_have_the_sign_of_what_is_used() -> None:
    billed = an_invoice()
    due = deepcopy(billed)
    due["summary"]["7_deposit_used_gr"] = 100
    due["summary"]["rebate_used_gr"] = 20
    due["summary"]["8_to_pay_gr"] -= 120
    assert difference(billed, due) == {
        "net_gr": 0,
        "vat_gr": 0,
        "gross_gr": 0,
        "deposit_used_gr": 100,
        "rebate_used_gr": 20,
        "to_pay_gr": -120,
    }


@pytest.mark.parametrize(
    ("due", "reason"),
    [
        (an_invoice(flow=Flow(100_001)), READINGS),
        (an_invoice(a_contract(seller="enea")), CONTRACT),
        (an_invoice(a_contract(unit_prices_pln_per_kwh=prices(all_day="0.65"))), CONTRACT),
        (an_invoice(a_prosumer("net_billing"), Flow(100_000)), CONTRACT),
        (an_invoice(a_contract(phases=1)), RATES),
        (an_invoice(rates={("levies", "renewable"): {MAY.first: "0.009"}}), RATES),
        (an_invoice(rates={("vat", "electricity"): {MAY.first: "8"}}), RATES),
    ],
)
def test_the_reason_is_told_from_what_differs(due: Data, reason: str) -> None:
    billed = an_invoice()
    assert reason_of(billed, due) == reason


@pytest.mark.parametrize(
    "changed",
    [
        {"import_wh": 1},
        {"export_wh": 1},
        {"readings_sha256": "other"},
        {"quality": {"estimated": 1}},
    ],
)
def test_any_change_of_readings_is_the_first_reason(changed: dict[str, Any]) -> None:
    billed = an_invoice()
    due = deepcopy(an_invoice(a_contract(phases=1, seller="enea")))
    due["usage"] |= changed
    assert reason_of(billed, due) == READINGS


def test_a_deposit_or_rebate_that_changes_alone_is_a_matter_of_the_ledger() -> None:
    contract = a_prosumer(valid_from=MAY.first)
    poor = Opening(deposit=((Month(2024, 3), 100, 100),))
    rich = Opening(deposit=((Month(2024, 3), 500, 500),))
    billed = an_invoice(contract, opening=poor)
    due = an_invoice(contract, opening=rich)
    assert reason_of(billed, due) == LEDGER


def test_a_rate_that_changes_in_the_middle_leaves_the_contract_as_it_was() -> None:
    rates = {("levies", "renewable"): {date(2024, 5, 9): "0.009"}}
    point, steps = a_point(a_contract()), monthly(MAY, 1)
    halves = {MAY.first: Flow(40_000), date(2024, 5, 9): Flow(60_000)}
    (due,) = data_of(settled(point, steps, halves, law(rates)))
    assert reason_of(an_invoice(), due) == RATES


def test_a_limit_of_use_that_was_used_up_before_leaves_the_contract_as_it_was() -> None:
    brought = Opening(limit_used_wh=1_450_000)
    billed = an_invoice(rates=limit_of_2024())
    due = an_invoice(rates=limit_of_2024(), opening=brought)
    assert [line["price_from"] == "contract" for line in due["lines"][:2]] == [False, True]
    assert reason_of(billed, due) == RATES


def test_a_reason_that_is_given_goes_before_the_one_that_shows() -> None:
    correction = correction_of(an_invoice(), an_invoice(flow=Flow(1)), MARKET_PRICE)
    assert correction is not None
    assert (correction["reason"], correction["reason_text"]) == (
        MARKET_PRICE,
        "korekta rynkowej ceny energii, wartość depozytu prosumenckiego",
    )


@pytest.mark.parametrize("field", ["ppe", "start", "end"])
def test_invoices_of_other_points_or_days_cannot_correct_each_other(field: str) -> None:
    billed = an_invoice()
    with pytest.raises(AssertionError, match="point and period"):
        correction_of(billed, billed | {field: "other"})


def test_every_reason_has_a_text() -> None:
    assert set(REASON_TEXTS) == {READINGS, CONTRACT, RATES, MARKET_PRICE, LEDGER}
    assert all(REASON_TEXTS.values())


def test_a_late_reading_of_one_month_ripples_through_the_deposit_of_those_after_it() -> None:
    point = a_point(a_prosumer(unit_prices_pln_per_kwh=prices(all_day="0.4")))
    flows = {MAY: Flow(50_000, 100_000)} | {MAY.plus(at): Flow(50_000) for at in (1, 2, 3)}
    steps = monthly(MAY, 4)
    billed = data_of(settled(point, steps, flows, law({})))
    later = flows | {MAY: Flow(50_000, 200_000)}
    due = data_of(settled(point, steps, later, law({})))
    found = ripple(billed, due)
    # Export of May is worth 25.56, then 51.12: June uses all of 24.60, July what is left of it.
    assert [(each.place, each.correction["reason"]) for each in found] == [
        (0, READINGS),
        (1, LEDGER),
        (2, LEDGER),
        (3, LEDGER),
    ]
    changed = [each.correction["difference"]["deposit_used_gr"] for each in found]
    assert changed[:2] == [0, 0]
    assert changed[2] > 0
    together = sum(each.correction["difference"]["to_pay_gr"] for each in found)
    assert together == sum(
        after["summary"]["8_to_pay_gr"] - before["summary"]["8_to_pay_gr"]
        for before, after in zip(billed, due, strict=True)
    )


def test_a_run_that_is_unchanged_ripples_nothing() -> None:
    account = settled(a_point(a_contract()), monthly(MAY, 3), Flow(10_000), law({}))
    assert ripple(data_of(account), data_of(account)) == ()


def test_runs_of_different_length_cannot_be_compared() -> None:
    with pytest.raises(AssertionError):
        ripple([an_invoice()], [])
