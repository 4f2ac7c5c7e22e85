"""What runs on a board: interrupted for us, started again after us, and listened to."""

import time
from itertools import islice
from pathlib import Path

import pytest

from host_tools import device
from host_tools.device import (
    Device,
    DeviceFailed,
    NoRepl,
)
from host_tools.line import on_board, raw_repl
from host_tools.line.buffered_port import BufferedPort
from tests.support.a_meter import settings
from tests.support.virtual import an_image
from tests.support.virtual.an_image import a_flashed_board
from tests.support.virtual.virtual_board import VirtualBoard

BUSY = b"import time\nprint('it runs')\nwhile True:\n time.sleep(1)\n"
OBSTINATE = b"import micropython, time\nmicropython.kbd_intr(-1)\nprint('deaf')\n"


# ------------------------------------------------------------ what was running


def test_an_idle_board_is_not_called_interrupted_and_not_reset(idle_board: VirtualBoard) -> None:
    with Device.open(idle_board.port) as opened:
        opened.run("kept = 7")
        assert not opened.interrupted
    with Device.open(idle_board.port) as opened:
        assert opened.evaluate("kept") == 7
    assert idle_board.happened == ["application"]


def test_a_running_program_is_interrupted_and_runs_again_after(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": BUSY}) as board:
        board.wait_for("it runs")
        with Device.open(board.port) as opened:
            assert opened.interrupted
            assert opened.run("print(3)") == "3\n"
        board.wait_for("it runs", times=2)
        assert board.happened == ["application", "soft_reset"]


def test_a_program_runs_again_even_when_we_fail(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": BUSY}) as board:
        board.wait_for("it runs")
        with pytest.raises(DeviceFailed), Device.open(board.port) as opened:
            opened.run("1/0")
        board.wait_for("it runs", times=2)


def test_a_program_runs_again_when_the_user_stops_us_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(port: BufferedPort, ending: bytes, bytes_max: int) -> bytes:
        time.sleep(max(0.0, port.deadline_s - time.monotonic()))
        monkeypatch.undo()
        raise KeyboardInterrupt

    with a_flashed_board(tmp_path, {"main.py": BUSY}) as board:
        board.wait_for("it runs")
        with pytest.raises(KeyboardInterrupt), Device.open(board.port) as opened:
            monkeypatch.setattr(BufferedPort, "read_to", stopped)
            opened.run("while True: pass", timeout_s=0.1)
        board.wait_for("it runs", times=2)


def test_a_program_that_is_deaf_for_a_while_is_waited_for(tmp_path: Path) -> None:
    main = OBSTINATE + b"time.sleep(1)\nmicropython.kbd_intr(3)\n" + BUSY
    with a_flashed_board(tmp_path, {"main.py": main}) as board:
        board.wait_for("deaf")
        with Device.open(board.port, timeout_s=5) as opened:
            assert opened.interrupted
            assert opened.run("print(3)") == "3\n"


def test_a_program_that_stays_deaf_is_given_up_in_time(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": OBSTINATE + BUSY}) as board:
        board.wait_for("deaf")
        began_s = time.monotonic()
        with pytest.raises(NoRepl, match="no MicroPython prompt within 1 s; press"):
            Device.open(board.port, timeout_s=1)
        assert time.monotonic() - began_s < 2.5
        with board.occupied():
            pass  # and the port is free again


def test_a_program_that_floods_the_line_is_stopped(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": b"while True: print('flood' * 50)"}) as board:
        board.wait_for("flood")
        with Device.open(board.port) as opened:
            assert opened.run("print(3)") == "3\n"


def test_a_board_that_resets_again_and_again_is_caught(tmp_path: Path) -> None:
    main = b"print('again')\nraise SystemExit(2)"  # as an application that is not paired
    with a_flashed_board(tmp_path, {"main.py": main}) as board:
        board.wait_for("soft reboot")
        with Device.open(board.port) as opened:
            assert opened.run("print(3)") == "3\n"


def test_a_meter_that_is_not_paired_yet_is_caught_in_its_restarts(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, an_image.application()) as board:
        board.wait_for("pair the meter first")
        for _ in range(3):
            with Device.open(board.port) as opened:
                assert opened.run("print(3)") == "3\n"


def test_a_metering_meter_is_interrupted_and_goes_on_after(tmp_path: Path) -> None:
    config = settings(gateway_port=9)
    with a_flashed_board(tmp_path, an_image.a_paired_meter(config)) as board:
        for starts in (1, 2, 3):
            board.wait_for('"event": "boot"', times=starts)
            with Device.open(board.port) as opened:
                assert opened.interrupted
        assert set(board.happened[1:]) == {"soft_reset"}


def test_the_meter_s_watchdog_is_given_time_and_no_other_is_started(tmp_path: Path) -> None:
    watchdog = b"""
import machine
class WDT:
    def __init__(self, timeout):
        print('watchdog', timeout)
machine.WDT = WDT
"""
    start = b"import time\ndef boot():\n print('it runs')\n while True: time.sleep(1)\n"
    files = {"boot.py": watchdog, "main.py": b"import start\nstart.boot()", "start.py": start}
    with a_flashed_board(tmp_path, files) as board:
        board.wait_for("it runs")
        with Device.open(board.port):
            board.wait_for(f"watchdog {on_board.WATCHDOG_MS}")
    with a_flashed_board(tmp_path / "other", {"boot.py": watchdog, "main.py": BUSY}) as board:
        board.wait_for("it runs")
        with Device.open(board.port) as opened:
            opened.run("print(3)")
        assert "watchdog" not in board.said()


# ------------------------------------------------------------ the running firmware


def test_restart_runs_main_and_its_lines_are_heard(tmp_path: Path) -> None:
    main = b"import time\nfor n in range(99):\n print('line', n)\n time.sleep(0.05)\n"
    with a_flashed_board(tmp_path, {"main.py": main}) as board:
        with Device.open(board.port) as opened:
            opened.restart()
            lines = (line for line in opened.console(5) if line)
            assert list(islice(lines, 3)) == ["line 0", "line 1", "line 2"]
            assert opened.run("print(3)") == "3\n", "and the prompt is found again"
        board.wait_for("line 0", times=2)


def test_a_board_that_does_not_restart_says_what_to_press(
    idle_board: VirtualBoard, idle_device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_repl, "RESTART_WAIT_S", 0.2)
    idle_board.line.mute = True
    with pytest.raises(NoRepl, match=r"press its reset button \(EN\)"):
        idle_device.restart()


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_line_without_an_end_is_cut(tmp_path: Path, more: int) -> None:
    length = device.LINE_BYTES_MAX + more
    main = f"import time\nprint('x' * {length}, end='')\ntime.sleep(0.5)\nprint()\n".encode()
    with a_flashed_board(tmp_path, {"main.py": main}) as board, Device.open(board.port) as opened:
        opened.restart()
        first = next(line for line in opened.console(1.5) if line)
        assert len(first) == min(length, device.LINE_BYTES_MAX)
