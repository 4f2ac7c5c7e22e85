"""The appliance calculator: watts x minutes, yearly averages, and the average household."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules.appliances import Estimate, Use, compare, estimate
from settlement.rules.errors import BadAppliance, BadTable
from settlement.tables import household

TABLE = household.load_appliances()


def use(code: str, minutes: int | None, watts: int | None = None, pieces: int = 1) -> Estimate:
    return estimate(Use(code, minutes, watts, pieces), TABLE)


def test_p16_a_kettle_of_2000_w_for_24_minutes_uses_292_kwh_a_year() -> None:
    kettle = use("kettle", 24, 2000)
    assert kettle.kwh_per_year == 292
    assert str(kettle.kwh_per_month) == "24.33"


def test_p16_six_lamps_of_10_w_for_300_minutes_use_109_5_kwh() -> None:
    assert use("lighting", 300, 10, pieces=6).kwh_per_year == Decimal("109.5")


def test_p16_a_fridge_of_28_w_runs_all_day() -> None:
    assert use("fridge", None, 28).kwh_per_year == Decimal("245.28")


def test_a_month_is_a_twelfth_of_the_exact_year_and_not_of_the_shown_one() -> None:
    # 1 W x 29 min x 365 / 60 000 = 0.17642 kWh, shown as 0.18. A twelfth is 0.01470; 0.18 / 12
    # would be 0.015 and shown as 0.02.
    small = use("iron", 29, 1)
    assert (str(small.kwh_per_year), str(small.kwh_per_month)) == ("0.18", "0.01")


def test_half_a_hundredth_of_a_kwh_is_shown_as_a_whole_one() -> None:
    # 10 W x 12 min x 365 = 43 800 watt-minutes = 0.73 kWh; 30 W x 6 min = 65 700 = 1.095 kWh.
    assert str(use("iron", 12, 10).kwh_per_year) == "0.73"
    assert str(use("iron", 6, 30).kwh_per_year) == "1.10"


def test_the_twelve_averages_are_those_published_and_sum_to_4141_kwh() -> None:
    averages = {code: each.average_kwh for code, each in TABLE.appliances.items()}
    assert averages == {
        "electric_cooker": 1480,
        "television": 128,
        "induction_cooker": 1168,
        "washing_machine": 109,
        "kettle": 292,
        "laptop": 84,
        "dishwasher": 262,
        "vacuum_cleaner": 27,
        "fridge": 252,
        "iron": 104,
        "lighting": 210,
        "microwave": 25,
    }
    assert sum(averages.values()) == 4141
    assert "TAURON" in TABLE.source


@pytest.mark.parametrize(
    ("code", "minutes", "kwh"),
    [
        ("kettle", 24, "292.00"),
        ("kettle", 12, "146.00"),
        ("kettle", 0, "0.00"),
        ("induction_cooker", 96, "1168.00"),
        ("induction_cooker", 30, "365.00"),
    ],
)
def test_without_watts_the_average_is_scaled_where_it_has_a_reference(
    code: str, minutes: int, kwh: str
) -> None:
    scaled = use(code, minutes)
    assert (str(scaled.kwh_per_year), scaled.basis) == (kwh, "reference")


def test_without_watts_and_reference_the_average_stands_and_says_so() -> None:
    for minutes in (1, 60, 1440):
        assert use("television", minutes) == use("television", 90)
    assert use("television", 90).kwh_per_year == 128
    assert use("television", 90).basis == "average"
    assert use("laptop", 60, pieces=3).kwh_per_year == 84, "the average is that of a household"
    assert use("fridge", None).kwh_per_year == 252


def test_an_appliance_of_no_minutes_uses_nothing() -> None:
    assert use("television", 0).kwh_per_year == 0
    assert use("television", 0, 100).kwh_per_year == 0


def test_watts_of_the_customer_go_before_every_average() -> None:
    assert use("kettle", 24, 1000).kwh_per_year == 146
    assert use("kettle", 24, 1000).basis == "watts"


def test_a_household_is_compared_with_1996_kwh_a_year() -> None:
    compared = compare([use("kettle", 24), use("induction_cooker", 96)], TABLE)
    assert str(compared.kwh_per_year) == "1460.00"
    assert str(compared.kwh_per_month) == "121.67"
    assert str(compared.difference_kwh) == "-536.00"
    assert str(compared.percent) == "73.1"
    more = compare([use("electric_cooker", 60)] * 2, TABLE)
    assert str(more.difference_kwh) == "964.00"
    assert str(more.percent) == "148.3"


def test_a_household_without_appliances_is_all_of_the_average_below_it() -> None:
    nothing = compare([], TABLE)
    assert (str(nothing.difference_kwh), str(nothing.percent)) == ("-1996.00", "0.0")


@given(st.integers(0, 1440), st.integers(1, 20_000), st.integers(1, 100))
def test_energy_grows_with_each_of_minutes_watts_and_pieces(
    minutes: int, watts: int, pieces: int
) -> None:
    one = use("lighting", minutes, watts).watt_minutes_per_year
    assert use("lighting", minutes, watts, pieces).watt_minutes_per_year == pieces * one
    assert one == minutes * use("lighting", 1, watts).watt_minutes_per_year
    exact_kwh = Decimal(one) / 60_000
    assert abs(use("lighting", minutes, watts).kwh_per_year - exact_kwh) <= Decimal("0.005")


def test_minutes_watts_and_pieces_are_taken_at_their_limits() -> None:
    assert use("lighting", 1440, 20_000, 100).watt_minutes_per_year == 1440 * 20_000 * 100 * 365
    assert use("lighting", 0, 1, 1).watt_minutes_per_year == 0


@pytest.mark.parametrize(
    ("code", "minutes", "watts", "pieces", "why"),
    [
        ("lighting", -1, 10, 1, "minutes_per_day is 0 to 1440"),
        ("lighting", 1441, 10, 1, "minutes_per_day is 0 to 1440"),
        ("lighting", 1, 0, 1, "watts is 1 to 20000"),
        ("lighting", 1, 20_001, 1, "watts is 1 to 20000"),
        ("lighting", 1, 10, 0, "pieces of lighting is 1 to 100"),
        ("lighting", 1, 10, 101, "pieces of lighting is 1 to 100"),
        ("kettle", 1, 10, 2, "pieces of kettle is 1 to 1"),
        ("fridge", 1440, 28, 1, "fridge runs all day: leave minutes_per_day out"),
        ("kettle", None, 10, 1, "minutes_per_day of kettle is missing"),
        ("toaster", 1, 10, 1, "'toaster' is not known: choose one of electric_cooker"),
    ],
)
def test_a_use_outside_of_its_limits_is_refused(
    code: str, minutes: int | None, watts: int, pieces: int, why: str
) -> None:
    with pytest.raises(BadAppliance, match=why) as refusal:
        use(code, minutes, watts, pieces)
    assert refusal.value.reason == "bad_appliance"


def test_pieces_are_asked_for_with_two_appliances() -> None:
    assert [code for code, each in TABLE.appliances.items() if each.pieces] == [
        "laptop",
        "lighting",
    ]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("reference_minutes = 24", "reference_minutes = 25", "kettle does not give"),
        ("reference_minutes = 24", "", "kettle needs both"),
        ("reference_watts = 2000", "", "induction_cooker needs both"),
        ("reference_watts = 2000", "reference_watts = 20001", "reference_watts"),
        ('code = "iron"', 'code = "fridge"', "twice"),
        ('code = "iron"', 'code = "iron"\ncolour = "red"', "colour"),
        ("household_kwh = 1996", "household_kwh = 0", "household_kwh"),
    ],
)
def test_a_table_that_is_not_one_of_appliances_is_refused(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    text = (household.FOLDER / "appliances.toml").read_text("utf-8")
    assert old in text
    path = tmp_path / "appliances.toml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(BadTable, match=fault):
        household.appliances_from(path)
