"""Zones of every tariff group, by season, kind of day and hour, and zone tables that are wrong."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from firmware import tariff
from host_tools import tariff_table
from settlement.rules.errors import BadTable, NoRate, UnsupportedTariff
from settlement.rules.periods import day_start_s, hours_of, local_hour
from settlement.rules.zones import (
    DAY_KINDS,
    SEASONS,
    Plan,
    Schedule,
    Schedules,
    day_kind,
    season_of,
)
from settlement.tables.zones import FOLDER, load_schedules, load_schedules_from, read_schedules

SCHEDULES = load_schedules()
VECTORS = Path(__file__).parents[1] / "vectors"
SUMMER_DAY = date(2024, 7, 1)  # a Monday
WINTER_DAY = date(2024, 12, 2)  # a Monday
SATURDAY = date(2024, 7, 6)
CORPUS_CHRISTI = date(2024, 5, 30)
WINTER_SUNDAY = date(2024, 12, 8)


def zones_on(group: str, day: date) -> list[str]:
    """The zone of each hour of the day, in order."""
    return [SCHEDULES.zone_of(group, hour.start_s) for hour in hours_of(day)]


def hours_in(group: str, zone: str, day: date) -> list[int]:
    """The hours of the clock that lie in the zone."""
    zones = zones_on(group, day)
    return [
        local_hour(hour.start_s)
        for hour, found in zip(hours_of(day), zones, strict=True)
        if found == zone
    ]


@pytest.mark.parametrize("group", ["G11", "C11"])
def test_a_single_zone_group_has_one_zone_all_day(group: str) -> None:
    assert set(zones_on(group, SUMMER_DAY) + zones_on(group, SATURDAY)) == {"all_day"}


@pytest.mark.parametrize("day", [SUMMER_DAY, WINTER_DAY, SATURDAY, CORPUS_CHRISTI, WINTER_SUNDAY])
def test_g12_has_its_night_every_day_also_on_sundays_and_holidays(day: date) -> None:
    assert hours_in("G12", "night", day) == [0, 1, 2, 3, 4, 5, 13, 14, 22, 23]
    assert hours_in("G12", "day", day) == [*range(6, 13), *range(15, 22)]


@pytest.mark.parametrize("day", [SUMMER_DAY, WINTER_DAY])
def test_g12w_has_its_peak_on_workdays(day: date) -> None:
    assert hours_in("G12w", "peak", day) == [*range(6, 13), *range(15, 22)]


@pytest.mark.parametrize("day", [SATURDAY, CORPUS_CHRISTI, WINTER_SUNDAY])
def test_g12w_and_g13_are_cheap_on_whole_free_days(day: date) -> None:
    assert set(zones_on("G12w", day)) == {"offpeak"}
    assert set(zones_on("G13", day)) == {"other"}


def test_g13_moves_its_afternoon_peak_with_the_season() -> None:
    for day in (SUMMER_DAY, WINTER_DAY):
        assert hours_in("G13", "morning_peak", day) == [*range(7, 13)]
    assert hours_in("G13", "afternoon_peak", SUMMER_DAY) == [19, 20, 21]
    assert hours_in("G13", "afternoon_peak", WINTER_DAY) == [16, 17, 18, 19, 20]


def test_summer_lasts_from_1_april_to_30_september() -> None:
    days = [date(2026, 3, 31), date(2026, 4, 1), date(2026, 9, 30), date(2026, 10, 1)]
    assert [season_of(day) for day in days] == ["winter", "summer", "summer", "winter"]
    assert [hours_in("G13", "afternoon_peak", day)[0] for day in days] == [16, 19, 19, 16]


def test_g12as_has_one_night() -> None:
    assert hours_in("G12as", "day", SATURDAY) == [*range(6, 22)]
    assert hours_in("G12as", "night", SATURDAY) == [0, 1, 2, 3, 4, 5, 22, 23]


@pytest.mark.parametrize(
    ("day", "name", "hours_of_peak", "hours_off_peak"),
    [
        (SUMMER_DAY, "summer_workday", [7, 8, 17, 18, 19, 20], [*range(9, 17)]),
        (SATURDAY, "summer_free", [7, 8, 17, 18, 19, 20], [*range(9, 17)]),
        (WINTER_DAY, "winter_workday", [7, 8, 9, *range(15, 21)], [*range(10, 15)]),
        (WINTER_SUNDAY, "winter_free", [7, 8, 9, *range(15, 21)], [*range(10, 15)]),
    ],
)
def test_g13s_has_three_zones_for_each_season_and_kind_of_day(
    day: date, name: str, hours_of_peak: list[int], hours_off_peak: list[int]
) -> None:
    assert hours_in("G13s", f"{name}_day_peak", day) == hours_of_peak
    assert hours_in("G13s", f"{name}_day_offpeak", day) == hours_off_peak
    assert hours_in("G13s", f"{name}_night", day) == [*range(7), 21, 22, 23]


@pytest.mark.parametrize(
    ("group", "counted_as"),
    [
        ("G11", ("all_day",)),
        ("G12", ("day", "night")),
        ("G12w", ("peak", "offpeak")),
        ("G12as", ("day", "night")),
        ("G13", ("morning_peak", "afternoon_peak", "other")),
        ("G13s", ("day_peak", "day_offpeak", "night")),
    ],
)
def test_the_meter_counts_each_hour_of_2026_in_the_zone_it_is_billed_in(
    group: str, counted_as: tuple[str, ...]
) -> None:
    text = (VECTORS / "tariffs" / f"{group}.toml").read_text("utf-8")
    of_meter = tariff.parse(tariff_table.encode(tomllib.loads(text)))
    for start_s in range(day_start_s(date(2026, 1, 1)), day_start_s(date(2027, 1, 1)), 3600):
        billed = SCHEDULES.zone_of(group, start_s)
        counted = counted_as[of_meter.zone(start_s)]
        assert billed == counted or (group == "G13s" and billed.endswith(f"_{counted}")), start_s


def test_zones_are_listed_in_the_order_of_the_invoice() -> None:
    assert SCHEDULES.zones("G12w", SUMMER_DAY) == ("peak", "offpeak")
    assert SCHEDULES.zones("G13", SUMMER_DAY) == ("morning_peak", "afternoon_peak", "other")
    assert len(SCHEDULES.zones("G13s", SUMMER_DAY)) == 12


def test_both_autumn_hours_labelled_3_lie_in_the_zone_of_local_hour_2() -> None:
    two = an_own_schedule({"cheap": ((2, 3),)}, rest="dear")
    own = Schedules([two])
    cheap = [
        hour.label
        for hour in hours_of(date(2024, 10, 27))
        if own.zone_of("X1", hour.start_s) == "cheap"
    ]
    assert cheap == ["3", "3"]
    spring = [own.zone_of("X1", hour.start_s) for hour in hours_of(date(2024, 3, 31))]
    assert set(spring) == {"dear"}


@pytest.mark.parametrize("group", SCHEDULES.groups)
def test_every_hour_of_2024_to_2026_has_one_of_the_listed_zones(group: str) -> None:
    listed = set(SCHEDULES.zones(group, date(2024, 1, 1)))
    starts = range(day_start_s(date(2024, 1, 1)), day_start_s(date(2027, 1, 1)), 3600)
    assert {SCHEDULES.zone_of(group, start_s) for start_s in starts} == listed


def test_an_unknown_group_is_refused_with_the_known_ones_and_how_to_add_it() -> None:
    with pytest.raises(UnsupportedTariff) as refusal:
        SCHEDULES.zone_of("C12a", day_start_s(SUMMER_DAY))
    for word in ("C12a", "C11, G11, G12, G12as, G12w, G13, G13s", "[[schedule]]"):
        assert word in str(refusal.value)
    with pytest.raises(UnsupportedTariff):
        SCHEDULES.zones("g12w", SUMMER_DAY)


def test_a_day_before_the_first_zone_table_is_refused() -> None:
    assert SCHEDULES.zones("G12", date(2020, 1, 1)) == ("day", "night")
    with pytest.raises(NoRate, match="2019-12-31"):
        SCHEDULES.zones("G12", date(2019, 12, 31))


# A group of another distributor, added by data alone.

C12A = """
[[schedule]]
group = "C12a"
zones = ["peak", "offpeak"]
valid_from = 2024-01-01
source = "a test"

[[schedule.plan]]
hours = { peak = ["08-11", "17-21"] }
rest = "offpeak"
"""


def test_a_further_group_comes_in_as_one_more_file(tmp_path: Path) -> None:
    (tmp_path / "tauron.toml").write_text((FOLDER / "tauron.toml").read_text("utf-8"), "utf-8")
    (tmp_path / "other.toml").write_text(C12A, "utf-8")
    schedules = load_schedules_from(tmp_path)
    noon_s = day_start_s(SUMMER_DAY) + 12 * 3600
    assert schedules.zone_of("C12a", noon_s) == "offpeak"
    assert schedules.zone_of("C12a", noon_s - 3600 * 2) == "peak"
    assert schedules.zone_of("G12", noon_s) == "day"


# Zone tables that contradict themselves.


def an_own_schedule(
    hours: dict[str, tuple[tuple[int, int], ...]], rest: str | None = None
) -> Schedule:
    zones = tuple(dict.fromkeys([*hours, *([rest] if rest else [])]))
    plan = Plan(SEASONS, DAY_KINDS, hours, rest)
    return Schedule("X1", zones, (plan,), date(2024, 1, 1), None, "a test")


WHOLE = an_own_schedule({"day": ((6, 22),), "night": ((22, 6),)})
WORKDAYS = replace(WHOLE.plans[0], days=("workday",))


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        (an_own_schedule({"day": ((6, 22),), "night": ((22, 5),)}), "hour 5 has no zone"),
        (
            an_own_schedule({"day": ((6, 22),), "night": ((21, 6),)}),
            "hour 21 is both day and night",
        ),
        (an_own_schedule({"day": ((6, 12), (11, 22))}, "x"), "hour 11 is both day and day"),
        (an_own_schedule({"day": ((0, 25),)}), "0-25 is not a range"),
        (an_own_schedule({"day": ((24, 6),)}, "x"), "24-6 is not a range"),
        (an_own_schedule({"day": ((6, 6),)}, "x"), "6-6 is not a range"),
        (an_own_schedule({"day": ((6, 0),)}, "x"), "6-0 is not a range"),
        (replace(WHOLE, zones=("day",)), "'night' is not one of day"),
        (replace(WHOLE, zones=("day", "night", "dusk")), "zone 'dusk' has no hour"),
        (replace(WHOLE, plans=(WORKDAYS,)), "summer free has no plan"),
        (replace(WHOLE, plans=(WORKDAYS, *WHOLE.plans)), "summer workday has two plans"),
        (replace(WHOLE, plans=()), "summer workday has no plan"),
        (replace(WHOLE, plans=(replace(WORKDAYS, days=("sunday",)),)), "'sunday' is not one of"),
        (replace(WHOLE, plans=(replace(WORKDAYS, seasons=("may",)),)), "'may' is not one of"),
        (replace(WHOLE, valid_to=date(2024, 1, 1)), "valid_to is not later"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_zone_table_with_a_hole_or_a_contradiction_is_refused(
    schedule: Schedule, fault: str
) -> None:
    with pytest.raises(BadTable, match=fault):
        Schedules([schedule])


def test_a_range_of_hours_may_end_at_midnight_or_go_on_over_it() -> None:
    own = Schedules([an_own_schedule({"late": ((22, 24),), "early": ((0, 6),)}, "day")])
    over = Schedules([an_own_schedule({"night": ((22, 6),)}, "day")])
    for hour in hours_of(SUMMER_DAY):
        assert (own.zone_of("X1", hour.start_s) == "day") is (
            over.zone_of("X1", hour.start_s) == "day"
        )


def test_zone_tables_of_one_group_follow_each_other_without_gap_or_overlap() -> None:
    change = date(2025, 1, 1)
    first = replace(WHOLE, valid_to=change)
    second = replace(an_own_schedule({"day": ((7, 22),), "night": ((22, 7),)}), valid_from=change)
    both = Schedules([second, first])
    at_six_s = 6 * 3600
    assert both.zone_of("X1", day_start_s(date(2024, 12, 31)) + at_six_s) == "day"
    assert both.zone_of("X1", day_start_s(change) + at_six_s) == "night"
    with pytest.raises(BadTable, match="overlap on 2024-12-31"):
        Schedules([first, replace(second, valid_from=date(2024, 12, 31))])
    with pytest.raises(BadTable, match="a gap from 2025-01-01 to 2025-01-02"):
        Schedules([first, replace(second, valid_from=date(2025, 1, 2))])


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('group = "C12a"', "", "group is missing"),
        ('group = "C12a"', "group = 12", "group is a text"),
        ('group = "C12a"', 'group = ""', "group is a text"),
        ("valid_from = 2024-01-01", 'valid_from = "2024-01-01"', "valid_from is a day"),
        ("valid_from = 2024-01-01", "valid_from = 2024-01-01T00:00:00", "valid_from is a day"),
        ('source = "a test"', 'sauce = "a test"\nsource = "a test"', "unknown field 'sauce'"),
        ('source = "a test"', 'source = "a test"\nplan = 1', "not TOML"),
        ("[[schedule.plan]]", "[[schedule.plans]]", "plan is missing"),
        ("[[schedule.plan]]", "[schedule.plan]", r"plan is \[\[schedule.plan\]\]"),
        ('rest = "offpeak"', 'remainder = "offpeak"', "unknown field 'remainder'"),
        ('["08-11", "17-21"]', '"08-11"', "peak is a list"),
        ('["08-11", "17-21"]', "[]", "peak is a list"),
        ('["08-11", "17-21"]', '["08-11", 17]', "peak has something that is not a text"),
        ('["08-11", "17-21"]', '["8-11"]', "'8-11' is not a range"),
        ('["08-11", "17-21"]', '["08-11", "08-11"]', "says one thing twice"),
        ('hours = { peak = ["08-11", "17-21"] }', "hours = 8", "hours are ranges by zone"),
        ("[[schedule]]", "[[table]]", "not TOML|nothing else"),
        ("[[schedule]]", "title = 1\n[[schedule]]", "nothing else"),
    ],
)
def test_an_entry_that_is_not_one_is_refused_by_name(old: str, new: str, fault: str) -> None:
    assert old in C12A
    with pytest.raises(BadTable, match=fault):
        read_schedules(C12A.replace(old, new, 1), "a.toml")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"# \xb3\n")
    with pytest.raises(BadTable, match="not UTF-8"):
        load_schedules_from(tmp_path)


def test_kinds_of_day_are_named() -> None:
    assert [day_kind(day) for day in (SUMMER_DAY, SATURDAY, CORPUS_CHRISTI)] == [
        "workday",
        "free",
        "free",
    ]
