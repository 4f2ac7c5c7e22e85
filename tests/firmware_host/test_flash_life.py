"""The flash outlives the meter at the shipped cadence; wear is measured on the real layout."""

import pytest

from bench import flash
from firmware.storage import open_storage
from tests.support.fake_flash import FakeFlash

DAYS_MIN = 96


@pytest.fixture(scope="module")
def rows() -> dict[str, flash.Wear]:
    return {row.name: row for row in flash.all_wear()}


def test_every_ring_lasts_twenty_years_at_the_shipped_cadence(rows: dict[str, flash.Wear]) -> None:
    assert len(rows) == 7
    assert all(row.years >= flash.YEARS_MIN for row in rows.values()), rows


def test_a_record_costs_at_most_a_hundredth_of_an_erase_over_all_rings(
    rows: dict[str, flash.Wear],
) -> None:
    assert flash.erases_per_record(list(rows.values())) <= 0.01


@pytest.mark.parametrize("load_w", flash.LOADS_W)
def test_every_ring_lasts_twenty_years_from_10_kwh_a_day_to_the_fuse(load_w: int) -> None:
    rows = flash.all_wear(load_w)
    assert min(row.years for row in rows) >= flash.YEARS_MIN, rows
    assert flash.erases_per_record(rows) <= 0.01


def test_the_loads_are_those_up_to_100_kwh_a_day_and_the_fuse() -> None:
    assert [round(load_w * 24 / 1000) for load_w in flash.LOADS_W] == [10, 36, 48, 100, 1044]


def test_a_ring_erases_no_more_than_once_for_each_full_block(rows: dict[str, flash.Wear]) -> None:
    for row in rows.values():
        assert row.per_record <= 1 / row.slots


def test_one_mebibyte_holds_more_than_96_days_of_intervals() -> None:
    assert flash.days_held(open_storage(FakeFlash(flash.MIB_BLOCKS))) >= DAYS_MIN


def test_counts_are_saved_once_a_minute_in_a_household_and_oftener_under_load() -> None:
    states, counts = flash.saves(flash.HOUSEHOLD_W)
    assert 96 <= states <= 96 + flash.ZONE_CHANGES_A_DAY + 2
    assert 1440 - 96 <= counts <= 1440
    assert flash.saves(2_000)[1] > counts
    assert flash.saves(flash.FUSE_W)[1] > 17_000  # at every look


def test_the_table_is_printed_with_its_years(capsys: pytest.CaptureFixture[str]) -> None:
    flash.main()
    told = capsys.readouterr().out
    assert "days of 15-minute intervals x 4 channels in 1 MiB" in told
    assert "counts lasts" in told
