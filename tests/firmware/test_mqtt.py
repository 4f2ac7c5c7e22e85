"""umqtt over a socket with the ESP32's rules: nothing hangs, nothing unbounded, one error."""

import tests.support.umqtt_here  # noqa: F401, I001  (first: it makes umqtt importable on CPython)

import umqtt.simple

from firmware.mqtt import (
    CONNECT_TIMEOUT_MS,
    INBOUND_BYTES_MAX,
    INBOX_MAX,
    PACKET_ID_MAX,
    PING_AFTER_MS,
    PING_TIMEOUT_MS,
    POLL_TIMEOUT_MS,
    PUBLISH_TIMEOUT_MS,
    WHY_CLOSED,
    WHY_OVERSIZED,
    WHY_PING,
    WHY_PROTOCOL,
    WHY_REFUSED,
    WHY_TIMEOUT,
    WHY_UNREACHABLE,
    LinkDown,
    MqttLink,
)
from tests.support.a_meter import METER_ID, FakeClock, a_board, refusal_of, settings
from tests.support.fake_link import FakeLink, pid_of, publish
from tests.support.newer_umqtt import newer_client
from wire import topics

UP = topics.up(METER_ID)
DOWN = topics.down(METER_ID)
FRAME = bytes(range(200))


class Session:
    """A connected MqttLink over a FakeLink."""

    def __init__(self, connect=True, ticks_ms=0):
        self.clock = FakeClock(ticks_ms=ticks_ms)
        self.link = FakeLink(self.clock)
        self.mqtt = MqttLink(a_board(link=self.link, clock=self.clock))
        if connect:
            self.mqtt.connect()

    @property
    def stream(self):
        return self.link.streams[-1]

    def broken(self, call, *arguments):
        """Why the call broke the link, and how long that took in ms."""
        begun_ms = self.clock.ms
        why = refusal_of(LinkDown, call, *arguments)
        assert all([stream.shut for stream in self.link.streams]), "the socket was left open"
        return why, self.clock.ms - begun_ms


def test_connecting_names_the_meter_its_will_and_its_down_topic():
    session = Session()
    connect, subscribe = session.stream.packets
    assert b"MQTT\x04" in connect
    for part in (b"0011223344556677", topics.gone(METER_ID).encode(), b"a-long-password"):
        assert part in connect
    assert DOWN.encode() in subscribe
    assert subscribe[-1] == 1


def test_every_packet_is_one_write_to_the_socket():
    session = Session()
    assert len(session.stream.packets) == 2
    session.mqtt.publish(UP, FRAME)
    assert len(session.stream.packets) == 3
    packet = session.stream.packets[2]
    assert packet[0] == 0x32
    assert packet.endswith(FRAME)
    assert UP.encode() in packet


def test_a_socket_that_takes_a_packet_in_pieces_gets_all_of_it():
    session = Session()
    session.link.write_piece_max = 50
    session.link.answer = lambda stream, data: None
    session.stream.inbound = b"\x40\x02\x00\x02"
    session.mqtt.publish(UP, FRAME)
    assert b"".join(session.stream.packets[2:]).endswith(FRAME)


def test_an_answer_that_comes_byte_by_byte_is_put_together():
    session = Session(connect=False)
    session.link.read_piece_max = 1
    session.mqtt.connect()
    session.mqtt.publish(UP, FRAME)
    session.stream.inbound = publish(DOWN, FRAME)
    assert session.mqtt.poll() == [(DOWN, FRAME)]


def test_a_lost_puback_ends_the_publish_within_its_time_out():
    session = Session()
    session.link.puback = b""
    assert session.broken(session.mqtt.publish, UP, FRAME) == (WHY_TIMEOUT, PUBLISH_TIMEOUT_MS)


def test_traffic_without_the_puback_does_not_prolong_the_time_out():
    session = Session()
    session.link.puback = b""
    real_wait = session.link.wait

    def chatter(stream, for_write, timeout_ms):
        if not for_write and not stream.inbound:
            session.clock.pass_ms(min(700, timeout_ms))
            stream.inbound += b"\xd0\x00"
        return real_wait(stream, for_write, timeout_ms)

    session.link.wait = chatter
    why, took_ms = session.broken(session.mqtt.publish, UP, FRAME)
    assert why == WHY_TIMEOUT
    assert took_ms <= PUBLISH_TIMEOUT_MS + 700


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
        session.link.puback = b"\x40\x02\x00\x02"[:length]
        why = session.broken(session.mqtt.publish, UP, FRAME)
        assert why == (WHY_TIMEOUT, PUBLISH_TIMEOUT_MS)


def test_a_malformed_puback_is_a_broken_link():
    session = Session()
    session.link.puback = b"\x40\x03\x00\x02\x00"
    assert session.broken(session.mqtt.publish, UP, FRAME) == (WHY_PROTOCOL, 0)


def test_a_socket_that_takes_nothing_ends_the_publish_within_its_time_out():
    session = Session()
    session.link.writable = False
    assert session.broken(session.mqtt.publish, UP, FRAME) == (WHY_TIMEOUT, PUBLISH_TIMEOUT_MS)


def test_packet_ids_stay_between_1_and_65535_over_more_messages_than_that():
    session = Session()
    session.mqtt._packet_id = PACKET_ID_MAX - 2
    seen = []
    for _ in range(5):
        session.mqtt.publish(UP, FRAME)
        packet_id = pid_of(session.stream.packets[-1])
        seen.append(packet_id[0] << 8 | packet_id[1])
    assert seen == [65534, 65535, 1, 2, 3]


def test_packet_ids_also_wrap_in_the_subscription_of_a_new_connection():
    session = Session()
    session.mqtt._packet_id = PACKET_ID_MAX
    session.mqtt.connect()
    assert session.stream.packets[1][2:4] == b"\x00\x01"


def test_an_unreachable_gateway_is_reported_within_the_time_out():
    session = Session(connect=False)
    session.link.reachable = False
    assert session.broken(session.mqtt.connect) == (WHY_UNREACHABLE, CONNECT_TIMEOUT_MS)


def test_a_gateway_that_never_answers_connect_is_a_time_out():
    session = Session(connect=False)
    session.link.connack = b""
    assert session.broken(session.mqtt.connect) == (WHY_TIMEOUT, CONNECT_TIMEOUT_MS)


def test_a_wrong_password_is_named_and_not_shown():
    for code, why in ((4, "wrong password"), (5, "not authorised"), (3, WHY_REFUSED + " 3")):
        session = Session(connect=False)
        session.link.connack = bytes((0x20, 2, 0, code))
        found = session.broken(session.mqtt.connect)[0]
        assert found == why
        assert settings()["password"] not in found


def test_a_torn_or_wrong_connack_is_a_broken_link():
    for connack in (b"\x20", b"\x20\x02\x00"):
        session = Session(connect=False)
        session.link.connack = connack
        assert session.broken(session.mqtt.connect)[0] == WHY_TIMEOUT
    session = Session(connect=False)
    session.link.connack = b"\x21\x02\x00\x00"
    assert session.broken(session.mqtt.connect)[0] == WHY_PROTOCOL


def test_a_refused_subscription_is_a_broken_link():
    session = Session(connect=False)
    session.link.suback = b"\x90\x03\x00\x01\x80"
    assert session.broken(session.mqtt.connect)[0] == WHY_REFUSED + " 128"


def test_polling_does_not_wait_and_gives_what_came():
    session = Session()
    begun_ms = session.clock.ms
    assert session.mqtt.poll() == []
    session.stream.inbound = publish(DOWN, b"one") + publish(DOWN, FRAME)
    assert session.mqtt.poll() == [(DOWN, b"one"), (DOWN, FRAME)]
    assert session.clock.ms == begun_ms


def test_a_frame_at_qos_1_is_acknowledged_at_once():
    session = Session()
    session.stream.inbound = publish(DOWN, b"one", qos=1, packet_id=0x1234)
    assert session.mqtt.poll() == [(DOWN, b"one")]
    assert session.stream.packets[-1] == b"\x40\x02\x12\x34"


def test_a_frame_that_comes_while_waiting_for_a_puback_is_kept():
    session = Session()
    session.stream.inbound = publish(DOWN, b"meanwhile")
    session.mqtt.publish(UP, FRAME)
    assert session.mqtt.poll() == [(DOWN, b"meanwhile")]


def test_half_a_frame_ends_the_poll_within_its_time_out():
    whole = publish(DOWN, FRAME)
    for length in (1, 2, 5, len(whole) - 1):
        session = Session()
        session.stream.inbound = whole[:length]
        assert session.broken(session.mqtt.poll) == (WHY_TIMEOUT, POLL_TIMEOUT_MS)


def test_an_oversized_frame_is_refused_before_it_is_read():
    fits = INBOUND_BYTES_MAX
    session = Session()
    session.stream.inbound = publish(DOWN, bytes(fits))
    assert session.mqtt.poll() == [(DOWN, bytes(fits))]
    session.stream.inbound = publish(DOWN, bytes(fits + 1))
    assert session.broken(session.mqtt.poll) == (WHY_OVERSIZED, 0)


def test_an_announced_length_of_megabytes_allocates_nothing():
    session = Session()
    session.stream.inbound = b"\x30\xff\xff\xff\x7f\x00\x01a"
    assert session.broken(session.mqtt.poll)[0] == WHY_OVERSIZED


def test_a_length_that_never_ends_is_a_broken_link():
    session = Session()
    session.stream.inbound = b"\x30" + b"\xff" * 40
    session.link.read_piece_max = 1
    assert session.broken(session.mqtt.poll)[0] in (WHY_TIMEOUT, WHY_OVERSIZED)


def test_a_topic_longer_than_its_packet_is_a_broken_link():
    session = Session()
    session.stream.inbound = b"\x30\x05\x00\x09m/aa/bbbbb"
    assert session.broken(session.mqtt.poll)[0] == WHY_PROTOCOL


def test_a_packet_that_nobody_asked_for_is_a_broken_link():
    for packet in (b"\x40\x02\x00\x09", b"\x90\x03\x00\x01\x00", b"\x20\x02\x00\x00", b"\x00"):
        session = Session()
        session.stream.inbound = packet
        assert session.broken(session.mqtt.poll)[0] == WHY_PROTOCOL


def test_a_flood_of_frames_is_bounded_and_counted():
    session = Session()
    session.link.puback = b""
    session.stream.inbound = publish(DOWN, b"x") * (INBOX_MAX + 3) + b"\x40\x02\x00\x02"
    session.mqtt.publish(UP, FRAME)
    assert session.mqtt.dropped == 3
    assert len(session.mqtt.poll()) == INBOX_MAX


def test_a_silent_link_is_pinged_and_lives_on_when_answered():
    session = Session()
    session.clock.pass_ms(PING_AFTER_MS - 1)
    session.mqtt.poll()
    assert session.stream.packets[-1] != b"\xc0\x00"
    session.clock.pass_ms(1)
    session.mqtt.poll()
    assert session.stream.packets[-1] == b"\xc0\x00"
    session.mqtt.poll()
    session.clock.pass_ms(PING_TIMEOUT_MS)
    assert session.mqtt.poll() == []


def test_a_half_open_link_ends_when_the_ping_is_not_answered():
    session = Session(ticks_ms=FakeClock.PERIOD_MS - 20_000)
    session.link.pong = b""
    session.clock.pass_ms(PING_AFTER_MS)
    session.mqtt.poll()
    session.clock.pass_ms(PING_TIMEOUT_MS - 1)
    session.mqtt.poll()
    session.clock.pass_ms(1)
    assert session.broken(session.mqtt.poll) == (WHY_PING, 0)


def test_a_gateway_that_restarts_is_noticed_and_connected_to_again():
    session = Session()
    session.stream.closed = True
    assert session.broken(session.mqtt.poll) == (WHY_CLOSED, 0)
    session.mqtt.connect()
    session.mqtt.publish(UP, FRAME)
    assert len(session.link.streams) == 2


def test_connecting_again_closes_the_socket_before():
    session = Session()
    session.mqtt.connect()
    assert session.link.streams[0].shut
    assert not session.link.streams[1].shut


def test_the_newer_umqtt_works_the_same():
    older = umqtt.simple.MQTTClient
    umqtt.simple.MQTTClient = newer_client(older)
    try:
        test_connecting_names_the_meter_its_will_and_its_down_topic()
        test_every_packet_is_one_write_to_the_socket()
        test_a_lost_puback_ends_the_publish_within_its_time_out()
        test_half_a_puback_and_then_the_end_is_a_broken_link()
        test_polling_does_not_wait_and_gives_what_came()
        test_an_oversized_frame_is_refused_before_it_is_read()
        test_connecting_again_closes_the_socket_before()
        test_a_wrong_password_is_named_and_not_shown()
    finally:
        umqtt.simple.MQTTClient = older
