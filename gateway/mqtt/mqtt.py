"""Cuts MQTT 3.1.1 bytes into packets for the endpoint: bounded, no I/O.

Source: OASIS MQTT 3.1.1. Only what a meter needs is spoken: QoS 2 and stored sessions are not.
Any bytes either parse or raise MqttError with a named reason; nothing else leaves this module.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.mqtt.packets import (
    Connect,
    Disconnect,
    Packet,
    Ping,
    PubAck,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
)

PACKET_BYTES_MAX = 2048  # remaining length of one packet; a frame (1024) and its topic fit twice
TOPIC_BYTES_MAX = 64  # ours are 24 to 26 bytes
FIELD_BYTES_MAX = 1024  # client id, user, password, will
FILTERS_MAX = 8  # topic filters in one SUBSCRIBE or UNSUBSCRIBE


class MqttError(Exception):
    """Bytes that are not the MQTT we speak. The connection is closed; `reason` is counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


MALFORMED = "mqtt_malformed"
TOO_LARGE = "mqtt_too_large"
UNSUPPORTED = "mqtt_unsupported"
PROTOCOL_LEVEL = "mqtt_protocol_level"


_PUBLISHES = b"\x32\x3a"  # QoS 1, for the first time or again

# CONNECT, PUBACK to PUBCOMP, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT with their fixed flags
_FIRST_BYTES = {0x10, 0x40, 0x50, 0x62, 0x70, 0x82, 0xA2, 0xC0, 0xE0}


class Decoder:
    """Cuts a byte stream into packets; holds at most one incomplete packet."""

    def __init__(self) -> None:
        self._rest = b""

    def take_run(
        self, data: bytes, topic_field: bytes, frames: list[bytes], acks: bytearray
    ) -> bytes:
        """Cut off the run of QoS 1 PUBLISHes to one topic that the stream goes on with.

        Appends their frames and the PUBACKs that answer them; returns what is left for `feed`.
        This is what nearly all bytes are, so it is proven by comparing; whatever is not exactly
        this (or not whole yet) is left, and `feed` says what it is or what is wrong with it.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, end, width = 0, len(data), len(topic_field)
        while end - at >= 2 and data[at] in _PUBLISHES:
            length, body = data[at + 1], at + 2
            if length & 0x80:
                high = data[body] if body < end else 0
                if not 0 < high < PACKET_BYTES_MAX >> 7:
                    break
                length, body = length & 0x7F | high << 7, body + 1
            stop, frame = body + length, body + width + 2
            if stop > end or frame > stop or not data.startswith(topic_field, body):
                break
            packet_id = data[frame - 2 : frame]
            if packet_id == b"\0\0":
                break
            frames.append(data[frame:stop])
            acks += b"\x40\x02" + packet_id
            at = stop
        return data[at:] if at else data

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets completed by `data`. Raises MqttError at the first bad one."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, end = 0, len(data)
        while end - at >= 2:
            length, body = data[at + 1], at + 2
            if length & 0x80:
                length, body = remaining_length(data, at + 1, end)
                if not body:
                    break
            if length > PACKET_BYTES_MAX:
                raise MqttError(TOO_LARGE)
            stop = body + length
            if stop > end:
                break
            first = data[at]
            if first & 0xF0 == 0x30:
                yield _publish(first, data, body, stop)
            else:
                yield _other(first, data[body:stop])
            at = stop
        if at < end and data[at] & 0xF0 != 0x30 and data[at] not in _FIRST_BYTES:
            raise MqttError(MALFORMED)  # now, not when as many bytes came as it claims
        self._rest = data[at:]


def remaining_length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The length and where the body starts; body 0 means the length itself is incomplete."""
    length = 0
    for index in range(4):
        if at + index >= end:
            return 0, 0
        byte = data[at + index]
        length |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return length, at + index + 1
    raise MqttError(MALFORMED)


def _publish(first: int, data: bytes, at: int, stop: int) -> Publish:
    qos = (first >> 1) & 3
    if qos > 1:
        raise MqttError(UNSUPPORTED if qos == 2 else MALFORMED)
    if stop - at < 2:
        raise MqttError(MALFORMED)
    topic_end = at + 2 + (data[at] << 8 | data[at + 1])
    if topic_end - at - 2 > TOPIC_BYTES_MAX:
        raise MqttError(TOO_LARGE)
    if not qos:
        if topic_end > stop:
            raise MqttError(MALFORMED)
        return Publish(_text(data[at + 2 : topic_end]), data[topic_end:stop], 0, 0)
    if topic_end + 2 > stop:
        raise MqttError(MALFORMED)
    packet_id = data[topic_end] << 8 | data[topic_end + 1]
    if not packet_id:
        raise MqttError(MALFORMED)
    return Publish(_text(data[at + 2 : topic_end]), data[topic_end + 2 : stop], 1, packet_id)


def _other(first: int, body: bytes) -> Packet:
    if first == 0x10:
        return _connect(_Fields(body))
    if first == 0x82:
        return _subscribe(_Fields(body))
    if first == 0xA2:
        return _unsubscribe(_Fields(body))
    if first == 0x40 and len(body) == 2:
        return PubAck(int.from_bytes(body, "big"))
    if first == 0xC0 and not body:
        return Ping()
    if first == 0xE0 and not body:
        return Disconnect()
    if first >> 4 in (5, 6, 7):  # PUBREC, PUBREL, PUBCOMP: only QoS 2 has them
        raise MqttError(UNSUPPORTED)
    raise MqttError(MALFORMED)


def _connect(fields: _Fields) -> Connect:
    name = fields.bytes()
    level = fields.byte()
    if name not in (b"MQTT", b"MQIsdp"):
        raise MqttError(MALFORMED)
    if (name, level) != (b"MQTT", 4):
        raise MqttError(PROTOCOL_LEVEL)
    flags = fields.byte()
    keep_alive_s = fields.number()
    will_bits, has_user, has_password = flags & 0x3C, flags & 0x80, flags & 0x40
    if flags & 1 or flags & 0x18 == 0x18 or (has_password and not has_user):
        raise MqttError(MALFORMED)
    if will_bits and not flags & 4:
        raise MqttError(MALFORMED)
    client_id = fields.text()
    will = Will(fields.text(), fields.bytes()) if flags & 4 else None
    user = fields.text() if has_user else None
    password = fields.bytes() if has_password else None
    fields.done()
    return Connect(client_id, user, password, keep_alive_s, bool(flags & 2), will)


def _subscribe(fields: _Fields) -> Subscribe:
    packet_id = fields.packet_id()
    filters: list[tuple[str, int]] = []
    while fields.more() or not filters:
        topic, qos = fields.text(), fields.byte()
        if qos > 2 or not topic:
            raise MqttError(MALFORMED)
        filters.append((topic, qos))
        if len(filters) > FILTERS_MAX:
            raise MqttError(TOO_LARGE)
    return Subscribe(packet_id, tuple(filters))


def _unsubscribe(fields: _Fields) -> Unsubscribe:
    packet_id = fields.packet_id()
    filters: list[str] = []
    while fields.more() or not filters:
        filters.append(fields.text())
        if len(filters) > FILTERS_MAX:
            raise MqttError(TOO_LARGE)
    return Unsubscribe(packet_id, tuple(filters))


class _Fields:
    """Takes one field after another from a packet's body; never past its end."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def _take(self, count: int) -> bytes:
        at, self._at = self._at, self._at + count
        if self._at > len(self._body):
            raise MqttError(MALFORMED)
        return self._body[at : self._at]

    def byte(self) -> int:
        return self._take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self._take(2), "big")

    def packet_id(self) -> int:
        number = self.number()
        if not number:
            raise MqttError(MALFORMED)
        return number

    def bytes(self) -> bytes:
        count = self.number()
        if count > FIELD_BYTES_MAX:
            raise MqttError(TOO_LARGE)
        return self._take(count)

    def text(self) -> str:
        return _text(self.bytes())

    def more(self) -> bool:
        return self._at < len(self._body)

    def done(self) -> None:
        if self.more():
            raise MqttError(MALFORMED)


def _text(data: bytes) -> str:
    if b"\0" in data:  # MQTT-1.5.3-2
        raise MqttError(MALFORMED)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MqttError(MALFORMED) from None
