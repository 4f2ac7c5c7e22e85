"""What a broker says is read within bounds, in MQTT 3.1.1 and 5; any bytes parse or are named."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.mqtt.client_packets import (
    PACKET_BYTES_MAX,
    TOO_LONG,
    Acked,
    Bye,
    ConnAck,
    Decoder,
    Delivery,
    Granted,
    Hello,
    Pong,
    Told,
    Version,
    connect,
    disconnect,
    publish,
    subscribe,
    unsubscribe,
)
from gateway.mqtt.mqtt import MqttError
from gateway.mqtt.packets import Will
from gateway.mqtt.properties import PROPERTIES_MAX
from tests.support.fake_broker import packet

VERSIONS: tuple[Version, ...] = ("3.1.1", "5")
REASONS = {"mqtt_malformed", "mqtt_too_large", "mqtt_unsupported"}


def read(version: Version, data: bytes) -> list[Told]:
    return list(Decoder(version).feed(data))


@given(st.binary(max_size=200), st.sampled_from(VERSIONS))
@example(b"\x20\x05\x00\x00\x02\x21\x00", "5")
def test_any_bytes_from_a_broker_parse_or_are_refused_by_name(
    data: bytes, version: Version
) -> None:
    assert outcome(version, data) in {"read", *REASONS}


def outcome(version: Version, data: bytes) -> str:
    try:
        read(version, data)
    except MqttError as error:
        return error.reason
    return "read"


@given(st.binary(max_size=60), st.sampled_from((0x20, 0x32, 0x30, 0x40, 0x90, 0xB0, 0xD0, 0xE0)))
def test_any_body_of_a_packet_parses_or_is_refused_by_name(body: bytes, first: int) -> None:
    for version in VERSIONS:
        with contextlib.suppress(MqttError):
            assert len(read(version, packet(first, body))) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_packets_are_the_same_however_the_bytes_are_cut(version: Version) -> None:
    five = version == "5"
    stream = packet(0x20, b"\1\0" + (b"\3\x21\0\x14" if five else b""))
    stream += publish(version, "m/aa/up", b"frame" * 60, 7)
    stream += publish(version, "m/aa/gone", b"", retain=True)
    stream += packet(0x40, b"\0\7") + packet(0x90, b"\0\1" + (b"\0" if five else b"") + b"\1\x80")
    stream += b"\xd0\0"
    whole = read(version, stream)
    assert whole == [
        ConnAck(0, True, 20 if five else 65_535),
        Delivery("m/aa/up", b"frame" * 60, 7, False),
        Delivery("m/aa/gone", b"", 0, True),
        Acked(7, 0),
        Granted(1, (1, 0x80)),
        Pong(),
    ]
    one_by_one = Decoder(version)
    assert [told for byte in stream for told in one_by_one.feed(bytes((byte,)))] == whole


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_publish_over_the_limit_is_told_without_its_bytes(version: Version, over: int) -> None:
    whole = publish(version, "m/t", b"", 9)
    body = bytes(PACKET_BYTES_MAX - (len(whole) - 2) + over)
    stream = publish(version, "m/t", body, 9) + b"\xd0\0"
    expected = TOO_LONG if over > 0 else body
    assert read(version, stream) == [Delivery("m/t", expected, 9, False), Pong()]
    cut = Decoder(version)
    told = [one for at in range(0, len(stream), 1000) for one in cut.feed(stream[at : at + 1000])]
    assert told == [Delivery("m/t", expected, 9, False), Pong()]


def test_what_is_too_long_is_never_held_in_memory() -> None:
    decoder = Decoder("3.1.1")
    head = struct.pack(">B4s", 0x32, b"\xff\xff\xff\x7f") + b"\0\3m/t\0\1"
    assert [one.packet_id for one in decoder.feed(head) if isinstance(one, Delivery)] == [1]
    for _ in range(100):
        assert list(decoder.feed(bytes(65_536))) == []
        assert len(decoder._rest) == 0


@pytest.mark.parametrize("first", [0x20, 0x40, 0x90, 0xB0, 0xE0])
def test_an_answer_over_the_limit_ends_the_connection(first: int) -> None:
    with pytest.raises(MqttError, match="mqtt_too_large"):
        read("5", packet(first, bytes(PACKET_BYTES_MAX + 1)))


@pytest.mark.parametrize("count", [0, 1, PROPERTIES_MAX, PROPERTIES_MAX + 1, 500])
def test_a_publish_may_carry_any_properties_of_its_publisher(count: int) -> None:
    said = b"\x26\0\1a\0\1b" * count
    size = (
        bytes((len(said),)) if len(said) < 128 else bytes((len(said) & 127 | 128, len(said) >> 7))
    )
    body = b"\0\1t\0\5" + size + said + b"frame"
    assert read("5", packet(0x32, body)) == [Delivery("t", b"frame", 5, False)]


@pytest.mark.parametrize(("count", "good"), [(64, True), (65, False)])
def test_an_answer_carries_a_bounded_number_of_properties(count: int, good: bool) -> None:
    said = b"\x26\0\1a\0\1b" * count
    size = bytes((len(said) & 127 | 128, len(said) >> 7))
    stream = packet(0x20, b"\0\0" + size + said)
    if good:
        assert read("5", stream) == [ConnAck(0, False)]
    else:
        with pytest.raises(MqttError, match="mqtt_malformed"):
            read("5", stream)


@pytest.mark.parametrize(
    "said",
    [
        b"\x21\0\0",  # receive maximum of zero
        b"\x27\0\0\0\0",  # packet size of zero
        b"\x21\0\1\x21\0\1",  # twice
        b"\x7f\0",  # nobody's
        b"\x21\0",  # cut off
        b"\x1f\0\5ab",  # longer than it is
    ],
)
def test_a_property_that_says_nonsense_is_refused(said: bytes) -> None:
    with pytest.raises(MqttError, match="mqtt_malformed"):
        read("5", packet(0x20, b"\0\0" + bytes((len(said),)) + said))


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"\x20\x02\x02\x00", "mqtt_malformed"),  # flags nobody knows
        (b"\x20\x03\x00\x00\x00", "mqtt_malformed"),  # properties in 3.1.1
        (b"\x32\x05\x00\x01t\x00\x00", "mqtt_malformed"),  # packet id 0
        (b"\x32\x04\x00\x09t\x00", "mqtt_malformed"),  # topic past the end
        (b"\x36\x05\x00\x01t\x00\x01", "mqtt_malformed"),  # QoS 3
        (b"\x34\x05\x00\x01t\x00\x01", "mqtt_unsupported"),  # QoS 2
        (b"\x50\x02\x00\x01", "mqtt_unsupported"),
        (b"\xe0\x00", "mqtt_malformed"),  # only MQTT 5 brokers say goodbye
        (b"\x10\x00", "mqtt_malformed"),  # a client's packet
        (b"\x20\xff\xff\xff\xff\x01", "mqtt_malformed"),  # a length of five bytes
    ],
)
def test_what_no_broker_says_is_refused_by_name(stream: bytes, reason: str) -> None:
    with pytest.raises(MqttError) as caught:
        read("3.1.1", stream)
    assert caught.value.reason == reason


def test_a_broker_of_mqtt_5_says_why_it_goes_and_why_it_refuses() -> None:
    stream = packet(0xE0, b"\x8e\0") + b"\xe0\0" + packet(0x40, b"\0\3\x97")
    assert read("5", stream) == [Bye(0x8E), Bye(0), Acked(3, 0x97)]


@pytest.mark.parametrize("data", [b"\xc3\x28", b"\0", b"x" * 5000])
def test_a_topic_that_is_no_text_of_ours_is_no_error(data: bytes) -> None:
    (told,) = read("3.1.1", packet(0x32, struct.pack(">H", len(data)) + data + b"\0\1"))
    assert isinstance(told, Delivery)
    assert len(told.topic) <= 256


def test_a_connect_says_what_the_two_versions_want() -> None:
    hello = Hello("gw-1", "user", b"a secret", 30, 3600, 500, Will("a", b"off"), True)
    assert connect("3.1.1", hello) == packet(
        0x10, b"\0\4MQTT\4\xec\0\x1e\0\4gw-1\0\1a\0\3off\0\4user\0\x08a secret"
    )
    five = b"\x0d\x11\0\0\x0e\x10\x21\x01\xf4\x27\0\0\x40\0"
    assert connect("5", hello) == packet(
        0x10, b"\0\4MQTT\5\xec\0\x1e" + five + b"\0\4gw-1\0\0\1a\0\3off\0\4user\0\x08a secret"
    )
    assert "secret" not in repr(hello)


def test_subscriptions_ask_for_qos_1() -> None:
    assert subscribe("3.1.1", 1, ["a", "b"]) == packet(0x82, b"\0\1\0\1a\1\0\1b\1")
    assert subscribe("5", 1, ["a"]) == packet(0x82, b"\0\1\0\0\1a\1")
    assert unsubscribe("3.1.1", 1, ["a"]) == packet(0xA2, b"\0\1\0\1a")
    assert unsubscribe("5", 1, ["a"]) == packet(0xA2, b"\0\1\0\0\1a")
    assert disconnect("5", 4) == b"\xe0\1\4"
    assert disconnect("5") == disconnect("3.1.1", 4) == b"\xe0\0"
