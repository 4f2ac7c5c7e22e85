"""The adapter of mpremote against real interpreters: code, files, and all that may go wrong."""

import threading
import time
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from host_tools.device import (
    Device,
    DeviceError,
    DeviceFailed,
    DeviceTimeout,
    LinkLost,
    NoPermission,
    NoRepl,
    PortBusy,
    PortMissing,
)
from host_tools.line import buffered_port, raw_repl, told
from host_tools.line.raw_repl import OPEN_PAUSE_S
from tests.host_tools.test_ports import barred
from tests.support.virtual.virtual_board import VirtualBoard

SECRET = "never-tell-anybody"


def told_by(error: BaseException) -> str:
    """Everything that a log or a debugger could show of an error and what lies behind it."""
    assert error.__context__ is None
    assert error.__cause__ is None
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


# ------------------------------------------------------------ code


def test_code_runs_and_its_output_comes_back(idle_device: Device) -> None:
    assert idle_device.run("print('a')\nprint(1 + 1)") == "a\n2\n"
    assert idle_device.run("x = 5") == ""
    assert idle_device.run("print(x)") == "5\n", "one program after the other sees what was set"


def test_values_come_back_as_values(idle_device: Device) -> None:
    assert idle_device.evaluate("{'a': [1, -2.5, None], b'k\\xff': (True, 'ż')}") == {
        "a": [1, -2.5, None],
        b"k\xff": (True, "ż"),
    }
    with pytest.raises(DeviceFailed, match=r"ask for its repr\(\) or str\(\)"):
        idle_device.evaluate("object()")


def test_what_the_device_raises_has_its_name_and_the_session_goes_on(idle_device: Device) -> None:
    with pytest.raises(DeviceFailed, match="failed with ZeroDivisionError: divide by zero") as seen:
        idle_device.run("1/0")
    assert seen.value.kind == "ZeroDivisionError"
    assert 'File "<stdin>", line 1' in seen.value.trace
    assert idle_device.run("print(3)") == "3\n"


def test_code_that_is_no_python_is_the_device_s_error(idle_device: Device) -> None:
    with pytest.raises(DeviceFailed) as seen:
        idle_device.run(f"def {SECRET}")
    assert seen.value.kind == "SyntaxError"
    assert SECRET not in told_by(seen.value)


@pytest.mark.parametrize(
    "code",
    [
        f"raise ValueError({SECRET!r})",
        f"key = {SECRET.encode()!r}\nraise ValueError(key)",
        f"raise ValueError(''.join('%02x' % byte for byte in {SECRET.encode()!r}))",
        f"{{}}[{SECRET!r}]",
        f"raise ValueError('x' + {SECRET!r} + '\\n' + {SECRET!r})",
        f"import no_such_module as {SECRET.replace('-', '_')}; {SECRET!r}",
    ],
)
def test_a_secret_of_the_code_is_in_no_error_of_the_device(idle_device: Device, code: str) -> None:
    with pytest.raises(DeviceFailed) as seen:
        idle_device.run(code)
    said = told_by(seen.value)
    assert SECRET not in said
    assert SECRET.encode().hex() not in said


def test_a_secret_is_in_no_error_of_the_link(
    idle_board: VirtualBoard, idle_device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_repl, "ENTER_WAIT_S", 0.5)
    code = f"key = {SECRET!r}\nwhile True: pass"
    with pytest.raises(DeviceTimeout) as late:
        idle_device.run(code, timeout_s=0.2)
    idle_board.line.baud = 9600
    with pytest.raises((NoRepl, DeviceTimeout)) as garbled:
        idle_device.run(code, timeout_s=0.2)
    idle_board.line.baud = 115_200
    idle_board.unplug()
    with pytest.raises(LinkLost) as lost:
        idle_device.run(code)
    for error in (late.value, garbled.value, lost.value):
        assert SECRET not in told_by(error)


def test_what_may_be_told_of_code_that_is_not_understood_here_is_the_name_alone() -> None:
    trace = f"Traceback\r\nOSError: {SECRET}\r\n"
    line, kind, shown = told.told_error(trace, "@@ not python")
    assert (kind, shown) == ("OSError", "")
    assert SECRET not in line
    assert told.told_error(f"noise {SECRET}", "@@")[1] == "Exception"
    assert told.told_error("", "1")[1] == "Exception"


# ------------------------------------------------------------ time


def test_endless_code_is_interrupted_in_time_and_the_session_goes_on(idle_device: Device) -> None:
    began_s = time.monotonic()
    with pytest.raises(DeviceTimeout, match=r"not done after 0\.3 s and was interrupted"):
        idle_device.run("while True: pass", timeout_s=0.3)
    assert time.monotonic() - began_s < 1.0
    assert idle_device.run("print(3)") == "3\n"


def test_endless_output_is_interrupted_in_time(idle_device: Device) -> None:
    with pytest.raises(DeviceTimeout):
        idle_device.run(
            "import time\nwhile True: print('x' * 99) or time.sleep(0.001)", timeout_s=0.3
        )
    assert idle_device.run("print(3)") == "3\n"


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_more_output_than_the_limit_is_refused(
    idle_device: Device, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    assert raw_repl.OUTPUT_BYTES_MAX == 2 << 20
    monkeypatch.setattr(raw_repl, "OUTPUT_BYTES_MAX", 2000)
    code = f"print('x' * {2000 + more}, end='')\nimport time\ntime.sleep(0.2)"
    if more <= 0:
        assert len(idle_device.run(code)) == 2000 + more
        return
    with pytest.raises(DeviceFailed, match="prints more than 2000 bytes"):
        idle_device.run(code)
    assert idle_device.run("print(3)") == "3\n"


def test_a_device_that_takes_nothing_more_ends_the_wait(
    idle_board: VirtualBoard, idle_device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle_board.line.mute = True
    with pytest.raises(DeviceTimeout):
        idle_device.run("print(3)", timeout_s=0.3)
    monkeypatch.setattr(raw_repl, "ENTER_WAIT_S", 0.5)
    with pytest.raises(NoRepl, match="press the board's reset button"):
        idle_device._repl.enter(0.5)


def test_a_reset_in_the_middle_ends_the_wait_and_the_next_run_goes_on(
    idle_board: VirtualBoard, idle_device: Device
) -> None:
    threading.Timer(0.2, idle_board.reset).start()
    with pytest.raises((DeviceTimeout, NoRepl)):
        idle_device.run("import time\ntime.sleep(5)", timeout_s=1.0)
    assert idle_device.run("print(3)") == "3\n"


# ------------------------------------------------------------ the port


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PortMissing, match="plug the board in"):
        Device.open(str(tmp_path / "ttyUSB0"))


def test_a_port_that_another_program_has(idle_board: VirtualBoard) -> None:
    with Device.open(idle_board.port), pytest.raises(PortBusy, match="close serial monitors"):
        Device.open(idle_board.port)
    with idle_board.occupied(), pytest.raises(PortBusy):
        Device.open(idle_board.port)
    Device.open(idle_board.port).close()


def test_a_port_that_somebody_holds_for_a_moment_is_waited_for(idle_board: VirtualBoard) -> None:
    with ExitStack() as held:
        held.enter_context(idle_board.occupied())
        letting_go = threading.Timer(OPEN_PAUSE_S, held.close)
        letting_go.start()
        with Device.open(idle_board.port) as opened:
            assert opened.evaluate("6 * 7") == 42
        letting_go.join()


def test_a_port_that_is_not_for_us(idle_board: VirtualBoard) -> None:
    with barred(idle_board.port), pytest.raises(NoPermission, match="join the group"):
        Device.open(idle_board.port)


def test_a_cable_that_is_pulled_in_the_middle(
    idle_board: VirtualBoard, idle_device: Device
) -> None:
    idle_board.unplug(after_bytes=500)
    with pytest.raises(LinkLost, match="went away in the middle; check the cable"):
        idle_device.run("while True: print('x' * 50)")
    for act in (
        lambda: idle_device.run("1"),
        idle_device.restart,
        lambda: list(idle_device.console(0.1)),
    ):
        with pytest.raises(LinkLost):
            act()
    idle_device.close()
    idle_board.plug_in()
    with Device.open(idle_board.port) as again:
        assert again.run("print(3)") == "3\n"


def test_a_board_in_its_bootloader_has_no_prompt(idle_board: VirtualBoard) -> None:
    idle_board.enter_bootloader()
    with pytest.raises(NoRepl, match="see with `probe`"):
        Device.open(idle_board.port, timeout_s=0.5)


@pytest.mark.parametrize(
    "kind", [LinkLost, NoRepl, DeviceFailed, DeviceTimeout, PortBusy, PortMissing, NoPermission]
)
def test_every_error_has_a_name_of_its_own(kind: type[DeviceError]) -> None:
    assert issubclass(kind, DeviceError)
    assert kind.reason not in ("", DeviceError.reason)


def test_opening_and_closing_a_port_resets_nobody(idle_board: VirtualBoard) -> None:
    for _ in range(3):
        Device.open(idle_board.port).close()
    assert idle_board.happened == ["application"]


class StuckPort:
    """A port whose other end takes nothing."""

    in_waiting = 0
    write_timeout: Any = None

    def write(self, data: bytes) -> None:
        raise TimeoutError

    def read(self, length: int) -> bytes:
        return b""


def test_writing_has_an_end_and_reading_a_deadline() -> None:
    port = buffered_port.BufferedPort(StuckPort())
    with pytest.raises(TimeoutError):
        port.write(b"x")
    port.deadline_s = time.monotonic()
    for read in (lambda: port.read(1), port.inWaiting, lambda: port.read_to(b"x", 10)):
        with pytest.raises(buffered_port.Late):
            read()
