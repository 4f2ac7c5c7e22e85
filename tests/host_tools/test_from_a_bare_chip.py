"""A meter's whole first day, with everything that goes wrong on it, on one flash and one line.

Bare chip, image, start, pairing, first authenticated reading, a newer image, and the same registers
behind it: real esptool, real mpremote, the real firmware and a real gateway.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest

from host_tools.device import Device
from host_tools.flash import flash
from host_tools.flashing.chip_errors import WrongChip
from host_tools.image import nvs
from host_tools.image.build import Image, build
from host_tools.line.ports import DeviceError, LinkLost, PortBusy
from host_tools.line.probe import probe
from host_tools.pairing import pair
from host_tools.pairing.first_reading import DONE, LOOK_S, READING_WAIT_S
from host_tools.pairing.gateway_client import READ_NOW
from host_tools.pairing.stages import StageFailed, Stopped
from host_tools.pairing.work import Job, Tools
from tests.support.a_firmware import a_firmware
from tests.support.a_pairing import Told, a_job
from tests.support.an_image import SETTINGS, a_board, an_application
from tests.support.flashing import NO_SETTINGS, files_of
from tests.support.gateway import journal_of
from tests.support.running_gateway import RunningGateway
from tests.support.virtual.an_image import NVS
from tests.support.virtual.virtual_board import VirtualBoard
from wire import messages
from wire.messages import Registers

REAL = Tools(probe=probe, open=partial(Device.open, timeout_s=40.0))
NEWER = "9.9.9"
HOURLY_WH, DAY_S, SPEED = 1_000, 86_400, 600  # two days of a home, from yesterday's hour on


@cache
def the_first_image() -> Image:
    return build(a_board(), a_firmware(), an_application(), SETTINGS, None)


@cache
def a_newer_image() -> Image:
    newer = an_application(version=NEWER)
    return build(a_board(), a_firmware(seed=2), newer, NO_SETTINGS, None)


def an_image_for_another_chip() -> Image:
    return build(a_board("esp32s3"), a_firmware("esp32s3"), an_application(), NO_SETTINGS, None)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path / "gateway") as running:
        yield running


@pytest.fixture
def board(tmp_path: Path) -> Iterator[VirtualBoard]:
    """Nothing in its flash, and a house around it that uses a lot."""
    with VirtualBoard(tmp_path / "board") as board:
        yesterday_s = (int(time.time()) - DAY_S) // 3600 * 3600
        board.play([(HOURLY_WH, 0)] * 48, yesterday_s, SPEED)
        yield board


def registers_heard(gateway: RunningGateway, meter_id: str) -> list[int]:
    """Import in Wh, as accepted by the gateway, in the order of acceptance."""
    rows = [row for row in journal_of(gateway.folder) if row.meter_id.hex() == meter_id]
    said = [messages.decode(row.message, 1) for row in rows]
    return [message.registers_wh[0] for message in said if isinstance(message, Registers)]


def read_now(gateway: RunningGateway, meter_id: str) -> None:
    """Until the meter has answered that it read."""
    client, until_s = gateway.client(), time.monotonic() + READING_WAIT_S
    number = client.command(meter_id, READ_NOW)
    while client.command_state(number)["state"] != DONE:
        assert time.monotonic() < until_s, client.command_state(number)
        time.sleep(LOOK_S)


def flash_with_faults(board: VirtualBoard) -> None:
    """Wrong chip, busy port, a pulled cable, noise, a power cut; then it is done."""
    blank = board.flash.read(0, board.flash.size_bytes)
    with pytest.raises(WrongChip):
        flash(board.port, an_image_for_another_chip())
    with board.occupied(), pytest.raises(PortBusy):
        flash(board.port, the_first_image())
    assert board.flash.read(0, board.flash.size_bytes) == blank
    board.unplug(9_000)
    with pytest.raises(DeviceError):
        flash(board.port, the_first_image())
    board.plug_in()
    board.cut_power_after(8_000)
    with pytest.raises(LinkLost):
        flash(board.port, the_first_image())
    board.power_on()
    board.add_garbage(b"\xc0\x00\xff", 20)
    flash(board.port, the_first_image())
    assert flash(board.port, the_first_image()).written == []


def pair_with_faults(job: Job, board: VirtualBoard) -> str:
    """Stopped half-way by the first technician, refused to the second; then it is done."""
    told = Told()
    with pytest.raises(Stopped):
        pair.pair(job, REAL, told.tell, lambda: told[-1]["stage"] == "register")
    with pytest.raises(StageFailed) as refused:
        pair.pair(replace(job, technician="bert", state=job.state / "bert"), REAL, Told().tell)
    assert refused.value.reason == "another_technician", refused.value.text
    board.unplug()
    board.plug_in()
    paired = pair.pair(replace(job, port=board.port), REAL, Told().tell)
    assert paired["state"] == "paired"
    return str(paired["meter_id"])


def flash_again_with_faults(board: VirtualBoard, state: Path) -> None:
    """Dark in the middle of the new files, when the old settings are gone from the chip."""
    board.cut_power_after(150_000)
    with pytest.raises(DeviceError):
        flash(board.port, a_newer_image(), state=state)
    board.power_on()
    done = flash(board.port, a_newer_image(), state=state)
    assert done.kept == ["nvs", "meter"]


@pytest.mark.timeout(240)
def test_a_bare_chip_becomes_a_meter_and_keeps_its_registers_through_the_next_image(
    tmp_path: Path, board: VirtualBoard, gateway: RunningGateway
) -> None:
    flash_with_faults(board)
    job = a_job(tmp_path, gateway, port=board.port, reading_wait_s=READING_WAIT_S)
    meter_id = pair_with_faults(job, board)
    identity = nvs.read(board.flash.read(*NVS))
    first_wh = registers_heard(gateway, meter_id)[-1]

    flash_again_with_faults(board, job.state)

    assert files_of(board)["a/WHOLE"] == NEWER.encode()
    assert nvs.read(board.flash.read(*NVS)) == identity
    read_now(gateway, meter_id)
    heard = registers_heard(gateway, meter_id)
    assert heard == sorted(heard), "a register never runs backwards"
    assert heard[-1] > first_wh > 0


def test_a_firmware_too_old_for_littlefs_2_1_starts_as_a_meter(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path, old_firmware=True) as board:
        assert "vfs" in flash(board.port, the_first_image()).written
        board.wait_for("pair again")
