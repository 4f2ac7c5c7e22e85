"""A period is cut where anything that is charged changes, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules.contract import Contract
from settlement.rules.errors import (
    NoRate,
    OutsideContract,
    SellerChanges,
    UnsupportedTariff,
)
from settlement.rules.periods import Month, Period
from settlement.rules.rates import Row, Tables
from settlement.rules.schemes import Law
from settlement.rules.spans import Span, spans_of
from settlement.rules.zones import Plan, Schedule, Schedules
from tests.support.a_contract import Changes, a_contract, a_prosumer, prices, some_tables
from tests.support.a_point import days, law

PERIOD = days("2024-03-05", "2024-06-05")
CHANGE = date(2024, 4, 20)


def spans(
    contracts: Contract | Sequence[Contract], of_law: Law, period: Period = PERIOD
) -> tuple[Span, ...]:
    listed = [contracts] if isinstance(contracts, Contract) else contracts
    return spans_of(listed, of_law.tables, of_law.schedules, period)


def cuts(
    contracts: Contract | Sequence[Contract], changes: Changes | Tables, period: Period = PERIOD
) -> list[date]:
    """First days of all spans but the first."""
    return [each.period.start for each in spans(contracts, law(changes), period)][1:]


def test_a_period_in_which_nothing_changes_is_one_span() -> None:
    (span,) = spans(a_contract(), law({}))
    assert (span.period, span.contract, span.zones) == (PERIOD, a_contract(), ("all_day",))
    assert span.month == Month(2024, 3)


@pytest.mark.parametrize(
    "key",
    [
        ("vat", "electricity"),
        ("levies", "renewable"),
        ("levies", "cogeneration"),
        ("distribution_tauron", "quality"),
        ("distribution_tauron", "g11.variable.all_day"),
        ("distribution_tauron", "g11.fixed.3_phase"),
        ("distribution_tauron", "subscription.1_month"),
        ("price_cap", "household.regime"),
        ("price_cap", "household"),
        ("price_cap", "household.limit.standard"),
    ],
)
def test_a_rate_that_changes_cuts_on_its_day(key: tuple[str, str]) -> None:
    assert cuts(a_contract(), {key: {CHANGE: "7"}}) == [CHANGE]


@pytest.mark.parametrize(
    "key",
    [
        ("distribution_tauron", "g12.variable.day"),
        ("distribution_tauron", "g11.fixed.1_phase"),
        ("distribution_tauron", "subscription.2_month"),
        ("price_cap", "household.limit.disability"),
        ("excise", "electricity.household"),
        ("seller_x", "trade_fee"),
    ],
)
def test_a_rate_that_the_contract_does_not_pay_cuts_nothing(key: tuple[str, str]) -> None:
    assert cuts(a_contract(), {key: {CHANGE: "7"}}) == []


@pytest.mark.parametrize("key", ["household.regime", "household", "household.limit.standard"])
def test_a_change_of_the_cap_is_nothing_to_who_is_not_entitled(key: str) -> None:
    assert cuts(a_contract(cap_entitled=False), {("price_cap", key): {CHANGE: "7"}}) == []


def test_a_rate_that_goes_on_with_the_same_value_cuts_nothing() -> None:
    assert cuts(a_contract(), {("levies", "renewable"): {CHANGE: "0.001"}}) == []


def test_rates_that_change_on_the_first_day_or_after_the_last_cut_nothing() -> None:
    for day in (PERIOD.start, PERIOD.end):
        assert cuts(a_contract(), {("levies", "renewable"): {day: "7"}}) == []
    next_day, last_day = PERIOD.start + timedelta(days=1), PERIOD.end - timedelta(days=1)
    both = {("levies", "renewable"): {next_day: "7", last_day: "8"}}
    assert cuts(a_contract(), both) == [next_day, last_day]


def test_several_changes_on_a_day_cut_once() -> None:
    later = date(2024, 5, 2)
    changes = {
        ("levies", "renewable"): {CHANGE: "7"},
        ("vat", "electricity"): {CHANGE: "8", later: "23"},
    }
    assert cuts(a_contract(), changes) == [CHANGE, later]


@pytest.mark.parametrize("zone", ["day", "night"])
def test_a_change_in_any_zone_cuts(zone: str) -> None:
    contract = a_contract(tariff_group="G12")
    assert cuts(contract, {("distribution_tauron", f"g12.variable.{zone}"): {CHANGE: "7"}}) == [
        CHANGE
    ]


@pytest.mark.parametrize("part", ["up_to", "above"])
def test_both_night_rates_of_g12as_cut(part: str) -> None:
    key = ("distribution_tauron", f"g12as.variable.night_{part}_reference")
    assert cuts(a_contract(tariff_group="G12as"), {key: {CHANGE: "7"}}) == [CHANGE]


@pytest.mark.parametrize("key", ["g11.energy.all_day", "trade_fee"])
def test_a_price_list_cuts_where_it_changes(key: str) -> None:
    contract = a_contract(price_list="x", unit_prices_pln_per_kwh={})
    changes = {("seller_x", key): {date(2023, 1, 1): "0.6", CHANGE: "0.7"}}
    assert cuts(contract, changes) == [CHANGE]
    assert cuts(a_contract(), changes) == []


def test_excise_cuts_a_price_list_by_the_kind_of_customer() -> None:
    of_list = {"price_list": "x", "unit_prices_pln_per_kwh": {}}
    changes = {("excise", "electricity.other"): {CHANGE: "0.001"}}
    assert cuts(a_contract(**of_list), changes) == []
    assert cuts(a_contract(customer="garage", **of_list), changes) == [CHANGE]


def test_a_list_that_begins_to_leave_excise_out_cuts_though_its_number_stays() -> None:
    rows = [
        Row(
            "seller_x",
            "g11.energy.all_day",
            Decimal("0.6"),
            "pln_per_kwh",
            start,
            end,
            "a test",
            excise_included=included,
        )
        for start, end, included in (
            (date(2023, 1, 1), CHANGE, True),
            (CHANGE, None, False),
        )
    ]
    contract = a_contract(price_list="x", unit_prices_pln_per_kwh={})
    assert cuts(contract, Tables([*some_tables().rows, *rows])) == [CHANGE]


@pytest.mark.parametrize("low_kwh", [0, 500, 1201, 2801])
@pytest.mark.parametrize("table", ["capacity_fee", "transitional_fee"])
def test_a_fee_cuts_where_any_of_its_bands_changes(table: str, low_kwh: int) -> None:
    def changed(row: Row) -> list[Row]:
        if row.table != table:
            return [row]
        value = row.value + (row.annual_kwh[0] <= low_kwh <= (row.annual_kwh[1] or low_kwh))
        return [
            replace(row, valid_to=CHANGE),
            replace(row, valid_from=CHANGE, value=value),
        ]

    of_bands = Tables(each for row in some_tables().rows for each in changed(row))
    assert cuts(a_contract(annual_kwh=None), of_bands) == [CHANGE]


def banded(day: date, until: date | None, bands: dict[int, str]) -> list[Row]:
    ends = [*[low - 1 for low in list(bands)[1:]], None]
    return [
        Row(
            "capacity_fee",
            "household",
            Decimal(value),
            "pln_per_month",
            day,
            until,
            "a test",
            (low, high),
        )
        for (low, value), high in zip(bands.items(), ends, strict=True)
    ]


@pytest.mark.parametrize(
    "after",
    [
        {0: "2", 1000: "5", 3500: "8"},
        {0: "2", 1000: "5", 7000: "9"},
        {0: "2", 999: "6", 1000: "5"},
        {0: "3", 1000: "5"},
        {0: "2"},
    ],
)
def test_bands_may_have_any_width_and_may_change_it(after: dict[int, str]) -> None:
    others = [row for row in some_tables().rows if row.table != "capacity_fee"]
    before = banded(date(2020, 1, 1), CHANGE, {0: "2", 1000: "5"})
    tables = Tables([*others, *before, *banded(CHANGE, None, after)])
    assert cuts(a_contract(annual_kwh=None), tables) == [CHANGE]


def test_bands_that_are_written_otherwise_and_mean_the_same_cut_nothing() -> None:
    others = [row for row in some_tables().rows if row.table != "capacity_fee"]
    before = banded(date(2020, 1, 1), CHANGE, {0: "2", 1000: "5"})
    after = banded(CHANGE, None, {0: "2", 500: "2", 1000: "5", 9000: "5"})
    assert cuts(a_contract(annual_kwh=None), Tables([*others, *before, *after])) == []


@pytest.mark.parametrize("scheme", ["net_metering", "net_billing", "tenant"])
def test_a_prosumer_is_also_cut_at_every_month(scheme: str) -> None:
    months = [date(2024, month, 1) for month in (4, 5, 6)]
    assert cuts(a_prosumer(scheme), {}) == months
    assert cuts(a_prosumer(scheme), {}, days("2024-04-01", "2024-05-01")) == []
    assert cuts(a_prosumer(scheme), {("levies", "renewable"): {CHANGE: "7"}}) == sorted(
        [*months, CHANGE]
    )


def test_one_contract_after_another_cuts_though_nothing_else_changes() -> None:
    first = a_contract(valid_to=CHANGE)
    second = a_prosumer(valid_from=CHANGE)
    found = spans([first, second], law({}))
    assert [(each.period.start, each.contract) for each in found] == [
        (PERIOD.start, first),
        (CHANGE, second),
        (date(2024, 5, 1), second),
        (date(2024, 6, 1), second),
    ]


def test_each_span_has_the_zones_of_its_contract() -> None:
    first = a_contract(valid_to=CHANGE)
    second = a_contract(
        tariff_group="G12", unit_prices_pln_per_kwh=prices(day="1", night="1"), valid_from=CHANGE
    )
    assert [each.zones for each in spans([first, second], law({}))] == [
        ("all_day",),
        ("day", "night"),
    ]


def test_a_rate_is_followed_under_the_contract_that_pays_it() -> None:
    first = a_contract(valid_to=CHANGE, phases=1)
    second = a_contract(valid_from=CHANGE)
    before, after = date(2024, 4, 10), date(2024, 5, 10)
    changes = {
        ("distribution_tauron", "g11.fixed.1_phase"): {before: "7", after: "8"},
        ("distribution_tauron", "g11.fixed.3_phase"): {before + timedelta(days=1): "17"},
    }
    assert cuts([first, second], changes) == [before, CHANGE]


def zone_tables(second: tuple[str, ...]) -> Schedules:
    """G11 with one zone, and from CHANGE on with others, equal halves of the day."""

    def schedule(zones: tuple[str, ...], start: date, end: date | None) -> Schedule:
        hours = {zones[0]: ((0, 12),)} if len(zones) > 1 else {}
        plan = Plan(("summer", "winter"), ("workday", "free"), hours, rest=zones[-1])
        return Schedule("G11", zones, (plan,), start, end, "a test")

    return Schedules(
        [
            schedule(("all_day",), date(2020, 1, 1), CHANGE),
            schedule(second, CHANGE, None),
        ]
    )


def test_another_zone_table_cuts_and_its_zones_are_followed_from_then_on() -> None:
    later = date(2024, 5, 10)
    rates: dict[tuple[str, str], dict[date, str]] = {
        ("distribution_tauron", "g11.variable.low"): {CHANGE: "0.1"},
        ("distribution_tauron", "g11.variable.high"): {CHANGE: "0.4", later: "0.5"},
        ("distribution_tauron", "g11.variable.all_day"): {date(2024, 5, 20): "0.6"},
    }
    of_law = law(rates, schedules=zone_tables(("low", "high")))
    found = spans(a_contract(), of_law)
    assert [(each.period.start, each.zones) for each in found] == [
        (PERIOD.start, ("all_day",)),
        (CHANGE, ("low", "high")),
        (later, ("low", "high")),
    ]


def test_two_sellers_do_not_share_an_invoice() -> None:
    first = a_contract(valid_to=CHANGE)
    second = a_contract(valid_from=CHANGE, seller="enea")
    with pytest.raises(SellerChanges, match="enea takes over from tauron on 2024-04-20"):
        spans([first, second], law({}))
    for period in (Period(PERIOD.start, CHANGE), Period(CHANGE, PERIOD.end)):
        assert len(spans([first, second], law({}), period)) == 1


@pytest.mark.parametrize(
    ("period", "changes"),
    [
        (days("2023-12-31", "2024-02-01"), {}),
        (days("2024-08-01", "2024-09-02"), {}),
        (days("2024-03-01", "2024-05-01"), {"gap": True}),
    ],
)
def test_a_period_that_no_contract_covers_whole_is_refused(
    period: Period, changes: dict[str, Any]
) -> None:
    first = a_contract(valid_from=date(2024, 1, 1), valid_to=date(2024, 4, 1))
    start = date(2024, 4, 2) if changes else date(2024, 4, 1)
    second = a_contract(valid_from=start, valid_to=date(2024, 9, 1))
    with pytest.raises(OutsideContract):
        spans([first, second], law({}), period)


def test_a_group_without_zones_and_a_day_without_zones_are_refused() -> None:
    with pytest.raises(UnsupportedTariff, match="G14dynamic"):
        spans(a_contract(tariff_group="G14dynamic"), law({}))
    late = Schedules([replace(_only(zone_tables(("all_day",))), valid_from=CHANGE)])
    with pytest.raises(NoRate, match="2024-03-05"):
        spans(a_contract(), law({}, schedules=late))


def _only(_: Schedules) -> Schedule:
    plan = Plan(("summer", "winter"), ("workday", "free"), {}, rest="all_day")
    return Schedule("G11", ("all_day",), (plan,), CHANGE, None, "a test")


@given(
    st.sets(st.dates(date(2024, 1, 1), date(2024, 12, 30)), max_size=6),
    st.dates(date(2024, 1, 1), date(2024, 6, 30)),
    st.integers(1, 184),
    st.booleans(),
)
def test_spans_follow_one_another_without_gap_and_no_rate_changes_inside(
    changes: set[date], start: date, length: int, prosumer: bool
) -> None:
    period = Period(start, start + timedelta(days=length))
    values = {day: str(place) for place, day in enumerate(sorted(changes))}
    of_law = law({("levies", "renewable"): values})
    contract = a_prosumer() if prosumer else a_contract()
    found = spans(contract, of_law, period)
    assert [each.period.start for each in found[1:]] == [each.period.end for each in found[:-1]]
    assert (found[0].period.start, found[-1].period.end) == (period.start, period.end)
    for span in found:
        assert of_law.tables.rate("levies", "renewable", span.period).value >= 0
        last = span.period.end - timedelta(days=1)
        assert not prosumer or Month.of(last) == span.month
