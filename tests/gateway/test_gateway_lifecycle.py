"""Revoked, restored, decommissioned, added again: what follows, who is let in, what stays."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import lifecycle, registry, store
from gateway.downlink import commands, rekeying
from gateway.errors import MeterExists, UsageError
from gateway.registry import ACTIVE, DECOMMISSIONED, REVOKED, NewMeter, Registry
from tests.gateway.test_gateway_command_line import as_json
from tests.support.gateway import (
    NOW_S,
    FakeMeter,
    a_meter,
)
from wire.messages import COMMAND_READ_NOW

MASTER = bytes(32)
METER = a_meter()
NEW_PASSWORD = "a-new-password-of-this-meter"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = store.connect(tmp_path / "gateway.db")
    yield opened
    opened.close()


@pytest.fixture
def keeper(connection: sqlite3.Connection) -> Registry:
    made = Registry(MASTER)
    lifecycle.add(connection, made, [METER.new()], "anna", NOW_S)
    return made


def again(meter: FakeMeter, key_epoch: int) -> NewMeter:
    return NewMeter(meter.hex_id, "ab" * 32, key_epoch, NEW_PASSWORD)


def actions(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT action FROM audit ORDER BY id")]


STEPS: dict[str, Callable[..., None]] = {
    lifecycle.REVOKE: lifecycle.revoke,
    lifecycle.RESTORE: lifecycle.restore,
    lifecycle.DECOMMISSION: lifecycle.decommission,
}


@pytest.mark.parametrize("action", STEPS)
@pytest.mark.parametrize("state", [ACTIVE, REVOKED, DECOMMISSIONED])
def test_every_step_from_every_state_is_done_or_refused_as_the_table_says(
    connection: sqlite3.Connection, keeper: Registry, state: str, action: str
) -> None:
    connection.execute("UPDATE meter SET state = ?", (state,))
    wanted = lifecycle.NEXT_STATES[action].get(state)
    before = actions(connection)
    if wanted is None:
        with pytest.raises(UsageError, match=f"is {state}"):
            STEPS[action](connection, METER.meter_id, "anna", NOW_S)
        assert actions(connection) == before
    else:
        STEPS[action](connection, METER.meter_id, "anna", NOW_S)
        assert actions(connection) == [*before, action]
    assert registry.state_of(connection, METER.meter_id) == (wanted or state)


@pytest.mark.parametrize("action", STEPS)
def test_nothing_is_done_to_a_meter_nobody_registered(
    connection: sqlite3.Connection, action: str
) -> None:
    with pytest.raises(UsageError, match="meters list"):
        STEPS[action](connection, METER.meter_id, "anna", NOW_S)
    assert actions(connection) == []


def test_a_revoked_meter_keeps_its_keys_and_a_decommissioned_one_loses_them(
    connection: sqlite3.Connection, keeper: Registry
) -> None:
    lifecycle.revoke(connection, METER.meter_id, "anna", NOW_S)
    assert count(connection, "meter_key") == 1
    stored = registry.fetch(connection, METER.meter_id)
    assert stored is not None
    assert (stored.keys, stored.state) == ([], REVOKED), "no door may load them"
    lifecycle.decommission(connection, METER.meter_id, "anna", NOW_S)
    assert count(connection, "meter_key") == 0
    stored = registry.fetch(connection, METER.meter_id)
    assert stored is not None
    assert not registry.is_password(stored, METER.password.encode())


def count(connection: sqlite3.Connection, table: str) -> int:
    found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


def test_a_decommissioned_meter_hears_no_command_and_its_secrets_go(
    connection: sqlite3.Connection, keeper: Registry
) -> None:
    row_id = rekeying.queue(connection, keeper, METER.meter_id, "anna", NOW_S)
    lifecycle.decommission(connection, METER.meter_id, "anna", NOW_S)
    row = connection.execute("SELECT state, wrapped FROM command WHERE id = ?", (row_id,))
    assert row.fetchone() == ("cancelled", None)
    with pytest.raises(UsageError, match="decommissioned"):
        commands.queue(connection, METER.meter_id, COMMAND_READ_NOW, (), actor="anna", now_s=NOW_S)


def test_a_destroyed_key_is_not_left_in_the_file(
    tmp_path: Path, connection: sqlite3.Connection, keeper: Registry
) -> None:
    wrapped = connection.execute("SELECT wrapped FROM meter_key").fetchone()[0]
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert wrapped in (tmp_path / "gateway.db").read_bytes()
    store.transact(connection, lambda c: lifecycle.decommission(c, METER.meter_id, "anna", NOW_S))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for file in tmp_path.glob("gateway.db*"):
        assert wrapped not in file.read_bytes(), file


def test_a_tombstone_s_id_is_not_given_again(
    connection: sqlite3.Connection, keeper: Registry
) -> None:
    lifecycle.decommission(connection, METER.meter_id, "anna", NOW_S)
    with pytest.raises(MeterExists, match="--force-new-epoch"):
        lifecycle.add(connection, keeper, [again(METER, 7)], "anna", NOW_S)
    assert registry.state_of(connection, METER.meter_id) == DECOMMISSIONED


@pytest.mark.parametrize(("key_epoch", "is_let"), [(3, False), (4, False), (5, True), (255, True)])
def test_a_tombstone_wakes_only_under_an_epoch_never_used(
    connection: sqlite3.Connection, keeper: Registry, key_epoch: int, is_let: bool
) -> None:
    keeper.add_key(connection, METER.meter_id, 4, bytes(32))
    lifecycle.decommission(connection, METER.meter_id, "anna", NOW_S)
    assert registry.key_epochs_used(connection, METER.meter_id) == 4
    new = [again(METER, key_epoch)]
    if not is_let:
        with pytest.raises(MeterExists, match="highest key epoch was 4"):
            lifecycle.add(connection, keeper, new, "anna", NOW_S, again=True)
        return
    lifecycle.add(connection, keeper, new, "anna", NOW_S, again=True)
    stored = registry.fetch(connection, METER.meter_id)
    assert stored is not None
    assert [key[0] for key in stored.keys] == [key_epoch]
    assert registry.is_password(stored, NEW_PASSWORD.encode())


@pytest.mark.parametrize("state", [ACTIVE, REVOKED])
def test_force_new_epoch_is_for_tombstones_only(
    connection: sqlite3.Connection, keeper: Registry, state: str
) -> None:
    connection.execute("UPDATE meter SET state = ?", (state,))
    with pytest.raises(MeterExists, match="only a decommissioned meter"):
        lifecycle.add(connection, keeper, [again(METER, 9)], "anna", NOW_S, again=True)
    with pytest.raises(MeterExists, match="unknown"):
        lifecycle.add(connection, keeper, [a_meter(2).new()], "anna", NOW_S, again=True)


def test_an_epoch_that_was_retired_stays_used(
    connection: sqlite3.Connection, keeper: Registry
) -> None:
    keeper.add_key(connection, METER.meter_id, 1, bytes(32))
    registry.retire_keys(connection, METER.meter_id, 1)
    assert [row["key_epoch"] for row in registry.key_states(connection)] == [1]
    assert registry.key_epochs_used(connection, METER.meter_id) == 1
    assert registry.key_epochs_used(connection, b"12345678") == -1
    with pytest.raises(MeterExists, match="epoch 1"):
        keeper.add_key(connection, METER.meter_id, 1, bytes(32))


def test_meters_are_added_all_or_none_and_the_one_that_repeats_is_named(
    connection: sqlite3.Connection, keeper: Registry
) -> None:
    new = [a_meter(number).new() for number in (2, 3, 1, 4)]
    with pytest.raises(MeterExists, match=METER.hex_id):
        store.transact(connection, lambda c: lifecycle.add(c, keeper, new, "anna", NOW_S))
    assert count(connection, "meter") == 1
    store.transact(connection, lambda c: lifecycle.add(c, keeper, new[:2], "anna", NOW_S))
    assert count(connection, "meter") == 3


@pytest.mark.parametrize(
    ("text", "meters"),
    [
        (as_json(1), 1),
        (json.dumps(json.loads(as_json(1)), indent=2), 1),
        (f"[{as_json(1)}]", 1),
        (f"[{as_json(1)},\n {as_json(2)}]", 2),
        (f"{as_json(1)}\n\n{as_json(2)}\n{as_json(3)}\n", 3),
    ],
)
def test_meters_are_read_one_by_one_as_an_array_or_as_lines(text: str, meters: int) -> None:
    new = registry.parse_new_meters(text.encode())
    assert [one.meter_id for one in new] == [a_meter(n).hex_id for n in range(1, meters + 1)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "1 to 10000 meters"),
        ("[", "not a JSON array"),
        ("[1]", "meter 1 of 1"),
        (f"[{as_json(1)}, {as_json(2, meter_key='00')}]", "meter 2 of 2"),
        (f"{as_json(1)}\n{as_json(2, password='short')}", "meter 2 of 2"),
        ("x" * (registry.NEW_METERS_BYTES_MAX + 1), "split them"),
    ],
)
def test_the_meter_that_is_not_right_among_many_is_named_without_its_secrets(
    text: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        registry.parse_new_meters(text.encode())
    assert a_meter(2).password not in str(refused.value)
    assert a_meter(2).meter_key.hex() not in str(refused.value)


def test_at_most_so_many_meters_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "NEW_METERS_MAX", 2)
    for count, is_good in ((1, True), (2, True), (3, False)):
        text = json.dumps([json.loads(as_json(number)) for number in range(count)]).encode()
        if is_good:
            assert len(registry.parse_new_meters(text)) == count
        else:
            with pytest.raises(UsageError, match="not 3"):
                registry.parse_new_meters(text)


def test_a_schema_2_meter_s_highest_epoch_is_the_highest_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = store.schema_files()
    monkeypatch.setattr(store, "schema_files", lambda: files[:2])
    old = store.connect(tmp_path / "gateway.db")
    old.execute("INSERT INTO meter VALUES (?, ?, 1)", (METER.meter_id, bytes(32)))
    for epoch in (0, 6):
        old.execute("INSERT INTO meter_key VALUES (?, ?, ?, 0)", (METER.meter_id, epoch, b"w"))
    old.close()
    monkeypatch.undo()
    opened = store.connect(tmp_path / "gateway.db")
    assert registry.key_epochs_used(opened, METER.meter_id) == 6
    assert registry.state_of(opened, METER.meter_id) == ACTIVE
    opened.close()
