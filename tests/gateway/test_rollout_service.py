"""A roll-out in the running gateway, over its own door: order of pieces, receipts, restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway.config import load
from gateway.downlink import commands
from gateway.rollout import rollout_book, updates
from gateway.rollout.rollout_book import Plan
from gateway.service import Service, clock_s
from tests.support.a_rollout import NEW, ModelMeter, a_bundle, a_folder
from tests.support.gateway import Client, FakeMeter, a_gateway, a_home, a_meter, rows
from wire import messages, topics
from wire.messages import Command, Receipt


class Talk:
    """A model meter on a raw connection: answers each command, notes what it heard in order."""

    def __init__(self, folder: Path, fake: FakeMeter) -> None:
        self.folder, self.fake = folder, fake
        self.model = ModelMeter(fake.meter_id)
        self.heard: list[Any] = []
        self.client: Client

    async def join(self, port: int) -> None:
        self.client = await Client.join(port, self.fake)
        await self.say(self.model.greeting())

    async def say(self, *said: Any) -> None:
        for message in said:
            self.client.publish(self.fake, self.fake.seal(message), 1 + self.fake.counter)

    async def next(self) -> Any:
        """The next receipt or command."""
        body = await self.client.expect(0x30)
        size = int.from_bytes(body[:2], "big")
        assert body[2 : 2 + size].decode() == topics.down(self.fake.meter_id)
        message = self.fake.open(body[2 + size :])
        self.heard.append(message)
        return message

    async def next_command(self) -> Command:
        while True:
            message = await self.next()
            if isinstance(message, Command):
                return message

    async def next_receipt(self) -> Receipt:
        while True:
            message = await self.next()
            if isinstance(message, Receipt):
                return message

    async def take_all(self) -> None:
        """Answer pieces until the one that makes it restart was answered."""
        while True:
            result, restarts = self.model.obey(await self.next_command())
            await self.say(result)
            if restarts:
                return

    def state(self) -> str:
        return str(rows(self.folder, "SELECT state FROM rollout_meter")[0][0])

    async def until_state(self, state: str) -> None:
        async with asyncio.timeout(10):
            while self.state() != state:
                await asyncio.sleep(0.02)


async def begin(service: Service, folder: Path, meters: list[bytes]) -> int:
    """An update with one roll-out of it, as the command line begins it in another process."""
    bundle = updates.read_bundle(a_folder(folder / "bundle", a_bundle()))

    def begin(connection: Any) -> int:
        updates.add(connection, bundle, "anna", clock_s())
        update_id, plan = bundle.manifest.update_id, Plan(("100%",), soak_s=0)
        return rollout_book.start(connection, update_id, meters, plan, "anna", clock_s())

    return await service.store.run(begin)


def test_a_meter_that_hears_the_receipt_of_its_restart_is_known_to_restart(
    tmp_path: Path,
) -> None:
    fake = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, fake)) as gateway:
            talk = Talk(tmp_path, fake)
            await talk.join(gateway.port)
            await talk.next_receipt()
            await begin(gateway, tmp_path, [fake.meter_id])
            await talk.take_all()
            assert (await talk.next_receipt()).frame_counter == fake.counter - 1
            assert talk.state() == "restarting"  # durable before the meter may act on it
            await talk.client.close()
            restarted = talk.model.restart()
            talk.client = await Client.join(gateway.port, fake)
            await talk.say(*restarted)
            await talk.until_state("confirmed")
            assert [
                version for (version,) in rows(tmp_path, "SELECT version FROM application")
            ] == [NEW]
            await talk.client.close()

    asyncio.run(story())


def test_nothing_of_the_update_is_sent_after_the_answer_that_restarts(tmp_path: Path) -> None:
    fake = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, fake)) as gateway:
            talk = Talk(tmp_path, fake)
            await talk.join(gateway.port)
            await begin(gateway, tmp_path, [fake.meter_id])
            await talk.take_all()
            await talk.next_receipt()
            await asyncio.sleep(0.3)
            opened = rows(tmp_path, "SELECT count(*) FROM command WHERE state IN ('queued','sent')")
            assert opened == [(0,)]
            await talk.client.close()

    asyncio.run(story())


def test_a_command_of_a_person_goes_between_two_pieces_in_the_order_of_queueing(
    tmp_path: Path,
) -> None:
    fake = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, fake)) as gateway:
            talk = Talk(tmp_path, fake)
            await talk.join(gateway.port)
            await begin(gateway, tmp_path, [fake.meter_id])
            first = await talk.next_command()
            now_s = rows(tmp_path, "SELECT max(queued_s) FROM command")[0][0]
            await gateway.store.run(lambda connection: commands.queue(
                connection, fake.meter_id, messages.COMMAND_READ_NOW, (),
                actor="anna", now_s=now_s))  # fmt: skip
            await talk.say(talk.model.obey(first)[0])
            second = await talk.next_command()
            assert second.code == messages.COMMAND_READ_NOW
            await talk.say(messages.Result(second.command_id, messages.RESULT_DONE, b""))
            third = await talk.next_command()
            assert third.code == messages.COMMAND_UPDATE_CHUNK
            await talk.say(talk.model.obey(third)[0])
            await talk.take_all()
            await talk.next_receipt()
            assert talk.state() == "restarting"
            await talk.client.close()

    asyncio.run(story())


def test_a_session_that_breaks_gets_the_same_piece_again(tmp_path: Path) -> None:
    fake = a_meter()

    async def story() -> None:
        async with a_gateway(load(a_home(tmp_path, fake))) as gateway:
            talk = Talk(tmp_path, fake)
            await talk.join(gateway.port)
            await begin(gateway, tmp_path, [fake.meter_id])
            await talk.say(talk.model.obey(await talk.next_command())[0])
            lost = await talk.next_command()
            await talk.client.close()
            await talk.join(gateway.port)
            again = await talk.next_command()
            assert again == lost
            await talk.say(talk.model.obey(again)[0])
            await talk.take_all()
            await talk.until_state("restarting")
            await talk.client.close()

    asyncio.run(story())


def test_forty_meters_take_an_update_over_their_own_sessions(tmp_path: Path) -> None:
    fakes = [a_meter(number) for number in range(40)]

    async def one(gateway: Service, talk: Talk) -> None:
        await talk.join(gateway.port)
        await talk.take_all()
        await talk.next_receipt()
        await talk.client.close()
        talk.client = await Client.join(gateway.port, talk.fake)
        await talk.say(*talk.model.restart())
        await talk.next_receipt()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, *fakes)) as gateway:
            await begin(gateway, tmp_path, [fake.meter_id for fake in fakes])
            talks = [Talk(tmp_path, fake) for fake in fakes]
            async with asyncio.timeout(60):
                await asyncio.gather(*(one(gateway, talk) for talk in talks))
                while rows(tmp_path, "SELECT state FROM rollout") != [("done",)]:
                    await asyncio.sleep(0.05)
            for talk in talks:
                await talk.client.close()

    asyncio.run(story())
    assert rows(tmp_path, "SELECT state, count(*) FROM rollout_meter") == [("confirmed", 40)]
