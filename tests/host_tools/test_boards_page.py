"""docs/boards.md says of each board what the data say, and of the parts what they do."""

import tests.support.fake_esp32  # noqa: F401  # isort: skip  (first: the parts need a chip)

import re

import pytest

from boards.parts import ethernet, improv_serial
from firmware.storage import FLASH_BLOCKS_MIN
from host_tools.board_profiles import BoardProfile, profiles
from host_tools.micropython import ROOT
from host_tools.pin_rules import markdown
from tests.support.a_bench import run

PAGE = (ROOT / "docs/boards.md").read_text("utf-8")
ALL = list(profiles().values())
ON_EACH = pytest.mark.parametrize("board", ALL, ids=lambda board: board.name)


def section(board: BoardProfile) -> str:
    """What the page says of one board."""
    found = re.search(rf"^### {board.name}\n(.+?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/boards.md has no section ### {board.name}"
    return found.group(1)


@ON_EACH
def test_each_board_has_its_pins_on_the_page_as_the_data_have_them(board: BoardProfile) -> None:
    assert markdown(board) in section(board)


@ON_EACH
def test_each_board_has_its_product_flash_and_offset_on_the_page(board: BoardProfile) -> None:
    size = board.flash_bytes >> 20
    told = f"{board.product}, {board.vendor}, {size} MB of flash, image at {board.flash_offset:#x}."
    assert told in section(board)


@ON_EACH
def test_each_board_has_its_row_in_the_table_of_all(board: BoardProfile) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| [`{board.name}`]")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0].endswith(f"(#{board.name})")
    assert cells[1] == board.product
    for cell, function in zip(cells[2:5], ("import", "export", "supply"), strict=True):
        assert cell == f"GPIO {board.pins[function]}"
    assert cells[5] == ("Ethernet" if board.ethernet else "Wi-Fi")
    assert cells[6] == {"pcnt": "PCNT", "irq": "interrupts"}[board.counts_by]
    assert cells[7] == ("yes" if board.settlement else "no")


def test_the_page_has_no_board_that_is_not_there() -> None:
    assert set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)) == {board.name for board in ALL}


def test_the_refusal_on_the_page_is_what_the_tool_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pins", "wt32_eth01", "import=36") == 1
    (shown,) = re.findall(r"^refused: .+$", PAGE, re.MULTILINE)
    assert shown in capsys.readouterr().out


def test_the_page_s_limits_are_those_of_the_parts() -> None:
    assert f"{FLASH_BLOCKS_MIN} blocks of 4096 B" in PAGE
    assert f"stands still for {improv_serial.QUIET_MS} ms" in PAGE
    assert f"after {ethernet.ADDRESS_MS // 1000} s the interface is started anew" in PAGE
    base_s, most_s = ethernet.REST_BASE_MS // 1000, ethernet.REST_MAX_MS // 1000
    assert f"after {base_s} s, doubling up to {most_s} s" in PAGE
    for state in (ethernet.STARTING, ethernet.NO_CABLE, ethernet.NO_ADDRESS, ethernet.RESTING):
        assert state in PAGE


def test_markdown_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pins", "esp32_devkit", "--markdown") == 0
    assert capsys.readouterr().out == markdown(ALL[0]) + "\n"
