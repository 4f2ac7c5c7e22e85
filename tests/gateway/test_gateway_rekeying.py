"""A rekey with the meter's own code at the other end: cut anywhere, both still understand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.downlink import commands
from gateway.service import Service
from tests.support.a_commander import STATUS, Obeying, a_config, act, epochs, rotate, states
from tests.support.a_meter import METER_ID, METER_KEY
from tests.support.a_talk import BLOCKS, TalkingMeter
from tests.support.fake_flash import FakeFlash
from tests.support.gateway import Client, FakeMeter, a_gateway, a_home, a_meter, until
from wire import messages
from wire.keys import EpochKey
from wire.messages import Result

FAKE = FakeMeter(METER_ID, METER_KEY, "a-password-of-128-random-bits")
TALK_S = 0.15  # what an answer of the gateway may take here
TURNS = 40


class Bridge:
    """The meter's own uplink on a real line to the gateway, which may lose what comes down."""

    def __init__(self) -> None:
        self.meter = TalkingMeter(FakeFlash(BLOCKS))
        self.drop: set[int] = set()  # the frames from the gateway that are lost, counted from 0
        self.heard = 0

    def restart(self) -> None:
        """Power was lost: what is in flash is left."""
        self.meter = TalkingMeter(self.meter.flash.after_power_on())

    async def talk(self, port: int, turns: int, done: Any) -> None:
        """Frames up and down until `done` or the line breaks."""
        try:
            async with asyncio.timeout(1):
                client = await Client.join(port, FAKE)
        except TimeoutError:
            return  # cut dead before the CONNACK
        self.meter.uplink.link_up()
        try:
            for _ in range(turns):
                outgoing = self.meter.send() or self.meter.later()
                if outgoing is not None:
                    client.publish(FAKE, outgoing.frame, 1)
                await self._listen(client)
                if done():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.meter.uplink.link_down()
            await client.close()

    async def _listen(self, client: Client) -> None:
        """What the gateway says within TALK_S."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TALK_S):
                while True:
                    first, body = await client.packet()
                    if first == 0x30:
                        number, self.heard = self.heard, self.heard + 1
                        size = int.from_bytes(body[:2], "big")
                        if number not in self.drop:
                            topic = body[2 : 2 + size].decode()
                            self.meter.uplink.receive(topic, body[2 + size :])


async def live(home: Path, bridge: Bridge, *, cut_after: int | None = None) -> int:
    """One life of the gateway, cut dead after so many transactions of it; how many there were."""
    service = Service(a_config(home, retry_s=1))
    await service.start()
    run, count = service.store.run, 0
    dead = asyncio.Event()

    async def counted(work: Any) -> Any:
        nonlocal count
        if dead.is_set():
            await asyncio.Event().wait()
        outcome = await run(work)
        count += 1
        if cut_after is not None and count > cut_after:
            dead.set()
            await asyncio.Event().wait()  # committed, and nothing follows from it
        return outcome

    vars(service.store)["run"] = counted

    def finished() -> bool:
        done = states(home.parent) == ["done"] and epochs(home.parent) == [1]
        return dead.is_set() or done

    await bridge.talk(service.port, TURNS, finished)
    if not dead.is_set():
        del vars(service.store)["run"]
        await service.stop()
        return count
    for task in service._tasks:
        task.cancel()
    await service.endpoint.stop()
    await asyncio.gather(*service._tasks, return_exceptions=True)
    service.store.close()
    return count


def assert_both_have_the_new_key_alone(home: Path, bridge: Bridge) -> None:
    assert states(home.parent) == ["done"]
    assert epochs(home.parent) == [1]
    assert bridge.meter.settings.key_epoch == 1
    assert bridge.meter.settings.pending is None


def test_a_rekey_is_done_and_the_old_key_destroyed(tmp_path: Path) -> None:
    home = a_home(tmp_path, FAKE)
    rotate(tmp_path, METER_ID)
    assert epochs(tmp_path) == [0, 1]
    bridge = Bridge()
    asyncio.run(live(home, bridge))
    assert_both_have_the_new_key_alone(home, bridge)


@pytest.mark.parametrize("cut_after", range(12))
def test_a_gateway_cut_after_any_transaction_of_a_rekey_reaches_the_meter_again(
    tmp_path: Path, cut_after: int
) -> None:
    home = a_home(tmp_path, FAKE)
    rotate(tmp_path, METER_ID)
    bridge = Bridge()
    asyncio.run(live(home, bridge, cut_after=cut_after))
    asyncio.run(live(home, bridge))
    assert_both_have_the_new_key_alone(home, bridge)


@pytest.mark.parametrize("lost", [{0}, {1}, {2}, {3}, {0, 1, 2}])
def test_a_rekey_bears_that_what_the_gateway_says_is_lost(tmp_path: Path, lost: set[int]) -> None:
    home = a_home(tmp_path, FAKE)
    rotate(tmp_path, METER_ID)
    bridge = Bridge()
    bridge.drop = lost
    for _ in range(3):
        asyncio.run(live(home, bridge))
    assert_both_have_the_new_key_alone(home, bridge)


def test_a_meter_that_loses_power_amid_a_rekey_is_reached_under_one_of_the_keys(
    tmp_path: Path,
) -> None:
    home = a_home(tmp_path, FAKE)
    rotate(tmp_path, METER_ID)
    bridge = Bridge()
    bridge.drop = {2, 3, 4, 5}
    asyncio.run(live(home, bridge, cut_after=8))
    bridge.restart()
    bridge.drop = set()
    asyncio.run(live(home, bridge))
    assert_both_have_the_new_key_alone(home, bridge)


# ------------------------------------------------------------------ what does not come to its end

METER = a_meter(1)


def test_a_refused_rekey_leaves_both_keys_acceptable_and_the_next_one_takes_a_newer_epoch(
    tmp_path: Path,
) -> None:
    home = a_home(tmp_path, METER)
    rotate(tmp_path, METER.meter_id)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            meter.answer = lambda command: Result(command.command_id, 2, b"key_epoch")
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: states(tmp_path) == ["refused"])
            assert epochs(tmp_path) == [0, 1]
            rotate(tmp_path, METER.meter_id)
            assert epochs(tmp_path) == [0, 1, 2]
            meter.say(STATUS)
            await until(lambda: service.intake.accepted >= 3)
            assert not service.intake.refused
            await meter.leave()

    asyncio.run(go())


def test_a_meter_that_said_no_and_yet_uses_the_new_key_is_understood(tmp_path: Path) -> None:
    """As OSGP recovers: after a change that failed, the new keys are tried, too."""
    home = a_home(tmp_path, METER)
    rotate(tmp_path, METER.meter_id)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            meter.answer = lambda command: Result(command.command_id, 3, b"flash_worn")
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: states(tmp_path) == ["failed"])
            meter.keys[1] = EpochKey(1, meter.heard[0].args[1])
            meter.epoch = 1
            meter.say(STATUS)
            await until(lambda: epochs(tmp_path) == [1])
            await meter.leave()

    asyncio.run(go())


def test_a_meter_that_is_here_when_it_is_rekeyed_may_use_the_new_key_at_once(
    tmp_path: Path,
) -> None:
    home = a_home(tmp_path, METER)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            meter.answer = lambda command: None  # the answer is lost, the key is there
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: meter.epochs_heard)
            rotate(tmp_path, METER.meter_id)
            service.downlink.wake(METER.meter_id)
            await until(lambda: meter.heard)
            meter.keys[1] = EpochKey(1, meter.heard[0].args[1])
            meter.epoch = 1
            meter.say(STATUS)
            await until(lambda: epochs(tmp_path) == [1])
            assert not service.intake.refused
            await meter.leave()

    asyncio.run(go())


def test_until_the_meter_uses_the_new_key_it_hears_the_gateway_under_the_old_one(
    tmp_path: Path,
) -> None:
    """A frame of ours under the new key would end the rekey at the meter before its time."""
    home = a_home(tmp_path, METER)
    rotate(tmp_path, METER.meter_id)
    later = lambda connection: commands.queue(  # noqa: E731
        connection, METER.meter_id, messages.COMMAND_READ_NOW, (), actor="anna",
        now_s=int(time.time()),
    )  # fmt: skip

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: states(tmp_path) == ["done"])
            act(tmp_path, later)
            await until(lambda: states(tmp_path) == ["done", "done"])
            assert set(meter.epochs_heard) == {0}
            meter.keys[1] = EpochKey(1, meter.heard[0].args[1])
            meter.epoch = 1
            meter.say(STATUS)
            act(tmp_path, later)
            await until(lambda: states(tmp_path) == ["done"] * 3)
            assert meter.epochs_heard[-1] == 1
            await meter.leave()

    asyncio.run(go())
