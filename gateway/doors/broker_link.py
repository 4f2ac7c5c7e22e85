"""One connection to a broker, from CONNECT to its end; and the way back when it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import structlog

from gateway.errors import BrokerLost, BrokerRefused
from gateway.mqtt import client_packets
from gateway.mqtt.client_packets import Bye, ConnAck, Decoder, Hello, Pong, Told, Version
from gateway.mqtt.mqtt import MqttError
from gateway.mqtt.remote import Remote

WRITE_BYTES_MAX = 8 * 1024 * 1024  # not taken by the broker: it is stuck, and let go
WRITE_BYTES_HIGH = 256 * 1024  # above it nothing more is taken from it

SILENT, SLOW, LINE_LOST, LEFT = "broker_silent", "broker_reads_nothing", "line_lost", "left"

# CONNACK codes that do not pass by themselves, in 3.1.1 (3.2.2.3) and 5 (3.2.2.2)
_REFUSED = {
    1: "it speaks another version; set version",
    2: "it refuses our client id; change gateway_id",
    4: "wrong user or password; correct user and password_file",
    5: "it does not authorise us; correct its access control, or user and password_file",
    0x84: "it speaks another version; set version",
    0x85: "it refuses our client id; change gateway_id",
    0x86: "wrong user or password; correct user and password_file",
    0x87: "it does not authorise us; correct its access control, or user and password_file",
    0x8A: "it has banned us; ask who runs it",
}
TAKEN_OVER = 0x8E  # DISCONNECT (MQTT 5): somebody else uses our client id

log = structlog.get_logger()


class Timing(NamedTuple):
    """In seconds; tests shorten it."""

    connect_s: float = 10.0  # from the first packet to CONNACK
    ping_s: float = 10.0  # between two PINGREQ
    answer_s: float = 10.0  # after a PINGREQ, until the line is called dead
    base_s: float = 0.5  # of the pause before connecting again, doubled by each failure
    cap_s: float = 60.0
    steady_s: float = 30.0  # a connection that lasted so long was no failure


def backoff_s(failures: int, chance: float, timing: Timing) -> float:
    """Full jitter: anywhere up to a bound that doubles, so that many do not come back at once."""
    return chance * min(timing.cap_s, timing.base_s * 2.0 ** min(failures, 32))


class Link(asyncio.Protocol):
    """One connection. `told` gets what comes; `ended` becomes the reason of its end."""

    def __init__(self, version: Version, told: Callable[[Told], None], timing: Timing) -> None:
        self._loop = asyncio.get_running_loop()
        self._told, self._timing = told, timing
        self._decoder = Decoder(version)
        self._version: Version = version
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[ConnAck] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._loop.time()
        self.paused = False
        self.full = False  # more waits to be written than the broker takes just now
        self.on_room: Callable[[], None] = lambda: None
        self.ended: asyncio.Future[str] = self._loop.create_future()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BYTES_HIGH)

    def data_received(self, data: bytes) -> None:
        if self.ended.done():
            return
        self._heard = self._loop.time()
        try:
            for packet in self._decoder.feed(data):
                self._step(packet)
                if self.ended.done():
                    return
        except MqttError as error:
            self.close(error.reason)

    def connection_lost(self, error: Exception | None) -> None:
        self.close(LINE_LOST)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self.on_room()

    # -- what is done with it

    async def greet(self, hello: Hello) -> ConnAck:
        """Say CONNECT. Raises BrokerRefused, or BrokerLost when the line ends first."""
        self.send(client_packets.connect(self._version, hello))
        either: list[asyncio.Future[Any]] = [self._answer, self.ended]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._answer.done():
            raise BrokerLost(f"the broker ended the connection before its CONNACK ({self.why})")
        answer = self._answer.result()
        if answer.code:
            raise _refusal(answer.code)
        self._beat(min(self._timing.ping_s, (answer.keep_alive_s or hello.keep_alive_s) / 2))
        return answer

    @property
    def why(self) -> str:
        """Why it ended; empty while it has not."""
        return self.ended.result() if self.ended.done() else ""

    def send(self, data: bytes) -> None:
        """Write packets; dropped when the line is gone."""
        transport = self._transport
        if transport is None or self.ended.done():
            return
        if transport.get_write_buffer_size() + len(data) > WRITE_BYTES_MAX:
            self.close(SLOW)
            return
        transport.write(data)

    def pause(self) -> None:
        """Read no more for now."""
        if not self.paused and self._transport is not None and not self.ended.done():
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.paused and self._transport is not None and not self.ended.done():
            self.paused = False
            self._heard = self._loop.time()
            self._transport.resume_reading()

    def leave(self, reason: int | None = client_packets.NORMAL) -> None:
        """Say DISCONNECT and close; without a reason just close, so that the will is published."""
        if self.ended.done() or self._transport is None:
            return
        if reason is not None:
            self.send(client_packets.disconnect(self._version, reason))
        self._transport.close()
        self._end(LEFT)

    def close(self, why: str) -> None:
        """End it now; what was not written yet is not written."""
        if self._transport is not None:
            self._transport.abort()
        self._end(why)

    def _end(self, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.ended.done():
            self.ended.set_result(why)

    def _step(self, packet: Told) -> None:
        if isinstance(packet, ConnAck):
            if self._answer.done():
                self.close("mqtt_unexpected")
            else:
                self._answer.set_result(packet)
        elif not self._answer.done() or isinstance(packet, Bye):
            self.close(
                f"broker_said_{packet.code:#04x}" if isinstance(packet, Bye) else "mqtt_unexpected"
            )
        elif not isinstance(packet, Pong):
            self._told(packet)

    def _beat(self, ping_s: float) -> None:
        """Ask whether the broker still lives; while we do not read, nobody can tell."""
        silent_s = self._loop.time() - self._heard
        if silent_s > ping_s + self._timing.answer_s and not self.paused:
            self.close(SILENT)
            return
        self.send(client_packets.PINGREQ)
        self._timer = self._loop.call_later(ping_s, self._beat, ping_s)


def _refusal(code: int) -> Exception:
    said = _REFUSED.get(code)
    if said is None:
        return BrokerLost(f"the broker answered CONNECT with {code:#04x}; it is tried again")
    return BrokerRefused(f"the broker answered CONNECT with {code:#04x}: {said}")


async def join(
    remote: Remote,
    version: Version,
    hello: Hello,
    told: Callable[[Told], None],
    timing: Timing,
) -> tuple[Link, ConnAck]:
    """Connect and log in. Raises BrokerLost or BrokerRefused; no connection is left then."""
    link = Link(version, told, timing)
    try:
        async with asyncio.timeout(timing.connect_s):
            await asyncio.get_running_loop().create_connection(
                lambda: link, remote.host, remote.port, ssl=remote.tls
            )
            return link, await link.greet(hello)
    except TimeoutError:
        link.close(SILENT)
        raise BrokerLost(f"{remote!r} did not answer within {timing.connect_s:g} s") from None
    except OSError as error:
        link.close(LINE_LOST)
        raise BrokerLost(f"{remote!r} is not reached: {error.strerror or error}") from None
    except BaseException:
        link.close(LEFT)
        raise


async def keep_up(
    session: Callable[[], Awaitable[str]], timing: Timing, chance: Callable[[], float]
) -> None:
    """Run `session` again and again, which returns why it ended; back off between. For ever."""
    failures, told, loop = 0, "", asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            why = await session()
            log.warning("broker_lost", why=why, next="connecting again")
            told = ""
        except (BrokerLost, BrokerRefused) as error:
            if str(error) != told:  # once, not with every attempt
                told = str(error)
                level = log.error if isinstance(error, BrokerRefused) else log.warning
                level("broker_not_joined", error=told, next="trying again with back-off")
        failures = 0 if loop.time() - began >= timing.steady_s else failures + 1
        await asyncio.sleep(backoff_s(failures, chance(), timing))
