"""The MQTT 3.1.1 packets we speak, and their bytes (OASIS MQTT 3.1.1); mqtt.py reads them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

ACCEPTED, BAD_PROTOCOL, BAD_CLIENT_ID, UNAVAILABLE, BAD_PASSWORD, NOT_AUTHORISED = range(6)
SUBSCRIBE_REFUSED = 0x80

PINGREQ, PINGRESP, DISCONNECT = b"\xc0\x00", b"\xd0\x00", b"\xe0\x00"


class Will(NamedTuple):
    """What the meter asks us to remember if the line goes dead."""

    topic: str
    payload: bytes


class Connect(NamedTuple):
    client_id: str
    user: str | None
    password: bytes | None
    keep_alive_s: int
    clean: bool
    will: Will | None

    def __repr__(self) -> str:  # the password must not reach a log
        return f"Connect({self.client_id!r})"


class Publish(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    packet_id: int  # 0 for QoS 0


class Subscribe(NamedTuple):
    packet_id: int
    filters: tuple[tuple[str, int], ...]  # (topic filter, requested QoS)


class Unsubscribe(NamedTuple):
    packet_id: int
    filters: tuple[str, ...]


class PubAck(NamedTuple):
    packet_id: int


class Ping(NamedTuple):
    pass


class Disconnect(NamedTuple):
    pass


Packet = Connect | Publish | Subscribe | Unsubscribe | PubAck | Ping | Disconnect


# The endpoint writes the server's packets; tests and bench the meter's.


def connack(code: int) -> bytes:
    return bytes((0x20, 2, 0, code))  # session present is always 0: we store no sessions


def puback(packet_id: int) -> bytes:
    return struct.pack(">BBH", 0x40, 2, packet_id)


def suback(packet_id: int, codes: Sequence[int]) -> bytes:
    return _packet(0x90, struct.pack(">H", packet_id) + bytes(codes))


def unsuback(packet_id: int) -> bytes:
    return struct.pack(">BBH", 0xB0, 2, packet_id)


def publish(topic: str, payload: bytes, packet_id: int = 0, *, dup: bool = False) -> bytes:
    """PUBLISH; QoS 1 when a packet id is given."""
    if not packet_id:
        return _packet(0x30, field(topic.encode()) + payload)
    number = struct.pack(">H", packet_id)
    return _packet(0x3A if dup else 0x32, field(topic.encode()) + number + payload)


def publish_to(topic_field: bytes, payload: bytes) -> bytes:
    """PUBLISH at QoS 0 to a topic that is a field already (`field`): a receipt's way out."""
    length = len(topic_field) + len(payload)
    if length < 0x80:
        return bytes((0x30, length)) + topic_field + payload
    return _packet(0x30, topic_field + payload)


def connect(packet: Connect) -> bytes:
    flags = 2 if packet.clean else 0
    tail = field(packet.client_id.encode())
    if packet.will is not None:
        flags |= 4
        tail += field(packet.will.topic.encode()) + field(packet.will.payload)
    if packet.user is not None:
        flags |= 0x80
        tail += field(packet.user.encode())
    if packet.password is not None:
        flags |= 0x40
        tail += field(packet.password)
    head = field(b"MQTT") + struct.pack(">BBH", 4, flags, packet.keep_alive_s)
    return _packet(0x10, head + tail)


def subscribe(packet: Subscribe) -> bytes:
    filters = b"".join(field(topic.encode()) + bytes((qos,)) for topic, qos in packet.filters)
    return _packet(0x82, struct.pack(">H", packet.packet_id) + filters)


def unsubscribe(packet: Unsubscribe) -> bytes:
    filters = b"".join(field(topic.encode()) for topic in packet.filters)
    return _packet(0xA2, struct.pack(">H", packet.packet_id) + filters)


def field(data: bytes) -> bytes:
    """Bytes or a topic with their length before them (MQTT-1.5.3)."""
    return struct.pack(">H", len(data)) + data


def _packet(first: int, body: bytes) -> bytes:
    length, size = len(body), bytearray((first,))
    while True:
        size.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return bytes(size) + body
