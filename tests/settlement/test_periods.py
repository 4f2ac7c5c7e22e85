"""Civil days have 23, 24 or 25 hours; labels follow eLicznik and PSE."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules.errors import BadPeriod
from settlement.rules.periods import (
    PERIOD_DAYS_MAX,
    Period,
    billing_periods,
    day_of,
    day_start_s,
    hours_of,
    local_hour,
    months_of,
    parse_day,
    quarters_of,
)

SPRING = date(2024, 3, 31)
AUTUMN = date(2024, 10, 27)


def test_the_spring_day_has_23_hours_and_no_label_3() -> None:
    labels = [hour.label for hour in hours_of(SPRING)]
    assert labels == ["1", "2", *(str(number) for number in range(4, 25))]


def test_the_autumn_day_has_25_hours_and_label_3_twice() -> None:
    labels = [hour.label for hour in hours_of(AUTUMN)]
    assert labels == ["1", "2", "3", "3", *(str(number) for number in range(4, 25))]


def test_an_ordinary_day_has_labels_1_to_24() -> None:
    assert [hour.label for hour in hours_of(date(2024, 7, 1))] == [str(n) for n in range(1, 25)]


def test_local_midnight_is_two_hours_before_utc_in_summer_and_one_in_winter() -> None:
    assert day_start_s(date(2024, 7, 1)) == 1719784800  # 2024-06-30T22:00:00Z
    assert day_start_s(date(2024, 12, 1)) == 1733007600  # 2024-11-30T23:00:00Z


@given(st.dates(date(2020, 1, 1), date(2098, 12, 31)))
def test_days_follow_one_another_without_hole_or_overlap(day: date) -> None:
    hours = hours_of(day)
    assert len(hours) in (23, 24, 25)
    assert hours[-1].start_s + 3600 == day_start_s(day + timedelta(days=1))
    assert {day_of(hour.start_s) for hour in hours} == {day}
    assert day_of(hours[-1].start_s + 3599) == day


def pse_labels(day: date) -> list[str]:
    return [label for _, label in quarters_of(day)]


def test_the_spring_day_has_92_quarters_from_0200_to_0315() -> None:
    labels = pse_labels(date(2025, 3, 30))
    assert len(labels) == 92
    assert labels[6:11] == ["01:45", "02:00", "03:15", "03:30", "03:45"]


def test_the_autumn_day_has_100_quarters_and_an_a_in_the_repeated_hour() -> None:
    # As PSE printed them for this day.
    labels = pse_labels(date(2025, 10, 26))
    assert len(labels) == 100
    assert labels[8:17] == [
        "02:15", "02:30", "02:45", "03:00", "02a:15", "02a:30", "02a:45", "03a:00", "03:15",
    ]  # fmt: skip


def test_a_quarter_is_labelled_by_its_end_and_the_last_one_2400() -> None:
    labels = pse_labels(date(2024, 7, 1))
    assert (labels[0], labels[1], labels[-1], len(labels)) == ("00:15", "00:30", "24:00", 96)
    assert quarters_of(date(2024, 7, 1))[0].start_s == 1719784800


@given(st.dates(date(2020, 1, 1), date(2098, 12, 31)))
def test_no_two_quarters_of_a_day_share_a_label(day: date) -> None:
    quarters = quarters_of(day)
    assert [start_s for start_s, _ in quarters[::4]] == [hour.start_s for hour in hours_of(day)]
    assert quarters[-1].start_s + 900 == day_start_s(day + timedelta(days=1))
    assert len({label for _, label in quarters}) == len(quarters) == 4 * len(hours_of(day))


def test_the_clock_shows_2_twice_in_autumn_and_never_in_spring() -> None:
    autumn = [local_hour(hour.start_s) for hour in hours_of(AUTUMN)]
    spring = [local_hour(hour.start_s) for hour in hours_of(SPRING)]
    assert autumn[1:5] == [1, 2, 2, 3]
    assert spring[1:3] == [1, 3]


def test_a_period_is_half_open() -> None:
    october = Period(date(2024, 10, 1), date(2024, 11, 1))
    assert october.end_s - october.start_s == (31 * 24 + 1) * 3600


def test_months_carry_their_days_inside_of_the_period() -> None:
    parts = months_of(Period(date(2024, 1, 31), date(2024, 3, 2)))
    assert [(part.month, part.days, part.days_in_month) for part in parts] == [
        (1, 1, 31),
        (2, 29, 29),
        (3, 1, 31),
    ]


def test_december_is_followed_by_january_of_the_next_year() -> None:
    parts = months_of(Period(date(2024, 12, 31), date(2025, 1, 2)))
    assert [(part.year, part.month, part.days) for part in parts] == [(2024, 12, 1), (2025, 1, 1)]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2024, 7, 1), date(2024, 7, 1)),
        (date(2024, 7, 2), date(2024, 7, 1)),
        (date(2019, 12, 31), date(2020, 1, 31)),
    ],
)
def test_an_empty_reversed_or_far_away_period_is_refused(start: date, end: date) -> None:
    with pytest.raises(BadPeriod):
        Period(start, end)


def test_a_period_is_at_most_a_leap_year_long() -> None:
    start = date(2024, 1, 1)
    for days in (PERIOD_DAYS_MAX - 1, PERIOD_DAYS_MAX):
        assert Period(start, start + timedelta(days=days)).start == start
    with pytest.raises(BadPeriod):
        Period(start, start + timedelta(days=PERIOD_DAYS_MAX + 1))


@pytest.mark.parametrize(
    "text", ["", "2024-13-01", "2024-02-30", "27.10.2024", "2024-1-1", "1999-01-01", "x" * 999]
)
def test_a_day_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(BadPeriod):
        parse_day(text)


@pytest.mark.parametrize(
    ("months", "ends"),
    [
        (1, [date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1), date(2024, 5, 1)]),
        (2, [date(2024, 3, 1), date(2024, 5, 1)]),
        (6, [date(2024, 5, 1)]),
        (12, [date(2024, 5, 1)]),
    ],
)
def test_billing_periods_end_with_calendar_months(months: int, ends: list[date]) -> None:
    periods = billing_periods(date(2024, 1, 15), months, date(2024, 5, 1))
    assert periods[0].start == date(2024, 1, 15)
    assert [period.end for period in periods] == ends
    assert [period.start for period in periods[1:]] == ends[:-1]


def test_the_last_billing_period_is_cut_at_the_day_until_which_it_is_asked_for() -> None:
    periods = billing_periods(date(2024, 1, 1), 2, date(2024, 4, 10))
    assert periods[-1] == Period(date(2024, 3, 1), date(2024, 4, 10))


def test_twelve_months_over_a_leap_year_are_one_period() -> None:
    (period,) = billing_periods(date(2024, 1, 1), 12, date(2025, 1, 1))
    assert (period.end - period.start).days == PERIOD_DAYS_MAX


def test_no_day_to_bill_is_refused() -> None:
    assert len(billing_periods(date(2024, 1, 1), 1, date(2024, 1, 2))) == 1
    with pytest.raises(BadPeriod, match="nothing to bill"):
        billing_periods(date(2024, 1, 1), 1, date(2024, 1, 1))
