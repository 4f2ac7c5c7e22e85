"""Improv's packets: the published examples, every truncation, every flipped bit, every limit."""

from firmware import improv
from firmware.improv import (
    GET_INFO,
    GET_NETWORKS,
    GET_STATE,
    NAME_BYTES_MAX,
    PASSWORD_BYTES_MAX,
    READY,
    SEND_WIFI,
    TYPE_ERROR,
    TYPE_REQUEST,
    TYPE_STATE,
    Parser,
    packet,
    result,
    wifi_of,
)
from tests.support.a_meter import refused

# As https://www.improv-wifi.com/serial has them.
STATE_REQUEST = b"IMPROV\x01\x03\x02\x02\x00\xe5\n"
WIFI_DATA = b"\x0cMyWirelessAP\x10mysecurepassword"
WIFI_REQUEST = b"\x01\x1e" + WIFI_DATA


def rpc(data):
    """A client's packet, without the line feed before it."""
    return packet(TYPE_REQUEST, data)[1:]


def fed(parser, data):
    """What each byte gave that gave anything; "broken" where it was refused."""
    found = []
    for byte in data:
        try:
            got = parser.feed(byte)
        except ValueError:
            got = "broken"
        if got is not None:
            found.append(got)
    return found


def test_the_published_request_for_the_state_is_read_and_written_byte_for_byte():
    assert len(STATE_REQUEST) == 13
    assert STATE_REQUEST[-2:] == b"\xe5\n"
    assert rpc(b"\x02\x00") == STATE_REQUEST
    assert fed(Parser(), STATE_REQUEST) == [b"\x02\x00"]


def test_the_published_wifi_example_gives_its_name_and_password():
    assert fed(Parser(), rpc(WIFI_REQUEST)) == [WIFI_REQUEST]
    assert wifi_of(WIFI_REQUEST[2:]) == ("MyWirelessAP", "mysecurepassword")


def test_every_command_of_the_protocol_comes_through():
    for command in (SEND_WIFI, GET_STATE, GET_INFO, GET_NETWORKS, 5, 6, 7, 0, 255):
        assert fed(Parser(), rpc(bytes((command, 0)))) == [bytes((command, 0))]


def test_what_the_meter_says_is_laid_out_as_published():
    assert packet(TYPE_STATE, bytes((READY,))) == b"\nIMPROV\x01\x01\x01\x02\xe2\n"
    assert packet(TYPE_ERROR, b"\xff") == b"\nIMPROV\x01\x02\x01\xff\xe0\n"
    assert result(GET_NETWORKS, ()) == b"\nIMPROV\x01\x04\x02\x04\x00\xe8\n"
    told = result(GET_INFO, ("ESPHome", b"2021.11.0", "esp32", "Temperature"))
    assert told[1:10] == b"IMPROV\x01\x04\x26"
    assert told[10:-2] == b"\x03\x24\x07ESPHome\x092021.11.0\x05esp32\x0bTemperature"
    assert told[-2] == sum(told[1:-2]) & 0xFF
    assert result(GET_NETWORKS, ("ż",))[10:-2] == b"\x04\x03\x02\xc5\xbc", "lengths are of bytes"


def test_what_the_meter_says_it_takes_from_nobody():
    parser = Parser()
    for own in (packet(TYPE_STATE, b"\x02"), packet(TYPE_ERROR, b"\0"), result(GET_INFO, ("a",))):
        assert fed(parser, own) == [b""]
        assert not parser.inside()
    assert fed(parser, STATE_REQUEST) == [b"\x02\x00"]


def test_every_truncation_gives_nothing_and_is_still_inside_a_packet_until_forgotten():
    whole = rpc(WIFI_REQUEST)[:-1]
    for length in range(len(whole)):
        parser = Parser()
        assert fed(parser, whole[:length]) == []
        assert parser.inside() == (length > 0)
        parser.forget()
        assert not parser.inside()
        assert fed(parser, STATE_REQUEST) == [b"\x02\x00"]


def test_every_flipped_bit_is_refused_or_no_packet():
    whole = rpc(WIFI_REQUEST)[:-1]
    for at in range(len(whole)):
        for bit in range(8):
            bad = bytearray(whole)
            bad[at] ^= 1 << bit
            found = fed(Parser(), bad)
            assert WIFI_REQUEST not in found
            if at < 7:
                assert found == [], "its head is none"
            elif at != 8:
                assert found == ["broken"], at


def test_every_byte_in_every_other_value_changes_what_is_read():
    whole = rpc(b"\x02\x00")[:-1]
    for at in range(len(whole)):
        for value in range(256):
            bad = bytearray(whole)
            bad[at] = value
            found = fed(Parser(), bad)
            assert found == [b"\x02\x00"] if bad == whole else b"\x02\x00" not in found


def test_lengths_that_do_not_agree_are_refused():
    for data in (b"", b"\x02", b"\x02\x01", b"\x02\x00\x00", b"\x01\x1d" + WIFI_DATA, b"\x02\xff"):
        assert fed(Parser(), rpc(data)) == ["broken"], data
    assert fed(Parser(), rpc(b"\x09\xfd" + bytes(253))) == [b"\x09\xfd" + bytes(253)]


def test_the_longest_packet_is_taken_and_nothing_more_is_kept():
    parser = Parser()
    data = b"\x01\xfd" + bytes(253)
    assert len(data) == improv.DATA_BYTES_MAX
    assert fed(parser, rpc(data)) == [data]
    assert not parser.inside()


def test_a_packet_is_found_behind_anything():
    for before in (b"I", b"IM", b"IMPRO", b"IMPROV", b"IIMPROVIMPRO", b"\x03\x03\r\n",
                   b"IMPROV\x02", bytes(range(256)), STATE_REQUEST[:-2] + b"\xe6"):  # fmt: skip
        assert fed(Parser(), before + STATE_REQUEST)[-1] == b"\x02\x00", before


def test_packets_one_after_another_are_each_read():
    assert fed(Parser(), STATE_REQUEST * 3 + rpc(b"\x03\x00")) == [b"\x02\x00"] * 3 + [b"\x03\x00"]


def test_names_and_passwords_are_taken_at_their_limits_and_refused_beyond():
    def given(name, password):
        return bytes((len(name),)) + name + bytes((len(password),)) + password

    for name, password in ((b"x", b""), (b"x" * NAME_BYTES_MAX, b"p" * PASSWORD_BYTES_MAX)):
        names = wifi_of(given(name, password))
        assert names[0] == name.decode()
        assert names[1:] == ((password.decode(),) if password else ())
    assert wifi_of(given("żółw".encode(), b"8 letters")) == ("żółw", "8 letters")
    for name, password in (
        (b"", b"password"),
        (b"x" * (NAME_BYTES_MAX + 1), b""),
        ("ż".encode() * 17, b""),
        (b"x", b"p" * (PASSWORD_BYTES_MAX + 1)),
        (b"\xff", b""),
        (b"x", b"\xc3"),
    ):
        assert refused(ValueError, lambda: wifi_of(given(name, password))), (name, password)  # noqa: B023


def test_wifi_data_cut_short_or_with_more_behind_it_is_refused():
    for length in range(len(WIFI_DATA)):
        assert refused(ValueError, lambda: wifi_of(WIFI_DATA[:length]))  # noqa: B023
    assert refused(ValueError, lambda: wifi_of(WIFI_DATA + b"\0"))
    assert refused(ValueError, lambda: wifi_of(WIFI_DATA + b"\x01x"))
