"""Tenant prosumers: what is booked goes to the bank at once, and nothing lowers the invoice."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement import tables
from settlement.rules import ledger, tenant
from settlement.rules.errors import NoMarketValue, NoRate, NoTenantScheme
from settlement.rules.ledger import BOOKED, FORFEITED, PAID_OUT, REVALUED, Entry
from settlement.rules.market import Rcem, RcemVersion
from settlement.rules.periods import Month
from settlement.rules.policies import TENANT_PAYOUTS
from settlement.rules.rates import Row, Tables
from settlement.rules.tenant import Payout, TenantDeposit
from settlement.rules.totals import VALUE_PER_GR, Totals
from settlement.rules.valuation import Terms
from tests.support.deposits import LATE, LATE_PROSUMER, moved, prices, some_terms

OCTOBER, NOVEMBER, DECEMBER = Month(2023, 10), Month(2023, 11), Month(2023, 12)
CORRECTED_ON = date(2023, 12, 11)
SHARE = some_terms(tenant_payout="refund_share")


def fed_in(
    month: Month,
    kwh: int,
    value_gr: int | None = None,
    deposit: TenantDeposit | None = None,
    known_tables: Tables | None = None,
) -> TenantDeposit:
    """A deposit that remembers the export of a month."""
    value = None if value_gr is None else value_gr * VALUE_PER_GR
    totals = Totals(month.period, {}, {}, {}, {"day": 1000 * kwh}, value)
    return tenant.feed_in(deposit or TenantDeposit(), month, totals, known_tables or tables.load())


def opened(
    deposit: TenantDeposit,
    month: Month,
    rcem: Rcem,
    terms: Terms | None = None,
    known_on: date = LATE,
) -> Payout:
    """A month opened by the tables that come with this version."""
    terms = terms or some_terms()
    return tenant.open_month(deposit, month, rcem, tables.load(), terms, known_on)


def october_paid(terms: Terms | None = None) -> TenantDeposit:
    """100 kWh of October at 400 PLN/MWh, booked and paid in November."""
    return opened(fed_in(OCTOBER, 100), NOVEMBER, prices(OCTOBER, "400"), terms).deposit


def corrected(later: str, terms: Terms | None = None, november_kwh: int = 0) -> Payout:
    """December opens after the price of October was corrected; November is worth 100 PLN/MWh."""
    rcem = Rcem(
        RcemVersion(month, Decimal(price), day, "by hand")
        for month, price, day in (
            (OCTOBER, "400", date(2023, 11, 11)),
            (OCTOBER, later, CORRECTED_ON),
            (NOVEMBER, "100", date(2023, 12, 11)),
        )
    )
    deposit = fed_in(NOVEMBER, november_kwh, deposit=october_paid(terms))
    return opened(deposit, DECEMBER, rcem, terms, CORRECTED_ON)


def test_the_whole_value_is_paid_out_when_it_is_booked() -> None:
    deposit = fed_in(OCTOBER, 100)
    assert opened(deposit, OCTOBER, prices(OCTOBER, "400")) == Payout(deposit, (), 0)
    step = opened(deposit, NOVEMBER, prices(OCTOBER, "400"))
    assert step.payout_gr == 4000
    assert step.entries == (
        Entry("deposit", BOOKED, OCTOBER, NOVEMBER, 4000, note="(100 kWh x 400 PLN/MWh) x 1"),
        Entry("deposit", PAID_OUT, OCTOBER, NOVEMBER, 4000),
    )
    assert opened(step.deposit, DECEMBER, prices(OCTOBER, "400")) == Payout(step.deposit, (), 0)


def test_the_share_of_the_refund_rule_is_paid_out_where_the_policy_says_so() -> None:
    step = opened(fed_in(OCTOBER, 100), NOVEMBER, prices(OCTOBER, "400.30"), SHARE)
    assert step.payout_gr == 800  # a fifth of 40.03, down to grosz
    assert moved(step.entries) == [(BOOKED, 4003), (PAID_OUT, 800), (FORFEITED, 3203)]


def test_a_lot_stays_under_the_policy_it_was_booked_by() -> None:
    step = opened(october_paid(SHARE), DECEMBER, prices(OCTOBER, "400"), some_terms())
    assert step.entries == ()


def test_hours_of_rce_are_paid_out_too() -> None:
    terms = some_terms(since=LATE_PROSUMER)
    august = Month(2024, 8)
    assert opened(fed_in(august, 55, 267), august.plus(1), Rcem([]), terms).payout_gr == 267
    with pytest.raises(NoMarketValue, match="2024-08"):
        opened(fed_in(august, 55), august.plus(1), Rcem([]), terms)


def test_a_month_without_its_price_is_not_paid_out() -> None:
    with pytest.raises(NoRate, match="RCEm of 2023-10"):
        opened(
            fed_in(OCTOBER, 100),
            NOVEMBER,
            prices(OCTOBER, "400"),
            known_on=date(2023, 11, 10),
        )


def test_a_price_that_rises_is_paid_out_too() -> None:
    step = corrected("410")
    assert moved(step.entries) == [(REVALUED, 100), (PAID_OUT, 100)]
    assert step.payout_gr == 100


def test_a_price_that_rises_pays_out_its_share_alone_by_that_policy() -> None:
    step = corrected("410", SHARE)
    assert moved(step.entries) == [(REVALUED, 100), (PAID_OUT, 20), (FORFEITED, 80)]
    assert step.payout_gr == 20


def test_nothing_is_posted_where_the_past_is_settled_again() -> None:
    assert corrected("410", some_terms(rcem_correction="settle_again")).entries == ()


@pytest.mark.parametrize(
    ("november_kwh", "payout_gr", "owed_gr"), [(0, 0, 100), (9, 0, 10), (10, 0, 0), (11, 10, 0)]
)
def test_a_price_that_falls_is_owed_and_set_off_against_what_is_booked_next(
    november_kwh: int, payout_gr: int, owed_gr: int
) -> None:
    step = corrected("390", november_kwh=november_kwh)
    assert moved(step.entries)[:2] == [(REVALUED, -100), (PAID_OUT, -100)]
    assert step.payout_gr == payout_gr
    assert step.deposit.owed_gr == owed_gr


def test_what_is_owed_is_carried_until_enough_is_booked() -> None:
    step = corrected("390")
    january = DECEMBER.plus(1)
    later = fed_in(DECEMBER, 100, deposit=step.deposit)
    rcem = Rcem(
        RcemVersion(month, Decimal(price), day, "by hand")
        for month, price, day in (
            (OCTOBER, "390", CORRECTED_ON),
            (DECEMBER, "10", date(2024, 1, 11)),
        )
    )
    paid = opened(later, january, rcem)
    assert moved(paid.entries) == [(BOOKED, 100), (PAID_OUT, 100)]
    assert (paid.payout_gr, paid.deposit.owed_gr) == (0, 0)


def test_a_month_before_the_scheme_is_refused_by_name() -> None:
    with pytest.raises(NoTenantScheme, match="2023-09"):
        fed_in(Month(2023, 9), 100)
    assert fed_in(OCTOBER, 100).pending[0].negative_wh == 100_000


def test_a_row_that_says_no_refuses_the_month_too() -> None:
    row = Row("prosumer", "tenant_scheme", Decimal(0), "ratio", date(2023, 1, 1), None, "by hand")
    with pytest.raises(NoTenantScheme, match="net_billing"):
        fed_in(OCTOBER, 100, known_tables=Tables([row]))


def test_a_month_is_fed_in_whole_before_it_is_booked() -> None:
    with pytest.raises(AssertionError, match="fed in whole"):
        opened(fed_in(OCTOBER, 1, deposit=october_paid()), NOVEMBER, prices(OCTOBER, "400"))


YEARS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 999), st.integers(0, 999)),
    min_size=1,
    max_size=15,
)


@given(YEARS, st.sampled_from(TENANT_PAYOUTS))
def test_the_bank_gets_what_the_ledger_says_and_nothing_stays_open(
    year: list[tuple[int, int, int]], policy: str
) -> None:
    rcem = Rcem(
        RcemVersion(OCTOBER.plus(number), Decimal(price), day, "by hand")
        for number, (_, *published) in enumerate(year)
        for price, day in zip(
            published,
            (OCTOBER.plus(number + 1).first, OCTOBER.plus(number + 4).first),
            strict=True,
        )
    )
    deposit = TenantDeposit()
    entries: list[Entry] = []
    bank_gr = 0
    for number, (kwh, *_) in enumerate(year):
        month = OCTOBER.plus(number)
        terms = some_terms(tenant_payout=policy)
        step = opened(deposit, month, rcem, terms, month.plus(1).first)
        deposit = fed_in(month, kwh, deposit=step.deposit)
        entries += step.entries
        assert step.payout_gr >= 0
        bank_gr += step.payout_gr
        paid_out = sum(entry.amount for entry in entries if entry.kind == PAID_OUT)
        assert bank_gr - deposit.owed_gr == paid_out
        assert not ledger.unbalanced(entries, {})
