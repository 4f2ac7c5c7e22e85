"""Sessions over real sockets: who is let in, what they may do, and how they end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.doors import connection, endpoint
from gateway.mqtt import packets
from gateway.mqtt.packets import Subscribe, Unsubscribe, Will
from tests.support.gateway import (
    Client,
    a_gateway,
    a_home,
    a_meter,
    journal_of,
    refusals,
    rows,
    until,
)
from wire import topics


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"password": b"not the password at all"}, packets.BAD_PASSWORD, "bad_password"),
        ({"user": None, "password": None}, packets.BAD_PASSWORD, "no_credentials"),
        ({"password": None}, packets.BAD_PASSWORD, "no_credentials"),
        ({"user": "0" * 16}, packets.NOT_AUTHORISED, "unknown_meter"),
        ({"user": "nobody"}, packets.NOT_AUTHORISED, "unknown_meter"),
        ({"client_id": "", "clean": False}, packets.BAD_CLIENT_ID, "bad_client_id"),
        ({"will": Will("m/00/other/gone", b"")}, packets.NOT_AUTHORISED, "wrong_topic"),
    ],
)
def test_who_is_not_let_in_is_told_why_and_counted(
    tmp_path: Path, changes: dict[str, object], code: int, reason: str
) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.open(gateway.port)
            assert await client.connect(meter, **changes) == code
            assert await client.is_closed()
            await client.close()
        assert refusals(tmp_path) == {reason: 1}

    asyncio.run(story())


@pytest.mark.parametrize("client_id", ["", "mosquitto_pub", "a" * 100])
def test_the_user_says_which_meter_it_is_whatever_the_client_id(
    tmp_path: Path, client_id: str
) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            first = await Client.join(gateway.port, meter)
            second = await Client.open(gateway.port)
            assert await second.connect(meter, client_id=client_id) == packets.ACCEPTED
            assert await first.is_closed()
            await first.close()
            await second.close()

    asyncio.run(story())


def test_another_protocol_level_gets_return_code_1(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_gateway(a_home(tmp_path)) as gateway:
            client = await Client.open(gateway.port)
            client.send(b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02ab")
            assert await client.expect(0x20) == bytes((0, packets.BAD_PROTOCOL))
            assert await client.is_closed()
            await client.close()
        assert refusals(tmp_path) == {"mqtt_protocol_level": 1}

    asyncio.run(story())


def test_a_meter_hears_its_own_down_topic_only(tmp_path: Path) -> None:
    meter, other = a_meter(1), a_meter(2)

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter, other)) as gateway:
            client = await Client.join(gateway.port, meter)
            wanted = [topics.down(other.meter_id), "#", topics.down(meter.meter_id), "m/+/+/down"]
            client.send(packets.subscribe(Subscribe(9, tuple((topic, 1) for topic in wanted))))
            assert await client.expect(0x90) == b"\x00\x09\x80\x80\x00\x80"
            client.send(packets.unsubscribe(Unsubscribe(10, (topics.down(meter.meter_id),))))
            assert await client.expect(0xB0) == b"\x00\x0a"
            client.publish(meter, meter.frame(), packet_id=1)
            assert await client.puback() == 1
            client.send(packets.PINGREQ)
            await client.expect(0xD0)
            assert client.received == []  # no receipt: it unsubscribed
            await client.close()
        assert refusals(tmp_path) == {"wrong_topic": 3}

    asyncio.run(story())


def test_a_publish_to_another_topic_is_counted_and_ends_the_session(tmp_path: Path) -> None:
    meter, other = a_meter(1), a_meter(2)

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter, other)) as gateway:
            client = await Client.join(gateway.port, meter)
            client.send(packets.publish(topics.up(other.meter_id), other.frame(), 1))
            assert await client.is_closed()
            assert client.received == []
            await client.close()
        assert refusals(tmp_path) == {"wrong_topic": 1}
        assert len(journal_of(tmp_path)) == 0

    asyncio.run(story())


def test_the_newest_connect_of_a_meter_is_its_session(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            will = Will(topics.gone(meter.meter_id), b"gone")
            first = await Client.join(gateway.port, meter, will=will)
            second = await Client.join(gateway.port, meter)
            assert await first.is_closed()
            second.publish(meter, meter.frame(), packet_id=1)
            assert await second.puback() == 1
            assert len(gateway.endpoint.sessions) == 1
            await first.close()
            await second.close()
        assert rows(tmp_path, "SELECT * FROM last_will") == []  # the meter is not gone

    asyncio.run(story())


def test_the_will_is_recorded_when_the_line_is_lost_and_not_after_a_goodbye(tmp_path: Path) -> None:
    lost, polite = a_meter(1), a_meter(2)

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, lost, polite)) as gateway:
            for meter in (lost, polite):
                will = Will(topics.gone(meter.meter_id), b"last words")
                client = await Client.join(gateway.port, meter, will=will)
                if meter is polite:
                    client.send(packets.DISCONNECT)
                    assert await client.is_closed()
                await client.close()
            await until(lambda: not gateway.endpoint.sessions)
        wills = rows(tmp_path, "SELECT meter_id, why, message, times FROM last_will")
        assert wills == [(lost.meter_id, "line_lost", b"last words", 1)]

    asyncio.run(story())


def test_a_silent_meter_is_closed_after_one_and_a_half_keep_alives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = a_meter()
    monkeypatch.setattr(endpoint, "SWEEP_S", 0.05)

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            loop = asyncio.get_running_loop()
            will = Will(topics.gone(meter.meter_id), b"")
            client = await Client.join(gateway.port, meter, keep_alive_s=1, will=will)
            started = loop.time()
            assert await client.is_closed()
            assert 1.4 < loop.time() - started < 3
            await client.close()
        assert rows(tmp_path, "SELECT why FROM last_will") == [("keep_alive",)]

    asyncio.run(story())


def test_a_line_without_connect_is_closed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "SWEEP_S", 0.05)
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.2)

    async def story() -> None:
        async with a_gateway(a_home(tmp_path)) as gateway:
            client = await Client.open(gateway.port)
            assert await client.is_closed()
            await client.close()

    asyncio.run(story())


def test_connections_beyond_the_limit_are_closed_and_counted(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        config = a_home(tmp_path, meter)
        config.write_text(config.read_text() + "[limits]\nconnections = 2\n")
        async with a_gateway(config) as gateway:
            client, idle = await Client.join(gateway.port, meter), await Client.open(gateway.port)
            third = await Client.open(gateway.port)
            assert await third.is_closed()
            client.publish(meter, meter.frame(), packet_id=1)
            assert await client.puback() == 1
            await idle.close()
            await until(lambda: len(gateway.endpoint._connections) == 1)
            fourth = await Client.join(gateway.port, meter)
            for line in (client, third, fourth):
                await line.close()
        assert refusals(tmp_path) == {"too_many_connections": 1}

    asyncio.run(story())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n", "mqtt_malformed"),
        (b"\x10\xff\xff\xff\x7f", "mqtt_too_large"),
        (packets.PINGREQ, "mqtt_unexpected"),
        (packets.publish("a", b"b"), "mqtt_unexpected"),
    ],
)
def test_a_stranger_who_speaks_something_else_is_closed(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    async def story() -> None:
        async with a_gateway(a_home(tmp_path)) as gateway:
            client = await Client.open(gateway.port)
            client.send(data)
            assert await client.is_closed()
            assert client.received == []
            await client.close()
        assert refusals(tmp_path) == {reason: 1}

    asyncio.run(story())


def test_an_oversized_packet_ends_the_session_and_counts_for_its_meter(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.join(gateway.port, meter)
            client.publish(meter, bytes(3000), packet_id=1)
            assert await client.is_closed()
            await client.close()
        assert rows(tmp_path, "SELECT meter_id, reason FROM refusal") == [
            (meter.meter_id, "mqtt_too_large")
        ]

    asyncio.run(story())
