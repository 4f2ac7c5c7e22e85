"""The pages on settlement are true: what they name exists, and what exists is told."""

from __future__ import annotations

import re
from pathlib import Path

from settlement.rules.errors import Refused
from settlement.rules.policies import VALUES

TESTS = Path(__file__).parents[1]
SCENARIOS = Path(__file__).parent
PAGES = sorted((TESTS.parent / "docs").glob("settlement*.md"))
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
FENCED = re.compile(r"^`(given_\w+/[\w./]+)`:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def refusals(kind: type[Refused] = Refused) -> set[str]:
    """The reason of every refusal that there is."""
    return {reason for each in kind.__subclasses__() for reason in {each.reason, *refusals(each)}}


def test_the_pages_name_every_scenario_and_no_other() -> None:
    folders = {path.name for path in SCENARIOS.glob("given_*")}
    assert set(re.findall(r"\bgiven_\w+", TEXT)) == folders


def test_every_test_that_the_pages_name_exists() -> None:
    files = list(TESTS.rglob("test_*.py"))
    functions = {
        name
        for path in files
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = set(re.findall(r"\btest_\w+(?:\.py)?", TEXT))
    assert named - functions - {path.name for path in files} == set()


def test_the_examples_of_the_pages_are_the_files_of_their_scenarios() -> None:
    examples = FENCED.findall(TEXT)
    assert len({name.partition("/")[0] for name, _ in examples}) >= 2
    for name, text in examples:
        assert (SCENARIOS / name).read_text(encoding="utf-8") == text, name


def test_every_policy_is_told_with_all_of_its_readings_the_default_first() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (`[^|]+`) \|", TEXT, re.MULTILINE))
    told = {name: tuple(re.findall(r"`([\w-]+)`", rows.get(name, ""))) for name in VALUES}
    assert told == VALUES


def test_every_refusal_is_told_by_its_reason() -> None:
    assert {reason for reason in refusals() if f"`{reason}`" not in TEXT} == set()


def test_every_link_between_the_pages_leads_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([\w./-]+\.md)", text):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
