"""Exports of eLicznik become hours of UTC; days of 23 and 25 hours lose nothing."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from settlement import elicznik
from settlement.elicznik import BadExport, as_lines, parse
from settlement.rules.periods import day_start_s
from tests.support.settlement import EXPORTS


def export(name: str) -> str:
    return elicznik.read(EXPORTS / f"elicznik-{name}.csv")


WEEK = export("2021-10-15-week")


def test_the_recorded_week_has_168_hours_and_the_known_sums() -> None:
    hours = parse(WEEK)
    assert len(hours) == 168
    assert sum(hour.import_wh for hour in hours) == 51_509
    assert sum(hour.export_wh for hour in hours) == 55_134
    # The first label is 1:00: the hour from local midnight, in summer time.
    assert hours[0] == elicznik.HourOfUse(day_start_s(date(2021, 10, 15)), 396, 0)


@pytest.mark.parametrize(
    ("name", "hours_of_day", "import_wh", "export_wh"),
    [("2022-03-27-23h", 23, 4_650, None), ("2022-10-30-25h", 25, 3_791, 9_866)],
)
def test_days_of_the_clock_change_are_whole(
    name: str, hours_of_day: int, import_wh: int, export_wh: int | None
) -> None:
    hours = parse(export(name))
    assert len(hours) == hours_of_day
    assert [hour.start_s for hour in hours] == list(
        range(hours[0].start_s, hours[0].start_s + 3600 * hours_of_day, 3600)
    )
    assert sum(hour.import_wh for hour in hours) == import_wh
    if export_wh is not None:
        assert sum(hour.export_wh for hour in hours) == export_wh


def test_both_autumn_hours_labelled_3_are_kept_in_order() -> None:
    hours = parse(export("2022-10-30-25h"))
    assert [hour.import_wh for hour in hours[2:4]] == [221, 222]


def test_a_moved_week_keeps_its_energy_and_its_local_hours() -> None:
    moved = parse(WEEK, date(2024, 12, 6))
    assert moved[0].start_s == day_start_s(date(2024, 12, 6))
    assert [hour.import_wh for hour in moved] == [hour.import_wh for hour in parse(WEEK)]


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("2022-10-30-25h", date(2024, 10, 26)),
        ("2022-03-27-23h", date(2024, 10, 27)),
        ("2021-10-15-week", date(2024, 10, 21)),
    ],
)
def test_a_move_onto_a_day_of_another_length_is_refused(name: str, to: date) -> None:
    with pytest.raises(BadExport, match=": move to another day"):
        parse(export(name), to)


def test_the_autumn_day_moves_onto_another_autumn_day() -> None:
    assert len(parse(export("2022-10-30-25h"), date(2024, 10, 27))) == 25


def test_lines_are_start_import_export() -> None:
    assert as_lines(parse(WEEK)[:1]) == "1634248800,396,0\n"


def test_balanced_rows_are_known_and_left_out() -> None:
    balanced = WEEK.splitlines()[1].replace("pobór", "pobrana po zbilansowaniu")
    assert parse(WEEK + balanced + "\n") == parse(WEEK)


LINES = WEEK.splitlines()


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "line 1"),
        (["Data;Wartość kWh;Rodzaj;", *LINES[1:]], "line 1"),
        ([LINES[0], LINES[1].replace(",", "."), *LINES[2:]], "line 2: expected"),
        ([LINES[0], LINES[1].replace("pobór", "zużycie"), *LINES[2:]], "unknown kind"),
        ([LINES[0], LINES[1].replace("10-15", "02-30"), *LINES[2:]], "line 2: '2021-02-30'"),
        ([LINES[0], *LINES[2:]], "2021-10-15, pobór: 23 hours"),
        ([LINES[0], LINES[2], LINES[1], *LINES[3:]], "24 from 1 to 24 in order"),
        ([*LINES[:2], *LINES[1:]], "2021-10-15, pobór: 25 hours"),
        ([line for line in LINES if "oddanie" not in line], "export both directions"),
        ([line for line in LINES if "10-21" not in line or "pobór" in line], "has only one of"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_export_that_is_not_whole_names_line_or_day(lines: list[str], fault: str) -> None:
    with pytest.raises(BadExport, match=fault):
        parse("\n".join(lines) + ("\n" if lines else ""))


def test_a_file_of_another_encoding_or_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cp1250.csv").write_bytes(WEEK.encode("cp1250"))
    with pytest.raises(BadExport, match="UTF-8"):
        elicznik.read(tmp_path / "cp1250.csv")
    (tmp_path / "long.csv").write_bytes(b"x" * 101)
    monkeypatch.setattr(elicznik, "FILE_BYTES_MAX", 101)
    assert len(elicznik.read(tmp_path / "long.csv")) == 101
    monkeypatch.setattr(elicznik, "FILE_BYTES_MAX", 100)
    with pytest.raises(BadExport, match="at most 100 bytes"):
        elicznik.read(tmp_path / "long.csv")
