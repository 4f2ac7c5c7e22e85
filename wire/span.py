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
_LENGTH = rb"([\x40-\x57]|\x58[\x18-\xff]|\x59(?!\x00)..)"
# A varint that ends in a zero byte is not the shortest.
_REGISTER = rb"(?:[\x00-\x7f]|[\x80-\xff]{1,4}+[\x01-\x7f])"  # 35 bits, below REGISTER_WH_MAX
_DELTA = rb"(?:[\x00-\x7f]|[\x80-\xff]{1,2}+[\x01-\x7f])"  # 21 bits, below DELTA_WH_MAX
_QUALITY = b"[\\x00-\\x%02x]" % QUALITY_MAX


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
    if len(message) < 3 or len(message) > CBOR_BYTES_MAX:
        return None
    count = message[-2]  # of the one run of quality that it may have
    if not 0 < count <= QUICK_INTERVALS_MAX:
        return None
    found = _profile(count)(message)
    if found is None:
        return None
    first_head, behind_head, start, period_head, length, energies = found.groups()
    first, behind = _number(first_head), _small_number(behind_head)
    start_s, period_s = int.from_bytes(start, "big"), _small_number(period_head)
    if len(energies) != _length(length):
        return None
    if not behind < first <= messages.INTERVAL_NUMBER_MAX + 1 - count:
        return None
    if not (start_s >= messages.START_S_MIN and 0 < period_s <= messages.CAPTURE_PERIOD_S_MAX):
        return None
    return Span(first, first - behind, start_s, count)


def _number(head: bytes) -> int:
    return head[0] if len(head) == 1 else int.from_bytes(head[1:], "big")


_small_number = lru_cache(maxsize=256)(_number)  # the few values that nearly every profile has


@lru_cache(maxsize=256)
def _length(head: bytes) -> int:
    return head[0] & 0x1F if len(head) == 1 else int.from_bytes(head[1:], "big")


@lru_cache(maxsize=QUICK_INTERVALS_MAX)
def _profile(count: int) -> Callable[[bytes], re.Match[bytes] | None]:
    """A whole profile of so many intervals and one or two channels, each number the shortest."""
    row = b"%s(?:%s){%d}+" % (_REGISTER, _DELTA, count)
    start = rb"\x88\x01" + _UINT + _UINT + _TIME + _UINT
    two = rb"\x42\x01\x02" + _LENGTH + b"((?:%s){2})" % row
    one = rb"\x41[\x01\x02]" + _LENGTH + b"(%s)" % row
    runs = rb"\x42" + re.escape(bytes((count,))) + _QUALITY
    both, single = (re.compile(start + rows + runs, re.DOTALL).fullmatch for rows in (two, one))
    return lambda message: both(message) or single(message)
