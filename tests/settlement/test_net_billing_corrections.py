"""A corrected RCEm moves the deposit, whether its lot is open, spent, or at its end."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules import ledger, net_billing
from settlement.rules.ledger import BOOKED, FORFEITED, REFUNDED, REVALUED, USED, Entry
from settlement.rules.market import Rcem, RcemVersion
from settlement.rules.net_billing import Deposit, Opened, Returned
from settlement.rules.periods import Month
from settlement.rules.policies import DEPOSIT_CLOCKS, RCEM_CORRECTIONS
from settlement.rules.valuation import Terms
from tests.support.deposits import (
    JULY,
    JUNE,
    LAST,
    MAY,
    a_deposit,
    fed_in,
    moved,
    open_gr,
    opened,
    prices,
    some_terms,
)

CORRECTED_ON = date(2023, 9, 11)


def corrected(deposit: Deposit, first: str, later: str, terms: Terms | None = None) -> Opened:
    """September opens after the price of May was corrected."""
    rcem = prices(MAY, first, {CORRECTED_ON: later})
    return opened(deposit, Month(2023, 9), rcem, CORRECTED_ON, terms)


def test_a_lower_price_of_a_lot_that_is_spent_takes_back_what_it_had_paid() -> None:
    # Figures of a real correction: deposit 230.79 becomes 228.90, to pay rises by 1.89.
    deposit = net_billing.use(a_deposit(300, "769.30"), JULY, 46142).deposit
    step = corrected(deposit, "769.30", "763.00")
    assert moved(step.entries) == [(REVALUED, -189), (USED, -189)]
    assert step.returned == (Returned(MAY, used_gr=189, refunded_gr=0),)
    assert open_gr(step.deposit) == 0
    assert step.deposit.lots[0].used_gr == 22890
    assert step.deposit.lots[0].original_gr == 23079


@pytest.mark.parametrize(
    ("used_gr", "later", "movements", "returned_gr", "left_gr"),
    [
        (3000, "430", [(REVALUED, 300)], 0, 1300),
        (4000, "430", [(REVALUED, 300)], 0, 300),
        (3000, "370", [(REVALUED, -300)], 0, 700),
        (3000, "300", [(REVALUED, -1000)], 0, 0),
        (3000, "299", [(REVALUED, -1010), (USED, -10)], 10, 0),
        (3000, "400", [], 0, 1000),
    ],
)
def test_a_corrected_price_moves_what_is_open_before_what_is_used(
    used_gr: int,
    later: str,
    movements: list[tuple[str, int]],
    returned_gr: int,
    left_gr: int,
) -> None:
    deposit = net_billing.use(a_deposit(100, "400"), JULY, used_gr).deposit
    step = corrected(deposit, "400", later)
    assert moved(step.entries) == movements
    assert sum(each.used_gr for each in step.returned) == returned_gr
    assert open_gr(step.deposit) == left_gr


@pytest.mark.parametrize(("known_on", "moves"), [(date(2023, 9, 10), False), (CORRECTED_ON, True)])
def test_a_correction_counts_from_the_day_it_is_published(known_on: date, moves: bool) -> None:
    rcem = prices(MAY, "400", {CORRECTED_ON: "390"})
    step = opened(a_deposit(100, "400"), Month(2023, 9), rcem, known_on)
    assert bool(step.entries) == moves


def test_a_correction_is_posted_once() -> None:
    step = corrected(a_deposit(100, "400"), "400", "390")
    assert corrected(step.deposit, "400", "390") == Opened(step.deposit, (), ())


def test_nothing_is_posted_where_the_past_is_settled_again() -> None:
    terms = some_terms(rcem_correction="settle_again")
    step = corrected(a_deposit(100, "400"), "400", "390", terms)
    assert step.entries == ()
    rcem = prices(MAY, "400", {CORRECTED_ON: "390"})
    again = opened(fed_in(MAY, 100), JUNE, rcem, CORRECTED_ON, terms)
    assert moved(again.entries) == [(BOOKED, 3900)]


@pytest.mark.parametrize(
    ("used_gr", "later", "movements", "returned"),
    [
        (0, "500", [(REVALUED, 1000), (REFUNDED, 200), (FORFEITED, 800)], ()),
        (3500, "420", [(REVALUED, 200), (REFUNDED, 200)], ()),
        (4000, "410", [(REVALUED, 100), (REFUNDED, 100)], ()),
        (
            0,
            "390",
            [(REVALUED, -100), (REFUNDED, -20), (FORFEITED, -80)],
            (Returned(MAY, 0, 20),),
        ),
        (3500, "390", [(REVALUED, -100), (REFUNDED, -100)], (Returned(MAY, 0, 100),)),
        (4000, "390", [(REVALUED, -100), (USED, -100)], (Returned(MAY, 100, 0),)),
    ],
)
def test_a_lot_that_has_ended_ends_anew_by_its_corrected_value(
    used_gr: int,
    later: str,
    movements: list[tuple[str, int]],
    returned: tuple[Returned, ...],
) -> None:
    deposit = net_billing.use(a_deposit(100, "400"), JULY, used_gr).deposit
    closed, _ = net_billing.close_month(deposit, LAST)
    step = corrected(closed, "400", later)
    assert moved(step.entries) == movements
    assert step.returned == returned
    assert open_gr(step.deposit) == 0


YEARS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 300)), min_size=1, max_size=20)
PRICES = st.lists(st.integers(0, 999), min_size=40, max_size=40)


@given(YEARS, PRICES, st.sampled_from(DEPOSIT_CLOCKS), st.sampled_from(RCEM_CORRECTIONS))
def test_the_deposit_always_agrees_with_its_ledger(
    year: list[tuple[int, int]], pln_per_mwh: list[int], clock: str, correction: str
) -> None:
    terms = some_terms(deposit_clock=clock, rcem_correction=correction)
    rcem = Rcem(
        version
        for number in range(20)
        for version in two_versions(MAY.plus(number), *pln_per_mwh[2 * number : 2 * number + 2])
    )
    deposit = Deposit()
    entries: list[Entry] = []
    returned_gr = 0
    for number, (kwh, energy_gr) in enumerate(year):
        month = MAY.plus(number)
        step = opened(deposit, month, rcem, month.plus(1).first, terms)
        used = net_billing.use(step.deposit, month, energy_gr)
        assert used.used_gr == min(energy_gr, open_gr(step.deposit))
        deposit, closing = net_billing.close_month(fed_in(month, kwh, None, used.deposit), month)
        entries += [*step.entries, *used.entries, *closing]
        returned_gr += sum(each.used_gr for each in step.returned)
        assert not ledger.unbalanced(entries, net_billing.held(deposit))
        assert all(each.refunded_gr <= each.worth.refund_max_gr for each in deposit.lots)
    taken_back = [e.amount for e in entries if e.kind == USED and e.amount < 0]
    assert returned_gr == -sum(taken_back)


def two_versions(month: Month, first: int, later: int) -> list[RcemVersion]:
    """A price on the first day of the next month, and another one four to twenty months later."""
    days = (month.plus(1).first, month.plus(5 + later % 16).first)
    return [
        RcemVersion(month, Decimal(price), day, "by hand")
        for price, day in zip((first, later), days, strict=True)
    ]
