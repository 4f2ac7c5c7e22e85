"""What a gateway can say wrong to a session: each has a name and an end."""

import tests.support.umqtt_here  # noqa: F401, I001  (first: it makes umqtt importable on CPython)

from firmware.mqtt import (
    CONNECT_TIMEOUT_MS,
    INBOUND_BYTES_MAX,
    PUBLISH_TIMEOUT_MS,
    WHY_REFUSED,
    LinkDown,
)
from firmware.mqtt_door import (
    WHY_CLOSED,
    WHY_OVERSIZED,
    WHY_PROTOCOL,
    WHY_TIMEOUT,
)
from tests.support.a_meter import METER_ID, refusal_of, settings
from tests.support.fake_link import CONNACK, PINGRESP, Session, pid_of, publish
from wire import topics

UP = topics.up(METER_ID)
DOWN = topics.down(METER_ID)
FRAME = bytes(range(200))


# -------------------------------------------------------------- the repeat of a publish


def test_a_publish_without_puback_is_sent_again_with_dup_and_the_same_id_after_half_its_time():
    session = Session()
    session.link.pubacks_from = 2
    begun_ms = session.clock.ms
    session.mqtt.publish(UP, FRAME)
    assert session.clock.ms - begun_ms == PUBLISH_TIMEOUT_MS // 2
    first, again = session.stream.packets[2:]
    assert first[0] == 0x32
    assert again[0] == 0x3A
    assert again[1:] == first[1:]
    assert session.stream.writes[2:] == [first, again]


def test_a_publish_is_repeated_once_and_not_when_its_puback_comes_in_time():
    session = Session()
    session.mqtt.publish(UP, FRAME)
    assert len(session.stream.packets) == 3
    session.link.puback = b""
    assert session.broken(session.mqtt.publish, UP, FRAME) == (WHY_TIMEOUT, PUBLISH_TIMEOUT_MS)
    assert [packet[0] for packet in session.stream.packets[3:]] == [0x32, 0x3A]


def test_both_pubacks_of_a_repeated_publish_do_no_harm():
    for late in ("poll", "publish"):
        session = Session()
        session.link.pubacks_from = 2
        session.mqtt.publish(UP, FRAME)
        session.stream.inbound += b"\x40\x02" + pid_of(session.stream.packets[-1])
        if late == "poll":
            assert session.mqtt.poll() == []
        session.mqtt.publish(UP, FRAME)
        assert session.stream.inbound == b""


def test_no_repeat_goes_into_a_socket_that_takes_nothing_and_a_late_puback_still_counts():
    session = Session()
    session.link.puback = b""
    real_wait = session.link.wait

    def stalled(stream, for_write, timeout_ms):
        session.link.writable = False
        if session.clock.ms >= PUBLISH_TIMEOUT_MS // 2 and not for_write:
            session.clock.pass_ms(100)
            stream.inbound = b"\x40\x02" + pid_of(stream.packets[-1])
        return real_wait(stream, for_write, timeout_ms)

    session.link.wait = stalled
    session.mqtt.publish(UP, FRAME)
    assert len(session.stream.packets) == 3
    assert session.clock.ms == PUBLISH_TIMEOUT_MS // 2 + 100


def test_a_repeat_that_a_socket_takes_in_pieces_is_still_whole():
    session = Session()
    session.link.pubacks_from = 2
    session.link.write_piece_max = 7
    session.mqtt.publish(UP, FRAME)
    first, again = session.stream.packets[2:]
    assert again == b"\x3a" + first[1:]


def test_a_new_connection_repeats_nothing_of_the_one_before():
    session = Session()
    session.link.puback = b""
    session.broken(session.mqtt.publish, UP, FRAME)
    session.link.puback = None
    session.mqtt.connect()
    session.mqtt.poll()
    assert [packet[0] & 0xF0 for packet in session.stream.packets] == [0x10, 0x80]


# -------------------------------------------------------------- PUBACKs that are none


def test_the_puback_of_another_packet_is_not_taken_for_ours():
    session = Session()
    session.link.puback = b"\x40\x02\x7f\x7f"
    assert session.broken(session.mqtt.publish, UP, FRAME)[0] == WHY_TIMEOUT


def test_half_a_puback_and_then_the_end_is_a_broken_link():
    for length in range(4):
        session = Session()
        session.link.puback = b"\x40\x02\x00\x02"[:length]
        session.link.close_after_puback = True
        assert session.broken(session.mqtt.publish, UP, FRAME) == (WHY_CLOSED, 0)


def test_half_a_puback_and_then_silence_is_a_time_out():
    for length in range(1, 4):
        session = Session()
        session.link.pubacks_from = 1
        session.link.bytes_until_silence = length
        why = session.broken(session.mqtt.publish, UP, FRAME)
        assert why == (WHY_TIMEOUT, PUBLISH_TIMEOUT_MS)


def test_a_malformed_puback_is_a_broken_link():
    for puback in (b"\x40\x03\x00\x02\x00", b"\x40\x00", b"\x41\x02\x00\x02", b"\x40\x82\x00\x02"):
        session = Session()
        session.link.puback = puback
        why = session.broken(session.mqtt.publish, UP, FRAME)[0]
        assert why == WHY_PROTOCOL or (puback[1] == 0x82 and why == WHY_TIMEOUT), puback


# -------------------------------------------------------------- answers to connecting


def test_a_wrong_password_is_named_and_not_shown():
    named = {4: "wrong password", 5: "not authorised"}
    for code in range(1, 6):
        session = Session(connect=False)
        session.link.connack = bytes((0x20, 2, 0, code))
        found = session.broken(session.mqtt.connect)[0]
        assert found == named.get(code, WHY_REFUSED + " " + str(code))
        assert settings()["password"] not in found


def test_a_connack_of_another_shape_is_refused():
    for connack in (b"\x21\x02\x00\x00", b"\x20\x03\x00\x00\x00", b"\x20\x01\x00", PINGRESP * 2):
        session = Session(connect=False)
        session.link.connack = connack
        why = session.broken(session.mqtt.connect)[0]
        assert why == (WHY_TIMEOUT if connack == PINGRESP * 2 else WHY_PROTOCOL), connack


def test_nothing_is_taken_before_the_connack():
    for packet in (publish(DOWN, FRAME), b"\x90\x03\x00\x01\x00"):
        session = Session(connect=False)
        session.link.connack = packet + CONNACK
        assert session.broken(session.mqtt.connect)[0] == WHY_PROTOCOL


def test_the_door_refuses_by_itself_what_umqtt_only_asserts():
    for packet in (publish(DOWN, FRAME), b"\x90\x03\x00\x01\x00", b"\x20\x03\x00\x00\x00"):
        session = Session()
        door = session.mqtt._door
        door.begin(CONNECT_TIMEOUT_MS)
        door.expect(CONNACK[0], 0)
        session.stream.inbound = packet
        assert refusal_of(LinkDown, door.read, 4) == WHY_PROTOCOL


def test_a_refused_subscription_is_a_broken_link():
    session = Session(connect=False)
    session.link.suback = b"\x90\x03\x00\x01\x80"
    assert session.broken(session.mqtt.connect)[0] == WHY_REFUSED + " 128"


def test_the_suback_of_another_subscription_or_a_quality_nobody_asked_for_is_refused():
    for suback in (b"\x90\x03\x00\x02\x00", b"\x90\x03\x00\x01\x02", b"\x90\x02\x00\x01"):
        session = Session(connect=False)
        session.link.suback = suback
        assert session.broken(session.mqtt.connect)[0] == WHY_PROTOCOL
    session = Session(connect=False)
    session.link.suback = b"\x90\x03\x00\x01\x01"
    session.mqtt.connect()
    assert session.mqtt.poll() == []


def test_a_frame_that_comes_before_the_suback_is_kept():
    session = Session(connect=False)
    session.link.suback = publish(DOWN, FRAME) + b"\x90\x03\x00\x01\x00"
    session.mqtt.connect()
    assert session.mqtt.poll() == [(DOWN, FRAME)]


# -------------------------------------------------------------- packets that are none


def test_an_oversized_packet_is_refused_before_it_is_read():
    fits = INBOUND_BYTES_MAX - 2 - len(DOWN)
    for frame_bytes in (fits - 1, fits):
        session = Session()
        session.stream.inbound = publish(DOWN, bytes(frame_bytes))
        assert session.mqtt.poll() == [(DOWN, bytes(frame_bytes))]
    session.stream.inbound = publish(DOWN, bytes(fits + 1))
    assert session.broken(session.mqtt.poll) == (WHY_OVERSIZED, 0)
    assert len(session.stream.inbound) == INBOUND_BYTES_MAX + 1


def test_an_announced_length_of_megabytes_allocates_nothing():
    session = Session()
    session.stream.inbound = b"\x30\xff\xff\xff\x7f\x00\x01a"
    assert session.broken(session.mqtt.poll) == (WHY_OVERSIZED, 0)


def test_a_length_of_five_bytes_is_no_length():
    for inbound in (
        b"\x30\xff\xff\xff\xff\x7f",
        b"\x30\x80\x80\x80\x80\x00",
        b"\x30" + b"\xff" * 40,
    ):
        session = Session()
        session.stream.inbound = inbound
        assert session.broken(session.mqtt.poll) == (WHY_PROTOCOL, 0)
    session = Session()
    session.stream.inbound = b"\xd0\x80\x80\x80\x00"  # four bytes are allowed, however it looks
    assert session.mqtt.poll() == []


def test_a_publish_that_does_not_fit_into_its_own_packet_is_refused():
    topic = b"\x00\x09m/aa/bbbb"
    for body in (b"", b"\x00", b"\x00\x09m/aa/bbb", b"\xff\xff" + b"m" * 20):
        session = Session()
        session.stream.inbound = b"\x30" + bytes((len(body),)) + body + publish(DOWN, FRAME)
        assert session.broken(session.mqtt.poll) == (WHY_PROTOCOL, 0), body
    for missing in (0, 1):  # of the two bytes of a packet id
        session = Session()
        body = topic + b"\x01"[:missing]
        session.stream.inbound = b"\x32" + bytes((len(body),)) + body + publish(DOWN, FRAME)
        assert session.broken(session.mqtt.poll) == (WHY_PROTOCOL, 0)


def test_a_topic_that_is_no_text_is_refused():
    session = Session()
    session.stream.inbound = b"\x30\x05\x00\x02\xff\xfex"
    assert session.broken(session.mqtt.poll) == (WHY_PROTOCOL, 0)


def test_no_packet_type_that_a_client_must_never_get_is_taken():
    allowed = (0x30, 0x31, 0x32, 0x33, 0x38, 0x39, 0x3A, 0x3B, 0x40, 0xD0)
    for kind in range(256):
        if kind in allowed:
            continue
        for body in (b"", b"\x00\x09", b"\x00\x01\x00", b"\x00\x01t\x00\x01x"):
            session = Session()
            session.stream.inbound = bytes((kind, len(body))) + body
            assert session.broken(session.mqtt.poll) == (WHY_PROTOCOL, 0), (kind, body)


def test_no_flipped_bit_in_any_answer_does_more_than_break_the_link():
    names = (WHY_TIMEOUT, WHY_PROTOCOL, WHY_OVERSIZED, "wrong password", "not authorised", None)
    good = CONNACK, b"\x90\x03\x00\x01\x00", b"\x40\x02\x00\x02", publish(DOWN, b"abc", qos=1)
    for which, packet in enumerate(good):
        for bit in range(8 * len(packet)):
            flipped = bytearray(packet)
            flipped[bit // 8] ^= 1 << bit % 8
            session = Session(connect=False)
            if which < 2:
                setattr(session.link, ("connack", "suback")[which], bytes(flipped))
            why, took_ms = session.tried(session.mqtt.connect)
            if which >= 2:
                session.link.puback = bytes(flipped) if which == 2 else None
                session.stream.inbound = bytes(flipped) if which == 3 else b""
                why, took_ms = session.tried(session.mqtt.publish, UP, FRAME)
            assert why in names or why.startswith(WHY_REFUSED), (packet, bit, why)
            assert took_ms <= (CONNECT_TIMEOUT_MS if which < 2 else PUBLISH_TIMEOUT_MS)
