"""Per-topic authorisation: a session speaks and hears for one meter, in both directions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.mqtt import packets
from gateway.mqtt.packets import Subscribe, Will
from tests.support.gateway import Client, a_gateway, a_home, a_meter, refusals, rows
from wire import topics

OWN, OTHER = a_meter(1), a_meter(2)
ALLOWED = {
    "publish": topics.up(OWN.meter_id),
    "subscribe": topics.down(OWN.meter_id),
    "will": topics.gone(OWN.meter_id),
}
TOPICS = [
    *(make(one.meter_id) for one in (OWN, OTHER) for make in (topics.up, topics.down, topics.gone)),
    topics.up(OWN.meter_id).upper(),
    topics.up(OWN.meter_id) + "/",
    topics.down(OWN.meter_id) + "/#",
    "/" + topics.up(OWN.meter_id),
    "m/00/" + OWN.hex_id + "/up",
]  # fmt: skip
WILDCARDS = ["#", "+/+/+/+", "m/+/+/down", f"m/+/{OWN.hex_id}/down", "$SYS/#", "$share/g/#"]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_session_publishes_to_its_own_up_topic_alone(tmp_path: Path, topic: str) -> None:
    async def story() -> None:
        async with a_gateway(a_home(tmp_path, OWN, OTHER)) as gateway:
            client = await Client.join(gateway.port, OWN)
            client.send(packets.publish(topic, a_meter(1).frame(), 1))
            if topic == ALLOWED["publish"]:
                assert await client.puback() == 1
            else:
                assert await client.is_closed()
            await client.close()
        assert len(rows(tmp_path, "SELECT 1 FROM refusal WHERE reason = 'wrong_topic'")) == (
            topic != ALLOWED["publish"]
        )

    asyncio.run(story())


def test_a_session_subscribes_to_its_own_down_topic_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_gateway(a_home(tmp_path, OWN, OTHER)) as gateway:
            client = await Client.open(gateway.port)
            assert await client.connect(OWN) == packets.ACCEPTED
            for packet_id, topic in enumerate([*TOPICS, *WILDCARDS], 1):
                client.send(packets.subscribe(Subscribe(packet_id, ((topic, 1),))))
                granted = (await client.expect(0x90))[2] != packets.SUBSCRIBE_REFUSED
                assert granted == (topic == ALLOWED["subscribe"]), topic
            await client.close()
        assert refusals(tmp_path) == {"wrong_topic": len([*TOPICS, *WILDCARDS]) - 1}

    asyncio.run(story())


def test_a_session_leaves_its_will_at_its_own_gone_topic_alone(tmp_path: Path) -> None:
    async def story() -> None:
        config = a_home(tmp_path, OWN, OTHER)
        config.write_text(config.read_text() + "[limits]\nconnects_per_minute = 1000\n")
        async with a_gateway(config) as gateway:
            for topic in TOPICS:
                client = await Client.open(gateway.port)
                code = await client.connect(OWN, will=Will(topic, b"gone"))
                allowed = topic == ALLOWED["will"]
                wanted = packets.ACCEPTED if allowed else packets.NOT_AUTHORISED
                assert code == wanted, topic
                await client.close()

    asyncio.run(story())


def test_what_one_meter_sends_reaches_no_other(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_gateway(a_home(tmp_path, OWN, OTHER)) as gateway:
            mine = await Client.join(gateway.port, OWN)
            theirs = await Client.join(gateway.port, OTHER)
            meter = a_meter(1)
            for packet_id in range(1, 20):
                mine.publish(meter, meter.frame(), packet_id)
                assert await mine.puback() == packet_id
            theirs.send(packets.PINGREQ)
            assert await theirs.expect(0xD0) == b""
            assert theirs.received == []
            await mine.close()
            await theirs.close()

    asyncio.run(story())
