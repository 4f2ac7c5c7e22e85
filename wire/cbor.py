"""Deterministic CBOR (RFC 8949 section 4.2): 64-bit integers, byte and text strings, arrays."""

# A subset on purpose: no floats (energy is never one), no maps, no tags, nothing indefinite.
# Every value has exactly one encoding, so a message that decodes encodes to the same bytes again.

from wire.cbor_device import DEPTH_MAX
from wire.errors import Malformed, TooLarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CBOR_BYTES_MAX = 1024
_INT_MAX = (1 << 64) - 1
_STRING_REFERENCES = b"\xd9\x01\x00"
# What cbor2's readers of tags let through: decimals, dates, expressions, addresses, references.
_TAG_ERRORS = (ArithmeticError, RuntimeError, TypeError, ValueError)

try:
    import cbor2

    def _dumps(value: "Any") -> bytes:
        return cbor2.dumps(value)  # deterministic by itself: the subset has no maps, no floats

    def _loads(data: bytes) -> "Any":
        try:
            value = cbor2.loads(data)
        except (cbor2.CBORDecodeError,) + _TAG_ERRORS as error:
            raise Malformed("not CBOR: " + type(error).__name__) from None
        # The one encoding is the shortest, so its length tells it from every other that cbor2
        # reads; string references (tag 256) alone could be as short.
        if _size(value, DEPTH_MAX) != len(data) or _STRING_REFERENCES in data:
            _refuse_other(value, data)
        return value

    def _refuse_other(value: "Any", data: bytes) -> None:
        if _dumps(value) != data:
            raise Malformed("not deterministic CBOR")

except ImportError:
    from wire.cbor_device import dumps as _dumps
    from wire.cbor_device import loads as _loads


def encode(value: "Any") -> bytes:
    """The one encoding of value. Raises TooLarge past CBOR_BYTES_MAX, Malformed off the subset."""
    _size(value, DEPTH_MAX)
    data = _dumps(value)
    if len(data) > CBOR_BYTES_MAX:
        raise TooLarge("a message is at most " + str(CBOR_BYTES_MAX) + " bytes")
    return data


def decode(data: bytes) -> "Any":
    """The value of data; arrays come back as lists. Raises Malformed or TooLarge."""
    if len(data) > CBOR_BYTES_MAX:
        raise TooLarge("a message is at most " + str(CBOR_BYTES_MAX) + " bytes")
    return _loads(data)


def _size(value: "Any", depth: int) -> int:
    """Bytes of the shortest encoding; Malformed off the subset (types, depth, count, 64 bits)."""
    kind = type(value)
    if kind is int:
        return _head_size(value if value >= 0 else -1 - value)
    if kind is bytes or kind is bytearray:
        return _head_size(len(value)) + len(value)
    if kind is list or kind is tuple:
        if depth == 0:
            raise Malformed("arrays nested too deep")
        size = _head_size(len(value))
        for item in value:
            size += _size(item, depth - 1)
        return size
    if kind is str:
        length = len(value.encode())
        return _head_size(length) + length
    raise Malformed("only integers, strings and arrays are spoken here")


def _head_size(argument: int) -> int:
    if argument < 24:
        return 1
    if argument < 1 << 8:
        return 2
    if argument < 1 << 16:
        return 3
    if argument < 1 << 32:
        return 5
    if argument <= _INT_MAX:
        return 9
    raise Malformed("an integer of more than 64 bits")
