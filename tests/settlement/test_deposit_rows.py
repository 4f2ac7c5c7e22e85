"""Rows 4 to 8 of the invoice: which deposit is of the period, which was there, what is used."""

from __future__ import annotations

from datetime import date

import pytest

from settlement.rules.account import Account, standing
from settlement.rules.book import Opening
from settlement.rules.contract import Contract
from settlement.rules.errors import NoRate
from settlement.rules.invoice import Deposit
from settlement.rules.periods import Month, Period
from settlement.rules.policies import Policies
from tests.support.a_contract import a_prosumer, under
from tests.support.a_point import (
    Flow,
    Flows,
    a_point,
    a_step,
    days,
    law,
    moves,
    rcem_of,
    settled,
    steady_rcem,
)

MARCH, APRIL, MAY = Month(2024, 3), Month(2024, 4), Month(2024, 5)
MIDDLE = date(2024, 3, 16)
HALF_A_PLN = steady_rcem("500")
CUT = {("levies", "renewable"): {MIDDLE: "0.003"}}
AT_ONCE = Policies(deposit_booking="same_month")
EARLY_HALF, LATE_HALF = Period(MARCH.first, MIDDLE), Period(MIDDLE, APRIL.first)


def rows(found: Account) -> list[tuple[int, int, int, int]]:
    """Of the period, of earlier ones, used, open."""
    deposits = [each.deposit for each in found.invoices]
    return [
        (each.of_period_gr, each.of_earlier_periods_gr, each.used_gr, each.open_gr)
        for each in deposits
    ]


def of(steps: list[Period], flows: Flows, *contracts: Contract, brought_gr: int = 0) -> Account:
    """Invoices of one who pays 4.00 PLN for 5 kWh of energy, and gets 0.50 for a kWh."""
    brought = ((MARCH.plus(-2), brought_gr, brought_gr),) if brought_gr else ()
    point = a_point(*(contracts or (a_prosumer(),)), opening=Opening(deposit=brought))
    return settled(point, [a_step(each) for each in steps], flows, law(CUT, HALF_A_PLN))


def test_export_of_a_month_is_deposit_of_earlier_periods_in_the_next() -> None:
    flows = {MARCH: Flow(0, 10_000), MIDDLE: Flow(0), APRIL: Flow(5_000)}
    found = of([MARCH.period, APRIL.period], flows, brought_gr=100)
    assert rows(found) == [(0, 100, 0, 100), (0, 600, 400, 200)]


def test_the_deposit_is_used_up_to_the_gross_energy_and_not_further() -> None:
    # 5 kWh are 3.245 net, so 3.25 and 0.75 of VAT.
    for brought_gr, used_gr in ((399, 399), (400, 400), (401, 400)):
        flows = {MARCH: Flow(5_000)}
        found = settled(
            a_point(a_prosumer(), opening=Opening(deposit=((MARCH.plus(-1), 900, brought_gr),))),
            [a_step(MARCH.period)],
            flows,
            law({}),
        )
        assert rows(found) == [(0, brought_gr, used_gr, brought_gr - used_gr)]


def test_an_invoice_of_two_months_pays_the_second_with_the_export_of_the_first() -> None:
    flows = {MARCH: Flow(5_000, 10_000), MIDDLE: Flow(0), APRIL: Flow(5_000)}
    found = of([days("2024-03-01", "2024-05-01")], flows, brought_gr=100)
    # March uses the 1.00 that was there, April the 5.00 of March up to its energy.
    assert rows(found) == [(0, 600, 500, 100)]
    assert [each[:2] for each in moves(found)] == [
        ("2024-01", "booked"),
        ("2024-03", "used"),
        ("2024-04", "booked"),
        ("2024-04", "used"),
    ]


def test_under_same_month_export_pays_its_own_month() -> None:
    flows = {MARCH: Flow(5_000, 10_000), MIDDLE: Flow(0), APRIL: Flow(5_000, 2_000)}
    found = of([MARCH.period, APRIL.period], flows, a_prosumer(policies=AT_ONCE))
    assert rows(found) == [(500, 0, 400, 100), (100, 100, 200, 0)]


def booked(found: Account) -> list[tuple[str, str, int]]:
    return [(month, lot, gr) for month, kind, lot, gr in moves(found) if kind == "booked"]


HALVES: Flows = {
    MARCH: Flow(5_000, 10_000),
    MIDDLE: Flow(5_000, 6_000),
    APRIL: Flow(5_000),
}


def test_under_same_month_a_month_of_two_spans_pays_both_of_them() -> None:
    found = of([MARCH.period], HALVES, a_prosumer(policies=AT_ONCE))
    assert booked(found) == [("2024-03", "2024-03", 800)]
    assert rows(found) == [(800, 0, 800, 0)]


def test_under_same_month_a_month_of_two_invoices_pays_the_one_that_knows_all_of_it() -> None:
    found = of([EARLY_HALF, LATE_HALF], HALVES, a_prosumer(policies=AT_ONCE))
    assert booked(found) == [("2024-03", "2024-03", 800)]
    assert rows(found) == [(0, 0, 0, 0), (800, 0, 400, 400)]


def test_under_same_month_no_part_of_a_month_is_booked_before_its_last_day_is_at_hand() -> None:
    parts = [days("2024-03-01", "2024-03-10"), days("2024-03-10", "2024-03-20")]
    steps = [*parts, days("2024-03-20", "2024-04-01")]
    flows = {Month(2024, 3): Flow(0, 2_000)}
    found = of(steps, flows, a_prosumer(policies=AT_ONCE))
    # Four spans of 2 kWh, because the second invoice is cut in the middle of March.
    assert booked(found) == [("2024-03", "2024-03", 400)]
    assert [each[0] for each in rows(found)] == [0, 0, 400]


def test_under_same_month_a_month_whose_end_nobody_settles_is_booked_in_the_next() -> None:
    steps = [EARLY_HALF, APRIL.period]
    found = of(steps, HALVES, a_prosumer(policies=AT_ONCE))
    assert booked(found) == [("2024-04", "2024-03", 500)]
    assert rows(found) == [(0, 0, 0, 0), (0, 500, 400, 100)]


@pytest.mark.parametrize("before", ["plain", "net_metering"])
def test_under_same_month_one_who_changes_in_the_middle_is_paid_for_the_second_half(
    before: str,
) -> None:
    first = under(before, end=MIDDLE, policies=AT_ONCE)
    second = a_prosumer(valid_from=MIDDLE, policies=AT_ONCE)
    flows = {MARCH: Flow(8_000, 10_000), MIDDLE: Flow(5_000, 6_000)}
    found = of([MARCH.period], flows, first, second)
    assert booked(found) == [("2024-03", "2024-03", 300)]
    assert rows(found) == [(300, 0, 300, 0)]


def test_who_begins_same_month_in_the_middle_is_paid_for_the_whole_month_in_it() -> None:
    first = a_prosumer(valid_to=MIDDLE)
    second = a_prosumer(valid_from=MIDDLE, policies=AT_ONCE)
    found = of([MARCH.period], HALVES, first, second)
    assert booked(found) == [("2024-03", "2024-03", 800)]
    assert rows(found) == [(800, 0, 400, 400)]


def test_who_gives_same_month_up_in_the_middle_is_paid_for_the_whole_month_in_the_next() -> None:
    first = a_prosumer(valid_to=MIDDLE, policies=AT_ONCE)
    found = of([MARCH.period, APRIL.period], HALVES, first, a_prosumer(valid_from=MIDDLE))
    assert booked(found) == [("2024-04", "2024-03", 800)]
    assert rows(found) == [(0, 0, 0, 0), (0, 800, 400, 400)]


def test_under_same_month_deposit_and_bank_each_get_their_half() -> None:
    first = a_prosumer(valid_to=MIDDLE, policies=AT_ONCE)
    second = a_prosumer("tenant", valid_from=MIDDLE, policies=AT_ONCE)
    found = of([MARCH.period], HALVES, first, second)
    assert [each for each in moves(found) if each[1] != "used"] == [
        ("2024-03", "booked", "2024-03", 500),
        ("2024-03", "booked", "2024-03", 300),
        ("2024-03", "paid_out", "2024-03", 300),
    ]
    assert found.invoices[0].deposit == Deposit(500, 0, 500, 0, 0, 300, 0)


def test_what_goes_to_a_bank_is_no_deposit_of_the_period() -> None:
    found = of([MARCH.period], HALVES, a_prosumer("tenant", policies=AT_ONCE))
    assert found.invoices[0].deposit == Deposit(0, 0, 0, 0, 0, 800, 0)


def test_under_same_month_the_price_of_the_month_itself_must_be_known() -> None:
    point = a_point(a_prosumer(policies=AT_ONCE))
    with pytest.raises(NoRate, match=r"RCEm of 2024-03.*2024-04-11"):
        settled(point, [a_step(MARCH.period, date(2024, 4, 10))], HALVES, law({}, HALF_A_PLN))


@pytest.mark.parametrize(("policies", "of_period_gr"), [(AT_ONCE, 200), (Policies(), 0)])
def test_what_a_fall_takes_back_is_missing_where_the_lot_had_been(
    policies: Policies, of_period_gr: int
) -> None:
    rcem = rcem_of({MARCH: {date(2024, 4, 11): "500", date(2024, 6, 11): "200"}, APRIL: "0"})
    flows = {MARCH: Flow(10_000, 10_000), APRIL: Flow(10_000), MAY: Flow(0)}
    steps = [a_step(month.period) for month in (MARCH, APRIL, MAY)]
    found = settled(a_point(a_prosumer(policies=policies)), steps, flows, law({}, rcem))
    place = 0 if policies is AT_ONCE else 1
    deposit = standing(found)[place].deposit
    assert (deposit.of_period_gr, deposit.used_gr) == (of_period_gr, 200)
    assert deposit.of_earlier_periods_gr == 200 - of_period_gr


def test_a_tenant_s_invoice_shows_what_is_transferred_after_what_is_owed() -> None:
    rcem = rcem_of(
        {
            MARCH: {date(2024, 4, 11): "500", date(2024, 5, 31): "200"},
            APRIL: "250",
            MAY: "500",
        }
    )
    flows = {MARCH: Flow(0, 10_000), APRIL: Flow(0, 4_000), MAY: Flow(0, 8_000)}
    steps = [a_step(MARCH.plus(at).period, None) for at in range(4)]
    found = settled(a_point(a_prosumer("tenant")), steps, flows, law({}, rcem))
    # 5.00 are paid for March; 3.00 too much; April's 1.00 and 2.00 of May's 4.00 are set off.
    assert [each.deposit.paid_out_gr for each in found.invoices] == [0, 500, 0, 200]
