"""The written form of a metering point: what is read, what is assumed, and what is refused."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from settlement import points
from settlement.errors import MalformedBody
from settlement.points import (
    AMOUNT_GR_MAX,
    CONTRACTS_PER_POINT_MAX,
    LOT_WH_MAX,
    LOTS_PER_POINT_MAX,
    METERS_PER_POINT_MAX,
    PointForm,
)
from settlement.rules.book import Opening
from settlement.rules.contract import ANNUAL_KWH_MAX, Assignment, Contract
from settlement.rules.errors import (
    BadAssignment,
    BadContract,
    BadNumber,
    BadOpening,
    BadPeriod,
    BadPolicy,
    OverlappingContracts,
    Refused,
    UnsupportedScheme,
)
from settlement.rules.periods import Month
from settlement.rules.policies import Policies
from tests.support.a_contract import BANK_NUMBER, a_contract

METER = "00112233445566aa"
Written = dict[str, Any]


def written(**changes: Any) -> Written:
    """A contract as somebody writes it who writes no more than must be."""
    fields = {
        "tariff_group": "G11",
        "phases": 3,
        "readout_months": 1,
        "unit_price_pln_per_kwh": "0.64900",
        "valid_from": "2024-01-01",
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def read(**fields: Any) -> PointForm:
    """A point as it comes over HTTP."""
    given = {"meters": []} | fields
    return points.decode(json.dumps(given).encode())


def contract_of(**changes: Any) -> Contract:
    (contract,) = read(contract=written(**changes)).checked_contracts()
    return contract


def test_a_contract_that_says_the_least_is_of_a_capped_household_of_tauron() -> None:
    assert contract_of() == a_contract(annual_kwh=None, valid_from=date(2024, 1, 1))


def test_a_contract_that_says_everything_is_read_whole() -> None:
    contract = contract_of(
        operator="tauron",
        seller="enea",
        tariff_group="G12as",
        scheme="tenant",
        phases=1,
        readout_months=2,
        annual_kwh=3000,
        unit_price_pln_per_kwh=None,
        unit_prices_pln_per_kwh={"day": "0.76410", "night": "0.42"},
        frozen_prices_pln_per_kwh={"day": "0.41"},
        trade_fee_pln_per_month="28.86",
        customer="garage",
        cap_entitled=False,
        cap_limit="large_family",
        partial_month="by_days",
        installed_power_w=9_999,
        prosumer_since="2023-10-05",
        rce_from="2024-08",
        night_reference_kwh=120,
        connection_power_w=14_000,
        payout_bank_number=BANK_NUMBER,
        policies={"rce_clamp": "hour"},
        valid_to="2025-01-01",
    )
    assert contract == Contract(
        operator="tauron",
        seller="enea",
        tariff_group="G12as",
        scheme="tenant",
        phases=1,
        readout_months=2,
        annual_kwh=3000,
        unit_prices_pln_per_kwh={"day": Decimal("0.76410"), "night": Decimal("0.42")},
        price_list=None,
        frozen_prices_pln_per_kwh={"day": Decimal("0.41")},
        trade_fee_pln_per_month=Decimal("28.86"),
        customer="garage",
        cap_entitled=False,
        cap_limit="large_family",
        partial_month="by_days",
        installed_power_w=9_999,
        prosumer_since=date(2023, 10, 5),
        rce_from=Month(2024, 8),
        night_reference_kwh=120,
        connection_power_w=14_000,
        payout_bank_number=BANK_NUMBER,
        policies=Policies(rce_clamp="hour"),
        valid_from=date(2024, 1, 1),
        valid_to=date(2025, 1, 1),
    )


def test_a_price_list_is_given_instead_of_prices() -> None:
    contract = contract_of(unit_price_pln_per_kwh=None, price_list="g_2026")
    assert (contract.price_list, contract.unit_prices_pln_per_kwh) == ("g_2026", {})


@pytest.mark.parametrize(
    ("customer", "entitled"),
    [
        ("household", True),
        ("garage", True),
        ("allotment", True),
        ("building_site", True),
        ("business", False),
    ],
)
def test_who_is_entitled_to_the_cap_is_told_from_the_customer(
    customer: str, entitled: bool
) -> None:
    assert contract_of(customer=customer).cap_entitled is entitled
    assert contract_of(customer=customer, cap_entitled=False).cap_entitled is False


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"unit_prices_pln_per_kwh": {"all_day": "0.5"}}, BadContract),
        ({"unit_price_pln_per_kwh": None}, BadContract),
        ({"price_list": "x"}, BadContract),
        ({"unit_price_pln_per_kwh": "0.649001"}, BadNumber),
        ({"unit_price_pln_per_kwh": "0,649"}, BadNumber),
        ({"unit_price_pln_per_kwh": "-0.649"}, BadNumber),
        ({"frozen_prices_pln_per_kwh": {"all_day": "1e-1"}}, BadNumber),
        ({"trade_fee_pln_per_month": "28.861"}, BadNumber),
        ({"customer": "business", "cap_entitled": True}, BadContract),
        ({"scheme": "virtual"}, UnsupportedScheme),
        ({"rce_from": "2024-13"}, BadPeriod),
        ({"policies": {"rounding": "up"}}, BadPolicy),
        ({"policies": {"kwh_rounding": "up"}}, BadPolicy),
        ({"phases": 2}, BadContract),
    ],
)
def test_a_contract_that_is_written_wrongly_is_refused_by_its_name(
    changes: Written, refusal: type[Refused]
) -> None:
    with pytest.raises(refusal):
        contract_of(**changes)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"contract": written(tariff="G11")}, "tariff"),
        ({"contract": written(unit_price_pln_per_kwh=0.649)}, "unit_price_pln_per_kwh"),
        ({"contract": written(valid_from="1.1.2024")}, "valid_from"),
        ({"contract": written(phases="3")}, "phases"),
        ({"contract": {"phases": 3}}, "tariff_group"),
        ({"contract": written(), "meters": [{"meter_id": "aa", "from_s": 0}]}, "meter_id"),
        ({"contract": written(), "meters": [{"meter_id": METER, "from_s": -1}]}, "from_s"),
        ({"contract": written(), "rebate_gr": -1}, "rebate_gr"),
        ({"contract": written(), "rebate_gr": AMOUNT_GR_MAX + 1}, "rebate_gr"),
        ({"contract": written(), "ppe": "590"}, "ppe"),
    ],
)
def test_a_body_that_is_no_point_is_refused_and_the_field_is_named(
    fields: Written, names: str
) -> None:
    with pytest.raises(MalformedBody, match=names):
        read(**fields)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"meters": [], "contract": "\xff"}', b"null"])
def test_what_is_no_json_of_a_point_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        points.decode(body)


def test_a_point_has_one_contract_or_several_and_never_both_or_none() -> None:
    several = [written(valid_from="2024-07-01"), written(valid_to="2024-07-01")]
    contracts = read(contracts=several).checked_contracts()
    assert [each.valid_from for each in contracts] == [date(2024, 1, 1), date(2024, 7, 1)]
    for fields in ({}, {"contract": written(), "contracts": several}):
        with pytest.raises(BadContract, match="one of the two"):
            read(**fields).checked_contracts()


def test_contracts_are_checked_against_each_other() -> None:
    with pytest.raises(OverlappingContracts):
        read(contracts=[written(), written(valid_from="2024-07-01")]).checked_contracts()


def many_contracts(count: int) -> list[Written]:
    days = [
        date(2024, 1, 1).replace(year=2024 + at // 12, month=at % 12 + 1) for at in range(count)
    ]
    return [written(valid_from=str(day), valid_to=str(day.replace(day=2))) for day in days]


def many_meters(count: int) -> list[Written]:
    return [{"meter_id": METER, "from_s": 900 * at, "to_s": 900 * at + 900} for at in range(count)]


def many_lots(count: int, **fields: int) -> list[Written]:
    return [{"month": str(Month(2010, 1).plus(-at + 1000))} | fields for at in range(count)]


@pytest.mark.parametrize(
    ("below", "limit", "field"),
    [
        (lambda count: {"contracts": many_contracts(count)}, CONTRACTS_PER_POINT_MAX, "contracts"),
        (
            lambda count: {"contract": written(), "meters": many_meters(count)},
            METERS_PER_POINT_MAX,
            "meters",
        ),
        (
            lambda count: {"opening": {"storage": many_lots(count, energy_wh=1)}},
            LOTS_PER_POINT_MAX,
            "storage",
        ),
        (
            lambda count: {"opening": {"deposit": many_lots(count, value_gr=1, open_gr=1)}},
            LOTS_PER_POINT_MAX,
            "deposit",
        ),
        (
            lambda count: {
                "contract": written(
                    unit_price_pln_per_kwh=None,
                    unit_prices_pln_per_kwh={f"zone_{at}": "1" for at in range(count)},
                )
            },
            24,
            "unit_prices_pln_per_kwh",
        ),
    ],
)
def test_lists_are_taken_up_to_their_limit(below: Any, limit: int, field: str) -> None:
    assert read(**below(limit - 1))
    assert read(**below(limit))
    with pytest.raises(MalformedBody, match=field):
        read(**below(limit + 1))


def test_meters_become_assignments_that_are_checked() -> None:
    meters = [
        {"meter_id": METER, "from_s": 0, "to_s": 900},
        {"meter_id": "00112233445566bb", "from_s": 900},
    ]
    form = read(contract=written(), meters=meters)
    assert form.assignments() == [
        Assignment(METER, 0, 900),
        Assignment("00112233445566bb", 900, None),
    ]
    with pytest.raises(BadAssignment):
        read(contract=written(), meters=[*meters, meters[0]]).assignments()


def test_what_is_brought_along_is_read_in_its_units() -> None:
    opening = {
        "storage": [{"month": "2024-05", "energy_wh": 700, "zone": "day"}],
        "deposit": [{"month": "2024-04", "value_gr": 900, "open_gr": 300}],
        "limit_used_kwh": 1200,
    }
    form = read(contract=written(), opening=opening, rebate_gr=24_864)
    assert form.opening.opening() == Opening(
        storage=(("day", Month(2024, 5), 700),),
        deposit=((Month(2024, 4), 900, 300),),
        limit_used_wh=1_200_000,
    )
    assert form.rebate_gr == 24_864
    empty = read(contract=written())
    assert (empty.opening.opening(), empty.rebate_gr) == (Opening(), 0)


def test_a_lot_without_a_zone_is_of_all_zones() -> None:
    form = read(opening={"storage": [{"month": "2024-05", "energy_wh": 1}]})
    assert form.opening.opening().storage == (("", Month(2024, 5), 1),)


@pytest.mark.parametrize(
    ("opening", "refusal"),
    [
        ({"storage": [{"month": "2024-5", "energy_wh": 1}]}, BadPeriod),
        ({"storage": [{"month": "2024-05", "energy_wh": 1}] * 2}, BadOpening),
        ({"deposit": [{"month": "2024-05", "value_gr": 1, "open_gr": 2}]}, BadOpening),
        ({"deposit": [{"month": "2024-05", "value_gr": 2, "open_gr": 1}] * 2}, BadOpening),
    ],
)
def test_an_opening_that_cannot_be_is_refused(opening: Written, refusal: type[Refused]) -> None:
    with pytest.raises(refusal):
        read(opening=opening).opening.opening()


@pytest.mark.parametrize(
    ("opening", "field"),
    [
        ({"storage": [{"month": "2024-05", "energy_wh": 0}]}, "energy_wh"),
        ({"storage": [{"month": "2024-05", "energy_wh": LOT_WH_MAX + 1}]}, "energy_wh"),
        ({"deposit": [{"month": "2024-05", "value_gr": -1, "open_gr": 0}]}, "value_gr"),
        ({"limit_used_kwh": -1}, "limit_used_kwh"),
        ({"limit_used_kwh": ANNUAL_KWH_MAX + 1}, "limit_used_kwh"),
    ],
)
def test_what_is_brought_along_has_limits(opening: Written, field: str) -> None:
    with pytest.raises(MalformedBody, match=field):
        read(opening=opening)


def test_a_point_that_is_stored_and_read_again_is_the_same() -> None:
    form = read(contracts=[written()], rebate_gr=5, meters=many_meters(1))
    assert points.decode(points.encode(form)) == form
    assert points.encode(points.decode(points.encode(form))) == points.encode(form)
