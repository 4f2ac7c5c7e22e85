"""Doctor from end to end: every check in turn, nothing secret said, and the meter runs again."""

from __future__ import annotations

import _thread
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host_tools.checks import itself, rings
from host_tools.checks.case import Asked
from host_tools.checks.checked import BAD, GOOD, UNKNOWN, VERDICTS, Checked, worst
from host_tools.doctor import CHECKS, Tools, doctor, said
from tests.support.a_diagnosis import Told, looked
from tests.support.a_doctored_board import (
    SECRETS,
    DoctoredBoard,
    a_doctored_board,
    an_identity,
)
from tests.support.a_meter import NOON_S, settings
from tests.support.gateway import FakeMeter, a_meter
from tests.support.running_gateway import RunningGateway
from tests.support.virtual import an_image
from tests.support.virtual.an_image import a_flashed_board
from tests.support.virtual.virtual_board import VirtualBoard

# ------------------------------------------------------------ a meter


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctoredBoard]:
    with a_doctored_board(tmp_path_factory.mktemp("board")) as board:
        board.wait_for("interval")
        yield board


def runs_again(board: DoctoredBoard) -> bool:
    """The meter's program says something that it has not said before."""
    before = board.said().count("interval")
    board.wait_for("interval", times=before + 2)
    return True


def test_every_check_is_made_in_turn_and_the_meter_runs_again(board: DoctoredBoard) -> None:
    found = looked(board.port, Asked(current=True))
    names = [checked.name for checked in found.checks]
    assert set(names) == {check.name for check in CHECKS} - {"pulses", "record"}
    assert (names[0], names[1], names[-1]) == ("repl", "identity", "restart")
    assert found.checks[-1].verdict == "good"
    assert {checked.verdict for checked in found.checks} == set(VERDICTS)
    assert (found.verdict, found.exit_code) == ("bad", 1), "its gateway is not there"
    assert found.todo == next(one.next_step for one in found.checks if one.verdict == "bad")
    assert runs_again(board)


def test_what_it_says_holds_no_secret(board: DoctoredBoard) -> None:
    told = Told()
    found = doctor(board.port, tell=told.tell)
    spoken = json.dumps(found.as_data()) + "\n".join(said(event) for event in told) + repr(found)
    identity = an_identity()
    secrets = (*SECRETS, identity.meter_key.reveal().hex(), identity.password.reveal().decode())
    assert not [secret for secret in secrets if secret in spoken]
    assert identity.hex_id in spoken


def test_pulses_are_told_while_they_come(board: DoctoredBoard) -> None:
    board.set()
    told = Told()

    def press(event: dict[str, Any]) -> None:
        told.tell(event)
        if event["event"] == "pulses" and event["counted"]["import"] < 3:
            board.count(0, 1)

    found = doctor(board.port, Asked(pulses=3, pulses_s=20.0), tell=press)
    (checked,) = [one for one in found.checks if one.name == "pulses"]
    assert checked.verdict == "good", checked
    lines = [said(event) for event in told if event["event"] == "pulses"]
    assert len(lines) == 4
    assert lines[0] == "pulses: import 0, export 0 of 3; 20 s left"


@pytest.mark.parametrize("at", ["state", "identity", "uplink", "pulses", "wear"])
def test_a_ctrl_c_at_any_moment_leaves_a_meter_that_runs(board: DoctoredBoard, at: str) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        if at in (event["event"], event.get("name")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        doctor(board.port, Asked(pulses=5), tell=interrupt)
    assert runs_again(board)


def test_a_ctrl_c_while_the_board_computes_leaves_a_meter_that_runs(
    board: DoctoredBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(case: Any) -> Any:
        threading.Timer(0.3, _thread.interrupt_main).start()
        return case.ask("while True: pass", 0)

    monkeypatch.setattr(rings, "scan", compute)
    with pytest.raises(KeyboardInterrupt):
        doctor(board.port)
    assert runs_again(board)


def test_a_fault_of_ours_leaves_a_meter_that_runs(
    board: DoctoredBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(case: Any) -> Checked:
        raise ZeroDivisionError

    monkeypatch.setattr(rings, "scan", fault)
    with pytest.raises(ZeroDivisionError):
        doctor(board.port)
    assert runs_again(board)


def test_a_board_at_its_prompt_is_left_at_its_prompt(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": b""}) as board:
        board.wait_for(">>> ")
        found = looked(board.port)
        assert (found.state, found.todo) == ("friendly_repl", "pair it")
        assert "restart" not in [checked.name for checked in found.checks]
        assert board.happened == ["application"]
        assert looked(board.port).state == "friendly_repl"


def test_a_meter_that_its_gateway_hears_is_well(tmp_path: Path) -> None:
    meter: FakeMeter = a_meter()
    with RunningGateway(tmp_path / "gateway", meter) as gateway:
        config = settings(
            gateway_port=gateway.port, meter_id=meter.hex_id, meter_key=meter.meter_key.hex(),
            password=meter.password,
        )  # fmt: skip
        board = VirtualBoard(tmp_path / "board")
        an_image.flash(board, an_image.a_paired_meter(config))
        board.play([(100, 0)] * 3, NOON_S, 3600)
        with board:
            board.wait_for('"event": "receipt"', times=2)
            found = looked(board.port, tools=Tools(gateway=gateway.client()))
    verdicts = {checked.name: checked.verdict for checked in found.checks}
    well = ("gateway", "uplink", "registered", "receipts", "counters", "restart", "clock")
    assert {name: verdicts[name] for name in well} == dict.fromkeys(well, "good"), found
    assert (found.verdict, found.exit_code, found.todo) == ("good", 0, "")
    recorded = next(one for one in found.checks if one.name == "registered")
    assert recorded.values["state"] == "active"


# ------------------------------------------------------------ words


def test_the_worst_verdict_counts_and_what_is_unknown_does_not() -> None:
    good, unknown, bad = (Checked("a", verdict, "", "", "") for verdict in (GOOD, UNKNOWN, BAD))
    assert worst([good, unknown]) == "good"
    assert worst([good, unknown, bad]) == "bad"
    assert worst([unknown]) == "unknown"
    assert worst([]) == "unknown"


def test_lines_of_text_are_one_line_each() -> None:
    event = {"event": "check", **itself.HEAP.bad("short", "3 KiB free").as_data()}
    assert said(event).startswith("bad      heap        3 KiB free; press reset")
    good = {"event": "check", **itself.HEAP.good("90 KiB free").as_data()}
    assert said(good) == "good     heap        90 KiB free"
    state = {"event": "state", "port": "p", "state": "silent", "evidence": "e", "next_step": "n"}
    assert said(state) == "p: silent (e); n"
    assert said({**state, "state": "our_firmware"}) == "p: our_firmware (e)", "checks follow"
