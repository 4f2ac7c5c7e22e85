"""The whole of pairing over a serial line: real mpremote, the real firmware, a real gateway."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from host_tools.device import Device
from host_tools.line.probe import probe
from host_tools.pairing import pair
from host_tools.pairing.stages import StageFailed, Stopped
from host_tools.pairing.work import Job, Tools
from tests.support.a_pairing import WIFI_PASSWORD, Told, a_job
from tests.support.gateway import journal_of
from tests.support.running_gateway import RunningGateway
from tests.support.virtual.an_image import METER, NVS, VFS, a_flashed_board, application
from tests.support.virtual.virtual_board import VirtualBoard
from wire import messages, obis
from wire.keys import UP

PAIR_S_MAX = 10.0
# The tests' machine may be busy with seven other boards: a prompt then takes its time.
REAL = Tools(probe=probe, open=partial(Device.open, timeout_s=40.0))


@pytest.fixture
def board(tmp_path: Path) -> Iterator[VirtualBoard]:
    with a_flashed_board(tmp_path / "board", application()) as flashed:
        yield flashed


def a_job_at(board: VirtualBoard, folder: Path, gateway: RunningGateway, **changes: Any) -> Job:
    return a_job(folder, gateway, port=board.port, reading_wait_s=60.0, **changes)


def registers_heard(gateway: RunningGateway, meter_id: str) -> messages.Registers:
    """The first of them in the gateway's journal."""
    rows = [row for row in journal_of(gateway.folder) if row.meter_id.hex() == meter_id]
    heard = [messages.decode(row.message, UP) for row in rows]
    return next(message for message in heard if isinstance(message, messages.Registers))


def test_a_flashed_board_is_paired_read_repaired_and_decommissioned(
    tmp_path: Path, gateway: RunningGateway, board: VirtualBoard
) -> None:
    job, told = a_job_at(board, tmp_path, gateway), Told()
    began = time.monotonic()
    result = pair.pair(job, REAL, told.tell)
    took_s = time.monotonic() - began
    meter_id = result["meter_id"]
    assert result["reading"]["frames"][0] == 0
    heard, shown = registers_heard(gateway, meter_id), result["reading"]["registers"]
    energies = dict(zip(heard.channels, heard.registers_wh, strict=True))
    assert shown["import_wh"] == energies[obis.IMPORT_WH]
    assert shown["export_wh"] == energies[obis.EXPORT_WH]
    read = datetime.strptime(shown["at"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    assert int(read.timestamp()) == heard.at_s
    assert told.of("restart")["boot"] == "power_on"
    assert told.of("claim")["board"] == board.mac.hex()
    assert took_s <= PAIR_S_MAX

    again = Told()
    assert pair.pair(job, REAL, again.tell) == result
    assert again.states()["settings"] == "done_before"

    repaired = pair.repair(replace(job, meter_id=meter_id), REAL, Told().tell)
    assert repaired["key_epoch"] == 1

    by_cable = pair.repair_by_cable(job, REAL, Told().tell)
    assert (by_cable["meter_id"], by_cable["key_epoch"]) == (meter_id, 2)

    gone = pair.decommission(job, REAL, Told().tell)
    assert gone["erase"]["erased_blocks"] == {"meter": 256, "nvs": 6, "vfs": 256}
    assert WIFI_PASSWORD.encode() not in board.flash.read(VFS, 1 << 20)
    for place in (METER, NVS):
        assert board.flash.read(*place) == b"\xff" * place[1]


@pytest.mark.parametrize("after_bytes", [40, 200, 500, 800])
def test_a_cable_pulled_in_the_middle_of_pairing_costs_nothing(
    tmp_path: Path, gateway: RunningGateway, board: VirtualBoard, after_bytes: int
) -> None:
    job, told = a_job_at(board, tmp_path, gateway), Told()
    board.unplug(after_bytes)
    with pytest.raises(StageFailed) as failed:
        pair.pair(job, REAL, told.tell)
    assert failed.value.reason in ("link_lost", "port_missing", "no_repl", "not_ready")
    board.plug_in()
    job = replace(job, port=board.port)
    assert pair.pair(job, REAL, Told().tell)["state"] == "paired"


def test_a_power_cut_while_the_identity_is_written_costs_nothing(
    tmp_path: Path, gateway: RunningGateway, board: VirtualBoard
) -> None:
    job, told = a_job_at(board, tmp_path, gateway), Told()

    def cut() -> bool:
        if told[-1]["stage"] == "settings":
            board.cut_power_after(40)
        return False

    with pytest.raises(StageFailed) as failed:
        pair.pair(job, REAL, told.tell, cut)
    assert failed.value.stage.name == "settings"
    board.power_on()
    assert pair.pair(job, REAL, Told().tell)["state"] == "paired"


def test_a_busy_port_is_named_and_control_c_leaves_it_resumable(
    tmp_path: Path, gateway: RunningGateway, board: VirtualBoard
) -> None:
    job, told = a_job_at(board, tmp_path, gateway), Told()
    with board.occupied(), pytest.raises(StageFailed) as busy:
        pair.pair(job, REAL, Told().tell)
    assert (busy.value.exit_code, "port_busy" in busy.value.text) == (10, True)
    with pytest.raises(Stopped):
        pair.pair(job, REAL, told.tell, lambda: told[-1]["stage"] == "reading")
    resumed = Told()
    assert pair.pair(job, REAL, resumed.tell)["state"] == "paired"
    assert resumed.states()["register"] == "done_before"
