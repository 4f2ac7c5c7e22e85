"""Which meters are a gateway's: shards as `00-7f,a0`, so that N gateways split the meters."""

from __future__ import annotations

import re

from gateway.errors import ConfigError
from wire.topics import shard_of

SHARDS = 256

_PART = re.compile(r"([0-9a-f]{2})(?:-([0-9a-f]{2}))?").fullmatch


def parse(text: str) -> frozenset[str]:
    """The shards in `00-7f,a0`, two hex digits each. Raises ConfigError."""
    shards: set[str] = set()
    for part in text.split(","):
        found = _PART(part.strip())
        low, high = (found[1], found[2] or found[1]) if found else ("", "")
        if not low or low > high:
            raise ConfigError(f'"shards": {part.strip()!r} is none; write them as 00-7f,a0')
        shards.update(f"{number:02x}" for number in range(int(low, 16), int(high, 16) + 1))
    return frozenset(shards)


def is_ours(shards: frozenset[str], meter_id: bytes) -> bool:
    """Whether a meter is this gateway's."""
    return len(shards) == SHARDS or shard_of(meter_id) in shards
