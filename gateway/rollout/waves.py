"""How a roll-out is cut into waves, and how many failures it bears; pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from gateway.errors import UsageError

WAVES_MAX = 20
METERS_MAX = 100_000_000

_SIZE = re.compile(r"(\d{1,9})(%?)\Z")


def parse_waves(text: str) -> tuple[str, ...]:
    """`1,10%,100%`: after each wave so many meters, or such a share, have it. Raises UsageError."""
    sizes = tuple(size.strip() for size in text.split(","))
    if len(sizes) > WAVES_MAX:
        raise UsageError(f"at most {WAVES_MAX} waves; give fewer")
    for size in sizes:
        _check(size, "--waves")
    return sizes


def parse_stop_after(text: str) -> str:
    """`2`, or `5%` of the meters begun: so many failures stop a roll-out. Raises UsageError."""
    _check(text, "--stop-after")
    return text


def cut(sizes: Iterable[str], meters: int) -> list[int]:
    """How many of so many meters belong to each wave; waves that bring nobody are left out."""
    waves, before = [], 0
    for size in sizes:
        upto = min(meters, at_least(size, meters))
        if upto > before:
            waves.append(upto - before)
            before = upto
    return waves


def at_least(size: str, of: int) -> int:
    """The number that a size such as `3` or `10%` means here, rounded up, 1 at least."""
    found = _SIZE.match(size)
    assert found is not None, size
    number = int(found[1])
    return max(1, -(-number * of // 100)) if found[2] else number


def too_many(stop_after: str, failures: int, begun: int) -> bool:
    """Whether so many failures among the meters begun stop the roll-out."""
    return failures >= at_least(stop_after, begun)


def in_order(meters: Iterable[bytes], update_id: int) -> list[bytes]:
    """The meters in an order that mixes shards, and puts others in front at the next update."""
    salt = update_id.to_bytes(4, "big")
    return sorted(meters, key=lambda meter_id: hashlib.sha256(salt + meter_id).digest())


def _check(size: str, option: str) -> None:
    found = _SIZE.match(size)
    number = int(found[1]) if found else 0
    if found is None or not 1 <= number <= (100 if found[2] else METERS_MAX):
        raise UsageError(f"{option}: {size!r} is neither a number of meters from 1 nor 1% to 100%")
