"""Runs every scenario folder: `when` must come to exactly the files of `then`."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from settlement import scenario, tables
from settlement.errors import MalformedBody
from settlement.rules.policies import DEFAULTS, VALUES

SCENARIOS = Path(__file__).parent
FOLDERS = sorted(folder for folder in SCENARIOS.iterdir() if folder.name.startswith("given_"))
FORMS = ("contract.toml", "rebate.toml", "voucher.toml", "appliances.toml", "forecast.toml")
SCENARIOS_MIN = 48
WORKED_EXAMPLES = 18


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_is_given_comes_to_exactly_what_is_written(folder: Path) -> None:
    came = scenario.run(folder, tables.load())
    written = sorted(path.name for path in (folder / "then").iterdir())
    assert written, "a scenario says what comes of it"
    assert set(written) <= set(came), f"of {set(written) - set(came)} comes {came}"
    for name in written:
        text = (folder / "then" / name).read_text(encoding="utf-8")
        expected = json.loads(text) if name.endswith(".json") else text
        assert came[name] == expected, name


def heads() -> dict[str, str]:
    """The comment at the head of each scenario, by the name of its folder, as one line."""
    found = {}
    for folder in FOLDERS:
        form = next(path for name in FORMS if (path := folder / "when" / name).exists())
        lines = form.read_text(encoding="utf-8").splitlines()
        comments = takewhile(lambda line: line.startswith("# "), lines)
        found[folder.name] = " ".join(line.removeprefix("# ") for line in comments)
    return found


def chosen_policies(folder: Path) -> set[tuple[str, str]]:
    """Every policy and value that the contracts of a scenario, or its rebate, name."""
    forms = (folder / "when" / "contract.toml", folder / "when" / "rebate.toml")
    chosen: set[tuple[str, str]] = set()
    for path in (path for path in forms if path.exists()):
        when: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        contracts = [*when.get("contracts", ()), when.get("contract", {})]
        chosen |= {item for each in contracts for item in each.get("policies", {}).items()}
        chosen |= {item for item in when.items() if item[0] in VALUES}
    return chosen


def test_there_are_scenarios_enough() -> None:
    assert len(FOLDERS) >= SCENARIOS_MIN


def test_each_scenario_says_what_it_is_about_and_where_its_expectation_comes_from() -> None:
    assert [name for name, head in heads().items() if not re.match(".+ Expected: .+", head)] == []


def test_every_worked_example_is_a_scenario() -> None:
    named = {number for head in heads().values() for number in re.findall(r"^P(\d+)\b", head)}
    assert {str(number) for number in range(1, WORKED_EXAMPLES + 1)} - named == set()


def test_every_reading_that_is_not_the_default_is_shown_by_a_scenario() -> None:
    shown = {item for folder in FOLDERS for item in chosen_policies(folder)}
    other = {
        (name, value)
        for name, values in VALUES.items()
        for value in values
        if value != getattr(DEFAULTS, name)
    }
    assert other - shown == set()


def when_of(name: str) -> dict[str, str]:
    """The texts of an existing scenario, by file name, to be written wrongly."""
    when = SCENARIOS / name / "when"
    return {
        str(path.relative_to(when)): path.read_text(encoding="utf-8")
        for path in when.rglob("*")
        if path.is_file()
    }


def a_folder(tmp_path: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = tmp_path / "when" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


PLAIN = "given_nothing_used"
ZONES = "given_the_invoice_of_april_2025"
REBATE = "given_a_rebate_over_three_invoices"
LATER = "given_a_contract_corrected_later"


@pytest.mark.parametrize(
    ("name", "file", "right", "wrong", "fault"),
    [
        (PLAIN, "contract.toml", "total_kwh", "total_mwh", "total_mwh"),
        (PLAIN, "contract.toml", "total_kwh = 0\n", "", "total_kwh in contract.toml, totals.csv"),
        (PLAIN, "contract.toml", 'ppe = "', "ppe = ", "contract.toml"),
        (PLAIN, "contract.toml", "end = 2024-09-01\n", "", "a start needs its end"),
        (PLAIN, "contract.toml", "start = ", 'first_month = "2024-08"\nstart = ', "or first_month"),
        (ZONES, "totals.csv", "import_kwh", "import", "totals.csv begins with"),
        (ZONES, "totals.csv", "peak,29", "noon,29", "'noon' is unknown"),
        (ZONES, "totals.csv", "offpeak,91", "peak,91", "there twice"),
        (ZONES, "totals.csv", "2025-05-01,peak", "2025-04-30,peak", "2025-04-30, the spans are"),
        (ZONES, "totals.csv", "peak,29", "peak,-29", "'-29' is not a plain decimal"),
        (ZONES, "totals.csv", "2025-04-01,2025-05-01,offpeak,91,0\n", "", "offpeak"),
        (ZONES, "totals.csv", "offpeak,91,0", "offpeak,,0", "import_kwh"),
        (ZONES, "totals.csv", "offpeak,91,0", "offpeak", "import_kwh"),
        (REBATE, "rebate.toml", "to_pay_gr", "pay_gr", "'pay_gr'"),
        (REBATE, "rebate.toml", "known_on", "operator_consent = true\nknown_on", "consent"),
        (LATER, "later/contract.toml", "2026-03", "2026-02", "asks for other invoices"),
    ],
)
def test_a_scenario_that_is_written_wrongly_names_the_fault(
    tmp_path: Path, name: str, file: str, right: str, wrong: str, fault: str
) -> None:
    texts = when_of(name)
    assert right in texts[file], "the test has something to write wrongly"
    texts[file] = texts[file].replace(right, wrong)
    with pytest.raises(MalformedBody, match=re.escape(fault)):
        scenario.run(a_folder(tmp_path, texts), tables.load())


def test_a_line_of_intervals_that_is_none_is_named(tmp_path: Path) -> None:
    texts = {**when_of("given_missing_hours"), "intervals.csv": "1728597600,2\n"}
    with pytest.raises(MalformedBody, match="'1728597600,2' is not start_s"):
        scenario.run(a_folder(tmp_path, texts), tables.load())


def test_energy_that_is_given_in_two_files_is_not_guessed_at(tmp_path: Path) -> None:
    texts = {**when_of(PLAIN), "intervals.csv": "start_s,import_wh,export_wh\n"}
    with pytest.raises(MalformedBody, match="one of"):
        scenario.run(a_folder(tmp_path, texts), tables.load())


def test_a_folder_without_a_question_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedBody, match="has none of"):
        scenario.run(a_folder(tmp_path, {"rce.csv": "start_s,pln_per_mwh\n"}), tables.load())


DEPOSIT = "given_a_deposit_in_its_last_month"
STORAGE = "given_stored_energy_one_month_too_old"
KNOWN = "given_a_past_settled_again_by_the_corrected_price"


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        (DEPOSIT, "value_gr = 10000, open_gr = 6000", "value_gr = 5000, open_gr = 6000"),
        (DEPOSIT, '"2023-06"', '"2024-06"'),
        (DEPOSIT, "deposit = [{", 'deposit = [{ month = "2023-06", value_gr = 1, open_gr = 1 }, {'),
        (STORAGE, '"2022-12"', '"2024-01"'),
        (STORAGE, "storage = [{", 'storage = [{ month = "2022-12", energy_wh = 1 }, {'),
        (KNOWN, "known_on = 2024-04-15", "known_on = 2023-12-01"),
    ],
)
def test_what_cannot_be_known_or_brought_along_is_refused(
    tmp_path: Path, name: str, right: str, wrong: str
) -> None:
    # More left than there was, a month that is still to come, a month twice, knowledge unlearned.
    texts = {file: text for file, text in when_of(name).items() if not file.startswith("later")}
    assert right in texts["contract.toml"]
    texts["contract.toml"] = texts["contract.toml"].replace(right, wrong)
    came = scenario.run(a_folder(tmp_path, texts), tables.load())
    assert set(came) == {"refusal.json"}
