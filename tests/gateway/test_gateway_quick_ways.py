"""The quick ways of the hot path, each held against the plain one it stands for."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from gateway import receipts
from gateway.mqtt import mqtt, packets
from gateway.mqtt.mqtt import Decoder, MqttError
from gateway.mqtt.packets import Packet, Publish
from tests.support.gateway import a_meter
from wire import messages, topics

TOPIC = topics.up(a_meter().meter_id)
FIELD = packets.field(TOPIC.encode())

PUBLISHES = st.builds(
    packets.publish,
    st.sampled_from([TOPIC, TOPIC, TOPIC, TOPIC[:-1], "m/00/other/up"]),
    st.one_of(st.binary(max_size=200), st.integers(80, 140).map(bytes)),
    st.integers(0, 65_535),
    dup=st.booleans(),
)
LONG_FORM = st.binary(max_size=60).map(  # a length in more bytes than it needs
    lambda data: bytes((0x32, 0x80 | len(FIELD) + 2 + len(data), 0)) + FIELD + b"\0\1" + data
)
NO_PACKET_ID = bytes((0x32, len(FIELD) + 2)) + FIELD + b"\0\0"
CUT_BEHIND_TOPIC = bytes((0x32, len(FIELD) + 1)) + FIELD + b"\0"
OTHERS = st.sampled_from(
    [packets.PINGREQ, packets.DISCONNECT, b"\x40\x02\0\1", b"\x34\x02\0\0", b"\x32\x01\0", b"\xff"]
)
STREAMS = st.lists(
    st.one_of(PUBLISHES, PUBLISHES, PUBLISHES, LONG_FORM, OTHERS, st.binary(max_size=30)),
    max_size=8,
).map(b"".join)


def plainly(pieces: list[bytes]) -> tuple[list[Packet], str]:
    """Every packet of the stream, and the reason it ended with, by `feed` alone."""
    decoder, found = Decoder(), list[Packet]()
    try:
        for piece in pieces:
            found.extend(decoder.feed(piece))
    except MqttError as error:
        return found, error.reason
    return found, ""


def quickly(pieces: list[bytes]) -> tuple[list[Packet], str]:
    """The same with `take_run` first, as a connection reads."""
    decoder, found = Decoder(), list[Packet]()
    try:
        for piece in pieces:
            frames, acks = list[bytes](), bytearray()
            rest = decoder.take_run(piece, FIELD, frames, acks)
            assert len(acks) == 4 * len(frames)
            for index, frame in enumerate(frames):
                ack = acks[4 * index : 4 * index + 4]
                packet_id = int.from_bytes(ack[2:], "big")
                assert ack == packets.puback(packet_id)
                found.append(Publish(TOPIC, frame, 1, packet_id))
            for packet in decoder.feed(rest):
                found.append(packet)
    except MqttError as error:
        return found, error.reason
    return found, ""


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(number % (len(stream) + 1) for number in at), len(stream)]
    return [stream[low:high] for low, high in itertools.pairwise(edges)]


@given(STREAMS, st.lists(st.integers(0, 4000), max_size=4))
@example(packets.publish(TOPIC, b"first", 1) + NO_PACKET_ID + packets.PINGREQ, [])
@example(packets.publish(TOPIC, b"first", 1) + CUT_BEHIND_TOPIC + packets.PINGREQ, [])
@example(packets.publish(TOPIC, bytes(mqtt.PACKET_BYTES_MAX - 28), 7), [])
@example(packets.publish(TOPIC, bytes(mqtt.PACKET_BYTES_MAX - 27), 7), [])
@example(packets.publish(TOPIC, b"", 65_535) * 3, [31, 33])
def test_a_run_of_frames_is_cut_as_one_packet_after_the_other(stream: bytes, at: list[int]) -> None:
    pieces = cut(stream, at)
    assert quickly(pieces) == plainly(pieces)


@given(STREAMS)
def test_a_run_ends_at_the_first_byte_that_is_something_else(stream: bytes) -> None:
    frames, acks = list[bytes](), bytearray()
    rest = Decoder().take_run(stream, FIELD, frames, acks)
    assert stream.endswith(rest)
    again = list[bytes]()
    assert Decoder().take_run(rest, FIELD, again, bytearray()) == rest
    assert again == []


NUMBERS = st.one_of(
    st.sampled_from([0, 23, 24, 255, 256, 65_535, 65_536, (1 << 32) - 1]),
    st.integers(0, (1 << 32) - 1),
)


@given(
    st.one_of(NUMBERS, st.sampled_from([-1, 1 << 32, (1 << 64) - 1])),
    NUMBERS.filter(lambda number: number <= messages.INTERVAL_NUMBER_MAX),
    st.one_of(NUMBERS, st.just(messages.TIME_S_MAX)),
)
def test_a_receipt_has_the_bytes_that_the_wire_gives_it(
    frame_counter: int, interval: int, time_s: int
) -> None:
    plain = messages.encode(messages.Receipt(frame_counter, interval, time_s))
    assert receipts.encode(frame_counter, interval, time_s) == plain


@given(st.binary(max_size=2000))
def test_a_publish_to_a_ready_field_is_a_publish_to_its_topic(payload: bytes) -> None:
    assert packets.publish_to(FIELD, payload) == packets.publish(TOPIC, payload)
