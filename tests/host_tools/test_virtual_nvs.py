"""The virtual board's NVS, by the vendor's own generator of such partitions."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from host_tools.device import Device
from tests.support.virtual.an_image import NVS, a_flashed_board
from tests.support.virtual.device import nvs_pages
from tests.support.virtual.virtual_board import VirtualBoard


def generated(folder: Path, rows: str) -> bytes:
    """A partition as esp-idf-nvs-partition-gen makes it."""
    (folder / "nvs.csv").write_text("key,type,encoding,value\n" + rows)
    tool = [sys.executable, "-m", "esp_idf_nvs_partition_gen", "generate"]
    arguments = [str(folder / "nvs.csv"), str(folder / "nvs.bin"), hex(NVS[1])]
    subprocess.run([*tool, *arguments], check=True, capture_output=True)
    return (folder / "nvs.bin").read_bytes()


def test_nvs_is_read_and_written_as_the_vendor_s_generator_writes_it(tmp_path: Path) -> None:
    blob = bytes(range(200))
    whole = generated(
        tmp_path,
        f"meter,namespace,,\nkey,data,hex2bin,{blob.hex()}\nepoch,data,i32,-7\n"
        "other,namespace,,\nname,data,string,licznik\nsmall,data,u8,5\n",
    )
    entries = nvs_pages.read_entries(whole)
    assert entries["meter", "key"] == (nvs_pages.BLOB, blob)
    assert entries["meter", "epoch"][1][:4] == struct.pack("<i", -7)
    assert entries["other", "name"] == (nvs_pages.TEXT, b"licznik\0")
    assert entries["other", "small"][1][:1] == b"\x05"
    again = nvs_pages.write_entries(entries, NVS[1])
    assert nvs_pages.read_entries(again) == entries
    assert again == whole


def test_a_damaged_nvs_entry_is_as_good_as_none(tmp_path: Path) -> None:
    whole = bytearray(generated(tmp_path, "meter,namespace,,\na,data,i32,1\nb,data,i32,2\n"))
    at = whole.index(b"a\0")
    whole[at + 16] ^= 1
    assert set(nvs_pages.read_entries(bytes(whole))) == {("meter", "b")}


@pytest.mark.parametrize(("blobs", "fits"), [(5, True), (6, False)])
def test_nvs_keeps_one_page_empty(blobs: int, fits: bool) -> None:
    entries = {("meter", f"blob{n}"): (nvs_pages.BLOB, bytes(3000)) for n in range(blobs)}
    if fits:
        assert nvs_pages.read_entries(nvs_pages.write_entries(entries, NVS[1])) == entries
    else:
        with pytest.raises(nvs_pages.NvsFull):
            nvs_pages.write_entries(entries, NVS[1])


def test_programs_keep_values_in_nvs(tmp_path: Path) -> None:
    made = generated(tmp_path, "meter,namespace,,\nepoch,data,i32,3\n")
    with a_flashed_board(tmp_path / "board", {"main.py": b""}) as board:
        board.flash.write(NVS[0], made)
        _keep_values(board)


def _keep_values(board: VirtualBoard) -> None:
    with Device.open(board.port) as opened:
        opened.run("import esp32\nn = esp32.NVS('meter')\nb = bytearray(9)")
        assert opened.evaluate("n.get_i32('epoch')") == 3
        opened.run("n.set_i32('epoch', -4)\nn.set_blob('key', b'12345')")
        other = "esp32.NVS('meter').get_i32('epoch')"
        assert opened.evaluate(other) == 3, "not committed yet"
        opened.run("n.commit()")
    board.reset()
    with Device.open(board.port) as opened:
        opened.run("import esp32\nn = esp32.NVS('meter')\nb = bytearray(9)")
        assert opened.evaluate("n.get_i32('epoch'), n.get_blob('key', b), bytes(b[:5])") == (
            -4, 5, b"12345",
        )  # fmt: skip
        opened.run("n.erase_key('key')\nn.commit()")
        for missing in ("get_i32('key')", "get_blob('key', b)", "get_blob('epoch', b)"):
            opened.run(f"try:\n n.{missing}\nexcept OSError as e:\n code = e.args[0]")
            assert opened.evaluate("code") == -4354  # ESP_ERR_NVS_NOT_FOUND
    kept = nvs_pages.read_entries(board.flash.read(*NVS))
    assert list(kept) == [("meter", "epoch")]
