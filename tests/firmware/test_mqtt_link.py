"""The sockets and the TLS of a board, over a socket module that imitates the ESP32's."""

import tests.support.umqtt_here  # noqa: F401, I001  (first: it makes sockets importable)

from boards.parts.mqtt_link import (
    ENOMEM,
    IN_PROGRESS,
    LOOKUP_AFTER,
    VERIFY_FAILED,
    WHY_CA,
    WHY_CERTIFICATE,
    WHY_DATE,
    WHY_HANDSHAKE,
    WHY_NAME,
    SocketLink,
)
from firmware.config import ConfigError
from firmware.mqtt_door import LinkDown
from tests.support.a_meter import refusal_of
from tests.support.fake_net import ERR, HUP, IN, OUT, over_a_fake_net

# -------------------------------------------------------------- TCP


def test_a_connection_in_progress_is_waited_for_within_its_time():
    def test(net):
        for errno in (0,) + IN_PROGRESS:
            net.connect_errno = errno
            link = SocketLink()
            assert link.open("gateway", 8883, 1234) is link
            assert net.waits[-1] == 1234
            assert not net.sockets[-1].shut

    over_a_fake_net(test)


def test_a_connection_that_does_not_come_about_leaves_no_socket_open():
    def test(net):
        for errno, events in ((119, 0), (115, OUT | ERR), (115, OUT | HUP), (113, OUT), (118, OUT)):
            net.connect_errno, net.events = errno, events
            refusal_of(OSError, SocketLink().open, "gateway", 8883, 1000)
            assert net.sockets[-1].shut

    over_a_fake_net(test)


def test_opening_again_closes_the_stream_before():
    def test(net):
        link = SocketLink()
        link.open("gateway", 8883, 1000)
        link.open("gateway", 8883, 1000)
        assert [one.shut for one in net.sockets] == [True, False]

    over_a_fake_net(test)


def test_a_name_is_looked_up_once_while_the_gateway_answers():
    def test(net):
        link = SocketLink()
        for _ in range(3 * LOOKUP_AFTER):
            link.open("gateway", 8883, 1000)
            net.does = b"x"
            assert link.read(1) == b"x"
        assert net.lookups == ["gateway"]

    over_a_fake_net(test)


def test_a_gateway_that_does_not_answer_is_looked_up_again_after_some_tries():
    def test(net):
        link = SocketLink()
        for tried in range(1, 2 * LOOKUP_AFTER + 1):
            net.address = ("192.0.2.1", tried)
            link.open("gateway", 8883, 1000)
            assert link.read(1) is None
            assert len(net.lookups) == 1 + (tried > LOOKUP_AFTER), tried
        assert net.connected_to[LOOKUP_AFTER - 1][1] == 1
        assert net.connected_to[LOOKUP_AFTER][1] == LOOKUP_AFTER + 1

    over_a_fake_net(test)


def test_a_look_up_that_fails_keeps_the_address_that_is_known():
    def test(net):
        link = SocketLink()
        for error in (OSError(-2), None):  # a name not known; and an empty list
            net.lookup_error, known = None, net.address
            link.open("gateway", 8883, 1000)
            net.lookup_error = error
            net.address = None
            for _ in range(2 * LOOKUP_AFTER):
                link.open("gateway", 8883, 1000)
                assert net.connected_to[-1] == known
            assert len(net.lookups) <= 6
            net.address = known

    over_a_fake_net(test)


def test_a_gateway_whose_name_was_never_found_is_not_reachable():
    def test(net):
        net.lookup_error = OSError(-2)
        link = SocketLink()
        for tries in range(1, 4):
            refusal_of(OSError, link.open, "gateway", 8883, 1000)
            assert len(net.lookups) == tries
        net.lookup_error = None
        assert link.open("gateway", 8883, 1000) is link

    over_a_fake_net(test)


# -------------------------------------------------------------- TLS


def test_tls_verifies_whatever_the_port_begins_with():
    def test(net):
        link = SocketLink(b"der", "gateway.test")
        assert net.verify_mode == net.CERT_REQUIRED
        assert net.trusted == b"der"
        link.open("192.0.2.1", 8883, 1000)
        assert net.wrapped[-1].server_hostname == "gateway.test"
        SocketLink(b"der").open("gateway", 8883, 1000)
        assert net.wrapped[-1].server_hostname == "gateway"

    over_a_fake_net(test)


def test_a_bad_ca_is_told_at_the_start():
    def test(net):
        assert "no certificate" in refusal_of(ConfigError, SocketLink, b"bad")

    over_a_fake_net(test)


def test_the_clock_is_lifted_before_each_handshake_and_not_without_tls():
    def test(net):
        lifted = []
        link = SocketLink(b"der", "", lambda: lifted.append(len(net.wrapped)))
        link.open("gateway", 8883, 1000)
        link.open("gateway", 8883, 1000)
        assert lifted == [0, 1]
        SocketLink(None, "", lambda: lifted.append(9)).open("gateway", 8883, 1000)
        assert lifted == [0, 1]

    over_a_fake_net(test)


def test_waiting_asks_the_tls_layer_which_may_hold_bytes_and_not_the_socket():
    def test(net):
        link = SocketLink(b"der")
        link.open("gateway", 8883, 1000)
        for for_write, events in ((True, OUT), (False, IN)):
            assert link.wait(link, for_write, 77)
            assert net.watched_for == events
            assert net.watched is net.wrapped[-1]
            assert net.waits[-1] == 77
        net.events = 0
        assert not link.wait(link, False, 0)

    over_a_fake_net(test)


def test_each_reason_against_a_certificate_has_its_name_and_closes_the_socket():
    said = (  # as mbedtls says it
        ("The certificate is not correctly signed by the trusted CA\n", WHY_CA),
        ("The certificate Common Name (CN) does not match with the expected CN\n", WHY_NAME),
        ("The certificate validity has expired\n", WHY_DATE),
        ("The certificate validity starts in the future\n", WHY_DATE),
        ("The certificate is signed with an unacceptable hash.\n", WHY_CERTIFICATE),
    )

    def test(net):
        for text, why in said:
            link = SocketLink(b"der")
            link.open("gateway", 8883, 1000)
            net.does = ValueError(text)
            assert refusal_of(LinkDown, link.write, b"CONNECT") == why
            link.close()
            assert net.sockets[-1].shut
        link.open("gateway", 8883, 1000)
        net.does = OSError(VERIFY_FAILED, "MBEDTLS_ERR_X509_CERT_VERIFY_FAILED")
        assert refusal_of(LinkDown, link.write, b"CONNECT") == WHY_CERTIFICATE

    over_a_fake_net(test)


def test_an_error_is_the_handshake_s_until_the_first_byte_is_taken():
    def test(net):
        for errno in (104, -0x7200, -0x7280):
            link = SocketLink(b"der")
            link.open("gateway", 8883, 1000)
            assert link.write(b"CONNECT") is None
            net.does = OSError(errno)
            assert refusal_of(LinkDown, link.write, b"CONNECT") == WHY_HANDSHAKE
            link.open("gateway", 8883, 1000)
            net.does = 7
            assert link.write(b"CONNECT") == 7
            net.does = OSError(errno)
            assert refusal_of(OSError, link.read, 1)
            plain = SocketLink()
            plain.open("gateway", 8883, 1000)
            net.does = OSError(errno)
            assert refusal_of(OSError, plain.write, b"CONNECT")

    over_a_fake_net(test)


def test_no_room_for_tls_is_told_as_that():
    def test(net):
        link = SocketLink(b"der")
        net.wrap_errno = ENOMEM
        refusal_of(MemoryError, link.open, "gateway", 8883, 1000)
        assert net.sockets[-1].shut
        net.wrap_errno = 0
        link.open("gateway", 8883, 1000)
        net.does = OSError(ENOMEM)
        refusal_of(MemoryError, link.write, b"CONNECT")

    over_a_fake_net(test)
