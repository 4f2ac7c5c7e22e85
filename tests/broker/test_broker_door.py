"""The second door with a real mosquitto: frames, receipts, kept sessions, shards, TLS."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from gateway.doors import certs
from gateway.mqtt.client_packets import Version
from gateway.mqtt.mqtt_client import MqttClient, remote_of
from gateway.mqtt.packets import Will
from gateway.service import Service
from tests.support.behind_a_broker import behind, join
from tests.support.gateway import FakeMeter, a_gateway, a_meter, journal_of, until
from tests.support.mosquitto import OPEN, PERSISTENT, Mosquitto
from wire import topics

VERSIONS: tuple[Version, ...] = ("3.1.1", "5")


async def joined(gateway: Service) -> None:
    """The door is open and its subscriptions stand."""
    door = gateway.broker
    assert door is not None
    await until(lambda: door.connected)
    await asyncio.sleep(0.1)


async def accepted(gateway: Service, count: int) -> None:
    """So many frames came, none more."""
    await until(lambda: gateway.intake.accepted == count)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_frame_travels_through_mosquitto_and_its_receipt_comes_back(
    tmp_path: Path, version: Version
) -> None:
    meter = a_meter()

    async def story(broker: Mosquitto) -> None:
        async with a_gateway(behind(broker, tmp_path, meter, version=version)) as gateway:
            await joined(gateway)
            client = await join(broker.port, meter)
            client.publish(meter, meter.frame(intervals=4), 1)
            assert (await client.receipt(meter))[:2] == (0, 4)
            assert [row.frame_counter for row in journal_of(tmp_path)] == [0]
            await client.close()  # without DISCONNECT: the broker publishes the last will
            await until(lambda: gateway.broker is not None and gateway.broker._leaving)

    with Mosquitto(tmp_path / "mosquitto") as broker:
        asyncio.run(story(broker))


@pytest.mark.parametrize("version", VERSIONS)
def test_frames_wait_in_the_brokers_session_while_the_gateway_is_away(
    tmp_path: Path, version: Version
) -> None:
    meter = a_meter()

    async def story(broker: Mosquitto) -> None:
        config = behind(broker, tmp_path, meter, version=version)
        async with a_gateway(config) as gateway:
            await joined(gateway)
        client = await join(broker.port, meter)
        for number in range(50):
            client.publish(meter, meter.frame(), number + 1)
        assert [await client.puback() for _ in range(50)] == list(range(1, 51))
        broker.stop()  # SIGTERM: what it keeps is on its disk
        broker.start()
        async with a_gateway(config) as gateway:
            await until(lambda: gateway.intake.accepted == 50)
        assert len(journal_of(tmp_path)) == 50

    with Mosquitto(tmp_path / "mosquitto", PERSISTENT) as broker:
        asyncio.run(story(broker))


@pytest.mark.parametrize("version", VERSIONS)
def test_mosquittos_small_window_does_not_stall_the_intake(
    tmp_path: Path, version: Version
) -> None:
    meter = a_meter()  # max_inflight_messages is 20 unless somebody sets it
    frames = 1000

    async def story(broker: Mosquitto) -> float:
        async with a_gateway(behind(broker, tmp_path, meter, version=version)) as gateway:
            await joined(gateway)
            client = await join(broker.port, meter)
            began = time.monotonic()
            for at in range(0, frames, 200):  # its queue holds 1000 beyond the window
                for number in range(at, at + 200):
                    client.publish(meter, meter.frame(), number + 1)
                await accepted(gateway, at + 200)
            took_s = time.monotonic() - began
            await client.close()
            return took_s

    with Mosquitto(tmp_path / "mosquitto") as broker:
        took_s = asyncio.run(story(broker))
    assert took_s < 5  # a stall of 20 ms for every window would be one second alone


def test_two_gateways_behind_one_broker_see_only_their_own_shards(tmp_path: Path) -> None:
    meters = [a_meter(number) for number in range(12)]
    low = [m for m in meters if topics.shard_of(m.meter_id) < "80"]
    high = [m for m in meters if m not in low]
    assert low
    assert high

    async def story(broker: Mosquitto) -> None:
        folders = [tmp_path / "low", tmp_path / "high"]
        for folder in folders:
            folder.mkdir()
        first = behind(broker, folders[0], *meters, shards="00-7f", gateway_id="low")
        second = behind(broker, folders[1], *meters, shards="80-ff", gateway_id="high")
        async with a_gateway(first) as one, a_gateway(second) as two:
            await joined(one)
            await joined(two)
            for meter in meters:
                client = await join(broker.port, meter)
                client.publish(meter, meter.frame(), 1)
                assert (await client.receipt(meter))[:2] == (0, 1)
                await client.close()
            assert (one.intake.refused, two.intake.refused) == (0, 0)
        assert {row.meter_id for row in journal_of(folders[0])} == ids(low)
        assert {row.meter_id for row in journal_of(folders[1])} == ids(high)

    with Mosquitto(tmp_path / "mosquitto") as broker:
        asyncio.run(story(broker))


def shard_of(meter: FakeMeter) -> int:
    return int(topics.shard_of(meter.meter_id), 16)


def ids(meters: list[FakeMeter]) -> set[bytes]:
    return {meter.meter_id for meter in meters}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_shard_moved_away_is_not_delivered_from_a_kept_session(
    tmp_path: Path, version: Version
) -> None:
    meters = [a_meter(number) for number in range(12)]

    async def story(broker: Mosquitto) -> None:
        all_of_them = behind(broker, tmp_path, *meters, version=version)
        for shards, first, last in (("00-ff", 0, 255), ("00-7f", 0, 127), ("80-ff", 128, 255)):
            config = msgspec.structs.replace(all_of_them, shards=shards)
            async with a_gateway(config) as gateway:
                await joined(gateway)
                client = await join(broker.port, meters[0])
                for meter in meters:
                    client.publish(meter, meter.frame(), 1)
                    await client.puback()
                await client.close()
                mine = sum(first <= shard_of(meter) <= last for meter in meters)
                await accepted(gateway, mine)
                await asyncio.sleep(0.1)
                assert gateway.intake.refused_by == {}

    with Mosquitto(tmp_path / "mosquitto") as broker:
        asyncio.run(story(broker))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_publisher_is_born_dies_and_is_heard_through_tls(
    tmp_path: Path, version: Version
) -> None:
    now_s = int(time.time())
    certs.make_ca(tmp_path, "A test CA", now_s)
    certs.make_server(tmp_path, ["localhost"], now_s)
    conf = f"certfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key\n{OPEN}"

    async def story(broker: Mosquitto) -> None:
        remote = remote_of(f"mqtts://localhost:{broker.port}", ca_file=str(tmp_path / "ca.pem"))
        will = Will("gw/state", b"offline")
        listener = MqttClient(remote, "listener", version=version)
        client = MqttClient(
            remote, "gw-1-publish", version=version,
            will=will, retain_will=True, birth=("gw/state", b"online"),
        )  # fmt: skip
        tasks = [asyncio.create_task(listener.run()), asyncio.create_task(client.run())]
        await asyncio.gather(*(client.publish("gw/reading", b"%d" % n) for n in range(200)))
        await client.publish("gw/last", b"kept", retain=True)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    with Mosquitto(tmp_path / "mosquitto", conf) as broker:
        asyncio.run(story(broker))
        assert retained(broker, tmp_path, 2) == {"gw/state": "offline", "gw/last": "kept"}


def retained(broker: Mosquitto, folder: Path, count: int) -> dict[str, str]:
    """What a newcomer is told."""
    lines = broker.listen("gw/#", count, "--cafile", str(folder / "ca.pem"))
    return dict(line.split(" ", 1) for line in lines)


def test_a_broker_whose_certificate_is_not_believed_gets_no_password(tmp_path: Path) -> None:
    now_s = int(time.time())
    for name in ("theirs", "ours"):
        (tmp_path / name).mkdir()
        certs.make_ca(tmp_path / name, "A test CA", now_s)
        certs.make_server(tmp_path / name, ["localhost"], now_s)
    theirs = tmp_path / "theirs"
    conf = f"certfile {theirs}/server.pem\nkeyfile {theirs}/server.key\n{OPEN}"

    async def story(broker: Mosquitto) -> bool:
        ca_file = str(tmp_path / "ours" / "ca.pem")
        remote = remote_of(f"mqtts://localhost:{broker.port}", ca_file=ca_file)
        client = MqttClient(remote, "gw-1")
        task = asyncio.create_task(client.run())
        await asyncio.sleep(0.3)
        task.cancel()
        return client.connected

    with Mosquitto(tmp_path / "mosquitto", conf) as broker:
        assert not asyncio.run(story(broker))
