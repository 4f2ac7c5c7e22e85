"""Random households reach what they are for, and the naive statement keeps its books on them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.second_opinion.households import POLICIES, ZONES, random_household
from tests.second_opinion.naive import DEFAULTS, settle
from tests.second_opinion.naive import ZONES as ZONES_PRINTED
from tests.second_opinion.naive_numbers import half_up
from tests.second_opinion.naive_storage import ratio_of
from tests.support import house_imports

SEEDS = range(200)
HOUSEHOLDS = [random_household(seed) for seed in SEEDS]
SETTLED = [settle(*household) for household in HOUSEHOLDS]


def test_the_second_opinion_is_told_without_code_of_settlement() -> None:
    here = Path(__file__).parent
    told = sorted([*here.glob("naive*.py"), here / "households.py"])
    assert len(told) >= 6
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
    crossed = [
        any(
            len([line for line in result["lines"] if line[0] == "active_energy"])
            > len(result["payable_wh"])
            for result in results
        )
        for results in SETTLED
    ]
    assert sum(crossed) >= 10


def test_hours_with_a_price_hold_the_export_of_their_month() -> None:
    for household, _, _ in HOUSEHOLDS:
        for month in household["months"]:
            assert len(month["rce"]) <= 8
            assert sum(wh for wh, _ in month["rce"]) == sum(month["negative_wh"].values())


def test_raw_and_balanced_energy_differ_by_the_same_in_both_directions() -> None:
    for household, _, _ in HOUSEHOLDS:
        for month in household["months"]:
            for zone in month["import_wh"]:
                matched = month["import_wh"][zone] - month["positive_wh"][zone]
                assert matched == month["export_wh"][zone] - month["negative_wh"][zone] >= 0


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
    for (household, _, _), results in zip(HOUSEHOLDS, SETTLED, strict=True):
        if household["scheme"] != "net_metering" or household["switch_to_net_billing"]:
            continue
        counted += 1
        ratio = ratio_of(household["installed_power_w"])
        credit = 0
        for month in household["months"]:
            if household["policies"].get("zone_policy") == "per_zone":
                parts = list(month["negative_wh"].values())
            else:
                parts = [sum(month["negative_wh"].values())]
            credit += sum(int(half_up(ratio * Decimal(wh))) for wh in parts)
        taken = sum(sum(month["positive_wh"].values()) for month in household["months"])
        payable = sum(sum(r["payable_wh"].values()) for r in results)
        forfeited = sum(r["forfeited_wh"] for r in results)
        assert credit == taken - payable + forfeited + results[-1]["storage_open_wh"]
    assert counted > 20


def test_no_invoice_asks_for_less_than_nothing() -> None:
    for results in SETTLED:
        for result in results:
            assert result["to_pay_gr"] >= 0
            assert all(line[2] is None or line[2] >= 0 for line in result["lines"])
            assert all(min(line[4:]) >= 0 for line in result["lines"])
