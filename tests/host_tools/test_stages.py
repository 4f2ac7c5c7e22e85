"""Stages and their exit codes, the state folder, and technicians who meet at one meter."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from host_tools.device import LinkLost
from host_tools.pairing import pair, progress, stages
from host_tools.pairing.errors import AnotherTechnician, BadInput, ExposedSecret, NotReady
from host_tools.pairing.identity import fresh
from host_tools.pairing.progress import Note, Progress
from host_tools.pairing.stages import PROCEDURES, STAGES, StageFailed, Step, Stopped, carry_out
from tests.support.a_pairing import Told, a_job, an_offline_job, tools_for
from tests.support.fake_board import FakeBoard
from tests.support.running_gateway import RunningGateway

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/pairing.md").read_text("utf-8")
BOARD = "240ac4000001"


def a_step(stage: stages.Stage, done: list[str], error: BaseException | None = None) -> Step:
    def do() -> Note:
        if error is not None:
            raise error
        done.append(stage.name)
        return {"number": len(done)}

    return Step(stage, do)


def carried_out(folder: Path, steps: list[Step], told: Told, stop: Callable[[], bool]) -> Progress:
    kept = progress.load(progress.file_of(folder, BOARD))
    if not kept.procedure:
        kept.begin("pair", "anna", 1)
    carry_out(lambda: kept, steps, told.tell, stop)
    return kept


# ------------------------------------------------------------------ the table


def test_every_stage_has_an_exit_code_of_its_own() -> None:
    codes = [stage.exit_code for stage in STAGES]
    assert len(set(codes)) == len(codes) == len({stage.name for stage in STAGES})
    assert not set(codes) & {0, 1, 2, 130}
    assert set().union(*PROCEDURES.values()) == set(STAGES)


def test_every_procedure_ends_in_the_audit_log() -> None:
    for name, order in PROCEDURES.items():
        assert order[-1] is stages.AUDIT, name
        assert len(set(order)) == len(order), name


def test_the_page_has_the_table_of_stages_as_the_code_has_it() -> None:
    for stage in STAGES:
        assert f"| {stage.exit_code} | `{stage.name}` | {stage.does} | {stage.next_step} |" in PAGE
    listed = re.findall(r"^\| (\d+) \| `\w+` \|", PAGE, re.MULTILINE)
    assert listed == [str(stage.exit_code) for stage in STAGES]


def test_the_page_draws_every_procedure_as_the_code_has_it() -> None:
    for name, order in PROCEDURES.items():
        drawn = " -> ".join(stage.name for stage in order)
        assert re.search(rf"^    {re.escape(name)}: +{re.escape(drawn)}$", PAGE, re.MULTILINE), name


# ------------------------------------------------------------------ carrying them out


def test_a_stage_that_was_done_is_not_done_again(tmp_path: Path) -> None:
    done: list[str] = []
    order = [stages.IDENTITY, stages.REGISTER, stages.LABEL]
    failing = [a_step(order[0], done), a_step(order[1], done, NotReady("no"))]
    with pytest.raises(StageFailed) as failed:
        carried_out(tmp_path, failing, Told(), pair.never)
    assert (failed.value.exit_code, failed.value.reason) == (14, "not_ready")
    told = Told()
    carried_out(tmp_path, [a_step(stage, done) for stage in order], told, pair.never)
    assert done == ["identity", "register", "label"]
    assert told.states() == {"identity": "done_before", "register": "done", "label": "done"}


def test_a_stage_that_repeats_is_done_in_every_run(tmp_path: Path) -> None:
    done: list[str] = []
    for _ in range(2):
        carried_out(tmp_path, [a_step(stages.PROBE, done)], Told(), pair.never)
    assert done == ["probe", "probe"]


def test_settings_are_told_anew_until_the_meter_was_heard(tmp_path: Path) -> None:
    done: list[str] = []
    both = [a_step(stages.SETTINGS, done), a_step(stages.READING, done)]
    for _ in range(2):
        carried_out(tmp_path, both[:1], Told(), pair.never)
    carried_out(tmp_path, both, Told(), pair.never)
    carried_out(tmp_path, both, Told(), pair.never)
    assert done == ["settings", "settings", "settings", "reading"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LinkLost("gone; plug it in"), "link_lost"),
        (NotReady("no; flash it"), "not_ready"),
        (PermissionError(13, "Permission denied", "label.svg"), "file_not_written"),
    ],
)
def test_every_error_becomes_its_stages_failure_and_is_told(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    told = Told()
    with pytest.raises(StageFailed) as failed:
        carried_out(tmp_path, [a_step(stages.LABEL, [], error)], told, pair.never)
    assert failed.value.reason == reason
    assert told[-1]["state"] == "failed"
    assert told[-1]["reason"] == reason
    assert "; " in told[-1]["detail"], "it says what to do next"


def test_a_fault_of_ours_is_not_dressed_up(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        carried_out(tmp_path, [a_step(stages.LABEL, [], ZeroDivisionError())], Told(), pair.never)


def test_control_c_stops_where_it_is_and_keeps_what_was_done(tmp_path: Path) -> None:
    done: list[str] = []
    steps = [a_step(stages.IDENTITY, done), a_step(stages.LABEL, done, KeyboardInterrupt())]
    with pytest.raises(Stopped) as stopped:
        carried_out(tmp_path, steps, Told(), pair.never)
    assert stopped.value.exit_code == 130
    kept = progress.load(progress.file_of(tmp_path, BOARD))
    assert set(kept.stages) == {"identity"}
    assert not kept.finished


# ------------------------------------------------------------------ the state folder


def test_an_identity_is_in_the_file_until_it_is_forgotten(tmp_path: Path) -> None:
    with progress.held(tmp_path / "state", BOARD, "anna") as kept:
        kept.begin("pair", "anna", 1)
        made = fresh()
        kept.keep_identity(made)
        again = progress.load(kept.path)
        assert again.identity == made
        assert made.meter_key.reveal().hex() not in repr(again)
        kept.forget_identity()
        assert progress.load(kept.path).identity is None
        assert made.meter_key.reveal().hex() not in kept.path.read_text()


def test_finishing_forgets_it_too(tmp_path: Path) -> None:
    with progress.held(tmp_path / "state", BOARD, "anna") as kept:
        kept.keep_identity(fresh())
        kept.finish()
        assert progress.load(kept.path).identity is None
        assert progress.load(kept.path).finished


def test_what_is_known_of_a_meter_outlives_the_next_procedure(tmp_path: Path) -> None:
    with progress.held(tmp_path / "state", BOARD, "anna") as kept:
        kept.begin("pair", "anna", 1)
        kept.learn(code="K")
        kept.done("label", {})
        kept.note("reading", command=5)
        kept.begin("move", "bartek", 2)
        again = progress.load(kept.path)
        assert (again.known, again.stages, again.noted("reading")) == ({"code": "K"}, {}, {})
        assert (again.procedure, again.technician, again.begun_s) == ("move", "bartek", 2)


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    for mode in (0o750, 0o705, 0o777):
        tmp_path.chmod(mode)
        with (
            pytest.raises(ExposedSecret, match=f"chmod 700 {tmp_path}"),
            progress.held(tmp_path, BOARD, "anna"),
        ):
            pass
    tmp_path.chmod(0o700)
    with progress.held(tmp_path, BOARD, "anna") as kept:
        kept.begin("pair", "anna", 1)
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600


def test_a_write_that_a_power_cut_ended_leaves_no_key_behind(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with progress.held(state, BOARD, "anna") as kept:
        kept.begin("pair", "anna", 1)
    torn = state / f".{BOARD}.json.abc"
    torn.write_text("a key")
    with progress.held(state, BOARD, "anna") as kept:
        assert not torn.exists()
        assert kept.procedure == "pair"


@pytest.mark.parametrize("content", ["", "nonsense", "[]"])
def test_a_file_that_is_not_ours_is_not_overwritten(tmp_path: Path, content: str) -> None:
    path = progress.file_of(tmp_path, BOARD)
    path.write_text(content)
    with pytest.raises(BadInput, match="move it away"):
        progress.load(path)
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("board", "name"),
    [("240ac4", "240ac4.json"), ("port-/dev/tty.USB 0", "port--dev-tty.USB-0.json"),
     ("../../etc/passwd", "etc-passwd.json"), ("x" * 64, "x" * 64 + ".json")],
)  # fmt: skip
def test_a_boards_file_stays_in_the_folder(tmp_path: Path, board: str, name: str) -> None:
    assert progress.file_of(tmp_path, board) == tmp_path / name


@pytest.mark.parametrize("board", ["", "..", "/", "x" * 65])
def test_what_names_no_board_is_refused(tmp_path: Path, board: str) -> None:
    with pytest.raises(BadInput, match="board's name"):
        progress.file_of(tmp_path, board)


# ------------------------------------------------------------------ two technicians


def test_two_at_once_are_told_apart_by_name(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with (
        progress.held(state, BOARD, "anna"),
        pytest.raises(AnotherTechnician, match=rf"anna \(process {os.getpid()}\) works on"),
        progress.held(state, BOARD, "bartek"),
    ):
        pass
    with progress.held(state, BOARD, "bartek"), progress.held(state, "another", "anna"):
        pass


def test_a_lock_goes_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os,sys; from pathlib import Path; from host_tools.pairing import progress;"
        "progress.held(Path(sys.argv[1]), 'b', 'anna').__enter__(); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "state")], cwd=ROOT)
    assert done.returncode == 9
    with progress.held(tmp_path / "state", "b", "bartek") as kept:
        assert kept.procedure == ""


def test_a_second_technician_with_another_computer_is_refused_by_name(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board, told = FakeBoard(gateway), Told()
    with pytest.raises(Stopped):
        pair.pair(
            a_job(tmp_path / "one", gateway), tools_for(board), told.tell,
            lambda: told[-1]["stage"] == "register",
        )  # fmt: skip
    job = a_job(tmp_path / "two", gateway, technician="bartek", new_identity=True)
    with pytest.raises(StageFailed, match=r"anna has been at this meter since 2025-.* UTC") as no:
        pair.pair(job, tools_for(board), Told().tell)
    assert (no.value.exit_code, no.value.reason) == (11, "another_technician")
    taken = pair.pair(replace(job, take_over=True), tools_for(board), Told().tell)
    assert taken["meter_id"] == board.nvs["id"]


def test_a_second_technician_at_the_same_bench_is_refused_and_may_take_over(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board, told = FakeBoard(gateway), Told()
    with pytest.raises(Stopped):
        pair.pair(
            a_job(tmp_path, gateway), tools_for(board), told.tell,
            lambda: told[-1]["stage"] == "settings",
        )  # fmt: skip
    board.put("/pairing.json", None)  # the file system was written anew meanwhile
    job = a_job(tmp_path, gateway, technician="bartek")
    with pytest.raises(StageFailed, match="anna has been at this meter"):
        pair.pair(job, tools_for(board), Told().tell)
    told = Told()
    pair.pair(replace(job, take_over=True), tools_for(board), told.tell)
    assert told.states()["identity"] == "done_before", "bartek goes on with anna's identity"
    kept = progress.load(progress.file_of(tmp_path / "state", board.board))
    assert kept.technician == "bartek"


def test_when_a_meter_is_done_anybody_may_come(tmp_path: Path, gateway: RunningGateway) -> None:
    board = FakeBoard(gateway)
    pair.pair(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    job = a_job(tmp_path, gateway, technician="bartek")
    assert pair.decommission(job, tools_for(board), Told().tell)["state"] == "decommissioned"


def test_a_board_without_a_chip_id_is_known_by_its_port(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = FakeBoard(gateway, board="")
    pair.pair_offline(an_offline_job(tmp_path, gateway), tools_for(board), Told().tell)
    assert (tmp_path / "state" / "port-dev-ttyUSB0.json").exists()


def test_a_marker_that_is_nonsense_stops_nobody(tmp_path: Path, gateway: RunningGateway) -> None:
    for content in (b"", b"[]", b"{}", json.dumps({"technician": "anna"}).encode()):
        board = FakeBoard(gateway)
        board.put("/pairing.json", content)
        job = an_offline_job(tmp_path, gateway, new_identity=True)
        assert pair.pair_offline(job, tools_for(board), Told().tell)["state"] == "queued"
