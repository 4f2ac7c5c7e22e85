"""The publisher: what a broker acknowledged arrived, and whatever else it does has a name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.doors.broker_link import Timing, backoff_s
from gateway.errors import ConfigError, PublishLost, PublishRefused
from gateway.mqtt.client_packets import Version
from gateway.mqtt.mqtt_client import (
    IN_FLIGHT_MAX,
    PUBLISH_BYTES_MAX,
    TOPIC_BYTES_MAX,
    MqttClient,
    remote_of,
)
from gateway.mqtt.packets import Will
from tests.support.fake_broker import CONNECT, DISCONNECT, PINGREQ, FakeBroker, a_broker, packet
from tests.support.gateway import until

QUICK = Timing(connect_s=0.3, ping_s=0.05, answer_s=0.1, base_s=0.01, cap_s=0.02, steady_s=1.0)
VERSIONS: tuple[Version, ...] = ("3.1.1", "5")


@contextlib.asynccontextmanager
async def a_client(broker: FakeBroker, **changes: Any) -> AsyncIterator[MqttClient]:
    client = MqttClient(
        remote_of(broker.url), "gw-1", timing=QUICK, chance=lambda: 0.5,
        version="5" if broker.five else "3.1.1", **changes,
    )  # fmt: skip
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_publish_returns_when_the_broker_has_acknowledged_it(version: Version) -> None:
    async def story() -> None:
        async with a_broker(version) as broker, a_client(broker) as client:
            broker.puback_code = None
            waiting = asyncio.create_task(client.publish("a/b", b"reading"))
            await until(lambda: len(broker.bodies(0x30)) == 1)
            await asyncio.sleep(0.02)
            assert not waiting.done()
            broker.send(packet(0x40, b"\0\1"))
            await asyncio.wait_for(waiting, 1)
            assert broker.bodies(0x30) == [b"\0\3a/b\0\1" + b"\0" * broker.five + b"reading"]

    asyncio.run(story())


def test_a_connection_that_ends_before_the_puback_loses_the_publish_by_name() -> None:
    async def story() -> None:
        async with a_broker() as broker, a_client(broker) as client:
            broker.puback_code = None
            waiting = asyncio.create_task(client.publish("a/b", b"reading"))
            await until(lambda: len(broker.bodies(0x30)) == 1)
            broker.drop()
            with pytest.raises(PublishLost, match="send it again"):
                await waiting
            broker.puback_code = 0
            await client.publish("a/b", b"reading")
            assert broker.connects == 2

    asyncio.run(story())


def test_a_publish_waits_for_a_connection() -> None:
    async def story() -> None:
        async with a_broker() as broker:
            broker.connack_code = 3
            async with a_client(broker) as client:
                waiting = asyncio.create_task(client.publish("a/b", b"reading"))
                await until(lambda: broker.connects >= 2)
                assert not client.connected
                broker.connack_code = 0
                await waiting
                assert client.connected

    asyncio.run(story())


@pytest.mark.parametrize("code", [0x80, 0x87, 0x97])
def test_a_broker_of_mqtt_5_may_refuse_a_publish_for_good(code: int) -> None:
    async def story() -> None:
        async with a_broker("5") as broker, a_client(broker) as client:
            broker.puback_code = code
            with pytest.raises(PublishRefused, match=f"{code:#04x}"):
                await client.publish("a/b", b"reading")
            broker.puback_code = 0x10  # no subscriber: not a refusal
            await client.publish("a/b", b"reading")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("said", "publishes"),
    [(b"", IN_FLIGHT_MAX), (b"\x21\0\5", 5), (b"\x21\xff\xff", IN_FLIGHT_MAX)],
)
def test_no_more_is_in_flight_than_the_broker_and_we_allow(said: bytes, publishes: int) -> None:
    async def story() -> None:
        async with a_broker("5") as broker:
            broker.connack_properties, broker.puback_code = said, None
            async with a_client(broker) as client:
                tasks = [
                    asyncio.create_task(client.publish("a", b"%d" % number)) for number in range(99)
                ]
                await until(lambda: len(broker.bodies(0x30)) >= publishes)
                await asyncio.sleep(0.02)
                assert len(broker.bodies(0x30)) == publishes
                broker.send(packet(0x40, b"\0\1"))
                await until(lambda: len(broker.bodies(0x30)) == publishes + 1)
                for task in tasks:
                    task.cancel()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("topic", "size", "good"),
    [
        ("a", PUBLISH_BYTES_MAX - 1, True),
        ("a", PUBLISH_BYTES_MAX, True),
        ("a", PUBLISH_BYTES_MAX + 1, False),
        ("a" * (TOPIC_BYTES_MAX - 1), 1, True),
        ("a" * TOPIC_BYTES_MAX, 1, True),
        ("a" * (TOPIC_BYTES_MAX + 1), 1, False),
        ("", 1, False),
        ("a/+", 1, False),
        ("#", 1, False),
        ("a\0", 1, False),
    ],
)
def test_topic_and_size_of_a_publish_are_bounded(topic: str, size: int, good: bool) -> None:
    async def story() -> None:
        async with a_broker() as broker, a_client(broker) as client:
            if good:
                await client.publish(topic, bytes(size))
            else:
                with pytest.raises(PublishRefused):
                    await client.publish(topic, bytes(size))

    asyncio.run(story())


def test_a_packet_longer_than_the_broker_takes_is_refused_here() -> None:
    async def story() -> None:
        async with a_broker("5") as broker:
            broker.connack_properties = b"\x27\0\0\0\x20"  # 32 bytes
            async with a_client(broker) as client:
                await client.publish("a", bytes(24))
                with pytest.raises(PublishRefused, match="32 bytes"):
                    await client.publish("a", bytes(25))

    asyncio.run(story())


@pytest.mark.parametrize("version", VERSIONS)
def test_the_birth_is_published_retained_after_every_connect(version: Version) -> None:
    async def story() -> None:
        async with a_broker(version) as broker, a_client(broker, birth=("a", b"on")) as client:
            for connects in (1, 2, 3):
                await until(lambda number=connects: len(broker.bodies(0x30)) == number)
                assert {first for first, _ in broker.heard if first & 0xF0 == 0x30} == {0x33}
                broker.drop()
            assert client is not None

    asyncio.run(story())


def test_a_client_with_a_will_leaves_so_that_the_will_is_published() -> None:
    async def story(version: Version, will: Will | None) -> list[bytes]:
        async with a_broker(version) as broker:
            async with a_client(broker, will=will) as client:
                await until(lambda: client.connected)
            await asyncio.sleep(0.05)
            return broker.bodies(DISCONNECT)

    will = Will("a", b"off")
    assert asyncio.run(story("3.1.1", None)) == [b""]
    assert asyncio.run(story("3.1.1", will)) == []
    assert asyncio.run(story("5", None)) == [b""]
    assert asyncio.run(story("5", will)) == [b"\x04"]


def test_a_broker_that_falls_silent_is_left_and_joined_again() -> None:
    async def story() -> None:
        async with a_broker() as broker, a_client(broker) as client:
            await until(lambda: len(broker.bodies(PINGREQ)) > 3)
            assert broker.connects == 1  # it answers, so the line stays
            broker.answers_pings = False
            await until(lambda: broker.connects == 2)
            assert client is not None

    asyncio.run(story())


def test_a_broker_that_never_answers_connect_is_given_up_in_time() -> None:
    async def story() -> None:
        async with a_broker() as broker:
            broker.says_connack = False
            async with a_client(broker) as client:
                await until(lambda: len(broker.bodies(CONNECT)) == 2, limit_s=3)
                assert not client.connected

    asyncio.run(story())


CONNACK = {
    "3.1.1": b"\x20\x02\x00\x00",
    "5": b"\x20\x0b\x00\x00\x08\x21\x00\x14\x27\x00\x01\x00\x00",
}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_connack_that_breaks_after_any_byte_is_survived(version: Version) -> None:
    async def story() -> None:
        async with a_broker(version) as broker, a_client(broker) as client:
            for cut in range(len(CONNACK[version])):
                before = broker.connects
                broker.raw_answer = CONNACK[version][:cut]
                broker.drop()
                await until(lambda number=before: broker.connects > number)
                assert not client.connected
            broker.raw_answer = CONNACK[version]
            broker.drop()
            await until(lambda: client.connected)

    asyncio.run(story())


@pytest.mark.parametrize(
    "answer",
    [b"\x20\x02\x00\x09", b"\xff" * 9, b"\xd0\x00", b"\x32\x05\x00\x01t\x00\x01", b"HTTP/1.1"],
)
def test_an_answer_that_is_no_connack_is_survived(answer: bytes) -> None:
    async def story() -> None:
        async with a_broker() as broker:
            broker.raw_answer = answer
            async with a_client(broker) as client:
                await until(lambda: broker.connects > 1)
                assert not client.connected
                broker.raw_answer = None
                await client.publish("a", b"b")

    asyncio.run(story())


def test_pauses_between_attempts_are_jittered_grow_and_end() -> None:
    timing = Timing()
    assert [backoff_s(n, 1.0, timing) for n in (0, 1, 6, 7, 99)] == [0.5, 1.0, 32.0, 60.0, 60.0]
    assert backoff_s(99, 0.0, timing) == 0.0


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [("mqtt://b", "b", 1883), ("mqtts://b", "b", 8883), ("mqtt://[::1]:5/", "::1", 5)],
)
def test_a_url_names_a_broker(url: str, host: str, port: int) -> None:
    remote = remote_of(url)
    assert (remote.host, remote.port, remote.tls is not None) == (host, port, url[4] == "s")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "b:1883",
        "http://b",
        "mqtt://",
        "mqtt://b:0",
        "mqtt://b:99999",
        "mqtt://b/x",
        "mqtt://b?x",
    ],
)
def test_a_url_that_names_no_broker_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="mqtt://host:port"):
        remote_of(url)


def test_no_password_is_shown_or_taken_from_where_others_see_it(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("not for others\n")
    secret.chmod(0o600)
    remote = remote_of("mqtt://b", "gw", str(secret))
    assert remote.password == b"not for others"
    assert "not for others" not in repr(remote)
    for url in ("mqtt://gw:not-for-others@b", "mqtt://gw:not-for-others@b:0"):
        with pytest.raises(ConfigError) as caught:
            remote_of(url)
        assert "not-for-others" not in str(caught.value)
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        remote_of("mqtt://b", "gw", str(secret))


@pytest.mark.parametrize(
    ("text", "good"), [("", False), ("x" * 512, True), ("x" * 513, False), ("a\nb", False)]
)
def test_a_password_is_one_bounded_line(tmp_path: Path, text: str, good: bool) -> None:
    secret = tmp_path / "password"
    secret.write_text(text)
    secret.chmod(0o600)
    if good:
        assert remote_of("mqtt://b", "gw", str(secret)).password == text.encode()
    else:
        with pytest.raises(ConfigError):
            remote_of("mqtt://b", "gw", str(secret))


def test_settings_that_protect_nothing_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("secret")
    secret.chmod(0o600)
    with pytest.raises(ConfigError, match="set user"):
        remote_of("mqtt://b", None, str(secret))
    with pytest.raises(ConfigError, match="mqtts"):
        remote_of("mqtt://b", None, None, str(secret))
    with pytest.raises(ConfigError, match="PEM"):
        remote_of("mqtts://b", None, None, str(secret))
