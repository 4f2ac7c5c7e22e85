"""The energy voucher: amounts, thresholds, the taper by zlotys, and the table they come from."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules.errors import BadHousehold, BadTable
from settlement.rules.voucher import (
    INCOME_GR_MAX,
    PERSONS_MAX,
    HeatingEntry,
    Household,
    voucher_of,
)
from settlement.tables import household

TABLE = household.load_voucher()
IN_TIME = HeatingEntry(date(2024, 4, 1), first=False)


def amount_gr(persons: int, income_gr: int, heating: HeatingEntry | None = None) -> int:
    return voucher_of(Household(persons, income_gr, heating), TABLE).amount_gr


@pytest.mark.parametrize(
    ("persons", "income_gr", "paid_gr"),
    [
        (1, 250_000, 30_000),
        (1, 265_050, 14_950),
        (3, 170_000, 40_000),
        (4, 205_000, 15_000),
        (2, 208_000, 2_000),
        (2, 208_001, 0),
    ],
)
def test_p15_the_voucher_shrinks_by_what_a_person_has_above_the_threshold(
    persons: int, income_gr: int, paid_gr: int
) -> None:
    assert amount_gr(persons, income_gr) == paid_gr


def test_p15_six_persons_with_electric_heating_get_1200_pln() -> None:
    assert amount_gr(6, 150_000, IN_TIME) == 120_000


@pytest.mark.parametrize(
    ("persons", "full_gr", "heated_gr"),
    [
        (1, 30_000, 60_000),
        (2, 40_000, 80_000),
        (3, 40_000, 80_000),
        (4, 50_000, 100_000),
        (5, 50_000, 100_000),
        (6, 60_000, 120_000),
        (PERSONS_MAX, 60_000, 120_000),
    ],
)
def test_the_amount_follows_the_persons_and_doubles_with_electric_heating(
    persons: int, full_gr: int, heated_gr: int
) -> None:
    assert amount_gr(persons, 0) == full_gr
    assert amount_gr(persons, 0, IN_TIME) == heated_gr


def test_heating_counts_when_registered_in_time_or_as_the_first_entry() -> None:
    late = date(2024, 4, 2)
    assert amount_gr(1, 0, HeatingEntry(late, first=False)) == 30_000
    assert amount_gr(1, 0, HeatingEntry(late, first=True)) == 60_000
    assert amount_gr(1, 0, HeatingEntry(date(2021, 7, 1), first=True)) == 60_000


@pytest.mark.parametrize(("persons", "threshold_gr"), [(1, 250_000), (2, 170_000), (6, 170_000)])
def test_the_voucher_is_whole_up_to_the_threshold_and_a_grosz_less_one_above(
    persons: int, threshold_gr: int
) -> None:
    whole = amount_gr(persons, 0)
    assert amount_gr(persons, threshold_gr) == whole
    assert amount_gr(persons, threshold_gr + 1) == whole - 1


def test_20_pln_are_paid_and_one_grosz_less_is_not() -> None:
    assert amount_gr(1, 250_000 + 28_000) == 2_000
    assert amount_gr(1, 250_000 + 28_001) == 0
    assert amount_gr(6, 170_000 + 118_000, IN_TIME) == 2_000
    assert amount_gr(6, 170_000 + 118_001, IN_TIME) == 0


def test_the_estimate_shows_how_it_came_about_and_who_decides() -> None:
    voucher = voucher_of(Household(2, 300_000), TABLE)
    assert (voucher.full_gr, voucher.excess_gr, voucher.amount_gr) == (40_000, 130_000, 0)
    assert "szacunek" in voucher.note
    assert "TAURON nie obsługuje" in voucher.note
    assert "wójta, burmistrza lub prezydenta" in voucher.note


@given(st.integers(1, PERSONS_MAX), st.integers(0, 400_000), st.integers(0, 10_000), st.booleans())
def test_more_income_never_pays_more_and_nothing_below_20_pln_is_paid(
    persons: int, income_gr: int, more_gr: int, heated: bool
) -> None:
    heating = IN_TIME if heated else None
    poorer, richer = (
        amount_gr(persons, each, heating) for each in (income_gr, income_gr + more_gr)
    )
    assert richer <= poorer
    assert richer == 0 or richer >= 2_000


@pytest.mark.parametrize("persons", [0, -1, PERSONS_MAX + 1])
def test_a_household_without_persons_or_with_too_many_is_refused(persons: int) -> None:
    with pytest.raises(BadHousehold, match="persons is 1 to 50"):
        amount_gr(persons, 0)


def test_an_income_outside_of_its_limits_is_refused() -> None:
    assert amount_gr(1, INCOME_GR_MAX) == 0
    for income_gr in (-1, INCOME_GR_MAX + 1):
        with pytest.raises(BadHousehold, match="per_person") as refusal:
            amount_gr(1, income_gr)
        assert refusal.value.reason == "bad_household"


def test_the_table_says_where_it_comes_from() -> None:
    assert "Dz.U. 2024 poz. 859" in TABLE.source
    assert TABLE.heating_registered_by == date(2024, 4, 1)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("persons_from = 1\n", "persons_from = 2\n", "first amount is for 1 person"),
        ("persons_from = 4", "persons_from = 2", "grows"),
        ("smallest_pln = 20", "smallest_pln = 0", "smallest_pln"),
        ("smallest_pln = 20", 'smallest_pln = "20"', "smallest_pln"),
        ("smallest_pln = 20", "", "smallest_pln"),
        ("smallest_pln = 20", "smallest_pln = 20\ntop_pln = 5", "top_pln"),
        ("heated_pln = 600", "heated_pln = 1_000_001", "heated_pln"),
        ("[[amount]]", "[amount", "voucher.toml: "),
    ],
)
def test_a_table_that_is_not_one_of_the_voucher_is_refused(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    text = (household.FOLDER / "voucher.toml").read_text("utf-8")
    assert old in text
    path = tmp_path / "voucher.toml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(BadTable, match=fault):
        household.voucher_from(path)


def test_a_table_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "voucher.toml"
    path.write_bytes(b"source = '\xff'")
    with pytest.raises(BadTable, match=r"voucher\.toml"):
        household.voucher_from(path)
