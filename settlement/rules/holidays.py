"""Statutory holidays of Poland, by which zones and comparable days are told apart.

Act of 18 January 1951 on days free from work, art. 1 (Dz.U. 2020 poz. 1920): 13 days, of which
Easter Sunday and Pentecost are Sundays anyway. The act of 6 December 2024 (Dz.U. 2024 poz. 1965)
adds 24 December, for the first time in 2025.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

SATURDAY = 5
CHRISTMAS_EVE_FROM_YEAR = 2025
# Month and day of what never moves: 1 January ... 26 December.
FIXED = ((1, 1), (1, 6), (5, 1), (5, 3), (8, 15), (11, 1), (11, 11), (12, 25), (12, 26))
# Days after Easter Sunday: itself, Easter Monday, Pentecost, Corpus Christi.
AFTER_EASTER = (0, 1, 49, 60)


def is_free_day(day: date) -> bool:
    """Saturday, Sunday or statutory holiday: what tariffs call a day free from work."""
    return day.weekday() >= SATURDAY or day in holidays_of(day.year)


@cache
def holidays_of(year: int) -> frozenset[date]:
    """The 13 statutory holidays of the year, 14 from 2025 on."""
    easter = easter_sunday(year)
    days = {date(year, month, day) for month, day in FIXED}
    days |= {easter + timedelta(days=later) for later in AFTER_EASTER}
    if year >= CHRISTMAS_EVE_FROM_YEAR:
        days.add(date(year, 12, 24))
    return frozenset(days)


def easter_sunday(year: int) -> date:
    """Easter Sunday of the Gregorian calendar.

    The computus in the anonymous form of 1876 (Meeus, Astronomical Algorithms, chapter 8): the
    Sunday after the first full moon of the church's tables on or after 21 March.
    """
    golden = year % 19
    century, of_century = divmod(year, 100)
    leap_centuries, century_rest = divmod(century, 4)
    moon_shift = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_centuries - moon_shift + 15) % 30
    leaps, leap_rest = divmod(of_century, 4)
    weekday = (32 + 2 * century_rest + 2 * leaps - epact - leap_rest) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)
