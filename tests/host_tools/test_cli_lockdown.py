"""`lockdown` from the command line: what it hands over, and how the gateway hears of the level."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from host_tools.cli import lockdown as command
from host_tools.levels import L0, Level
from host_tools.locking import lockdown as locking
from host_tools.locking.lockdown import Locked
from tests.support.a_bench import json_lines, run

METER_ID = "00112233445566bb"
RECORD = {
    "L1": "python -m host_tools doctor --setup pairing.toml --record-level",
    "L2": f"python -m gateway meters level {METER_ID} L2",
}


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the chip was asked for; it does as it is told."""
    asked: list[dict[str, Any]] = []

    def lock_down(port: str, level: str, image: Any, **options: Any) -> Locked:
        is_dry = options["dry_run"]
        typed = "" if is_dry else options["confirm"]("Type the meter id: ")
        asked.append({"level": level, "typed": typed, **options})
        return Locked(Level(L0, ()), Level(L0 if is_dry else level, ()), (), not is_dry)

    monkeypatch.setattr(locking, "lock_down", lock_down)
    monkeypatch.setattr(command, "built_image", lambda *_, **__: None)
    monkeypatch.setattr("sys.stdin", io.StringIO(METER_ID + "\n"))
    return asked


def words(tmp_path: Path, level: str, *more: str) -> list[str]:
    keys = str(tmp_path / "keys")
    return ["lockdown", level, "esp32_devkit", "--meter", METER_ID, "--keys", keys, *more]


@pytest.mark.parametrize("level", ["L1", "L2"])
def test_the_last_line_says_how_the_level_is_recorded(
    locked: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    assert run(*words(tmp_path, level, "--burn")) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split(maxsplit=1)[0] == "next"
    assert RECORD[level] in last
    (asked,) = locked
    assert (asked["level"], asked["typed"], asked["meter_id"].hex()) == (level, METER_ID, METER_ID)


def test_a_program_reads_the_next_step_in_the_result(
    locked: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words(tmp_path, "L1", "--burn", "--json")) == 0
    result = json_lines(capsys.readouterr().out)[-1]
    assert (result["after"], result["burned"], result["next"]) == ("L1", True, RECORD["L1"])


def test_a_dry_run_has_nothing_to_record(
    locked: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words(tmp_path, "L1")) == 0
    assert "record" not in capsys.readouterr().out
    assert locked[0]["dry_run"] is True
