"""Random households reach what they are for, and the naive statement keeps its books on them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from tests.second_opinion.households import POLICIES, ZONES, Household, random_household
from tests.second_opinion.naive import DEFAULTS, settle
from tests.second_opinion.naive_contract import ZONES as ZONES_PRINTED
from tests.second_opinion.naive_contract import facts_on
from tests.second_opinion.naive_numbers import half_up
from tests.second_opinion.naive_storage import ratio_of
from tests.support import house_imports

SEEDS = range(200)
HOUSEHOLDS = [random_household(seed) for seed in SEEDS]
SETTLED = [settle(*household) for household in HOUSEHOLDS]
PARTS = [
    [part for metered in household["invoices"] for part in metered["parts"]]
    for household, _, _ in HOUSEHOLDS
]


def test_the_second_opinion_is_told_without_code_of_settlement() -> None:
    here = Path(__file__).parent
    told = sorted([*here.glob("naive*.py"), here / "households.py", here / "made_up_prices.py"])
    assert len(told) >= 8
    for path in told:
        names = [name for _, name in house_imports.imports(path.read_text("utf-8"))]
        assert not [name for name in names if name.split(".")[0] in ("settlement", "wire")], path


def test_one_seed_is_one_household() -> None:
    assert random_household(7) == random_household(7)
    assert random_household(7) != random_household(8)


def test_both_files_mean_the_same_policies_and_zones() -> None:
    assert {name: values[0] for name, values in POLICIES.items()} == DEFAULTS
    assert ZONES == ZONES_PRINTED


def test_every_scheme_group_and_policy_value_is_drawn() -> None:
    assert {h["scheme"] for h, _, _ in HOUSEHOLDS} == {
        "plain", "net_metering", "net_billing", "tenant",
    }  # fmt: skip
    assert {h["group"] for h, _, _ in HOUSEHOLDS} == set(ZONES)
    for name, values in POLICIES.items():
        drawn = {(DEFAULTS | h["policies"])[name] for h, _, _ in HOUSEHOLDS}
        assert drawn == set(values), name


def test_everything_that_can_happen_to_energy_and_money_happens() -> None:
    for name in (
        "deposit_used_gr", "returned_gr", "rebate_used_gr", "refunded_gr", "forfeited_gr",
        "forfeited_wh", "paid_out_gr", "resettled_gr", "revalued_gr", "storage_open_wh",
    ):  # fmt: skip
        reached = [any(result[name] for result in results) for results in SETTLED]
        assert sum(reached) >= 5, name
    assert any(result["rebate_paid_out_gr"] for results in SETTLED for result in results)
    crossed = [
        any(
            len([line for line in result["lines"] if line[0] == "active_energy"])
            > len(result["payable_wh"])
            for result in results
        )
        for results in SETTLED
    ]
    assert sum(crossed) >= 10


def test_contracts_change_and_end_on_the_first_of_a_month_and_inside_of_it() -> None:
    changes = [change for household, _, _ in HOUSEHOLDS for change in household["changes"]]
    ends = [household["ends"] for household, _, _ in HOUSEHOLDS if household["ends"]]
    moves = [change for change in changes if "scheme" in change]
    money = [change for change in changes if "prices" in change and "seller" not in change]
    for days in (ends, [each["from"] for each in moves], [each["from"] for each in money]):
        assert {day[8:] == "01" for day in days} == {True, False}
    assert sum("seller" in change for change in changes) >= 5
    assert {change["scheme"] for change in moves} == {"plain", "net_billing", "tenant"}


def test_some_invoices_are_of_two_months_and_some_come_before_the_price_of_their_month() -> None:
    lengths, days = set(), set()
    for household, _, _ in HOUSEHOLDS:
        for metered in household["invoices"]:
            lengths.add(len({part["from"][:7] for part in metered["parts"]}))
            days.add(metered["known_on"][8:] < "11")
    assert lengths == {1, 2}
    assert days == {True, False}


def test_parts_follow_one_another_without_a_gap_until_the_contract_ends() -> None:
    for (household, _, _), parts in zip(HOUSEHOLDS, PARTS, strict=True):
        assert all(before["until"] == after["from"] for before, after in pairwise(parts))
        assert household["ends"] in (None, parts[-1]["until"])


def test_hours_with_a_price_hold_the_export_of_their_part() -> None:
    for parts in PARTS:
        for part in parts:
            assert len(part["rce"]) <= 8
            assert sum(wh for wh, _ in part["rce"]) == sum(part["negative_wh"].values())


def test_raw_and_balanced_energy_differ_by_the_same_in_both_directions() -> None:
    for parts in PARTS:
        for part in parts:
            for zone in part["import_wh"]:
                matched = part["import_wh"][zone] - part["positive_wh"][zone]
                assert matched == part["export_wh"][zone] - part["negative_wh"][zone] >= 0


def test_every_grosz_of_a_deposit_is_used_refunded_paid_out_forfeited_or_open() -> None:
    # Settling again changes earlier months too: there the results are not one account.
    for (household, _, _), results in zip(HOUSEHOLDS, SETTLED, strict=True):
        if household["policies"].get("rcem_correction") == "settle_again":
            continue
        came = sum(r["booked_gr"] + r["revalued_gr"] + r["returned_gr"] for r in results)
        went = sum(
            r["deposit_used_gr"] + r["refunded_gr"] + r["forfeited_gr"] + r["paid_out_gr"]
            for r in results
        )
        assert came == went - results[-1]["owed_gr"] + results[-1]["deposit_open_gr"]


def test_every_wh_of_the_storage_covers_runs_out_or_is_open() -> None:
    counted = 0
    for (household, _, _), parts, results in zip(HOUSEHOLDS, PARTS, SETTLED, strict=True):
        if household["scheme"] != "net_metering" or is_ever_else(household):
            continue
        counted += 1
        ratio = ratio_of(household["installed_power_w"])
        fed_in: Counter[tuple[str, str]] = Counter()
        for part in parts:
            for zone, wh in part["negative_wh"].items():
                per_zone = household["policies"].get("zone_policy") == "per_zone"
                fed_in[part["from"][:7], zone if per_zone else ""] += wh
        credit = sum(int(half_up(ratio * Decimal(wh))) for wh in fed_in.values())
        taken = sum(sum(part["positive_wh"].values()) for part in parts)
        payable = sum(sum(r["payable_wh"].values()) for r in results)
        forfeited = sum(r["forfeited_wh"] for r in results)
        assert credit == taken - payable + forfeited + results[-1]["storage_open_wh"]
    assert counted > 20


def is_ever_else(household: Household) -> bool:
    """Whether the scheme changes: then what is stored becomes a deposit."""
    days = [change["from"] for change in household["changes"]]
    return any(facts_on(household, day)["scheme"] != household["scheme"] for day in days)


def test_no_invoice_asks_for_less_than_nothing() -> None:
    for results in SETTLED:
        for result in results:
            assert result["to_pay_gr"] >= 0
            assert all(line[2] >= 0 for line in result["lines"])
            assert all(min(line[4:]) >= 0 for line in result["lines"])
