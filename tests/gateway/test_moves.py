"""A shard's way from one gateway's database to another's: complete, once, never in two places."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import audit, commands, journal, move_file, moves, registry, rekeying, store, takeover
from gateway.commands import Hidden
from gateway.errors import CommandRefused, MoveRefused
from gateway.meter import Progress
from gateway.registry import Registry
from tests.support.gateway import NOW_S, add_meter, rows
from tests.support.moving import EVERY, TRANSFER, Side, a_side, meters_in
from wire.messages import COMMAND_READ_NOW, COMMAND_REKEY
from wire.topics import shard_of

MOVING, STAYING = meters_in("10", "1f", 1)[0], meters_in("80", "8f", 1)[0]
SHARD = shard_of(MOVING.meter_id)


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


def do(side: Side, query: str, *values: object) -> None:
    store.transact(side.connection, lambda c: c.execute(query, values))


def refused(reason: str) -> pytest.RaisesExc[MoveRefused]:
    return pytest.raises(MoveRefused, match=f"^{reason}: ")


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
        done = store.transact(
            a.connection, lambda c, p=progress: moves.give_up(c, move, {MOVING.meter_id: p}, NOW_S)
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
    wrapping = TRANSFER.wrapping
    assert wrapping.unwrap(MOVING.meter_id, 0, secret.wrapped) == MOVING.meter_key
    with pytest.raises(Exception, match="damaged"):
        Registry(bytes(32)).unwrap(MOVING.meter_id, 0, secret.wrapped)
