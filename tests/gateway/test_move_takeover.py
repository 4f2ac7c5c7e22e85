"""What arrives at the other gateway: taken over once, by one gateway, unaltered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard

from gateway import registry, store
from gateway.errors import MoveRefused
from gateway.registry import Registry
from gateway.shards import move_file, moves, takeover
from tests.support.gateway import NOW_S, add_meter, rows
from tests.support.moving import (
    EVERY,
    MOVING,
    SHARD,
    STAYING,
    TRANSFER,
    Side,
    a_side,
    do,
    refused,
)


@pytest.fixture
def a(tmp_path: Path) -> Iterator[Side]:
    side = a_side(tmp_path / "a", "gw-a", MOVING, STAYING)
    yield side
    side.connection.close()


@pytest.fixture
def b(tmp_path: Path) -> Iterator[Side]:
    side = a_side(tmp_path / "b", "gw-b")
    yield side
    side.connection.close()


# ------------------------------------------------------------------ the taker


def test_a_move_is_taken_over_once(a: Side, b: Side) -> None:
    move = a.give(MOVING)
    assert b.take(move)
    b.accept(MOVING, [0, 1])
    assert not b.take(move)
    assert b.loaded(MOVING).progress.intervals.upto == 2


def test_a_move_is_for_one_gateway(a: Side, tmp_path: Path) -> None:
    c = a_side(tmp_path / "c", "gw-c")
    with refused("wrong_gateway"):
        c.take(a.give(MOVING))
    c.connection.close()


def test_a_shard_that_gateway_toml_does_not_name_is_not_taken(a: Side, b: Side) -> None:
    with refused("not_served"):
        b.take(a.give(MOVING), EVERY - {SHARD})
    assert rows(b.folder, "SELECT count(*) FROM meter") == [(0,)]


def test_a_meter_that_lives_here_already_stops_the_whole_move(a: Side, b: Side) -> None:
    add_meter(b.folder, MOVING)
    move = a.give(MOVING)
    with refused("living_meter"):
        b.take(move)
    do(b, "UPDATE meter SET state = 'decommissioned', highest_epoch = 9")
    do(b, "DELETE FROM meter_key")
    assert b.take(move)
    assert registry.key_epochs_used(b.connection, MOVING.meter_id) == 9


def test_a_shard_comes_back_with_what_was_accepted_meanwhile(a: Side, b: Side) -> None:
    a.accept(MOVING, [0, 1])
    b.take(a.give(MOVING))
    b.accept(MOVING, [2, 3], first=3)
    back = b.give(MOVING, "gw-a")
    assert moves.shards_away(b.connection) == {SHARD}
    assert a.take(back)
    assert not moves.shards_away(a.connection)
    a.accept(MOVING, [4], first=5)
    progress = a.loaded(MOVING).progress  # the journal has rows from before, and is read no more
    assert (progress.windows[0].highest, progress.intervals.upto) == (4, 5)


def test_a_file_of_an_earlier_move_is_not_taken_over_any_more(a: Side, b: Side) -> None:
    first = a.give(MOVING)
    b.take(first)
    a.take(b.give(MOVING, "gw-a"))
    a.give(MOVING)
    store.transact(b.connection, lambda c: c.execute("DELETE FROM move WHERE way = 'in'"))
    with refused("old_move"):  # even where nothing is known of that move any more
        b.take(first)


def test_the_same_file_is_refused_where_a_backup_knows_nothing_of_its_move(
    a: Side, b: Side
) -> None:
    move = a.give(MOVING)
    b.take(move)
    for table in ("move", "meter_key", "meter"):
        do(b, f"DELETE FROM {table}")
    with refused("old_move"):
        b.take(move)


def test_the_giver_takes_nothing_back_by_its_own_file(a: Side) -> None:
    with refused("wrong_gateway"):
        a.take(a.give(MOVING))


def test_a_crash_in_a_transaction_leaves_the_step_undone(a: Side, b: Side) -> None:
    class Crash(BaseException):
        pass

    def cut_off(side: Side, work: str, step: object) -> None:
        def crash(connection: object) -> None:
            step(connection)  # type: ignore[operator]
            raise Crash(work)

        with pytest.raises(Crash):
            store.transact(side.connection, crash)

    a.accept(MOVING, [0, 1])
    shards = frozenset({SHARD})
    cut_off(a, "ask", lambda c: moves.ask(c, EVERY, shards, "gw-a", "gw-b", "anna", NOW_S))
    assert not moves.shards_away(a.connection)
    asked = a.ask(MOVING)
    cut_off(a, "give up", lambda c: moves.give_up(c, asked, {}, NOW_S))
    assert moves.asked(a.connection) == [asked]
    assert a.loaded(MOVING).keys
    move = a.export(a.give_up(asked))
    cut_off(b, "take", lambda c: takeover.take(c, move, EVERY, "gw-b", b.keeper, TRANSFER, "x", 1))
    assert rows(b.folder, "SELECT count(*) FROM meter") == [(0,)]
    assert b.take(move)
    assert b.loaded(MOVING).progress.intervals.upto == 2


# ------------------------------------------------------------------ the file


def test_a_file_opens_under_its_transfer_key_only_and_shows_no_key(a: Side) -> None:
    move = a.give(MOVING)
    data = move_file.seal(move, TRANSFER)
    assert move_file.unseal(data, TRANSFER) == move
    for secret in (MOVING.meter_key, MOVING.meter_id, move.secrets[0][0].wrapped):
        assert secret not in data
    assert MOVING.meter_key.hex() not in repr(move) + repr(TRANSFER)
    with refused("wrong_transfer_key"):
        move_file.unseal(data, move_file.derive(bytes(32)))


def test_a_file_that_was_cut_or_altered_anywhere_is_refused(a: Side) -> None:
    data = move_file.seal(a.give(MOVING), TRANSFER)
    for size in range(0, len(data), 7):
        with pytest.raises(MoveRefused):
            move_file.unseal(data[:size], TRANSFER)
    for at in range(0, len(data), 5):
        altered = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        with pytest.raises(MoveRefused):
            move_file.unseal(altered, TRANSFER)


def test_keys_in_a_file_are_not_wrapped_under_a_master_key(a: Side) -> None:
    before = rows(a.folder, "SELECT wrapped FROM meter_key")
    (secret,) = a.give(MOVING).secrets[0]
    assert (secret.wrapped,) not in before
    assert TRANSFER.unwrap(MOVING.meter_id, 0, secret.wrapped) == MOVING.meter_key
    with pytest.raises(Exception, match="damaged"):
        Registry(bytes(32)).unwrap(MOVING.meter_id, 0, secret.wrapped)


@pytest.mark.parametrize(("beyond", "good"), [(1, True), (0, True), (-1, False)])
def test_a_file_unpacks_to_so_many_bytes_at_most(
    a: Side, monkeypatch: pytest.MonkeyPatch, beyond: int, good: bool
) -> None:
    move = a.give(MOVING)
    size = len(msgspec.msgpack.encode(move))
    monkeypatch.setattr(move_file, "MOVE_BYTES_MAX", size + beyond)
    if good:
        assert move_file.unseal(move_file.seal(move, TRANSFER), TRANSFER) == move
        return
    with refused("damaged_file"):
        move_file.unseal(move_file.seal(move, TRANSFER), TRANSFER)


def without_level(a: Side, level: object = ...) -> move_file.Move:
    """The move of a meter that is L1, as a gateway of schema 8 would have sealed it; or another."""
    do(a, "UPDATE meter SET security_level = 'L1'")
    packed = msgspec.msgpack.decode(msgspec.msgpack.encode(a.give(MOVING)))
    (meter,) = packed[4]
    assert meter.pop() == "L1", "the security level is the last of a meter's fields"
    if level is not ...:
        meter.append(level)
    data = zstandard.compress(msgspec.msgpack.encode(packed))
    nonce = bytes(move_file.NONCE_BYTES)
    sealed = TRANSFER.sealing.encrypt(nonce, data, move_file.MAGIC)
    return move_file.unseal(move_file.MAGIC + nonce + sealed, TRANSFER)


def test_a_file_of_schema_8_has_no_security_level_and_is_taken(a: Side, b: Side) -> None:
    assert b.take(without_level(a))
    assert rows(b.folder, "SELECT security_level FROM meter") == [(None,)]


def test_a_file_without_a_security_level_leaves_that_of_the_tombstone(a: Side, b: Side) -> None:
    add_meter(b.folder, MOVING)
    do(b, "UPDATE meter SET state = 'decommissioned', security_level = 'L2'")
    do(b, "DELETE FROM meter_key")
    assert b.take(without_level(a))
    assert rows(b.folder, "SELECT state, security_level FROM meter") == [("active", "L2")]


def test_a_security_level_of_a_newer_version_is_refused(a: Side) -> None:
    with refused("damaged_file"):
        without_level(a, "L3")


def test_a_file_that_cannot_be_written_costs_nothing(a: Side, tmp_path: Path) -> None:
    data = move_file.seal(a.give(MOVING), TRANSFER)
    with refused("not_written"):
        move_file.write(tmp_path / "nowhere" / "x", data)
    (tmp_path / "x.part").write_bytes(b"of a run that was cut off")
    move_file.write(tmp_path / "x", data)
    assert move_file.read(tmp_path / "x", TRANSFER).terms == {SHARD: 1}


def test_a_key_of_another_meter_in_a_file_is_refused(a: Side, b: Side) -> None:
    move = a.give(MOVING)
    swapped = TRANSFER.wrap(STAYING.meter_id, 0, bytes(32))
    bent = msgspec.structs.replace(move, secrets=[[move_file.Secret(0, swapped)]])
    with refused("damaged_file"):
        b.take(bent)
    assert rows(b.folder, "SELECT count(*) FROM meter") == [(0,)]
