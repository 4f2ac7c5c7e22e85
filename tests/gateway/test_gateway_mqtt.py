"""The MQTT codec: what is written reads back, and any bytes parse or raise the named error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt import mqtt, packets
from gateway.mqtt.mqtt import Decoder, MqttError
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

REASONS = {mqtt.MALFORMED, mqtt.TOO_LARGE, mqtt.UNSUPPORTED, mqtt.PROTOCOL_LEVEL}

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=16)
names = texts.filter(lambda text: 0 < len(text.encode()) <= mqtt.TOPIC_BYTES_MAX)
packet_ids = st.integers(1, 65_535)
wills = st.none() | st.builds(Will, names, st.binary(max_size=50))
users = st.tuples(texts, st.none() | st.binary(max_size=50)) | st.just((None, None))
connects = st.builds(
    lambda client, user, keep, clean, will: Connect(client, user[0], user[1], keep, clean, will),
    texts,
    users,
    st.integers(0, 65_535),
    st.booleans(),
    wills,
)
publishes = st.builds(
    lambda topic, payload, packet_id: Publish(topic, payload, int(packet_id > 0), packet_id),
    names,
    st.binary(max_size=300),
    st.integers(0, 65_535),
)
filters = st.lists(st.tuples(names, st.integers(0, 2)), min_size=1, max_size=8).map(tuple)
subscribes = st.builds(Subscribe, packet_ids, filters)
unsubscribes = st.builds(
    Unsubscribe, packet_ids, st.lists(texts, min_size=1, max_size=8).map(tuple)
)
any_packet = st.one_of(
    connects,
    publishes,
    subscribes,
    unsubscribes,
    st.builds(PubAck, packet_ids),
    st.just(Ping()),
    st.just(Disconnect()),
)


def write(packet: Packet) -> bytes:
    if isinstance(packet, Connect):
        return packets.connect(packet)
    if isinstance(packet, Publish):
        return packets.publish(packet.topic, packet.payload, packet.packet_id)
    if isinstance(packet, Subscribe):
        return packets.subscribe(packet)
    if isinstance(packet, Unsubscribe):
        return packets.unsubscribe(packet)
    if isinstance(packet, PubAck):
        return packets.puback(packet.packet_id)
    return packets.PINGREQ if isinstance(packet, Ping) else packets.DISCONNECT


def read(data: bytes) -> list[Packet]:
    return list(Decoder().feed(data))


def reason_of(data: bytes, decoder: Decoder | None = None) -> str | None:
    """Why the bytes are refused; any other exception than MqttError fails the test."""
    try:
        list((decoder or Decoder()).feed(data))
    except MqttError as error:
        return error.reason
    return None


@given(st.lists(any_packet, max_size=5), st.lists(st.integers(1, 40), max_size=10))
def test_packets_read_back_however_the_stream_is_cut(sent: list[Packet], cuts: list[int]) -> None:
    stream, decoder = b"".join(map(write, sent)), Decoder()
    got: list[Packet] = []
    for cut in cuts:
        got += decoder.feed(stream[:cut])
        stream = stream[cut:]
    got += decoder.feed(stream)
    assert [(type(packet), packet) for packet in got] == [(type(p), p) for p in sent]


@given(any_packet)
def test_every_truncation_waits_for_the_rest_and_yields_nothing(packet: Packet) -> None:
    data = write(packet)
    for length in range(len(data)):
        assert read(data[:length]) == []
    assert read(data) == [packet]


@given(any_packet, st.data())
def test_a_body_cut_short_is_refused_by_name(packet: Packet, data: st.DataObject) -> None:
    """The same, but with a remaining length that fits: the fields run past the end."""
    whole = write(packet)
    body = whole[2:] if whole[1] < 0x80 else whole[3:]
    if not body:
        return
    short = body[: data.draw(st.integers(0, len(body) - 1))]
    size = len(short)
    head = bytes((size,)) if size < 128 else bytes((size & 0x7F | 0x80, size >> 7))
    refused = reason_of(whole[:1] + head + short)
    if refused is None:  # a shorter one may be good, too
        assert isinstance(packet, Publish | Subscribe | Unsubscribe)
    else:
        assert refused in REASONS


@given(st.binary(max_size=400))
def test_any_bytes_parse_or_raise_the_named_error(data: bytes) -> None:
    decoder = Decoder()
    assert reason_of(data, decoder) in REASONS | {None}
    assert len(decoder._rest) <= mqtt.PACKET_BYTES_MAX + 5


@given(any_packet, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4))
def test_changed_bytes_parse_or_raise_the_named_error(
    packet: Packet, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(write(packet))
    for at, value in changes:
        data[at % len(data)] = value
    assert reason_of(bytes(data)) in REASONS | {None}


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_a_packet_is_bounded(size: int) -> None:
    payload = bytes(mqtt.PACKET_BYTES_MAX - 5 + size)  # 2 + 1 topic, 2 packet id
    data = packets.publish("t", payload, 1)
    if size <= 0:
        assert read(data) == [Publish("t", payload, 1, 1)]
    else:
        with pytest.raises(MqttError, match=mqtt.TOO_LARGE):
            read(data[:3])  # known from its length, before its bytes come


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_a_topic_is_bounded(size: int) -> None:
    data = packets.publish("t" * (mqtt.TOPIC_BYTES_MAX + size), b"", 1)
    if size <= 0:
        assert len(read(data)) == 1
    else:
        with pytest.raises(MqttError, match=mqtt.TOO_LARGE):
            read(data)


@pytest.mark.parametrize("count", [mqtt.FILTERS_MAX - 1, mqtt.FILTERS_MAX, mqtt.FILTERS_MAX + 1])
def test_the_filters_of_a_subscribe_and_unsubscribe_are_bounded(count: int) -> None:
    for data in (
        packets.subscribe(Subscribe(1, (("t", 0),) * count)),
        packets.unsubscribe(Unsubscribe(1, ("t",) * count)),
    ):
        if count <= mqtt.FILTERS_MAX:
            assert len(read(data)) == 1
        else:
            with pytest.raises(MqttError, match=mqtt.TOO_LARGE):
                read(data)


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_a_field_of_connect_is_bounded(size: int) -> None:
    password = bytes(mqtt.FIELD_BYTES_MAX + size)
    data = packets.connect(Connect("c", "u", password, 0, True, None))
    if size <= 0:
        assert len(read(data)) == 1
    else:
        with pytest.raises(MqttError, match=mqtt.TOO_LARGE):
            read(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("34 05 0001 74 0001", mqtt.UNSUPPORTED),  # QoS 2
        ("36 05 0001 74 0001", mqtt.MALFORMED),  # QoS 3
        ("32 05 0001 74 0000", mqtt.MALFORMED),  # packet id 0
        ("30 01 00", mqtt.MALFORMED),
        ("30 03 0001 ff", mqtt.MALFORMED),  # not UTF-8
        ("30 03 0001 00", mqtt.MALFORMED),  # U+0000
        ("50 02 0001", mqtt.UNSUPPORTED),  # PUBREC
        ("20 02 0000", mqtt.MALFORMED),  # CONNACK from a client
        ("00 00", mqtt.MALFORMED),
        ("f0 00", mqtt.MALFORMED),  # AUTH is MQTT 5
        ("80 05 0001 0001 74", mqtt.MALFORMED),  # SUBSCRIBE without its fixed flags
        ("82 02 0001", mqtt.MALFORMED),  # without a filter
        ("82 06 0001 0001 74 03", mqtt.MALFORMED),  # QoS 3
        ("82 05 0001 0000 00", mqtt.MALFORMED),  # empty filter
        ("c0 01 00", mqtt.MALFORMED),
        ("c0 ff ff ff ff 01", mqtt.MALFORMED),  # a length of five bytes
        ("10 0c 0004 4d515454 05 02 0000 0000", mqtt.PROTOCOL_LEVEL),
        ("10 0e 0006 4d5149736470 03 02 0000 0000", mqtt.PROTOCOL_LEVEL),
        ("10 0c 0004 4d515455 04 02 0000 0000", mqtt.MALFORMED),  # another protocol name
        ("10 0c 0004 4d515454 04 03 0000 0000", mqtt.MALFORMED),  # reserved flag
        ("10 0c 0004 4d515454 04 42 0000 0000", mqtt.MALFORMED),  # password without user
        ("10 0c 0004 4d515454 04 0a 0000 0000", mqtt.MALFORMED),  # will QoS without will
        ("10 0d 0004 4d515454 04 02 0000 0000 00", mqtt.MALFORMED),  # trailing byte
    ],
)
def test_what_the_standard_forbids_is_refused_by_name(data: str, reason: str) -> None:
    with pytest.raises(MqttError) as refused:
        read(bytes.fromhex(data))
    assert refused.value.reason == reason


def test_good_packets_before_a_bad_one_are_not_lost() -> None:
    got: list[Packet] = []
    with pytest.raises(MqttError):
        for packet in Decoder().feed(packets.PINGREQ + b"\x00\x00"):
            got.append(packet)  # the error comes in the middle
    assert got == [Ping()]


def test_a_password_is_never_shown() -> None:
    assert "hidden" not in repr(Connect("c", "u", b"hidden", 0, True, None))
