"""Deterministic CBOR: RFC 8949's examples, and one encoding only for every value."""

from binascii import hexlify, unhexlify

from wire import cbor
from wire.errors import Malformed, TooLarge

# RFC 8949 appendix A, the rows inside the subset
EXAMPLES = (
    (0, "00"),
    (1, "01"),
    (10, "0a"),
    (23, "17"),
    (24, "1818"),
    (25, "1819"),
    (100, "1864"),
    (1000, "1903e8"),
    (1000000, "1a000f4240"),
    (1000000000000, "1b000000e8d4a51000"),
    (18446744073709551615, "1bffffffffffffffff"),
    (-1, "20"),
    (-10, "29"),
    (-100, "3863"),
    (-1000, "3903e7"),
    (-18446744073709551616, "3bffffffffffffffff"),
    (b"", "40"),
    (b"\x01\x02\x03\x04", "4401020304"),
    ("", "60"),
    ("IETF", "6449455446"),
    ('"\\', "62225c"),
    ("\u00fc", "62c3bc"),
    ("\u6c34", "63e6b0b4"),
    ([], "80"),
    ([1, 2, 3], "83010203"),
    ([1, [2, 3], [4, 5]], "8301820203820405"),
    (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"),
)


def _refused(data, error=Malformed):
    try:
        cbor.decode(data)
    except error as refusal:
        return bool(refusal.reason)
    return False


def test_values_are_written_as_in_rfc_8949():
    for value, text in EXAMPLES:
        assert hexlify(cbor.encode(value)).decode() == text, text


def test_values_are_read_back_as_they_were_written():
    for value, text in EXAMPLES:
        assert cbor.decode(unhexlify(text)) == value, text


def test_every_truncation_is_malformed():
    for _, text in EXAMPLES:
        data = unhexlify(text)
        for length in range(len(data)):
            assert _refused(data[:length]), text


def test_a_second_spelling_of_a_value_is_malformed():
    for text in (
        "1817",  # 23 in two bytes
        "1900ff",
        "1a0000ffff",
        "1b00000000ffffffff",
        "3800",
        "5800",
        "7800",
        "9800",
        "5f4101ff",  # indefinite length
        "7f6161ff",
        "9f01ff",
        "c24101",  # the number 1 as a big number
        "c249010000000000000000",
        "d9010083446162636444616263d81900",  # string references
        "d81c00",  # shared value
        "81c4820060",  # decimals of a text and of bytes
        "81c4820040",
        "811b0000000100000000d900641b0000000100000000",  # a date out of range
        "d9001862283f",  # CBOR inside CBOR that is none
    ):
        assert _refused(unhexlify(text)), text


def test_what_is_not_of_the_subset_is_malformed():
    for text in (
        "f4",
        "f5",
        "f6",
        "f7",
        "f93c00",  # 1.0
        "fb3ff199999999999a",
        "a0",
        "a10102",
        "c11a514b67b0",  # a date
        "d818456449455446",
        "1c",
        "1f",
        "ff",
        "61ff",  # not UTF-8
    ):
        assert _refused(unhexlify(text)), text


def test_bytes_after_the_value_are_malformed():
    for _, text in EXAMPLES:
        assert _refused(unhexlify(text) + b"\x00"), text


def test_arrays_nest_four_deep_and_no_deeper():
    value = []
    for _ in range(cbor.DEPTH_MAX - 1):
        value = [value]
    assert cbor.decode(cbor.encode(value)) == value
    assert _refused(b"\x81" * cbor.DEPTH_MAX + b"\x80")
    assert _refused(b"\x81" * 1000 + b"\x80")
    try:
        cbor.encode([value])
    except Malformed as error:
        assert "deep" in str(error)
    else:
        raise AssertionError("encoded")


def test_an_array_that_promises_more_than_there_is_is_malformed():
    for text in ("9affffffff", "9bffffffffffffffff", "9907d000", "5bffffffffffffffff00"):
        assert _refused(unhexlify(text)), text


def test_a_message_has_at_most_1024_bytes():
    at = cbor.CBOR_BYTES_MAX - 3
    assert len(cbor.encode(bytes(at))) == 1024
    assert cbor.decode(cbor.encode(bytes(at))) == bytes(at)
    try:
        cbor.encode(bytes(at + 1))
    except TooLarge as error:
        assert error.reason == "too_large"
    else:
        raise AssertionError("encoded")
    assert _refused(b"\x59\x03\xfe" + bytes(at + 1), TooLarge)


def test_what_is_not_of_the_subset_is_not_written():
    for value in (1.5, None, True, {1: 2}, 1 << 64, -(1 << 64) - 1, [[1.0]]):
        try:
            cbor.encode(value)
        except Malformed as error:
            assert error.reason == "malformed"
        else:
            raise AssertionError(value)
