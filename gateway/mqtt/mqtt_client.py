"""Publishes to a broker and knows what arrived: reconnects by itself, PUBACK by PUBACK.

For what goes out (accepted readings, outage notices). Nothing is kept here: a publish that was not
acknowledged raises PublishLost and the caller, who has it on disk, sends it again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import structlog

from gateway.doors.broker_link import Link, Timing, join, keep_up
from gateway.errors import PublishLost, PublishRefused
from gateway.mqtt import client_packets
from gateway.mqtt.client_packets import LENGTH_BYTES_MAX, Acked, Hello, Told, Version
from gateway.mqtt.packets import Will
from gateway.mqtt.remote import Remote as Remote
from gateway.mqtt.remote import remote_of as remote_of

KEEP_ALIVE_S = 30
IN_FLIGHT_MAX = 64  # publishes that wait for their PUBACK; the next one waits for room
PUBLISH_BYTES_MAX = 65_536  # of one publish; brokers take more, but nothing of ours is longer
TOPIC_BYTES_MAX = 1024
PACKET_IDS = 65_535
REFUSED_FROM = 0x80  # reason codes of a PUBACK (MQTT 5, table 3-4) from here on are refusals

log = structlog.get_logger()


class MqttClient:
    """A publisher. `run` keeps it connected; `publish` may be called from many tasks at once."""

    def __init__(
        self,
        remote: Remote,
        client_id: str,
        *,
        will: Will | None = None,
        retain_will: bool = False,
        birth: tuple[str, bytes] | None = None,
        version: Version = "3.1.1",
        timing: Timing | None = None,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self._remote, self._version, self._birth = remote, version, birth
        self._timing = timing or Timing()
        self._chance = chance or random.SystemRandom().random
        self._hello = Hello(
            client_id, remote.user, remote.password, KEEP_ALIVE_S, 0,
            will=will, retain_will=retain_will,
        )  # fmt: skip
        self._link: Link | None = None
        self._in_flight_max = IN_FLIGHT_MAX
        self._packet_bytes_max = LENGTH_BYTES_MAX
        self._waiting: dict[int, asyncio.Future[int | None]] = {}  # by packet id
        self._last_id = 0
        self._moved = asyncio.Event()  # the connection or the room changed

    @property
    def connected(self) -> bool:
        """Whether a publish could go out now."""
        return self._link is not None

    async def run(self) -> None:
        """Connect, and again whenever the connection ends, until cancelled."""
        await keep_up(self._session, self._timing, self._chance)

    async def publish(self, topic: str, data: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Returns when the broker has it (QoS 1) or it was written (QoS 0).

        Waits for a connection and for room. Raises PublishLost when the connection ended before
        the PUBACK, PublishRefused when sending it again would not help.
        """
        assert qos in (0, 1)
        _check(topic, data)
        link = await self._room()
        packet_id = self._next_id() if qos else 0
        packet = client_packets.publish(self._version, topic, data, packet_id, retain=retain)
        if len(packet) > self._packet_bytes_max:
            raise PublishRefused(
                f"{topic}: longer than the broker's {self._packet_bytes_max} bytes"
            )
        if not qos:
            link.send(packet)
            return
        waiting = self._waiting[packet_id] = asyncio.get_running_loop().create_future()
        link.send(packet)
        code = await waiting
        if code is None:
            raise PublishLost(f"{topic}: the connection ended before the PUBACK; send it again")
        if code >= REFUSED_FROM:
            raise PublishRefused(f"{topic}: the broker refused it with {code:#04x}")

    async def _room(self) -> Link:
        while self._link is None or len(self._waiting) >= self._in_flight_max:
            self._moved.clear()
            await self._moved.wait()
        return self._link

    def _next_id(self) -> int:
        while True:  # ends: fewer are in flight than there are ids
            self._last_id = self._last_id % PACKET_IDS + 1
            if self._last_id not in self._waiting:
                return self._last_id

    # -- the connection

    async def _session(self) -> str:
        link, answer = await join(
            self._remote, self._version, self._hello, self._told, self._timing
        )
        self._in_flight_max = min(IN_FLIGHT_MAX, answer.receive_maximum)
        self._packet_bytes_max = answer.packet_bytes_max
        log.info("broker_joined", broker=repr(self._remote), client_id=self._hello.client_id)
        if self._birth is not None:
            number = self._next_id()
            self._waiting[number] = asyncio.get_running_loop().create_future()
            topic, data = self._birth
            link.send(client_packets.publish(self._version, topic, data, number, retain=True))
        self._link = link
        self._moved.set()
        try:
            return await asyncio.shield(link.ended)
        finally:
            self._link = None
            self._leave(link)
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_result(None)
            self._waiting.clear()

    def _leave(self, link: Link) -> None:
        """Go so that the broker publishes the will: what it says is true from now on."""
        if self._hello.will is None:
            link.leave()
        else:
            link.leave(client_packets.WITH_WILL if self._version == "5" else None)

    def _told(self, packet: Told) -> None:
        if isinstance(packet, Acked):
            waiting = self._waiting.pop(packet.packet_id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(packet.code)
            self._moved.set()


def _check(topic: str, data: bytes) -> None:
    if not 0 < len(topic.encode()) <= TOPIC_BYTES_MAX or set(topic) & set("+#\0"):
        raise PublishRefused(f"{topic!r} is no topic to publish to; change its setting")
    if len(data) > PUBLISH_BYTES_MAX:
        raise PublishRefused(f"{topic}: {len(data)} bytes, {PUBLISH_BYTES_MAX} at most")
