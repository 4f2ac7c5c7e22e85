"""The virtual board itself: it must behave as a board, or what is tested on it is worth nothing."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from esptool import cmds
from mpremote.transport_serial import SerialTransport

from gateway import journal
from host_tools.chain import free_port
from host_tools.device import Device
from host_tools.micropython import ROOT
from tests.host_tools.test_virtual_nvs import generated
from tests.support import gateway as gateways
from tests.support.a_meter import METER_ID, METER_KEY, NOON_S, settings
from tests.support.virtual import an_image
from tests.support.virtual.an_image import METER, NVS, VFS, a_flashed_board, a_paired_meter
from tests.support.virtual.device import nvs_pages
from tests.support.virtual.virtual_board import VirtualBoard

WITHIN_S = 20.0
LIVES = b"import time\nprint('main', 1)\nwhile True: time.sleep(1)\n"
HOUSEHOLD = [(100, 20), (300, 0)]  # Wh, hour by hour


def until(happened: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + WITHIN_S
    while not happened():
        assert time.monotonic() < end_s, what
        time.sleep(0.01)


# ------------------------------------------------------------ mpremote's own expectations


@pytest.fixture
def board(tmp_path: Path) -> Iterator[VirtualBoard]:
    files = {"boot.py": b"print('boot')", "main.py": LIVES}
    with a_flashed_board(tmp_path, files) as board:
        board.wait_for("main 1")
        yield board


def test_mpremote_s_soft_reset_comes_back_raw_and_runs_no_main(board: VirtualBoard) -> None:
    with closing(SerialTransport(board.port, timeout=1)) as transport:
        transport.enter_raw_repl(soft_reset=False)
        transport.exec("kept = 1")
        transport.enter_raw_repl(soft_reset=True)
        assert transport.eval("'kept' in globals()") is False
        transport.exit_raw_repl()
    assert board.said().count("boot\n") == 2
    assert board.said().count("main 1") == 1
    assert board.happened == ["application", "soft_reset"]


def test_a_soft_reset_at_the_prompt_runs_main(board: VirtualBoard) -> None:
    with closing(SerialTransport(board.port, timeout=1)) as transport:
        transport.serial.write(b"\x03")
        board.wait_for(">>> ")
        transport.serial.write(b"\x04")
        board.wait_for("MPY: soft reboot")
        board.wait_for("main 1", times=2)
    assert board.happened == ["application", "soft_reset"]


def test_mpremote_s_command_line_works(board: VirtualBoard, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x00\x03\x04 any bytes")

    def mpremote(*words: str) -> str:
        command = [sys.executable, "-m", "mpremote", "connect", board.port, "resume", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, env=board.environment()
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    mpremote("fs", "cp", str(tmp_path / "file"), ":file")
    assert "13 file" in mpremote("exec", "import os", "fs", "ls")
    assert "Up to date" in mpremote("fs", "cp", str(tmp_path / "file"), ":file")


def test_a_process_of_its_own_reaches_the_reset_wires(board: VirtualBoard) -> None:
    command = [sys.executable, "-m", "esptool", "--port", board.port, "--no-stub", "read-mac"]
    done = subprocess.run(command, capture_output=True, text=True, env=board.environment())
    assert board.mac.hex(":") in done.stdout, done.stdout + done.stderr
    assert board.happened == ["application", "bootloader", "application"]


def test_a_board_for_one_s_own_hands_keeps_its_flash(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.virtual", str(tmp_path), "--chip", "esp32c3"]
    for content in (b"first", b"second"):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            with Device.open(line.split()[1].rstrip(",")) as opened:
                if content == b"second":
                    assert opened.read_file("/note") == b"first"
                opened.write_file("/note", content)
            process.terminate()
            assert "its flash stays" in process.stdout.read()


# ------------------------------------------------------------ resets and power


def test_a_program_resets_the_chip_and_knows_who_it_is(board: VirtualBoard) -> None:
    with Device.open(board.port) as opened:
        assert opened.evaluate("__import__('machine').unique_id()") == board.mac
        opened.write_file("/main.py", b"import machine\nprint('last words')\nmachine.reset()")
        opened.restart()
    board.wait_for("last words")
    until(lambda: board.happened.count("application") > 2, "it resets again and again")
    board.power_off()
    assert board.mode == "off"


def test_files_outlive_resets_and_variables_do_not(board: VirtualBoard) -> None:
    with Device.open(board.port) as opened:
        opened.write_file("/kept", b"kept")
        opened.run("lost = 1")
    board.reset()
    with Device.open(board.port) as opened:
        assert opened.read_file("/kept") == b"kept"
        assert opened.evaluate("'lost' in globals()") is False


def test_an_empty_file_system_is_made(tmp_path: Path) -> None:
    with a_flashed_board(tmp_path) as board:
        board.wait_for("Performing initial setup")
        board.wait_for(">>> ")
        with Device.open(board.port) as opened:
            assert [entry.name for entry in opened.list_dir("/")] == ["boot.py", "world"]
        board.reset()
        board.wait_for(">>> ", times=2)
        assert board.said().count("Performing") == 1


def test_a_table_without_vfs_gets_one_as_since_micropython_1_26(tmp_path: Path) -> None:
    board = VirtualBoard(tmp_path)
    an_image.flash(board)
    rows = an_image.partition_table()[: 4 * 32]
    board.flash.write(an_image.TABLE_OFFSET, rows.ljust(0xC00, b"\xff"))
    with board:
        board.wait_for(">>> ")
        with Device.open(board.port) as opened:
            found = "[p.info()[2:5] for p in __import__('esp32').Partition.find(1, label='vfs')]"
            assert opened.evaluate(found) == [(VFS, 0x100000, "vfs")]


def test_the_meter_s_partition_is_nor_flash(board: VirtualBoard) -> None:
    with Device.open(board.port) as opened:
        opened.run(
            "import esp32\np = esp32.Partition.find(1, label='meter')[0]\nb = bytearray(2)\n"
            "p.writeblocks(3, b'\\xf0', 7)\np.writeblocks(3, b'\\x3c', 7)\np.readblocks(3, b, 7)"
        )
        assert opened.evaluate("bytes(b)") == b"\x30\xff"
        assert opened.evaluate("p.ioctl(4, 0), p.ioctl(5, 0)") == (256, 4096)
        assert board.flash.read(METER[0] + 3 * 4096 + 7, 1) == b"\x30"
        opened.run("p.ioctl(6, 3)")
        assert board.flash.read(METER[0] + 3 * 4096 + 7, 1) == b"\xff"


# ------------------------------------------------------------ the whole way


@contextmanager
def a_gateway_process(folder: Path) -> Iterator[int]:
    """The real gateway on loopback, which knows the meter; its port."""
    folder.mkdir()
    port = free_port()
    meter = gateways.FakeMeter(METER_ID, METER_KEY, settings()["password"])
    config = gateways.a_home(folder, meter)
    config.write_text(config.read_text().replace("port = 0", f"port = {port}"))
    command = [sys.executable, "-m", "gateway", "run", "--config", str(config)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        until(lambda: _listens(port), "the gateway listens")
        yield port
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


def frames(folder: Path) -> list[journal.Row]:
    return gateways.journal_of(folder) if (folder / "gateway.db").exists() else []


def test_a_bare_board_is_flashed_boots_pushes_frames_and_keeps_its_registers(
    tmp_path: Path,
) -> None:
    home = tmp_path / "gateway"
    with a_gateway_process(home) as port, VirtualBoard(tmp_path / "board") as board:
        board.play(HOUSEHOLD, NOON_S, 50_000)
        files = a_paired_meter(settings(gateway_port=port, wifi_name="home", wifi_password="x"))
        program = b"\xe9" * 5000
        assert board.mode == "boot_loop"

        def flash(*parts: tuple[int, bytes]) -> None:
            """Write the parts and start it; the meter's partition stays what it is."""
            with cmds.detect_chip(board.port) as esp:
                stub = cmds.run_stub(esp)
                cmds.attach_flash(stub)
                before = board.flash.read(*METER)
                cmds.write_flash(stub, list(parts), no_progress=True)
                assert board.flash.read(*METER) == before
                cmds.reset_chip(stub, "hard-reset")

        flash(
            (0x1000, program), (0x8000, an_image.partition_table()), (0x10000, program),
            (VFS, an_image.file_system(files)),
        )  # fmt: skip
        board.wait_for('"event": "script_end"', WITHIN_S)
        until(lambda: len(frames(home)) >= 2, "frames in the gateway's journal")
        boot = board.events("boot")
        assert [(event["number"], event["why"]) for event in boot] == [(1, "power_on")]
        last = board.events("interval")[-1]
        assert (last["import_wh"], last["export_wh"]) == (400, 20)
        assert board.flash.read(*METER) != b"\xff" * METER[1]

        flash((VFS, an_image.file_system(files)))
        board.play([*HOUSEHOLD, (50, 0)], NOON_S, 50_000)
        board.reset()
        until(lambda: len(board.events("interval")) > 8, "more intervals")
        assert board.events("boot")[-1]["number"] == 9
        assert not board.events("boot")[-1]["counts_lost"]
        board.wait_for('"event": "script_end"', WITHIN_S, times=2)
        assert board.events("interval")[-1]["import_wh"] == 450
        life = nvs_pages.read_entries(board.flash.read(*NVS))
        assert ("meter", "life") in life, "the firmware itself has written to NVS"


def test_a_meter_with_its_identity_in_nvs_boots(tmp_path: Path) -> None:
    config = settings(gateway_port=9)
    rows = (
        f"meter,namespace,,\nid,data,hex2bin,{config['meter_id']}\n"
        f"key,data,hex2bin,{config['meter_key']}\nepoch,data,i32,0\n"
        f"password,data,hex2bin,{config['password'].encode().hex()}\n"
    )
    told = {name: config[name] for name in config if name not in (
        "meter_id", "meter_key", "key_epoch", "password")}  # fmt: skip
    with a_flashed_board(tmp_path, a_paired_meter(told)) as board:
        board.wait_for("'meter_id' is missing")
        board.flash.write(NVS[0], generated(tmp_path, rows))
        board.reset()
        board.wait_for('"event": "boot"')
        assert board.events("boot")[0]["number"] == 1


def test_power_that_goes_away_while_the_meter_writes_costs_no_interval(tmp_path: Path) -> None:
    files = a_paired_meter(settings(gateway_port=9))
    board = VirtualBoard(tmp_path)
    an_image.flash(board, files)
    board.play(HOUSEHOLD, NOON_S, 50_000)
    with board:
        for written in (600, 1500, 100):
            board.cut_power_after(written)
            until(lambda: board.happened[-1] == "power_cut", "the cut")
            board.power_on()
        board.wait_for('"event": "script_end"', WITHIN_S)
        told = [event["number"] for event in board.events("interval")]
        assert told == sorted(set(told)), "no number is used twice"
        assert len(told) >= 8 - 3, "of one written just before a cut the word may be lost"
        last = board.events("interval")[-1]
        assert (last["number"], last["import_wh"]) == (8, 400)


def test_unread_output_is_lost_and_stops_nobody(tmp_path: Path) -> None:
    main = b"for n in range(3000):\n print('x' * 60)\nprint('done')\n"
    with a_flashed_board(tmp_path, {"main.py": main}) as board:
        board.wait_for("done")
        with Device.open(board.port) as opened:
            assert opened.run("print(3)") == "3\n"


def test_garbage_and_json_of_others_are_no_events(board: VirtualBoard) -> None:
    with Device.open(board.port) as opened:
        opened.run('print(\'{"event": "boot", "number": 5}\')\nprint(\'{half\')')
    assert board.events("boot") == [{"event": "boot", "number": 5}]
    assert json.loads('{"event": "boot"}')["event"] == "boot"
