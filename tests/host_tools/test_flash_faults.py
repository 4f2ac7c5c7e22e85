"""A broken cable or a power cut while flashing: named, harmless, and the next run goes on."""

from pathlib import Path

import pytest

from host_tools.image import filesystem
from host_tools.line.ports import DeviceError
from tests.support.flashing import (
    VFS_AT,
    bare,
    content,
    files_of,
    is_readable,
    live_here,
    missing,
    once,
    registers,
)
from tests.support.flashing import a_meters_image as an_image
from tests.support.virtual.virtual_board import VirtualBoard


def test_a_broken_cable_is_named_and_the_next_run_goes_on(board: VirtualBoard) -> None:
    live_here(board)
    before = registers(board)
    image = an_image(seed=99, version="9.9.9", firmware_seed=2)
    for after_bytes in (2_000, 9_000, 24_000):
        board.unplug(after_bytes)
        with pytest.raises(DeviceError) as told:
            once(board, image)
        assert told.value.reason in ("link_lost", "chip_silent")
        assert "run it again" in str(told.value)
        board.plug_in()
    done = once(board, image)
    assert done.kept == ["nvs", "meter"]
    assert registers(board) == before
    assert missing(board, image) == ["nvs"], "the identity that was there stays"


@pytest.fixture(scope="module")
def programmed_bytes(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many bytes a re-flash with other firmware and another application programs."""
    with VirtualBoard(tmp_path_factory.mktemp("count")) as board:
        live_here(board)
        board.cut_power_after(1 << 30)
        once(board, an_image(version="9.9.9", firmware_seed=2))
        return (1 << 30) - board.flash._programs_left()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.9, 0.96, 0.99])
def test_a_power_cut_anywhere_costs_no_register_and_leaves_no_corrupted_files(
    board: VirtualBoard, programmed_bytes: int, share: float
) -> None:
    live_here(board)
    before, image = registers(board), an_image(version="9.9.9", firmware_seed=2)
    board.cut_power_after(int(share * programmed_bytes))
    with pytest.raises(DeviceError):
        once(board, image)
    assert "power_cut" in board.happened
    assert registers(board) == before
    files = content(board)[VFS_AT:]
    blank = set(files[:0x1000]) == {0xFF}
    assert blank or is_readable(files), "what starts now makes a new file system, or has one"
    board.power_on()
    done = once(board, image)
    assert done.kept == ["nvs", "meter"]
    assert registers(board) == before
    assert set(missing(board, image)) <= {"vfs"}, "one superblock is enough for the same files"
    part = image.part("vfs")
    assert part is not None
    assert filesystem.read(content(board)[VFS_AT:]) == filesystem.read(part.content)


def test_settings_outlive_a_power_cut_in_the_middle_of_the_files(
    board: VirtualBoard, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    live_here(board)
    board.cut_power_after(10_000)
    with pytest.raises(DeviceError):
        once(board, bare("9.9.9"), state=state)
    (saved,) = state.iterdir()
    assert saved.stat().st_mode & 0o777 == 0o600
    assert "config.json" not in files_of(board)
    board.power_on()
    once(board, bare("9.9.9"), state=state)
    assert b"correct horse" in files_of(board)["config.json"]
    assert list(state.iterdir()) == []
