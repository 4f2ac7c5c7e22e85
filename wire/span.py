"""What acceptance must know of a message: which intervals it holds and when they start.

A full decode costs several times more than opening the frame. So the common message, a profile in
its shortest form with everyday numbers, is proven good by comparing; whatever is not that goes
through wire.messages.decode. tests/gateway hold the two against each other on any bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from wire import messages, obis
from wire.cbor import CBOR_BYTES_MAX
from wire.errors import Unsupported
from wire.keys import UP
from wire.quality import QUALITY_MAX

QUICK_INTERVALS_MAX = 127  # one run of quality whose count fits one varint byte

# Deterministic CBOR leaves one way to write each number and each length (RFC 8949 section 4.2).
_UINT = rb"([\x00-\x17]|\x18[\x18-\xff]|\x19(?!\x00)..|\x1a(?!\x00\x00)....)"
_TIME = rb"\x1a(....)"  # every time from START_S_MIN (2020) to 2106
_CHANNELS = rb"(\x42\x01\x02|\x41[\x01\x02])"
_LENGTH = rb"([\x40-\x57]|\x58[\x18-\xff]|\x59(?!\x00)..)"
_OUTER = re.compile(
    rb"\x88\x01" + _UINT + _UINT + _TIME + _UINT + _CHANNELS + _LENGTH, re.DOTALL
).match

_REGISTER = rb"[\x80-\xff]{0,4}+[\x00-\x7f]"  # 35 bits at most, below REGISTER_WH_MAX
_DELTA = rb"[\x80-\xff]{0,2}+[\x00-\x7f]"  # 21 bits at most, below DELTA_WH_MAX
_KINDS = bytes((0 if byte == 0 else 1 if byte < 0x80 else 2) for byte in range(256))


class Span(NamedTuple):
    """Intervals first .. first + intervals - 1; the meter holds none below `oldest`."""

    first: int
    oldest: int
    start_s: int
    intervals: int


def read_span(message: bytes) -> Span | None:
    """The intervals in an opened message; None when it is of another kind.

    Raises what wire.messages.decode raises, and Unsupported for a channel we cannot pass on.
    """
    span = quick_span(message)
    if span is not None:
        return span
    decoded = messages.decode(message, UP)
    if not isinstance(decoded, messages.Profile):
        return None
    if any(code not in obis.NAMES for code in decoded.channels):
        raise Unsupported("no OBIS name is known for a channel")
    return Span(decoded.first, decoded.oldest, decoded.start_s, len(decoded.quality))


def quick_span(message: bytes) -> Span | None:
    """The span of a message that is beyond doubt a good profile; None says: decode it."""
    outer = _OUTER(message)
    if outer is None or len(message) > CBOR_BYTES_MAX:
        return None
    first_head, behind_head, start, period_head, channels_head, length = outer.groups()
    first, behind = _number(first_head), _small_number(behind_head)
    start_s, period_s = int.from_bytes(start, "big"), _small_number(period_head)
    channels = len(channels_head) - 1
    at = outer.end()
    end = at + (length[0] & 0x1F if len(length) == 1 else int.from_bytes(length[1:], "big"))
    if message[end : end + 1] != b"\x42" or len(message) != end + 3:
        return None
    count, quality = message[end + 1], message[end + 2]
    if not 0 < count <= QUICK_INTERVALS_MAX or quality > QUALITY_MAX:
        return None
    if not behind < first <= messages.INTERVAL_NUMBER_MAX + 1 - count:
        return None
    if not (start_s >= messages.START_S_MIN and 0 < period_s <= messages.CAPTURE_PERIOD_S_MAX):
        return None
    if not _good_energies(message[at:end], channels, count):
        return None
    return Span(first, first - behind, start_s, count)


def _number(head: bytes) -> int:
    return head[0] if len(head) == 1 else int.from_bytes(head[1:], "big")


_small_number = lru_cache(maxsize=256)(_number)  # the few values that nearly every profile has


def _good_energies(energies: bytes, channels: int, count: int) -> bool:
    """`channels` rows, each a register and `count` energies, all shortest varints in limits."""
    # A varint that ends in a zero byte is not the shortest.
    return (
        b"\2\0" not in energies.translate(_KINDS) and _rows(channels, count)(energies) is not None
    )


@lru_cache(maxsize=2 * QUICK_INTERVALS_MAX)
def _rows(channels: int, count: int) -> Callable[[bytes], re.Match[bytes] | None]:
    row = _REGISTER + b"(?:%s){%d}+" % (_DELTA, count)
    return re.compile(b"(?:%s){%d}" % (row, channels), re.DOTALL).fullmatch
