"""Packed energies: short, exact, and in one spelling."""

from wire import varint
from wire.errors import Malformed


def _packed(*values):
    packed = bytearray()
    for value in values:
        varint.append(packed, value)
    return bytes(packed)


def _refused(packed, count_max=10):
    try:
        varint.read_all(packed, count_max)
    except Malformed as error:
        return error.reason == "malformed"
    return False


def test_small_energies_take_one_byte():
    assert _packed(0, 1, 127) == b"\x00\x01\x7f"
    assert _packed(128) == b"\x80\x01"
    assert _packed(16383, 16384) == b"\xff\x7f\x80\x80\x01"


def test_every_width_comes_back():
    values = []
    for bits in range(7 * varint.VARINT_BYTES_MAX):
        values += [(1 << bits) - 1, 1 << bits]
    assert varint.read_all(_packed(*values), len(values)) == values


def test_the_widest_number_has_42_bits():
    widest = (1 << 42) - 1
    assert varint.read_all(_packed(widest), 1) == [widest]
    assert _refused(b"\xff" * 6 + b"\x00")
    assert _refused(b"\x80" * 6 + b"\x01")


def test_a_torn_number_is_refused():
    packed = _packed(5, 300, 70000)
    assert [_refused(packed[:n]) for n in (2, 4, 5)] == [True, True, True]


def test_a_number_with_a_longer_spelling_is_refused():
    assert _refused(b"\x80\x00")
    assert _refused(b"\xff\x80\x00")
    assert varint.read_all(b"\x00", 1) == [0]


def test_no_more_numbers_are_read_than_asked_for():
    assert varint.read_all(_packed(1, 2), 2) == [1, 2]
    assert varint.read_all(_packed(1), 2) == [1]
    assert _refused(_packed(1, 2, 3), 2)
