"""What the second door holds is bounded, whatever a broker or whoever publishes there sends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.doors import broker as broker_door
from gateway.doors import broker_line, broker_link
from gateway.doors.broker_link import Link, Timing
from tests.support.fake_broker import a_broker
from tests.support.gateway import a_meter, until
from tests.support.second_door import a_door, a_pair, behind, up
from wire import topics


@pytest.mark.parametrize("strangers", [3, 4, 5, 9])
def test_ids_that_are_nobodys_are_remembered_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strangers: int
) -> None:
    monkeypatch.setattr(broker_door, "STRANGERS_MAX", 4)
    monkeypatch.setattr(broker_line, "LOAD_METERS_MAX", 1)

    async def story() -> None:
        async with a_pair("3.1.1", tmp_path, a_meter()) as (broker, gateway, door, _):
            for number in range(strangers):
                broker.deliver(topics.up(number.to_bytes(8, "big")), b"x", number + 1)
            await until(lambda: len(broker.pubacks()) == strangers)
            assert gateway.intake.refused_by == {"unknown_meter": strangers}
            assert len(door._strangers) == (strangers - 1) % 4 + 1

    asyncio.run(story())


@pytest.mark.parametrize("meters", [2, 3, 4, 7])
def test_many_new_meters_are_looked_up_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meters: int
) -> None:
    monkeypatch.setattr(broker_line, "LOAD_METERS_MAX", 3)
    fakes = [a_meter(number) for number in range(meters)]

    async def story() -> list[int]:
        looked: list[int] = []
        async with a_pair("3.1.1", tmp_path, *fakes) as (broker, gateway, door, _):
            load = door.load

            async def counted(meter_ids: dict[bytes, None]) -> None:
                looked.append(len(meter_ids))
                await load(meter_ids)

            monkeypatch.setattr(door, "load", counted)
            broker.send(b"".join(
                broker.publish(up(fake), fake.frame(), number + 1)
                for number, fake in enumerate(fakes)
            ))  # fmt: skip
            await until(lambda: gateway.intake.accepted == meters)
        return looked

    looked = asyncio.run(story())
    assert max(looked) <= 3
    assert sum(looked) == meters


def test_a_broker_that_sends_far_ahead_is_not_read_until_there_is_room(tmp_path: Path) -> None:
    meter = a_meter()
    frames = 3000

    async def story() -> None:
        async with a_broker() as broker:
            config = behind(broker, tmp_path, meter, receive_maximum=40)
            async with a_door(config) as (gateway, door, _):
                most, line = 0, door._line
                assert line is not None
                link = line._link
                assert link is not None
                for number in range(frames):
                    broker.deliver(up(meter), meter.frame(), number + 1)
                while gateway.intake.accepted < frames:
                    await asyncio.sleep(0)
                    most = max(most, door.held)
                    assert link.paused or door.held < 40
                assert most < frames  # no more than one look at the socket brings at once
                await until(lambda: len(broker.pubacks()) == frames)
                assert not link.paused

    asyncio.run(story())


class Stuck(asyncio.Transport):
    """Takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.aborted = 0, False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == broker_link.WRITE_BYTES_HIGH

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.waiting += len(data)

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(("over", "why"), [(-1, ""), (0, ""), (1, broker_link.SLOW)])
def test_a_broker_that_takes_nothing_is_let_go_at_a_limit(over: int, why: str) -> None:
    async def story() -> None:
        link, stuck = Link("3.1.1", lambda told: None, Timing()), Stuck()
        link.connection_made(stuck)
        link.send(bytes(broker_link.WRITE_BYTES_MAX // 2))
        link.send(bytes(broker_link.WRITE_BYTES_MAX // 2 + over))
        assert link.why == why
        assert stuck.aborted == bool(why)

    asyncio.run(story())


@pytest.mark.parametrize("shards", ["00", "00-1f", "00-20", "00-21", "00-fe"])
def test_subscriptions_are_asked_for_in_bounded_packets(tmp_path: Path, shards: str) -> None:
    async def story() -> None:
        async with a_broker() as broker:
            config = behind(broker, tmp_path, a_meter(), shards=shards)
            async with a_door(config) as (_, door, _):
                wanted = len(broker_door.filters_of(door.shards))
                asked = [body.count(b"m/") for first, body in broker.heard if first == 0x82]
                while sum(asked) < wanted:
                    await asyncio.sleep(0.01)
                    asked = [body.count(b"m/") for first, body in broker.heard if first == 0x82]
                assert sum(asked) == wanted
                assert max(asked) <= broker_door.FILTERS_AT_ONCE == 64

    asyncio.run(story())
