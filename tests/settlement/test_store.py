"""The database: schema steps, versions of readings, full disk, and invoices that stay."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from settlement.store import (
    NewerDatabase,
    NotADatabase,
    StorageFull,
    Store,
    StoreBusy,
    inbox,
    readings,
    schema_steps,
    statements,
)
from settlement.store.readings import Reading, frame_order
from tests.support.settlement import METER_ID

READING = Reading(900, 900, 100, 0, 1100)


def a_batch_row(connection: sqlite3.Connection, key: str = "k") -> int:
    return inbox.open_batch(
        connection,
        key=key,
        body_sha256=b"\0" * 32,
        gateway_id="gw-1",
        first_id=1,
        last_id=1,
        received_s=0,
    )


def versions(store: Store) -> list[tuple[int, int]]:
    with store.reading() as connection:
        rows = connection.execute("SELECT version, energy_wh FROM readings ORDER BY version")
        return rows.fetchall()


def told(store: Store, reading: Reading, counter: int, epoch: int = 0) -> int:
    with store.writing() as connection:
        batch_id = a_batch_row(connection, f"{epoch}/{counter}")
        order = frame_order(epoch, counter)
        return readings.add(connection, METER_ID, "1.8.0", [reading], order, batch_id)


def test_a_new_database_has_every_schema_step(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(schema_steps())
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_database_opens_again_and_keeps_what_it_held(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    told(store, READING, 1)
    store.close()
    store = Store(tmp_path / "s.db")
    assert versions(store) == [(1, 100)]
    store.close()


def test_a_database_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    newer = len(schema_steps()) + 1
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute(f"PRAGMA user_version = {newer}")
    with pytest.raises(NewerDatabase, match="update the program"):
        Store(tmp_path / "s.db")
    with sqlite3.connect(tmp_path / "s.db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == newer


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"start_s,import_wh\n" * 100)
    with pytest.raises(NotADatabase):
        Store(tmp_path / "s.db")


def test_a_database_held_by_another_program_is_named_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settlement.store.BUSY_TIMEOUT_MS", 1)
    store = Store(tmp_path / "s.db")
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy):
        told(store, READING, 1)
    other.execute("ROLLBACK")
    assert told(store, READING, 1) == 1
    other.close()
    store.close()


def test_a_full_disk_is_named_and_keeps_nothing_of_the_transaction(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.limit_pages(1)  # SQLite keeps what is there and grows no further
    many = [Reading(900 * n, 900, n, 0, n) for n in range(5000)]
    with pytest.raises(StorageFull), store.writing() as connection:
        batch_id = a_batch_row(connection)
        readings.add(connection, METER_ID, "1.8.0", many, frame_order(0, 1), batch_id)
    assert versions(store) == []
    store.limit_pages(1_000_000)
    assert told(store, READING, 1) == 1
    store.close()


def test_what_is_written_inside_of_a_failed_transaction_is_gone(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with pytest.raises(ZeroDivisionError), store.writing() as connection:
        a_batch_row(connection)
        _ = 1 // 0
    with store.reading() as connection:
        assert inbox.find(connection, "k") is None
    store.close()


def test_the_same_reading_again_makes_no_version_and_another_value_does(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    assert told(store, READING, 1) == 1
    assert told(store, READING, 2) == 0
    assert told(store, READING._replace(energy_wh=101), 3) == 1
    assert versions(store) == [(1, 100), (2, 101)]
    with store.reading() as connection:
        (newest,) = readings.intervals(connection, METER_ID, "1.8.0", 0, 1800)
    assert newest.energy_wh == 101
    store.close()


def test_a_late_batch_with_an_older_frame_never_undoes_a_correction(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    told(store, READING._replace(energy_wh=101), 7)
    assert told(store, READING, 6) == 0
    assert versions(store) == [(1, 101)]
    # A new key epoch starts its counters again and is newer all the same.
    assert told(store, READING, 0, epoch=1) == 1
    store.close()


def test_frames_are_ordered_by_epoch_and_then_by_counter_up_to_the_largest() -> None:
    largest = readings.FRAME_COUNTER_MAX
    orders = [frame_order(0, 0), frame_order(0, 255), frame_order(0, 256), frame_order(0, largest)]
    orders.append(frame_order(1, 0))
    assert orders == sorted(orders)
    with pytest.raises(OverflowError):
        frame_order(0, largest + 1)


def test_only_intervals_wholly_inside_are_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    for start_s in (0, 900, 1800):
        told(store, READING._replace(start_s=start_s), 1 + start_s)
    with store.reading() as connection:
        inside = readings.intervals(connection, METER_ID, "1.8.0", 1, 2699)
        everything = readings.intervals(connection, METER_ID, "1.8.0", 0, 2700)
    assert [each.start_s for each in inside] == [900]
    assert [each.start_s for each in everything] == [0, 900, 1800]
    store.close()


def test_a_script_is_split_into_statements_with_triggers_whole() -> None:
    trigger = "CREATE TRIGGER u BEFORE UPDATE ON t\nBEGIN\n SELECT 1;\nEND;\n"
    script = "-- a; b\nCREATE TABLE t (a);\n" + trigger
    assert [each.split()[-1] for each in statements(script)] == ["(a);", "END;"]
