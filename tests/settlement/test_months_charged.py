"""How many months of a fixed fee a span is charged: a started month counts once, or by days."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules.periods import Period, months_of
from settlement.rules.tariff import fixed_months, started_months
from tests.support.a_point import days


@pytest.mark.parametrize(
    ("start", "end", "full_months", "by_days"),
    [
        ("2024-07-01", "2024-08-01", "1", "1"),
        ("2024-07-01", "2024-07-02", "1", "0.0323"),
        ("2024-07-01", "2024-08-02", "2", "1.0323"),
        ("2024-07-15", "2024-08-15", "2", "1"),
        ("2024-09-16", "2024-10-16", "2", "0.9839"),
        ("2024-02-01", "2024-02-15", "1", "0.4828"),
        ("2024-07-01", "2025-01-01", "6", "6"),
    ],
)
def test_fixed_fees_of_a_partial_month_follow_the_policy(
    start: str, end: str, full_months: str, by_days: str
) -> None:
    period = days(start, end)
    assert str(fixed_months(period, "full_month")) == full_months
    assert str(fixed_months(period, "by_days")) == by_days


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2024-07-10", "2024-07-20", 1),
        ("2024-07-20", "2024-08-01", 0),
        ("2024-07-20", "2024-08-02", 1),
        ("2024-08-01", "2024-08-15", 1),
        ("2024-08-15", "2024-10-02", 2),
    ],
)
def test_a_month_counts_in_the_span_that_has_its_first_day_on_the_invoice(
    start: str, end: str, months: int
) -> None:
    span, first_day = days(start, end), date(2024, 7, 10)
    assert started_months(span, first_day) == months
    assert fixed_months(span, "full_month", first_day) == months


def test_by_days_a_month_in_two_spans_is_shared_between_them() -> None:
    first, second = days("2024-07-01", "2024-07-11"), days("2024-07-11", "2024-08-01")
    shares = [fixed_months(span, "by_days", first.start) for span in (first, second)]
    assert shares == [Decimal("0.3226"), Decimal("0.6774")]


@given(
    st.dates(date(2022, 1, 1), date(2024, 12, 31)),
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
)
def test_no_month_is_counted_twice_however_the_invoice_is_cut(
    start: date, lengths: list[int]
) -> None:
    bounds = [start]
    for length in lengths:
        bounds.append(bounds[-1] + timedelta(days=length))
    spans = [Period(*each) for each in pairwise(bounds)]
    whole = Period(start, bounds[-1])
    counted = sum(started_months(span, start) for span in spans)
    assert counted == len(months_of(whole)) == started_months(whole, start)
    shares = sum(fixed_months(span, "by_days", start) for span in spans)
    assert abs(shares - fixed_months(whole, "by_days")) <= Decimal("0.0001") * len(spans)
