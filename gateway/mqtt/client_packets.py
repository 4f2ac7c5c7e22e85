"""What a client and its broker say, as bytes: MQTT 3.1.1 and 5, seen from the client; no I/O.

Sources: OASIS MQTT 3.1.1 and OASIS MQTT 5.0. The gateway is a client of a broker in two places:
the second door (broker.py) and what it publishes (mqtt_client.py). Any bytes either parse or raise
MqttError with a named reason; never is more held than PACKET_BYTES_MAX and a topic.

Nobody who may publish to the broker can end our connection to it: what he sends too long, or with
whatever properties, is a Delivery like any other, to be refused and acknowledged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from gateway.mqtt.mqtt import MALFORMED, TOO_LARGE, UNSUPPORTED, MqttError, remaining_length
from gateway.mqtt.packets import Will
from gateway.mqtt.properties import RECEIVE_MAXIMUM_MAX, Fields, Properties, property_number

Version = Literal["3.1.1", "5"]

PACKET_BYTES_MAX = 16_384  # of one packet from the broker; ours are 2 KiB at most
LENGTH_BYTES_MAX = 268_435_455  # what four bytes of remaining length can say (1.5.5)
DELIVERY_TOPIC_BYTES_MAX = 256  # longer ones cannot be ours; cut off, so that they are refused
TOO_LONG = bytes(PACKET_BYTES_MAX)  # instead of what was too long to read

PINGREQ = b"\xc0\x00"
NORMAL, WITH_WILL = 0x00, 0x04  # reasons in our DISCONNECT (MQTT 5, 3.14.2.1)


class Hello(NamedTuple):
    """What a CONNECT says. Its repr shows no password."""

    client_id: str
    user: str | None
    password: bytes | None
    keep_alive_s: int
    session_s: int  # how long the broker keeps our session; 0 for not at all
    receive_maximum: int = RECEIVE_MAXIMUM_MAX  # MQTT 5 only
    will: Will | None = None
    retain_will: bool = False

    def __repr__(self) -> str:
        return f"Hello({self.client_id!r})"


class ConnAck(NamedTuple):
    """The broker's answer to CONNECT; `code` 0 lets us in."""

    code: int
    session_present: bool
    receive_maximum: int = RECEIVE_MAXIMUM_MAX
    packet_bytes_max: int = LENGTH_BYTES_MAX
    keep_alive_s: int | None = None  # the broker's, instead of ours


class Delivery(NamedTuple):
    """A PUBLISH from the broker. `packet_id` is 0 for QoS 0."""

    topic: str
    body: bytes
    packet_id: int
    retained: bool


class Acked(NamedTuple):
    """PUBACK: the broker took our publish, or refused it (MQTT 5: a code of 0x80 and above)."""

    packet_id: int
    code: int


class Granted(NamedTuple):
    """SUBACK or UNSUBACK; one code for each filter, none in an UNSUBACK of 3.1.1."""

    packet_id: int
    codes: tuple[int, ...]


class Pong(NamedTuple):
    """PINGRESP."""


class Bye(NamedTuple):
    """DISCONNECT from the broker (MQTT 5), with its reason."""

    code: int


Told = ConnAck | Delivery | Acked | Granted | Pong | Bye


class Decoder:
    """Cuts what a broker sends into packets; holds at most one incomplete packet."""

    def __init__(self, version: Version) -> None:
        self._five = version == "5"
        self._rest = b""
        self._skip = 0  # bytes of a publish that was too long

    def feed(self, data: bytes) -> Iterator[Told]:
        """Yield the packets completed by `data`. Raises MqttError at the first bad one."""
        if self._skip:
            cut = min(self._skip, len(data))
            self._skip, data = self._skip - cut, data[cut:]
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, end = 0, len(data)
        while end - at >= 2:
            length, body = remaining_length(data, at + 1, end)
            if not body:
                break
            first, stop = data[at], body + length
            if length > PACKET_BYTES_MAX:
                told = _too_long(first, data[body:stop], length)
                if told is None:
                    break
                self._skip = max(0, stop - end)
                yield told
            elif stop > end:
                break
            elif first & 0xF0 == 0x30:
                yield self._delivery(first, data[body:stop])
            else:
                yield self._other(first, data[body:stop])
            at = stop
        self._rest = data[at:]

    def _delivery(self, first: int, body: bytes) -> Delivery:
        topic, packet_id, at = _head(first, body)
        if at > len(body):
            raise MqttError(MALFORMED)
        if self._five:
            if at < len(body) and not body[at]:  # no properties: nearly always
                at += 1
            else:
                fields = Fields(body, at)
                fields.take(fields.varying())  # whatever they say
                at = fields.at
        return Delivery(topic, body[at:], packet_id, bool(first & 1))

    def _other(self, first: int, body: bytes) -> Told:
        fields = Fields(body)
        if first == 0x20:
            return self._connack(fields)
        if first == 0x40:
            number, code = fields.packet_id(), 0
            if self._five and fields.more():
                code = fields.byte()
                if fields.more():
                    fields.properties()
            fields.done()
            return Acked(number, code)
        if first in (0x90, 0xB0):
            number = fields.packet_id()
            if self._five:
                fields.properties()
            return Granted(number, tuple(fields.rest()))
        if first == 0xD0 and not body:
            return Pong()
        if first == 0xE0 and self._five:
            return _bye(fields)
        raise MqttError(UNSUPPORTED if first >> 4 in (5, 6, 7, 15) else MALFORMED)

    def _connack(self, fields: Fields) -> ConnAck:
        flags, code = fields.byte(), fields.byte()
        if flags > 1:
            raise MqttError(MALFORMED)
        said: Properties = fields.properties() if self._five else {}
        fields.done()
        keep_alive_s = said.get(0x13)
        assert keep_alive_s is None or isinstance(keep_alive_s, int)
        return ConnAck(
            code,
            bool(flags),
            property_number(said, 0x21, RECEIVE_MAXIMUM_MAX),
            property_number(said, 0x27, LENGTH_BYTES_MAX),
            keep_alive_s,
        )


def _head(first: int, body: bytes) -> tuple[str, int, int]:
    """Topic, packet id and where they end, which is past the end when bytes are missing."""
    qos = first >> 1 & 3
    if qos > 1:  # we subscribe with QoS 1, so the broker may not use more
        raise MqttError(UNSUPPORTED if qos == 2 else MALFORMED)
    at = 2 + int.from_bytes(body[:2], "big") if len(body) > 1 else 2
    # Somebody else chose the topic: what is not text is no topic of ours, and no error.
    topic = body[2 : min(at, 2 + DELIVERY_TOPIC_BYTES_MAX)].decode("utf-8", "replace")
    if not qos:
        return topic, 0, at
    packet_id = int.from_bytes(body[at : at + 2], "big")
    if not packet_id and at + 2 <= len(body):
        raise MqttError(MALFORMED)
    return topic, packet_id, at + 2


def _too_long(first: int, body: bytes, length: int) -> Delivery | None:
    """A publish we do not read; None while its topic is not here yet."""
    if first & 0xF0 != 0x30:
        raise MqttError(TOO_LARGE)
    topic, packet_id, at = _head(first, body)
    if at > length:
        raise MqttError(MALFORMED)
    return Delivery(topic, TOO_LONG, packet_id, bool(first & 1)) if at <= len(body) else None


def _bye(fields: Fields) -> Bye:
    code = fields.byte() if fields.more() else 0
    if fields.more():
        fields.properties()
    fields.done()
    return Bye(code)


# What we say. Properties of MQTT 5 are written only where they say something.


def connect(version: Version, hello: Hello) -> bytes:
    """CONNECT. A kept session is clean=False in 3.1.1, an expiry interval in 5."""
    five = version == "5"
    flags = 0 if hello.session_s else 2
    tail = _field(hello.client_id.encode())
    if hello.will is not None:
        flags |= 0x0C | (0x20 if hello.retain_will else 0)  # will QoS 1
        tail += b"\0" if five else b""
        tail += _field(hello.will.topic.encode()) + _field(hello.will.payload)
    if hello.user is not None:
        flags |= 0x80
        tail += _field(hello.user.encode())
    if hello.password is not None:
        flags |= 0x40
        tail += _field(hello.password)
    head = _field(b"MQTT") + struct.pack(">BBH", 5 if five else 4, flags, hello.keep_alive_s)
    if five:
        said = struct.pack(">BIBH", 0x11, hello.session_s, 0x21, hello.receive_maximum)
        said += struct.pack(">BI", 0x27, PACKET_BYTES_MAX)
        head += bytes((len(said),)) + said
    return _packet(0x10, head + tail)


def subscribe(version: Version, packet_id: int, filters: Sequence[str]) -> bytes:
    """SUBSCRIBE with QoS 1."""
    body = b"".join(_field(topic.encode()) + b"\1" for topic in filters)
    return _packet(0x82, _numbered(version, packet_id) + body)


def unsubscribe(version: Version, packet_id: int, filters: Sequence[str]) -> bytes:
    """UNSUBSCRIBE; a filter that was not subscribed to does no harm."""
    body = b"".join(_field(topic.encode()) for topic in filters)
    return _packet(0xA2, _numbered(version, packet_id) + body)


def publish(
    version: Version, topic: str, body: bytes, packet_id: int = 0, *, retain: bool = False
) -> bytes:
    """PUBLISH; QoS 1 when a packet id is given."""
    head = _field(topic.encode()) + (struct.pack(">H", packet_id) if packet_id else b"")
    first = 0x30 | (2 if packet_id else 0) | (1 if retain else 0)
    return _packet(first, head + (b"\0" if version == "5" else b"") + body)


def disconnect(version: Version, reason: int = NORMAL) -> bytes:
    """DISCONNECT; the reason is heard in MQTT 5 only."""
    return struct.pack(">BBB", 0xE0, 1, reason) if version == "5" and reason else b"\xe0\x00"


def _numbered(version: Version, packet_id: int) -> bytes:
    return struct.pack(">H", packet_id) + (b"\0" if version == "5" else b"")


def _field(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _packet(first: int, body: bytes) -> bytes:
    length, size = len(body), bytearray((first,))
    assert length <= LENGTH_BYTES_MAX
    while True:
        size.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return bytes(size) + body
