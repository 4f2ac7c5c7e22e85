"""What a socket and a network can do wrong to a session, and a gateway that comes and goes."""

import tests.support.umqtt_here  # noqa: F401, I001  (first: it makes umqtt importable on CPython)

import umqtt.simple

from firmware.backoff import Backoff
from firmware.mqtt import (
    CONNECT_TIMEOUT_MS,
    POLL_TIMEOUT_MS,
    PUBLISH_TIMEOUT_MS,
    WHY_MEMORY,
)
from firmware.mqtt_door import BUSY_ERRORS, WHY_CLOSED, WHY_TIMEOUT
from tests.firmware import test_mqtt, test_mqtt_faults
from tests.support.a_meter import METER_ID
from tests.support.fake_link import CONNACK, Session, publish
from tests.support.newer_umqtt import newer_client
from wire import topics

UP = topics.up(METER_ID)
DOWN = topics.down(METER_ID)
FRAME = bytes(range(200))
ECONNRESET = 104


def test_a_busy_socket_is_asked_again():
    assert {11, 118, 119} <= set(BUSY_ERRORS)
    for errno in BUSY_ERRORS:
        session = Session()
        session.link.errnos = [errno, errno]
        session.mqtt.publish(UP, FRAME)
        session.link.errnos = [errno]
        assert session.mqtt.poll() == []
        session.stream.inbound = publish(DOWN, FRAME)
        assert session.mqtt.poll() == [(DOWN, FRAME)]


def test_a_socket_that_stays_busy_ends_within_the_time_out():
    session = Session()
    session.link.puback = b""

    def always_busy(length):
        session.clock.pass_ms(10)
        raise OSError(118)

    session.stream.read = always_busy
    assert session.broken(session.mqtt.publish, UP, FRAME) == (WHY_TIMEOUT, PUBLISH_TIMEOUT_MS)


def test_a_socket_that_is_ready_and_takes_nothing_ends_within_the_time_out():
    session = Session()

    def takes_nothing(data):
        session.clock.pass_ms(10)

    session.stream.write = takes_nothing
    assert session.broken(session.mqtt.publish, UP, FRAME) == (WHY_TIMEOUT, PUBLISH_TIMEOUT_MS)


def test_a_flood_that_never_pauses_ends_within_the_time_out():
    for packet in (b"\xd0\x00", b"\x40\x02\x7f\x7f", publish(DOWN, b"x")):
        for polling in (False, True):
            session = Session()
            session.link.puback = b""

            def flooding(length, session=session, said=packet):
                session.clock.pass_ms(1)
                assert session.clock.ms <= PUBLISH_TIMEOUT_MS, "it does not end"
                at = (session.clock.ms - 1) % len(said)
                return said[at : at + 1]

            session.stream.read = flooding
            if polling:
                why, took_ms = session.tried(session.mqtt.poll)
                assert why in (None, WHY_TIMEOUT)
                assert took_ms <= POLL_TIMEOUT_MS
            else:
                why = session.broken(session.mqtt.publish, UP, FRAME)
                assert why == (WHY_TIMEOUT, PUBLISH_TIMEOUT_MS)


def test_a_slow_frame_does_not_cost_the_link_because_another_began_behind_it():
    session = Session()
    first, second = publish(DOWN, b"one"), publish(DOWN, b"two")
    session.stream.inbound = first[:5]
    real_wait = session.link.wait

    def slow(stream, for_write, timeout_ms):
        if not for_write and not stream.inbound and session.clock.ms == 0:
            session.clock.pass_ms(POLL_TIMEOUT_MS // 2)
            stream.inbound += first[5:] + second[:5]
        return real_wait(stream, for_write, timeout_ms)

    session.link.wait = slow
    assert session.mqtt.poll() == [(DOWN, b"one")]
    session.stream.inbound += second[5:]
    assert session.mqtt.poll() == [(DOWN, b"two")]


def test_nothing_of_a_broken_link_is_taken_into_the_next():
    session = Session()
    session.stream.inbound = b"\x30\x10\x00\xff" + b"\x20\x02\x00\x05" * 3 + b"\x00\x00"
    session.broken(session.mqtt.poll)  # a packet that was read half
    session.mqtt.connect()
    session.broken(session.mqtt.publish, UP, bytes(2_000))  # one that was written half
    session.mqtt.connect()
    session.mqtt.publish(UP, FRAME)
    assert [packet[0] for packet in session.stream.packets] == [0x10, 0x82, 0x32]


def test_any_other_error_of_a_socket_is_a_broken_link():
    for errno in (ECONNRESET, 32, 113, 128, -1, -0x7280):
        session = Session()
        session.link.errnos = [errno]
        assert session.broken(session.mqtt.poll) == (WHY_CLOSED, 0)


def test_a_heap_that_is_full_breaks_the_link_and_not_the_meter():
    session = Session()

    def no_room(length):
        raise MemoryError

    session.stream.read = no_room
    assert session.broken(session.mqtt.poll) == (WHY_MEMORY, 0)


ANSWERED = len(CONNACK) + 5 + 4  # what a gateway says until its PUBACK
RECEIPT = publish(DOWN, b"abc", qos=1)


def through_a_session(session):
    """Connect, publish and take a receipt; how it ended, and the longest call."""
    longest_ms = 0
    for call, arguments in (
        (session.mqtt.connect, ()),
        (session.mqtt.publish, (UP, FRAME)),
        (session.mqtt.poll, ()),
    ):
        if call == session.mqtt.poll:
            session.link.say(session.stream, RECEIPT)
        why, took_ms = session.tried(call, *arguments)
        longest_ms = max(longest_ms, took_ms)
        if why is not None:
            return why, longest_ms
    return None, longest_ms


def test_a_gateway_that_closes_after_any_byte_is_noticed_at_once_and_connected_to_again():
    for said in range(ANSWERED + len(RECEIPT)):  # 0: it closes right after CONNECT
        session = Session(connect=False)
        session.link.bytes_until_end = said
        assert through_a_session(session) == (WHY_CLOSED, 0), said
        assert session.stream.shut
        session.link.bytes_until_end = None
        assert through_a_session(session) == (None, 0), said


def test_a_gateway_that_falls_silent_after_any_byte_is_noticed_in_time_and_connected_to_again():
    for said in range(ANSWERED + len(RECEIPT)):
        session = Session(connect=False)
        session.link.bytes_until_silence = said
        why, longest_ms = through_a_session(session)
        if said != ANSWERED:  # then nothing is missing but the receipt, and a poll may find nothing
            assert why == WHY_TIMEOUT, said
        assert longest_ms <= max(CONNECT_TIMEOUT_MS, PUBLISH_TIMEOUT_MS, POLL_TIMEOUT_MS)
        session.link.bytes_until_silence = None
        assert through_a_session(session) == (None, 0), said


def test_a_gateway_that_resets_the_connection_at_any_moment_is_connected_to_again():
    for operation in range(12):  # of the reads and writes of one session
        session = Session(connect=False)
        session.link.errno_at = operation, ECONNRESET
        assert through_a_session(session)[0] in (WHY_CLOSED, None), operation
        session.link.errno_at = None
        assert through_a_session(session) == (None, 0), operation


def test_an_hour_without_a_gateway_leaves_the_meter_most_of_its_time():
    for jitter in (lambda limit: 0, lambda limit: limit - 1):
        session = Session(connect=False)
        session.link.reachable = False
        backoff = Backoff(500, 60_000, jitter)
        blocked_ms = tries = 0
        while session.clock.ms < 3_600_000:
            why, took_ms = session.tried(session.mqtt.connect)
            assert why is not None
            assert took_ms <= CONNECT_TIMEOUT_MS
            blocked_ms += took_ms
            tries += 1
            pause_ms = backoff.next_ms()
            assert pause_ms >= 250
            session.clock.pass_ms(pause_ms)
        assert blocked_ms * 4 <= session.clock.ms
        assert tries <= 120


def test_the_newer_umqtt_passes_every_one_of_these_tests():
    older = umqtt.simple.MQTTClient
    umqtt.simple.MQTTClient = newer_client(older)
    try:
        ran = 0
        for tests in (globals(), test_mqtt.__dict__, test_mqtt_faults.__dict__):
            for name in sorted(tests):
                if name.startswith("test_") and "umqtt" not in name and callable(tests[name]):
                    tests[name]()
                    ran += 1
        assert ran > 50
    finally:
        umqtt.simple.MQTTClient = older
