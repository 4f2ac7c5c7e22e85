"""The part of the running gateway that rolls updates out: what wakes it, and whom it wakes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway import store
from gateway.audit import Act
from gateway.downlink import commands
from gateway.listener import Said
from gateway.meter import Meter, Progress
from gateway.registry import Registry
from gateway.rollout import rollout_book, rollout_steps
from gateway.rollout.rollout import Rollout
from gateway.store import Store
from tests.support.a_rollout import NOW_S, Fleet, ModelMeter
from wire import cbor, messages


class Ear:
    """A line whose meter listens."""

    acks = bytearray()

    def hears(self, meter: Meter) -> bool:
        return True


class Bench:
    """A part on a store of its own, with a fleet's database."""

    def __init__(self, folder: Path, meters: int) -> None:
        self.fleet = Fleet(folder, meters)
        self.fleet.greet()
        self.store = Store(folder / "gateway.db")
        self.registry = Registry(bytes(32))
        self.woken: list[bytes] = []
        self.rollout = Rollout(
            self.store, self.registry, lambda: NOW_S, self.woken.append, look_s=30.0, rest_s=0.01
        )

    def connect(self, meter: ModelMeter) -> Meter:
        known = self.registry.meters[meter.meter_id] = Meter(meter.meter_id, Progress())
        known.line = Ear()  # type: ignore[assignment]
        return known


def an_act(action: str, subject: str = "1") -> Act:
    return Act(1, NOW_S, "anna", action, subject, "{}")


def test_only_meters_that_listen_now_begin(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, 3)
        first, second, _ = bench.fleet.meters.values()
        bench.connect(first)
        bench.connect(second).line = None
        bench.fleet.start(waves=("100%",))
        await bench.rollout.look()
        assert bench.woken == [first.meter_id]
        assert bench.fleet.states(1) == {"sending": 1, "waiting": 2}
        bench.store.close()

    asyncio.run(story())


def test_an_answer_queues_the_next_piece_and_wakes_its_meter_after_the_commit(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, 1)
        (meter,) = bench.fleet.meters.values()
        known = bench.connect(meter)
        bench.fleet.start()
        await bench.rollout.look()
        bench.woken.clear()
        ((_, _, command_id, code, args),) = bench.fleet.open_commands()
        result, _ = meter.obey(messages.Command(command_id, code, tuple(cbor.decode(args))))
        said = [Said(known, 0, 0, NOW_S, result)]

        def write(connection: Any) -> None:
            commands.note_result(connection, meter.meter_id, result, NOW_S)
            bench.rollout.write(connection, said, NOW_S)

        await bench.store.run(write)
        assert bench.woken == []
        assert len(bench.fleet.open_commands()) == 1
        bench.rollout.committed([known], said)
        assert bench.woken == [meter.meter_id]
        bench.rollout.committed([known], [])
        assert bench.woken == [meter.meter_id]
        bench.store.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("action", "moves"),
    [("rollout.start", True), ("meter.revoke", True), ("key.rotate", False)],
)
def test_an_act_makes_it_look_at_once_and_others_do_not(
    tmp_path: Path, action: str, moves: bool
) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, 2)
        meters = list(bench.fleet.meters.values())
        bench.connect(meters[0])
        running = asyncio.create_task(bench.rollout.run())
        await asyncio.sleep(0.1)
        bench.fleet.start(waves=("100%",))
        is_meter = action.startswith("meter.")
        bench.rollout.acted(an_act(action, meters[1].meter_id.hex() if is_meter else "1"))
        await asyncio.sleep(0.2)
        assert (bench.woken == [meters[0].meter_id]) is moves
        assert bench.fleet.reasons(1) == ({"left"} if is_meter else set())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        bench.store.close()

    asyncio.run(story())


def test_a_store_that_takes_no_writes_delays_it_and_loses_no_act(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, 1)
        (meter,) = bench.fleet.meters.values()
        rollout = bench.fleet.start()
        bench.rollout.acted(an_act("meter.revoke", meter.meter_id.hex()))
        bench.store.connection.execute("PRAGMA query_only = ON")
        await bench.rollout.look()
        assert "rollout_waits" in capsys.readouterr().out
        assert bench.fleet.states(rollout) == {"waiting": 1}
        bench.store.connection.execute("PRAGMA query_only = OFF")
        await bench.rollout.look()
        assert bench.fleet.states(rollout) == {"absent": 1}
        bench.store.close()

    asyncio.run(story())


def test_a_rollout_that_stops_by_itself_says_so_with_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, 1)
        rollout = bench.fleet.start()
        bench.fleet.connection.execute("UPDATE rollout_meter SET state = 'failed'")
        await bench.rollout.look()
        out = capsys.readouterr().out
        assert "rollout_stopped" in out
        assert f"update status {rollout}" in out
        bench.store.close()

    asyncio.run(story())


def test_many_waiting_meters_are_looked_at_page_by_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_steps, "CANDIDATES_MAX", 2)
    fleet = Fleet(tmp_path, 5)
    fleet.start(waves=("100%",))
    seen: list[int] = []
    for _ in range(3):
        page = fleet.do(lambda connection: rollout_steps.candidates(connection, fleet.after))
        seen.append(len(page))
    assert seen == [2, 2, 1]
    assert fleet.after == {1: b""}  # the next look begins from the front


def test_progress_survives_a_restart_of_the_store(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 3)
    fleet.greet()
    rollout = fleet.start(waves=("100%",), at_once=1)
    fleet.look()
    fleet.carry()
    before = rollout_book.meters(fleet.connection, rollout)
    fleet.connection.close()
    fleet.connection = store.connect(tmp_path / "gateway.db")
    assert rollout_book.meters(fleet.connection, rollout) == before
    fleet.settle()
    assert fleet.states(rollout) == {"confirmed": 3}
