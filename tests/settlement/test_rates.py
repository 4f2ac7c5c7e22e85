"""Tables of rates: dated, sourced, without overlap or hole, and never guessed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from settlement import tables
from settlement.rules.errors import BadTable, NoRate, RateChanges
from settlement.rules.periods import Period
from settlement.rules.rates import Tables
from tests.support.settlement import JULY, a_row

YEAR = Period(date(2024, 1, 1), date(2025, 1, 1))
FEBRUARY = Period(date(2024, 2, 1), date(2024, 3, 1))


@pytest.mark.parametrize(
    ("annual_kwh", "pln_per_month"),
    [
        (0, "2.66"),
        (499, "2.66"),
        (500, "6.39"),
        (1200, "6.39"),
        (1201, "10.64"),
        (2800, "10.64"),
        (2801, "14.90"),
        (1_000_000, "14.90"),
    ],
)
def test_the_capacity_fee_follows_the_bands_of_yearly_use(
    annual_kwh: int, pln_per_month: str
) -> None:
    row = tables.load().rate("capacity_fee", "household", FEBRUARY, annual_kwh)
    assert row.value == Decimal(pln_per_month)


@pytest.mark.parametrize("annual_kwh", [0, 499, 500, 1200, 1201, 2800, 2801])
def test_the_capacity_fee_is_zero_in_the_second_half_of_2024(annual_kwh: int) -> None:
    second_half = Period(date(2024, 7, 1), date(2025, 1, 1))
    assert tables.load().rate("capacity_fee", "household", second_half, annual_kwh).value == 0


@pytest.mark.parametrize(
    ("annual_kwh", "pln_per_month"),
    [(499, "0.02"), (500, "0.10"), (1200, "0.10"), (1201, "0.33")],
)
def test_the_transitional_fee_follows_its_bands(annual_kwh: int, pln_per_month: str) -> None:
    row = tables.load().rate("transitional_fee", "household", JULY, annual_kwh)
    assert row.value == Decimal(pln_per_month)


def test_the_cap_holds_from_the_first_of_july_to_the_end_of_december() -> None:
    whole = Period(date(2024, 7, 1), date(2025, 1, 1))
    assert tables.load().rate("price_cap", "household", whole).value == Decimal("0.505")
    for start, end in (("2024-06-30", "2024-07-01"), ("2025-01-01", "2025-01-02")):
        outside = Period(date.fromisoformat(start), date.fromisoformat(end))
        with pytest.raises(NoRate):
            tables.load().rate("price_cap", "household", outside)


def test_vat_was_5_percent_in_2022_and_is_23_from_2023() -> None:
    in_2022 = Period(date(2022, 12, 31), date(2023, 1, 1))
    in_2023 = Period(date(2023, 1, 1), date(2023, 1, 2))
    assert tables.load().rate("vat", "electricity", in_2022).value == 5
    assert tables.load().rate("vat", "electricity", in_2023).value == 23


def test_a_rate_without_source_for_one_phase_is_refused_not_guessed() -> None:
    with pytest.raises(NoRate, match=r"g11\.fixed\.1_phase"):
        tables.load().rate("distribution_tauron", "g11.fixed.1_phase", JULY)


def test_a_change_of_value_inside_the_period_is_refused_and_names_the_day() -> None:
    with pytest.raises(RateChanges, match="2024-07-01"):
        tables.load().rate("capacity_fee", "household", YEAR, 2400)


def test_rows_of_the_same_value_are_one_rate() -> None:
    first = a_row(valid_to=date(2024, 7, 1))
    second = a_row(valid_from=date(2024, 7, 1))
    assert Tables([second, first]).rate("levies", "renewable", YEAR).value == first.value


def test_a_row_without_end_is_still_in_force() -> None:
    row = a_row(valid_to=None)
    assert Tables([row]).rate("levies", "renewable", YEAR) is row


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
def test_rows_that_contradict_each_other_are_refused(rows: list[object]) -> None:
    with pytest.raises(BadTable):
        Tables(rows)  # type: ignore[arg-type]


GOOD = """
[[row]]
key = "renewable"
value = "0.00350"
unit = "pln_per_kwh"
valid_from = 2025-01-01
source = "a test"
"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD.replace('source = "a test"\n', ""), "source is missing"),
        (GOOD.replace('"a test"', '""'), "source is a text"),
        (GOOD + "valid_until = 2026-01-01\n", "valid_until"),
        (GOOD.replace('"0.00350"', "0.0035"), "value is a text"),
        (GOOD.replace("0.00350", "0.003501"), "decimals"),
        (GOOD.replace("pln_per_kwh", "pln_per_mwh"), "unit is one of"),
        (GOOD.replace("2025-01-01", '"2025-01-01"'), "valid_from is a day"),
        (GOOD + "from_kwh = -1\n", "whole kWh"),
        (GOOD + "[other]\n", "nothing else"),
        ("row = 1", "nothing else"),
        ("[[row", "not TOML"),
    ],
)
def test_a_table_file_that_is_wrong_names_its_fault(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "levies.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadTable, match=fault):
        tables.load_from(tmp_path)


def test_a_table_file_becomes_rows(tmp_path: Path) -> None:
    (tmp_path / "levies.toml").write_text(GOOD, encoding="utf-8")
    in_2026 = Period(date(2026, 1, 1), date(2026, 2, 1))
    assert tables.load_from(tmp_path).rate("levies", "renewable", in_2026).source == "a test"
