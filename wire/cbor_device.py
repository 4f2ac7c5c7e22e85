"""Deterministic CBOR on the device: the subset of wire/cbor.py in pure Python."""

from wire.errors import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEPTH_MAX = 4

_UINT = 0
_NINT = 1
_BYTES = 2
_TEXT = 3
_ARRAY = 4


def dumps(value: "Any") -> bytes:
    """The one encoding of a value of the subset."""
    if isinstance(value, int):
        if value < 0:
            return _head(_NINT, -1 - value)
        return _head(_UINT, value)
    if isinstance(value, (bytes, bytearray)):
        return _head(_BYTES, len(value)) + bytes(value)
    if isinstance(value, str):
        text = value.encode()
        return _head(_TEXT, len(text)) + text
    return _head(_ARRAY, len(value)) + b"".join([dumps(item) for item in value])


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes((major << 5 | argument,))
    width = 1
    code = 24
    while argument >> (8 * width):
        width *= 2
        code += 1
    return bytes((major << 5 | code,)) + argument.to_bytes(width, "big")


def loads(data: bytes) -> object:
    """The value of data, which must be the one encoding of it. Raises Malformed."""
    value, at = _read(data, 0, DEPTH_MAX)
    if at != len(data):
        raise Malformed("bytes after the end of the message")
    return value


def _read_head(data: bytes, at: int) -> "tuple[int, int, int]":
    if at >= len(data):
        raise Malformed("the message is cut short")
    major = data[at] >> 5
    code = data[at] & 31
    at += 1
    if code < 24:
        return major, code, at
    if code > 27:
        raise Malformed("not deterministic CBOR")
    width = 1 << (code - 24)
    if at + width > len(data):
        raise Malformed("the message is cut short")
    argument = int.from_bytes(data[at : at + width], "big")
    least = 24 if width == 1 else 1 << (4 * width)
    if argument < least:
        raise Malformed("not deterministic CBOR")
    return major, argument, at + width


def _read(data: bytes, at: int, depth: int) -> "tuple[Any, int]":
    major, argument, at = _read_head(data, at)
    if major == _UINT:
        return argument, at
    if major == _NINT:
        return -1 - argument, at
    if major == _ARRAY:
        return _read_items(data, at, argument, depth)
    if major not in (_BYTES, _TEXT):
        raise Malformed("only integers, strings and arrays are spoken here")
    end = at + argument
    if end > len(data):
        raise Malformed("the message is cut short")
    if major == _BYTES:
        return bytes(data[at:end]), end
    try:
        return bytes(data[at:end]).decode(), end
    except (UnicodeError, ValueError):
        raise Malformed("text that is not UTF-8") from None


def _read_items(data: bytes, at: int, count: int, depth: int) -> "tuple[list[Any], int]":
    if depth == 0:
        raise Malformed("arrays nested too deep")
    if count > len(data) - at:
        raise Malformed("an array longer than the message")
    items = []
    for _ in range(count):
        item, at = _read(data, at, depth - 1)
        items.append(item)
    return items, at
