"""The label of a meter: serial and pairing code with check digits, as text, QR, SVG and PNG."""

from __future__ import annotations

import io
import re
import secrets
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import segno

from host_tools.pairing.errors import WrongLabel
from host_tools.pairing.files import write_durably
from host_tools.pairing.identity import Random
from wire.topics import METER_ID_BYTES

CODE_BYTES = 5  # 40 bits, 8 characters
LABEL_MARK = "OL1"  # what a QR of ours begins with, and its version
TITLE_CHARS_MAX = 18  # as many as fit beside the QR

# Crockford's base 32: no I, L, O or U, so nothing is misread and nothing is rude.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans({"I": "1", "L": "1", "O": "0"})
_QR_ERROR = "q"  # a quarter of it may be scratched
_PNG_SCALE = 8
_MODULE_MM = 0.7


class Label(NamedTuple):
    """What stands on it. A pairing code is random and says nothing of the key."""

    meter_id: bytes
    code: str  # 8 characters and 2 check digits
    title: str = "OpenLicznik"

    @property
    def serial(self) -> str:
        """The meter id with its check digits, as it is printed."""
        return serial_of(self.meter_id)

    @property
    def text(self) -> str:
        """What the QR says; in the characters that QR packs densely."""
        return f"{LABEL_MARK}:{self.serial}:{self.code}"


def new_code(random: Random = secrets.token_bytes) -> str:
    """A pairing code: 40 random bits and two check digits, such as K7QX-2M9D-41."""
    number = int.from_bytes(random(CODE_BYTES), "big")
    text = "".join(_ALPHABET[number >> shift & 31] for shift in range(35, -1, -5))
    return f"{text[:4]}-{text[4:]}-{check_digits(text)}"


def serial_of(meter_id: bytes) -> str:
    """16 hex digits in fours and two check digits, such as 0011-2233-AABB-CCDD-62."""
    text = meter_id.hex().upper()
    return "-".join([*re.findall("....", text), check_digits(text)])


def meter_id_of_serial(text: str) -> bytes:
    """The meter id of a serial that was typed or scanned. Raises WrongLabel."""
    plain = re.sub(r"[\s-]", "", text).upper()
    if not re.fullmatch(rf"[0-9A-F]{{{2 * METER_ID_BYTES}}}[0-9]{{2}}", plain):
        raise WrongLabel("a serial is 16 hex digits and 2 check digits; read the label again")
    if check_digits(plain[:-2]) != plain[-2:]:
        raise WrongLabel("the check digits of the serial do not fit: a digit was misread")
    return bytes.fromhex(plain[:-2])


def code_of(text: str) -> str:
    """A pairing code that was typed or scanned, as it is printed. Raises WrongLabel."""
    plain = re.sub(r"[\s-]", "", text).upper().translate(_READ_AS)
    if len(plain) != 10 or any(char not in _ALPHABET for char in plain):
        raise WrongLabel("a pairing code has 8 characters and 2 check digits; read the label again")
    if check_digits(plain[:8]) != plain[8:]:
        raise WrongLabel("the check digits of the code do not fit: a character was misread")
    return f"{plain[:4]}-{plain[4:8]}-{plain[8:]}"


def read(text: str) -> Label:
    """What a scanner read from a QR of ours. Raises WrongLabel."""
    mark, _, rest = text.strip().partition(":")
    serial, separator, code = rest.partition(":")
    if mark != LABEL_MARK or not separator:
        raise WrongLabel(f"not a label of ours: its QR begins with {LABEL_MARK}:")
    return Label(meter_id_of_serial(serial), code_of(code))


def check_digits(text: str) -> str:
    """Of digits and letters: finds every single error and every exchange of neighbours.

    A polynomial in 36 modulo the prime 97: a difference of 1 to 35, times a power of 36 or times
    35, is never a multiple of 97.
    """
    remainder = 0
    for char in text:
        remainder = (remainder * 36 + int(char, 36)) % 97
    return f"{remainder:02}"


def svg(label: Label) -> str:
    """A label of about 60 x 30 mm: the QR, and beside it what people read."""
    matrix = tuple(qr(label).matrix)
    side = len(matrix) + 8  # the quiet zone has 4 modules all round
    path = "".join(
        f"M{x + 4} {y + 4}h1v1h-1z"
        for y, row in enumerate(matrix)
        for x, dark in enumerate(row)
        if dark
    )
    serial = label.serial
    lines = [label.title[:TITLE_CHARS_MAX], serial[:9], serial[10:], "kod / code:", label.code]
    texts = "".join(
        f'<text x="{side + 2}" y="{7 + 6 * number}" font-size="4.4" font-family="monospace">'
        f"{escape(line)}</text>"
        for number, line in enumerate(lines)
    )
    width = side + 50
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {side}"'
        f' width="{width * _MODULE_MM:.1f}mm" height="{side * _MODULE_MM:.1f}mm">'
        f'<rect width="{width}" height="{side}" fill="#fff"/><path d="{path}"/>{texts}</svg>\n'
    )


def png(label: Label) -> bytes:
    """The QR alone, for label printers."""
    buffer = io.BytesIO()
    qr(label).save(buffer, kind="png", scale=_PNG_SCALE, border=4)
    return buffer.getvalue()


def qr(label: Label) -> segno.QRCode:
    """The QR of a label."""
    return segno.make_qr(label.text, error=_QR_ERROR)


def write(label: Label, folder: Path) -> tuple[Path, Path]:
    """SVG and PNG in this folder, named by the meter id; the same again changes nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"label-{label.meter_id.hex()}"
    paths = (stem.with_suffix(".svg"), stem.with_suffix(".png"))
    write_durably(paths[0], svg(label).encode(), mode=0o644)
    write_durably(paths[1], png(label), mode=0o644)
    return paths
