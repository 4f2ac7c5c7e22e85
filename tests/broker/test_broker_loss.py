"""A killed broker loses what it acknowledged, a killed gateway does not; no interval is missing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from gateway.config import Settlement
from gateway.service import Service
from tests.support.behind_a_broker import KeepingMeter, behind, join
from tests.support.gateway import FakeSettlement, a_gateway, a_home, a_meter, journal_of, until
from tests.support.mosquitto import PERSISTENT, Mosquitto
from tests.support.nursery import a_nursery

METERS = 4
INTERVAL_S = 0.02  # a quarter of an hour, for these meters
GATEWAY_KILLS = 12


@asynccontextmanager
async def at_work(meters: Sequence[KeepingMeter], port: int) -> AsyncIterator[None]:
    """The meters measure, and send what has no receipt."""
    tasks = [asyncio.create_task(meter.run(port, INTERVAL_S)) for meter in meters]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def some_receipts(meters: Sequence[KeepingMeter]) -> None:
    before = sum(meter.settled for meter in meters)
    await until(lambda: sum(meter.settled for meter in meters) > before)


async def all_receipted(meters: Sequence[KeepingMeter], upto: dict[KeepingMeter, int]) -> None:
    await until(lambda: all(meter.settled >= upto[meter] for meter in meters), limit_s=20)


def intervals_settled(settlement: FakeSettlement, meter: KeepingMeter) -> set[int]:
    """Numbers of the intervals that reached settlement."""
    return {
        profile.first + index
        for batch in settlement.taken.values()
        for profile in batch.profiles
        if profile.meter_id == meter.meter.hex_id
        for index in range(len(profile.quality))
    }


def test_a_killed_mosquitto_loses_acknowledged_frames_and_no_interval_is_missing(
    tmp_path: Path,
) -> None:
    meters = [KeepingMeter(a_meter(number)) for number in range(METERS)]

    async def story(broker: Mosquitto) -> int:
        settlement = FakeSettlement()
        await settlement.start()
        a_home(tmp_path, settlement_url=settlement.url)  # its token
        config = behind(broker, tmp_path, *(meter.meter for meter in meters))
        to = Settlement(settlement.url, str(tmp_path / "token"))
        config = msgspec.structs.replace(config, settlement=to)
        async with at_work(meters, broker.port):
            async with a_gateway(config) as gateway:
                await until(lambda: all(meter.settled > 3 for meter in meters))
                broker.kill()  # under load, with the gateway there
                broker.start()
                await until(lambda: all(meter.settled > 20 for meter in meters))
                assert gateway.intake.refused == 0
            before = {meter: len(meter.acked) for meter in meters}
            await until(lambda: all(len(meter.acked) > before[meter] + 2 for meter in meters))
            broker.kill()  # with frames that wait for the gateway
            acked = {(m.meter.hex_id, counter) for m in meters for counter in m.acked}
            upto = {meter: meter.closed for meter in meters}
            broker.start()
            async with a_gateway(config) as gateway:
                await all_receipted(meters, upto)
                await until(lambda: all(
                    intervals_settled(settlement, meter) >= set(range(1, upto[meter] + 1))
                    for meter in meters
                ))  # fmt: skip
        await settlement.stop()
        frames = [(row.meter_id.hex(), row.frame_counter) for row in journal_of(tmp_path)]
        assert len(frames) == len(set(frames))
        settled = settlement.frames()
        assert len(settled) == len(set(settled))
        return len(acked.difference(frames))

    with Mosquitto(tmp_path / "mosquitto", PERSISTENT) as broker:
        lost = asyncio.run(story(broker))
    print(f"mosquitto lost {lost} frames that it had acknowledged")
    assert lost >= METERS  # or this test would prove nothing


def test_a_gateway_killed_again_and_again_behind_a_broker_loses_nothing_counts_nothing_twice(
    tmp_path: Path,
) -> None:
    seed = 20_261_122
    print(f"seed {seed}")
    chance = random.Random(seed)
    meters = [KeepingMeter(a_meter(number)) for number in range(METERS)]

    async def story(broker: Mosquitto) -> None:
        settlement = FakeSettlement()
        await settlement.start()
        config = a_home(tmp_path, *(m.meter for m in meters), settlement_url=settlement.url)
        config.write_text(config.read_text() + f'[broker]\nurl = "{broker.url}"\n')
        with a_nursery(config) as gateways:
            async with at_work(meters, broker.port):
                await gateways.start()
                await until(lambda: all(meter.settled for meter in meters))
                for meter in meters:
                    meter.acked.clear()  # before the broker kept a session for us it kept nothing
                gateways.kill()
                for _ in range(GATEWAY_KILLS):
                    await gateways.start()
                    await some_receipts(meters)
                    await asyncio.sleep(chance.uniform(0.0, 0.1))
                    gateways.kill()
                upto = {meter: meter.closed for meter in meters}
                await gateways.start()
                await all_receipted(meters, upto)
            await until(lambda: all(
                intervals_settled(settlement, meter) >= set(range(1, upto[meter] + 1))
                for meter in meters
            ))  # fmt: skip
            acked = {(m.meter.hex_id, counter) for m in meters for counter in m.acked}
            await until(lambda: acked <= in_journal(tmp_path))  # this broker lost none: it lives
        await settlement.stop()
        settled = settlement.frames()
        assert len(settled) == len(set(settled))

    with Mosquitto(tmp_path / "mosquitto") as broker:
        asyncio.run(story(broker))
    frames = [(row.meter_id, row.key_epoch, row.frame_counter) for row in journal_of(tmp_path)]
    assert len(frames) == len(set(frames))


def in_journal(folder: Path) -> set[tuple[str, int]]:
    return {(row.meter_id.hex(), row.frame_counter) for row in journal_of(folder)}


def test_what_mosquitto_holds_for_an_absent_gateway_dies_with_it(tmp_path: Path) -> None:
    """The measured reason for receipts: a PUBACK of a broker is no promise."""
    meter = a_meter()

    async def story(broker: Mosquitto) -> int:
        config = behind(broker, tmp_path, meter)
        async with a_gateway(config) as gateway:
            await until(lambda: is_open(gateway))
            await asyncio.sleep(0.1)
        client = await join(broker.port, meter)
        for number in range(500):
            client.publish(meter, meter.frame(), number + 1)
        for _ in range(500):
            await client.puback()
        broker.kill()
        broker.start()
        async with a_gateway(config) as gateway:
            await until(lambda: is_open(gateway))
            await asyncio.sleep(0.3)
            return gateway.intake.accepted

    with Mosquitto(tmp_path / "mosquitto", PERSISTENT) as broker:
        assert asyncio.run(story(broker)) == 0  # 500 acknowledged, 500 lost


def is_open(gateway: Service) -> bool:
    return gateway.broker is not None and gateway.broker.connected
