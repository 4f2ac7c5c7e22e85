"""Databases as older versions left them: each opens, is upgraded and keeps every frame."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
import zstandard

from gateway import audit, journal, registry, store
from gateway.admin import queries
from gateway.downlink import commands
from gateway.errors import DamagedStore
from tests.support.gateway import Client, a_gateway, a_home, a_meter, a_profile, refusals
from wire import messages

DATABASES = Path(__file__).with_name("databases")
PAGE_BYTES = 4096
OLD_MASTER_KEY = "dd43e10ecc8a0d4d9a351d566459a9dbfc0de78f416adb628c84c505760f494e"
METERS, FRAMES = 3, 64  # of schema_001: 20 profiles and a status each, and one after the checkpoint
LAST_COUNTER = (1 << 64) - 1


def unpacked(folder: Path, name: str) -> Path:
    path = folder / "gateway.db"
    path.write_bytes(zstandard.ZstdDecompressor().decompress((DATABASES / name).read_bytes()))
    return path


def test_a_database_of_schema_1_keeps_every_frame_under_its_number(tmp_path: Path) -> None:
    path = unpacked(tmp_path, "schema_001.db.zst")
    old = sqlite3.connect(path)
    before = old.execute(
        "SELECT id, meter_id, key_epoch, frame_counter, received_s, message FROM journal"
    ).fetchall()
    old.close()
    connection = store.connect(path)
    rows = journal.read_rows(connection, 0, 1 << 30)
    assert [(*row[:3], journal.to_signed(row[3]), *row[4:]) for row in rows] == before
    assert len(rows) == FRAMES
    assert rows[-1].frame_counter == LAST_COUNTER
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    assert version == len(store.schema_files())
    kept = connection.execute("SELECT count(*), sum(times) FROM last_will").fetchone()
    assert kept == (METERS, METERS)
    connection.close()


def test_a_gateway_goes_on_with_a_database_of_schema_1(tmp_path: Path) -> None:
    unpacked(tmp_path, "schema_001.db.zst")
    (tmp_path / "master.key").write_text(OLD_MASTER_KEY)
    (tmp_path / "master.key").chmod(0o600)
    meter = a_meter(1)

    async def story() -> None:
        async with a_gateway(a_home(tmp_path)) as gateway:
            client = await Client.join(gateway.port, meter)
            for packet_id, counter in ((1, 19), (2, 30)):  # seen before, and new
                client.publish(meter, meter.seal(a_profile(60 + counter), counter), packet_id)
                await client.puback()
            assert (gateway.intake.duplicates, gateway.intake.accepted) == (1, 1)
            await client.close()

    asyncio.run(story())
    assert refusals(tmp_path) == {"bad_tag": METERS}
    connection = store.connect_read_only(tmp_path / "gateway.db")
    assert journal.last_id(connection) == FRAMES + 1
    connection.close()


def test_a_database_of_schema_8_keeps_frames_commands_events_and_the_audit_log(
    tmp_path: Path,
) -> None:
    connection = store.connect(unpacked(tmp_path, "schema_008.db.zst"))
    rows = journal.read_rows(connection, 0, 1 << 30)
    assert [row.journal_id for row in rows] == list(range(1, METERS * 21 + 1))  # an event each
    assert journal.rebuild(connection)[a_meter(1).meter_id].intervals.upto == 60
    found = commands.rows(connection)
    assert [(row["meter_id"], row["state"]) for row in found] == [(a_meter(1).hex_id, "queued")]
    assert connection.execute("SELECT count(*) FROM meter_event").fetchone() == (METERS,)
    assert registry.state_of(connection, a_meter(3).meter_id) == registry.REVOKED
    assert audit.verify(connection) is None
    keeper = registry.Registry(bytes.fromhex(OLD_MASTER_KEY))
    keeper.check_master_key(connection)
    stored = registry.fetch(connection, a_meter(1).meter_id)
    assert stored is not None
    assert list(keeper.admit(stored).keys) == [0]
    connection.close()


def test_of_the_meters_of_a_schema_8_database_nobody_said_a_security_level(tmp_path: Path) -> None:
    path = unpacked(tmp_path, "schema_008.db.zst")
    old = sqlite3.connect(path)
    assert old.execute("PRAGMA user_version").fetchone() == (8,)
    names = [row[1] for row in old.execute("PRAGMA table_info(meter)")]
    before = old.execute("SELECT * FROM meter ORDER BY meter_id").fetchall()
    old.close()
    assert "security_level" not in names
    connection = store.connect(path)
    assert connection.execute("SELECT * FROM meter ORDER BY meter_id").fetchall() == [
        (*row, None) for row in before
    ]
    assert [row["security_level"] for row in queries.list_meters(connection)] == [None] * METERS
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("UPDATE meter SET security_level = 'L3'")
    connection.close()


def test_an_upgrade_that_fails_leaves_the_old_version(tmp_path: Path) -> None:
    path = unpacked(tmp_path, "schema_001.db.zst")
    old = sqlite3.connect(path)
    old.execute("DELETE FROM journal WHERE id = 30")  # a number that is missing
    old.commit()
    old.close()
    with pytest.raises(DamagedStore, match=r"schema 2 does not take .*restore a backup"):
        store.connect(path)
    old = sqlite3.connect(path)
    assert old.execute("PRAGMA user_version").fetchone() == (1,)
    assert old.execute("SELECT count(*) FROM journal").fetchone() == (FRAMES - 1,)
    old.close()


def test_a_page_overwritten_anywhere_is_named_or_changes_no_count(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    connection = store.connect(path)
    message = messages.encode(a_profile(intervals=200))
    for group in range(20):
        frames = [(bytes(8), 0, 10 * group + n, 1, message) for n in range(10)]
        made = journal.Group(1, rows=frames)
        store.transact(connection, lambda c, made=made: journal.commit(c, made))  # type: ignore[misc]
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    whole, named = path.read_bytes(), 0
    for page in range(1, len(whole) // PAGE_BYTES):
        damaged = bytearray(whole)
        damaged[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = b"\xa5" * PAGE_BYTES
        path.write_bytes(damaged)
        try:
            connection = store.connect(path)
            try:
                rows = journal.read_rows(connection, 0, 1 << 30)
                assert [row.frame_counter for row in rows] == list(range(200))
            finally:
                connection.close()
        except (DamagedStore, sqlite3.DatabaseError) as error:
            named += 1
            text = str(error if isinstance(error, DamagedStore) else store.explain(error))
            assert "restore a backup" in text
    assert named > len(whole) // PAGE_BYTES // 3, "no page of the journal was looked at"
