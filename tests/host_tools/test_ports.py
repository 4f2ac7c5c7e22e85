"""Serial ports: which one is meant, and what is said when it cannot be had."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from serial.tools.list_ports_common import ListPortInfo

from host_tools.line import ports
from host_tools.line.ports import NoPermission, Port, PortBusy, PortMissing, SeveralPorts
from tests.support.virtual.virtual_board import VirtualBoard

NOBODY = 65534


def a_port(path: str, vid: int | None = None, pid: int | None = None, says: str = "n/a") -> Any:
    port = ListPortInfo(path)
    port.vid, port.pid, port.description = vid, pid, says
    return port


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The ports that pyserial finds; put some in."""
    found: list[Any] = []
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: found)
    return found


@contextmanager
def barred(path: str) -> Iterator[None]:
    """As a user who may not open it: nobody, where we are root."""
    Path(path).chmod(0)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        Path(path).chmod(0o620)


def test_ports_are_listed_with_usb_first(plugged: list[Any]) -> None:
    plugged += [
        a_port("/dev/ttyS0"),
        a_port("/dev/ttyUSB1", 0x10C4, 0xEA60, "CP2102"),
        a_port("/dev/ttyACM0", 0x303A, 0x1001, "USB JTAG"),
    ]
    assert ports.list_ports() == [
        Port("/dev/ttyACM0", "303a:1001", "USB JTAG"),
        Port("/dev/ttyUSB1", "10c4:ea60", "CP2102"),
        Port("/dev/ttyS0", None, ""),
    ]


def test_auto_takes_the_only_usb_port(plugged: list[Any]) -> None:
    plugged += [a_port("/dev/ttyS0"), a_port("/dev/ttyUSB0", 0x1111, 0x2222)]
    assert ports.choose("auto") == "/dev/ttyUSB0"


def test_auto_takes_a_board_rather_than_any_other_usb_port(plugged: list[Any]) -> None:
    plugged += [a_port("/dev/ttyACM3", 0x2C7C, 0x0125), a_port("/dev/ttyUSB0", 0x1A86, 0x7523)]
    assert ports.choose("auto") == "/dev/ttyUSB0"


def test_auto_without_a_usb_port_says_what_to_plug_in(plugged: list[Any]) -> None:
    plugged.append(a_port("/dev/ttyS0"))
    with pytest.raises(PortMissing, match="plug the board in with a cable that carries data"):
        ports.choose("auto")


def test_auto_with_two_boards_lists_them_and_asks_which(plugged: list[Any]) -> None:
    plugged += [
        a_port("/dev/ttyUSB0", 0x10C4, 0xEA60, "CP2102"),
        a_port("/dev/ttyACM0", 0x303A, 0x1001),
    ]
    with pytest.raises(SeveralPorts) as refused:
        ports.choose("auto")
    assert refused.value.reason == "several_ports"
    assert "/dev/ttyACM0 (303a:1001), /dev/ttyUSB0 (CP2102)" in str(refused.value)
    assert str(refused.value).endswith("say which with --port")


def test_a_port_that_is_named_is_taken_as_it_is(plugged: list[Any]) -> None:
    assert ports.choose("/dev/ttyUSB7") == "/dev/ttyUSB7"
    assert ports.choose("socket://localhost:4000") == "socket://localhost:4000"
    assert plugged == []


def test_a_port_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PortMissing, match=r"there is no port .*; plug the board in"):
        ports.open_serial(str(tmp_path / "ttyUSB0"), 0.1)


def test_what_is_no_serial_port_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (str(tmp_path / "file"), "nonsense://here"):
        with pytest.raises(PortMissing):
            ports.open_serial(path, 0.1)


def test_a_port_that_another_program_has_open_is_busy(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as board:
        with board.occupied(), pytest.raises(PortBusy, match="close serial monitors"):
            ports.open_serial(board.port, 0.1)
        with closing(ports.open_serial(board.port, 0.1)), pytest.raises(PortBusy):
            ports.open_serial(board.port, 0.1)
        ports.open_serial(board.port, 0.1).close()


def test_a_port_of_another_group_names_the_group_to_join(tmp_path: Path) -> None:
    with (
        VirtualBoard(tmp_path) as board,
        barred(board.port),
        pytest.raises(NoPermission, match="join the group that owns it") as refused,
    ):
        ports.open_serial(board.port, 0.1)
    assert refused.value.reason == "no_permission"


def test_what_windows_says_of_a_busy_port_is_understood() -> None:
    said = OSError("could not open port 'COM3': PermissionError(13, 'Access is denied.', None, 5)")
    assert isinstance(ports.refusal("COM3", said), PortBusy)


@pytest.mark.parametrize("kind", [PortMissing, SeveralPorts, PortBusy, NoPermission])
def test_every_error_of_a_port_has_a_name_of_its_own(kind: type[ports.DeviceError]) -> None:
    assert issubclass(kind, ports.DeviceError)
    assert kind.reason != ports.DeviceError.reason
    assert kind.__doc__
