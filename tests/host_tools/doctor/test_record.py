"""The security level that `doctor` measures and a real gateway records: raised, never lowered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from host_tools.checks import security
from host_tools.checks.case import Asked, Case
from host_tools.checks.checked import Checked
from host_tools.device import Device, NoRepl
from host_tools.doctor import Tools
from host_tools.line.probe import NEXT_STEPS, Probed
from host_tools.pairing.gateway_client import GatewayClient
from host_tools.pairing.identity import Secret, fresh
from tests.support.a_bench import a_setup_file, json_lines, run
from tests.support.a_diagnosis import looked
from tests.support.a_doctored_board import (
    DoctoredBoard,
    a_case,
    a_doctored_board,
    an_identity,
    restore,
)
from tests.support.gateway import rows
from tests.support.running_gateway import RunningGateway

HEX_ID = an_identity().hex_id
CHIP = "esp32"
RECORDING = Asked(record_level=True)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path / "gateway") as running:
        running.client().register(an_identity())
        yield running


def lock(board: DoctoredBoard, level: str) -> None:
    """Flash encryption from L1 on; at L2 secure boot and the cable, too."""
    (crypt_at, crypt), (boot_at, boot), (cable_at, cable) = security.FUSES[CHIP]
    registers = {str(at): 0 for at in (crypt_at, boot_at, cable_at)}
    if level != "L0":
        registers[str(crypt_at)] |= crypt & -crypt
    if level == "L2":
        registers[str(boot_at)] |= boot
        registers[str(cable_at)] |= cable
    board.set(registers=registers)


def looked_at(case: Case) -> list[tuple[str, str]]:
    """Verdict and cause of both checks, as `doctor` makes them."""
    measured = security.security(case)
    both = [measured, security.record(case, measured)]
    return [(checked.verdict, checked.cause) for checked in both]


def recorded(gateway: RunningGateway) -> Any:
    shown = gateway.client().show(HEX_ID)
    assert shown is not None
    return shown["security_level"]


GOOD = ("good", "")


@pytest.mark.parametrize("level", ["L0", "L1", "L2"])
def test_where_nobody_said_a_level_the_measured_one_is_recorded(
    board: DoctoredBoard, device: Device, gateway: RunningGateway, level: str
) -> None:
    lock(board, level)
    case = a_case(device, gateway=gateway.client(), asked=RECORDING)
    assert "none at the gateway" in security.security(case).measured
    assert looked_at(case) == [GOOD, GOOD]
    assert recorded(gateway) == level
    assert looked_at(case) == [GOOD, GOOD], "the same again"
    assert f"{level} at the gateway" in security.security(case).measured
    acts = rows(gateway.folder, "SELECT actor, action FROM audit WHERE action = 'meter.level'")
    assert acts == [("api:anna", "meter.level")]


def test_a_meter_that_was_locked_since_is_told_to_be_recorded_and_is(
    board: DoctoredBoard, device: Device, gateway: RunningGateway
) -> None:
    gateway.client().set_security_level(HEX_ID, "L0")
    lock(board, "L1")
    case = a_case(device, gateway=gateway.client())
    found = security.security(case)
    assert (found.verdict, found.cause) == ("bad", "level_rose")
    assert "--record-level" in found.next_step
    assert looked_at(replace(case, asked=RECORDING)) == [GOOD, GOOD]
    assert recorded(gateway) == "L1"
    assert security.security(case).verdict == "good"


def test_a_chip_that_is_less_locked_than_recorded_is_another_one_and_never_recorded(
    board: DoctoredBoard, device: Device, gateway: RunningGateway
) -> None:
    gateway.client().set_security_level(HEX_ID, "L2")
    lock(board, "L1")
    case = a_case(device, gateway=gateway.client(), asked=RECORDING)
    assert looked_at(case) == [("bad", "other_level"), ("bad", "not_measured")]
    assert recorded(gateway) == "L2"


@pytest.mark.parametrize(("asked", "cause"), [("L1", "too_low"), ("", "half_locked")])
def test_what_is_not_good_is_not_recorded(
    board: DoctoredBoard, device: Device, gateway: RunningGateway, asked: str, cause: str
) -> None:
    if cause == "half_locked":
        register, mask = security.FUSES[CHIP].secure_boot
        board.set(registers={str(register): mask})
    case = a_case(device, gateway=gateway.client(), asked=Asked(level=asked, record_level=True))
    assert looked_at(case) == [("bad", cause), ("bad", "not_measured")]
    assert recorded(gateway) is None


def test_what_keeps_it_from_being_recorded_is_named(
    board: DoctoredBoard, device: Device, gateway: RunningGateway, tmp_path: Path
) -> None:
    client = gateway.client()
    wrong_token = GatewayClient(gateway.url, Secret(b"another-token-altogether"))
    away = GatewayClient("http://127.0.0.1:9", Secret(b"a-token"), sleep=lambda _: None)
    measured = security.security(a_case(device))
    board.put_identity(fresh(key_epoch=3))
    stranger = a_case(device, gateway=client)
    board.put_identity(None)
    nobody = a_case(device, gateway=client)
    restore(board, device)
    for case, given, cause, word in (
        (a_case(device, gateway=wrong_token), measured, "not_recorded", "unauthorized"),
        (a_case(device, gateway=away), measured, "admin_away", "127.0.0.1"),
        (stranger, measured, "not_recorded", "not_there"),
        (nobody, measured, "no_meter", "no meter id"),
        (a_case(device), measured, "no_admin", "no gateway"),
        (a_case(device, gateway=client), None, "not_measured", "security"),
    ):
        found = security.record(case, given)
        assert (found.verdict, found.cause) == ("bad", cause), found
        assert word in found.measured
        assert found.next_step
    assert recorded(gateway) is None


def test_a_computer_has_no_level_to_record(device: Device, gateway: RunningGateway) -> None:
    device.write_file("/board.txt", b"boards.unix\n")
    case = a_case(device, gateway=gateway.client(), asked=RECORDING)
    assert looked_at(case) == [("unknown", "no_fuses"), ("bad", "not_measured")]


# ------------------------------------------------------------------ the whole of doctor


def test_doctor_records_it_from_the_command_line(
    tmp_path: Path, gateway: RunningGateway, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    setup = str(a_setup_file(tmp_path, gateway))
    assert run("doctor", "--port", "/dev/nowhere", "--record-level") == 2
    assert "--record-level needs --setup" in capsys.readouterr().err
    with a_doctored_board(tmp_path / "board") as board:
        board.wait_for("interval")
        lock(board, "L1")
        words = ["doctor", "--port", board.port, "--setup", setup, "--json"]
        run(*words)
        told = [event for event in json_lines(capsys.readouterr().out) if event["event"] == "check"]
        checks = [event["name"] for event in told]
        assert "security" in checks
        assert "record" not in checks, "nobody asked for it"
        assert recorded(gateway) is None
        run(*words, "--record-level")
        told = [event for event in json_lines(capsys.readouterr().out) if event["event"] == "check"]
    names = [event["name"] for event in told]
    assert names.index("record") == names.index("security") + 1
    (event,) = [event for event in told if event["name"] == "record"]
    assert (event["verdict"], event["values"]) == ("good", {"level": "L1"})
    assert recorded(gateway) == "L1"


def test_a_meter_that_does_not_let_itself_be_asked_is_not_recorded(
    board: DoctoredBoard, gateway: RunningGateway
) -> None:
    def shut(port: str) -> Any:
        raise NoRepl("no prompt came; press reset (EN)")

    def probed(port: str, within_s: float) -> Probed:
        return Probed("our_firmware", "it is heard", NEXT_STEPS["our_firmware"])

    tools = Tools(probe=probed, open=shut, gateway=gateway.client())
    found = looked(board.port, RECORDING, tools)
    last: Checked = found.checks[-1]
    assert (last.name, last.verdict, last.cause) == ("record", "bad", "not_measured")
    assert "L2" in last.next_step
    assert found.exit_code == 1
    assert looked(board.port, Asked(), tools).exit_code == 0, "unknown is no fault"
    assert recorded(gateway) is None
