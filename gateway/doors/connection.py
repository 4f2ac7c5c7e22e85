"""One meter's MQTT connection: a small state machine between the socket and the intake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from gateway import registry
from gateway.doors import tls
from gateway.meter import Meter
from gateway.mqtt import mqtt, packets
from gateway.mqtt.mqtt import Decoder, MqttError
from gateway.mqtt.packets import (
    Connect,
    Disconnect,
    Packet,
    Ping,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
)
from wire.errors import WrongTopic

if TYPE_CHECKING:
    from gateway.doors.endpoint import Endpoint

CONNECT_TIMEOUT_S = 10.0  # from the TCP connection to an accepted CONNECT
CLOSE_TIMEOUT_S = 5.0  # to take our last bytes
READ_BYTES = 65_536  # read at once
KEEP_ALIVE_FACTOR = 1.5  # MQTT-3.1.2-24
IDLE_S_MAX = 24 * 3600.0  # also for a keep-alive of 0, which would hold dead connections for ever
WRITE_BYTES_MAX = 65_536  # a meter that does not read what we write is let go
HELD_PACKETS_MAX = 64  # sent behind a CONNECT that is not answered yet

WAIT_CONNECT, ADMITTING, OPEN, CLOSED = "wait_connect", "admitting", "open", "closed"
REFUSED = "refused"  # is closed in a while, and not read until then
UNEXPECTED, TOO_MANY = "mqtt_unexpected", "too_many_connections"

# Why a connection ended. Those in QUIET are no sign that the meter is gone: no will is recorded.
TAKEN_OVER, STOPPED, DISCONNECTED = "taken_over", "stopped", "disconnected"
STORE_FAILED, SLOW_READER, LINE_LOST = "store_failed", "slow_reader", "line_lost"
QUIET = {TAKEN_OVER, STOPPED, DISCONNECTED, STORE_FAILED}

# Why a connection is not read; each ends by itself, and it is read again when all have.
_ADMISSION, _INTAKE, _WRITING, _PACE = "admission", "intake", "writing", "pace"
_NONSENSE = "nonsense"  # until it is closed

# Every connection reads into this one and is done with it before the next: asyncio's loops on
# selectors fill it and call buffer_updated at once. A buffer for each would be most of its memory.
# As a view, because TLS slices it to read record after record, and a slice must not be a copy.
_buffer = memoryview(bytearray(READ_BYTES))

log = structlog.get_logger()


class Connection(asyncio.BufferedProtocol):
    """One meter's connection: WAIT_CONNECT -> ADMITTING -> OPEN -> CLOSED, or REFUSED -> CLOSED."""

    meter: Meter  # from OPEN on

    def __init__(self, endpoint: Endpoint, *, arrived: bool = False) -> None:
        self.endpoint = endpoint
        self.address = ""
        self.names: frozenset[str] | None = None  # in its certificate; None where it showed none
        self.arrived = arrived  # counted already, before its handshake
        self._now = endpoint.now
        self.state = WAIT_CONNECT
        self.subscribed = False
        self.acks = bytearray()
        self._decoder = Decoder()
        self._held: list[Packet] = []
        self._transport: asyncio.Transport | None = None
        self._will: Will | None = None
        self._deadline = endpoint.now() + CONNECT_TIMEOUT_S
        self._silence_s = 0.0
        self._unread: set[str] = set()  # why it is not read
        self._why = LINE_LOST

    # -- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.address = address_of(transport)
        self.names = tls.names_of(transport.get_extra_info("peercert"))
        transport.set_write_buffer_limits(high=WRITE_BYTES_MAX // 2)
        if not self.endpoint.let_in(self):
            self.close(TOO_MANY)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Frames first, which is nearly always all there is; then whatever else is there."""
        try:
            if self.state == OPEN:
                data = self._take_frames(data)
                if not data:
                    return
            for packet in self._decoder.feed(data):
                if type(packet) is Publish and self.state == OPEN:
                    self._on_publish(packet)
                else:
                    self._step(packet)
                if self.state in (CLOSED, REFUSED):
                    return
        except MqttError as error:
            self._refuse_mqtt(error.reason)

    def _take_frames(self, data: bytes) -> bytes:
        """Hand the frames at the head of the stream to the intake; returns what is behind them."""
        now, meter, intake = self._now(), self.meter, self.endpoint.intake
        self._deadline = now + self._silence_s
        frames: list[bytes] = []
        acks = bytearray()
        rest = self._decoder.take_run(data, meter.up_field, frames, acks)
        if frames:
            intake.take_frames(self, meter, frames, acks)
            wait_s = intake.pace.after(meter, len(frames), now)
            if wait_s:
                self._slow_down(wait_s)
        return rest

    def _slow_down(self, wait_s: float) -> None:
        """A meter beyond its rate is not read for a while; TCP holds what it sends meanwhile."""
        if _PACE not in self._unread:
            self.endpoint.intake.slowed += 1
            self._hold(_PACE)
            asyncio.get_running_loop().call_later(wait_s, self._read_again, _PACE)

    def connection_lost(self, error: Exception | None) -> None:
        was, self.state = self.state, CLOSED
        self._transport = None
        self.endpoint.let_go(self)
        if was == OPEN:
            self._ended()

    def pause_writing(self) -> None:
        self._hold(_WRITING)

    def resume_writing(self) -> None:
        self._read_again(_WRITING)

    # -- the intake's side (gateway.listener.Line)

    def hears(self, meter: Meter) -> bool:
        return self.subscribed and meter is self.meter

    def send(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or self.state == CLOSED:
            return
        if transport.get_write_buffer_size() + len(data) > WRITE_BYTES_MAX:
            self.close(SLOW_READER)
            return
        transport.write(data)

    def pause(self) -> None:
        self._hold(_INTAKE)

    def resume(self) -> None:
        self._read_again(_INTAKE)

    def _hold(self, why: str) -> None:
        """Do not read it until `why` has ended."""
        self._unread.add(why)
        if self._transport is not None:
            self._transport.pause_reading()

    def _read_again(self, why: str) -> None:
        self._unread.discard(why)
        if self._unread or self._transport is None or self._transport.is_closing():
            return
        self._deadline = max(self._deadline, self.endpoint.now() + self._silence_s)
        self._transport.resume_reading()

    # -- packets

    def _step(self, packet: Packet) -> None:
        if self.state == ADMITTING:
            self._held.append(packet)
            if len(self._held) > HELD_PACKETS_MAX:
                self._refuse_mqtt(mqtt.TOO_LARGE)
            return
        handler = _STEPS.get((self.state, type(packet)))
        if handler is None:
            self._refuse_mqtt(UNEXPECTED)
        else:
            handler(self, packet)

    def _on_connect(self, packet: Connect) -> None:
        self.state = ADMITTING
        self._hold(_ADMISSION)
        self.endpoint.spawn(self._admit(packet))

    async def _admit(self, packet: Connect) -> None:
        code, reason, meter = await self.endpoint.judge(packet, self)
        if self.state != ADMITTING:
            return  # closed meanwhile
        if meter is None:
            self._write_last(packets.connack(code))
            self.close(reason)
            return
        self.meter, self._will, self.state = meter, packet.will, OPEN
        wanted_s = packet.keep_alive_s * KEEP_ALIVE_FACTOR
        self._silence_s = min(wanted_s, IDLE_S_MAX) if wanted_s else IDLE_S_MAX
        self.endpoint.take_over(self)
        self.send(packets.connack(packets.ACCEPTED))
        self._read_again(_ADMISSION)
        held, self._held = self._held, []
        for waiting in held:
            if self.state == OPEN:
                self._step(waiting)

    def _on_publish(self, packet: Publish) -> None:
        if packet.topic != self.meter.up_topic:
            self.endpoint.intake.refuse(self.meter.meter_id, WrongTopic.reason)
            self.close(WrongTopic.reason)
            return
        self.endpoint.intake.take(self, self.meter, packet)
        wait_s = self.endpoint.intake.pace.after(self.meter, 1, self._now())
        if wait_s:
            self._slow_down(wait_s)

    def _on_subscribe(self, packet: Subscribe) -> None:
        codes = []
        for topic, _ in packet.filters:
            if topic == self.meter.down_topic:
                self.subscribed = True
                codes.append(0)  # receipts are sent again by need, so QoS 0 is granted
            else:
                self.endpoint.intake.refuse(self.meter.meter_id, WrongTopic.reason)
                codes.append(packets.SUBSCRIBE_REFUSED)
        self.send(packets.suback(packet.packet_id, codes))

    def _on_unsubscribe(self, packet: Unsubscribe) -> None:
        if self.meter.down_topic in packet.filters:
            self.subscribed = False
        self.send(packets.unsuback(packet.packet_id))

    def _on_ping(self, packet: Ping) -> None:
        self.send(packets.PINGRESP)

    def _on_disconnect(self, packet: Disconnect) -> None:
        self._will = None  # MQTT-3.14.4-3
        self.close(DISCONNECTED)

    def _refuse_mqtt(self, reason: str) -> None:
        meter_id = self.meter.meter_id if self.state == OPEN else registry.UNKNOWN_METER
        if reason == mqtt.PROTOCOL_LEVEL:
            self._write_last(packets.connack(packets.BAD_PROTOCOL))
        self.endpoint.intake.refuse(meter_id, reason)
        held_s = self.endpoint.doorman.wrong(self.address, self._now())
        if not held_s or self.state == OPEN:
            self.close(reason)
            return
        # Whoever talks nonsense on one new connection after another is let go ever more slowly.
        self.state = REFUSED
        self._hold(_NONSENSE)
        asyncio.get_running_loop().call_later(held_s, self.close, reason)

    # -- the end

    def check_time(self, now: float) -> None:
        """Called by the sweep: close what was silent, cut off what does not finish closing."""
        if self.state == CLOSED:
            if now >= self._deadline and self._transport is not None:
                self._transport.abort()
        elif now >= self._deadline and not (self._unread and self.state == OPEN):
            self.close("keep_alive" if self.state == OPEN else "connect_timeout")

    def close(self, why: str) -> None:
        """End the connection; acknowledgements that still wait for a commit are not written."""
        if self.state == CLOSED:
            return
        was, self.state, self._why = self.state, CLOSED, why
        self._deadline = self.endpoint.now() + CLOSE_TIMEOUT_S
        if self._transport is not None:
            if why in (SLOW_READER, STORE_FAILED, TAKEN_OVER):
                self._transport.abort()
            else:
                self._transport.close()
        if was == OPEN:
            self._ended()

    def _ended(self) -> None:
        intake, meter = self.endpoint.intake, self.meter
        intake.forget(self)
        out_of_reach = self.endpoint.leave(self)
        log.info("meter_gone", meter_id=meter.hex_id, why=self._why)
        will = self._will.payload if self._will and self._why not in QUIET else None
        if will is not None:
            intake.record_will(meter, self._why, will)
        for listener in intake.listeners if out_of_reach else ():
            listener.gone(meter, self._why, will)

    def _write_last(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def address_of(transport: asyncio.BaseTransport) -> str:
    """Where a connection comes from, without the port."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""


_STEPS: dict[tuple[str, type], Callable[..., None]] = {
    (WAIT_CONNECT, Connect): Connection._on_connect,
    (OPEN, Publish): Connection._on_publish,
    (OPEN, Subscribe): Connection._on_subscribe,
    (OPEN, Unsubscribe): Connection._on_unsubscribe,
    (OPEN, Ping): Connection._on_ping,
    (OPEN, Disconnect): Connection._on_disconnect,
}
