"""New keys for a meter, another gateway, and its end: each at real gateways, each resumable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from host_tools.pairing import audit, pair, stages
from host_tools.pairing.stages import StageFailed, Stopped
from tests.support.a_pairing import WIFI_PASSWORD, Told, a_job, a_setup, texts_in, tools_for
from tests.support.fake_board import FakeBoard
from tests.support.gateway import journal_of
from tests.support.running_gateway import RunningGateway
from wire import messages


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path_factory.mktemp("other")) as running:
        yield running


def a_meter(folder: Path, gateway: RunningGateway) -> FakeBoard:
    """A board that was paired, and talks."""
    board = FakeBoard(gateway)
    pair.pair(a_job(folder, gateway), tools_for(board), Told().tell)
    return board


def epochs(gateway: RunningGateway, meter_id: str) -> list[int]:
    shown = gateway.client().show(meter_id)
    assert shown is not None
    return list(shown["key_epochs"])


# ------------------------------------------------------------------ over the air


def test_a_meter_that_talks_gets_its_next_key_without_a_cable(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board, told = a_meter(tmp_path, gateway), Told()
    meter_id = board.nvs["id"]
    job = a_job(tmp_path, gateway, meter_id=meter_id)
    result = pair.repair(job, tools_for(board), told.tell)
    assert result == {"state": "repaired", "meter_id": meter_id, "key_epoch": 1}
    assert epochs(gateway, meter_id) == [1], "a frame under the new key retired the old one"
    assert told.states() == {"rotate": "done", "audit": "done"}
    assert pair.repair(job, tools_for(board), told.tell)["key_epoch"] == 2


def test_both_keys_are_good_until_the_new_one_was_used_and_the_repair_goes_on(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    meter_id = board.nvs["id"]
    board.stop_meter()
    job = a_job(tmp_path, gateway, meter_id=meter_id)
    with pytest.raises(StageFailed, match="both keys are good") as failed:
        pair.repair(job, tools_for(board), Told().tell, wait_s=0.1)
    assert (failed.value.exit_code, failed.value.reason) == (20, "key_refused")
    assert epochs(gateway, meter_id) == [0, 1]
    board.boot()
    assert pair.repair(job, tools_for(board), Told().tell)["key_epoch"] == 1
    commands = gateway.client().ask("GET", f"/v1/commands?meter_id={meter_id}")
    assert sum(row["command"] == "rekey" for row in commands) == 1


def test_a_rekey_that_somebody_else_queued_is_waited_for(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    meter_id = board.nvs["id"]
    board.stop_meter()
    gateway.client().rotate(meter_id)
    board.boot()
    job = a_job(tmp_path, gateway, meter_id=meter_id)
    assert pair.repair(job, tools_for(board), Told().tell)["key_epoch"] == 1


def test_a_meter_that_refuses_its_key_keeps_the_old_one(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    board.refuses_keys = True
    job = a_job(tmp_path, gateway, meter_id=board.nvs["id"])
    with pytest.raises(StageFailed, match=r"was refused.*the old one is still good"):
        pair.repair(job, tools_for(board), Told().tell)


def test_another_technicians_repair_is_theirs(tmp_path: Path, gateway: RunningGateway) -> None:
    board = a_meter(tmp_path, gateway)
    board.stop_meter()
    job = a_job(tmp_path, gateway, meter_id=board.nvs["id"])
    with pytest.raises(StageFailed):
        pair.repair(job, tools_for(board), Told().tell, wait_s=0.0)
    with pytest.raises(StageFailed, match="anna is repairing"):
        pair.repair(replace(job, technician="bartek"), tools_for(board), Told().tell, wait_s=0.0)


# ------------------------------------------------------------------ by cable


def test_a_meter_that_lost_its_key_gets_another_under_the_next_epoch(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board, told = a_meter(tmp_path, gateway), Told()
    meter_id, password = board.nvs["id"], board.nvs["password"]
    board.stop_meter()
    board.keep("key", "00" * 32)
    job = a_job(tmp_path, gateway)
    result = pair.repair_by_cable(job, tools_for(board), told.tell)
    assert (result["state"], result["meter_id"], result["key_epoch"]) == ("repaired", meter_id, 1)
    assert epochs(gateway, meter_id) == [1]
    assert board.nvs["epoch"] == 1
    assert board.nvs["password"] != password
    assert "label" not in told.states(), "the meter has its label"
    secret = board.nvs["key"]
    assert secret not in texts_in(tmp_path / "state") + json.dumps(told) + json.dumps(result)


@pytest.mark.parametrize("stage", [stage.name for stage in stages.PROCEDURES["repair by cable"]])
def test_a_repair_that_was_stopped_goes_on_with_the_same_key(
    tmp_path: Path, gateway: RunningGateway, stage: str
) -> None:
    board, told = a_meter(tmp_path, gateway), Told()
    meter_id = board.nvs["id"]
    job = a_job(tmp_path, gateway)
    with pytest.raises(Stopped):
        pair.repair_by_cable(
            job, tools_for(board), told.tell, lambda: bool(told[-1]["stage"] == stage)
        )
    result = pair.repair_by_cable(job, tools_for(board), told.tell)
    assert (result["meter_id"], result["key_epoch"]) == (meter_id, 1)
    assert epochs(gateway, meter_id) == [1]


def test_a_meter_whose_flash_was_emptied_needs_a_new_id(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    board.stop_meter()
    board.partitions["meter"].data[:] = b"\xff" * len(board.partitions["meter"].data)
    with pytest.raises(StageFailed, match=r"was emptied.*new id") as failed:
        pair.repair_by_cable(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    assert failed.value.exit_code == 11


def test_nothing_but_a_meter_is_repaired_or_moved(tmp_path: Path, gateway: RunningGateway) -> None:
    for procedure in (pair.repair_by_cable, pair.decommission):
        with pytest.raises(StageFailed, match="pair it first") as failed:
            procedure(a_job(tmp_path, gateway), tools_for(FakeBoard(gateway)), Told().tell)
        assert failed.value.reason == "not_paired"


def test_the_wrong_board_on_the_port_is_found(tmp_path: Path, gateway: RunningGateway) -> None:
    board = a_meter(tmp_path, gateway)
    job = a_job(tmp_path, gateway, meter_id="00112233aabbccdd")
    with pytest.raises(StageFailed, match="not 00112233aabbccdd; is it the right port"):
        pair.decommission(job, tools_for(board), Told().tell)
    assert epochs(gateway, board.nvs["id"]) == [0]
    assert board.meters, "it measures on"


def test_a_gateway_that_does_not_know_the_meter_repairs_nothing(
    tmp_path: Path, gateway: RunningGateway, other: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    key = board.nvs["key"]
    with pytest.raises(StageFailed, match="no gateway named here knows") as failed:
        pair.repair_by_cable(a_job(tmp_path, other), tools_for(board), Told().tell)
    assert (failed.value.exit_code, failed.value.reason) == (12, "not_registered")
    assert board.nvs["key"] == key


# ------------------------------------------------------------------ to another gateway


def test_a_moved_meter_is_heard_there_before_the_old_gateway_lets_it_go(
    tmp_path: Path, gateway: RunningGateway, other: RunningGateway
) -> None:
    board, told = a_meter(tmp_path, gateway), Told()
    meter_id = board.nvs["id"]
    board.gateway = other
    job = a_job(tmp_path, other, old_gateway=gateway.client())
    result = pair.move(job, tools_for(board), told.tell)
    assert (result["state"], result["gateway"], result["key_epoch"]) == ("moved", other.url, 1)
    old = gateway.client().show(meter_id)
    assert old is not None
    assert old["state"] == "decommissioned"
    assert epochs(other, meter_id) == [1]
    assert board.config()["gateway_port"] == other.port
    names = list(told.states())
    assert names.index("reading") < names.index("tombstone")


@pytest.mark.parametrize("stage", [stage.name for stage in stages.PROCEDURES["move"]])
def test_a_move_that_was_stopped_goes_on(
    tmp_path: Path, gateway: RunningGateway, other: RunningGateway, stage: str
) -> None:
    board, told = a_meter(tmp_path, gateway), Told()
    board.gateway = other
    job = a_job(tmp_path, other, old_gateway=gateway.client())
    with pytest.raises(Stopped):
        pair.move(job, tools_for(board), told.tell, lambda: bool(told[-1]["stage"] == stage))
    assert pair.move(job, tools_for(board), told.tell)["key_epoch"] == 1
    assert epochs(other, board.nvs["id"]) == [1]


def test_a_meter_comes_back_to_a_gateway_that_has_its_tombstone(
    tmp_path: Path, gateway: RunningGateway, other: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    board.gateway = other
    there = a_job(tmp_path, other, old_gateway=gateway.client())
    pair.move(there, tools_for(board), Told().tell)
    board.gateway = gateway
    back = a_job(tmp_path, gateway, old_gateway=other.client())
    assert pair.move(back, tools_for(board), Told().tell)["key_epoch"] == 2
    assert epochs(gateway, board.nvs["id"]) == [2]


def test_another_procedure_under_way_is_to_be_ended_first(
    tmp_path: Path, gateway: RunningGateway, other: RunningGateway
) -> None:
    board, told = a_meter(tmp_path, gateway), Told()
    job = a_job(tmp_path, other, old_gateway=gateway.client())
    with pytest.raises(Stopped):
        pair.move(job, tools_for(board), told.tell, lambda: told[-1]["stage"] == "register")
    for procedure in (pair.pair, pair.decommission):
        with pytest.raises(StageFailed, match=r"move of this board .* run that to its end"):
            procedure(a_job(tmp_path, gateway), tools_for(board), Told().tell)


# ------------------------------------------------------------------ the end


def test_a_decommissioned_board_is_empty_proven_by_reading_back(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    meter_id, key = board.nvs["id"], board.nvs["key"]
    result = pair.decommission(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    assert result["erase"] == {
        "erased_blocks": {"meter": 8, "nvs": 6, "vfs": 8},
        "read_back": "all 0xFF",
    }
    whole = b"".join(bytes(part.data) for part in board.partitions.values())
    assert whole == b"\xff" * len(whole)
    assert key.encode() not in whole
    shown = gateway.client().show(meter_id)
    assert shown is not None
    assert (shown["state"], shown["key_epochs"]) == ("decommissioned", [])
    assert result["last_reading"]["answered_s"] > 0, "its registers were read before"
    last = [row for row in journal_of(gateway.folder) if row.meter_id.hex() == meter_id]
    kinds = [type(messages.decode(row.message, 1)) for row in last]
    assert messages.Registers in kinds


def test_the_board_is_paired_again_as_another_meter(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    first_id = board.nvs["id"]
    pair.decommission(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    again = FakeBoard(gateway, board.board)  # flashed
    again.used, board = board.used, again
    told = Told()
    result = pair.pair(a_job(tmp_path, gateway), tools_for(board), told.tell)
    assert result["meter_id"] != first_id
    assert "left_behind" not in told.of("claim")
    acts = [act.action for act, _ in audit.read(tmp_path / "state")]
    assert acts == ["meter.pair", "meter.decommission", "meter.pair"]


def test_flash_that_does_not_erase_is_told_and_the_board_is_to_be_destroyed(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    board.partitions["nvs"].worn = {0}
    with pytest.raises(StageFailed, match=r"not erased: 1 blocks of nvs.*destroy") as failed:
        pair.decommission(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    assert (failed.value.exit_code, failed.value.reason) == (23, "read_back_differs")
    board.partitions["nvs"].worn = set()
    told = Told()
    result = pair.decommission(a_job(tmp_path, gateway), tools_for(board), told.tell)
    assert result["state"] == "decommissioned"
    assert told.states()["tombstone"] == "done_before"


def test_a_meter_that_is_silent_is_not_erased_unless_its_last_reading_is_given_up(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    board.deaf = True
    job = a_job(tmp_path, gateway, reading_wait_s=0.2)
    with pytest.raises(StageFailed) as failed:
        pair.decommission(job, tools_for(board), Told().tell)
    assert failed.value.exit_code == 21
    assert board.nvs["key"]
    job = a_job(tmp_path, gateway, without_last_reading=True)
    assert pair.decommission(job, tools_for(board), Told().tell)["state"] == "decommissioned"


def test_a_meter_the_gateway_let_go_before_is_only_erased(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board, told = a_meter(tmp_path, gateway), Told()
    gateway.client().decommission(board.nvs["id"])
    pair.decommission(a_job(tmp_path, gateway), tools_for(board), told.tell)
    assert told.of("last_reading")["gateway_state"] == "decommissioned"
    assert told.of("tombstone")["new"] is False


def test_the_wifi_password_goes_with_the_file_system(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    assert WIFI_PASSWORD.encode().hex() in bytes(board.partitions["vfs"].data).decode("latin-1")
    pair.decommission(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    assert set(board.partitions["vfs"].data) == {0xFF}


def test_a_move_keeps_the_wifi_that_the_meter_has(
    tmp_path: Path, gateway: RunningGateway, other: RunningGateway
) -> None:
    board = a_meter(tmp_path, gateway)
    board.gateway = other
    job = a_job(tmp_path, other, old_gateway=gateway.client())
    job = replace(job, setup=a_setup(tmp_path, other, wifi=None))
    pair.move(job, tools_for(board), Told().tell)
    assert board.config()["wifi_password"] == WIFI_PASSWORD
