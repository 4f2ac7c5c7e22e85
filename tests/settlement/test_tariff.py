"""What a contract is charged: the positions of a span, their order, prices and quantities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from settlement.rules.contract import Contract
from settlement.rules.errors import BadContract, NoRate, RateChanges
from settlement.rules.periods import Month
from settlement.rules.policies import Policies
from settlement.rules.rates import Tables
from settlement.rules.tariff import Position, Use, network_rates, positions
from tests.support.a_contract import Changes, a_contract, a_prosumer, prices, some_tables

SPAN = Month(2024, 3).period
ONE = Decimal(1)
G12 = {"tariff_group": "G12", "unit_prices_pln_per_kwh": prices(day="0.7", night="0.4")}
G12AS = {"tariff_group": "G12as", "unit_prices_pln_per_kwh": prices(day="0.7", night="0.4")}
LISTED: dict[str, Any] = {"price_list": "x", "unit_prices_pln_per_kwh": {}}


def charged(
    contract: Contract,
    billed_wh: Mapping[str, int],
    rates: Changes | Tables | None = None,
    **use: Any,
) -> tuple[Position, ...]:
    """The positions of a span of March 2024."""
    fields: dict[str, Any] = {
        "span": SPAN,
        "billed_wh": billed_wh,
        "moved_wh": billed_wh,
        "months": ONE,
        "started_months": ONE,
        "annual_kwh": 2400,
        "limit_used_wh": 0,
    }
    tables = rates if isinstance(rates, Tables) else some_tables(rates)
    return positions(contract, tables, Use(**(fields | use)))[0]


def quantities(found: Sequence[Position], *codes: str) -> list[tuple[str, str, str]]:
    return [
        (each.code, each.zone, str(each.quantity))
        for each in found
        if not codes or each.code in codes
    ]


def price_of(found: Sequence[Position], code: str, zone: str = "") -> str:
    (position,) = (each for each in found if (each.code, each.zone) == (code, zone))
    return str(position.unit_price_pln)


def test_lines_come_in_the_order_of_the_invoice_zone_by_zone() -> None:
    contract = a_contract(trade_fee_pln_per_month=Decimal("28.86"), **G12)
    found = charged(contract, {"day": 30_000, "night": 90_000})
    assert quantities(found) == [
        ("active_energy", "day", "30"),
        ("active_energy", "night", "90"),
        ("trade_fee", "", "1"),
        ("network_fixed", "", "1"),
        ("quality", "day", "30"),
        ("quality", "night", "90"),
        ("network_variable", "day", "30"),
        ("network_variable", "night", "90"),
        ("renewable", "day", "30"),
        ("renewable", "night", "90"),
        ("cogeneration", "day", "30"),
        ("cogeneration", "night", "90"),
        ("subscription", "", "1"),
        ("capacity", "", "1"),
        ("transitional", "", "1"),
    ]
    assert [each.section for each in found] == ["sale"] * 3 + ["distribution"] * 12
    assert {each.unit for each in found if each.zone} == {"kwh"}
    assert {each.unit for each in found if not each.zone} == {"month"}
    assert {each.span for each in found} == {SPAN}


def test_each_line_has_its_rate_and_says_where_it_is_from() -> None:
    found = charged(
        a_contract(trade_fee_pln_per_month=Decimal("28.86"), **G12), {"day": 0, "night": 0}
    )
    priced = {(each.code, each.zone): str(each.unit_price_pln) for each in found}
    assert priced == {
        ("active_energy", "day"): "0.7",
        ("active_energy", "night"): "0.4",
        ("trade_fee", ""): "28.86",
        ("network_fixed", ""): "10",
        ("quality", "day"): "0.03",
        ("quality", "night"): "0.03",
        ("network_variable", "day"): "0.3",
        ("network_variable", "night"): "0.05",
        ("renewable", "day"): "0.001",
        ("renewable", "night"): "0.001",
        ("cogeneration", "day"): "0.002",
        ("cogeneration", "night"): "0.002",
        ("subscription", ""): "4",
        ("capacity", ""): "9",
        ("transitional", ""): "0.33",
    }
    origins = {each.code: each.origin for each in found}
    assert origins["active_energy"] == origins["trade_fee"] == "contract"
    assert origins["quality"] == "distribution_tauron quality from 2020-01-01"


@pytest.mark.parametrize(
    ("changes", "fixed", "subscription"),
    [
        ({"phases": 1}, "6", "4"),
        ({"readout_months": 2}, "10", "2"),
        ({"readout_months": 6}, "10", "0.7"),
        ({"readout_months": 12, "phases": 1}, "6", "0.3"),
    ],
)
def test_phases_and_readings_pick_the_fixed_rates(
    changes: dict[str, Any], fixed: str, subscription: str
) -> None:
    found = charged(a_contract(**changes), {"all_day": 1000})
    assert price_of(found, "network_fixed") == fixed
    assert price_of(found, "subscription") == subscription


@pytest.mark.parametrize(
    ("annual_kwh", "capacity", "transitional"),
    [
        (0, "2", "0.02"),
        (499, "2", "0.02"),
        (500, "5", "0.1"),
        (1200, "5", "0.1"),
        (1201, "9", "0.33"),
        (2800, "9", "0.33"),
        (2801, "14", "0.33"),
    ],
)
def test_yearly_use_picks_the_bands_of_capacity_and_transitional_fee(
    annual_kwh: int, capacity: str, transitional: str
) -> None:
    found = charged(a_contract(), {"all_day": 1000}, annual_kwh=annual_kwh)
    assert price_of(found, "capacity") == capacity
    assert price_of(found, "transitional") == transitional


def test_months_count_fixed_fees_and_started_months_the_subscription() -> None:
    contract = a_contract(trade_fee_pln_per_month=ONE)
    found = charged(
        contract, {"all_day": 1000}, months=Decimal("0.2258"), started_months=Decimal(2)
    )
    fees = ("trade_fee", "network_fixed", "subscription", "capacity", "transitional")
    assert quantities(found, *fees) == [
        ("trade_fee", "", "0.2258"),
        ("network_fixed", "", "0.2258"),
        ("subscription", "", "2"),
        ("capacity", "", "0.2258"),
        ("transitional", "", "0.2258"),
    ]


def test_a_span_whose_month_is_charged_elsewhere_has_no_lines_of_fixed_fees() -> None:
    contract = a_contract(trade_fee_pln_per_month=ONE)
    none = Decimal(0)
    found = charged(contract, {"all_day": 0}, months=none, started_months=none)
    assert quantities(found) == [
        ("active_energy", "all_day", "0"),
        ("quality", "all_day", "0"),
        ("network_variable", "all_day", "0"),
        ("renewable", "all_day", "0"),
        ("cogeneration", "all_day", "0"),
    ]


@pytest.mark.parametrize(
    ("reference_kwh", "up_to", "above"),
    [(0, "0", "300"), (299, "299", "1"), (300, "300", "0"), (301, "300", "0")],
)
def test_g12as_pays_night_energy_above_the_reference_at_its_own_rate(
    reference_kwh: int, up_to: str, above: str
) -> None:
    contract = a_contract(night_reference_kwh=reference_kwh, **G12AS)
    found = charged(contract, {"day": 100_000, "night": 300_000})
    assert quantities(found, "network_variable") == [
        ("network_variable", "day", "100"),
        ("network_variable", "night_up_to_reference", up_to),
        ("network_variable", "night_above_reference", above),
    ]
    assert price_of(found, "network_variable", "night_above_reference") == "0.02"
    assert quantities(found, "active_energy", "quality") == [
        ("active_energy", "day", "100"),
        ("active_energy", "night", "300"),
        ("quality", "day", "100"),
        ("quality", "night", "300"),
    ]


def test_g12as_without_its_reference_is_refused() -> None:
    with pytest.raises(BadContract, match="night_reference_kwh"):
        charged(a_contract(**G12AS), {"day": 0, "night": 1000})


@pytest.mark.parametrize(
    ("exemption", "exempt"),
    [("every_variable_item", "20"), ("network_variable_only", "120")],
)
def test_what_is_not_charged_on_stored_energy_follows_its_policy(
    exemption: str, exempt: str
) -> None:
    contract = a_prosumer("net_metering", policies=Policies(storage_exemption=exemption))
    found = charged(contract, {"all_day": 20_000}, moved_wh={"all_day": 120_000})
    codes = ("active_energy", "network_variable", "quality", "renewable", "cogeneration")
    assert quantities(found, *codes) == [
        ("active_energy", "all_day", "20"),
        ("quality", "all_day", exempt),
        ("network_variable", "all_day", "20"),
        ("renewable", "all_day", exempt),
        ("cogeneration", "all_day", exempt),
    ]


def test_exemptions_are_for_net_metering_alone() -> None:
    policies = Policies(storage_exemption="network_variable_only")
    found = charged(
        a_prosumer(policies=policies), {"all_day": 20_000}, moved_wh={"all_day": 120_000}
    )
    assert quantities(found, "quality") == [("quality", "all_day", "20")]


def test_a_trade_fee_of_zero_is_no_line() -> None:
    found = charged(a_contract(trade_fee_pln_per_month=Decimal("0.00")), {"all_day": 0})
    assert quantities(found, "trade_fee") == []
    assert quantities(charged(a_contract(), {"all_day": 0}), "trade_fee") == []


def a_list(energy: str = "0.6", fee: str | None = None) -> Changes:
    first = date(2023, 1, 1)
    fees = {} if fee is None else {("seller_x", "trade_fee"): {first: fee}}
    return {("seller_x", "g11.energy.all_day"): {first: energy}, **fees}


def test_a_price_list_gives_the_price_and_the_trade_fee() -> None:
    found = charged(a_contract(**LISTED), {"all_day": 0}, a_list(fee="28.86"))
    assert price_of(found, "active_energy", "all_day") == "0.6"
    assert price_of(found, "trade_fee") == "28.86"
    assert [each.origin for each in found[:2]] == [
        "seller_x g11.energy.all_day from 2023-01-01",
        "seller_x trade_fee from 2023-01-01",
    ]


def test_a_trade_fee_of_the_contract_goes_before_that_of_the_list() -> None:
    rates = a_list(fee="28.86")
    own = a_contract(trade_fee_pln_per_month=Decimal(5), **LISTED)
    assert price_of(charged(own, {"all_day": 0}, rates), "trade_fee") == "5"
    none = a_contract(trade_fee_pln_per_month=Decimal(0), **LISTED)
    assert quantities(charged(none, {"all_day": 0}, rates), "trade_fee") == []


def test_a_list_without_a_trade_fee_has_none() -> None:
    found = charged(a_contract(**LISTED), {"all_day": 0}, a_list())
    assert quantities(found, "trade_fee") == []


@pytest.mark.parametrize(
    ("customer", "price"), [("household", "0.605"), ("garage", "0.604"), ("business", "0.604")]
)
def test_excise_is_added_to_a_price_that_is_listed_without_it(customer: str, price: str) -> None:
    rows = [
        replace(row, excise_included=not row.key.endswith("energy.all_day"))
        for row in some_tables(a_list()).rows
    ]
    contract = a_contract(customer=customer, cap_entitled=False, **LISTED)
    found = charged(contract, {"all_day": 0}, Tables(rows))
    assert price_of(found, "active_energy", "all_day") == price
    assert " + excise electricity." in found[0].origin


def test_a_list_that_is_unknown_or_ends_too_early_is_refused() -> None:
    with pytest.raises(NoRate, match="seller's price list"):
        charged(a_contract(**LISTED), {"all_day": 0})
    ended = {("seller_x", "g11.energy.all_day"): {date(2023, 1, 1): "1", date(2024, 3, 31): ""}}
    with pytest.raises(NoRate, match="seller_x has no row"):
        charged(a_contract(**LISTED), {"all_day": 0}, ended)


def test_a_contract_without_a_price_for_a_zone_is_refused_by_the_name_of_the_zone() -> None:
    contract = a_contract(tariff_group="G12", unit_prices_pln_per_kwh=prices(day="1"))
    with pytest.raises(BadContract, match="no price for zone night of G12"):
        charged(contract, {"day": 0, "night": 0})


@pytest.mark.parametrize(
    "key",
    [
        ("distribution_tauron", "quality"),
        ("capacity_fee", "household"),
        ("distribution_tauron", "g11.variable.all_day"),
    ],
)
def test_a_rate_that_is_missing_or_changes_inside_of_the_span_is_refused(
    key: tuple[str, str],
) -> None:
    with pytest.raises(NoRate):
        charged(a_contract(), {"all_day": 0}, {key: {date(2024, 3, 20): ""}})
    with pytest.raises(RateChanges):
        charged(a_contract(), {"all_day": 0}, {key: {date(2024, 3, 20): "99"}})


def frozen(key: str, until: date) -> Changes:
    return {("distribution_tauron", f"{key}.inside_limit"): {date(2023, 1, 1): "1", until: ""}}


@pytest.mark.parametrize("key", ["quality", "g11.variable.all_day", "g11.fixed.3_phase"])
def test_frozen_network_rates_of_entitled_customers_are_refused_and_of_others_not(
    key: str,
) -> None:
    inside = frozen(key, date(2025, 1, 1))
    with pytest.raises(NoRate, match=r"2023-01-01 to 2025-01-01.*cap_entitled = false"):
        charged(a_contract(), {"all_day": 0}, inside)
    assert charged(a_contract(cap_entitled=False), {"all_day": 0}, inside)


def test_frozen_network_rates_that_are_over_or_of_another_group_are_no_hindrance() -> None:
    assert charged(a_contract(), {"all_day": 0}, frozen("quality", SPAN.start))
    other = frozen("g12.variable.day", date(2025, 1, 1))
    assert charged(a_contract(), {"all_day": 0}, other)


def test_the_night_of_g12as_has_the_rate_up_to_the_reference() -> None:
    tables = some_tables(
        {("distribution_tauron", "g12as.variable.night_up_to_reference"): {SPAN.start: "0.25"}}
    )
    rates = network_rates(a_contract(**G12AS), tables, SPAN, ("day", "night"))
    assert rates == {"day": Decimal("0.24"), "night": Decimal("0.25")}


def test_each_zone_has_its_network_rate_by_which_storage_covers_it() -> None:
    zones = ("day", "night")
    rates = network_rates(a_contract(**G12), some_tables(), SPAN, zones)
    assert rates == {"day": Decimal("0.3"), "night": Decimal("0.05")}
    changed = some_tables({("distribution_tauron", "g12.variable.night"): {SPAN.start: "0.31"}})
    assert network_rates(a_contract(**G12), changed, SPAN, zones)["night"] == Decimal("0.31")
