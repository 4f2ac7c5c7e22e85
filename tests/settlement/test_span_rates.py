"""A period is cut on every day on which a rate that the contract pays changes, and no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from settlement.rules.contract import Contract
from settlement.rules.rates import Row, Tables
from tests.support.a_contract import Changes, a_contract, some_tables
from tests.support.a_point import days, law, spans_in

PERIOD = days("2024-03-05", "2024-06-05")
CHANGE = date(2024, 4, 20)


def cuts(contract: Contract, rates: Changes | Tables) -> list[date]:
    """First days of all spans but the first."""
    return [each.period.start for each in spans_in([contract], PERIOD, law(rates))][1:]


@pytest.mark.parametrize(
    "key",
    [
        ("vat", "electricity"),
        ("levies", "renewable"),
        ("levies", "cogeneration"),
        ("distribution_tauron", "quality"),
        ("distribution_tauron", "g11.variable.all_day"),
        ("distribution_tauron", "g11.fixed.3_phase"),
        ("distribution_tauron", "subscription.1_month"),
        ("price_cap", "household.regime"),
        ("price_cap", "household"),
        ("price_cap", "household.limit.standard"),
    ],
)
def test_a_rate_that_changes_cuts_on_its_day(key: tuple[str, str]) -> None:
    assert cuts(a_contract(), {key: {CHANGE: "7"}}) == [CHANGE]


@pytest.mark.parametrize(
    "key",
    [
        ("distribution_tauron", "g12.variable.day"),
        ("distribution_tauron", "g11.fixed.1_phase"),
        ("distribution_tauron", "subscription.2_month"),
        ("price_cap", "household.limit.disability"),
        ("excise", "electricity.household"),
        ("seller_x", "trade_fee"),
    ],
)
def test_a_rate_that_the_contract_does_not_pay_cuts_nothing(key: tuple[str, str]) -> None:
    assert cuts(a_contract(), {key: {CHANGE: "7"}}) == []


@pytest.mark.parametrize("key", ["household.regime", "household", "household.limit.standard"])
def test_a_change_of_the_cap_is_nothing_to_who_is_not_entitled(key: str) -> None:
    assert cuts(a_contract(cap_entitled=False), {("price_cap", key): {CHANGE: "7"}}) == []


def test_a_rate_that_goes_on_with_the_same_value_cuts_nothing() -> None:
    assert cuts(a_contract(), {("levies", "renewable"): {CHANGE: "0.001"}}) == []


def test_rates_that_change_on_the_first_day_or_after_the_last_cut_nothing() -> None:
    for day in (PERIOD.start, PERIOD.end):
        assert cuts(a_contract(), {("levies", "renewable"): {day: "7"}}) == []
    next_day, last_day = PERIOD.start + timedelta(days=1), PERIOD.end - timedelta(days=1)
    both = {("levies", "renewable"): {next_day: "7", last_day: "8"}}
    assert cuts(a_contract(), both) == [next_day, last_day]


def test_several_changes_on_a_day_cut_once() -> None:
    later = date(2024, 5, 2)
    changes = {
        ("levies", "renewable"): {CHANGE: "7"},
        ("vat", "electricity"): {CHANGE: "8", later: "23"},
    }
    assert cuts(a_contract(), changes) == [CHANGE, later]


@pytest.mark.parametrize("zone", ["day", "night"])
def test_a_change_in_any_zone_cuts(zone: str) -> None:
    contract = a_contract(tariff_group="G12")
    assert cuts(contract, {("distribution_tauron", f"g12.variable.{zone}"): {CHANGE: "7"}}) == [
        CHANGE
    ]


@pytest.mark.parametrize("part", ["up_to", "above"])
def test_both_night_rates_of_g12as_cut(part: str) -> None:
    key = ("distribution_tauron", f"g12as.variable.night_{part}_reference")
    assert cuts(a_contract(tariff_group="G12as"), {key: {CHANGE: "7"}}) == [CHANGE]


@pytest.mark.parametrize("key", ["g11.energy.all_day", "trade_fee"])
def test_a_price_list_cuts_where_it_changes(key: str) -> None:
    contract = a_contract(price_list="x", unit_prices_pln_per_kwh={})
    changes = {("seller_x", key): {date(2023, 1, 1): "0.6", CHANGE: "0.7"}}
    assert cuts(contract, changes) == [CHANGE]
    assert cuts(a_contract(), changes) == []


def test_excise_cuts_a_price_list_by_the_kind_of_customer() -> None:
    of_list = {"price_list": "x", "unit_prices_pln_per_kwh": {}}
    changes = {("excise", "electricity.other"): {CHANGE: "0.001"}}
    assert cuts(a_contract(**of_list), changes) == []
    assert cuts(a_contract(customer="garage", **of_list), changes) == [CHANGE]


def test_a_list_that_begins_to_leave_excise_out_cuts_though_its_number_stays() -> None:
    rows = [
        Row(
            "seller_x",
            "g11.energy.all_day",
            Decimal("0.6"),
            "pln_per_kwh",
            start,
            end,
            "a test",
            excise_included=included,
        )
        for start, end, included in (
            (date(2023, 1, 1), CHANGE, True),
            (CHANGE, None, False),
        )
    ]
    contract = a_contract(price_list="x", unit_prices_pln_per_kwh={})
    assert cuts(contract, Tables([*some_tables().rows, *rows])) == [CHANGE]


@pytest.mark.parametrize("low_kwh", [0, 500, 1201, 2801])
@pytest.mark.parametrize("table", ["capacity_fee", "transitional_fee"])
def test_a_fee_cuts_where_any_of_its_bands_changes(table: str, low_kwh: int) -> None:
    def changed(row: Row) -> list[Row]:
        if row.table != table:
            return [row]
        value = row.value + (row.annual_kwh[0] <= low_kwh <= (row.annual_kwh[1] or low_kwh))
        return [
            replace(row, valid_to=CHANGE),
            replace(row, valid_from=CHANGE, value=value),
        ]

    of_bands = Tables(each for row in some_tables().rows for each in changed(row))
    assert cuts(a_contract(annual_kwh=None), of_bands) == [CHANGE]


def banded(day: date, until: date | None, bands: dict[int, str]) -> list[Row]:
    ends = [*[low - 1 for low in list(bands)[1:]], None]
    return [
        Row(
            "capacity_fee",
            "household",
            Decimal(value),
            "pln_per_month",
            day,
            until,
            "a test",
            (low, high),
        )
        for (low, value), high in zip(bands.items(), ends, strict=True)
    ]


@pytest.mark.parametrize(
    "after",
    [
        {0: "2", 1000: "5", 3500: "8"},
        {0: "2", 1000: "5", 7000: "9"},
        {0: "2", 999: "6", 1000: "5"},
        {0: "3", 1000: "5"},
        {0: "2"},
    ],
)
def test_bands_may_have_any_width_and_may_change_it(after: dict[int, str]) -> None:
    others = [row for row in some_tables().rows if row.table != "capacity_fee"]
    before = banded(date(2020, 1, 1), CHANGE, {0: "2", 1000: "5"})
    tables = Tables([*others, *before, *banded(CHANGE, None, after)])
    assert cuts(a_contract(annual_kwh=None), tables) == [CHANGE]


def test_bands_that_are_written_otherwise_and_mean_the_same_cut_nothing() -> None:
    others = [row for row in some_tables().rows if row.table != "capacity_fee"]
    before = banded(date(2020, 1, 1), CHANGE, {0: "2", 1000: "5"})
    after = banded(CHANGE, None, {0: "2", 500: "2", 1000: "5", 9000: "5"})
    assert cuts(a_contract(annual_kwh=None), Tables([*others, *before, *after])) == []
