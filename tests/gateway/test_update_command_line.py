"""`gateway update`: from a bundle's folder to a stopped roll-out; mistakes are one line."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import update
from gateway.errors import UsageError
from tests.support.a_rollout import NEW, a_bundle, a_folder
from tests.support.gateway import a_home, a_meter, rows


class Desk:
    """A gateway's folder with three meters and a bundle beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meters = [a_meter(number) for number in range(3)]
        self.config = a_home(folder, *self.meters)
        self.bundle = a_bundle()
        self.dir = a_folder(folder / "bundle", self.bundle)

    def run(self, *arguments: object) -> Result:
        words = [*map(str, arguments), "--config", str(self.config)]
        return CliRunner().invoke(update.app, words)

    def says(self, *arguments: object) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    def refusal(self, *arguments: object) -> str:
        error = self.run(*arguments).exception
        assert isinstance(error, UsageError), error
        return str(error)

    def added(self) -> int:
        self.says("add", self.dir)
        return self.bundle.update_id


def test_an_update_is_added_listed_and_removed(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    said = f"update {desk.bundle.update_id} added: version {NEW}, 2 files, 2000 bytes\n"
    assert desk.says("add", desk.dir) == said
    assert "is there already" in desk.says("add", desk.dir)
    (row,) = json.loads(desk.says("list", "--json"))
    assert (row["update_id"], row["version"], row["meters"]) == (desk.bundle.update_id, NEW, 0)
    assert NEW in desk.says("list")
    assert "removed" in desk.says("remove", desk.bundle.update_id)
    assert json.loads(desk.says("list", "--json")) == []


def test_a_rollout_is_begun_paused_resumed_and_stopped(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    update_id = desk.added()
    said = desk.says("start", update_id, "--waves", "1,100%", "--stop-after", "5%")
    assert said == f"roll-out 1 begun: version {NEW}, meters in waves: 1 + 2\n"
    assert "paused" in desk.says("pause", 1)
    assert "runs" in desk.says("resume", 1)
    assert "stopped" in desk.says("stop", 1)
    (row,) = json.loads(desk.says("status", "--json"))
    assert (row["state"], row["reason"]) == ("stopped", "by hand")
    assert [wave["states"] for wave in row["waves"]] == [{"stopped": 1}, {"stopped": 2}]
    acts = [act for (act,) in rows(tmp_path, "SELECT action FROM audit ORDER BY id")]
    assert acts[-5:] == [
        "update.add", "rollout.start", "rollout.pause", "rollout.resume", "rollout.stop",
    ]  # fmt: skip


def test_every_option_of_a_plan_reaches_the_database(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    ids = tmp_path / "ids"
    ids.write_text(f"{desk.meters[2].hex_id}\n{desk.meters[0].hex_id}  # the cellar\n")
    (row,) = json.loads(desk.says(
        "start", desk.added(), "--waves", "1,2", "--meters", f"@{ids}", "--stop-after", "10%",
        "--at-once", 7, "--soak", "15m", "--confirm", "2h", "--patience", "3d", "--json",
    ))  # fmt: skip
    found = [row[name] for name in ("stop_after", "at_once", "soak_s", "confirm_s", "patience_s")]
    assert found == ["10%", 7, 900, 7200, 259_200]
    order = rows(tmp_path, "SELECT meter_id FROM rollout_meter ORDER BY wave")
    assert order == [(desk.meters[2].meter_id,), (desk.meters[0].meter_id,)]


def test_status_shows_waves_and_each_meter_and_watch_ends_with_the_rollout(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.says("start", desk.added(), "--waves", "1,100%")
    table = desk.says("status", 1, "--meters")
    assert "waiting=2" in table
    assert all(meter.hex_id in table for meter in desk.meters)
    (row,) = json.loads(desk.says("status", 1, "--meters", "--json"))
    assert len(row["by_meter"]) == 3
    desk.says("stop", 1)
    assert "stopped" in desk.says("status", 1, "--watch")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("start", 5), "no update 5"),
        (("start", "ID", "--waves", "0"), "--waves"),
        (("start", "ID", "--stop-after", "0"), "--stop-after"),
        (("start", "ID", "--soak", "soon"), "--soak"),
        (("start", "ID", "--at-once", "0"), "--at-once"),
        (("start", "ID", "--meters", "00"), "16 hex digits"),
        (("start", "ID", "--meters", "00" * 8), "no active meter here"),
        (("start", "ID", "--meters", "@nowhere"), "cannot be read"),
        (("start", "ID", "--running", "9.9"), "no meter to update"),
        (("add", "nowhere"), "host_tools.bundle"),
        (("remove", 5), "no update 5"),
        (("pause", 1), "no roll-out 1"),
        (("status", 1), "no roll-out 1"),
        (("status", "--meters"), "give its number"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    tmp_path: Path, arguments: tuple[object, ...], says: str
) -> None:
    desk = Desk(tmp_path)
    words = [desk.added() if word == "ID" else word for word in arguments]
    desk.says("list")
    refusal = desk.refusal(*words)
    assert says in refusal
    assert "\n" not in refusal
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        assert connection.execute("SELECT count(*) FROM rollout").fetchone() == (0,)
