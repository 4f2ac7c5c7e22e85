"""MQTT topics: which meter a frame is from and which way it travels."""

import hashlib
from binascii import hexlify, unhexlify
from collections import namedtuple

from wire.errors import WrongTopic

METER_ID_BYTES = 8

Topic = namedtuple("Topic", ("meter_id", "way"))

_WAYS = ("up", "down", "gone")


def to_hex(data: bytes) -> str:
    """Bytes as lower-case hexadecimal text (MicroPython's bytes.hex is not on every port)."""
    return hexlify(data).decode()


def shard_of(meter_id: bytes) -> str:
    """The meter's shard: first byte of SHA-256(meter_id) as two hex digits.

    Explicit shards instead of MQTT's shared subscriptions, which lose messages and order.
    """
    return to_hex(hashlib.sha256(meter_id).digest()[:1])


def up(meter_id: bytes) -> str:
    """Where the meter's frames go: `m/<shard>/<meter_id>/up`."""
    return _topic(meter_id, "up")


def down(meter_id: bytes) -> str:
    """Where the meter hears receipts and commands."""
    return _topic(meter_id, "down")


def gone(meter_id: bytes) -> str:
    """The meter's last will."""
    return _topic(meter_id, "gone")


def parse(topic: str) -> Topic:
    """Split a topic; WrongTopic unless it is exactly one that `up`, `down` or `gone` makes."""
    parts = topic.split("/")
    if len(parts) != 4 or parts[3] not in _WAYS or len(parts[2]) != 2 * METER_ID_BYTES:
        raise WrongTopic("a topic reads m/<shard>/<meter_id>/up, down or gone")
    try:
        meter_id = unhexlify(parts[2])
    except ValueError:
        raise WrongTopic("the meter id is not hexadecimal") from None
    if topic != _topic(meter_id, parts[3]):
        raise WrongTopic("shard and meter id do not belong together")
    return Topic(meter_id, parts[3])


def _topic(meter_id: bytes, way: str) -> str:
    assert len(meter_id) == METER_ID_BYTES
    return "m/" + shard_of(meter_id) + "/" + to_hex(meter_id) + "/" + way
