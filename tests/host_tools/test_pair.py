"""From a flashed board to the first authenticated reading, at a real gateway; cut anywhere."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from host_tools.pairing import audit, pair, stages
from host_tools.pairing.identity import Identity
from host_tools.pairing.json_client import Row
from host_tools.pairing.stages import StageFailed, Stopped
from tests.support.a_pairing import (
    ANNA,
    NOW_S,
    PORT,
    WIFI_PASSWORD,
    Told,
    a_job,
    a_setup,
    an_offline_job,
    texts_in,
    tools_for,
)
from tests.support.fake_board import FakeBoard
from tests.support.running_gateway import RunningGateway


def test_a_bare_board_becomes_a_meter_that_its_gateway_hears(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board, told = FakeBoard(gateway), Told()
    result = pair.pair(a_job(tmp_path, gateway), tools_for(board), told.tell)
    assert result["state"] == "paired"
    assert result["meter_id"] == board.nvs["id"]
    assert result["reading"]["frames"][:2] == [0, 1]
    read = {"at": "2025-10-09 08:53:20 UTC", "import_wh": 5, "export_wh": 6}
    assert result["reading"]["registers"] == told.of("reading")["registers"] == read
    shown = gateway.client().show(result["meter_id"])
    assert shown is not None
    assert (shown["state"], shown["key_epochs"], shown["refused"]) == ("active", [0], {})
    assert list(told.states()) == [stage.name for stage in stages.PROCEDURES["pair"]]
    assert set(told.states().values()) == {"done"}


def test_the_device_is_told_everything_and_its_config_has_no_key(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = FakeBoard(gateway)
    board.put("/config.json", b'{"meter_key": "old", "household": "load.csv", "server_name": "x"}')
    pair.pair(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    assert board.config() == {
        "household": "load.csv",  # the board's own
        "gateway_host": "127.0.0.1",
        "gateway_port": gateway.port,
        "imp_per_kwh": 800,
        "capture_period_s": 900,
        "tls": False,
        "wifi_name": "the-wifi",
        "wifi_password": WIFI_PASSWORD,
        "paired_s": NOW_S,
    }
    assert set(board.nvs) == {"id", "key", "password", "epoch"}
    assert "/pairing.json" not in board.files
    assert "/config.json.new" not in board.files


def test_no_secret_is_in_any_file_event_or_result(tmp_path: Path, gateway: RunningGateway) -> None:
    board, told = FakeBoard(gateway), Told()
    result = pair.pair(a_job(tmp_path, gateway), tools_for(board), told.tell)
    (tmp_path / "wifi.password").unlink()
    said = texts_in(tmp_path) + json.dumps(told) + json.dumps(result)
    password = bytes.fromhex(board.nvs["password"]).decode()
    for secret in (board.nvs["key"], password, WIFI_PASSWORD, "anna-s-token"):
        assert secret not in said
        assert secret.upper() not in said


def test_the_state_folder_is_the_technicians_alone(tmp_path: Path, gateway: RunningGateway) -> None:
    pair.pair(a_job(tmp_path, gateway), tools_for(FakeBoard(gateway)), Told().tell)
    state = tmp_path / "state"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()} == {0o600}


def test_pairing_again_changes_nothing_and_lets_the_meter_run_on(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board, told = FakeBoard(gateway), Told()
    first = pair.pair(a_job(tmp_path, gateway), tools_for(board), told.tell)
    before = (board.nvs, board.files)
    second = pair.pair(a_job(tmp_path, gateway), tools_for(board), told.tell)
    assert second == first
    assert (board.nvs, board.files) == before
    assert told.states()["identity"] == "done_before"
    assert board.state == "our_firmware"
    assert board.meters, "it was restarted"
    assert audit.head(tmp_path / "state").act_id == 1


def test_a_cable_pulled_after_any_operation_costs_nothing(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    job = an_offline_job(tmp_path, gateway)
    whole = FakeBoard(board="240ac40000ff")
    pair.pair_offline(job, tools_for(whole), Told().tell)
    assert whole.operations > 10
    for cut in range(whole.operations):
        board = FakeBoard(board=f"240ac40001{cut:02x}")
        board.pull_after = cut
        with pytest.raises(StageFailed) as failed:
            pair.pair_offline(job, tools_for(board), Told().tell)
        assert failed.value.reason == "link_lost"
        board.pull_after = None
        made = board.nvs.get("id")
        result = pair.pair_offline(job, tools_for(board), Told().tell)
        assert result["meter_id"] == board.nvs["id"]
        assert made in (None, board.nvs["id"]), "the same identity is written again"
        assert set(board.nvs) == {"id", "key", "password", "epoch"}


@pytest.mark.parametrize("stage", [stage.name for stage in stages.PROCEDURES["pair"]])
def test_a_stop_before_any_stage_is_gone_on_from(
    tmp_path: Path, gateway: RunningGateway, stage: str
) -> None:
    board, told = FakeBoard(gateway), Told()

    def stop() -> bool:
        return bool(told[-1]["stage"] == stage)

    with pytest.raises(Stopped, match=stage):
        pair.pair(a_job(tmp_path, gateway), tools_for(board), told.tell, stop)
    assert told[-1] == {"event": "stage", "stage": stage, "state": "interrupted"}
    result = pair.pair(a_job(tmp_path, gateway), tools_for(board), told.tell)
    assert result["state"] == "paired"
    assert audit.head(tmp_path / "state").act_id == 1


def test_a_gateway_that_is_away_ends_with_its_stage_and_the_key_waits(
    tmp_path: Path,
) -> None:
    with RunningGateway(tmp_path / "gateway") as gateway:
        board = FakeBoard(gateway)
        job = a_job(tmp_path, gateway)
        job.gateway._sleep = lambda _: None  # type: ignore[union-attr]
        gateway.stop()
        with pytest.raises(StageFailed) as failed:
            pair.pair(job, tools_for(board), Told().tell)
        assert (failed.value.exit_code, failed.value.reason) == (14, "gateway_unreachable")
        kept = tmp_path / "state" / f"{board.board}.json"
        assert board.nvs["key"] in kept.read_text(), "it is nowhere else but on the device"
        gateway.start()
        told = Told()
        job = replace(job, gateway=gateway.client(), setup=a_setup(tmp_path, gateway))
        first_id = board.nvs["id"]
        result = pair.pair(job, tools_for(board), told.tell)
        assert result["meter_id"] == first_id
        assert told.states()["identity"] == "done_before"
        assert told.states()["settings"] == "done", "it listens on another port now"
        assert board.nvs["key"] not in kept.read_text()


def test_an_answer_that_was_lost_is_not_a_second_meter(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = FakeBoard(gateway)
    client = gateway.client()
    register = client.register

    def lose(made: Identity, *, again: bool = False) -> Row:
        register(made, again=again)
        raise KeyboardInterrupt  # the registration stands, and nobody here knows

    client.register = lose  # type: ignore[method-assign, assignment]
    job = replace(a_job(tmp_path, gateway), gateway=client)
    with pytest.raises(Stopped):
        pair.pair(job, tools_for(board), Told().tell)
    first_id = board.nvs["id"]
    result = pair.pair(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    assert result["meter_id"] == first_id


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("password", b"another password altogether".hex(), "bad_password"),
        ("key", "00" * 32, "bad_tag"),
        ("epoch", 7, "unknown_epoch"),
    ],
)
def test_what_the_gateway_refuses_is_named_at_once(
    tmp_path: Path, gateway: RunningGateway, name: str, value: str | int, reason: str
) -> None:
    board, told = FakeBoard(gateway), Told()

    def spoil() -> bool:
        if told[-1]["stage"] == "restart":
            board.keep(name, value)
        return False

    with pytest.raises(StageFailed, match=reason) as failed:
        pair.pair(a_job(tmp_path, gateway), tools_for(board), told.tell, spoil)
    assert (failed.value.exit_code, failed.value.reason) == (17, "no_reading")


def test_a_meter_that_nobody_hears_says_where_to_look(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = FakeBoard(gateway)
    board.deaf = True
    job = a_job(tmp_path, gateway, reading_wait_s=0.3)
    with pytest.raises(StageFailed, match=r"heard nothing within 0.3 s.*Wi-Fi"):
        pair.pair(job, tools_for(board), Told().tell)
    board.deaf = False
    told = Told()
    assert pair.pair(a_job(tmp_path, gateway), tools_for(board), told.tell)["state"] == "paired"
    commands = gateway.client().ask("GET", f"/v1/commands?meter_id={board.nvs['id']}")
    assert len(commands) == 1, "the question of the first run is still open, and is not asked twice"


def test_a_board_that_is_carried_away_after_the_restart_is_still_heard(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = FakeBoard(gateway)
    board.unplugged_on_restart = True
    told = Told()
    assert pair.pair(a_job(tmp_path, gateway), tools_for(board), told.tell)["state"] == "paired"
    assert told.of("restart")["boot"] == "not heard"


def test_what_the_firmware_complains_of_is_shown(tmp_path: Path, gateway: RunningGateway) -> None:
    board = FakeBoard(gateway)
    board.complains = {"state": "FlashMissing", "todo": "flash an image with the partition table"}
    with pytest.raises(StageFailed, match="FlashMissing: flash an image") as failed:
        pair.pair(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    assert failed.value.exit_code == 16


@pytest.mark.parametrize("state", ["silent", "rom_bootloader", "boot_loop", "port_busy"])
def test_a_port_without_a_board_that_can_be_paired_is_named(
    tmp_path: Path, gateway: RunningGateway, state: str
) -> None:
    board = FakeBoard(gateway)
    board.state = state
    with pytest.raises(StageFailed, match=rf"{PORT} is {state} \(a fake\); nothing") as failed:
        pair.pair(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    assert failed.value.exit_code == 10
    assert board.operations == 0


@pytest.mark.parametrize("missing", ["/board.txt", "/a/WHOLE"])
def test_micropython_without_an_application_is_flashed_first(
    tmp_path: Path, gateway: RunningGateway, missing: str
) -> None:
    board = FakeBoard(gateway)
    board.put(missing, None)
    with pytest.raises(StageFailed, match="no meter's application; flash it") as failed:
        pair.pair(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    assert (failed.value.exit_code, failed.value.reason) == (11, "not_ready")
    assert board.nvs == {}


@pytest.mark.parametrize("name", ["id", "key", "password", "epoch"])
def test_flash_that_forgets_is_found_by_reading_back(
    tmp_path: Path, gateway: RunningGateway, name: str
) -> None:
    board = FakeBoard(gateway)
    board.keep("id", "00" * 8)
    for each in ("key", "password"):
        board.keep(each, "00")
    board.keep("epoch", 3)
    board.forgets = {name}
    job = a_job(tmp_path, gateway, new_identity=True)
    with pytest.raises(StageFailed, match=r"does not hold|the device says") as failed:
        pair.pair(job, tools_for(board), Told().tell)
    assert failed.value.exit_code == 13


def test_a_board_paired_elsewhere_is_left_alone(tmp_path: Path, gateway: RunningGateway) -> None:
    board = FakeBoard(gateway)
    pair.pair(a_job(tmp_path / "one", gateway), tools_for(board), Told().tell)
    first_id = board.nvs["id"]
    (tmp_path / "two").mkdir()
    with pytest.raises(StageFailed, match=f"meter {first_id}, paired elsewhere") as failed:
        pair.pair(a_job(tmp_path / "two", gateway), tools_for(board), Told().tell)
    assert (failed.value.exit_code, failed.value.reason) == (11, "already_paired")
    assert board.nvs["id"] == first_id
    assert board.meters, "it measures on"
    told = Told()
    job = a_job(tmp_path / "two", gateway, new_identity=True)
    result = pair.pair(job, tools_for(board), told.tell)
    assert result["meter_id"] != first_id
    assert told.of("claim")["left_behind"] == first_id


def test_a_label_folder_that_cannot_be_written_fails_in_its_stage(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    (tmp_path / "labels").write_text("a file")
    with pytest.raises(StageFailed) as failed:
        pair.pair(a_job(tmp_path, gateway), tools_for(FakeBoard(gateway)), Told().tell)
    assert (failed.value.exit_code, failed.value.reason) == (18, "file_not_written")


def test_the_audit_line_says_who_did_what_to_which_board(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board = FakeBoard(gateway)
    pair.pair(a_job(tmp_path, gateway), tools_for(board), Told().tell)
    ((act, _),) = audit.read(tmp_path / "state")
    detail = json.loads(act.detail)
    assert (act.actor, act.action, act.at_s) == (ANNA, "meter.pair", NOW_S)
    assert act.subject == board.nvs["id"]
    assert (detail["board"], detail["release"]) == (board.board, "1.26.0")
    assert (detail["board_name"], detail["application"]) == ("esp32_devkit", "0.1.0")
    assert (detail["gateway"], detail["key_epoch"]) == (gateway.url, 0)
