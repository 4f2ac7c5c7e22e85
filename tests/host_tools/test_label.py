"""Labels: serials and codes with check digits, a QR that says them, and never a key."""

from __future__ import annotations

import re
import stat
import struct
import zlib
from pathlib import Path

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from host_tools.pairing import label
from host_tools.pairing.errors import WrongLabel
from host_tools.pairing.identity import fresh
from host_tools.pairing.label import Label

METER_ID = bytes.fromhex("00112233aabbccdd")
A_LABEL = Label(METER_ID, label.new_code(lambda size: bytes(range(size))))
HEX = "0123456789ABCDEF"


def pixels(png: bytes) -> list[list[bool]]:
    """Dark or light, of a grey PNG with one bit a pixel and no interlace."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, dict[bytes, bytes]()
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        name = png[at + 4 : at + 8]
        chunks[name] = chunks.get(name, b"") + png[at + 8 : at + 8 + size]
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (1, 0)
    raw, stride = zlib.decompress(chunks[b"IDAT"]), (width + 7) // 8
    rows, above = [], bytes(stride)
    for y in range(height):
        row = raw[y * (stride + 1) : (y + 1) * (stride + 1)]
        assert row[0] in (0, 2), "as it is, or the difference to the row above"
        above = bytes((a + b * (row[0] == 2)) & 255 for a, b in zip(row[1:], above, strict=True))
        bits = "".join(f"{byte:08b}" for byte in above)[:width]
        rows.append([bit == "0" for bit in bits])
    return rows


def test_the_serial_is_the_meter_id_with_check_digits() -> None:
    assert A_LABEL.serial == "0011-2233-AABB-CCDD-87"
    assert label.meter_id_of_serial(" 0011 2233 aabb ccdd 87 ") == METER_ID


@given(st.binary(min_size=8, max_size=8))
def test_every_serial_reads_back(meter_id: bytes) -> None:
    assert label.meter_id_of_serial(label.serial_of(meter_id)) == meter_id


def test_every_single_misread_digit_of_a_serial_is_found() -> None:
    plain = A_LABEL.serial.replace("-", "")
    for place, digit in enumerate(plain):
        for other in HEX if place < 16 else "0123456789":
            if other == digit:
                continue
            with pytest.raises(WrongLabel):
                label.meter_id_of_serial(plain[:place] + other + plain[place + 1 :])


def test_every_exchange_of_neighbours_is_found() -> None:
    for text, read in (
        (A_LABEL.serial.replace("-", ""), label.meter_id_of_serial),
        (A_LABEL.code.replace("-", ""), label.code_of),
    ):
        for place in range(len(text) - 3):
            first, second = text[place], text[place + 1]
            if first != second:
                with pytest.raises(WrongLabel):
                    read(text[:place] + second + first + text[place + 2 :])


@given(st.binary(min_size=5, max_size=5))
def test_every_code_reads_back(random: bytes) -> None:
    code = label.new_code(lambda size: random[:size])
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9]{2}", code)
    assert label.code_of(code.lower().replace("-", " ")) == code


def test_a_code_that_is_read_aloud_wrongly_is_understood() -> None:
    code = label.new_code(lambda size: bytes([0, 0, 0, 0, 1]))
    assert label.code_of(code.replace("0", "O").replace("1", "l")) == code


@pytest.mark.parametrize(
    "text", ["", "OL1", "OL1:0011-2233-AABB-CCDD-87", "OL2:0011-2233-AABB-CCDD-87:000G-40R4-08",
             "OL1:0011-2233-AABB-CCDD-86:000G-40R4-08", "OL1:0011-2233-AABB-CCDD-87:000G-40R4-09",
             "OL1:0011-2233-AABB-CCDD-87:000G-40RU-08", "https://example.org"],
)  # fmt: skip
def test_what_is_no_label_is_refused(text: str) -> None:
    with pytest.raises(WrongLabel):
        label.read(text)


def test_a_scanned_qr_reads_back() -> None:
    assert A_LABEL.text == "OL1:0011-2233-AABB-CCDD-87:000G-40R4-08"
    assert label.read(A_LABEL.text) == A_LABEL


def test_the_png_and_the_svg_show_the_qr_of_that_text() -> None:
    wanted = [[bool(dark) for dark in row] for row in segno.make_qr(A_LABEL.text, error="q").matrix]
    shown = pixels(label.png(A_LABEL))
    centres = [row[4 * 8 + 4 : -4 * 8 : 8] for row in shown[4 * 8 + 4 : -4 * 8 : 8]]
    assert centres == wanted
    assert not any(any(row) for row in shown[: 4 * 8]), "its quiet zone is empty"
    drawn = {
        (int(x) - 4, int(y) - 4) for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", label.svg(A_LABEL))
    }
    assert drawn == {(x, y) for y, row in enumerate(wanted) for x, dark in enumerate(row) if dark}


def test_people_read_the_serial_and_the_code_and_a_title_cannot_break_out() -> None:
    drawing = label.svg(A_LABEL._replace(title="<Kowalski> & syn" + "x" * 60))
    for text in ("0011-2233", "AABB-CCDD-87", A_LABEL.code, "&lt;Kowalski&gt; &amp; synxx<"):
        assert text in drawing


def test_nothing_on_the_label_lies_beyond_its_edge() -> None:
    drawing = label.svg(A_LABEL._replace(title="W" * label.TITLE_CHARS_MAX))
    found = re.search(r'viewBox="0 0 (\d+) (\d+)"', drawing)
    assert found is not None
    width, height = map(int, found.groups())
    for x, y, size, text in re.findall(
        r'<text x="(\d+)" y="(\d+)" font-size="([\d.]+)"[^>]*>([^<]*)<', drawing
    ):
        assert int(x) + 0.6 * float(size) * len(text) <= width, "monospace is 0.6 em wide"
        assert float(size) <= int(y) <= height - 2


def test_a_label_has_no_key_and_is_written_once(tmp_path: Path) -> None:
    made = fresh()
    mark = Label(made.meter_id, label.new_code())
    paths = label.write(mark, tmp_path / "labels")
    first = [path.read_bytes() for path in paths]
    key = made.meter_key.reveal()
    for data in first:
        assert key not in data
        assert key.hex().encode() not in data.lower()
    assert [path.suffix for path in paths] == [".svg", ".png"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o644}
    assert [path.read_bytes() for path in label.write(mark, tmp_path / "labels")] == first
    assert len(list((tmp_path / "labels").iterdir())) == 2
