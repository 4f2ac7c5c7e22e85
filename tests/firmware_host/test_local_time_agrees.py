"""The meter's civil time agrees with the time zone data, for every day of 2020 to 2099."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from firmware import local_time

POLAND = ZoneInfo("Europe/Warsaw")
YEAR_MIN = 2020
YEAR_MAX = 2099
HOUR_S = 3600
HOURS_AROUND = 30
FREE_DAYS_UNTIL_2024 = 13
FREE_DAYS_FROM_2025 = 14


def first_second(day: date) -> int:
    """UTC second of local midnight."""
    return int(datetime(day.year, day.month, day.day, tzinfo=POLAND).timestamp())


def expected(at_s: int) -> tuple[int, ...]:
    local = datetime.fromtimestamp(at_s, POLAND)
    return (local.year, local.month, local.day, local.weekday(), local.hour, local.minute)


def days() -> Iterator[date]:
    day = date(YEAR_MIN, 1, 1)
    while day.year <= YEAR_MAX:
        yield day
        day += timedelta(days=1)


def changes(year: int) -> list[int]:
    """The UTC hours of the year at which the zone data change the offset."""
    start_s = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    hours = range(start_s, start_s + 366 * 24 * HOUR_S, HOUR_S)
    offsets = [(at_s, datetime.fromtimestamp(at_s, POLAND).utcoffset()) for at_s in hours]
    return [later[0] for before, later in pairwise(offsets) if before[1] != later[1]]


def test_every_day_begins_and_ends_when_the_zone_data_say() -> None:
    for day in days():
        start_s = first_second(day)
        for at_s in (start_s - 1, start_s, start_s + 12 * HOUR_S):
            assert local_time.civil(at_s) == expected(at_s)


@pytest.mark.parametrize("decade", range(YEAR_MIN, YEAR_MAX + 1, 10))
def test_every_hour_around_each_change_is_that_of_the_zone_data(decade: int) -> None:
    for year in range(decade, decade + 10):
        found = changes(year)
        assert len(found) == 2
        for change_s in found:
            for hour in range(-HOURS_AROUND, HOURS_AROUND):
                for at_s in (change_s + hour * HOUR_S - 1, change_s + hour * HOUR_S):
                    assert local_time.civil(at_s) == expected(at_s)
                    offset = datetime.fromtimestamp(at_s, POLAND).utcoffset()
                    assert timedelta(seconds=local_time.offset_s(at_s)) == offset


def hours_in(day: date) -> int:
    """Hours of the civil day as the meter counts them."""
    at_s = first_second(day)
    count = 0
    while local_time.civil(at_s + count * HOUR_S)[2] == day.day:
        count += 1
    return count


def test_days_have_23_24_or_25_hours() -> None:
    assert hours_in(date(2024, 3, 31)) == 23
    assert hours_in(date(2024, 4, 1)) == 24
    assert hours_in(date(2024, 10, 27)) == 25


@pytest.mark.parametrize("at_s", [0, first_second(date(YEAR_MIN, 1, 1)) - 1, 2**32, 2**36 - 1])
def test_beyond_the_proven_years_the_rules_go_on(at_s: int) -> None:
    local = datetime.fromtimestamp(at_s, UTC) + timedelta(seconds=local_time.offset_s(at_s))
    assert local_time.civil(at_s)[:3] == (local.year, local.month, local.day)


def test_every_year_has_its_number_of_holidays() -> None:
    for year in range(YEAR_MIN, YEAR_MAX + 1):
        free = [day for day in days_of(year) if local_time.is_holiday(year, day.month, day.day)]
        together = date(year, 5, 3) in moving_holidays(year)  # one day, two reasons
        until_2024 = year < 2025
        assert len(free) + together == (FREE_DAYS_UNTIL_2024 if until_2024 else FREE_DAYS_FROM_2025)


def days_of(year: int) -> list[date]:
    start = date(year, 1, 1)
    return [start + timedelta(days=n) for n in range((date(year + 1, 1, 1) - start).days)]


def moving_holidays(year: int) -> list[date]:
    """The moving holidays, by another computus than the meter's (Gauss, with its exceptions)."""
    a, b, c = year % 19, year % 4, year % 7
    d = (19 * a + 24) % 30
    e = (2 * b + 4 * c + 6 * d + 5) % 7
    if (d, e) == (29, 6) or ((d, e) == (28, 6) and a > 10):
        d -= 7
    easter = date(year, 3, 22) + timedelta(days=d + e)
    return [easter + timedelta(days=n) for n in (0, 1, 49, 60)]


def test_another_computus_finds_the_same_moving_holidays() -> None:
    for year in range(YEAR_MIN, YEAR_MAX + 1):
        for day in days_of(year):
            if 3 <= day.month <= 6 and (day.month, day.day) not in ((5, 1), (5, 3)):
                free = local_time.is_holiday(year, day.month, day.day)
                assert free == (day in moving_holidays(year))
