"""Key schedule: meter key -> key epoch -> one 128-bit key per frame (HKDF, RFC 5869)."""

import hashlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

UP = 1
DOWN = 2
METER_KEY_BYTES = 32
KEY_EPOCH_MAX = 255
FRAME_COUNTER_MAX = (1 << 64) - 1
IV_BYTES = 13

_SALT = b"openlicznik/1"
_INFO = b"openlicznik/1 frame"
_FRAME_KEY_BYTES = 16

_BLOCK = 64
_STATES_COPY = hasattr(hashlib.sha256(b""), "copy")  # CPython; MicroPython's cannot


def hmac_of(key: bytes) -> "Callable[[bytes], bytes]":
    """HMAC-SHA256 (RFC 2104) under one key, as a function of the message.

    The key's own two blocks are prepared once: a frame then costs two short hashes. Stock ESP32
    firmware has no hmac; on CPython this is more than twice as fast as hmac.digest.
    """
    if len(key) > _BLOCK:
        key = hashlib.sha256(key).digest()
    padded = key + bytes(_BLOCK - len(key))
    inner = bytearray(padded)
    outer = bytearray(padded)
    for at in range(_BLOCK):
        inner[at] ^= 0x36
        outer[at] ^= 0x5C
    if _STATES_COPY:
        return _with_states(hashlib.sha256(inner), hashlib.sha256(outer))

    def tag(message: bytes) -> bytes:
        first = hashlib.sha256(inner)
        first.update(message)
        second = hashlib.sha256(outer)
        second.update(first.digest())
        return second.digest()

    return tag


def _with_states(inner: "Any", outer: "Any") -> "Callable[[bytes], bytes]":
    def tag(message: bytes) -> bytes:
        first = inner.copy()
        first.update(message)
        second = outer.copy()
        second.update(first.digest())
        digest: bytes = second.digest()
        return digest

    return tag


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) of message under key."""
    return hmac_of(key)(message)


def hkdf_extract(salt: bytes, key_material: bytes) -> bytes:
    """PRK of 32 bytes (RFC 5869 section 2.2)."""
    return hmac_sha256(salt if salt else bytes(32), key_material)


def hkdf_expand(prk: bytes, info: bytes, length: int) -> bytes:
    """`length` bytes of output key material, at most 255 * 32 (RFC 5869 section 2.3)."""
    assert 0 < length <= 255 * 32
    block = b""
    output = b""
    number = 1
    while len(output) < length:
        block = hmac_sha256(prk, block + info + bytes([number]))
        output += block
        number += 1
    return output[:length]


def make_iv(direction: int, frame_counter: int) -> bytes:
    """The 13-byte IV: direction, four zero bytes, frame counter (8 bytes, big-endian)."""
    assert direction in (UP, DOWN) and 0 <= frame_counter <= FRAME_COUNTER_MAX
    return bytes((direction, 0, 0, 0, 0)) + frame_counter.to_bytes(8, "big")


class EpochKey:
    """One generation of a meter's key. Holds what derives frame keys, never shows it."""

    __slots__ = ("_hmac", "key_epoch")

    def __init__(self, key_epoch: int, meter_key: bytes) -> None:
        if len(meter_key) != METER_KEY_BYTES:
            raise ValueError("a meter key is 32 bytes")
        if not 0 <= key_epoch <= KEY_EPOCH_MAX:
            raise ValueError("a key epoch is one byte")
        self.key_epoch = key_epoch
        self._hmac = hmac_of(hkdf_extract(_SALT, meter_key))

    def __repr__(self) -> str:
        return "EpochKey(key_epoch=" + str(self.key_epoch) + ")"

    def frame_key(self, iv: bytes) -> bytes:
        """The one-time 128-bit key of the frame with this IV: one HMAC, first 16 bytes."""
        return self._hmac(_INFO + iv + b"\x01")[:_FRAME_KEY_BYTES]
