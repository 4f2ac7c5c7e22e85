"""A period is cut at contracts, zone tables and, for prosumers, months; sellers do not share it."""

from __future__ import annotations

from datetime import date, timedelta

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
from settlement.rules.spans import Span
from settlement.rules.zones import Plan, Schedule, Schedules
from tests.support.a_contract import a_contract, a_prosumer, prices
from tests.support.a_point import days, law, spans_in

PERIOD = days("2024-03-05", "2024-06-05")
CHANGE = date(2024, 4, 20)
LEVY = ("levies", "renewable")


def spans(*contracts: Contract) -> tuple[Span, ...]:
    """The spans of the period, when no rate changes."""
    return spans_in(contracts, PERIOD, law({}))


def starts(found: tuple[Span, ...]) -> list[date]:
    return [each.period.start for each in found]


def test_a_period_in_which_nothing_changes_is_one_span() -> None:
    (span,) = spans(a_contract())
    assert span == Span(PERIOD, a_contract(), ("all_day",))
    assert span.month == Month(2024, 3)


@pytest.mark.parametrize("scheme", ["net_metering", "net_billing", "tenant"])
def test_a_prosumer_is_also_cut_at_every_month(scheme: str) -> None:
    contract = a_prosumer(scheme)
    firsts = [PERIOD.start, *(date(2024, month, 1) for month in (4, 5, 6))]
    assert starts(spans(contract)) == firsts
    changed = spans_in([contract], PERIOD, law({LEVY: {CHANGE: "7"}}))
    assert starts(changed) == sorted([*firsts, CHANGE])
    april = Month(2024, 4).period
    assert starts(spans_in([contract], april, law({}))) == [april.start]


def test_one_contract_after_another_cuts_though_nothing_else_changes() -> None:
    first, second = a_contract(valid_to=CHANGE), a_prosumer(valid_from=CHANGE)
    assert [(each.period.start, each.contract) for each in spans(first, second)] == [
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
    assert [each.zones for each in spans(first, second)] == [("all_day",), ("day", "night")]


def test_a_rate_is_followed_under_the_contract_that_pays_it() -> None:
    contracts = a_contract(valid_to=CHANGE, phases=1), a_contract(valid_from=CHANGE)
    before, after = date(2024, 4, 10), date(2024, 5, 10)
    rates = {
        ("distribution_tauron", "g11.fixed.1_phase"): {before: "7", after: "8"},
        ("distribution_tauron", "g11.fixed.3_phase"): {before + timedelta(days=1): "17"},
    }
    assert starts(spans_in(contracts, PERIOD, law(rates))) == [PERIOD.start, before, CHANGE]


def a_zone_table(zones: tuple[str, ...], start: date, end: date | None = None) -> Schedule:
    """G11 with these zones; of two, the first has the first half of the day."""
    hours = {zones[0]: ((0, 12),)} if len(zones) > 1 else {}
    plan = Plan(("summer", "winter"), ("workday", "free"), hours, rest=zones[-1])
    return Schedule("G11", zones, (plan,), start, end, "a test")


def test_another_zone_table_cuts_and_its_zones_are_followed_from_then_on() -> None:
    later = date(2024, 5, 10)
    rates: dict[tuple[str, str], dict[date, str]] = {
        ("distribution_tauron", "g11.variable.low"): {CHANGE: "0.1"},
        ("distribution_tauron", "g11.variable.high"): {CHANGE: "0.4", later: "0.5"},
        ("distribution_tauron", "g11.variable.all_day"): {date(2024, 5, 20): "0.6"},
    }
    before = a_zone_table(("all_day",), date(2020, 1, 1), CHANGE)
    schedules = Schedules([before, a_zone_table(("low", "high"), CHANGE)])
    found = spans_in([a_contract()], PERIOD, law(rates, schedules=schedules))
    assert [(each.period.start, each.zones) for each in found] == [
        (PERIOD.start, ("all_day",)),
        (CHANGE, ("low", "high")),
        (later, ("low", "high")),
    ]


def test_two_sellers_do_not_share_an_invoice() -> None:
    contracts = a_contract(valid_to=CHANGE), a_contract(valid_from=CHANGE, seller="enea")
    with pytest.raises(SellerChanges, match="enea takes over from tauron on 2024-04-20"):
        spans(*contracts)
    for period in (Period(PERIOD.start, CHANGE), Period(CHANGE, PERIOD.end)):
        assert len(spans_in(contracts, period, law({}))) == 1


@pytest.mark.parametrize(
    ("period", "gap_days"),
    [
        (days("2023-12-31", "2024-02-01"), 0),
        (days("2024-08-01", "2024-09-02"), 0),
        (days("2024-03-01", "2024-05-01"), 1),
    ],
)
def test_a_period_that_no_contract_covers_whole_is_refused(period: Period, gap_days: int) -> None:
    end = date(2024, 4, 1)
    first = a_contract(valid_from=date(2024, 1, 1), valid_to=end)
    second = a_contract(valid_from=end + timedelta(days=gap_days), valid_to=date(2024, 9, 1))
    with pytest.raises(OutsideContract):
        spans_in([first, second], period, law({}))


def test_a_group_without_zones_and_a_day_without_zones_are_refused() -> None:
    with pytest.raises(UnsupportedTariff, match="G14dynamic"):
        spans(a_contract(tariff_group="G14dynamic"))
    late = Schedules([a_zone_table(("all_day",), CHANGE)])
    with pytest.raises(NoRate, match="2024-03-05"):
        spans_in([a_contract()], PERIOD, law({}, schedules=late))


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
    of_law = law({LEVY: {day: str(place) for place, day in enumerate(sorted(changes))}})
    contract = a_prosumer() if prosumer else a_contract()
    found = spans_in([contract], period, of_law)
    assert starts(found)[1:] == [each.period.end for each in found[:-1]]
    assert (found[0].period.start, found[-1].period.end) == (period.start, period.end)
    for span in found:
        # Raises RateChanges when the span is not cut where it must be.
        assert of_law.tables.rate(*LEVY, span.period).value >= 0
        last = span.period.end - timedelta(days=1)
        assert not prosumer or Month.of(last) == span.month
