"""Net-billing: booked a month later, oldest first, energy alone, in the end refunded or lost."""

from __future__ import annotations

from datetime import date

import pytest

from settlement.rules import net_billing
from settlement.rules.errors import NoMarketValue, NoRate
from settlement.rules.ledger import BOOKED, DEPOSIT, FORFEITED, REFUNDED, REVALUED, USED, Entry
from settlement.rules.market import Rcem
from settlement.rules.net_billing import Deposit, Opened
from settlement.rules.periods import Month
from settlement.tables.market import load_rcem
from tests.support.deposits import (
    JULY,
    JUNE,
    LAST,
    LATE_PROSUMER,
    MAY,
    a_deposit,
    fed_in,
    moved,
    open_gr,
    opened,
    prices,
    some_terms,
    versions,
)


def test_the_export_of_march_2025_pays_for_april_up_to_its_gross_energy() -> None:
    # Worked example: 372 kWh, gross energy 27.26 + 47.05, as on a corrected invoice.
    march, april = Month(2025, 3), Month(2025, 4)
    booked = opened(fed_in(march, 372), april, load_rcem(), date(2025, 5, 5))
    assert booked.entries == (
        Entry(DEPOSIT, BOOKED, march, april, 8372, note="(372 kWh x 182.96 PLN/MWh) x 1.23"),
    )
    used = net_billing.use(booked.deposit, april, 2726 + 4705)
    assert used.used_gr == 7431
    assert used.entries == (Entry(DEPOSIT, USED, march, april, 7431),)
    assert open_gr(used.deposit) == 941


def test_export_is_booked_in_the_next_month_and_not_in_its_own() -> None:
    deposit = fed_in(MAY, 100)
    assert opened(deposit, MAY, prices(MAY, "400")) == Opened(deposit, (), ())
    assert moved(opened(deposit, JUNE, prices(MAY, "400")).entries) == [(BOOKED, 4000)]


def test_export_pays_in_its_own_month_where_the_policy_says_so() -> None:
    terms = some_terms(deposit_booking="same_month")
    step = opened(fed_in(MAY, 100), MAY, prices(MAY, "400"), terms=terms)
    assert moved(step.entries) == [(BOOKED, 4000)]
    assert step.deposit.pending == ()


def test_a_month_is_fed_in_whole_before_it_is_booked() -> None:
    again = fed_in(MAY, 1, deposit=a_deposit(100, "400"))
    with pytest.raises(AssertionError, match="fed in whole"):
        opened(again, JUNE, prices(MAY, "400"))


def test_spans_of_a_month_are_one_lot() -> None:
    deposit = fed_in(MAY, 60, deposit=fed_in(MAY, 40))
    assert moved(opened(deposit, JUNE, prices(MAY, "400")).entries) == [(BOOKED, 4000)]


@pytest.mark.parametrize(("kwh", "pln_per_mwh"), [(0, "400"), (100, "0")])
def test_a_month_worth_nothing_is_booked_without_a_movement(kwh: int, pln_per_mwh: str) -> None:
    step = opened(fed_in(MAY, kwh), JUNE, prices(MAY, pln_per_mwh))
    assert step.entries == ()
    assert step.deposit.pending == ()
    assert open_gr(step.deposit) == 0


def test_a_month_without_its_price_is_not_booked() -> None:
    with pytest.raises(NoRate, match="RCEm of 2023-05"):
        opened(fed_in(MAY, 100), JUNE, prices(MAY, "400"), known_on=date(2023, 6, 10))
    with pytest.raises(NoMarketValue, match="2024-08"):
        terms = some_terms(since=LATE_PROSUMER)
        opened(fed_in(Month(2024, 8), 100), Month(2024, 9), load_rcem(), terms=terms)


def test_hours_of_rce_are_booked_without_rcem() -> None:
    terms = some_terms(since=LATE_PROSUMER)
    deposit = fed_in(Month(2024, 8), 100, value_gr=267)
    step = opened(deposit, Month(2024, 9), Rcem([]), terms=terms)
    assert moved(step.entries) == [(BOOKED, 267)]


@pytest.mark.parametrize(
    ("gross_energy_gr", "by_lot"),
    [(0, []), (3999, [3999]), (4000, [4000]), (4001, [4000, 1]), (9000, [4000, 2000])],
)
def test_the_oldest_month_pays_first_and_never_more_than_the_energy(
    gross_energy_gr: int, by_lot: list[int]
) -> None:
    deposit = fed_in(JUNE, 100, deposit=a_deposit(100, "400"))
    deposit = opened(deposit, JULY, Rcem([*versions(MAY, "400"), *versions(JUNE, "200")])).deposit
    used = net_billing.use(deposit, JULY, gross_energy_gr)
    assert [entry.amount for entry in used.entries] == by_lot
    assert used.used_gr == sum(by_lot)
    assert open_gr(used.deposit) == 6000 - sum(by_lot)


@pytest.mark.parametrize(
    ("clock", "last"), [("booking_month", LAST), ("export_month", LAST.plus(-1))]
)
def test_a_lot_pays_through_its_last_month_and_ends_with_it(clock: str, last: Month) -> None:
    deposit = a_deposit(100, "400", some_terms(deposit_clock=clock))
    assert net_billing.close_month(deposit, last.plus(-1)) == (deposit, ())
    assert net_billing.use(deposit, last, 9000).used_gr == 4000
    after, entries = net_billing.close_month(deposit, last)
    assert entries == (
        Entry(DEPOSIT, REFUNDED, MAY, last, 800),
        Entry(DEPOSIT, FORFEITED, MAY, last, 3200),
    )
    assert net_billing.use(after, last.plus(1), 9000).used_gr == 0
    assert net_billing.close_month(after, last.plus(1)) == (after, ())
    with pytest.raises(AssertionError, match="not closed"):
        net_billing.use(deposit, last.plus(1), 9000)


@pytest.mark.parametrize(
    ("used_gr", "movements"),
    [
        (0, [(REFUNDED, 800), (FORFEITED, 3203)]),
        (3202, [(REFUNDED, 800), (FORFEITED, 1)]),
        (3203, [(REFUNDED, 800)]),
        (3204, [(REFUNDED, 799)]),
        (4003, []),
    ],
)
def test_what_is_left_is_refunded_up_to_the_percentage_of_the_whole_month(
    used_gr: int, movements: list[tuple[str, int]]
) -> None:
    # 4003 gr: a fifth is 800.6, and 0.6 of a grosz is not paid.
    deposit = net_billing.use(a_deposit(100, "400.30"), LAST, used_gr).deposit
    assert moved(net_billing.close_month(deposit, LAST)[1]) == movements


def test_lots_that_ran_out_before_july_2024_are_lost_whole_where_the_policy_says_so() -> None:
    deposit = a_deposit(100, "400", some_terms(early_refund="forfeited"))
    assert moved(net_billing.close_month(deposit, LAST)[1]) == [(FORFEITED, 4000)]


def test_a_statement_for_rce_raises_the_refund_to_thirty_percent() -> None:
    march = Month(2025, 3)
    terms = some_terms(rce_from=Month(2025, 2))
    step = opened(fed_in(march, 9, value_gr=1000), march.plus(1), Rcem([]), terms=terms)
    _, entries = net_billing.close_month(step.deposit, march.plus(12))
    assert moved(entries) == [(REFUNDED, 369), (FORFEITED, 861)]  # 30 % of 12.30


def test_whoever_leaves_gets_the_refund_of_every_lot_and_loses_the_rest() -> None:
    deposit = fed_in(JUNE, 100, deposit=net_billing.use(a_deposit(100, "400"), JUNE, 3500).deposit)
    after, entries = net_billing.leave(deposit, JUNE)
    assert moved(entries) == [(REFUNDED, 500)]
    assert after.pending == deposit.pending
    last = opened(after, JULY, Rcem([*versions(MAY, "400"), *versions(JUNE, "200")])).deposit
    after, entries = net_billing.leave(last, JULY)
    assert moved(entries) == [(REFUNDED, 400), (FORFEITED, 1600)]
    assert net_billing.leave(after, JULY) == (after, ())


def test_a_storage_of_net_metering_becomes_a_lot_and_is_revalued_with_its_price() -> None:
    # Published case: 238 kWh at the RCEm of June 2022, corrected in October.
    june, july = Month(2022, 6), Month(2022, 7)
    deposit = net_billing.take_over(Deposit(), june, 238)
    step = opened(deposit, july, load_rcem(), date(2022, 8, 1))
    assert moved(step.entries) == [(BOOKED, 15691)]
    step = opened(step.deposit, Month(2022, 10), load_rcem(), date(2022, 11, 1))
    assert moved(step.entries) == [(REVALUED, 15614 - 15691)]
    assert step.returned == ()
    assert open_gr(step.deposit) == 15614
