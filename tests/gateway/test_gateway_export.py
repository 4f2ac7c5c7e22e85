"""`export`: whole lines out of the journal, bounded in memory, whatever the reader does."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway import __main__
from gateway.forwarding import export
from tests.support.forwarding import append
from tests.support.gateway import NOW_S, START_S, a_home, a_meter, a_profile
from wire import messages, quality
from wire.messages import Event

ROOT = Path(__file__).resolve().parents[2]
ONE, OTHER = a_meter(1), a_meter(2)


def a_row(meter: Any, counter: int, message: Any, received_s: int = NOW_S) -> Any:
    return (meter.meter_id, 0, counter, received_s, messages.encode(message))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A day's start of two meters, an event of one."""
    config = a_home(tmp_path)
    append(tmp_path, [
        a_row(ONE, 0, a_profile(1, 2, quality=(0, quality.MISSING))),
        a_row(OTHER, 0, a_profile(3, 2), NOW_S + 60),
        a_row(ONE, 1, Event(START_S + 1800, messages.EVENT_SAG, (1, 180_000, 2), 1), NOW_S + 120),
        a_row(OTHER, 1, Event(0, messages.EVENT_BOOT, (1, 7), 2), NOW_S + 180),
    ])  # fmt: skip
    return config


def printed(capsys: pytest.CaptureFixture[str], config: Path, *words: str) -> str:
    capsys.readouterr()
    assert __main__.main(["export", *words, "--config", str(config)]) == 0
    return capsys.readouterr().out


def test_readings_as_csv_have_a_line_for_each_register(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = list(csv.DictReader(io.StringIO(printed(capsys, home, "readings"))))
    assert len(lines) == 8
    assert lines[0] == {
        "meter_id": ONE.hex_id, "interval": "1", "start": "2021-10-15T00:00:00Z",
        "end": "2021-10-15T00:15:00Z", "start_s": str(START_S), "end_s": str(START_S + 900),
        "capture_period_s": "900", "obis": "1.8.0", "unit": "wh", "energy": "250",
        "register": "1250", "quality": "measured", "flags": "", "key_epoch": "0",
        "frame_counter": "0", "received": "2025-10-09T08:53:20Z", "received_s": str(NOW_S),
    }  # fmt: skip
    missing = [line for line in lines if line["quality"] == "missing"]
    assert [(line["energy"], line["register"]) for line in missing] == [("", "")] * 2
    assert [line["energy"] for line in lines if line["obis"] == "2.8.0"].count("0") == 3


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize("what", ["readings", "events", "frames"])
def test_json_and_json_lines_say_the_same(
    home: Path, capsys: pytest.CaptureFixture[str], what: str, form: str
) -> None:
    text = printed(capsys, home, what, "--format", form)
    rows = json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
    assert len(rows) == {"readings": 4, "events": 2, "frames": 4}[what]
    assert {row["meter_id"] for row in rows} == {ONE.hex_id, OTHER.hex_id}
    if what == "frames":
        assert [row["kind"] for row in rows] == ["profile", "profile", "event", "event"]
        assert messages.decode(bytes.fromhex(rows[3]["message"]), 1).values == (1, 7)


def test_events_as_csv_keep_their_values(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(csv.DictReader(io.StringIO(printed(capsys, home, "events"))))
    assert [line["event"] for line in lines] == ["sag", "boot"]
    assert json.loads(lines[0]["values"]) == {"phase": 1, "extreme_mv": 180_000, "duration_s": 2}
    assert lines[1]["at"] == ""


@pytest.mark.parametrize(
    ("words", "intervals"),
    [
        ((), [1, 2, 3, 4]),
        (("--meter", OTHER.hex_id), [3, 4]),
        (("--from", "2021-10-15T00:15:00Z"), [2, 3, 4]),
        (("--from", "2021-10-15T00:15:01Z"), [3, 4]),
        (("--to", "2021-10-15T00:30:00Z"), [1, 2]),
        (("--to", "2021-10-15T02:45:00+02:00"), [1, 2, 3]),
        (("--from", "2021-10-15", "--to", "2021-10-16"), [1, 2, 3, 4]),
        (("--from", str(START_S + 900), "--to", str(START_S + 901)), [2]),
        (("--from", "2021-10-16"), []),
    ],
)
def test_a_span_is_half_open_and_in_utc(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], intervals: list[int]
) -> None:
    rows = json.loads(printed(capsys, home, "readings", "--format", "json", *words))
    assert [row["interval"] for row in rows] == intervals


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--from", "yesterday"), "is no time; write 2026-11-01"),
        (("--from", "2026-11-01", "--to", "2026-11-01"), "--from must be before --to"),
        (("--meter", "12"), "a meter id is 16 hex digits"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert __main__.main(["export", "readings", *words, "--config", str(home)]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    "frames", [export.CHUNK_ROWS - 1, export.CHUNK_ROWS, export.CHUNK_ROWS + 1]
)
def test_every_frame_is_printed_around_the_limit_of_a_piece(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], frames: int
) -> None:
    config = a_home(tmp_path)
    append(tmp_path, [a_row(ONE, number, a_profile(number + 1)) for number in range(frames)])
    rows = json.loads(printed(capsys, config, "readings", "--format", "json"))
    assert [row["interval"] for row in rows] == list(range(1, frames + 1))


def a_long_journal(folder: Path, frames: int) -> Path:
    config = a_home(folder)
    message = messages.encode(a_profile(1, 96))
    for at in range(0, frames, 5000):
        append(folder, [(ONE.meter_id, 0, at + each, NOW_S, message) for each in range(5000)])
    return config


def start(config: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "export", *words, "--config", str(config)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_ctrl_c_leaves_whole_lines(tmp_path: Path, form: str) -> None:
    process = start(a_long_journal(tmp_path, 20_000), "readings", "--format", form)
    assert process.stdout is not None
    assert process.stderr is not None
    head = process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    text = head + process.stdout.read()
    assert process.wait(20) == 130
    assert "stopped; what was printed is whole lines" in process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    assert text.endswith("\n")
    if form == "json":
        assert json.loads(text)
    elif form == "jsonl":
        assert all(json.loads(line)["meter_id"] for line in text.splitlines())
    else:
        widths = {len(line) for line in csv.reader(io.StringIO(text))}
        assert widths == {len(export.READING_COLUMNS)}


def test_a_reader_that_has_enough_ends_it_without_a_traceback(tmp_path: Path) -> None:
    process = start(a_long_journal(tmp_path, 5000), "readings", "--format", "jsonl")
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.wait(20) == 1
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_a_long_export_says_how_far_it_is_and_needs_little_memory(tmp_path: Path) -> None:
    config = a_long_journal(tmp_path, 30_000)  # about 700 MB of text
    process = start(config, "readings", "--format", "jsonl")
    assert process.stdout is not None
    assert process.stderr is not None
    most, lines, started = 0, 0, time.monotonic()
    looked = psutil.Process(process.pid)
    while time.monotonic() - started < 4 and (block := process.stdout.read(1 << 20)):
        lines += block.count("\n")
        most = max(most, looked.memory_info().rss)
    process.send_signal(signal.SIGINT)
    while process.stdout.read(1 << 20):
        pass
    process.wait(20)
    assert lines > 10 * export.PIECE_ROWS
    assert most < 128 * 1024 * 1024
    assert "of 30000 frames read" in process.stderr.read()
    process.stdout.close()
    process.stderr.close()
