"""The story of a point: invoices in order, what lower prices take back, and nothing lost."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.rules import account
from settlement.rules.account import Account, spans_needed, standing
from settlement.rules.book import Opening
from settlement.rules.contract import NET_METERING
from settlement.rules.errors import BadPeriod, BadPpe
from settlement.rules.invoice import as_data
from settlement.rules.market import Rcem
from settlement.rules.periods import Month, Period
from settlement.rules.policies import VALUES, Policies
from settlement.rules.step import Point, Step
from tests.support.a_contract import a_contract, a_prosumer, limit_of_2024, prices
from tests.support.a_point import (
    Flow,
    a_point,
    a_step,
    days,
    law,
    monthly,
    rcem_of,
    settled,
    totals_of,
)

MAY = Month(2023, 5)
JUNE, JULY, AUGUST = MAY.plus(1), MAY.plus(2), MAY.plus(3)
FIRST = JUNE.first.replace(day=11)


def after_falls(flows: dict[Month, Flow], *falls: tuple[date, str], count: int = 5) -> Account:
    """May 2023 and the months after it; 300 kWh of May at 769.30 are worth 230.79."""
    rcem = rcem_of({MAY: {FIRST: "769.30", **dict(falls)}})
    contract = a_prosumer(unit_prices_pln_per_kwh=prices(all_day="0.5"))
    return settled(a_point(contract), monthly(MAY, count), flows, law({}, rcem))


def on_the_11th(month: Month) -> date:
    return month.first.replace(day=11)


FED_IN = {MAY: Flow(0, 300_000)}
ALL_IN_JUNE = FED_IN | {JUNE: Flow(500_000)}
IN_TWO_MONTHS = FED_IN | {JUNE: Flow(200_000), JULY: Flow(500_000)}


def back(found: Account) -> list[tuple[int, int, int, int]]:
    """Step, place, and what the invoice at that place then uses of the deposit and asks for."""
    return [
        (each.at, each.place, each.invoice.deposit.used_gr, each.invoice.to_pay_gr)
        for each in found.returns
    ]


def test_a_price_that_is_not_corrected_takes_nothing_back() -> None:
    found = after_falls(ALL_IN_JUNE)
    assert found.returns == ()
    assert standing(found) == found.invoices
    assert found.invoices[1].deposit.used_gr == 23079


def test_a_price_that_rises_takes_nothing_back_and_pays_later_invoices() -> None:
    found = after_falls(ALL_IN_JUNE | {AUGUST: Flow(1000)}, (on_the_11th(AUGUST), "800"))
    assert found.returns == ()
    # 240.00 instead of 230.79; a kWh of August costs 0.62.
    assert [each.deposit.used_gr for each in found.invoices] == [0, 23079, 0, 62, 0]
    assert found.invoices[2].deposit.open_gr == 240_00 - 23079


def test_a_price_that_falls_is_taken_of_what_is_open_first() -> None:
    flows = FED_IN | {JUNE: Flow(200_000)}
    found = after_falls(flows, (on_the_11th(AUGUST), "600"))
    assert found.returns == ()
    assert found.invoices[1].deposit.used_gr == 12300
    assert [each.deposit.open_gr for each in found.invoices[1:3]] == [23079 - 12300, 180_00 - 12300]


def test_a_fall_makes_the_invoice_that_was_paid_by_it_due_again() -> None:
    found = after_falls(ALL_IN_JUNE, (on_the_11th(AUGUST), "763"))
    issued = found.invoices[1]
    assert back(found) == [(2, 1, 22890, issued.to_pay_gr + 189)]
    corrected = found.returns[0].invoice
    assert corrected.deposit.of_earlier_periods_gr == 22890
    assert corrected.lines == issued.lines
    assert found.invoices[1].deposit.used_gr == 23079, "what was issued stays as it was"
    assert standing(found) == (
        found.invoices[0],
        corrected,
        *found.invoices[2:],
    )


def test_two_falls_of_one_price_make_two_corrections_of_one_invoice() -> None:
    falls = (on_the_11th(AUGUST), "763"), (on_the_11th(AUGUST.plus(1)), "760")
    found = after_falls(ALL_IN_JUNE, *falls)
    issued = found.invoices[1].to_pay_gr
    assert back(found) == [(2, 1, 22890, issued + 189), (3, 1, 22800, issued + 279)]
    assert standing(found)[1] == found.returns[1].invoice


def test_a_fall_and_a_rise_give_back_only_to_later_invoices() -> None:
    falls = (on_the_11th(AUGUST), "763"), (on_the_11th(AUGUST.plus(1)), "769.30")
    found = after_falls(ALL_IN_JUNE | {AUGUST.plus(1): Flow(1_000_000)}, *falls)
    assert [(each.at, each.place) for each in found.returns] == [(2, 1)]
    assert found.invoices[4].deposit.used_gr == 189
    assert [each.amount for each in found.entries if each.kind == "revalued"] == [-189, 189]


def test_a_fall_reaches_back_over_two_invoices_the_latest_first() -> None:
    # June has used 123.00, July the other 107.79; 120.00 are left of the value.
    found = after_falls(IN_TWO_MONTHS, (on_the_11th(AUGUST.plus(1)), "400"))
    june, july = (each.to_pay_gr for each in found.invoices[1:3])
    assert back(found) == [(3, 2, 0, july + 10779), (3, 1, 12000, june + 300)]


def test_a_second_fall_does_not_take_back_what_the_first_has_taken() -> None:
    falls = (on_the_11th(AUGUST.plus(1)), "500"), (on_the_11th(AUGUST.plus(2)), "300")
    found = after_falls(IN_TWO_MONTHS, *falls)
    used = [each[:3] for each in back(found)]
    assert used == [(3, 2, 2700), (4, 2, 0), (4, 1, 9000)]
    together = sum(each.deposit.used_gr for each in standing(found))
    assert together == 90_00 == sum(e.amount for e in found.entries if e.kind == "used")


def test_a_fall_after_the_refund_takes_back_no_invoice() -> None:
    late = on_the_11th(MAY.plus(15))
    found = after_falls(FED_IN, (late, "700"), count=16)
    assert found.returns == ()
    refunded = [each.amount for each in found.entries if each.kind == "refunded"]
    assert refunded == [4615, 4200 - 4615]


@pytest.mark.parametrize(
    ("second", "refused"), [("2024-02-29", True), ("2024-03-01", False), ("2024-03-02", False)]
)
def test_invoices_follow_one_another_and_never_share_a_day(second: str, refused: bool) -> None:
    steps = [a_step(days("2024-02-01", "2024-03-01")), a_step(days(second, "2024-04-01"))]
    point = a_point(a_contract())
    if not refused:
        assert len(settled(point, steps, Flow(0), law({})).invoices) == 2
        return
    with pytest.raises(BadPeriod, match="from 2024-02-29 begins before"):
        settled(point, steps, Flow(0), law({}))


def test_what_was_known_for_one_invoice_is_known_for_the_next() -> None:
    first, second = monthly(JUNE, 2, known_on=date(2024, 1, 2))
    steps = [first, Step(second.period, date(2024, 1, 1))]
    with pytest.raises(BadPeriod, match=r"from 2023-07-01.*2024-01-01.*2024-01-02"):
        settled(a_point(a_prosumer()), steps, Flow(0), law({}))
    same_day = [first, second]
    assert len(settled(a_point(a_prosumer()), same_day, Flow(0), law({})).invoices) == 2


def test_no_invoices_is_an_empty_account_with_what_was_brought_along() -> None:
    point = a_point(a_prosumer(), opening=Opening(deposit=((MAY, 100, 60),)))
    found = settled(point, [], Flow(0))
    assert (found.invoices, found.returns, standing(found)) == ((), (), ())
    assert [(each.kind, each.amount) for each in found.entries] == [("booked", 60)]


def test_a_mistyped_ppe_is_refused_before_anything_is_settled() -> None:
    with pytest.raises(BadPpe):
        account.settle(Point("590", (a_contract(),)), monthly(MAY, 1), {}, law({}))


def test_the_spans_that_are_needed_are_those_of_all_invoices_in_order() -> None:
    steps = [a_step(days("2023-05-10", "2023-06-10")), a_step(days("2023-07-01", "2023-08-01"))]
    needed = spans_needed(a_point(a_prosumer()), steps, law({}))
    assert [each.period for each in needed] == [
        days("2023-05-10", "2023-06-01"),
        days("2023-06-01", "2023-06-10"),
        days("2023-07-01", "2023-08-01"),
    ]


OCTOBER = Month(2023, 10)
LATE = OCTOBER.first + timedelta(days=400)
Made = dict[str, Any]


def readings_of_the_law() -> st.SearchStrategy[Policies]:
    values = {name: st.sampled_from(choices) for name, choices in VALUES.items()}
    return st.builds(Policies, **values)


@st.composite
def stories(draw: st.DrawFn) -> Made:
    """One or two contracts over some months, with energy, prices and readings of the law."""
    known: Made = {
        "tariff_group": "G12",
        "unit_prices_pln_per_kwh": prices(day="0.9", night="0.4"),
        "frozen_prices_pln_per_kwh": prices(day="0.41", night="0.3"),
        "annual_kwh": draw(st.sampled_from([None, 2000])),
        "rce_from": draw(st.sampled_from([None, Month(2024, 7)])),
    }
    bounds = [OCTOBER.first]
    for length in draw(st.lists(st.integers(5, 70), min_size=2, max_size=6)):
        bounds.append(bounds[-1] + timedelta(days=length))
    change = OCTOBER.first + timedelta(days=draw(st.integers(10, 120)))
    scheme = draw(st.sampled_from(["plain", NET_METERING, "net_billing", "tenant"]))
    first = a_prosumer(scheme, policies=draw(readings_of_the_law()), **known)
    contracts = [first]
    if draw(st.booleans()):
        later = {"plain", "net_billing", "tenant"} | ({scheme} & {NET_METERING})
        second = a_prosumer(
            draw(st.sampled_from(sorted(later))),
            seller=draw(st.sampled_from(["tauron", "enea"])),
            policies=draw(readings_of_the_law()),
            valid_from=change,
            **known,
        )
        contracts = [replace(first, valid_to=change), second]
        if second.seller != first.seller:
            bounds = sorted({*bounds, change})
    corrected = {
        OCTOBER.plus(at): {
            OCTOBER.plus(at + 1).first: str(draw(st.integers(100, 900))),
            OCTOBER.plus(at + 1 + draw(st.integers(1, 6))).first: str(draw(st.integers(0, 900))),
        }
        for at in range(15)
    }
    return {
        "point": a_point(*contracts, rebate_gr=draw(st.sampled_from([0, 12_345]))),
        "steps": [a_step(Period(*each)) for each in itertools.pairwise(bounds)],
        "rcem": rcem_of(corrected),
        "seed": draw(st.integers(0, 10**6)),
    }


def told(story: Made, count: int) -> Account:
    """The story settled up to its first `count` invoices."""
    of_law = law(limit_of_2024(), story["rcem"])
    assert isinstance(of_law.rcem, Rcem)
    steps = story["steps"][:count]
    totals = {}
    for place, span in enumerate(spans_needed(story["point"], steps, of_law)):
        size = (story["seed"] * (place + 1)) % 99_991
        flow = Flow(
            {"day": size, "night": size // 3},
            {} if span.contract.scheme == "plain" else {"day": (size * 7) % 300_001},
            value_gr=size // 2,
        )
        totals[span.period] = totals_of(span, flow)
    return account.settle(story["point"], steps, totals, of_law)


@settings(max_examples=20, deadline=None)
@given(stories())
def test_settling_fewer_months_gives_the_same_first_invoices_and_twice_the_same_account(
    story: Made,
) -> None:
    whole = told(story, len(story["steps"]))
    assert told(story, len(story["steps"])) == whole
    for count in range(len(story["steps"])):
        part = told(story, count)
        assert part.invoices == whole.invoices[:count]
        assert part.entries == whole.entries[: len(part.entries)]
        assert part.returns == whole.returns[: len(part.returns)]
        assert part.book.is_balanced()


@settings(max_examples=30, deadline=None)
@given(stories())
def test_whatever_happens_ledgers_balance_and_no_invoice_pays_with_what_is_not_there(
    story: Made,
) -> None:
    found = told(story, len(story["steps"]))
    assert found.book.is_balanced()
    used = sum(
        each.amount for each in found.entries if (each.account, each.kind) == ("deposit", "used")
    )
    assert used == sum(each.deposit.used_gr for each in standing(found))
    for invoice in (*found.invoices, *standing(found)):
        deposit = invoice.deposit
        assert 0 <= deposit.used_gr <= deposit.of_period_gr + deposit.of_earlier_periods_gr
        assert deposit.of_period_gr >= 0
        assert deposit.of_earlier_periods_gr >= 0
        assert 0 <= invoice.rebate_used_gr <= 12_345
        assert invoice.to_pay_gr >= 0
        assert as_data(invoice)["summary"]["8_to_pay_gr"] == invoice.to_pay_gr
        assert all(wh >= 0 for part in invoice.parts for wh in part.billed_wh.values())
