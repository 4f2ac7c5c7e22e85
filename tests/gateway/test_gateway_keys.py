"""Keys and credentials at rest: wrapped under the master key, refused by name, never shown."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway import registry, store
from gateway.errors import (
    ConfigError,
    MasterKeyError,
    MeterExists,
    StoreError,
    UsageError,
)
from tests.support.gateway import (
    NOW_S,
    a_gateway,
    a_home,
    a_meter,
    add_meter,
)


def test_keys_and_passwords_are_not_in_the_database_in_clear(tmp_path: Path) -> None:
    meter = a_meter()
    a_home(tmp_path, meter)
    for file in tmp_path.glob("gateway.db*"):
        content = file.read_bytes()
        assert meter.meter_key not in content
        assert meter.meter_key.hex().encode() not in content
        assert meter.password.encode() not in content


def test_another_master_key_is_refused_before_anything_happens(tmp_path: Path) -> None:
    config = a_home(tmp_path, a_meter())
    (tmp_path / "master.key").unlink()
    registry.write_master_key(tmp_path / "master.key")

    async def story() -> None:
        async with a_gateway(config):
            raise AssertionError("it must not start")

    with pytest.raises(MasterKeyError, match="put the right file back"):
        asyncio.run(story())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_master_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    registry.write_master_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        registry.read_master_key(path)


@pytest.mark.parametrize(
    ("content", "is_good"),
    [
        (bytes(range(200, 232)), True),
        (b"ab" * 32, True),
        (b"ab" * 32 + b"\n", True),
        (b"ab" * 31, False),
        (bytes(31), False),
        (bytes(33), False),
        (b"xy" * 32, False),
        (b"", False),
    ],
)
def test_a_master_key_is_32_bytes(tmp_path: Path, content: bytes, is_good: bool) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(content)
    path.chmod(0o600)
    if is_good:
        assert len(registry.read_master_key(path)) == 32
    else:
        with pytest.raises(MasterKeyError):
            registry.read_master_key(path)


def test_a_master_key_file_is_made_once_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    registry.write_master_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    with pytest.raises(UsageError, match="never overwritten"):
        registry.write_master_key(path)
    assert path.read_bytes() == before


def test_wrapped_keys_exchanged_between_meters_are_noticed(tmp_path: Path) -> None:
    first, second = a_meter(1), a_meter(2)
    a_home(tmp_path, first, second)
    connection = store.connect(tmp_path / "gateway.db")
    wrapped = connection.execute("SELECT wrapped FROM meter_key ORDER BY meter_id").fetchall()
    for (key,), meter_id in zip(
        reversed(wrapped), sorted([first.meter_id, second.meter_id]), strict=True
    ):
        connection.execute("UPDATE meter_key SET wrapped = ? WHERE meter_id = ?", (key, meter_id))
    stored = registry.fetch(connection, first.meter_id)
    connection.close()
    assert stored is not None
    keeper = registry.Registry(registry.read_master_key(tmp_path / "master.key"))
    with pytest.raises(StoreError, match="pair it again"):
        keeper.admit(stored)


def test_a_meter_is_added_once(tmp_path: Path) -> None:
    a_home(tmp_path, a_meter())
    with pytest.raises(MeterExists, match="registered already"):
        add_meter(tmp_path, a_meter())


def test_a_database_restored_from_a_backup_uses_no_down_counter_a_second_time() -> None:
    started_s, restarted_s = NOW_S, NOW_S + 60
    used_at_most = registry.down_floor(started_s) + 65_535 * (restarted_s - started_s)
    assert registry.down_floor(restarted_s) >= used_at_most
    keeper = registry.Registry(bytes(32))
    keeper.down_floor = registry.down_floor(restarted_s)
    fake = a_meter()
    wrapped = keeper.wrap(fake.meter_id, 0, fake.meter_key)
    stored = registry.StoredMeter(fake.meter_id, bytes(32), [(0, wrapped, 5000)])
    counter = keeper.admit(stored).down[0]
    assert counter.next == counter.reserved == registry.down_floor(restarted_s)
    assert counter.is_low(), "it is reserved in the database before its first use"


def test_a_clock_before_2020_leaves_the_down_counters_where_they_were() -> None:
    assert registry.down_floor(0) == 0
