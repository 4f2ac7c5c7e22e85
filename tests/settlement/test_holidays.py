"""Statutory holidays, against published dates and against what the meter itself knows."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from firmware import local_time
from settlement.rules.holidays import easter_sunday, holidays_of, is_free_day

ALL_DAYS = [
    date(2020, 1, 1) + timedelta(days=n) for n in range((date(2100, 1, 1) - date(2020, 1, 1)).days)
]


@pytest.mark.parametrize(
    "day",
    [
        date(2020, 4, 12),
        date(2021, 4, 4),
        date(2022, 4, 17),
        date(2023, 4, 9),
        date(2024, 3, 31),
        date(2025, 4, 20),
        date(2026, 4, 5),
        date(2038, 4, 25),  # the latest that is possible
        date(2049, 4, 18),  # one of the years that the late correction is for
    ],
)
def test_easter_falls_where_calendars_print_it(day: date) -> None:
    assert easter_sunday(day.year) == day


def test_the_holidays_of_2024_are_the_13_of_the_act() -> None:
    assert sorted(holidays_of(2024)) == [
        date(2024, 1, 1), date(2024, 1, 6), date(2024, 3, 31), date(2024, 4, 1),
        date(2024, 5, 1), date(2024, 5, 3), date(2024, 5, 19), date(2024, 5, 30),
        date(2024, 8, 15), date(2024, 11, 1), date(2024, 11, 11), date(2024, 12, 25),
        date(2024, 12, 26),
    ]  # fmt: skip


@pytest.mark.parametrize(("year", "days"), [(2020, 13), (2024, 13), (2025, 14), (2026, 14)])
def test_christmas_eve_is_a_holiday_from_2025_on(year: int, days: int) -> None:
    assert len(holidays_of(year)) == days
    assert (date(year, 12, 24) in holidays_of(year)) is (days == 14)


@pytest.mark.parametrize(
    ("day", "free"),
    [
        (date(2024, 5, 31), False),  # the Friday after Corpus Christi
        (date(2024, 5, 30), True),  # Corpus Christi, a Thursday
        (date(2024, 4, 1), True),  # Easter Monday
        (date(2024, 6, 1), True),  # a Saturday
        (date(2024, 6, 2), True),  # a Sunday
        (date(2024, 6, 3), False),
        (date(2024, 12, 24), False),
        (date(2025, 12, 24), True),
    ],
)
def test_weekends_and_holidays_are_free_days(day: date, free: bool) -> None:
    assert is_free_day(day) is free


def test_the_meter_and_the_invoice_know_the_same_holidays() -> None:
    differing = [
        day
        for day in ALL_DAYS
        if (day in holidays_of(day.year)) is not local_time.is_holiday(day.year, day.month, day.day)
    ]
    assert differing == []
