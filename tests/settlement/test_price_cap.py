"""The price cap: no regime, a cap, or a limit of use with a price inside and one above."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement import tables
from settlement.rules.contract import Contract
from settlement.rules.errors import BadContract, NoRate
from settlement.rules.periods import Month, Period
from settlement.rules.policies import CAP_SCOPES, Policies
from settlement.rules.price_cap import Capped, Price, cap_without_limit, capped, limit_window
from tests.support.a_contract import (
    Changes,
    a_contract,
    cap_from,
    limit_of_2024,
    prices,
    some_tables,
)
from tests.support.a_point import Flow, one_invoice

SPAN = Month(2024, 3).period
CAP = cap_from(Month(2024, 1), "0.5")
LIMIT = limit_of_2024()


def priced(
    listed: Mapping[str, str],
    billed_wh: Mapping[str, int],
    rates: Changes | None = None,
    used_wh: int = 0,
    **changes: Any,
) -> Capped:
    """What billed energy costs a household whose seller asks these prices."""
    given_prices = {zone: Price(Decimal(price), "contract") for zone, price in listed.items()}
    contract: Contract = a_contract(**changes)
    return capped(contract, some_tables(rates), SPAN, given_prices, billed_wh, used_wh)


def parts(found: Capped) -> list[tuple[str, int, str]]:
    return [(part.zone, part.energy_wh, str(part.price.pln_per_kwh)) for part in found.parts]


def test_without_a_regime_the_price_of_the_seller_holds() -> None:
    found = priced({"all_day": "0.9"}, {"all_day": 5000})
    assert (parts(found), found.limit_used_wh) == ([("all_day", 5000, "0.9")], 0)


@pytest.mark.parametrize("rates", [CAP, LIMIT])
def test_who_is_not_entitled_pays_the_price_of_the_seller(rates: Changes) -> None:
    found = priced({"all_day": "0.9"}, {"all_day": 5000}, rates, cap_entitled=False)
    assert (parts(found), found.limit_used_wh) == ([("all_day", 5000, "0.9")], 0)


@pytest.mark.parametrize("scope", CAP_SCOPES)
@pytest.mark.parametrize("energy_wh", [0, 5000])
@pytest.mark.parametrize(
    ("listed", "paid"), [("0.49999", "0.49999"), ("0.50000", "0.50000"), ("0.50001", "0.5")]
)
def test_the_lower_of_price_and_cap_is_paid_in_a_group_with_one_zone(
    scope: str, energy_wh: int, listed: str, paid: str
) -> None:
    policies = Policies(cap_scope=scope)
    found = priced({"all_day": listed}, {"all_day": energy_wh}, CAP, policies=policies)
    assert (parts(found), found.limit_used_wh) == ([("all_day", energy_wh, paid)], 0)
    capped_here = listed == "0.50001"
    assert found.parts[0].price.origin.startswith("price_cap" if capped_here else "contract")


@pytest.mark.parametrize(
    ("day_wh", "night_wh", "paid"),
    [
        (29_000, 91_000, ["0.76410", "0.42030"]),  # the average is 0.50338
        (29_000, 91_000 - 3_000, ["0.76410", "0.42030"]),  # 0.50552, at a cap of 0.50552
        (0, 5_000, ["0.76410", "0.42030"]),
        (0, 0, ["0.76410", "0.42030"]),
    ],
)
def test_zone_prices_stay_while_their_average_is_not_above_the_cap(
    day_wh: int, night_wh: int, paid: list[str]
) -> None:
    cap = cap_from(Month(2024, 1), "0.50552" if night_wh == 88_000 else "0.505")
    listed = {"day": "0.76410", "night": "0.42030"}
    found = priced(listed, {"day": day_wh, "night": night_wh}, cap)
    assert [price for *_, price in parts(found)] == paid


def test_an_average_exactly_at_the_cap_is_not_above_it() -> None:
    listed = {"day": "0.6", "night": "0.4"}
    assert parts(priced(listed, {"day": 7000, "night": 7000}, CAP)) == [
        ("day", 7000, "0.6"),
        ("night", 7000, "0.4"),
    ]
    assert parts(priced(listed, {"day": 8000, "night": 7000}, CAP)) == [
        ("day", 8000, "0.59211"),  # 0.6 x 0.5 x 15 / 7.6
        ("night", 7000, "0.39474"),
    ]


def test_an_average_above_the_cap_scales_every_zone_and_says_so() -> None:
    found = priced({"day": "0.8", "night": "0.4"}, {"day": 1000, "night": 1000}, CAP)
    assert parts(found) == [("day", 1000, "0.66667"), ("night", 1000, "0.33333")]
    assert {part.price.origin for part in found.parts} == {
        "price_cap household from 2024-01-01, average of the zones"
    }


def test_capped_by_unit_price_each_zone_is_looked_at_by_itself() -> None:
    policies = Policies(cap_scope="unit_price")
    listed = {"day": "0.8", "night": "0.4"}
    assert parts(priced(listed, {"day": 1, "night": 99_000}, CAP, policies=policies)) == [
        ("day", 1, "0.5"),
        ("night", 99_000, "0.4"),
    ]


@given(
    st.lists(st.integers(0, 10**6), min_size=2, max_size=4),
    st.lists(st.integers(1, 10**6), min_size=4, max_size=4),
)
def test_the_cost_of_zones_is_never_above_the_cap_by_more_than_their_rounding(
    energies_kwh: list[int], prices_e5: list[int]
) -> None:
    zones = [f"zone_{place}" for place in range(len(energies_kwh))]
    listed = {
        zone: str(Decimal(price).scaleb(-5)) for zone, price in zip(zones, prices_e5, strict=False)
    }
    billed_wh = {zone: 1000 * kwh for zone, kwh in zip(zones, energies_kwh, strict=True)}
    found = priced(listed, billed_wh, CAP)
    cost = sum(part.energy_wh * part.price.pln_per_kwh for part in found.parts)
    energy_wh = sum(billed_wh.values())
    assert cost <= energy_wh * (Decimal("0.5") + Decimal("0.000005"))
    assert [part.energy_wh for part in found.parts] == list(billed_wh.values())


@pytest.mark.parametrize(
    ("energy_kwh", "used_kwh", "expected"),
    [
        (1499, 0, [("1499", "0.417")]),
        (1500, 0, [("1500", "0.417")]),
        (1501, 0, [("1500", "0.417"), ("1", "0.698")]),
        (300, 1200, [("300", "0.417")]),
        (301, 1200, [("300", "0.417"), ("1", "0.698")]),
        (10, 1499, [("1", "0.417"), ("9", "0.698")]),
        (10, 1500, [("10", "0.698")]),
        (10, 1501, [("10", "0.698")]),
        (0, 0, [("0", "0.417")]),
        (0, 1500, [("0", "0.417")]),
    ],
)
def test_energy_is_paid_inside_of_the_limit_and_above_it(
    energy_kwh: int, used_kwh: int, expected: list[tuple[str, str]]
) -> None:
    found = priced({"all_day": "0.9"}, {"all_day": energy_kwh * 1000}, LIMIT, used_kwh * 1000)
    assert [(str(wh // 1000), price) for _, wh, price in parts(found)] == expected
    assert found.limit_used_wh == max(0, min(energy_kwh, 1500 - used_kwh)) * 1000


@pytest.mark.parametrize(
    ("cap_limit", "inside_kwh"), [("standard", 1500), ("disability", 1800), ("large_family", 2000)]
)
def test_the_limit_follows_who_the_household_is(cap_limit: str, inside_kwh: int) -> None:
    found = priced({"all_day": "0.9"}, {"all_day": 5_000_000}, LIMIT, cap_limit=cap_limit)
    assert found.limit_used_wh == inside_kwh * 1000


@pytest.mark.parametrize(
    ("listed", "inside", "above"),
    [
        ("0.41", "0.41", "0.41"),
        ("0.417", "0.417", "0.417"),
        ("0.5", "0.417", "0.5"),
        ("0.698", "0.417", "0.698"),
        ("0.699", "0.417", "0.698"),
    ],
)
def test_a_lower_price_of_the_seller_holds_inside_and_above_the_limit(
    listed: str, inside: str, above: str
) -> None:
    found = priced({"all_day": listed}, {"all_day": 1_600_000}, LIMIT)
    assert parts(found) == [("all_day", 1_500_000, inside), ("all_day", 100_000, above)]


TWO = {"day": "0.9", "night": "0.6"}
FROZEN: dict[str, Any] = {"frozen_prices_pln_per_kwh": prices(day="0.45", night="0.3")}


def test_two_zones_share_what_is_left_of_the_limit_in_proportion() -> None:
    found = priced(TWO, {"day": 1_000_000, "night": 2_000_000}, LIMIT, **FROZEN)
    assert parts(found) == [
        ("day", 500_000, "0.45"),
        ("day", 500_000, "0.698"),
        ("night", 1_000_000, "0.3"),
        ("night", 1_000_000, "0.6"),
    ]
    assert found.limit_used_wh == 1_500_000


def test_a_kwh_that_does_not_divide_goes_to_the_largest_remainder() -> None:
    found = priced(TWO, {"day": 2_000, "night": 3_000}, LIMIT, 1_496_000, **FROZEN)
    # 4 kWh of 5 are inside: 1.6 of the day and 2.4 of the night.
    assert parts(found) == [
        ("day", 2_000, "0.45"),
        ("night", 2_000, "0.3"),
        ("night", 1_000, "0.6"),
    ]


def test_billed_exactly_the_limit_is_met_to_the_wh() -> None:
    policies = Policies(kwh_rounding="exact")
    energy_wh = {"day": 2_500, "night": 2_500}
    found = priced(TWO, energy_wh, LIMIT, 1_499_999, policies=policies, **FROZEN)
    assert parts(found) == [
        ("day", 1, "0.45"),
        ("day", 2_499, "0.698"),
        ("night", 2_500, "0.6"),
    ]


def test_billed_exactly_whole_kwh_meet_the_limit_to_the_wh_too() -> None:
    policies = Policies(kwh_rounding="exact")
    found = priced({"all_day": "0.9"}, {"all_day": 3_000}, LIMIT, 1_499_500, policies=policies)
    assert parts(found) == [("all_day", 500, "0.417"), ("all_day", 2_500, "0.698")]


def test_a_part_of_a_kwh_left_of_the_limit_is_not_used_when_whole_kwh_are_billed() -> None:
    found = priced({"all_day": "0.9"}, {"all_day": 3_000}, LIMIT, 1_498_500)
    assert parts(found) == [("all_day", 1_000, "0.417"), ("all_day", 2_000, "0.698")]


@given(
    st.lists(st.integers(0, 3_000), min_size=1, max_size=4),
    st.integers(0, 2_000_000),
    st.sampled_from(["half_up", "exact"]),
)
def test_the_limit_takes_what_it_can_and_no_zone_loses_energy(
    energies_kwh: list[int], used_wh: int, rounding: str
) -> None:
    zones = [f"zone_{place}" for place in range(len(energies_kwh))]
    step_wh = 1000 if rounding == "half_up" else 1
    billed_wh = {zone: each * step_wh for zone, each in zip(zones, energies_kwh, strict=True)}
    found = priced(
        dict.fromkeys(zones, "0.9"),
        billed_wh,
        LIMIT,
        used_wh,
        policies=Policies(kwh_rounding=rounding),
        frozen_prices_pln_per_kwh=prices(**dict.fromkeys(zones, "0.4")),
    )
    for zone, energy_wh in billed_wh.items():
        assert sum(part.energy_wh for part in found.parts if part.zone == zone) == energy_wh
    inside_wh = sum(part.energy_wh for part in found.parts if str(part.price.pln_per_kwh) == "0.4")
    left_wh = max(0, 1_500_000 - used_wh) // step_wh * step_wh
    assert inside_wh == found.limit_used_wh == min(left_wh, sum(billed_wh.values()))


def test_frozen_prices_of_the_contract_go_before_the_one_of_the_table() -> None:
    frozen: dict[str, Any] = {"frozen_prices_pln_per_kwh": prices(all_day="0.42")}
    found = priced({"all_day": "0.9"}, {"all_day": 1_000}, LIMIT, **frozen)
    assert parts(found) == [("all_day", 1_000, "0.42")]
    assert found.parts[0].price.origin == "contract: the seller's price of 2022"


@pytest.mark.parametrize(
    ("listed", "frozen", "lacks"),
    [
        (TWO, {}, "day"),
        (TWO, {"day": "0.4"}, "night"),
        ({"all_day": "0.9"}, {"day": "0.4"}, "all_day"),
    ],
)
def test_a_zone_without_its_frozen_price_is_refused_inside_of_the_limit(
    listed: dict[str, str], frozen: dict[str, str], lacks: str
) -> None:
    billed_wh = dict.fromkeys(listed, 1_000)
    own: dict[str, Any] = {"frozen_prices_pln_per_kwh": prices(**frozen)}
    with pytest.raises(BadContract, match=f"lacks zone {lacks}"):
        priced(listed, billed_wh, LIMIT, **own)


def test_above_the_limit_no_frozen_price_is_asked_for() -> None:
    found = priced(TWO, {"day": 1_000, "night": 2_000}, LIMIT, 1_500_000)
    assert parts(found) == [("day", 1_000, "0.698"), ("night", 2_000, "0.6")]


def test_for_2023_the_table_has_no_price_inside_of_the_limit() -> None:
    contract = a_contract()
    listed = {"all_day": Price(Decimal("0.9"), "contract")}
    with pytest.raises(NoRate, match=r"household\.inside_limit"):
        capped(contract, tables.load(), Month(2023, 3).period, listed, {"all_day": 1000}, 0)


def test_an_entitled_household_of_2023_is_refused_for_its_frozen_network_rates() -> None:
    own: dict[str, Any] = {"frozen_prices_pln_per_kwh": prices(all_day="0.4")}
    march = Month(2023, 3).period
    with pytest.raises(NoRate, match="frozen rates inside the limit of use"):
        one_invoice(a_contract(**own), march, Flow(1000))
    assert one_invoice(a_contract(cap_entitled=False), march, Flow(1000)).to_pay_gr > 0


@pytest.mark.parametrize(
    ("day", "window"),
    [
        (date(2022, 12, 31), None),
        (date(2023, 1, 1), Period(date(2023, 1, 1), date(2024, 1, 1))),
        (date(2023, 12, 31), Period(date(2023, 1, 1), date(2024, 1, 1))),
        (date(2024, 1, 1), Period(date(2024, 1, 1), date(2024, 7, 1))),
        (date(2024, 6, 30), Period(date(2024, 1, 1), date(2024, 7, 1))),
        (date(2024, 7, 1), None),
        (date(2026, 1, 1), None),
    ],
)
def test_a_limit_is_counted_over_2023_and_over_the_first_half_of_2024(
    day: date, window: Period | None
) -> None:
    assert limit_window(tables.load(), day) == window


@pytest.mark.parametrize(
    ("month", "cap"),
    [
        (Month(2022, 12), None),
        (Month(2024, 6), None),
        (Month(2024, 7), "0.50500"),
        (Month(2025, 12), "0.50500"),
        (Month(2026, 1), None),
    ],
)
def test_a_cap_without_limit_held_from_july_2024_to_the_end_of_2025(
    month: Month, cap: str | None
) -> None:
    row = cap_without_limit(tables.load(), month.period)
    assert (None if row is None else str(row.value)) == cap
