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
    assert len(rows) == 6
    assert all(row.years >= flash.YEARS_MIN for row in rows.values()), rows


def test_a_record_wears_the_most_used_block_by_at_most_a_hundredth_of_an_erase(
    rows: dict[str, flash.Wear],
) -> None:
    wear = {name: row.worst / row.records for name, row in rows.items()}
    assert wear.pop("settings") <= 0.034  # ten records fill a block; they are written by commands
    assert all(erases <= 0.01 for erases in wear.values()), wear


def test_a_ring_erases_no_more_than_once_for_each_full_block(rows: dict[str, flash.Wear]) -> None:
    for row in rows.values():
        assert row.per_record <= 1 / row.slots


def test_one_mebibyte_holds_more_than_96_days_of_intervals() -> None:
    assert flash.days_held(open_storage(FakeFlash(flash.MIB_BLOCKS))) >= DAYS_MIN


def test_the_state_is_saved_once_a_minute_in_a_household_and_oftener_under_load() -> None:
    assert 1440 <= flash.state_saves(flash.HOUSEHOLD_W) <= 1440 + 96
    assert flash.state_saves(2_000) > flash.state_saves(flash.HOUSEHOLD_W)


def test_the_table_is_printed_with_its_years(capsys: pytest.CaptureFixture[str]) -> None:
    flash.main()
    told = capsys.readouterr().out
    assert "days of 15-minute intervals x 4 channels in 1 MiB" in told
    assert "years" in told
