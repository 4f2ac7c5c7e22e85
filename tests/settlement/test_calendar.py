"""The dimension table: one row for each hour of a span, with its zone and its price."""

from __future__ import annotations

from datetime import date

import pytest

from settlement.rules.calendar import HourRow, hour_rows
from settlement.rules.errors import NoRate, UnsupportedTariff
from settlement.rules.market import Rce
from settlement.rules.periods import Month, Period, hours_of
from settlement.tables.zones import load_schedules

SCHEDULES = load_schedules()
SPRING = Period(date(2025, 3, 30), date(2025, 3, 31))
AUTUMN = Period(date(2025, 10, 26), date(2025, 10, 27))


class PricesByPlace:
    """Prices that say where they were asked for."""

    def __init__(self, first_s: int) -> None:
        self.first_s = first_s
        self.clamps: set[str] = set()

    def hour_sum(self, start_s: int, clamp: str) -> int:
        self.clamps.add(clamp)
        return (start_s - self.first_s) // 3600


@pytest.mark.parametrize(
    ("span", "hours"),
    [
        (SPRING, 23),
        (AUTUMN, 25),
        (Month(2025, 3).period, 743),
        (Month(2025, 10).period, 745),
        (Month(2025, 2).period, 672),
    ],
)
def test_a_span_has_every_hour_of_its_days_once(span: Period, hours: int) -> None:
    rows = hour_rows(span, "G12", SCHEDULES, None, "quarter")
    assert len(rows) == hours
    assert [row.start_s for row in rows] == list(range(span.start_s, span.end_s, 3600))


def test_the_autumn_day_counts_hour_2_twice_in_the_night() -> None:
    rows = hour_rows(AUTUMN, "G12", SCHEDULES, None, "quarter")
    # 26 October 2025 is a Sunday; G12 knows no Sundays. 22-06 and 13-15, and one hour again.
    assert sum(row.zone == "night" for row in rows) == 11
    assert sum(row.zone == "night" for row in hour_rows(SPRING, "G12", SCHEDULES, None, "")) == 9


def test_prices_are_asked_for_each_hour_under_the_policy() -> None:
    prices = PricesByPlace(AUTUMN.start_s)
    rows = hour_rows(AUTUMN, "G11", SCHEDULES, prices, "hour")
    assert [row.price4 for row in rows] == list(range(25))
    assert prices.clamps == {"hour"}


def test_without_prices_a_row_has_none() -> None:
    assert {row.price4 for row in hour_rows(SPRING, "G11", SCHEDULES, None, "quarter")} == {None}


def test_a_row_is_plain_values_that_any_engine_can_hold() -> None:
    rows = hour_rows(SPRING, "G12w", SCHEDULES, PricesByPlace(0), "none")
    assert isinstance(rows[0], HourRow)
    assert {tuple(type(value) for value in row) for row in rows} == {(int, str, int)}


def test_quarter_prices_of_the_market_become_the_price_of_the_hour() -> None:
    hours = hours_of(SPRING.start)
    quarters = [
        (hour.start_s + 900 * place, price)
        for hour in hours
        for place, price in enumerate((40_000, -8_000, 100, 0))
    ]
    by_clamp = {
        clamp: {row.price4 for row in hour_rows(SPRING, "G11", SCHEDULES, Rce(quarters), clamp)}
        for clamp in ("quarter", "none")
    }
    assert by_clamp == {"quarter": {40_100}, "none": {32_100}}


def test_a_missing_price_and_an_unknown_group_stop_the_table() -> None:
    with pytest.raises(NoRate):
        hour_rows(SPRING, "G11", SCHEDULES, Rce([]), "quarter")
    with pytest.raises(UnsupportedTariff):
        hour_rows(SPRING, "B21", SCHEDULES, None, "quarter")
