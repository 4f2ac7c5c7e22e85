"""Every state that doctor may find, in time; and boards that fail while it looks."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from host_tools import doctor as doctor_module
from host_tools.device import DeviceTimeout, LinkLost, NoRepl, PortBusy
from host_tools.doctor import Diagnosis, Tools, doctor
from host_tools.line import ports
from host_tools.line.ports import SeveralPorts
from host_tools.line.probe import NEXT_STEPS, STATES, Probed
from tests.host_tools.test_ports import barred
from tests.support.a_diagnosis import looked
from tests.support.a_doctored_board import (
    MAIN,
)
from tests.support.fake_device import FakeDevice
from tests.support.virtual import an_image
from tests.support.virtual.an_image import a_flashed_board
from tests.support.virtual.virtual_board import VirtualBoard

FACTS = {
    "heap_free": 90_000, "idf_free": -1, "nvs": [], "nvs_id": "", "nvs_epoch": -1,
    "has_nvs": False, "release": [1, 26, 0], "machine": "a fake", "epoch_year": 1970,
    "board": "", "slots": {}, "records": ["", ""], "config_state": "none", "config": {},
    "config_others": [],
}  # fmt: skip


# ------------------------------------------------------------ every state


def raw_repl(board: VirtualBoard) -> None:
    board.wait_for(">>> ")
    with closing(ports.open_serial(board.port, 0.1)) as port:
        port.write(b"\x01")
        board.wait_for("raw REPL")


def panicking(board: VirtualBoard) -> None:
    board.panic()
    board.reset()


def slow_line(board: VirtualBoard) -> None:
    board.wait_for(">>> ")
    board.line.baud = 9600


def damaged(board: VirtualBoard) -> None:
    board.flash.write(an_image.VFS, b"half of a file system" * 400)
    board.reset()
    board.wait_for("appears to be corrupted")


def nothing(board: VirtualBoard) -> None:
    """It is as it was switched on."""


ILLS: dict[str, tuple[bytes, Callable[[VirtualBoard], Any]]] = {
    "silent": (b"", VirtualBoard.power_off),
    "rom_bootloader": (b"", VirtualBoard.enter_bootloader),
    "boot_loop": (b"", panicking),
    "friendly_repl": (b"", lambda board: board.wait_for(">>> ")),
    "raw_repl": (b"", raw_repl),
    "our_firmware": (MAIN.replace(b"import start\n", b""), nothing),
    "other_program": (b"print('it runs')\nwhile True: pass", nothing),
    "corrupt_filesystem": (b"", damaged),
    "wrong_baud": (b"", slow_line),
    "port_busy": (b"", VirtualBoard.occupied),
    "no_permission": (b"", lambda board: barred(board.port)),
    "port_missing": (b"", VirtualBoard.unplug),
}


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_named_within_five_seconds_with_its_next_step(
    tmp_path: Path, state: str
) -> None:
    main, make_ill = ILLS[state]
    with ExitStack() as stack:
        board = stack.enter_context(a_flashed_board(tmp_path, {"main.py": main}))
        if main:
            board.wait_for("it runs" if state == "other_program" else "event")
        fault = make_ill(board)
        if hasattr(fault, "__enter__"):
            stack.enter_context(fault)
        found = looked(board.port)
    assert found.state == state, found
    usable = state in doctor_module.USABLE
    assert bool(found.checks) is usable
    assert usable or (found.verdict, found.exit_code, found.todo) == ("bad", 1, found.next_step)


def test_a_port_that_is_not_there_and_one_of_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "list_ports", list)
    found = looked("auto")
    assert (found.state, found.port) == ("port_missing", "auto")
    two = [ports.Port(f"/dev/ttyUSB{n}", "10c4:ea60", "a bridge") for n in range(2)]
    monkeypatch.setattr(ports, "list_ports", lambda: two)
    with pytest.raises(SeveralPorts, match="say which"):
        doctor("auto")


# ------------------------------------------------------------ boards that fail


def looked_at(*devices: FakeDevice | Exception) -> Diagnosis:
    """What is said of a board that is our firmware by all that is heard of it."""

    def opened(port: str) -> FakeDevice:
        if isinstance(devices[0], Exception):
            raise devices[0]
        return devices[0]

    probed = Probed("our_firmware", "a fake", NEXT_STEPS["our_firmware"])
    return looked("a-port", tools=Tools(probe=lambda *_: probed, open=opened))


@pytest.mark.parametrize(
    ("error", "cause"),
    [(NoRepl("no prompt; press reset"), "no_repl"), (PortBusy("busy; close it"), "port")],
)
def test_a_board_that_cannot_be_stopped(error: Exception, cause: str) -> None:
    found = looked_at(error)
    assert [(one.name, one.verdict, one.cause) for one in found.checks] == [
        ("repl", "unknown", cause)
    ]
    assert found.verdict == "unknown"
    assert ";" not in found.checks[0].measured


def test_a_board_that_answers_nonsense() -> None:
    device = FakeDevice("nonsense", interrupted=True)
    found = looked_at(device)
    causes = [(one.name, one.verdict, one.cause) for one in found.checks]
    assert causes == [("repl", "unknown", "unanswered"), ("restart", "good", "")]
    assert (device.restarts, device.closed) == (1, True)


def test_a_cable_that_is_pulled_ends_the_look() -> None:
    device = FakeDevice(json.dumps(FACTS), LinkLost("it is gone; plug it in"))
    found = looked_at(device)
    assert found.checks[-1].cause == "link_lost"
    assert found.checks[-1].name == "clock", "the first check that asks the board"
    assert device.closed


def test_a_check_that_is_not_answered_stops_no_other() -> None:
    late = DeviceTimeout("not done after 10 s; run it again")
    found = looked_at(FakeDevice(json.dumps(FACTS), late))
    unanswered = [one.name for one in found.checks if one.cause == "unanswered"]
    assert unanswered == ["clock", "rssi", "journal", "receipts", "counters", "wear"]
    assert [one.name for one in found.checks][-1] == "wear"


def test_a_board_that_does_not_restart_is_told() -> None:
    device = FakeDevice(json.dumps(FACTS), "null", interrupted=True)
    device.restart_fails = NoRepl("the board does not restart; press its reset button (EN)")
    found = looked_at(device)
    last = found.checks[-1]
    assert (last.name, last.verdict, last.cause) == ("restart", "bad", "unheard")
