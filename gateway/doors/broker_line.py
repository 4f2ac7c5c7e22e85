"""What came over one connection to the broker: held in order, judged, acknowledged in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import structlog

from gateway.doors.broker_link import Link
from gateway.errors import StoreError
from gateway.meter import Meter
from gateway.mqtt.client_packets import Delivery, Granted, Told
from gateway.mqtt.packets import Publish, puback
from gateway.registry import UNKNOWN_METER

if TYPE_CHECKING:
    from gateway.doors.broker import Broker

PUBACK_BYTES = 4
LOAD_METERS_MAX = 1000  # looked up in one transaction
STORE_FAILED, UNEXPECTED = "store_failed", "mqtt_unexpected"

log = structlog.get_logger()


class BrokerLine:
    """The way to all meters behind a broker (gateway.listener.Line), for one connection.

    A PUBACK of this connection must not be sent on the next one, where the same packet id may
    stand for another publish; so each connection has a line of its own. PUBACKs go out in the
    order in which the publishes came (MQTT-4.6.0-2), whoever decides first.
    """

    def __init__(self, broker: Broker) -> None:
        self.acks = bytearray()
        self._broker, self._intake = broker, broker.intake
        self._five = broker.version == "5"
        self._window = broker.receive_maximum
        self._group_bytes_max = max(1, self._window // 4) * PUBACK_BYTES
        self._held: deque[Delivery] = deque()
        self._unacked: dict[int, bool] = {}  # packet ids as they came; true: may be acknowledged
        self._granted: dict[int, asyncio.Future[Granted]] = {}
        self._link: Link | None = None
        self._loop = asyncio.get_running_loop()
        self._paused = False  # by the intake
        self._soon = False
        self._group_was_full = False
        self._loading: asyncio.Task[None] | None = None

    @property
    def held(self) -> int:
        """Publishes not given to the intake yet."""
        return len(self._held)

    def start(self, link: Link) -> None:
        """The broker let us in; what it sent behind its CONNACK is held already."""
        self._link = link
        link.on_room = self._pump_soon
        self._pump_soon()

    def close(self, why: str) -> None:
        """End the connection; nothing more is acknowledged on it."""
        self._held.clear()
        if self._link is not None:
            self._link.close(why)

    # -- from the broker

    def told(self, packet: Told) -> None:
        """What the broker says, besides CONNACK and PINGRESP."""
        if isinstance(packet, Delivery):
            if packet.packet_id:
                if packet.packet_id in self._unacked:
                    self.close(UNEXPECTED)
                    return
                self._unacked[packet.packet_id] = False
            self._held.append(packet)
            if self._link is not None and len(self._held) >= self._window:
                self._link.pause()
            self._pump_soon()
        elif isinstance(packet, Granted):
            waiting = self._granted.pop(packet.packet_id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(packet)

    def expect(self) -> tuple[int, asyncio.Future[Granted]]:
        """A packet id for a SUBSCRIBE or UNSUBSCRIBE, and what will be its answer."""
        number = len(self._granted) + 1
        self._granted[number] = self._loop.create_future()
        return number, self._granted[number]

    # -- gateway.listener.Line

    def hears(self, meter: Meter) -> bool:
        """Who listens behind a broker is not known; it is worth a try while we are connected."""
        return self._link is not None and not self._link.ended.done()

    def send(self, data: bytes) -> None:
        """Write PUBACKs, in their order, and PUBLISHes, as the broker's version has them."""
        packets = self._sort(data)
        self._write(self._due_acks() + packets)
        self._group_was_full = False
        self._pump_soon()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._pump_soon()

    def _sort(self, data: bytes) -> bytes:
        """Note the PUBACKs in `data`; the rest, with empty properties in MQTT 5."""
        out, at, end = bytearray(), 0, len(data)
        while at < end:
            if data[at] == 0x40:
                self._unacked[data[at + 2] << 8 | data[at + 3]] = True
                at += PUBACK_BYTES
                continue
            body = at + 2 if data[at + 1] < 0x80 else at + 3
            length = data[at + 1] & 0x7F | (data[at + 2] << 7 if body == at + 3 else 0)
            stop = body + length
            if not self._five:
                out += data[at:stop]
            else:
                out += _with_properties(data[at], data[body:stop])
            at = stop
        return bytes(out)

    def _due_acks(self) -> bytes:
        done = []
        for packet_id, may in self._unacked.items():
            if not may:
                break
            done.append(packet_id)
        for packet_id in done:
            del self._unacked[packet_id]
        return b"".join(map(puback, done))

    def _write(self, data: bytes) -> None:
        if data and self._link is not None:
            self._link.send(data)

    # -- from what is held to the intake

    def _pump_soon(self) -> None:
        if not self._soon:
            self._soon = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Give the intake what its next group may take; refuse what is nobody's."""
        self._soon = False
        link, known = self._link, self._broker.known
        if link is None or link.ended.done():
            return
        while self._held and self._has_room(link):
            meter = known.get(self._held[0].topic)
            if meter is not None:
                self._take(meter, self._held.popleft())
            elif not self._take_other(self._held[0]):
                break
        self._write(self._due_acks())
        if len(self._held) <= self._window // 2:
            link.resume()

    def _has_room(self, link: Link) -> bool:
        """A group takes a quarter of the window: the broker sends on while we commit."""
        if self._paused or link.full or self._loading is not None or self._intake.halted:
            return False
        if len(self.acks) < self._group_bytes_max:
            return True
        if not self._group_was_full:  # look once more when the intake has begun to commit it
            self._group_was_full = True
            self._pump_soon()
        return False

    def _take(self, meter: Meter, delivery: Delivery) -> None:
        intake, broker = self._intake, self._broker
        before, qos = intake.accepted, 1 if delivery.packet_id else 0
        intake.take(self, meter, Publish(delivery.topic, delivery.body, qos, delivery.packet_id))
        if intake.accepted != before and (meter.line is not self or broker.is_leaving(meter)):
            broker.arrived(meter, self)

    def _take_other(self, delivery: Delivery) -> bool:
        """What is no frame of a known meter; False when its meter has to be looked up first."""
        found = self._broker.explain(delivery)
        if isinstance(found, bytes):
            self._loading = self._loop.create_task(self._load())
            return False
        self._held.popleft()
        if isinstance(found, Meter):
            self._broker.will_came(found, delivery)
        else:
            self._intake.refuse(UNKNOWN_METER, found)
        if delivery.packet_id:  # else it would block the queue for ever
            self._unacked[delivery.packet_id] = True
        return True

    async def _load(self) -> None:
        wanted: dict[bytes, None] = {}
        for delivery in self._held:
            found = self._broker.explain(delivery)
            if isinstance(found, bytes):
                wanted[found] = None
            if len(wanted) >= LOAD_METERS_MAX:
                break
        try:
            await self._broker.load(wanted)
        except StoreError as error:
            log.error("meters_not_loaded", error=str(error))
            self.close(STORE_FAILED)
        finally:
            self._loading = None
        self._pump_soon()


def _with_properties(first: int, body: bytes) -> bytes:
    """A PUBLISH of 3.1.1 as MQTT 5 has it: with the length of its properties, which is zero."""
    at = 2 + (body[0] << 8 | body[1]) + (2 if first & 6 else 0)
    five, length = body[:at] + b"\0" + body[at:], len(body) + 1
    size = (length,) if length < 0x80 else (length & 0x7F | 0x80, length >> 7)
    return bytes((first, *size)) + five
