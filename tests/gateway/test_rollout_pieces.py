"""One meter's way through an update: breaks, lost answers, a bad flash, what is kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.downlink import commands
from gateway.rollout import rollout_answers, rollout_steps, updates
from gateway.rollout.pieces import WAIT_S
from tests.support.a_rollout import NEW, OLD, Fleet, ModelMeter, a_bundle
from wire import cbor, messages
from wire.messages import RESULT_DONE, Result


def begun(tmp_path: Path) -> tuple[Fleet, ModelMeter, int]:
    """A roll-out to one meter, its first piece queued."""
    fleet = Fleet(tmp_path, 1)
    fleet.greet()
    rollout = fleet.start()
    fleet.look()
    (meter,) = fleet.meters.values()
    return fleet, meter, rollout


def of_meter(fleet: Fleet, what: str) -> object:
    return fleet.connection.execute(f"SELECT {what} FROM rollout_meter").fetchone()[0]


def test_every_piece_goes_once_and_the_meter_holds_the_bundle(tmp_path: Path) -> None:
    fleet, meter, rollout = begun(tmp_path)
    fleet.settle()
    assert meter.seen == ["file 0 0", "file 0 800", "file 0 1600", "file 1 0", "restart"]
    assert meter.slots.version == NEW.encode()
    assert fleet.states(rollout) == {"confirmed": 1}
    assert of_meter(fleet, "pieces") == 5


def test_the_next_piece_is_queued_in_the_transaction_of_the_answer(tmp_path: Path) -> None:
    fleet, meter, _ = begun(tmp_path)
    ((row, _, command_id, code, args),) = fleet.open_commands()
    result, _ = meter.obey(messages.Command(command_id, code, tuple(cbor.decode(args))))

    def crash() -> None:
        try:
            fleet.connection.execute("BEGIN IMMEDIATE")
            commands.note_result(fleet.connection, meter.meter_id, result, fleet.now_s)
        finally:
            fleet.connection.execute("ROLLBACK")

    crash()
    assert [opened[0] for opened in fleet.open_commands()] == [row]
    heard = fleet.say(meter, result)
    assert heard.wake == [meter.meter_id]
    ((after, _, _, _, args),) = fleet.open_commands()
    assert after > row
    assert cbor.decode(args)[1:3] == [0, 0]  # file 0 from its beginning


def test_an_answer_that_comes_twice_moves_nothing_on(tmp_path: Path) -> None:
    fleet, meter, _ = begun(tmp_path)
    ((_, _, command_id, code, args),) = fleet.open_commands()
    result, _ = meter.obey(messages.Command(command_id, code, tuple(cbor.decode(args))))
    fleet.say(meter, result)
    before = fleet.open_commands()
    assert fleet.say(meter, result).wake == []
    assert fleet.say(meter, Result(command_id, RESULT_DONE, b"file 1 0")).wake == []
    assert fleet.open_commands() == before


def test_a_meter_that_lost_power_goes_on_from_what_its_slot_holds(tmp_path: Path) -> None:
    fleet, meter, rollout = begun(tmp_path)
    fleet.carry()
    fleet.carry()
    meter.restart()  # in the middle: nothing is armed
    fleet.say(meter, meter.greeting())
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 1}
    assert meter.seen.count("file 0 800") == 1


def test_a_meter_whose_slot_was_emptied_is_sent_the_manifest_again(tmp_path: Path) -> None:
    fleet, meter, rollout = begun(tmp_path)
    fleet.carry()
    fleet.carry()
    meter.slots.files.clear()
    meter.restart()
    fleet.settle()
    assert "unknown" in meter.seen
    assert fleet.states(rollout) == {"confirmed": 1}


def test_a_bundle_that_is_whole_already_needs_the_restart_command(tmp_path: Path) -> None:
    fleet, meter, rollout = begun(tmp_path)
    for args in _all_pieces(fleet):
        meter.obey(args)
    assert meter.seen[-1] == "restart"
    fleet.carry()
    ((_, _, _, code, _),) = fleet.open_commands()
    assert code == messages.COMMAND_RESTART
    assert fleet.states(rollout) == {"sending": 1}
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 1}
    assert meter.restarts == 1


def _all_pieces(fleet: Fleet) -> list[messages.Command]:
    outline = updates.outline(fleet.connection, fleet.bundle.update_id)
    assert outline is not None
    names = ("part 0", "file 0 0", "file 0 800", "file 0 1600", "file 1 0")
    return [
        messages.Command(1, *updates.command_of(fleet.connection, outline, name)) for name in names
    ]


def test_a_chunk_that_was_stored_wrongly_once_is_sent_again(tmp_path: Path) -> None:
    fleet, meter, rollout = begun(tmp_path)
    meter.slots.bent = 1
    fleet.settle()
    assert meter.seen.count("hash 0") == 1
    assert fleet.states(rollout) == {"confirmed": 1}


def test_a_file_whose_hash_is_wrong_twice_fails_the_meter_with_the_file_named(
    tmp_path: Path,
) -> None:
    fleet, meter, rollout = begun(tmp_path)
    meter.slots.bent = 1000
    fleet.settle()
    assert meter.seen.count("hash 0") == 2
    assert fleet.reasons(rollout) == {"hash 0"}
    assert meter.restarts == 0


@pytest.mark.parametrize(("failures", "state"), [(1, "confirmed"), (2, "failed")])
def test_a_worn_flash_is_tried_twice(tmp_path: Path, failures: int, state: str) -> None:
    fleet, meter, rollout = begun(tmp_path)
    meter.slots.broken = failures
    fleet.settle()
    fleet.pass_s(WAIT_S - 1)
    fleet.settle()
    assert fleet.states(rollout) == {"sending": 1}
    fleet.pass_s(1)
    fleet.settle()
    assert fleet.states(rollout) == {state: 1}


def test_a_meter_still_on_trial_of_another_update_is_asked_again_later(tmp_path: Path) -> None:
    fleet, meter, rollout = begun(tmp_path)
    meter.update.on_trial = True
    fleet.settle()
    assert meter.seen == ["on_trial"]
    meter.update.on_trial = False
    fleet.pass_s(WAIT_S)
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 1}


def test_a_meter_without_slots_is_unsupported(tmp_path: Path) -> None:
    fleet, meter, rollout = begun(tmp_path)
    meter.update._slots = None
    fleet.settle()
    assert fleet.reasons(rollout) == {"unsupported"}


def test_a_restart_whose_answer_was_lost_is_seen_by_the_version(tmp_path: Path) -> None:
    fleet, meter, rollout = begun(tmp_path)
    for _ in range(4):
        fleet.carry()
    ((_, _, command_id, code, args),) = fleet.open_commands()
    _, restarts = meter.obey(messages.Command(command_id, code, tuple(cbor.decode(args))))
    assert restarts
    fleet.say(meter, *meter.restart())  # its answer went with the restart
    assert fleet.states(rollout) == {"confirmed": 1}
    assert fleet.open_commands() == []
    assert meter.seen[-1] == "restart"


def test_a_fall_back_after_a_lost_answer_fails_and_is_not_tried_again(tmp_path: Path) -> None:
    fleet, meter, rollout = begun(tmp_path)
    meter.good = False
    for _ in range(4):
        fleet.carry()
    ((_, _, command_id, code, args),) = fleet.open_commands()
    meter.obey(messages.Command(command_id, code, tuple(cbor.decode(args))))
    fleet.say(meter, *meter.restart())
    fleet.settle()
    assert fleet.reasons(rollout) == {rollout_answers.FELL_BACK}
    assert meter.restarts == 1


def test_a_meter_that_turns_out_to_run_it_already_is_sent_nothing(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 1)
    (meter,) = fleet.meters.values()
    meter.version = NEW
    meter.here = False
    rollout = fleet.start()
    fleet.look()
    fleet.say(meter, meter.greeting())
    meter.here = True
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 1}
    assert meter.seen == []


def test_a_piece_that_somebody_cancels_leaves_the_meter_out(tmp_path: Path) -> None:
    fleet, _, rollout = begun(tmp_path)
    ((row, *_),) = fleet.open_commands()
    fleet.do(lambda connection: commands.cancel(connection, row, "anna", fleet.now_s))
    fleet.settle()
    assert fleet.reasons(rollout) == {rollout_steps.CANCELLED}
    assert fleet.states(rollout) == {"absent": 1}


def test_a_piece_that_the_downlink_gave_up_fails_the_meter(tmp_path: Path) -> None:
    fleet, _, rollout = begun(tmp_path)
    ((row, *_),) = fleet.open_commands()
    fleet.do(lambda connection: commands.note_sent(connection, row, fleet.now_s))
    fleet.do(lambda connection: commands.end(connection, row, "give up", fleet.now_s))
    fleet.settle()
    assert fleet.reasons(rollout) == {rollout_steps.NO_RESULT}
    assert fleet.states(rollout) == {"failed": 1}


def test_an_answer_that_the_rollout_missed_is_read_at_the_next_look(tmp_path: Path) -> None:
    fleet, meter, rollout = begun(tmp_path)
    ((_, _, command_id, code, args),) = fleet.open_commands()
    result, _ = meter.obey(messages.Command(command_id, code, tuple(cbor.decode(args))))
    fleet.do(lambda connection: commands.note_result(
        connection, meter.meter_id, result, fleet.now_s))  # fmt: skip
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 1}
    assert len(meter.seen) == 5  # and nothing was sent twice


def test_a_command_row_that_is_gone_is_queued_again(tmp_path: Path) -> None:
    fleet, meter, rollout = begun(tmp_path)
    fleet.carry()
    fleet.connection.execute("DELETE FROM command")
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 1}
    assert meter.seen.count("file 0 800") == 1


def test_a_full_queue_delays_the_update_and_breaks_nothing(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 1)
    fleet.greet()
    (meter,) = fleet.meters.values()
    for _ in range(commands.QUEUE_MAX):
        fleet.do(lambda connection: commands.queue(
            connection, meter.meter_id, messages.COMMAND_READ_NOW, (),
            actor="anna", now_s=fleet.now_s))  # fmt: skip
    rollout = fleet.start()
    fleet.look()
    fleet.look()
    assert fleet.states(rollout) == {"sending": 1}
    assert of_meter(fleet, "command") is None
    fleet.connection.execute("UPDATE command SET state = 'cancelled'")
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 1}


def test_of_a_meters_pieces_only_the_last_stays_in_the_queue_table(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 3, a_bundle(sizes=(20_000, 3000)))
    fleet.greet()
    fleet.do(lambda connection: commands.queue(
        connection, next(iter(fleet.meters)), messages.COMMAND_SET_CLOCK, (), actor="anna",
        now_s=fleet.now_s, not_before_s=fleet.now_s + 1000))  # fmt: skip
    rollout = fleet.start(waves=("100%",))
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 3}
    kept = fleet.connection.execute(
        "SELECT origin, count(*) FROM command GROUP BY origin ORDER BY origin"
    ).fetchall()
    assert kept == [("", 1), (f"rollout:{rollout}", 3)]
    assert fleet.meters[next(iter(fleet.meters))].version != OLD
