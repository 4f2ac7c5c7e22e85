"""Runs every scenario folder: `when` must come to exactly the files of `then`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from settlement import scenario, tables
from settlement.errors import MalformedBody
from tests.support.settlement import SCENARIOS

FOLDERS = sorted(folder for folder in SCENARIOS.iterdir() if folder.name.startswith("given_"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_is_given_comes_to_exactly_what_is_written(folder: Path) -> None:
    written = {
        path.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "then").iterdir())
    }
    assert scenario.run(folder, tables.load()) == written


def test_the_folders_of_the_first_household_are_there() -> None:
    assert len(FOLDERS) >= 17


def a_folder(tmp_path: Path, when: str, intervals: str | None = None) -> Path:
    (tmp_path / "when").mkdir()
    (tmp_path / "when" / "contract.toml").write_text(when, encoding="utf-8")
    if intervals is not None:
        (tmp_path / "when" / "intervals.csv").write_text(intervals, encoding="utf-8")
    return tmp_path


WHEN = (SCENARIOS / "given_nothing_used" / "when" / "contract.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("when", "intervals", "fault"),
    [
        (WHEN.replace("total_kwh", "total_mwh"), None, "total_mwh"),
        (WHEN.replace("total_kwh = 0\n", ""), None, "one of the two"),
        (WHEN, "1,2,3\n", "one of the two"),
        (WHEN.replace("total_kwh = 0\n", ""), "1,2\n", "'1,2' is not start_s"),
        ("ppe = ", None, "contract.toml"),
    ],
)
def test_a_scenario_that_is_written_wrongly_names_the_fault(
    tmp_path: Path, when: str, intervals: str | None, fault: str
) -> None:
    with pytest.raises(MalformedBody, match=fault):
        scenario.run(a_folder(tmp_path, when, intervals), tables.load())
