"""Commands that come round: when, for whom, and that a night without gateway makes one round."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import registry, store
from gateway.downlink import commands, schedules
from gateway.downlink.schedules import Schedules, next_s
from gateway.errors import CommandRefused
from gateway.store import Store
from tests.support.gateway import NOW_S, a_home, a_loaded_meter, a_meter
from wire import messages

METERS = [a_meter(number) for number in range(3)]
MIDNIGHT_S = NOW_S - NOW_S % 86_400


class Round:
    """A gateway's schedules without the gateway: its clock, its chance, and whom it woke."""

    def __init__(self, folder: Path) -> None:
        self.now_s, self.chance = NOW_S, 0.0
        self.woken: list[bytes] = []
        self.store = Store(folder / "gateway.db")
        self.keeper = registry.Registry(bytes(32))
        self.schedules = Schedules(
            self.store, self.keeper, self.woken.append, lambda: self.now_s, lambda: self.chance
        )

    def act(self, work: Any) -> Any:
        return store.transact(self.store.connection, work)

    def add(self, code: int = messages.COMMAND_READ_NOW, *args: int, **changes: Any) -> int:
        said = {
            "every_s": 3600, "daily_s": None, "jitter_s": 0, "actor": "anna", "now_s": self.now_s,
        } | changes  # fmt: skip
        meters = said.pop("meters", [])
        number: int = self.act(lambda c: schedules.add(c, code, args, meters, **said))
        return number

    def look(self) -> None:
        async def go() -> None:
            while await self.schedules.look():
                pass

        asyncio.run(go())

    def rows(self) -> list[dict[str, Any]]:
        return commands.rows(self.store.connection)[::-1]


@pytest.fixture
def round_(tmp_path: Path) -> Iterator[Round]:
    a_home(tmp_path, *METERS)
    made = Round(tmp_path)
    yield made
    made.store.close()


def test_the_next_round_is_counted_from_now_or_falls_on_the_time_of_day() -> None:
    assert next_s(3600, None, NOW_S) == NOW_S + 3600
    assert next_s(None, 7200, MIDNIGHT_S + 7199) == MIDNIGHT_S + 7200
    assert next_s(None, 7200, MIDNIGHT_S + 7200) == MIDNIGHT_S + 86_400 + 7200
    assert next_s(None, 0, MIDNIGHT_S) == MIDNIGHT_S + 86_400


def test_a_round_begins_in_its_second_and_reaches_every_meter_once(round_: Round) -> None:
    round_.add()
    round_.now_s += 3599
    round_.look()
    assert round_.rows() == []
    round_.now_s += 1
    round_.look()
    round_.look()
    assert {row["meter_id"] for row in round_.rows()} == {meter.hex_id for meter in METERS}
    assert len(round_.rows()) == len(round_.woken) == 3
    assert {row["origin"] for row in round_.rows()} == {"schedule 1"}


def test_rounds_missed_while_the_gateway_was_down_are_made_up_for_by_one(round_: Round) -> None:
    round_.add(meters=[METERS[0].meter_id])
    round_.now_s += 10 * 3600
    round_.look()
    assert len(round_.rows()) == 1
    round_.now_s += 3599
    round_.look()
    assert len(round_.rows()) == 1


def test_a_meter_whose_last_one_is_still_open_is_left_out(round_: Round) -> None:
    round_.add(meters=[METERS[0].meter_id])
    for _ in range(2):
        round_.now_s += 3600
        round_.look()
    assert len(round_.rows()) == 1
    assert round_.schedules.left_out == 1


def test_a_round_cut_in_the_middle_goes_on_where_it_was(
    round_: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "METERS_AT_A_TIME", 1)
    round_.add()
    round_.now_s += 3600
    assert asyncio.run(round_.schedules.look())
    assert len(round_.rows()) == 1
    again = Schedules(
        round_.store, round_.keeper, round_.woken.append, lambda: round_.now_s, lambda: 0.0
    )
    round_.schedules = again
    round_.look()
    assert len(round_.rows()) == 3
    assert len({row["meter_id"] for row in round_.rows()}) == 3


def test_the_jitter_puts_each_meter_somewhere_in_the_round(round_: Round) -> None:
    round_.add(jitter_s=600)
    round_.now_s += 3600
    round_.chance = 0.5
    round_.look()
    assert {row["not_before_s"] - round_.now_s for row in round_.rows()} == {300}


def test_the_latest_intervals_are_read_of_meters_that_have_any(round_: Round) -> None:
    loaded = a_loaded_meter(METERS[0])
    loaded.progress.intervals.add(1, 100, 1)
    few = a_loaded_meter(METERS[1])
    few.progress.intervals.add(1, 5, 1)
    round_.keeper.meters = {METERS[0].meter_id: loaded, METERS[1].meter_id: few}
    round_.add(messages.COMMAND_READ_PROFILE, 96)
    round_.now_s += 3600
    round_.look()
    asked = {row["meter_id"]: row["args"] for row in round_.rows()}
    assert asked == {METERS[0].hex_id: [5, 96], METERS[1].hex_id: [1, 5]}


def test_a_removed_schedule_comes_round_no_more(round_: Round) -> None:
    number = round_.add()
    round_.act(lambda c: schedules.remove(c, number, "anna", NOW_S))
    round_.now_s += 7200
    round_.look()
    assert round_.rows() == []
    with pytest.raises(CommandRefused, match="unknown_schedule"):
        round_.act(lambda c: schedules.remove(c, number, "anna", NOW_S))


@pytest.mark.parametrize(
    ("code", "args", "changes"),
    [
        (messages.COMMAND_RESTART, (), {}),
        (messages.COMMAND_REKEY, (), {}),
        (messages.COMMAND_READ_NOW, (1,), {}),
        (messages.COMMAND_READ_PROFILE, (), {}),
        (messages.COMMAND_READ_PROFILE, (0,), {}),
        (messages.COMMAND_READ_PROFILE, (2977,), {}),
        (messages.COMMAND_READ_NOW, (), {"every_s": 59}),
        (messages.COMMAND_READ_NOW, (), {"every_s": schedules.EVERY_S_MAX + 1}),
        (messages.COMMAND_READ_NOW, (), {"every_s": None}),
        (messages.COMMAND_READ_NOW, (), {"daily_s": 0}),
        (messages.COMMAND_READ_NOW, (), {"every_s": None, "daily_s": 86_400}),
        (messages.COMMAND_READ_NOW, (), {"jitter_s": 3601}),
        (messages.COMMAND_READ_NOW, (), {"jitter_s": -1}),
        (messages.COMMAND_READ_NOW, (), {"meters": [METERS[0].meter_id] * 1001}),
    ],
)
def test_a_schedule_out_of_its_limits_is_refused(
    round_: Round, code: int, args: tuple[int, ...], changes: dict[str, Any]
) -> None:
    with pytest.raises(CommandRefused):
        round_.add(code, *args, **changes)
    assert schedules.rows(round_.store.connection) == []


@pytest.mark.parametrize(
    ("code", "args", "changes"),
    [
        (messages.COMMAND_READ_PROFILE, (2976,), {}),
        (messages.COMMAND_READ_NOW, (), {"every_s": 60}),
        (messages.COMMAND_READ_NOW, (), {"every_s": schedules.EVERY_S_MAX}),
        (messages.COMMAND_SET_CLOCK, (), {"every_s": None, "daily_s": 86_399}),
        (messages.COMMAND_READ_NOW, (), {"jitter_s": 3600}),
        (messages.COMMAND_READ_NOW, (), {"meters": [METERS[0].meter_id] * 1000}),
    ],
)
def test_a_schedule_at_its_limits_is_kept(
    round_: Round, code: int, args: tuple[int, ...], changes: dict[str, Any]
) -> None:
    round_.add(code, *args, **changes)
    assert len(schedules.rows(round_.store.connection)) == 1


def test_a_hundred_schedules_are_kept_and_no_more(round_: Round) -> None:
    for _ in range(schedules.SCHEDULES_MAX):
        round_.add()
    with pytest.raises(CommandRefused, match="limit"):
        round_.add()


def test_a_disk_that_fails_only_puts_a_round_off(
    round_: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    round_.add()
    round_.now_s += 3600

    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(schedules, "_next_meters", broken)
    assert not asyncio.run(round_.schedules.look())
    monkeypatch.undo()
    round_.look()
    assert len(round_.rows()) == 3
