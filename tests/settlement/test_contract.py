"""Metering points, contracts and assignments: every refusal has its name."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from settlement.rules.contract import (
    ANNUAL_KWH_MAX,
    CONNECTION_POWER_W_MAX,
    CUSTOMERS,
    INSTALLED_POWER_W_MAX,
    Assignment,
    Contract,
    check_assignments,
    check_contract,
    check_contracts,
    check_digit,
    check_ppe,
    contract_on,
    is_bank_number,
)
from settlement.rules.errors import (
    BadAssignment,
    BadContract,
    BadPpe,
    OutsideContract,
    OverlappingContracts,
    UnsupportedScheme,
)
from settlement.rules.periods import Month
from tests.support.a_contract import BANK_NUMBER, a_contract, a_prosumer, prices

PPE = "590322400000000010"
OTHER_PPE = "590322400000000027"


@pytest.mark.parametrize("ppe", [PPE, OTHER_PPE])
def test_a_ppe_with_a_right_check_digit_is_taken(ppe: str) -> None:
    check_ppe(ppe)
    assert len(ppe) == 18


def test_the_check_digit_follows_the_worked_example_of_gs1() -> None:
    # GS1 General Specifications, an SSCC: 37610425002123456 has check digit 9.
    assert check_digit("37610425002123456") == 9


@pytest.mark.parametrize(
    ("ppe", "why"),
    [
        (PPE[:-1], "18 digits"),
        (PPE + "0", "18 digits"),
        ("59032240000000001O", "18 digits"),
        ("٥" + PPE[1:], "18 digits"),
        ("480322400000000010", "begins with 590"),
        ("590322400000000011", "check digit"),
    ],
)
def test_a_mistyped_ppe_is_refused_with_its_reason(ppe: str, why: str) -> None:
    with pytest.raises(BadPpe, match=why):
        check_ppe(ppe)


def test_every_single_mistyped_digit_of_a_ppe_is_noticed() -> None:
    for place in range(3, 18):
        for digit in "0123456789":
            mistyped = PPE[:place] + digit + PPE[place + 1 :]
            if mistyped != PPE:
                with pytest.raises(BadPpe):
                    check_ppe(mistyped)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"operator": "enea"}, "operator 'enea'.*tauron"),
        ({"phases": 2}, "phases '2'.*1, 3"),
        ({"readout_months": 3}, "readout_months '3'.*1, 2, 6, 12"),
        ({"customer": "shop"}, "customer 'shop'.*household"),
        ({"cap_limit": "farm"}, "cap_limit 'farm'.*large_family"),
        ({"partial_month": "never"}, "partial_month 'never'.*by_days"),
        ({"annual_kwh": -1}, "annual_kwh is 0 to"),
        ({"annual_kwh": ANNUAL_KWH_MAX + 1}, "annual_kwh is 0 to"),
        ({"unit_prices_pln_per_kwh": prices(day="0", night="1")}, "zone day is above 0"),
        ({"unit_prices_pln_per_kwh": prices(day="1", night="10.00001")}, "zone night"),
        ({"frozen_prices_pln_per_kwh": prices(day="0")}, "zone day"),
        ({"frozen_prices_pln_per_kwh": prices(day="10.00001")}, "at most 10"),
        ({"unit_prices_pln_per_kwh": {}}, "one of the two"),
        ({"price_list": "standard"}, "one of the two"),
        ({"price_list": "", "unit_prices_pln_per_kwh": {}}, "price_list is 1 to 40"),
        ({"price_list": "a" * 41, "unit_prices_pln_per_kwh": {}}, "price_list is 1 to 40"),
        ({"price_list": "Tauron", "unit_prices_pln_per_kwh": {}}, "price_list is 1 to 40"),
        ({"price_list": "a/b", "unit_prices_pln_per_kwh": {}}, "price_list is 1 to 40"),
        ({"trade_fee_pln_per_month": Decimal("1000.01")}, "trade_fee_pln_per_month is 0"),
        ({"trade_fee_pln_per_month": Decimal("-0.01")}, "trade_fee_pln_per_month is 0"),
        ({"night_reference_kwh": -1}, "night_reference_kwh is 0"),
        ({"night_reference_kwh": ANNUAL_KWH_MAX + 1}, "night_reference_kwh is 0"),
        ({"connection_power_w": 0}, "connection_power_w is 1"),
        ({"connection_power_w": CONNECTION_POWER_W_MAX + 1}, "connection_power_w is 1"),
        ({"customer": "business"}, "a business is not entitled"),
        ({"valid_to": date(2022, 1, 1)}, "valid_to is the first day after"),
        ({"valid_to": date(2021, 12, 31)}, "valid_to is the first day after"),
    ],
)
def test_a_contract_that_the_rules_do_not_know_is_refused(
    changes: dict[str, Any], names: str
) -> None:
    with pytest.raises(BadContract, match=names):
        check_contract(a_contract(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"annual_kwh": 0},
        {"annual_kwh": ANNUAL_KWH_MAX},
        {"annual_kwh": None},
        {"unit_prices_pln_per_kwh": prices(all_day="10")},
        {"unit_prices_pln_per_kwh": prices(all_day="0.00001")},
        {"frozen_prices_pln_per_kwh": prices(all_day="10")},
        {"price_list": "a" * 40, "unit_prices_pln_per_kwh": {}},
        {"price_list": "g_2026", "unit_prices_pln_per_kwh": {}},
        {"trade_fee_pln_per_month": Decimal(1000)},
        {"trade_fee_pln_per_month": Decimal(0)},
        {"night_reference_kwh": 0},
        {"night_reference_kwh": ANNUAL_KWH_MAX},
        {"connection_power_w": 1},
        {"connection_power_w": CONNECTION_POWER_W_MAX},
        {"customer": "business", "cap_entitled": False},
        {"cap_entitled": False},
        {"cap_limit": "disability"},
        {"partial_month": "by_days"},
        {"phases": 1},
        {"readout_months": 12},
        {"valid_to": date(2022, 1, 2)},
    ],
)
def test_a_contract_at_its_limits_is_taken(changes: dict[str, Any]) -> None:
    contract = a_contract(**changes)
    assert check_contracts([contract]) == (contract,)


@pytest.mark.parametrize("customer", CUSTOMERS[:-1])
def test_households_garages_allotments_and_building_sites_are_entitled_to_the_cap(
    customer: str,
) -> None:
    contract = a_contract(customer=customer)
    assert check_contracts([contract]) == (contract,)


def test_a_scheme_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedScheme, match=r"scheme 'virtual'.*plain, net_metering"):
        check_contract(a_contract(scheme="virtual"))


@pytest.mark.parametrize("scheme", ["net_metering", "net_billing", "tenant"])
@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"installed_power_w": None}, "installed_power_w"),
        ({"installed_power_w": 0}, "installed_power_w"),
        ({"installed_power_w": INSTALLED_POWER_W_MAX + 1}, "installed_power_w"),
        ({"prosumer_since": None}, "prosumer_since"),
        ({"rce_from": Month(2024, 6)}, "rce_from is 2024-07 or later"),
    ],
)
def test_a_prosumer_without_what_the_schemes_need_is_refused(
    scheme: str, changes: dict[str, Any], names: str
) -> None:
    with pytest.raises(BadContract, match=names):
        check_contract(a_prosumer(scheme, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"installed_power_w": 1},
        {"installed_power_w": INSTALLED_POWER_W_MAX},
        {"rce_from": Month(2024, 7)},
    ],
)
def test_a_prosumer_at_the_limits_is_taken(changes: dict[str, Any]) -> None:
    contract = a_prosumer(**changes)
    assert check_contracts([contract]) == (contract,)


def test_only_a_prosumer_is_asked_for_a_power_and_a_first_day() -> None:
    contract = a_contract(installed_power_w=None, prosumer_since=None, rce_from=Month(2020, 1))
    assert check_contracts([contract]) == (contract,)


@pytest.mark.parametrize("number", [None, "", BANK_NUMBER[:-1] + "5"])
def test_a_tenant_prosumer_needs_a_right_bank_number(number: str | None) -> None:
    with pytest.raises(BadContract, match="payout_bank_number"):
        check_contract(a_prosumer("tenant", payout_bank_number=number))
    contract = a_prosumer("net_billing", payout_bank_number=number)
    assert check_contracts([contract]) == (contract,)


def test_a_polish_bank_number_is_known_by_its_check_digits() -> None:
    assert is_bank_number(BANK_NUMBER)
    assert not is_bank_number(BANK_NUMBER[:-1])
    assert not is_bank_number(BANK_NUMBER + "0")
    assert not is_bank_number("PL" + BANK_NUMBER[2:])
    assert not is_bank_number("٦" + BANK_NUMBER[1:])


def test_every_single_mistyped_digit_of_a_bank_number_is_noticed() -> None:
    for place, right in enumerate(BANK_NUMBER):
        for digit in "0123456789":
            mistyped = BANK_NUMBER[:place] + digit + BANK_NUMBER[place + 1 :]
            assert is_bank_number(mistyped) == (digit == right)


def under(scheme: str, start: str, end: str | None, **changes: Any) -> Contract:
    until = None if end is None else date.fromisoformat(end)
    made = a_contract if scheme == "plain" else lambda **fields: a_prosumer(scheme, **fields)
    return made(valid_from=date.fromisoformat(start), valid_to=until, **changes)


def test_contracts_are_put_in_order_of_time() -> None:
    first = under("plain", "2024-01-01", "2024-07-01")
    second = under("plain", "2024-07-01", None)
    assert check_contracts([second, first]) == (first, second)


def test_a_point_without_a_contract_is_refused() -> None:
    with pytest.raises(BadContract, match="at least one"):
        check_contracts([])


def test_each_of_several_contracts_is_checked() -> None:
    bad = under("plain", "2024-07-01", None, phases=2)
    with pytest.raises(BadContract, match="phases"):
        check_contracts([under("plain", "2024-01-01", "2024-07-01"), bad])


@pytest.mark.parametrize("end", ["2024-07-02", "2025-01-01", None])
def test_contracts_that_share_a_day_are_refused_and_the_remedy_is_named(end: str | None) -> None:
    first, second = under("plain", "2024-01-01", end), under("plain", "2024-07-01", None)
    with pytest.raises(OverlappingContracts, match="valid_to = 2024-07-01"):
        check_contracts([first, second])


def test_contracts_may_have_a_time_between_them() -> None:
    first = under("plain", "2024-01-01", "2024-03-01")
    second = under("plain", "2024-07-01", None)
    assert check_contracts([first, second]) == (first, second)


@pytest.mark.parametrize("scheme", ["net_billing", "tenant"])
@pytest.mark.parametrize("between", [None, "plain", "tenant"])
def test_nobody_returns_from_net_billing_to_net_metering(scheme: str, between: str | None) -> None:
    contracts = [under(scheme, "2024-01-01", "2024-03-01")]
    if between is not None:
        contracts.append(under(between, "2024-03-01", "2024-07-01"))
    contracts.append(under("net_metering", "2024-07-01", None))
    with pytest.raises(BadContract, match=r"from 2024-07-01 returns to net_metering"):
        check_contracts(contracts)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("plain", "net_metering"),
        ("plain", "net_billing"),
        ("net_metering", "net_billing"),
        ("net_metering", "tenant"),
        ("net_metering", "net_metering"),
        ("net_billing", "tenant"),
        ("tenant", "net_billing"),
        ("net_billing", "plain"),
    ],
)
def test_every_other_change_of_scheme_is_taken(before: str, after: str) -> None:
    contracts = (under(before, "2024-01-01", "2024-07-01"), under(after, "2024-07-01", None))
    assert check_contracts(contracts) == contracts


def test_the_contract_of_a_day_is_the_one_in_force_on_it() -> None:
    first = under("plain", "2024-01-01", "2024-03-01")
    second = under("plain", "2024-07-01", "2024-09-01")
    contracts = [first, second]
    assert contract_on(contracts, date(2024, 1, 1)) is first
    assert contract_on(contracts, date(2024, 2, 29)) is first
    assert contract_on(contracts, date(2024, 7, 1)) is second
    for day in (date(2023, 12, 31), date(2024, 3, 1), date(2024, 6, 30), date(2024, 9, 1)):
        with pytest.raises(OutsideContract, match="2024-01-01 to 2024-09-01"):
            contract_on(contracts, day)


def test_a_contract_without_an_end_covers_every_later_day() -> None:
    contract = under("plain", "2024-01-01", None)
    assert contract_on([contract], date(2090, 1, 1)) is contract
    with pytest.raises(OutsideContract, match="2024-01-01 to today"):
        contract_on([contract], date(2023, 12, 31))


def test_a_changed_meter_follows_the_old_one_without_overlap() -> None:
    check_assignments([Assignment("b", 900, None), Assignment("a", 0, 900)])
    for overlapping in (
        [Assignment("a", 0, 901), Assignment("b", 900, None)],
        [Assignment("a", 0, None), Assignment("b", 900, None)],
        [Assignment("a", 900, 900)],
    ):
        with pytest.raises(BadAssignment):
            check_assignments(overlapping)
