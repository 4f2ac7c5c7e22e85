"""The second door and time: last wills that are stale, windows that are small, late answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.fake_broker import PUBACK, SUBSCRIBE, FakeBroker, a_broker
from tests.support.gateway import Client, FakeMeter, a_gateway, a_meter, rows, until
from tests.support.second_door import GRACE_S, QUICK, a_door, a_pair, behind, up
from wire import topics


def test_a_last_will_ends_a_meter_unless_it_is_stale(tmp_path: Path) -> None:
    meter = a_meter()
    gone = topics.gone(meter.meter_id)

    async def story() -> None:
        async with a_pair("3.1.1", tmp_path, meter) as (broker, _, door, ears):
            broker.deliver(up(meter), meter.frame(), 1)
            await until(lambda: ears.heard == [f"here {meter.hex_id}"])
            broker.deliver(gone, b"", 2, retained=True)
            broker.deliver(gone, b"", 3)
            broker.deliver(up(meter), meter.frame(), 4)  # it lives
            await asyncio.sleep(2 * GRACE_S)
            assert broker.pubacks() == [1, 2, 3, 4]
            assert (ears.heard, door.stale_wills) == ([f"here {meter.hex_id}"], 2)
            broker.deliver(gone, b"", 5)
            await until(lambda: len(ears.heard) == 2)
            broker.deliver(up(meter), meter.frame(), 6)
            await until(lambda: len(ears.heard) == 3)
            assert ears.heard[1:] == [f"gone {meter.hex_id} last_will", f"here {meter.hex_id}"]
        assert rows(tmp_path, "SELECT count(*) FROM last_will") == [(1,)]

    asyncio.run(story())


def test_a_will_from_the_broker_does_not_end_a_session_at_the_other_door(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_pair("3.1.1", tmp_path, meter) as (broker, gateway, door, ears):
            client = await Client.join(gateway.port, meter)
            broker.deliver(topics.gone(meter.meter_id), b"", 1)
            await until(lambda: door.stale_wills == 1)
            await asyncio.sleep(2 * GRACE_S)
            assert ears.heard == [f"here {meter.hex_id}"]
            client.publish(meter, meter.frame(), 1)  # both doors lead to one acceptance
            assert await client.puback() == 1
            await client.close()
            sealed = meter.frame()
            broker.deliver(up(meter), sealed, 2)
            broker.deliver(up(meter), sealed, 3)
            await until(lambda: broker.pubacks() == [1, 2, 3])
            assert (gateway.intake.accepted, gateway.intake.duplicates) == (2, 1)
        assert rows(tmp_path, "SELECT count(*) FROM last_will") == [(0,)]

    asyncio.run(story())


class Windowed:
    """Sends a meter's frames with so many unacknowledged, and no more, as a broker should."""

    def __init__(self, broker: FakeBroker, meter: FakeMeter, window: int, frames: int) -> None:
        self._broker, self._meter, self._window, self._frames = broker, meter, window, frames
        self.sent = 0

    async def run(self) -> None:
        while self.sent < self._frames:
            while self.sent < self._frames and self.sent - self.acked < self._window:
                self.sent += 1
                self._broker.deliver(up(self._meter), self._meter.frame(), self.sent)
            await asyncio.sleep(0)
        await until(lambda: self.acked == self._frames)

    @property
    def acked(self) -> int:
        return sum(first == PUBACK for first, _ in self._broker.heard)


@pytest.mark.parametrize("receive_maximum", [20, 2000])
def test_a_broker_that_sends_no_more_than_twenty_ahead_never_waits_for_a_clock(
    tmp_path: Path, receive_maximum: int
) -> None:
    meter = a_meter()

    async def story() -> float:
        async with a_broker() as broker:
            config = behind(broker, tmp_path, meter, receive_maximum=receive_maximum)
            async with a_door(config) as (gateway, _, _):
                loop = asyncio.get_running_loop()
                began = loop.time()
                await Windowed(broker, meter, window=20, frames=400).run()
                assert gateway.intake.accepted == 400
                return loop.time() - began

    assert asyncio.run(story()) < 5  # 20 windows


@pytest.mark.parametrize(("window", "group"), [(4, 1), (20, 5), (40, 10)])
def test_a_group_takes_a_quarter_of_the_receive_window(
    tmp_path: Path, window: int, group: int
) -> None:
    meter, groups = a_meter(), []

    async def story() -> None:
        async with a_broker("5") as broker:
            config = behind(broker, tmp_path, meter, receive_maximum=window)
            async with a_door(config) as (gateway, door, _):
                gateway.intake.on_group = lambda done: groups.append(done.frames)
                for number in range(window):
                    broker.deliver(up(meter), meter.frame(), number + 1)
                await until(lambda: len(broker.pubacks()) == window)
                assert door.held == 0
        assert max(groups) == group
        assert sum(groups) == window

    asyncio.run(story())


@pytest.mark.parametrize("code", [0x80, 0])
def test_a_broker_that_grants_less_than_we_need_is_not_used(tmp_path: Path, code: int) -> None:
    async def story() -> None:
        async with a_broker() as broker:
            broker.suback_code = code
            async with a_gateway(behind(broker, tmp_path, a_meter())) as gateway:
                door = gateway.broker
                assert door is not None
                door._timing = QUICK
                await until(lambda: broker.connects >= 2)  # it tries again
                broker.suback_code = 1
                await until(lambda: door.connected and len(broker.bodies(SUBSCRIBE)) > 2)

    asyncio.run(story())
