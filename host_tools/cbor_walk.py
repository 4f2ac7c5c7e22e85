"""Finds the byte at which bytes stop being deterministic CBOR as messages use it."""

from __future__ import annotations

from wire.cbor_device import DEPTH_MAX

_INT, _NEGATIVE, _BYTES, _TEXT, _ARRAY = range(5)
_LEAST = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}  # what each longer head must at least hold

Broken = tuple[int, str]


class _Stop(Exception):
    """Where, and what belongs there."""

    def __init__(self, at: int, wanted: str) -> None:
        super().__init__(wanted)
        self.found = (at, wanted)


def broken_at(data: bytes) -> Broken | None:
    """Offset and what belongs there; None when the bytes are one array of what messages hold."""
    try:
        if data[:1] and data[0] >> 5 != _ARRAY:
            raise _Stop(0, "an array, which every message is")
        end = _skip(data, 0, DEPTH_MAX)
        if end < len(data):
            raise _Stop(end, "nothing: the message ends before")
    except _Stop as stop:
        return stop.found
    return None


def _skip(data: bytes, at: int, depth: int) -> int:
    """Where the item at this offset ends. Raises _Stop."""
    kind, argument, after = _head(data, at)
    if kind in (_INT, _NEGATIVE):
        return after
    if kind in (_BYTES, _TEXT):
        if after + argument > len(data):
            raise _Stop(len(data), f"the rest of a string of {argument} bytes that begins at {at}")
        if kind == _TEXT:
            _check_text(data, after, argument)
        return after + argument
    if kind != _ARRAY:
        raise _Stop(at, "an integer, a string or an array: nothing else is spoken here")
    if depth == 0:
        raise _Stop(at, f"no array inside {DEPTH_MAX} others")
    for _ in range(argument):
        after = _skip(data, after, depth - 1)
    return after


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Kind, argument, and where the head ends. Raises _Stop."""
    if at >= len(data):
        raise _Stop(at, "another item: the message is cut short")
    kind, short = data[at] >> 5, data[at] & 31
    if short < 24:
        return kind, short, at + 1
    if short not in _LEAST:
        raise _Stop(at, "a length: indefinite and reserved ones are not spoken here")
    size = 1 << short - 24
    if at + 1 + size > len(data):
        raise _Stop(len(data), f"the rest of a number of {size} bytes that begins at {at}")
    argument = int.from_bytes(data[at + 1 : at + 1 + size], "big")
    if argument < _LEAST[short]:
        raise _Stop(at, f"a shorter way to write {argument}: there is one encoding of each value")
    return kind, argument, at + 1 + size


def _check_text(data: bytes, at: int, length: int) -> None:
    try:
        data[at : at + length].decode()
    except UnicodeDecodeError as error:
        raise _Stop(at + error.start, "UTF-8") from None
