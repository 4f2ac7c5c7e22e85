"""What people do to a roll-out: begin, pause, resume, stop; its limits, and how it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import UsageError
from gateway.rollout import rollout_book as book
from gateway.rollout import rollout_steps
from gateway.rollout.rollout_book import Plan
from tests.support.a_rollout import NEW, Fleet, a_bundle
from wire import cbor, messages

PLAN: dict[str, Any] = {"waves": ("1", "10%", "100%"), "soak_s": 600, "at_once": 5}


def test_paused_nothing_more_is_sent_and_resumed_it_goes_on_where_it_was(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 1)
    fleet.greet()
    rollout = fleet.start(patience_s=10_000)
    fleet.look()
    fleet.carry()
    fleet.carry()
    fleet.do(lambda connection: book.pause(connection, rollout, "anna", fleet.now_s))
    fleet.settle()
    fleet.settle()
    assert fleet.open_commands() == []
    (meter,) = fleet.meters.values()
    asked = list(meter.seen)
    assert asked[-1].startswith("file 0 ")
    fleet.pass_s(20_000)  # the pause does not cost the wave its patience
    fleet.settle()
    assert fleet.states(rollout) == {"sending": 1}
    fleet.do(lambda connection: book.resume(connection, rollout, "anna", fleet.now_s))
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 1}
    assert meter.seen.count("part 0") == 0
    assert len(meter.seen) == 5  # one manifest part, four chunks: nothing was sent twice


def test_stopped_by_hand_the_pieces_under_way_are_taken_back(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 5)
    fleet.greet()
    rollout = fleet.start(waves=("100%",), at_once=2)
    fleet.look()
    assert len(fleet.open_commands()) == 2
    fleet.do(lambda connection: book.stop(connection, rollout, "anna", "by hand", fleet.now_s))
    fleet.settle()
    assert fleet.open_commands() == []
    assert fleet.states(rollout) == {"stopped": 5}
    assert fleet.with_new() == 0


def test_a_meter_that_waited_when_it_was_stopped_has_nothing_more_to_do_with_it(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path, 1)
    fleet.greet()
    rollout = fleet.start()
    fleet.do(lambda connection: book.stop(connection, rollout, "anna", "by hand", fleet.now_s))
    (meter,) = fleet.meters.values()
    fleet.say(meter, meter.greeting()._replace(version=NEW), meter.event(2))
    assert fleet.states(rollout) == {"stopped": 1}


def test_a_meter_that_had_all_when_it_was_stopped_is_still_watched(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 1, a_bundle(sizes=(100,)))
    fleet.greet()
    rollout = fleet.start()
    fleet.look()
    fleet.carry()  # the manifest; its only chunk is under way
    (opened,) = fleet.open_commands()
    fleet.do(lambda connection: book.stop(connection, rollout, "anna", "by hand", fleet.now_s))
    assert fleet.open_commands() == []
    (meter,) = fleet.meters.values()
    command = messages.Command(opened[2], opened[3], tuple(cbor.decode(opened[4])))
    result, restarts = meter.obey(command)  # it was on its way already
    fleet.say(meter, result)
    assert restarts
    assert fleet.states(rollout) == {"restarting": 1}
    fleet.say(meter, *meter.restart())
    assert fleet.states(rollout) == {"confirmed": 1}


def test_an_answer_for_a_stopped_rollout_does_not_disturb_the_next_one(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 1, a_bundle(sizes=(100,)))
    fleet.greet()
    first = fleet.start()
    fleet.look()
    fleet.carry()
    (opened,) = fleet.open_commands()
    fleet.do(lambda connection: book.stop(connection, first, "anna", "by hand", fleet.now_s))
    other = a_bundle("0.4.0")
    fleet.add(other)
    second = fleet.start(other.update_id)
    (meter,) = fleet.meters.values()
    command = messages.Command(opened[2], opened[3], tuple(cbor.decode(opened[4])))
    result, _ = meter.obey(command)
    fleet.say(meter, result)
    fleet.say(meter, *meter.restart())
    assert fleet.states(first) == {"stopped": 1}
    fleet.settle()
    assert fleet.states(second) == {"confirmed": 1}
    assert meter.version == "0.4.0"


@pytest.mark.parametrize(
    ("act", "state"), [("pause", "paused"), ("resume", "running"), ("stop", "stopped")]
)
def test_an_act_that_does_not_fit_the_state_is_refused(
    tmp_path: Path, act: str, state: str
) -> None:
    fleet = Fleet(tmp_path, 1)
    rollout = fleet.start()

    def do(what: str, of: int = rollout) -> None:
        reason = ("by hand",) if what == "stop" else ()
        fleet.do(lambda connection: getattr(book, what)(
            connection, of, "anna", *reason, fleet.now_s))  # fmt: skip

    if act == "resume":
        do("pause")
    do(act)
    with pytest.raises(UsageError, match=f"is {state}"):
        do(act)
    with pytest.raises(UsageError, match="no roll-out 99"):
        do(act, 99)


def test_a_meter_takes_one_update_at_a_time(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 3)
    first = next(iter(fleet.meters))
    rollout = fleet.start(meters=[first])
    with pytest.raises(UsageError, match=f"{first.hex()} is in roll-out {rollout}"):
        fleet.start()
    assert [one["state"] for one in book.rows(fleet.connection)] == ["stopped", "running"]
    fleet.do(lambda connection: book.stop(connection, rollout, "anna", "by hand", fleet.now_s))
    assert fleet.of(fleet.start()).state == "running"


def test_meters_are_entered_in_small_transactions_and_none_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "ENROLL_METERS", 3)
    fleet = Fleet(tmp_path, 20)
    seen: list[tuple[int, str]] = []

    def do(work: Any) -> Any:
        result = Fleet.do(fleet, work)
        entered = fleet.connection.execute("SELECT count(*) FROM rollout_meter").fetchone()[0]
        seen.append((entered, fleet.of(1).state))
        return result

    fleet.do = do  # type: ignore[method-assign]
    fleet.start(waves=("1", "50%", "100%"))
    assert [entered for entered, _ in seen] == [0, 1, 4, 7, 10, 13, 16, 19, 20, 20]
    assert [state for _, state in seen] == ["draft"] * 9 + ["running"]
    (row,) = book.rows(fleet.connection, 1)
    assert [wave["states"] for wave in row["waves"]] == [
        {"waiting": 1}, {"waiting": 9}, {"waiting": 10},
    ]  # fmt: skip


@pytest.mark.parametrize(("more", "good"), [(-1, True), (0, True), (1, False)])
def test_only_so_many_meters_are_entered_in_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int, good: bool
) -> None:
    monkeypatch.setattr(book, "START_METERS_MAX", 3)
    fleet = Fleet(tmp_path, 4)
    meters = list(fleet.meters)[: 3 + more]

    def start() -> int:
        update_id = fleet.bundle.update_id
        rollout: int = fleet.do(lambda connection: book.start(
            connection, update_id, meters, Plan(), "anna", fleet.now_s))  # fmt: skip
        return rollout

    if good:
        assert fleet.states(start()) == {"waiting": 3 + more}
    else:
        with pytest.raises(UsageError, match="enters them in pieces"):
            start()


def test_a_draft_that_was_broken_off_does_nothing_and_can_be_stopped(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 2)
    rollout = fleet.start()
    fleet.connection.execute("UPDATE rollout SET state = 'draft'")
    fleet.settle()
    assert fleet.open_commands() == []
    with pytest.raises(UsageError, match="is in roll-out 1"):
        fleet.start()
    fleet.do(lambda connection: book.stop(connection, rollout, "anna", "by hand", fleet.now_s))
    assert fleet.of(fleet.start()).state == "running"


def test_a_wave_that_nobody_of_was_heard_is_given_up_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_steps, "ABSENT_MAX", 2)
    fleet = Fleet(tmp_path, 5)
    for meter in fleet.meters.values():
        meter.here = False
    rollout = fleet.start(waves=("100%",), patience_s=60)
    fleet.look()
    fleet.pass_s(60)
    for absent in (2, 4, 5):
        fleet.look()
        assert fleet.states(rollout)["absent"] == absent
    assert fleet.of(rollout).reason == rollout_steps.NOBODY_CONFIRMED


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("at_once", 1, book.METERS_AT_ONCE_MAX),
        ("soak_s", 0, book.SOAK_S_MAX),
        ("confirm_s", book.CONFIRM_S_MIN, book.CONFIRM_S_MAX),
        ("patience_s", book.PATIENCE_S_MIN, book.PATIENCE_S_MAX),
    ],
)
def test_each_limit_of_a_plan_is_kept(tmp_path: Path, field: str, low: int, high: int) -> None:
    fleet = Fleet(tmp_path, 1)
    (meter_id,) = fleet.meters

    def start(value: int) -> int:
        change: dict[str, Any] = {field: value}
        plan = Plan()._replace(**change)
        update_id = fleet.bundle.update_id
        return book.start_in_pieces(fleet.do, update_id, [meter_id], plan, "anna", fleet.now_s)

    for bad in (low - 1, high + 1):
        with pytest.raises(UsageError, match=f"{bad} is not from {low} to {high}"):
            start(bad)
    for good in (low, high):
        rollout = start(good)
        fleet.do(lambda connection, of=rollout: book.stop(
            connection, of, "anna", "by hand", fleet.now_s))  # fmt: skip


def test_a_rollout_for_nobody_or_of_nothing_is_refused(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 0)
    with pytest.raises(UsageError, match="no meter to update"):
        fleet.start()
    with pytest.raises(UsageError, match="no update 5"):
        book.start_in_pieces(fleet.do, 5, [bytes(8)], Plan(), "anna", fleet.now_s)


def test_a_meter_taken_out_of_service_leaves_the_rollout(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 2)
    gone = next(iter(fleet.meters))
    rollout = fleet.start(waves=("100%",))
    fleet.do(lambda connection: rollout_steps.look(connection, {}, [gone], fleet.now_s))
    fleet.settle()
    assert fleet.states(rollout) == {"absent": 1, "confirmed": 1}
    assert fleet.reasons(rollout) == {rollout_steps.LEFT}


def test_the_listing_shows_each_wave_and_each_meter(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 10)
    fleet.greet()
    rollout = fleet.start(**PLAN)
    fleet.settle()
    (row,) = book.rows(fleet.connection, rollout)
    assert [wave["states"] for wave in row["waves"]] == [{"confirmed": 1}, {"waiting": 9}]
    by_meter = book.meters(fleet.connection, rollout)
    assert [one["state"] for one in by_meter] == ["confirmed"] + ["waiting"] * 9
    assert by_meter[0]["version"] == NEW
    assert len(book.meters(fleet.connection, rollout, limit=3)) == 3
