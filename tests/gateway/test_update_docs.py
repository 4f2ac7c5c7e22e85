"""docs/updates.md names every state and every reason that the code has."""

from __future__ import annotations

import re

import pytest

from gateway import store
from gateway.rollout import pieces, rollout_answers, rollout_book, rollout_steps, updates, waves
from host_tools.micropython import ROOT

TEXT = (ROOT / "docs/updates.md").read_text("utf-8")
SCHEMA = (store.SCHEMA_DIR / "005_updates.sql").read_text("utf-8")


def states_of(table: str) -> set[str]:
    found = re.search(rf"CREATE TABLE {table} .*?state IN\s+\((.*?)\)", SCHEMA, re.DOTALL)
    assert found is not None
    return set(re.findall(r"'(\w+)'", found[1]))


def test_every_state_of_a_meter_has_its_row() -> None:
    section = TEXT.partition("## States of a meter")[2].partition("## States of a roll-out")[0]
    assert set(re.findall(r"^\| (\w+) \|", section, re.MULTILINE)) - {"state"} == states_of(
        "rollout_meter"
    )


def test_every_state_of_a_rollout_is_reached_in_the_table() -> None:
    section = TEXT.partition("## States of a roll-out")[2].partition("## Log")[0]
    assert all(state in section for state in states_of("rollout"))


@pytest.mark.parametrize(
    "reason",
    [
        rollout_answers.ALREADY, rollout_answers.FELL_BACK, rollout_answers.WENT_BACK,
        rollout_steps.CANCELLED, rollout_steps.LEFT, rollout_steps.NOBODY_CONFIRMED,
        rollout_steps.NOT_HEARD, rollout_steps.NO_ANSWER, rollout_steps.NO_CONFIRMATION,
        rollout_steps.NO_RESULT, rollout_steps.TOO_MANY_FAILURES,
        "answer", "flash", "no_progress", "on_trial", "restart", "unsupported",
    ],
)  # fmt: skip
def test_every_reason_is_explained(reason: str) -> None:
    assert f"`{reason}`" in TEXT


def test_the_limits_are_the_codes() -> None:
    assert f"{updates.FILES_MAX}; {updates.BUNDLE_BYTES_MAX // 1024} KiB" in TEXT
    assert f"| {updates.PARTS_MAX}; {pieces.PIECE_BYTES_MAX} B |" in TEXT
    assert f"| {updates.MANIFEST_JSON_BYTES_MAX // 1024} KiB; {updates.UPDATES_MAX} |" in TEXT
    assert f"| waves | {waves.WAVES_MAX} |" in TEXT
    assert f"| {rollout_book.METERS_AT_ONCE_MAX:,}; 90 d; 1 min to 30 d; 1 min to 365 d" in TEXT
    assert f"| {pieces.HASHES_MAX}; {pieces.FLASHES_MAX}; {pieces.TRIALS_MAX}, a minute" in TEXT
    assert (rollout_steps.STALL_S, pieces.WAIT_S, pieces.TIMES_MAX) == (600, 60, 4)
