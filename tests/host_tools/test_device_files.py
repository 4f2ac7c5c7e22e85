"""Files on a board: written in one step, read back to the byte, and noise is noticed."""

import hashlib
import os
from pathlib import Path

import pytest

from host_tools import device
from host_tools.device import (
    Device,
    DeviceError,
    DeviceFailed,
    Entry,
)
from tests.support.virtual.an_image import a_flashed_board
from tests.support.virtual.virtual_board import VirtualBoard

# ------------------------------------------------------------ files


@pytest.mark.parametrize("size", [0, 1, device.PIECE_BYTES, device.PIECE_BYTES + 1, 20_000])
def test_a_file_is_written_and_read_back_to_the_byte(idle_device: Device, size: int) -> None:
    data = os.urandom(size)
    seen: list[tuple[int, int]] = []
    idle_device.write_file("/a/b/c.bin", data, lambda at, whole: seen.append((at, whole)))
    assert idle_device.read_file("/a/b/c.bin") == data
    assert idle_device.hash_file("/a/b/c.bin") == hashlib.sha256(data).digest()
    assert idle_device.list_dir("/a/b") == [Entry("c.bin", False, size)]
    assert idle_device.list_dir("/a") == [Entry("b", True, 0)]
    assert seen[-1:] == ([(size, size)] if size else [])
    idle_device.write_file("/a/b/c.bin", b"shorter")
    assert idle_device.read_file("/a/b/c.bin") == b"shorter"


def test_files_that_are_not_there(idle_device: Device) -> None:
    assert idle_device.hash_file("/none") is None
    idle_device.remove("/none")
    with pytest.raises(DeviceFailed, match="ENOENT") as seen:
        idle_device.read_file("/none")
    assert seen.value.kind == "OSError"
    with pytest.raises(DeviceFailed):
        idle_device.list_dir("/none")
    idle_device.write_file("/some", b"x")
    idle_device.remove("/some")
    assert idle_device.hash_file("/some") is None


def test_a_folder_is_not_removed_as_a_file(idle_device: Device) -> None:
    idle_device.write_file("/folder/file", b"x")
    with pytest.raises(DeviceFailed):
        idle_device.remove("/folder")
    assert idle_device.read_file("/folder/file") == b"x"


def test_a_power_cut_in_the_middle_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "PIECE_WAIT_S", 0.5)
    old, new = os.urandom(5000), os.urandom(30_000)
    with a_flashed_board(tmp_path, {"config.json": old}) as board:
        for cut in (1, 9000, 25_000):
            with Device.open(board.port) as opened:
                board.cut_power_after(cut)
                with pytest.raises(DeviceError):
                    opened.write_file("/config.json", new)
            assert board.happened[-1] == "power_cut"
            board.power_on()
            board.wait_for(">>> ")
        with Device.open(board.port) as opened:
            assert opened.read_file("/config.json") == old
            opened.write_file("/config.json", new)
            assert opened.read_file("/config.json") == new


def test_noise_in_what_is_read_is_noticed(idle_board: VirtualBoard, idle_device: Device) -> None:
    idle_device.write_file("/file", os.urandom(9000))
    for after_bytes in (30, 600, 5000):
        idle_board.add_garbage(b"\xfe\x00A", after_bytes)
        with pytest.raises(DeviceError, match="run it again"):
            idle_device.read_file("/file")
    assert len(idle_device.read_file("/file")) == 9000


def test_noise_in_a_digest_or_a_listing_is_noticed(
    idle_board: VirtualBoard, idle_device: Device
) -> None:
    idle_device.write_file("/file", b"x" * 100)
    for ask in (lambda: idle_device.hash_file("/file"), idle_device.list_dir):
        idle_board.add_garbage(b"\xfe((A", 36)
        with pytest.raises(DeviceError, match="run it again"):
            ask()
    assert idle_device.hash_file("/file") == hashlib.sha256(b"x" * 100).digest()
