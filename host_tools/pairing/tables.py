"""Tables as offices and spreadsheets write them: CSV with a heading, every mistake by its line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from host_tools.pairing.errors import BadInput
from host_tools.pairing.files import read_input

ROWS_MAX = 10_000
CELL_CHARS_MAX = 200


def read_table(
    path: Path, columns: Sequence[str], needed: Sequence[str], rows_max: int = ROWS_MAX
) -> list[dict[str, str]]:
    """A CSV of ours: comma or semicolon, UTF-8, a heading. Raises BadInput, naming the line."""
    try:
        text = read_input(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8; save it as CSV UTF-8") from None
    heading = text.partition("\n")[0]
    table = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in heading else ",")
    rows = [[cell.strip() for cell in row] for row in table]
    names = rows[0] if rows else []
    wrong = [name for name in names if name not in columns]
    missing = [name for name in needed if name not in names]
    if wrong or missing or len(set(names)) < len(names):
        said = "one is there twice"
        if wrong or missing:
            said = f"unknown {wrong[0]}" if wrong else f"missing {missing[0]}"
        raise BadInput(f"{path}: the columns are {', '.join(columns)}; {said}")
    found = []
    for number, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        if len(row) != len(names) or any(len(cell) > CELL_CHARS_MAX for cell in row):
            raise BadInput(
                f"{path}, line {number}: {len(names)} cells of at most {CELL_CHARS_MAX} characters"
            )
        found.append(dict(zip(names, row, strict=True)))
    if not 1 <= len(found) <= rows_max:
        raise BadInput(f"{path} has {len(found)} lines; 1 to {rows_max} are done at once")
    return found


def checked_ppe(text: str) -> str:
    """A metering point's number: 18 digits from 590 with GS1's check digit. Raises BadInput."""
    if not re.fullmatch(r"590[0-9]{15}", text):
        raise BadInput("ppe: 18 digits that begin with 590")
    weighted = sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(text[:-1]))
    if -weighted % 10 != int(text[-1]):
        raise BadInput("ppe: its check digit does not fit, a digit is wrong")
    return text
