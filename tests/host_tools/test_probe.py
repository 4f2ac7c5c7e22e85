"""Every state that something on a port may be in, each with real processes and in time."""

import os
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from host_tools.line import heard, ports, probe
from host_tools.line.probe import Probed
from host_tools.micropython import ROOT
from tests.host_tools.test_ports import barred
from tests.support.a_meter import NOON_S, settings
from tests.support.virtual import an_image
from tests.support.virtual.an_image import a_flashed_board
from tests.support.virtual.virtual_board import VirtualBoard

LATE_S = 0.5  # a busy computer's share
BUSY = b"import time\nprint('it runs')\nwhile True:\n time.sleep(1)\n"
OBSTINATE = b"import micropython\nmicropython.kbd_intr(-1)\n"
# As a meter without a Wi-Fi waits for one (boards/parts/improv_serial.py), as far as it matters.
LISTENS = b"""
import micropython, sys
micropython.kbd_intr(-1)
print('it listens')
asked = b'IMPROV\\x01\\x03\\x02\\x03\\x00\\xe6'
answer = b'IMPROV\\x01\\x04\\x0e\\x03\\x0c\\x0bOpenLicznik'
last = b''
while True:
    last = (last + sys.stdin.buffer.read(1))[-len(asked):]
    if last == asked:
        sys.stdout.buffer.write(b'\\n' + answer + bytes((sum(answer) & 0xff,)) + b'\\n')
"""


def probed(port: str, budget_s: float = probe.BUDGET_S) -> Probed:
    """What the probe says, in time."""
    began_s = time.monotonic()
    found = probe.probe(port, budget_s)
    assert time.monotonic() - began_s < budget_s + LATE_S
    assert found.next_step == probe.NEXT_STEPS[found.state]
    assert found.evidence
    return found


def expect(port: str, state: str, evidence: str) -> None:
    """The same twice: a look changes nothing."""
    for _ in range(2):
        found = probed(port)
        assert found.state == state, found
        assert evidence in found.evidence


# ------------------------------------------------------------ the port


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    expect(str(tmp_path / "ttyUSB0"), "port_missing", "there is no port")


def test_a_port_that_another_program_has(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as board, board.occupied():
        expect(board.port, "port_busy", f"another program has {board.port} open")


def test_a_port_that_this_user_may_not_open(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as board, barred(board.port):
        expect(board.port, "no_permission", "this user may not open")


def test_a_cable_that_is_pulled_during_the_look(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as board:
        board.enter_bootloader()
        board.unplug(after_bytes=1)
        assert probed(board.port).state == "port_missing"


# ------------------------------------------------------------ no program of MicroPython


def test_a_board_without_power_is_silent(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as board:
        board.power_off()
        found = probed(board.port)
        assert found.state == "silent"
        assert "hold BOOT, press EN" in found.next_step


@pytest.mark.parametrize("chip", ["esp32", "esp32c6"])
def test_a_chip_in_its_bootloader(tmp_path: Path, chip: str) -> None:
    with VirtualBoard(tmp_path, chip) as board:
        board.enter_bootloader()
        expect(board.port, "rom_bootloader", "answers esptool's SYNC")
        assert board.happened[-1] == "bootloader", "nobody reset it"


def test_a_chip_that_falls_into_its_bootloader_during_the_look(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": OBSTINATE + BUSY}) as board:
        board.wait_for("it runs")
        board.line.deaf = True
        threading.Timer(0.5, board.enter_bootloader).start()
        found = probed(board.port)
        assert (found.state, found.evidence) == (
            "rom_bootloader",
            "the ROM says: waiting for download",
        )


def test_an_erased_chip_loops(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as board:
        expect(board.port, "boot_loop", "(RTCWDT_RTC_RESET): invalid header: 0xffffffff")


def test_firmware_that_crashes_as_it_starts_loops(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as board:
        board.panic()
        board.reset()
        expect(board.port, "boot_loop", "(SW_CPU_RESET): Guru Meditation Error")


def test_a_board_at_another_speed(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": b""}) as board:
        board.wait_for(">>> ")
        board.line.baud = 9600
        expect(board.port, "wrong_baud", "most of them no text")


# ------------------------------------------------------------ MicroPython


def test_micropython_at_its_prompt(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": b""}) as board:
        board.wait_for(">>> ")
        expect(board.port, "friendly_repl", "prompt >>>")
        assert board.happened == ["application"]


def test_micropython_in_its_raw_repl(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": b""}) as board:
        board.wait_for(">>> ")
        with closing(ports.open_serial(board.port, 0.1)) as port:
            port.write(b"\x01")
            board.wait_for("raw REPL")
        expect(board.port, "raw_repl", "answers Ctrl-A")
        assert board.happened == ["application"]


@pytest.mark.parametrize("content", [b"half of a file system" * 400, b"\xff" * 4095 + b"\xfe"])
def test_a_file_system_that_is_damaged(tmp_path: Path, content: bytes) -> None:
    board = VirtualBoard(tmp_path)
    an_image.flash(board)
    board.flash.write(an_image.VFS, content)
    with board:
        board.wait_for("appears to be corrupted")
        expect(board.port, "corrupt_filesystem", "its file system is corrupted")
        assert board.happened[-1] == "soft_reset", "and its loop goes on as before"


def test_old_firmware_calls_a_newer_file_system_corrupted(tmp_path: Path) -> None:
    board = VirtualBoard(tmp_path, old_firmware=True)
    an_image.flash(board)
    newer = an_image.file_system({"main.py": b""}, disk_version=an_image.NEW_DISK)
    board.flash.write(an_image.VFS, newer)
    with board:
        board.wait_for("appears to be corrupted")
        expect(board.port, "corrupt_filesystem", "")


# ------------------------------------------------------------ programs


def test_a_program_that_is_not_ours_is_started_again(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": BUSY}) as board:
        board.wait_for("it runs")
        expect(board.port, "other_program", "not ours; it was started again")
        board.wait_for("it runs", times=3)


def test_a_program_that_floods_the_line_is_named_in_time(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": b"while True: print('flood' * 50)"}) as board:
        board.wait_for("flood")
        assert probed(board.port).state == "other_program"


def test_a_deaf_program_that_talks_and_one_that_does_not(tmp_path: Path) -> None:
    talks = OBSTINATE + b"import time\nwhile True:\n print('hello')\n time.sleep(0.02)\n"
    with a_flashed_board(tmp_path / "1", {"main.py": talks}) as board:
        board.wait_for("hello")
        found = probed(board.port, budget_s=2.0)
        assert found.state == "other_program"
        assert "hello" in found.evidence
    with a_flashed_board(tmp_path / "2", {"main.py": OBSTINATE + BUSY}) as board:
        board.wait_for("it runs")
        assert probed(board.port, budget_s=2.0).state == "silent"


def test_our_firmware_by_what_it_logs(tmp_path: Path) -> None:
    files = an_image.a_paired_meter(settings(gateway_port=9))
    board = VirtualBoard(tmp_path)
    an_image.flash(board, files)
    board.play([(100, 0)], NOON_S, 100)
    with board:
        board.wait_for('"event": "boot"')
        expect(board.port, "our_firmware", "it logs the event")
        assert board.happened == ["application"], "it was left alone"


def test_our_firmware_by_its_program_when_it_is_silent(tmp_path: Path) -> None:
    files = {
        "main.py": b"import start\nstart.boot()",
        "start.py": b"import time\ndef boot():\n print('it runs')\n while True: time.sleep(1)\n",
    }
    with a_flashed_board(tmp_path, files) as board:
        board.wait_for("it runs")
        expect(board.port, "our_firmware", "stopped and started again")
        board.wait_for("it runs", times=3)


def test_our_firmware_that_waits_for_its_wifi_is_asked_and_not_stopped(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, {"main.py": LISTENS}) as board:
        board.wait_for("it listens")
        expect(board.port, "our_firmware", "it answers Improv")
        assert board.happened == ["application"], "it was left alone"
    boards = [path.read_text("utf-8") for path in (ROOT / "boards").rglob("*.py")]
    assert any('"OpenLicznik"' in source for source in boards), "the name it is known by"


def test_our_firmware_that_is_not_paired_yet(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path, an_image.application()) as board:
        board.wait_for("pair the meter")
        assert probed(board.port).state == "our_firmware"


# ------------------------------------------------------------ what bytes say


@pytest.mark.parametrize(
    ("everything", "state"),
    [
        (b"", None),
        (b"\r\n", None),
        (b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\nmode:DIO\r\n", None),
        (2 * b"rst:0x1 (POWERON_RESET),boot:0x13 (X)\r\nmode:DIO\r\n", "boot_loop"),
        (b'{"event": "boot"', None),
        (b'{"event": "boot"}\n', "our_firmware"),
        (b'{"event": 5}\n{"other": "boot"}\n{not json}\n', None),
        (b'{"event": "sent", "n": 1}\r\ncut {"ev', "our_firmware"),
        (b">>> ", "friendly_repl"),
        (b">>> print(1)\r\n1\r\n", None),
        (b"\r\nraw REPL; CTRL-B to exit\r\n>", "raw_repl"),
        ("zwykły tekst, z żółtymi znakami\r\n".encode(), None),
    ],
)
def test_bytes_are_named_as_soon_as_they_say_enough(everything: bytes, state: str | None) -> None:
    found = heard.name_state(everything, everything)
    assert (found.state if found else None) == state


@pytest.mark.parametrize(("noise", "text", "is_noise"), [(4, 11, False), (5, 11, True)])
def test_noise_is_called_so_above_its_share_and_length(
    noise: int, text: int, is_noise: bool
) -> None:
    assert noise + text in (heard.GARBAGE_BYTES_MIN - 1, heard.GARBAGE_BYTES_MIN)
    assert heard.is_garbage(b"\xfe" * noise + b"x" * text) is is_noise
    share = int(100 * heard.GARBAGE_SHARE)
    assert not heard.is_garbage(b"\xfe" * share + b"x" * (100 - share))
    assert heard.is_garbage(b"\xfe" * (share + 1) + b"x" * (99 - share))


def test_random_bytes_never_confuse_it() -> None:
    for _ in range(300):
        data = os.urandom(200)
        found = heard.name_state(data, data)
        assert found is None or found.state in probe.STATES


def test_every_state_has_one_next_step() -> None:
    assert len(probe.STATES) == len(set(probe.STATES)) == 12
    assert all(step and not step.endswith(".") for step in probe.NEXT_STEPS.values())
