"""Polish civil time on the meter: summer time, calendar days, statutory holidays.

Proven against the time zone data for the civil years 2020 to 2099. The rules go on in any other
year: no clock, however wrong, may stop the metering.
"""

HOUR_S = 3600
DAY_S = 86400
MARCH_2000_DAYS = 11017  # from 1970-01-01 to 2000-03-01, where a cycle of 400 years begins

# Month * 100 + day. Act of 18 January 1951 on days free of work, consolidated Dz.U. 2020 poz. 1920.
FIXED_HOLIDAYS = (101, 106, 501, 503, 815, 1101, 1111, 1225, 1226)
CHRISTMAS_EVE_YEAR_MIN = 2025  # Act of 6 December 2024, Dz.U. 2024 poz. 1965
EASTER_HOLIDAYS = (0, 1, 49, 60)  # Easter, its Monday, Pentecost, Corpus Christi: days after Easter
MARCH_TO_JUNE_DAYS = (0, 31, 61, 92)  # from 1 March to the first day of March, April, May, June


def offset_s(at_s: int) -> int:
    """Seconds that Polish civil time is ahead of UTC: 7200 in summer time, else 3600.

    Summer time lasts from the last Sunday of March, 01:00 UTC, to the last Sunday of October,
    01:00 UTC (directive 2000/84/EC, articles 2 and 3). at_s is UTC seconds since 1970.
    """
    days = at_s // DAY_S
    _, month, day = _date(days)
    summer = 3 < month < 10
    if month in (3, 10):
        last_sunday = 31 - (days + 31 - day + 4) % 7
        changed = day * 24 + at_s % DAY_S // HOUR_S > last_sunday * 24
        summer = changed == (month == 3)
    return 2 * HOUR_S if summer else HOUR_S


def civil(at_s: int) -> "tuple[int, int, int, int, int, int]":
    """(year, month, day, weekday, hour, minute) in Poland; weekday 0 is Monday.

    at_s is UTC seconds since 1970.
    """
    local_s = at_s + offset_s(at_s)
    days = local_s // DAY_S  # 1970-01-01 was a Thursday
    second = local_s % DAY_S
    year, month, day = _date(days)
    return year, month, day, (days + 3) % 7, second // HOUR_S, second % HOUR_S // 60


def is_holiday(year: int, month: int, day: int) -> bool:
    """True on a statutory holiday in Poland: 13 in a year, 14 from 2025. Sundays are not asked."""
    date = month * 100 + day
    if date in FIXED_HOLIDAYS:
        return True
    if date == 1224:
        return year >= CHRISTMAS_EVE_YEAR_MIN
    if not 3 <= month <= 6:
        return False
    return MARCH_TO_JUNE_DAYS[month - 3] + day - 1 - _easter(year) in EASTER_HOLIDAYS


def _easter(year: int) -> int:
    """Days from 1 March to Easter Sunday (the anonymous Gregorian computus; Meeus 1991, ch. 8)."""
    century = year // 100
    golden = year % 19
    corrected = century - (century + 8) // 25 + 1
    epact = (19 * golden + century - century // 4 - corrected // 3 + 15) % 30
    to_sunday = (32 + 2 * (century % 4) + 2 * (year % 100 // 4) - epact - year % 4) % 7
    late = (golden + 11 * epact + 22 * to_sunday) // 451
    return 21 + epact + to_sunday - 7 * late


def _date(days: int) -> "tuple[int, int, int]":
    """(year, month, day) of a day counted from 1970-01-01, in the Gregorian calendar.

    Counted in years that begin in March, so that a leap day is the last of its year.
    """
    days -= MARCH_2000_DAYS
    year = 2000 + days // 146097 * 400
    days %= 146097
    centuries = min(days // 36524, 3)
    days -= centuries * 36524
    year += centuries * 100 + days // 1461 * 4
    days %= 1461
    years = min(days // 365, 3)
    days -= years * 365
    year += years
    month = (5 * days + 2) // 153  # 0 is March: 153 days in every five months
    day = days - (153 * month + 2) // 5 + 1
    return (year, month + 3, day) if month < 10 else (year + 1, month - 9, day)
