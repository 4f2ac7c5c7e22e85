"""Metering points, contracts and assignments: every refusal has its name."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from settlement.rules.contract import (
    ANNUAL_KWH_MAX,
    Assignment,
    check_assignments,
    check_contract,
    check_covers,
    check_digit,
    check_ppe,
)
from settlement.rules.errors import (
    BadAssignment,
    BadContract,
    BadPpe,
    OutsideContract,
    UnsupportedScheme,
    UnsupportedTariff,
)
from settlement.rules.periods import Period
from tests.support.settlement import JULY, OTHER_PPE, PPE, a_contract


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
    ("changes", "refusal"),
    [
        ({"tariff_group": "G12w"}, UnsupportedTariff),
        ({"scheme": "net_billing"}, UnsupportedScheme),
        ({"operator": "enea"}, BadContract),
        ({"phases": 2}, BadContract),
        ({"readout_months": 3}, BadContract),
        ({"partial_month": "never"}, BadContract),
        ({"annual_kwh": -1}, BadContract),
        ({"annual_kwh": ANNUAL_KWH_MAX + 1}, BadContract),
        ({"unit_price_pln_per_kwh": Decimal(0)}, BadContract),
        ({"unit_price_pln_per_kwh": Decimal("10.00001")}, BadContract),
        ({"trade_fee_pln_per_month": Decimal("1000.01")}, BadContract),
        ({"valid_to": date(2024, 1, 1)}, BadContract),
    ],
)
def test_a_contract_that_the_rules_do_not_know_is_refused(
    changes: dict[str, Any], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        check_contract(a_contract(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"annual_kwh": 0},
        {"annual_kwh": ANNUAL_KWH_MAX},
        {"unit_price_pln_per_kwh": Decimal(10)},
        {"trade_fee_pln_per_month": Decimal(1000)},
        {"partial_month": "by_days"},
        {"valid_to": date(2024, 1, 2)},
    ],
)
def test_a_contract_at_its_limits_is_taken(changes: dict[str, Any]) -> None:
    contract = a_contract(**changes)
    check_contract(contract)
    assert contract.tariff_group == "G11"


def test_a_period_is_billed_only_when_wholly_under_the_contract() -> None:
    contract = a_contract(valid_from=date(2024, 7, 1), valid_to=date(2024, 8, 1))
    check_covers(contract, JULY)
    for start, end in (("2024-06-30", "2024-07-31"), ("2024-07-02", "2024-08-02")):
        with pytest.raises(OutsideContract):
            check_covers(contract, Period(date.fromisoformat(start), date.fromisoformat(end)))


def test_a_changed_meter_follows_the_old_one_without_overlap() -> None:
    check_assignments([Assignment("b", 900, None), Assignment("a", 0, 900)])
    for overlapping in (
        [Assignment("a", 0, 901), Assignment("b", 900, None)],
        [Assignment("a", 0, None), Assignment("b", 900, None)],
        [Assignment("a", 900, 900)],
    ):
        with pytest.raises(BadAssignment):
            check_assignments(overlapping)
