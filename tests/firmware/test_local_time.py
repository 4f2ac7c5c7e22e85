"""Polish civil time on both runtimes; agreement with the time zone data is proven on the host."""

from firmware.local_time import civil, is_holiday, offset_s
from wire.messages import START_S_MIN, TIME_S_MAX

SPRING_S = 1616893200  # 2021-03-28T01:00Z: 02:00 becomes 03:00
AUTUMN_S = 1635642000  # 2021-10-31T01:00Z: 03:00 becomes 02:00
MONDAY, WEDNESDAY, THURSDAY, FRIDAY, SUNDAY = 0, 2, 3, 4, 6

# As the calendars print them: year -> Easter Sunday, Corpus Christi.
MOVING = (
    (2020, (4, 12), (6, 11)),
    (2024, (3, 31), (5, 30)),
    (2025, (4, 20), (6, 19)),
    (2038, (4, 25), (6, 24)),  # the latest that Easter can be
    (2049, (4, 18), (6, 17)),  # an exception of the computus
    (2076, (4, 19), (6, 18)),  # another
    (2099, (4, 12), (6, 11)),
)


def test_summer_time_begins_and_ends_at_one_o_clock_utc_to_the_second():
    assert offset_s(SPRING_S - 1) == 3600
    assert offset_s(SPRING_S) == 7200
    assert offset_s(AUTUMN_S - 1) == 7200
    assert offset_s(AUTUMN_S) == 3600


def test_the_civil_hour_jumps_in_spring_and_comes_twice_in_autumn():
    assert civil(SPRING_S - 60) == (2021, 3, 28, SUNDAY, 1, 59)
    assert civil(SPRING_S) == (2021, 3, 28, SUNDAY, 3, 0)
    assert civil(AUTUMN_S - 60) == (2021, 10, 31, SUNDAY, 2, 59)
    assert civil(AUTUMN_S) == (2021, 10, 31, SUNDAY, 2, 0)


def test_the_last_day_of_the_month_can_be_the_sunday_of_the_change():
    assert offset_s(1711846799) == 3600  # 2024-03-31T00:59:59Z
    assert offset_s(1711846800) == 7200


def test_midnight_is_poland_s():
    new_year_s = START_S_MIN - 3600
    assert civil(new_year_s - 1) == (2019, 12, 31, 1, 23, 59)
    assert civil(new_year_s) == (2020, 1, 1, WEDNESDAY, 0, 0)


def test_a_leap_day_is_a_day():
    assert civil(1582930800) == (2020, 2, 29, 5, 0, 0)
    assert civil(1582930800 + 86400) == (2020, 3, 1, SUNDAY, 0, 0)


def test_no_clock_is_too_wrong_to_have_a_civil_time():
    assert civil(0) == (1970, 1, 1, THURSDAY, 1, 0)
    assert civil(4102441199) == (2099, 12, 31, THURSDAY, 23, 59)
    assert civil(4102441200) == (2100, 1, 1, FRIDAY, 0, 0)
    assert civil(4107538800) == (2100, 3, 1, MONDAY, 0, 0)  # 2100 has no leap day
    assert civil(13574559600)[:3] == (2400, 2, 29)  # and 2400 has one
    assert civil(TIME_S_MAX)[0] == 4147


def test_the_fixed_holidays_are_those_of_the_act():
    days = [(m, d) for m in (1, 2, 7, 8, 9, 10, 11, 12) for d in range(1, 32)]
    found = [date for date in days if is_holiday(2024, date[0], date[1])]
    assert found == [(1, 1), (1, 6), (8, 15), (11, 1), (11, 11), (12, 25), (12, 26)]
    assert is_holiday(2024, 5, 1)
    assert is_holiday(2024, 5, 3)


def test_christmas_eve_is_free_from_2025_on():
    assert not is_holiday(2024, 12, 24)
    assert is_holiday(2025, 12, 24)
    assert is_holiday(2099, 12, 24)


def test_the_moving_holidays_follow_easter():
    for year, easter, corpus_christi in MOVING:
        days = [(m, d) for m in (3, 4, 5, 6) for d in range(1, 32 if m in (3, 5) else 31)]
        found = [date for date in days if is_holiday(year, date[0], date[1])]
        moving = [date for date in found if date not in ((5, 1), (5, 3))]
        assert moving[0] == easter
        assert moving[-1] == corpus_christi


def test_easter_monday_and_pentecost_are_holidays_and_good_friday_is_not():
    assert is_holiday(2026, 4, 5)
    assert is_holiday(2026, 4, 6)
    assert is_holiday(2026, 5, 24)
    assert not is_holiday(2026, 4, 3)
    assert not is_holiday(2026, 5, 25)
