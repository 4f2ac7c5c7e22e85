"""The adapter of esptool: each way it can fail has a name and a next step; nothing is printed."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from esptool import cmds, loader, util
from esptool.logger import log
from esptool.targets import esp32, esp32c3, esp32c6, esp32s3

from host_tools.flashing import chip as adapter
from host_tools.flashing import chip_errors
from host_tools.flashing.chip import Chip, quiet
from host_tools.flashing.chip_errors import (
    SIGNS,
    ChipError,
    ChipLocked,
    ChipSilent,
    FlashFaulty,
    FlashUnreachable,
    LineNoise,
    TransmitDead,
    WrongBootMode,
    named,
)
from host_tools.line import ports
from host_tools.line.ports import DeviceError, LinkLost, NoPermission, PortBusy, PortMissing
from tests.support.virtual.rom_bootloader import RomBootloader
from tests.support.virtual.virtual_board import VirtualBoard

NOT_OURS = re.compile(  # functions that we do not call, or flash of another kind
    r"nand|sdc|elf2image|merge|image|efuse|uf2|ram$|^run$|sfdp|spi_connection|vddsdio|"
    r"flash_freq|soft_reset|flash_status|plugin|key_block|read_mac|flash_id|chip_id_cli|reset_chip|"
    r"with_retries|erase_flash"
)


def texts_of(module: object) -> Iterator[tuple[str, str]]:
    """(function, text) of every FatalError in a module's source; {} for what is filled in."""
    for function in ast.walk(ast.parse(inspect.getsource(module))):  # type: ignore[arg-type]
        if not isinstance(function, ast.FunctionDef) or NOT_OURS.search(function.name):
            continue
        for call in ast.walk(function):
            name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
            if isinstance(call, ast.Call) and name.endswith(("FatalError", ".WithResult")):
                text = said(call.args[0]) if call.args else ""
                if text.strip("{} ."):
                    yield function.name, text


def said(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(said(piece) for piece in node.values)
    if isinstance(node, ast.BinOp):
        return said(node.left) + said(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return said(node.func.value)  # "...".format(...)
    return "{}"


ALL_TEXTS = sorted(
    {
        pair
        for module in (cmds, loader, util, esp32, esp32s3, esp32c3, esp32c6)
        for pair in texts_of(module)
    }
)


def test_esptool_s_source_was_read() -> None:
    assert len(ALL_TEXTS) > 30
    functions = {function for function, _ in ALL_TEXTS}
    assert {"write_flash", "verify_flash", "connect", "detect_chip", "run_stub"} <= functions


@pytest.mark.parametrize(("function", "text"), ALL_TEXTS)
def test_every_error_of_esptool_has_a_name_of_its_own(function: str, text: str) -> None:
    if any(word in text for word in ("NAND", "good block", "ESP8266")):
        return
    error = named(text)
    assert type(error) is not ChipError, f"{function} raises {text!r}"
    assert error.reason not in ("chip_error", "device_error")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Failed to connect to ESP32: No serial data received.\nFor trouble", ChipSilent),
        ("Failed to connect to ESP32: Wrong boot mode detected (0x13)! The chip", WrongBootMode),
        ("Failed to connect to ESP32: Wrong boot mode detected (0x3)! The chip", TransmitDead),
        ("Failed to connect to ESP32-S3: Wrong boot mode detected (0x2b)! The", WrongBootMode),
        ("Failed to connect to ESP32: Download mode successfully detected, but getting no sync "
         "reply: The serial TX path seems to be down.", TransmitDead),
        ("Could not open /dev/ttyUSB0, the port is busy or doesn't exist.\n([Errno 2] could not "
         "open port /dev/ttyUSB0: [Errno 2] No such file or directory: '/dev/ttyUSB0')",
         PortMissing),
        ("Could not open /dev/ttyUSB0, the port is busy or doesn't exist.\n([Errno 11] Could not "
         "exclusively lock port /dev/ttyUSB0: [Errno 11] Resource temporarily unavailable)",
         PortBusy),
        ("Could not open /dev/ttyUSB0, the port is busy or doesn't exist.\n([Errno 13] could not "
         "open port /dev/ttyUSB0: [Errno 13] Permission denied)", NoPermission),
        ("Failed to write to target flash after seq 3 (result was 0106: Message is ok, but the "
         "running result is wrong)", FlashFaulty),
        ("Failed to enter flash download mode (result was 0107: Checksum error)", LineNoise),
        ("Failed to read target memory. Only got 1 byte status response.", LineNoise),
        ("Invalid head of packet (0x08): Possible serial noise or corruption.", LineNoise),
        ("Guru Meditation Error detected (IllegalInstruction).", LineNoise),
        ("Packet content transfer stopped (received 8 bytes).", LinkLost),
        ("read failed: device reports readiness to read but returned no data (device disconnected)",
         LinkLost),
        ("[Errno 5] Input/output error", LinkLost),
        ("MD5 of file does not match data in flash!", FlashFaulty),
        ("This command (0xa) is not supported in Secure Download Mode", ChipLocked),
        ("SPI command did not complete in time", FlashUnreachable),
        ("something that nobody has seen yet", ChipError),
    ],
)  # fmt: skip
def test_the_texts_that_people_see_most_are_named_right(
    text: str, error: type[DeviceError]
) -> None:
    told = named(text)
    assert type(told) is error
    assert text not in str(told), "what a chip says is not repeated"


def test_every_name_is_told_once_and_every_text_says_what_to_do() -> None:
    classes = [
        value
        for value in vars(chip_errors).values()
        if isinstance(value, type) and issubclass(value, DeviceError)
    ]
    reasons = [value.reason for value in classes]
    assert len(set(reasons)) == len(reasons)
    todo = re.compile(r"run|check|plug|hold|press|choose|close|join|see|replace|take off")
    assert all(todo.search(sign.text) for sign in SIGNS)
    assert all(value.__doc__ for value in classes)


def failing(board: VirtualBoard, port: str | None = None) -> DeviceError:
    with pytest.raises(DeviceError) as told:
        Chip.open(port or board.port)
    assert str(told.value)
    return told.value


def test_a_port_that_is_missing_busy_or_closed_to_us_is_named(
    board: VirtualBoard, tmp_path: Path
) -> None:
    assert isinstance(failing(board, str(tmp_path / "ttyNONE")), PortMissing)
    with board.occupied():
        assert isinstance(failing(board), PortBusy)
    with Chip.open(board.port) as chip:
        assert chip.mac == board.mac
        assert isinstance(failing(board), PortBusy)


def test_a_board_that_says_nothing_is_silent(board: VirtualBoard) -> None:
    board.line.mute = True
    assert isinstance(failing(board), ChipSilent)
    board.line.mute = False
    Chip.open(board.port).close()


def test_a_board_without_auto_reset_that_runs_its_program_is_in_the_wrong_boot_mode(
    board: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "CONNECT_TRIES", 1)
    board.cut_reset_wires()
    assert failing(board).reason in ("wrong_boot_mode", "chip_silent", "line_noise")
    board.enter_bootloader()
    Chip.open(board.port).close()


def test_a_wire_that_does_not_reach_the_chip_is_named(
    board: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "CONNECT_TRIES", 2)  # the others count on a capacitor at EN
    board.line.deaf = True
    assert isinstance(failing(board), TransmitDead)


def test_a_helper_that_does_not_start_is_done_without(
    board: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader.StubFlasher, "__init__", _no_stub)
    with Chip.open(board.port) as chip:
        assert chip.mac == board.mac
        chip.write(0x10000, b"without a stub" * 100)
        assert chip.read(0x10000, 14) == b"without a stub"
        assert chip.holds(0x10000, b"without a stub" * 100)
        assert not chip.holds(0x10000, b"something else")
        chip.erase(0x10000, 0x1000)
        assert chip.read(0x10000, 4) == b"\xff" * 4


def _no_stub(*_: object, **__: object) -> None:
    raise util.FatalError("Failed to start stub flasher. There was no response.")


def test_a_cable_that_is_pulled_is_a_lost_link_wherever_it_happens(board: VirtualBoard) -> None:
    with Chip.open(board.port) as chip:
        board.unplug()
        for act in (
            lambda: chip.read(0, 4096),
            lambda: chip.write(0, b"x" * 4096),
            lambda: chip.holds(0, b"x"),
            lambda: chip.erase(0, 4096),
        ):
            with pytest.raises(LinkLost, match="goes on with what is missing"):
                act()


def test_noise_on_the_line_is_named_or_got_over(board: VirtualBoard) -> None:
    content = bytes(range(256)) * 64
    with Chip.open(board.port) as chip:
        board.add_garbage(b"\x00\xff\x55" * 20, 10)
        try:
            chip.write(0x10000, content)
        except DeviceError as error:
            assert error.reason in ("line_noise", "link_lost", "flash_faulty")  # noqa: PT017
    with Chip.open(board.port) as chip:
        chip.write(0x10000, content)
        assert chip.holds(0x10000, content)


def test_flash_that_does_not_keep_what_is_written_is_faulty(
    board: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(self: RomBootloader, body: bytes) -> tuple[int, bytes]:
        return 0, bytes(16)

    with Chip.open(board.port) as chip:
        monkeypatch.setattr(RomBootloader, "_md5", stuck)
        with pytest.raises(FlashFaulty, match="replace the board"):
            chip.write(0x10000, b"y" * 4096)


def test_flash_that_does_not_tell_its_size_is_unreachable(
    board: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(board.flash), "jedec_id", property(lambda _: 0xFFFFFF))
    assert isinstance(failing(board), FlashUnreachable)


def test_what_esptool_says_is_kept_for_us_and_printed_for_others(
    board: VirtualBoard, capsys: pytest.CaptureFixture[str]
) -> None:
    with Chip.open(board.port) as chip:
        chip.erase(0, 4096)
        assert any("erased successfully" in line for line in chip.said)
    assert capsys.readouterr().out == ""
    log.print("for others")
    with quiet() as said_here:
        log.warning("for us")
    assert capsys.readouterr().out == "for others\n"
    assert said_here == ["Warning: for us"]


def test_no_more_than_200_lines_are_kept(board: VirtualBoard) -> None:
    with Chip.open(board.port) as chip:
        for _ in range(80):
            chip.holds(0, b"x" * 16)
        assert len(chip.said) == adapter.LOG_LINES_MAX == 200


def test_our_errors_are_those_of_ports_where_they_mean_the_same() -> None:
    assert all(issubclass(sign.error, ports.DeviceError) for sign in SIGNS)
