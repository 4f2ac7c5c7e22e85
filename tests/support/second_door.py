"""A gateway behind a broker that a test bends, and who came and went there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from gateway.config import Broker as BrokerConfig
from gateway.config import Config, load
from gateway.doors.broker import Broker
from gateway.doors.broker_link import Timing
from gateway.listener import Listener
from gateway.meter import Meter
from gateway.mqtt.client_packets import Version
from gateway.service import Service
from tests.support.fake_broker import FakeBroker, a_broker
from tests.support.gateway import FakeMeter, a_gateway, a_home, until
from wire import messages, topics

QUICK = Timing(connect_s=1.0, base_s=0.01, cap_s=0.02)
GRACE_S = 0.15
VERSIONS: tuple[Version, ...] = ("3.1.1", "5")


class Ears(Listener):
    """Notes who came and went."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def here(self, meter: Meter) -> None:
        self.heard.append(f"here {meter.hex_id}")

    def gone(self, meter: Meter, why: str, will: bytes | None) -> None:
        self.heard.append(f"gone {meter.hex_id} {why}")


def behind(broker: FakeBroker, folder: Path, *meters: FakeMeter, **changes: Any) -> Config:
    window = changes.pop("receive_maximum", 2000)
    config = BrokerConfig(
        broker.url, version="5" if broker.five else "3.1.1", receive_maximum=window
    )
    return msgspec.structs.replace(load(a_home(folder, *meters)), broker=config, **changes)


@contextlib.asynccontextmanager
async def a_door(config: Config) -> AsyncIterator[tuple[Service, Broker, Ears]]:
    """A gateway whose second door is open, with short waits."""
    async with a_gateway(config) as gateway:
        door = gateway.broker
        assert door is not None
        door._timing, door._grace_s = QUICK, GRACE_S
        ears = Ears()
        gateway.listeners.append(ears)
        await until(lambda: door.connected)
        yield gateway, door, ears


@contextlib.asynccontextmanager
async def a_pair(
    version: Version, folder: Path, *meters: FakeMeter
) -> AsyncIterator[tuple[FakeBroker, Service, Broker, Ears]]:
    """A broker, and a gateway behind it."""
    async with (
        a_broker(version) as broker,
        a_door(behind(broker, folder, *meters)) as (gateway, door, ears),
    ):
        yield broker, gateway, door, ears


def up(meter: FakeMeter) -> str:
    return topics.up(meter.meter_id)


def receipts(broker: FakeBroker, meter: FakeMeter) -> list[messages.Receipt]:
    head = len(topics.down(meter.meter_id)) + 2 + broker.five
    name = topics.down(meter.meter_id).encode()
    return [meter.open(body[head:]) for body in broker.bodies(0x30) if body[2:].startswith(name)]
