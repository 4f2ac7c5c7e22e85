"""The zone table on the meter: which hour belongs to which zone, and which tables are refused."""

from binascii import unhexlify

from firmware.tariff import NAME_BYTES_MAX, TABLE_BYTES_MAX, TariffError, TariffPlan, parse
from wire.messages import START_S_MIN

# As host_tools/tariff_table.py writes them from tests/vectors/tariffs: agreement is shown there.
G11 = unhexlify("016955aaf0034731310001ff000000000000")
G12 = unhexlify("016955aaf0034731320001ff555000140005")
G12W = unhexlify("016955aaf0044731327700011f55500014000501e0555555555555")
G13 = unhexlify("016955aaf0034731330204010a01011faaa8002aa95a021faaa8002a556a03e0aaaaaaaaaaaa")
FROM_S = 1767222000  # 2026-01-01T00:00 in Poland, the valid-from of them all
DAY_S = 86400
HOUR_S = 3600
MONDAY_S = FROM_S + 11 * DAY_S  # 2026-01-12T00:00 in Poland
JULY_S = 1783893600  # Monday 2026-07-13T00:00 in Poland, in summer time
SPRING_S = 1774738800  # Sunday 2026-03-29T00:00 in Poland: a day of 23 hours
AUTUMN_S = 1792879200  # Sunday 2026-10-25T00:00 in Poland: a day of 25 hours
EASTER_MONDAY_S = 1775426400  # 2026-04-06T00:00 in Poland
CORPUS_CHRISTI_S = 1780524000  # Thursday 2026-06-04T00:00 in Poland
WHOLE_YEAR = 0
BY_SUMMER_TIME = 255
ALL_T1 = bytes(6)
ALL_T4 = b"\xff" * 6


def a_plan(zones=ALL_T1, seasons=1, days=255):
    return bytes((seasons, days)) + zones


ONE_PLAN = (a_plan(),)


def a_table(valid_from_s=FROM_S, name=b"G", cuts=bytes((WHOLE_YEAR,)), plans=ONE_PLAN):
    head = b"\x01" + valid_from_s.to_bytes(4, "big") + bytes((len(name),)) + name
    return head + cuts + b"".join(plans)


def zones(table, start_s, hours=24):
    """The zones of so many hours from start_s, as digits 1 to 4."""
    table = parse(table)
    return "".join([str(table.zone(start_s + hour * HOUR_S) + 1) for hour in range(hours)])


def reason_of(data):
    try:
        parse(data)
    except TariffError as error:
        return error.reason
    return ""


def test_g11_has_one_zone():
    assert zones(G11, MONDAY_S, 7 * 24) == 7 * 24 * "1"


def test_g12_has_its_night_every_day():
    for day in range(7):
        assert zones(G12, MONDAY_S + day * DAY_S) == "222222111111122111111122"


def test_g12w_has_no_peak_at_the_weekend():
    workday, free = "222222111111122111111122", 24 * "2"
    assert zones(G12W, MONDAY_S, 7 * 24) == 5 * workday + 2 * free


def test_a_holiday_on_a_workday_is_free():
    assert zones(G12W, EASTER_MONDAY_S, 48) == 24 * "2" + "222222111111122111111122"
    assert zones(G12W, CORPUS_CHRISTI_S - DAY_S)[6] == "1"
    assert zones(G12W, CORPUS_CHRISTI_S) == 24 * "2"
    assert zones(G12W, CORPUS_CHRISTI_S + DAY_S)[6] == "1"


def test_g13_has_its_afternoon_peak_later_in_summer():
    assert zones(G13, MONDAY_S) == "333333311111133322222333"
    assert zones(G13, JULY_S) == "333333311111133333322233"
    assert zones(G13, JULY_S + 5 * DAY_S, 48) == 48 * "3"


def test_seasons_change_at_local_midnight_and_the_last_one_runs_over_new_year():
    april_s = 1774994400  # Wednesday 2026-04-01T00:00 in Poland
    october_s = 1790805600  # Thursday 2026-10-01T00:00 in Poland
    cuts = bytes((2, 4, 1, 10, 1))
    table = parse(a_table(cuts=cuts, plans=(a_plan(ALL_T1, 1), a_plan(ALL_T4, 2))))
    assert [table.zone(at_s) for at_s in (april_s - 1, april_s)] == [3, 0]
    assert [table.zone(at_s) for at_s in (october_s - 1, october_s)] == [0, 3]
    assert [table.zone(at_s) for at_s in (FROM_S - 1, FROM_S)] == [3, 3]


def test_four_seasons_each_have_their_zone():
    cuts = bytes((4, 1, 1, 4, 1, 7, 1, 10, 1))
    plans = [a_plan(bytes((zone * 0x55,)) * 6, 1 << zone) for zone in range(4)]
    table = parse(a_table(cuts=cuts, plans=plans))
    quarters_s = (FROM_S, 1774994400, 1782856800, 1790805600)
    assert [table.zone(at_s) for at_s in quarters_s] == [0, 1, 2, 3]
    assert [table.zone(at_s - 1) for at_s in quarters_s[1:]] == [0, 1, 2]


def test_a_table_by_summer_time_changes_with_the_clock():
    cuts = bytes((BY_SUMMER_TIME,))
    table = parse(a_table(cuts=cuts, plans=(a_plan(ALL_T1, 1), a_plan(ALL_T4, 2))))
    changes_s = (SPRING_S + 2 * HOUR_S, AUTUMN_S + 3 * HOUR_S)
    assert [table.zone(at_s - 1) for at_s in changes_s] == [0, 3]
    assert [table.zone(at_s) for at_s in changes_s] == [3, 0]


def test_a_day_of_23_hours_lacks_an_hour_and_one_of_25_has_it_twice():
    each_other = unhexlify("1b1b1b1b1b1b")  # T1 T2 T3 T4 and again
    table = a_table(plans=(a_plan(each_other),))
    assert zones(table, SPRING_S, 24) == "12" + "4" + "12341234123412341234" + "1"
    assert zones(table, AUTUMN_S, 26) == "123" + "3" + "412341234123412341234" + "1"
    assert zones(G12, SPRING_S, 23)[-2:] == "22"
    assert zones(G12, AUTUMN_S, 25)[-2:] == "22"


def test_a_zone_changes_exactly_on_the_hour():
    table = parse(G12)
    for hour, before, after in ((6, 1, 0), (13, 0, 1), (15, 1, 0), (22, 0, 1)):
        assert table.zone(MONDAY_S + hour * HOUR_S - 1) == before
        assert table.zone(MONDAY_S + hour * HOUR_S) == after


def test_the_plan_asked_every_few_minutes_gives_the_table_s_zones():
    for start_s in (SPRING_S, AUTUMN_S, CORPUS_CHRISTI_S, MONDAY_S):
        plan, table = TariffPlan(G13), parse(G13)
        for at_s in range(start_s - HOUR_S, start_s + 26 * HOUR_S, 599):
            assert plan.zone(at_s) == table.zone(at_s)


def test_without_a_table_everything_is_t1():
    plan = TariffPlan()
    assert [plan.zone(MONDAY_S + hour * HOUR_S) for hour in range(24)] == 24 * [0]
    assert plan.settle(MONDAY_S) is None
    assert plan.refused == ""


def test_the_following_table_rules_from_its_valid_from_to_the_second():
    from_s = MONDAY_S + 12 * HOUR_S
    following = a_table(valid_from_s=from_s, plans=(a_plan(ALL_T4),))
    plan = TariffPlan(G11, following)
    assert plan.zone(from_s - 1) == 0
    assert plan.settle(from_s - 1) is None
    assert plan.zone(from_s) == 3
    assert plan.settle(from_s) == following
    assert plan.settle(from_s + 1) is None


def test_a_settled_table_stays_even_if_the_clock_is_set_back():
    following = a_table(valid_from_s=MONDAY_S, plans=(a_plan(ALL_T4),))
    plan = TariffPlan(G11, following)
    assert plan.settle(MONDAY_S) == following
    assert plan.zone(MONDAY_S - DAY_S) == 3
    assert TariffPlan(following).zone(MONDAY_S - DAY_S) == 3


def test_a_following_table_that_is_not_settled_yet_waits_again_when_the_clock_is_set_back():
    plan = TariffPlan(G11, a_table(valid_from_s=MONDAY_S, plans=(a_plan(ALL_T4),)))
    assert plan.zone(MONDAY_S) == 3
    assert plan.zone(MONDAY_S - HOUR_S) == 0


def test_a_first_table_leaves_everything_in_t1_until_it_is_valid():
    plan = TariffPlan(b"", a_table(valid_from_s=MONDAY_S, plans=(a_plan(ALL_T4),)))
    assert plan.zone(MONDAY_S - 1) == 0
    assert plan.zone(MONDAY_S) == 3


def test_a_kept_table_of_a_newer_firmware_stops_nothing_and_is_told():
    plan = TariffPlan(b"\x02" + G12[1:], G12W)
    assert plan.refused == "version"
    assert plan.zone(FROM_S - 1) == 0
    assert plan.zone(MONDAY_S) == 1
    assert TariffPlan(G12, b"\x02" + G12W[1:]).zone(MONDAY_S + 6 * DAY_S + 6 * HOUR_S) == 0


def test_a_table_may_have_120_bytes_and_no_more():
    cuts = bytes((4, 1, 1, 4, 1, 7, 1, 10, 1))
    plans = [a_plan(days=0x0F, seasons=15)] + 12 * [a_plan(days=0)]
    plans[1] = a_plan(days=0xF0, seasons=15)
    assert len(a_table(cuts=cuts, plans=plans)) == TABLE_BYTES_MAX
    assert reason_of(a_table(cuts=cuts, plans=plans[:-1])) == ""
    assert reason_of(a_table(cuts=cuts, plans=plans)) == ""
    assert reason_of(a_table(cuts=cuts, plans=plans, name=b"GG")) == "too_long"


def test_every_truncation_is_refused():
    for table in (G11, G12, G12W, G13):
        for end in range(len(table)):
            assert reason_of(table[:end]) in ("truncated", "gap", "name"), end
    assert reason_of(b"") == "truncated"


def test_a_table_with_bytes_behind_its_last_plan_is_refused():
    assert reason_of(G12 + b"\0") == "truncated"


def test_no_flipped_bit_makes_a_table_that_fails_later():
    known = ("", "version", "valid_from", "name", "truncated", "seasons", "gap", "overlap")
    hours = (SPRING_S, AUTUMN_S, JULY_S, EASTER_MONDAY_S, JULY_S + 5 * DAY_S)
    for bit in range(8 * len(G13)):
        bent = bytearray(G13)
        bent[bit // 8] ^= 1 << bit % 8
        reason = reason_of(bytes(bent))
        assert reason in known
        if not reason:
            assert all(0 <= parse(bytes(bent)).zone(at_s) <= 3 for at_s in hours)


def test_another_version_is_refused():
    for version in (0, 2, 255):
        assert reason_of(bytes((version,)) + G12[1:]) == "version"


def test_valid_from_is_on_an_hour_and_not_before_2020():
    for valid_from_s, reason in (
        (START_S_MIN - HOUR_S, "valid_from"),
        (START_S_MIN, ""),
        (START_S_MIN + 1, "valid_from"),
        (START_S_MIN + HOUR_S, ""),
        (0, "valid_from"),
    ):
        assert reason_of(a_table(valid_from_s=valid_from_s)) == reason


def test_a_name_has_one_to_eight_printable_characters():
    for length, reason in (
        (0, "name"),
        (1, ""),
        (NAME_BYTES_MAX, ""),
        (NAME_BYTES_MAX + 1, "name"),
    ):
        assert reason_of(a_table(name=b"G" * length)) == reason
    for byte, reason in ((32, "name"), (33, ""), (126, ""), (127, "name"), (200, "name")):
        assert reason_of(a_table(name=bytes((byte,)))) == reason
    assert parse(G12W).name == b"G12w"


def test_a_year_is_cut_at_two_to_four_days_or_not_at_all():
    every = (a_plan(seasons=15),)
    assert reason_of(a_table(cuts=bytes((1, 1, 1)))) == "seasons"
    assert reason_of(a_table(cuts=bytes((4, 1, 1, 2, 1, 3, 1, 4, 1)), plans=every)) == ""
    five = bytes((5, 1, 1, 2, 1, 3, 1, 4, 1, 5, 1))
    assert reason_of(a_table(cuts=five, plans=every)) == "seasons"


def test_seasons_begin_on_days_that_every_year_has_in_rising_order():
    for month, day, reason in (
        (0, 5, "seasons"),
        (13, 5, "seasons"),
        (4, 0, "seasons"),
        (4, 30, ""),
        (4, 31, "seasons"),
        (2, 28, ""),
        (2, 29, "seasons"),
        (12, 31, ""),
        (1, 1, "seasons"),  # the same day as the one before
        (1, 2, ""),
    ):
        cuts = bytes((2, 1, 1, month, day))
        assert reason_of(a_table(cuts=cuts, plans=(a_plan(seasons=3),))) == reason
    assert reason_of(a_table(cuts=bytes((2, 10, 1, 4, 1)), plans=(a_plan(seasons=3),))) == "seasons"


def test_a_plan_for_a_season_that_is_not_there_is_refused():
    assert reason_of(a_table(plans=(a_plan(seasons=3),))) == "seasons"
    assert reason_of(a_table(cuts=bytes((2, 4, 1, 10, 1)), plans=(a_plan(seasons=7),))) == "seasons"


def test_each_kind_of_day_of_each_season_has_exactly_one_plan():
    assert reason_of(a_table(plans=(a_plan(days=0x7F),))) == "gap"
    assert reason_of(a_table(plans=(a_plan(days=0x7F), a_plan(days=0x80)))) == ""
    assert reason_of(a_table(plans=(a_plan(), a_plan(days=0x80)))) == "overlap"
    assert reason_of(a_table(plans=())) == "gap"
    cuts = bytes((2, 4, 1, 10, 1))
    assert reason_of(a_table(cuts=cuts, plans=(a_plan(seasons=1),))) == "gap"
    assert reason_of(a_table(cuts=cuts, plans=(a_plan(seasons=3),))) == ""
    assert reason_of(a_table(cuts=bytes((BY_SUMMER_TIME,)), plans=(a_plan(seasons=1),))) == "gap"
