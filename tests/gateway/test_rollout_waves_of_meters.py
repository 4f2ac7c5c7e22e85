"""A roll-out over many model meters: waves, soak, failures, who is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.rollout import rollout_steps
from tests.support.a_rollout import NEW, OLD, Fleet

PLAN: dict[str, Any] = {"waves": ("1", "10%", "100%"), "soak_s": 600, "at_once": 5}


def test_a_wave_begins_only_when_the_one_before_is_confirmed_and_has_soaked(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 40)
    fleet.greet()
    rollout = fleet.start(**PLAN)
    counts = []
    for _ in range(4):
        fleet.settle()
        counts.append(fleet.with_new())
        fleet.pass_s(599)
        fleet.settle()
        assert fleet.with_new() == counts[-1]
        fleet.pass_s(1)
    assert counts == [1, 4, 40, 40]
    assert fleet.of(rollout).state == "done"
    assert fleet.states(rollout) == {"confirmed": 40}
    assert {meter.restarts for meter in fleet.meters.values()} == {1}


def test_only_so_many_meters_are_sent_pieces_at_once(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 30)
    fleet.greet()
    fleet.start(waves=("100%",), at_once=4)
    fleet.settle()
    assert fleet.most_at_once == 4
    assert fleet.with_new() == 30


def test_a_crashing_application_stops_before_the_second_wave(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 20)
    fleet.greet()
    for meter in fleet.meters.values():
        meter.good = False
    rollout = fleet.start(**PLAN)
    fleet.settle()
    fleet.pass_s(10_000)
    fleet.settle()
    assert fleet.stopped == [(rollout, rollout_steps.TOO_MANY_FAILURES)]
    assert fleet.states(rollout) == {"failed": 1, "stopped": 19}
    assert fleet.reasons(rollout) == {"fell_back"}
    assert sum(meter.restarts for meter in fleet.meters.values()) == 1
    last = fleet.connection.execute("SELECT actor, action FROM audit ORDER BY id DESC").fetchone()
    assert last == ("gateway", "rollout.stop")


@pytest.mark.parametrize(("bad", "state"), [(1, "done"), (2, "stopped"), (3, "stopped")])
def test_failures_below_the_threshold_are_borne(tmp_path: Path, bad: int, state: str) -> None:
    fleet = Fleet(tmp_path, 10)
    fleet.greet()
    for meter in list(fleet.meters.values())[:bad]:
        meter.good = False
    rollout = fleet.start(waves=("100%",), stop_after="2", soak_s=0, at_once=10)
    fleet.settle()
    fleet.settle()
    assert fleet.of(rollout).state == state
    assert fleet.states(rollout)["failed"] == bad


def test_a_meter_that_never_confirms_has_failed_at_its_deadline_and_not_before(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path, 2)
    fleet.greet()
    next(iter(fleet.meters.values())).confirms = False
    rollout = fleet.start(waves=("100%",), confirm_s=3600, stop_after="2")
    fleet.settle()
    fleet.pass_s(3599)
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 1, "restarting": 1}
    fleet.pass_s(1)
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 1, "failed": 1}
    assert fleet.reasons(rollout) == {rollout_steps.NO_CONFIRMATION}


def test_both_the_event_and_a_status_with_the_version_confirm_in_either_order(
    tmp_path: Path,
) -> None:
    for order in (0, 1):
        folder = tmp_path / str(order)
        folder.mkdir()
        fleet = Fleet(folder, 1)
        fleet.greet()
        (meter,) = fleet.meters.values()
        meter.confirms = False
        rollout = fleet.start()
        fleet.settle()
        said = [meter.greeting(), meter.event(2)]
        fleet.say(meter, said[order])
        assert fleet.states(rollout) == {"restarting": 1}
        fleet.say(meter, said[1 - order])
        assert fleet.states(rollout) == {"confirmed": 1}


def test_an_event_of_an_earlier_update_that_comes_again_confirms_nothing(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 1)
    (meter,) = fleet.meters.values()
    earlier = meter.event(2)
    fleet.say(meter, meter.greeting(), earlier)
    meter.confirms = False
    rollout = fleet.start()
    fleet.settle()
    fleet.say(meter, meter.greeting(), earlier)
    assert fleet.states(rollout) == {"restarting": 1}
    fleet.say(meter, meter.event(2))
    assert fleet.states(rollout) == {"confirmed": 1}


def test_a_status_of_the_old_version_before_the_restart_means_nothing(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 1)
    fleet.greet()
    (meter,) = fleet.meters.values()
    meter.confirms = False
    rollout = fleet.start()
    fleet.settle()
    fleet.say(meter, meter.greeting()._replace(version=OLD))
    assert fleet.states(rollout) == {"restarting": 1}


def test_a_meter_that_goes_back_while_its_wave_soaks_has_failed(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 10)
    fleet.greet()
    rollout = fleet.start(**PLAN)
    fleet.settle()
    (meter,) = (meter for meter in fleet.meters.values() if meter.version == NEW)
    fleet.say(meter, meter.greeting()._replace(version=OLD))
    fleet.pass_s(600)
    fleet.settle()
    assert fleet.of(rollout).reason == rollout_steps.TOO_MANY_FAILURES
    assert fleet.reasons(rollout) == {"went_back"}
    assert fleet.with_new() == 1


def test_a_wave_of_meters_that_are_never_heard_stops_rather_than_pass(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 10)
    for meter in fleet.meters.values():
        meter.here = False
    rollout = fleet.start(**PLAN, patience_s=1000)
    fleet.settle()
    fleet.pass_s(999)
    fleet.settle()
    assert fleet.of(rollout).state == "running"
    fleet.pass_s(1)
    fleet.settle()
    assert fleet.of(rollout).reason == rollout_steps.NOBODY_CONFIRMED
    assert fleet.states(rollout) == {"absent": 1, "stopped": 9}
    assert fleet.reasons(rollout) == {rollout_steps.NOT_HEARD}


def test_a_meter_that_is_away_holds_up_nobody_and_counts_as_absent(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 6)
    mute, away = (fleet.meters[meter_id] for meter_id in sorted(fleet.meters)[:2])
    away.here = False
    mute.mute = True
    rollout = fleet.start(waves=("100%",), at_once=1, soak_s=0, patience_s=5000)
    fleet.settle()
    fleet.pass_s(rollout_steps.STALL_S - 1)
    fleet.settle()
    assert fleet.with_new() == 0
    fleet.pass_s(1)  # the mute one leaves its place
    fleet.settle()
    assert fleet.with_new() == 4
    assert fleet.of(rollout).state == "running"
    fleet.pass_s(5000)
    fleet.settle()
    assert fleet.of(rollout).state == "done"
    assert fleet.states(rollout) == {"absent": 2, "confirmed": 4}
    assert fleet.reasons(rollout) == {rollout_steps.NOT_HEARD, rollout_steps.NO_ANSWER}


def test_a_meter_that_comes_late_gets_it_within_the_patience(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 2)
    late = next(iter(fleet.meters.values()))
    late.here = False
    rollout = fleet.start(waves=("100%",), soak_s=0)
    fleet.settle()
    fleet.pass_s(86_400)
    late.here = True
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 2}
