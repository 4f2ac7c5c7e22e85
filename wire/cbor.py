"""Deterministic CBOR (RFC 8949 section 4.2): 64-bit integers, byte and text strings, arrays."""

# A subset on purpose: no floats (energy is never one), no maps, no tags, nothing indefinite.
# Every value has exactly one encoding, so a message that decodes encodes to the same bytes again.

from wire.cbor_device import DEPTH_MAX, ITEMS_MAX
from wire.errors import Malformed, TooLarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CBOR_BYTES_MAX = 1024
_INT_MAX = (1 << 64) - 1

try:
    import cbor2

    def _dumps(value: "Any") -> bytes:
        return cbor2.dumps(value, canonical=True)

    def _loads(data: bytes) -> "Any":
        # What cbor2 accepts beyond the subset does not survive the check or the comparison.
        try:
            value = cbor2.loads(data)
        except (cbor2.CBORDecodeError, ValueError, OverflowError, RecursionError) as error:
            raise Malformed("not CBOR: " + type(error).__name__) from None
        _check(value, DEPTH_MAX)
        if _dumps(value) != data:
            raise Malformed("not deterministic CBOR")
        return value

except ImportError:
    from wire.cbor_device import dumps as _dumps
    from wire.cbor_device import loads as _loads


def encode(value: "Any") -> bytes:
    """The one encoding of value. Raises TooLarge past CBOR_BYTES_MAX, Malformed off the subset."""
    _check(value, DEPTH_MAX)
    data = _dumps(value)
    if len(data) > CBOR_BYTES_MAX:
        raise TooLarge("a message is at most " + str(CBOR_BYTES_MAX) + " bytes")
    return data


def decode(data: bytes) -> "Any":
    """The value of data; arrays come back as lists. Raises Malformed or TooLarge."""
    if len(data) > CBOR_BYTES_MAX:
        raise TooLarge("a message is at most " + str(CBOR_BYTES_MAX) + " bytes")
    return _loads(data)


def _check(value: "Any", depth: int) -> None:
    """Malformed unless value is of the subset: right types, bounded depth, count and size."""
    kind = type(value)
    if kind is int:
        if not -1 - _INT_MAX <= value <= _INT_MAX:
            raise Malformed("an integer of more than 64 bits")
    elif kind is list or kind is tuple:
        if depth == 0:
            raise Malformed("arrays nested too deep")
        if len(value) > ITEMS_MAX:
            raise Malformed("an array longer than the message")
        for item in value:
            _check(item, depth - 1)
    elif kind not in (bytes, bytearray, str):
        raise Malformed("only integers, strings and arrays are spoken here")
