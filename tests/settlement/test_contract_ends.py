"""A contract ends: storage, deposit and rebate are closed, unless the next contract takes over."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any

import pytest

from settlement.rules.account import Account
from settlement.rules.contract import Contract
from settlement.rules.errors import NoRate
from settlement.rules.periods import Month, Period
from settlement.rules.policies import Policies
from tests.support.a_contract import a_prosumer, under
from tests.support.a_point import (
    Flow,
    a_point,
    a_step,
    law,
    monthly,
    moves,
    rcem_of,
    settled,
    steady_rcem,
)

JANUARY, FEBRUARY, MARCH, APRIL = (Month(2024, month) for month in (1, 2, 3, 4))
MIDDLE = date(2024, 3, 16)
HALF_A_PLN = steady_rcem("500")
FED_IN = {JANUARY: Flow(0, 200_000), FEBRUARY: Flow(100_000, 100_000)}


def up_to(end: date, scheme: str, **changes: Any) -> Contract:
    return under(scheme, end=end, **changes)


def since(start: date, scheme: str, **changes: Any) -> Contract:
    return under(scheme, start, **changes)


def test_the_storage_is_forfeited_with_the_contract() -> None:
    point = a_point(up_to(MARCH.first, "net_metering"))
    found = settled(point, monthly(JANUARY, 2), FED_IN, law({}))
    assert moves(found, "storage") == [
        ("2024-01", "booked", "2024-01", 160_000),
        ("2024-02", "used", "2024-01", 20_000),
        ("2024-02", "forfeited", "2024-01", 140_000),
    ]
    assert found.invoices[1].storage is not None
    assert found.invoices[1].storage.forfeited_wh == 140_000


def test_the_deposit_is_refunded_by_its_rule_the_last_month_s_export_included() -> None:
    point = a_point(up_to(MARCH.first, "net_billing"))
    found = settled(point, monthly(JANUARY, 2), FED_IN, law({}, HALF_A_PLN))
    # 100.00 of January pay 79.83 of February; 50.00 of February are booked and refunded.
    assert moves(found) == [
        ("2024-02", "booked", "2024-01", 10_000),
        ("2024-02", "used", "2024-01", 7983),
        ("2024-03", "booked", "2024-02", 5_000),
        ("2024-03", "refunded", "2024-01", 2000),
        ("2024-03", "forfeited", "2024-01", 17),
        ("2024-03", "refunded", "2024-02", 1000),
        ("2024-03", "forfeited", "2024-02", 4000),
    ]
    last = found.invoices[1].deposit
    assert (last.used_gr, last.refunded_gr, last.forfeited_gr, last.open_gr) == (
        7983,
        3000,
        4017,
        0,
    )


def test_a_tenant_is_paid_the_last_month_s_export_and_an_older_deposit_is_refunded() -> None:
    tenant = under("tenant", FEBRUARY.first, APRIL.first)
    point = a_point(up_to(FEBRUARY.first, "net_billing"), tenant)
    flows = {Month(2023, 12): Flow(0, 10_000), MARCH: Flow(0, 20_000)}
    found = settled(point, monthly(Month(2023, 12), 4), flows, law({}, HALF_A_PLN))
    assert moves(found) == [
        ("2024-01", "booked", "2023-12", 500),
        ("2024-04", "booked", "2024-03", 1000),
        ("2024-04", "paid_out", "2024-03", 1000),
        ("2024-04", "refunded", "2023-12", 100),
        ("2024-04", "forfeited", "2023-12", 400),
    ]


def test_the_last_invoice_waits_for_the_price_of_its_month() -> None:
    point = a_point(up_to(MARCH.first, "net_billing"))
    steps = [monthly(JANUARY, 1)[0], a_step(FEBRUARY.period, date(2024, 3, 10))]
    with pytest.raises(NoRate, match="RCEm of 2024-02"):
        settled(point, steps, FED_IN, law({}, HALF_A_PLN))


def test_a_contract_that_ends_inside_of_a_month_is_closed_on_that_day() -> None:
    point = a_point(up_to(MIDDLE, "net_billing"))
    steps = [*monthly(JANUARY, 2), a_step(Period(MARCH.first, MIDDLE))]
    flows = FED_IN | {MARCH: Flow(0, 8_000)}
    found = settled(point, steps, flows, law({}, HALF_A_PLN))
    assert moves(found)[-2:] == [
        ("2024-04", "refunded", "2024-03", 80),
        ("2024-04", "forfeited", "2024-03", 320),
    ]


@pytest.mark.parametrize("change", [MARCH.first, MIDDLE])
@pytest.mark.parametrize("scheme", ["net_metering", "net_billing"])
def test_another_contract_with_the_same_seller_takes_storage_and_deposit_over(
    scheme: str, change: date
) -> None:
    flows = {JANUARY: Flow(0, 200_000), APRIL: Flow(10_000)}
    other = {"tariff_group": "G12", "unit_prices_pln_per_kwh": {}, "price_list": "x"}
    rates = {("seller_x", f"g12.energy.{zone}"): {JANUARY.first: "1"} for zone in ("day", "night")}
    one = settled(a_point(a_prosumer(scheme)), monthly(JANUARY, 4), flows, law({}, HALF_A_PLN))
    two = settled(
        a_point(up_to(change, scheme), since(change, scheme, **other)),
        monthly(JANUARY, 4),
        flows,
        law(rates, HALF_A_PLN),
    )
    ledger = "storage" if scheme == "net_metering" else "deposit"
    kinds = [each[:3] for each in moves(two, ledger)]
    assert kinds == [each[:3] for each in moves(one, ledger)]
    assert {each[1] for each in moves(two, ledger)} == {"booked", "used"}


@pytest.mark.parametrize(
    ("end", "start", "seller"),
    [
        (MARCH.first, MARCH.first, "enea"),
        (MIDDLE, MIDDLE, "enea"),
        (MARCH.first, APRIL.first, "tauron"),
        (MIDDLE, date(2024, 3, 17), "tauron"),
    ],
)
@pytest.mark.parametrize("scheme", ["net_metering", "net_billing"])
def test_another_seller_or_a_time_without_contract_begins_with_nothing(
    scheme: str, end: date, start: date, seller: str
) -> None:
    first, second = up_to(end, scheme), since(start, scheme, seller=seller)
    periods = [JANUARY.period, FEBRUARY.period]
    if end != MARCH.first:
        periods.append(Period(MARCH.first, end))
    if start < APRIL.first:
        periods.append(Period(start, APRIL.first))
    periods.append(APRIL.period)
    flows = {JANUARY: Flow(0, 200_000), start: Flow(0, 50_000), APRIL: Flow(10_000, 0)}
    found = settled(
        a_point(first, second), [a_step(each) for each in periods], flows, law({}, HALF_A_PLN)
    )
    ledger = "storage" if scheme == "net_metering" else "deposit"
    gone = [each for each in moves(found, ledger) if each[1] in ("refunded", "forfeited")]
    whole = 160_000 if scheme == "net_metering" else 10_000
    assert sum(each[3] for each in gone) == whole
    assert {each[2] for each in gone} == {"2024-01"}
    if start < APRIL.first:
        assert moves(found, ledger)[-1][1:3] == ("used", "2024-03")


def test_a_new_seller_does_not_correct_the_deposit_of_the_one_before() -> None:
    fallen = date(2024, 4, 11)
    rcem = rcem_of({JANUARY: {date(2024, 2, 11): "500", fallen: "300"}, FEBRUARY: "500"})
    first = up_to(MARCH.first, "net_billing")
    second = since(MARCH.first, "net_billing", seller="enea")
    found = settled(a_point(first, second), monthly(JANUARY, 4), FED_IN, law({}, rcem))
    assert found.returns == ()
    assert "revalued" not in {each[1] for each in moves(found)}


@pytest.mark.parametrize("before", ["net_metering", "net_billing"])
def test_who_stops_feeding_in_leaves_storage_and_deposit_behind(before: str) -> None:
    point = a_point(up_to(MARCH.first, before), since(MARCH.first, "plain"))
    flows = {JANUARY: Flow(0, 200_000), MARCH: Flow(10_000)}
    found = settled(point, monthly(JANUARY, 3), flows, law({}, HALF_A_PLN))
    ledger = "storage" if before == "net_metering" else "deposit"
    assert sum(each[3] for each in moves(found, ledger) if each[1] != "booked") > 0
    assert found.invoices[2].deposit.used_gr == 0
    assert found.invoices[2].billed_wh == 10_000


REBATE = 500_000


def rebate_of(found: Account) -> list[tuple[str, int]]:
    return [(kind, amount_gr) for _, kind, _, amount_gr in moves(found, "rebate")]


@pytest.mark.parametrize("scheme", ["plain", "net_metering", "net_billing", "tenant"])
def test_the_last_invoice_uses_the_rebate_and_the_rest_goes_to_the_bank(scheme: str) -> None:
    point = a_point(up_to(MARCH.first, scheme), rebate_gr=REBATE)
    found = settled(point, monthly(JANUARY, 2), Flow(10_000), law({}, HALF_A_PLN))
    used = [each.rebate_used_gr for each in found.invoices]
    assert min(used) > 0
    assert rebate_of(found) == [
        ("booked", REBATE),
        ("used", used[0]),
        ("used", used[1]),
        ("paid_out", REBATE - sum(used)),
    ]


@pytest.mark.parametrize("before", ["plain", "net_metering", "net_billing"])
@pytest.mark.parametrize("after", ["plain", "net_billing", "tenant"])
def test_the_rebate_goes_on_under_every_other_contract_with_the_same_seller(
    before: str, after: str
) -> None:
    point = a_point(up_to(MARCH.first, before), since(MARCH.first, after), rebate_gr=REBATE)
    found = settled(point, monthly(JANUARY, 3), Flow(10_000), law({}, HALF_A_PLN))
    assert [kind for kind, _ in rebate_of(found)] == ["booked", "used", "used", "used"]


def test_another_seller_takes_no_rebate_over() -> None:
    point = a_point(
        up_to(MARCH.first, "plain"), since(MARCH.first, "plain", seller="enea"), rebate_gr=REBATE
    )
    found = settled(point, monthly(JANUARY, 3), Flow(10_000), law({}))
    assert [kind for kind, _ in rebate_of(found)] == ["booked", "used", "used", "paid_out"]
    assert found.invoices[2].rebate_used_gr == 0


@pytest.mark.parametrize(
    ("end", "paid_out"), [(date(2023, 12, 31), []), (date(2024, 1, 1), [("paid_out", REBATE)])]
)
def test_a_seller_who_is_left_before_the_last_day_of_2023_pays_no_rebate_out(
    end: date, paid_out: list[tuple[str, int]]
) -> None:
    point = a_point(up_to(end, "plain"), rebate_gr=REBATE)
    steps = [a_step(Period(date(2023, 12, 1), end))]
    found = settled(point, steps, Flow(10_000), law({}))
    assert rebate_of(found) == [("booked", REBATE), *paid_out]


def test_under_same_month_the_last_month_pays_its_own_energy_before_it_is_refunded() -> None:
    policies = Policies(deposit_booking="same_month")
    point = a_point(up_to(MARCH.first, "net_billing", policies=policies))
    found = settled(point, monthly(FEBRUARY, 1), FED_IN, law({}, HALF_A_PLN))
    assert moves(found) == [
        ("2024-02", "booked", "2024-02", 5000),
        ("2024-02", "used", "2024-02", 5000),
    ]


def test_under_same_month_a_last_part_of_a_month_pays_its_own_energy_first() -> None:
    policies = Policies(deposit_booking="same_month")
    point = a_point(up_to(MIDDLE, "net_billing", policies=policies))
    steps = [a_step(Period(MARCH.first, MIDDLE))]
    found = settled(point, steps, Flow(5_000, 10_000), law({}, HALF_A_PLN))
    assert moves(found) == [
        ("2024-03", "booked", "2024-03", 500),
        ("2024-03", "used", "2024-03", 400),
        ("2024-04", "refunded", "2024-03", 100),
    ]


def test_under_same_month_a_part_of_a_month_pays_its_own_energy_too() -> None:
    policies = Policies(deposit_booking="same_month")
    point = a_point(up_to(MIDDLE, "net_billing", policies=policies))
    steps = [a_step(Period(MARCH.first, MIDDLE))]
    found = settled(point, steps, Flow(100_000, 8_000), law({}, HALF_A_PLN))
    assert moves(found) == [
        ("2024-03", "booked", "2024-03", 400),
        ("2024-03", "used", "2024-03", 400),
    ]


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (date(2023, 12, 31), ["booked", "used"]),
        (date(2024, 1, 1), ["booked", "paid_out"]),
    ],
)
def test_the_seller_of_the_last_day_of_2023_owes_the_rebate(change: date, kinds: list[str]) -> None:
    other = since(change, "plain", seller="enea", cap_entitled=False)
    point = a_point(up_to(change, "plain", cap_entitled=False), other, rebate_gr=REBATE)
    days = sorted({date(2023, 12, 1), change, JANUARY.first, FEBRUARY.first})
    steps = [a_step(Period(start, end)) for start, end in pairwise(days)]
    found = settled(point, steps, Flow(10_000), law({}))
    assert [kind for kind, _ in rebate_of(found)] == kinds
