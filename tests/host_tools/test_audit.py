"""The technician's audit log: what was changed is found; what was cut off, with a kept head."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from gateway import audit as of_gateway
from host_tools.pairing import audit
from host_tools.pairing.errors import BadInput, DamagedAudit

METER = "00112233aabbccdd"


def filled(folder: Path, acts: int = 4) -> Path:
    for number in range(acts):
        audit.append(folder, "anna", "meter.pair", METER, {"number": number}, 1000 + number)
    return folder / audit.FILE_NAME


def test_acts_are_chained_as_the_gateway_chains_its_own(tmp_path: Path) -> None:
    filled(tmp_path)
    last = bytes(32)
    for act, digest in audit.read(tmp_path):
        assert digest == of_gateway.chain(last, of_gateway.Act(*act))
        last = digest
    assert audit.head(tmp_path) == audit.Head(4, last)
    assert audit.verify(tmp_path) is None


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    assert audit.head(tmp_path) == audit.EMPTY
    assert audit.verify(tmp_path) is None
    assert audit.verify(tmp_path, audit.EMPTY) is None


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("field", ["at_s", "actor", "action", "subject", "detail", "hash", "id"])
def test_an_altered_line_is_found(tmp_path: Path, number: int, field: str) -> None:
    path = filled(tmp_path)
    lines = path.read_text().splitlines()
    fields = json.loads(lines[number - 1])
    fields[field] = 9 if isinstance(fields[field], int) else fields[field][1:] + fields[field][:1]
    lines[number - 1] = json.dumps(fields)
    path.write_text("\n".join(lines) + "\n")
    assert audit.verify(tmp_path) == number


def test_a_removed_an_inserted_and_an_exchanged_line_are_found(tmp_path: Path) -> None:
    path = filled(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    for spoiled, first in (
        (lines[:1] + lines[2:], 2),
        (lines[:2] + lines[1:], 3),
        ([lines[0], lines[2], lines[1], lines[3]], 2),
        ([*lines, "nonsense\n"], 5),
    ):
        path.write_text("".join(spoiled))
        assert audit.verify(tmp_path) == first


def test_lines_that_were_cut_off_are_found_with_a_head_kept_elsewhere(tmp_path: Path) -> None:
    path = filled(tmp_path)
    kept = audit.parse_head(str(audit.head(tmp_path)))
    assert audit.verify(tmp_path, kept) is None
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2]))
    assert audit.verify(tmp_path) is None
    assert audit.verify(tmp_path, kept) == 3


def test_a_log_written_anew_is_found_with_its_head(tmp_path: Path) -> None:
    path = filled(tmp_path)
    kept = audit.head(tmp_path)
    path.unlink()
    for number in range(5):
        audit.append(tmp_path, "mallory", "meter.pair", METER, {"number": number}, 1)
    assert audit.verify(tmp_path) is None
    assert audit.verify(tmp_path, kept) == 4


def test_a_line_that_a_power_cut_left_half_written_is_taken_off(tmp_path: Path) -> None:
    path = filled(tmp_path, 2)
    whole = path.read_bytes()
    line = len(whole.splitlines(keepends=True)[1])
    for cut in range(1, line):
        path.write_bytes(whole[:-cut])
        assert audit.verify(tmp_path) is None
        assert audit.append(tmp_path, "anna", "meter.move", METER, {}, 2).act_id == 2
        assert audit.verify(tmp_path) is None
        path.write_bytes(whole)


def test_what_is_no_audit_log_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / audit.FILE_NAME
    for content in (b"nonsense\n", b"x" * 3 * audit.LINE_BYTES_MAX, b'{"id": "1"}\n'):
        path.write_bytes(content)
        with pytest.raises(DamagedAudit):
            audit.append(tmp_path, "anna", "meter.pair", METER, {}, 1)
        assert path.read_bytes() == content


def test_a_line_has_a_limit(tmp_path: Path) -> None:
    audit.append(tmp_path, "anna", "meter.pair", METER, {"text": ""}, 1)
    left = audit.LINE_BYTES_MAX - len((tmp_path / audit.FILE_NAME).read_bytes())
    with pytest.raises(BadInput, match="at most 4096"):
        audit.append(tmp_path, "anna", "meter.pair", METER, {"text": "x" * (left + 1)}, 1)
    assert audit.append(tmp_path, "anna", "meter.pair", METER, {"text": "x" * left}, 1).act_id == 2
    assert audit.verify(tmp_path) is None


def test_many_boards_at_once_make_one_chain(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=filled, args=(tmp_path, 5), name=f"board {number}")
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert audit.head(tmp_path).act_id == 40
    assert audit.verify(tmp_path) is None


@pytest.mark.parametrize("text", ["", "1", "1:", "x:" + "00" * 32, "1:00", "-1:" + "00" * 32])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="a kept head"):
        audit.parse_head(text)
