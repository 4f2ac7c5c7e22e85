"""What the meter may cost: flash for the application, heap for a week, bytes on the air, work."""

from pathlib import Path

import pytest

from bench.firmware import PACKET_BYTES_MAX, packet_bytes, packet_of, work_of_a_frame
from host_tools.bundle import BOARDS, BUNDLE_BYTES_MAX, Bundle, compile_bundle
from tests.support.a_week import INTERVALS, run_week

HEAP = "96wk"  # 96 KiB of 32-bit words, as on the chip; a word has 64 bits here
FRAME_HEAP_BYTES_MAX = 10 * 1024  # of the garbage that one frame leaves, in 64-bit words


@pytest.fixture(scope="module")
def unix() -> Bundle:
    return compile_bundle("unix")


@pytest.mark.parametrize("board", BOARDS)
def test_the_whole_application_fits_60_kb_of_flash(board: str) -> None:
    assert BUNDLE_BYTES_MAX == 61_440
    assert compile_bundle(board).size_bytes <= BUNDLE_BYTES_MAX


def test_a_week_runs_in_a_heap_of_96_kb(tmp_path: Path, unix: Bundle) -> None:
    week = run_week(tmp_path, unix, HEAP)
    assert week.error == ""
    assert week.intervals == INTERVALS
    assert week.faults == []


def test_a_heap_of_half_of_that_is_too_small_and_says_so(tmp_path: Path, unix: Bundle) -> None:
    week = run_week(tmp_path, unix, "48wk")
    assert week.intervals < INTERVALS
    assert "MemoryError" in week.error


def test_six_recorded_hours_of_two_registers_fit_190_bytes_of_mqtt(unix: Bundle) -> None:
    assert PACKET_BYTES_MAX == 190
    assert max(packet_bytes(unix)) <= PACKET_BYTES_MAX


def test_a_packet_is_counted_with_its_header_topic_and_packet_id() -> None:
    topic_bytes = 24
    assert packet_of(10) == 2 + 2 + topic_bytes + 2 + 10
    assert packet_of(99) == 2 + 127
    assert packet_of(100) == 3 + 128


def test_a_frame_takes_two_passes_of_aes_two_short_hashes_and_little_heap(unix: Bundle) -> None:
    work = work_of_a_frame(unix)
    assert work["aes"] == 2
    assert work["sha256"] == 2
    assert work["heap_bytes"] <= FRAME_HEAP_BYTES_MAX
