"""The journal's segments: there and back, cut, damaged, found, let go of, read from anywhere."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import journal, segments, store
from gateway.errors import DamagedStore
from gateway.segments import SEGMENT_FRAMES_MAX, Accepted
from tests.support.gateway import NOW_S, a_profile
from wire import messages

MESSAGE = messages.encode(a_profile())
METER = bytes(range(8))

FRAMES = st.lists(
    st.tuples(
        st.binary(min_size=8, max_size=8),
        st.integers(0, 255),
        st.integers(0, (1 << 64) - 1),
        st.integers(-(1 << 40), 1 << 40),  # a clock may stand before 1970, or far ahead
        st.binary(max_size=1024),
    ),
    max_size=5,
)


def a_frame(counter: int, received_s: int = NOW_S, meter_id: bytes = METER) -> Accepted:
    return (meter_id, 0, counter, received_s, MESSAGE)


def a_store(folder: Path, *groups: list[Accepted]) -> sqlite3.Connection:
    """A database with one commit for each group."""
    connection = store.connect(folder / "gateway.db")
    for rows in groups:
        add(connection, rows)
    return connection


def add(connection: sqlite3.Connection, rows: list[Accepted]) -> None:
    store.transact(connection, lambda c: journal.commit(c, journal.Group(NOW_S, rows=rows)))


def checkpoint(connection: sqlite3.Connection) -> None:
    group = journal.Group(NOW_S, snapshot=journal.take_snapshot(set()))
    store.transact(connection, lambda c: journal.commit(c, group))


def counters(rows: list[journal.Row]) -> list[int]:
    return [row.frame_counter for row in rows]


@given(FRAMES)
def test_a_segment_gives_back_the_frames_it_was_made_of(frames: list[Accepted]) -> None:
    data = segments.pack(frames)
    crc = segments.checksum(7, len(frames), data)
    rows = segments.unpack(7, len(frames), crc, data)
    assert [tuple(row[1:]) for row in rows] == frames
    assert [row.journal_id for row in rows] == list(range(7, 7 + len(frames)))


def test_every_truncation_and_every_flipped_bit_of_a_segment_is_named_damage() -> None:
    data = segments.pack([a_frame(1), a_frame(2)])
    crc = segments.checksum(1, 2, data)
    for size in range(len(data)):
        with pytest.raises(DamagedStore, match="journal segment 1 is damaged"):
            segments.unpack(1, 2, crc, data[:size])
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedStore, match="restore a backup"):
            segments.unpack(1, 2, crc, bytes(flipped))


@pytest.mark.parametrize("size", [-1, 1])
def test_a_segment_whose_checksum_is_right_must_also_be_whole(size: int) -> None:
    data = segments.pack([a_frame(1), a_frame(2)])
    data = data[:size] if size < 0 else data + bytes(size)
    with pytest.raises(DamagedStore):
        segments.unpack(1, 2, segments.checksum(1, 2, data), data)


@pytest.mark.parametrize(("first_id", "frames"), [(2, 2), (1, 1), (1, 3)])
def test_a_segment_at_another_place_does_not_match(first_id: int, frames: int) -> None:
    data = segments.pack([a_frame(1), a_frame(2)])
    with pytest.raises(DamagedStore):
        segments.unpack(first_id, frames, segments.checksum(1, 2, data), data)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (SEGMENT_FRAMES_MAX - 1, [(1, SEGMENT_FRAMES_MAX - 1)]),
        (SEGMENT_FRAMES_MAX, [(1, SEGMENT_FRAMES_MAX)]),
        (SEGMENT_FRAMES_MAX + 1, [(1, SEGMENT_FRAMES_MAX), (SEGMENT_FRAMES_MAX + 1, 1)]),
    ],
)
def test_a_large_group_is_cut_into_segments(
    tmp_path: Path, frames: int, expected: list[tuple[int, int]]
) -> None:
    connection = a_store(tmp_path, [a_frame(number) for number in range(frames)])
    assert connection.execute("SELECT first_id, frames FROM segment").fetchall() == expected
    assert counters(journal.read_rows(connection, 0, 1 << 30)) == list(range(frames))
    assert journal.last_id(connection) == frames
    connection.close()


def test_the_journal_is_read_from_anywhere_in_any_portion(tmp_path: Path) -> None:
    groups = [[a_frame(0)], [a_frame(1), a_frame(2), a_frame(3)], [a_frame(4), a_frame(5)]]
    connection = a_store(tmp_path, *groups)
    for after_id in range(8):
        for rows_max in range(1, 8):
            rows = journal.read_rows(connection, after_id, rows_max)
            assert [row.journal_id for row in rows] == list(range(after_id + 1, 7))[:rows_max]
            assert all(row.frame_counter == row.journal_id - 1 for row in rows)
    connection.close()


def test_an_empty_journal_has_nothing_to_read_and_nothing_to_find(tmp_path: Path) -> None:
    connection = a_store(tmp_path)
    assert journal.last_id(connection) == 0
    assert journal.read_rows(connection, 0, 10) == []
    assert journal.find(connection, METER, 0) is None
    connection.close()


def test_a_frame_is_found_by_meter_and_counter_the_newest_epoch_first(tmp_path: Path) -> None:
    other = bytes(8)
    rows: list[Accepted] = [
        (METER, 1, 5, 10, MESSAGE), (METER, 0, 5, 11, MESSAGE), (other, 2, 5, 12, MESSAGE),
    ]  # fmt: skip
    connection = a_store(tmp_path, rows, [(METER, 0, 6, 13, MESSAGE)])
    newest = journal.find(connection, METER, 5)
    assert newest is not None
    assert (newest.journal_id, newest.key_epoch, newest.received_s) == (1, 1, 10)
    named = journal.find(connection, METER, 5, 0)
    assert named is not None
    assert (named.journal_id, named.key_epoch) == (2, 0)
    assert journal.find(connection, METER, 6, 1) is None
    assert journal.find(connection, METER, 7) is None
    connection.close()


@pytest.mark.parametrize(
    ("before_s", "up_to_id", "rows_max", "left"),
    [
        (NOW_S, 10, 10, [0, 1, 2, 3]),  # nothing is older than it is
        (NOW_S + 1, 10, 10, [1, 2, 3]),
        (NOW_S + 2, 10, 10, [2, 3]),
        (NOW_S + 9, 10, 10, [3]),  # the newest stays: the numbers go on from it
        (NOW_S + 9, 1, 10, [1, 2, 3]),  # what was not delivered stays
        (NOW_S + 9, 0, 10, [0, 1, 2, 3]),
        (NOW_S + 9, 10, 1, [1, 2, 3]),  # a bounded step
    ],
)
def test_only_old_delivered_segments_are_let_go(
    tmp_path: Path, before_s: int, up_to_id: int, rows_max: int, left: list[int]
) -> None:
    connection = a_store(tmp_path, *([a_frame(n, NOW_S + n)] for n in range(4)))
    checkpoint(connection)
    gone = store.transact(connection, lambda c: journal.prune(c, before_s, up_to_id, rows_max))
    assert gone == 4 - len(left)
    assert counters(journal.read_rows(connection, 0, 10)) == left
    add(connection, [a_frame(4)])
    assert journal.last_id(connection) == 5
    connection.close()


def test_what_the_next_start_reads_is_not_let_go(tmp_path: Path) -> None:
    connection = a_store(tmp_path, [a_frame(0)])
    checkpoint(connection)
    for number in (1, 2):
        add(connection, [a_frame(number)])
    assert store.transact(connection, lambda c: journal.prune(c, NOW_S + 9, 10, 10)) == 1
    assert counters(journal.read_rows(connection, 0, 10)) == [1, 2]
    connection.close()


def test_a_segment_that_was_changed_on_the_disk_is_named_not_counted(tmp_path: Path) -> None:
    connection = a_store(tmp_path, [a_frame(0)], [a_frame(1)], [a_frame(2)])
    connection.execute("UPDATE segment SET data = zeroblob(length(data)) WHERE first_id = 2")
    with pytest.raises(DamagedStore, match="journal segment 2 is damaged"):
        journal.rebuild(connection)
    with pytest.raises(DamagedStore):
        journal.read_rows(connection, 0, 10)
    assert counters(journal.read_rows(connection, 2, 10)) == [2]
    connection.close()
