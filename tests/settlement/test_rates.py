"""Tables of rates: dated, sourced, without overlap or hole, and never guessed."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement import tables
from settlement.rules.errors import BadTable, NoRate, RateChanges
from settlement.rules.periods import Period
from settlement.rules.rates import Row, Tables, Unknown

YEAR = Period(date(2024, 1, 1), date(2025, 1, 1))


def a_row(**changes: Any) -> Row:
    """The OZE fee of 2024, or what the changes say."""
    fields: dict[str, Any] = {
        "table": "levies",
        "key": "renewable",
        "value": Decimal("0.00350"),
        "unit": "pln_per_kwh",
        "valid_from": date(2024, 1, 1),
        "valid_to": date(2025, 1, 1),
        "source": "a test",
    }
    return Row(**(fields | changes))


def halves(second: str = "0.00730", key: str = "renewable", table: str = "levies") -> list[Row]:
    """The first and the second half of 2024, in the wrong order."""
    middle = date(2024, 7, 1)
    return [
        a_row(valid_from=middle, value=Decimal(second), key=key, table=table),
        a_row(valid_to=middle, key=key, table=table),
    ]


def test_a_change_of_value_inside_the_period_is_refused_and_names_the_day() -> None:
    with pytest.raises(RateChanges, match="2024-07-01"):
        Tables(halves()).rate("levies", "renewable", YEAR)


def test_rows_of_the_same_value_are_one_rate() -> None:
    found = Tables(halves(second="0.00350")).rate("levies", "renewable", YEAR)
    assert found.valid_from == date(2024, 1, 1)


def test_a_row_without_end_is_still_in_force() -> None:
    row = a_row(valid_to=None)
    assert Tables([row]).rate("levies", "renewable", YEAR) is row


@pytest.mark.parametrize(
    ("day", "value"),
    [("2024-01-01", "0.00350"), ("2024-06-30", "0.00350"), ("2024-07-01", "0.00730")],
)
def test_a_rate_on_a_day_is_the_one_whose_first_day_it_may_be(day: str, value: str) -> None:
    found = Tables(halves()).rate_on("levies", "renewable", date.fromisoformat(day))
    assert found.value == Decimal(value)


@pytest.mark.parametrize("day", ["2023-12-31", "2025-01-01"])
def test_a_day_before_the_first_or_after_the_last_row_has_no_rate(day: str) -> None:
    with pytest.raises(NoRate, match=f"levies has no row 'renewable' for all of {day}"):
        Tables(halves()).rate_on("levies", "renewable", date.fromisoformat(day))


def test_a_key_without_any_row_has_no_rate_and_is_not_known() -> None:
    found = Tables(halves())
    assert found.knows("levies", "renewable")
    assert not found.knows("levies", "cogeneration")
    assert not found.knows("vat", "renewable")
    with pytest.raises(NoRate, match=r"settlement/tables/levies\.toml"):
        found.rate("levies", "cogeneration", YEAR)
    assert not found.knows("levies", "cogeneration"), "asking makes nothing known"


@pytest.mark.parametrize(
    ("table", "remedy"),
    [
        ("levies", "add one with its source to settlement/tables/levies.toml$"),
        (
            "distribution_tauron",
            "tables/distribution_tauron.toml, or read in the operator's tariff",
        ),
        ("seller_tauron", "read in the seller's price list"),
    ],
)
def test_the_refusal_says_what_to_do_next(table: str, remedy: str) -> None:
    with pytest.raises(NoRate, match=remedy):
        Tables([]).rate(table, "quality", YEAR)


def test_changes_are_the_days_on_which_the_value_differs_from_the_day_before() -> None:
    found = Tables(halves())
    assert found.changes("levies", "renewable", YEAR) == [date(2024, 7, 1)]
    same = Tables(halves(second="0.00350"))
    assert same.changes("levies", "renewable", YEAR) == []
    assert found.changes("levies", "cogeneration", YEAR) == []


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        ("2024-07-01", "2024-08-01", 0),
        ("2024-06-01", "2024-07-01", 0),
        ("2024-06-30", "2024-07-02", 1),
        ("2023-12-01", "2024-02-01", 0),
    ],
)
def test_a_change_is_inside_of_the_period_and_not_its_first_day(
    start: str, end: str, count: int
) -> None:
    period = Period(date.fromisoformat(start), date.fromisoformat(end))
    assert len(Tables(halves()).changes("levies", "renewable", period)) == count


def test_changes_are_those_of_the_band_that_is_asked_for() -> None:
    first, second = date(2024, 1, 1), date(2024, 7, 1)
    rows = [
        a_row(valid_to=second, annual_kwh=(0, 499), value=Decimal(1)),
        a_row(valid_to=second, annual_kwh=(500, None), value=Decimal(2)),
        a_row(valid_from=second, value=Decimal(2)),
    ]
    found = Tables(rows)
    assert found.changes("levies", "renewable", YEAR, 499) == [second]
    assert found.changes("levies", "renewable", YEAR, 500) == []
    assert found.rate_on("levies", "renewable", first, 500).value == 2


def with_a_hole() -> list[Row]:
    return [
        a_row(valid_to=date(2024, 4, 1)),
        a_row(valid_from=date(2024, 7, 1), value=Decimal(9)),
    ]


def an_unknown(**changes: Any) -> Unknown:
    fields: dict[str, Any] = {
        "table": "levies",
        "key": "renewable",
        "valid_from": date(2024, 4, 1),
        "valid_to": date(2024, 7, 1),
        "reason": "the gazette was lost",
    }
    return Unknown(**(fields | changes))


def test_days_said_to_be_unknown_are_refused_with_the_reason_and_are_no_change() -> None:
    found = Tables(with_a_hole(), [an_unknown()])
    with pytest.raises(NoRate, match=r"2024-01-01 to 2025-01-01.*the gazette was lost"):
        found.rate("levies", "renewable", YEAR)
    assert found.changes("levies", "renewable", YEAR) == []
    with pytest.raises(NoRate) as refusal:
        found.rate_on("levies", "renewable", date(2025, 1, 1))
    assert "gazette" not in str(refusal.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "cogeneration"},
        {"table": "vat"},
        {"valid_to": date(2024, 6, 30)},
        {"valid_from": date(2024, 4, 2)},
    ],
)
def test_a_gap_that_is_not_wholly_said_to_be_unknown_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadTable, match="a gap from 2024-04-01 to 2024-07-01"):
        Tables(with_a_hole(), [an_unknown(**changes)])


@pytest.mark.parametrize(
    "rows",
    [
        [a_row(), a_row(valid_from=date(2024, 6, 1))],
        [a_row(), a_row()],
        [a_row(valid_to=None), a_row(valid_from=date(2025, 1, 1), valid_to=None)],
        [a_row(), a_row(valid_from=date(2025, 1, 2), valid_to=None)],
        [a_row(valid_to=date(2024, 1, 1))],
        [a_row(annual_kwh=(1, None))],
        [a_row(annual_kwh=(0, 499))],
        [a_row(annual_kwh=(0, 499)), a_row(annual_kwh=(501, None))],
        [a_row(annual_kwh=(0, 500)), a_row(annual_kwh=(500, None))],
        [a_row(annual_kwh=(0, -1)), a_row(annual_kwh=(0, None))],
    ],
    ids=[
        "overlap",
        "twice",
        "overlap with an open end",
        "gap",
        "empty span",
        "nothing below the first band",
        "nothing above the last band",
        "hole between bands",
        "bands overlap",
        "reversed band",
    ],
)
def test_rows_that_contradict_each_other_are_refused(rows: list[Row]) -> None:
    with pytest.raises(BadTable):
        Tables(rows)


def test_a_row_names_its_origin_for_the_invoice() -> None:
    assert a_row().origin == "levies renewable from 2024-01-01"


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 2)), min_size=1, max_size=9))
def test_between_its_changes_every_period_has_one_rate(spans: list[tuple[int, int]]) -> None:
    rows, day = [], date(2024, 1, 1)
    for days, value in spans:
        after = day + timedelta(days=days)
        rows.append(a_row(valid_from=day, valid_to=after, value=Decimal(value)))
        day = after
    found, whole = Tables(rows), Period(date(2024, 1, 1), day)
    edges = [whole.start, *found.changes("levies", "renewable", whole), whole.end]
    for start, end in pairwise(edges):
        rate = found.rate("levies", "renewable", Period(start, end))
        assert rate.value == found.rate_on("levies", "renewable", end - timedelta(days=1)).value


GOOD = """
[[row]]
key = "renewable"
value = "0.00350"
unit = "pln_per_kwh"
valid_from = 2025-01-01
source = "a test"
"""
SHEET = """
[[sheet]]
valid_from = 2025-01-01
valid_to = 2026-01-01
source = "a test"
[sheet.pln_per_month]
household = [{ to_kwh = 499, value = "2.86" }, { from_kwh = 500, value = "6.86" }]
[sheet.ratio]
other = "1.23"
"""
UNKNOWN = """
[[unknown]]
key = "renewable"
valid_from = 2024-01-01
valid_to = 2025-01-01
reason = "lost"
"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD.replace('source = "a test"\n', ""), "row 1: source is missing"),
        (GOOD.replace('"a test"', '""'), "source is a text"),
        (GOOD + "valid_until = 2026-01-01\n", "valid_until"),
        (GOOD.replace('"0.00350"', "0.0035"), "value is a text"),
        (GOOD.replace("0.00350", "0.003501"), "decimals"),
        (GOOD.replace("pln_per_kwh", "pln_per_mwh"), "unit is one of"),
        (GOOD.replace("2025-01-01", '"2025-01-01"'), "valid_from is a day"),
        (GOOD.replace("2025-01-01", "2025-01-01T00:00:00"), "valid_from is a day"),
        (GOOD + "from_kwh = -1\n", "whole kWh"),
        (GOOD + "to_kwh = true\n", "whole kWh"),
        (GOOD + "[other]\n", "nothing else"),
        ("row = 1", "nothing else"),
        ("row = [1]", "nothing else"),
        ("", "nothing else"),
        ("[[row", "not TOML"),
        (SHEET.replace("ratio", "factor"), "sheet 1, other: unit is one of"),
        (SHEET.replace("[sheet.pln_per_month]", ""), "'household' is neither days"),
        (SHEET.replace("valid_from", "valid_form"), "valid_from is missing"),
        (SHEET.replace("[sheet.ratio]", "[sheet.ratio]\nmore = {}"), "more: value is a text"),
        (SHEET.replace("to_kwh = 499", "up_to = 499"), "up_to"),
        (SHEET.replace('"1.23"', "[1]"), "a band says value"),
        (UNKNOWN.replace('reason = "lost"', ""), "unknown 1: reason is missing"),
        (UNKNOWN.replace("2025-01-01", '""'), "unknown 1: valid_to is a day"),
    ],
)
def test_a_table_file_that_is_wrong_names_its_fault(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "levies.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadTable, match=fault):
        tables.load_from(tmp_path)


def test_a_table_file_becomes_rows(tmp_path: Path) -> None:
    (tmp_path / "levies.toml").write_text(GOOD + SHEET + UNKNOWN, encoding="utf-8")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "other.toml").write_text("not a table", encoding="utf-8")
    found = tables.load_from(tmp_path)
    in_2026 = Period(date(2026, 1, 1), date(2026, 2, 1))
    assert found.rate("levies", "renewable", in_2026).source == "a test"
    assert found.rate_on("levies", "household", date(2025, 12, 31), 499).value == Decimal("2.86")
    assert found.rate_on("levies", "household", date(2025, 12, 31), 500).value == Decimal("6.86")
    assert found.rate_on("levies", "other", date(2025, 1, 1)).unit == "ratio"
    with pytest.raises(NoRate, match="lost"):
        found.rate_on("levies", "renewable", date(2024, 12, 31))
