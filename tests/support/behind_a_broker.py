"""Meters that reach their gateway through a broker, and gateways behind one."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import msgspec

from gateway.config import Broker as BrokerConfig
from gateway.config import Config, load
from gateway.mqtt import packets
from tests.support.gateway import Client, FakeMeter, a_connect, a_home, a_profile
from tests.support.mosquitto import Mosquitto
from wire import topics

RESEND_S = 0.2  # without a receipt
FRAME_INTERVALS_MAX = 24


def behind(broker: Mosquitto, folder: Path, *meters: FakeMeter, **changes: Any) -> Config:
    """The configuration of a gateway that has only the second door."""
    named = {
        name: changes.pop(name)
        for name in ("version", "receive_maximum", "user", "password_file", "ca_file", "url")
        if name in changes
    }
    door = BrokerConfig(**{"url": broker.url, **named})
    config = load(a_home(folder, *meters))
    endpoint = msgspec.structs.replace(config.endpoint, enabled=False)
    return msgspec.structs.replace(config, broker=door, endpoint=endpoint, **changes)


async def join(port: int, meter: FakeMeter, **changes: Any) -> Client:
    """A meter's connection to the broker, with its last will; it hears its down topic."""
    client = await Client.open(port)
    will = packets.Will(topics.gone(meter.meter_id), b"")
    client.send(packets.connect(a_connect(meter, **{"will": will, **changes})))
    assert await client.expect(0x20) == b"\0\0"
    down = ((topics.down(meter.meter_id), 1),)
    client.send(packets.subscribe(packets.Subscribe(1, down)))
    assert await client.expect(0x90) == b"\0\1\1"
    return client


class KeepingMeter:
    """Keeps its intervals until a receipt covers them, and sends the others again: as ours do."""

    def __init__(self, meter: FakeMeter) -> None:
        self.meter = meter
        self.closed = self.settled = 0  # number of the latest interval; and of the receipted one
        self.acked: set[int] = set()  # frame counters that the broker acknowledged
        self.in_flight: dict[int, int] = {}  # packet id -> frame counter

    async def run(self, port: int, interval_s: float) -> None:
        """Close an interval every so often and get it receipted; until cancelled."""
        clock = asyncio.create_task(self._close_intervals(interval_s))
        try:
            while True:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, OSError):
                    await self._session(port)
                await asyncio.sleep(0.05)
        finally:
            clock.cancel()

    async def _close_intervals(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            self.closed += 1

    async def _session(self, port: int) -> None:
        self.in_flight.clear()
        client = await join(port, self.meter)
        hearing = asyncio.create_task(self._hear(client))
        try:
            while not hearing.done():
                if self.closed > self.settled:
                    self._send(client)
                await asyncio.wait([hearing], timeout=RESEND_S)
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            await client.close()

    def _send(self, client: Client) -> None:
        """What has no receipt, in a new frame."""
        first = self.settled + 1
        count = min(self.closed - self.settled, FRAME_INTERVALS_MAX)
        counter = self.meter.counter
        sealed = self.meter.seal(a_profile(first, count))
        self.in_flight[counter % 65_535 + 1] = counter
        client.publish(self.meter, sealed, counter % 65_535 + 1)

    async def _hear(self, client: Client) -> None:
        while True:
            first, body = await client.packet()
            if first == 0x40:
                counter = self.in_flight.pop(int.from_bytes(body, "big"), None)
                self.acked |= {counter} if counter is not None else set()
            elif first & 0xF0 == 0x30:
                size = int.from_bytes(body[:2], "big")
                receipt = self.meter.open(body[2 + size :])
                self.settled = max(self.settled, receipt.interval)
