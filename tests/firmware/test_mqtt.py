"""One MQTT session over umqtt: what is said, in which packets, and that its time-outs hold."""

import tests.support.umqtt_here  # noqa: F401, I001  (first: it makes umqtt importable on CPython)

import umqtt.simple

from firmware.board import BLOCKING_MS_MAX
from firmware.mqtt import (
    CONNECT_TIMEOUT_MS,
    INBOX_MAX,
    PACKET_ID_MAX,
    PING_AFTER_MS,
    PING_TIMEOUT_MS,
    POLL_TIMEOUT_MS,
    PUBLISH_TIMEOUT_MS,
    WHY_PING,
)
from firmware.mqtt_door import (
    OUTBOUND_BYTES_MAX,
    WHY_CLOSED,
    WHY_OVERSIZED,
    WHY_TIMEOUT,
    WHY_UNREACHABLE,
)
from tests.support.a_meter import METER_ID, FakeClock
from tests.support.fake_link import FakeLink, FakeStream, Session, WouldHang, pid_of, publish
from wire import topics

UP = topics.up(METER_ID)
DOWN = topics.down(METER_ID)
FRAME = bytes(range(200))


def number_of(packet):
    """The packet id of a publish."""
    packet_id = pid_of(packet)
    return packet_id[0] << 8 | packet_id[1]


# -------------------------------------------------------------- what is said


def test_connecting_names_the_meter_its_will_and_its_down_topic():
    connect, subscribe = Session().stream.packets
    assert b"MQTT\x04" in connect
    for part in (b"0011223344556677", topics.gone(METER_ID).encode(), b"a-long-password"):
        assert part in connect
    assert DOWN.encode() in subscribe
    assert subscribe[-1] == 1


def test_every_packet_is_one_write_to_the_socket():
    session = Session()
    session.mqtt.publish(UP, FRAME)
    session.stream.inbound = publish(DOWN, FRAME, qos=1)
    session.mqtt.poll()
    assert session.stream.writes == session.stream.packets
    assert len(session.stream.packets) == 4
    packet = session.stream.packets[2]
    assert packet[0] == 0x32
    assert packet.endswith(FRAME)
    assert UP.encode() in packet


def test_a_socket_that_takes_a_packet_in_pieces_gets_all_of_it():
    for piece in (1, 2, 50, 199):
        session = Session(connect=False)
        session.link.write_piece_max = piece
        session.mqtt.connect()
        session.mqtt.publish(UP, FRAME)
        assert session.stream.packets[2].endswith(FRAME)
        assert max([len(write) for write in session.stream.writes]) <= piece


def test_an_answer_that_comes_byte_by_byte_is_put_together():
    session = Session(connect=False)
    session.link.read_piece_max = 1
    session.mqtt.connect()
    session.mqtt.publish(UP, FRAME)
    session.stream.inbound = publish(DOWN, FRAME)
    assert session.mqtt.poll() == [(DOWN, FRAME)]


def test_a_frame_larger_than_any_of_ours_is_not_sent():
    session = Session()
    head = 1 + 2 + 2 + len(UP) + 2  # type, length, topic length, topic, packet id
    session.mqtt.publish(UP, bytes(OUTBOUND_BYTES_MAX - head))
    assert len(session.stream.packets[-1]) == OUTBOUND_BYTES_MAX
    for more in (1, 500):
        session = Session()
        why, took_ms = session.broken(
            session.mqtt.publish, UP, bytes(OUTBOUND_BYTES_MAX - head + more)
        )
        assert (why, took_ms) == (WHY_OVERSIZED, 0)
        assert len(session.stream.packets) == 2


# -------------------------------------------------------------- packet ids


def test_packet_ids_stay_between_1_and_65535_over_more_messages_than_that():
    session = Session()
    session.mqtt._packet_id = PACKET_ID_MAX - 2
    seen = []
    for _ in range(5):
        session.mqtt.publish(UP, FRAME)
        seen.append(number_of(session.stream.packets[-1]))
    assert seen == [65534, 65535, 1, 2, 3]


def test_packet_ids_also_wrap_in_the_subscription_of_a_new_connection():
    session = Session()
    session.mqtt._packet_id = PACKET_ID_MAX
    session.mqtt.connect()
    assert session.stream.packets[1][2:4] == b"\x00\x01"


def test_an_id_whose_publish_failed_is_not_used_for_the_next():
    session = Session()
    session.link.puback = b""
    session.broken(session.mqtt.publish, UP, FRAME)
    failed = number_of(session.stream.packets[-1])
    session.link.puback = None
    session.mqtt.connect()
    session.mqtt.publish(UP, FRAME)
    assert number_of(session.stream.packets[-1]) == failed + 2  # the subscription had one too


# -------------------------------------------------------------- time-outs


def test_no_call_may_keep_the_meter_longer_than_a_third_of_the_watchdog():
    for bound_ms in (CONNECT_TIMEOUT_MS, PUBLISH_TIMEOUT_MS, POLL_TIMEOUT_MS):
        assert 0 < bound_ms < BLOCKING_MS_MAX
    assert POLL_TIMEOUT_MS + PUBLISH_TIMEOUT_MS <= BLOCKING_MS_MAX


def test_umqtt_alone_hangs_on_a_lost_puback_though_it_was_given_a_time_out():
    link = FakeLink(FakeClock())
    client = umqtt.simple.MQTTClient(b"bare", "host", 1883)
    client.sock = FakeStream(link)
    client.sock.settimeout(2)
    link.pubacks_from = 2
    client.sock.inbound = b"\xd0\x00"  # anything: umqtt then calls setblocking(True)
    try:
        client.publish(b"t", b"m", False, 1)
    except WouldHang:
        return
    raise AssertionError("the fake no longer shows what the chip does")


def test_an_unreachable_gateway_is_reported_within_the_time_out():
    session = Session(connect=False)
    session.link.reachable = False
    assert session.broken(session.mqtt.connect) == (WHY_UNREACHABLE, CONNECT_TIMEOUT_MS)


def test_opening_and_every_answer_to_connecting_share_one_time_out():
    for open_ms in (0, 3_000, CONNECT_TIMEOUT_MS - 1):
        for silent_from in (0, 3, 4, 8):  # in CONNACK, before and in SUBACK
            session = Session(connect=False)
            session.link.open_ms = open_ms
            session.link.bytes_until_silence = silent_from
            why = session.broken(session.mqtt.connect)
            assert why == (WHY_TIMEOUT, CONNECT_TIMEOUT_MS), (open_ms, silent_from)


def test_a_lost_puback_ends_the_publish_within_its_time_out():
    session = Session()
    session.link.puback = b""
    assert session.broken(session.mqtt.publish, UP, FRAME) == (WHY_TIMEOUT, PUBLISH_TIMEOUT_MS)


def test_a_socket_that_takes_nothing_ends_the_publish_within_its_time_out():
    session = Session()
    session.link.writable = False
    assert session.broken(session.mqtt.publish, UP, FRAME) == (WHY_TIMEOUT, PUBLISH_TIMEOUT_MS)


def test_traffic_without_the_puback_does_not_prolong_the_time_out():
    for chatter in (b"\xd0\x00", publish(DOWN, b"x"), b"\x40\x02\x7f\x7f"):
        session = Session()
        session.link.puback = b""
        real_wait = session.link.wait

        def chatting(stream, for_write, timeout_ms, session=session, said=chatter, real=real_wait):
            if not for_write and not stream.inbound:
                session.clock.pass_ms(min(700, timeout_ms))
                stream.inbound += said
            return real(stream, for_write, timeout_ms)

        session.link.wait = chatting
        why, took_ms = session.broken(session.mqtt.publish, UP, FRAME)
        assert why == WHY_TIMEOUT
        assert took_ms <= PUBLISH_TIMEOUT_MS + 700


def test_a_gateway_that_drips_one_byte_at_a_time_does_not_prolong_the_time_out():
    session = Session()
    session.stream.inbound = publish(DOWN, FRAME)[:3]  # the whole length, and no more
    real_wait = session.link.wait

    def dripping(stream, for_write, timeout_ms):
        if not for_write and not stream.inbound:
            session.clock.pass_ms(min(100, timeout_ms))
            stream.inbound += b"\x01"
        return real_wait(stream, for_write, timeout_ms)

    session.link.wait = dripping
    assert session.broken(session.mqtt.poll) == (WHY_TIMEOUT, POLL_TIMEOUT_MS)


def test_half_a_frame_ends_the_poll_within_its_time_out():
    whole = publish(DOWN, FRAME)
    for length in (1, 2, 5, len(whole) - 1):
        session = Session()
        session.stream.inbound = whole[:length]
        assert session.broken(session.mqtt.poll) == (WHY_TIMEOUT, POLL_TIMEOUT_MS)


# -------------------------------------------------------------- what comes


def test_polling_does_not_wait_and_gives_what_came():
    session = Session()
    begun_ms = session.clock.ms
    assert session.mqtt.poll() == []
    session.stream.inbound = publish(DOWN, b"one") + publish(DOWN, FRAME)
    assert session.mqtt.poll() == [(DOWN, b"one"), (DOWN, FRAME)]
    assert session.clock.ms == begun_ms


def test_an_empty_message_is_a_message():
    session = Session()
    session.stream.inbound = publish(DOWN, b"") + publish(DOWN, b"", qos=1)
    assert session.mqtt.poll() == [(DOWN, b""), (DOWN, b"")]


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


def test_a_flood_of_frames_during_a_publish_is_bounded_and_counted():
    session = Session()
    session.stream.inbound = publish(DOWN, b"x") * (INBOX_MAX + 3)
    session.mqtt.publish(UP, FRAME)
    assert session.mqtt.dropped == 3
    assert len(session.mqtt.poll()) == INBOX_MAX


def test_a_flood_of_frames_during_a_poll_waits_in_the_socket():
    for frames in (INBOX_MAX - 1, INBOX_MAX, INBOX_MAX + 3):
        session = Session()
        session.stream.inbound = publish(DOWN, b"x", qos=1) * frames
        assert len(session.mqtt.poll()) == min(frames, INBOX_MAX)
        pubacks = [packet for packet in session.stream.packets if packet[0] == 0x40]
        assert len(pubacks) == min(frames, INBOX_MAX)
        assert len(session.mqtt.poll()) == max(0, frames - INBOX_MAX)
        assert session.mqtt.dropped == 0


# -------------------------------------------------------------- staying alive


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


def test_a_half_open_link_whose_buffer_is_full_ends_within_the_poll_s_time_out():
    session = Session()
    session.link.writable = False
    session.clock.pass_ms(PING_AFTER_MS)
    assert session.broken(session.mqtt.poll) == (WHY_TIMEOUT, POLL_TIMEOUT_MS)


def test_connecting_again_closes_the_socket_before():
    session = Session()
    session.mqtt.connect()
    assert session.link.streams[0].shut
    assert not session.link.streams[1].shut


def test_a_socket_that_cannot_be_closed_is_left_behind():
    session = Session()
    session.link.close_error = 9
    session.stream.closed = True
    assert session.broken(session.mqtt.poll) == (WHY_CLOSED, 0)
    session.mqtt.connect()
    session.mqtt.publish(UP, FRAME)


def test_umqtt_s_own_tls_is_never_asked_for():
    session = Session()
    assert not session.mqtt._client.ssl
    assert session.mqtt._client.sock is session.mqtt._door
    session.mqtt._client.ssl = True
    try:
        session.mqtt._client.connect()
    except ImportError:
        return  # 1.3.4 imports a ussl that is no more
    raise AssertionError("umqtt has a TLS of its own again: read what it verifies")
