"""A shard's way from one gateway's database to another's: complete, once, never in two places."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway import audit, journal, registry, store
from gateway.admin import queries
from gateway.downlink import commands, rekeying
from gateway.downlink.command_args import Hidden
from gateway.errors import CommandRefused
from gateway.meter import Progress
from gateway.shards import moves
from tests.support.gateway import NOW_S, FakeMeter, rows
from tests.support.moving import EVERY, MOVING, SHARD, STAYING, Side, a_side, do, meters_in, refused
from wire.messages import COMMAND_READ_NOW, COMMAND_REKEY
from wire.topics import shard_of


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


# ------------------------------------------------------------------ what arrives


def test_a_moved_meter_keeps_its_replay_window_and_its_intervals(a: Side, b: Side) -> None:
    a.accept(MOVING, [0, 1, 5], first=1)
    a.accept(MOVING, [9], first=7)  # an island behind a gap
    before = a.loaded(MOVING).progress
    assert b.take(a.give(MOVING))
    after = b.loaded(MOVING).progress
    assert after.windows[0].highest == before.windows[0].highest == 9
    assert after.windows[0].bits == before.windows[0].bits
    assert (after.intervals.upto, after.intervals.islands) == (3, [(7, 7)])


def test_a_moved_meter_keeps_its_key_its_password_and_its_down_counters(a: Side, b: Side) -> None:
    do(a, "UPDATE meter_key SET down_reserved = 4096 WHERE meter_id = ?", MOVING.meter_id)
    b.take(a.give(MOVING))
    stored = registry.fetch(b.connection, MOVING.meter_id)
    assert stored is not None
    assert registry.is_password(stored, MOVING.password.encode())
    meter = b.loaded(MOVING)
    assert b.keeper.unwrap(MOVING.meter_id, 0, stored.keys[0][1]) == MOVING.meter_key
    assert meter.down[0].next == 4096  # no counter is used twice


@pytest.mark.parametrize("state", ["revoked", "decommissioned"])
def test_a_closed_door_stays_closed_at_the_other_gateway(a: Side, b: Side, state: str) -> None:
    do(a, "UPDATE meter SET state = ?, highest_epoch = 7 WHERE meter_id = ?", state,
       MOVING.meter_id)  # fmt: skip
    b.take(a.give(MOVING))
    assert registry.state_of(b.connection, MOVING.meter_id) == state
    assert registry.key_epochs_used(b.connection, MOVING.meter_id) == 7


@pytest.mark.parametrize("level", ["L0", "L1", "L2", None])
def test_a_moved_meter_keeps_its_security_level(a: Side, b: Side, level: str | None) -> None:
    do(a, "UPDATE meter SET security_level = ? WHERE meter_id = ?", level, MOVING.meter_id)
    b.take(a.give(MOVING))
    (shown,) = queries.list_meters(b.connection)
    assert (shown["meter_id"], shown["security_level"]) == (MOVING.hex_id, level)
    assert queries.show_meter(a.connection, MOVING.meter_id) is None


def test_a_queued_command_goes_along_under_its_id_and_ends_where_it_was(a: Side, b: Side) -> None:
    for _ in range(2):
        commands.queue(
            a.connection, MOVING.meter_id, COMMAND_READ_NOW, (), actor="anna", now_s=NOW_S
        )
    commands.note_sent(a.connection, 1, NOW_S)
    before = commands.rows(a.connection, MOVING.meter_id)
    b.take(a.give(MOVING))
    after = commands.rows(b.connection, MOVING.meter_id)
    for name in ("command_id", "command", "state", "attempts", "expires_s", "actor"):
        assert [row[name] for row in after] == [row[name] for row in before]
    left = commands.rows(a.connection, MOVING.meter_id)
    assert {(row["state"], row["detail"]) for row in left} == {("cancelled", "moved")}


def test_command_ids_go_on_where_they_were(a: Side, b: Side) -> None:
    do(a, "INSERT INTO command_number VALUES (?, 4000000000)", MOVING.meter_id)
    b.take(a.give(MOVING))
    row = commands.queue(
        b.connection, MOVING.meter_id, COMMAND_READ_NOW, (), actor="anna", now_s=NOW_S
    )
    assert commands.rows(b.connection, row_id=row)[0]["command_id"] == 4_000_000_001


def test_a_rekey_under_way_is_carried_on_by_the_other_gateway(a: Side, b: Side) -> None:
    store.transact(
        a.connection, lambda c: rekeying.queue(c, a.keeper, MOVING.meter_id, "anna", NOW_S)
    )
    b.take(a.give(MOVING))
    (command,) = b.connection.execute("SELECT meter_id, wrapped, secret_bytes FROM command")
    new = commands.reveal(b.keeper, command[0], COMMAND_REKEY, Hidden(*command[1:]))
    assert b.loaded(MOVING).keys.keys() == {0, 1}
    stored = registry.fetch(b.connection, MOVING.meter_id)
    assert stored is not None
    assert new == b.keeper.unwrap(MOVING.meter_id, 1, stored.keys[1][1])


def test_refusals_areas_and_open_gaps_go_along(a: Side, b: Side) -> None:
    do(a, "INSERT INTO refusal VALUES (?, 'bad_tag', 3, 99)", MOVING.meter_id)
    do(a, "INSERT INTO area_meter VALUES (?, 'north')", MOVING.meter_id)
    do(a, "INSERT INTO application VALUES (?, '1.2.0', 5, 6)", MOVING.meter_id)
    do(a, "INSERT INTO backfill (meter_id, first, last, kind, found_s, next_s, state)"
          " VALUES (?, 4, 6, 'gap', 10, 20, 'open')", MOVING.meter_id)  # fmt: skip
    b.take(a.give(MOVING))
    for query, expected in (
        ("SELECT reason, frames, last_s FROM refusal", [("bad_tag", 3, 99)]),
        ("SELECT area FROM area_meter", [("north",)]),
        ("SELECT version, since_s, event FROM application", [("1.2.0", 5, 6)]),
        ("SELECT first, last, state FROM backfill", [(4, 6, "open")]),
    ):
        assert rows(b.folder, query) == expected


def test_a_roll_out_goes_on_without_the_meters_that_went(a: Side) -> None:
    do(a, "INSERT INTO update_bundle VALUES (1, '2.0.0', 1, 1)")
    do(a, "INSERT INTO rollout (id, update_id, version, state, stop_after, at_once, soak_s,"
          " confirm_s, patience_s, actor, started_s) VALUES (1, 1, '2.0.0', 'running', '1', 1, 1,"
          " 60, 60, 'anna', 1)")  # fmt: skip
    for meter in (MOVING, STAYING):
        do(a, "INSERT INTO rollout_meter (rollout_id, meter_id, wave, state, changed_s)"
              " VALUES (1, ?, 0, 'waiting', 1)", meter.meter_id)  # fmt: skip
    a.give(MOVING)
    states = dict(rows(a.folder, "SELECT meter_id, state FROM rollout_meter"))
    assert states == {MOVING.meter_id: "stopped", STAYING.meter_id: "waiting"}


# ------------------------------------------------------------------ the giver


def test_the_other_meters_of_the_giver_are_as_they_were(a: Side) -> None:
    a.accept(STAYING, [0, 1])
    a.give(MOVING)
    assert a.loaded(STAYING).progress.intervals.upto == 2
    assert moves.shards_away(a.connection) == {SHARD}


def test_what_was_given_up_has_no_key_and_takes_no_command_there(a: Side) -> None:
    move = a.ask(MOVING)
    a.give_up(move)
    assert registry.fetch(a.connection, MOVING.meter_id) is None
    with pytest.raises(CommandRefused, match="unknown_meter"):
        commands.queue(
            a.connection, MOVING.meter_id, COMMAND_READ_NOW, (), actor="anna", now_s=NOW_S
        )


def test_a_meter_of_a_shard_that_was_given_up_is_registered_at_its_gateway_only(a: Side) -> None:
    a.give(MOVING)
    another = next(each for each in meters_in("10", "1f", 400) if moves_along(each))
    with refused("shard_away"):
        store.transact(a.connection, lambda c: a.keeper.add(c, another.new(), NOW_S))


def moves_along(meter: FakeMeter) -> bool:
    return meter != MOVING and shard_of(meter.meter_id) == SHARD


def test_what_the_giver_accepted_stays_in_its_journal_and_goes_to_settlement(a: Side) -> None:
    a.accept(MOVING, [0, 1, 2])
    a.give(MOVING)
    assert [row.meter_id for row in journal.read_rows(a.connection, 0, 9)] == [MOVING.meter_id] * 3


def test_nothing_is_given_up_while_an_accepted_frame_is_not_in_the_journal(a: Side) -> None:
    move = a.ask(MOVING)
    a.accept(MOVING, [0])
    for frames in (2, 1):  # one on its way to the disk; none
        progress = Progress()
        for counter in range(frames):
            progress.window(0).mark(counter)
            progress.intervals.add(counter + 1, 1, 1)
        memory = {MOVING.meter_id: progress}
        done = store.transact(
            a.connection, partial(moves.give_up, move=move, memory=memory, now_s=NOW_S)
        )
        assert done is (frames == 1)
        assert (registry.fetch(a.connection, MOVING.meter_id) is None) is done


def test_a_duplicate_of_an_interval_alone_is_waited_for_too(a: Side) -> None:
    move, progress = a.ask(MOVING), Progress()
    progress.intervals.add(1, 1, 1)
    assert not store.transact(
        a.connection, lambda c: moves.give_up(c, move, {MOVING.meter_id: progress}, NOW_S)
    )


def test_asked_twice_it_is_the_same_move_and_written_twice_the_same_file(a: Side) -> None:
    assert a.ask(MOVING) == a.ask(MOVING)
    first = a.give(MOVING)
    move = moves.find(a.connection, frozenset({SHARD}), "gw-b")
    assert move is not None
    assert a.export(move).terms == first.terms == {SHARD: 1}
    assert a.export(move) == first
    assert [act.action for act in audit.since(a.connection, 0)] == [moves.GIVE_UP]


def test_shards_are_given_up_to_one_gateway_only(a: Side) -> None:
    a.ask(MOVING)
    with refused("shard_away"):
        a.ask(MOVING, "gw-c")
    with refused("to_itself"):
        a.ask(STAYING, "gw-a")


def test_a_shard_that_gateway_toml_does_not_name_is_not_given_up(a: Side) -> None:
    with refused("not_ours"):
        moves.ask(a.connection, EVERY - {SHARD}, frozenset({SHARD}), "gw-a", "gw-b", "x", 1)


@pytest.mark.parametrize(("limit", "good"), [(1, True), (2, True), (0, False)])
def test_a_move_has_so_many_meters_at_most(
    a: Side, monkeypatch: pytest.MonkeyPatch, limit: int, good: bool
) -> None:
    monkeypatch.setattr(moves, "METERS_MAX", limit)
    if good:
        a.ask(MOVING)
        return
    with refused("too_many_meters"):
        a.ask(MOVING)
    assert not moves.shards_away(a.connection)


def test_an_export_before_the_giving_up_is_refused(a: Side) -> None:
    with refused("not_given_up"):
        a.export(a.ask(MOVING))


def test_once_forgotten_the_giver_has_no_key_of_them_any_more(a: Side) -> None:
    move = a.give_up(a.ask(MOVING))
    wrapped = rows(a.folder, "SELECT wrapped FROM moved_key")[0][0]
    for _ in range(2):
        assert store.transact(
            a.connection, lambda c: moves.forget(c, move.move_id, "anna", NOW_S)
        ) == 1  # fmt: skip
    a.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert wrapped not in (a.folder / "gateway.db").read_bytes()
    after = moves.find(a.connection, move.shards, "gw-b")
    assert after is not None
    with refused("not_given_up"):
        a.export(after)
    with refused("unknown_move"):
        moves.forget(a.connection, bytes(16), "anna", NOW_S)
