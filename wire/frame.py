"""A frame: one COSE_Encrypt0 (RFC 9052 section 5.2) around one message: peek, seal, open."""

import struct
from collections import namedtuple

from wire import aead
from wire.errors import Malformed, TooLarge, UnknownEpoch, Unsupported
from wire.keys import DOWN, FRAME_COUNTER_MAX, IV_BYTES, UP, EpochKey, make_iv

__all__ = ["DOWN", "FRAME_BYTES_MAX", "FRAME_COUNTER_MAX", "MESSAGE_BYTES_MAX", "UP", "Header"]
__all__ += ["open", "peek", "seal"]

FRAME_BYTES_MAX = 1024

# Deterministic CBOR leaves one way to write each header, so it is compared, not parsed:
# tag 16, array of 3, protected bstr {1: 30}, unprotected map {4: kid (1 byte), 5: IV (13 bytes)}.
_COSE_ENCRYPT0 = b"\xd0\x83"
_PROTECTED = b"\x44\xa1\x01\x18\x1e"
_KID = b"\xa2\x04\x41"
_IV = b"\x05\x4d"
_START = _COSE_ENCRYPT0 + _PROTECTED + _KID
_KID_AT = len(_START)
_IV_AT = _KID_AT + 1 + len(_IV)
_SEALED_AT = _IV_AT + IV_BYTES
_ZEROS = b"\x00\x00\x00\x00"
_HEADERS = ">B2sB4sQ"  # kid, the head of the IV, and the IV: direction, zeros, frame counter

# Enc_structure (RFC 9052 section 5.3): ["Encrypt0", protected, external_aad]
_ENC_STRUCTURE = b"\x83\x68Encrypt0" + _PROTECTED

_last_aad = ("", b"")

MESSAGE_BYTES_MAX = FRAME_BYTES_MAX - _SEALED_AT - 3 - aead.TAG_BYTES

Header = namedtuple("Header", ("key_epoch", "direction", "frame_counter"))


def seal(key: EpochKey, direction: int, frame_counter: int, topic: str, message: bytes) -> bytes:
    """Seal a message for its topic under the frame's own one-time key.

    direction is UP or DOWN. Raises TooLarge when the frame would pass FRAME_BYTES_MAX.
    """
    if len(message) > MESSAGE_BYTES_MAX:
        raise TooLarge("a message of at most " + str(MESSAGE_BYTES_MAX) + " bytes fits a frame")
    iv = make_iv(direction, frame_counter)
    sealed = aead.seal(key.frame_key(iv), iv, message, _aad(topic))
    return _START + bytes((key.key_epoch,)) + _IV + iv + _bytes_head(len(sealed)) + sealed


def peek(frame: bytes) -> Header:
    """Read the header, which is authentic only once `open` has succeeded.

    Raises Malformed, TooLarge, or Unsupported (another COSE structure or algorithm).
    """
    if len(frame) > FRAME_BYTES_MAX:
        raise TooLarge("a frame is at most 1024 bytes")
    if frame[:_KID_AT] != _START:
        _refuse_start(frame)
    if len(frame) < _SEALED_AT + 1 + aead.TAG_BYTES:
        raise Malformed("the frame is cut short")
    key_epoch, iv_head, direction, zeros, counter = struct.unpack_from(_HEADERS, frame, _KID_AT)
    if iv_head != _IV or zeros != _ZEROS:
        raise Malformed("the headers of the frame are not kid and IV")
    if direction not in (UP, DOWN):
        raise Malformed("the IV names no direction")
    return Header(key_epoch, direction, counter)


def open(key: EpochKey, frame: bytes, topic: str, header: "Header | None" = None) -> bytes:
    """The message of a frame that came on this topic; `header` spares a second `peek`.

    Raises what `peek` raises, UnknownEpoch when the frame is of another epoch than the key,
    and BadTag when key, topic or a single bit differ.
    """
    if header is None:
        header = peek(frame)
    if header.key_epoch != key.key_epoch:
        raise UnknownEpoch("the frame is of key epoch " + str(header.key_epoch))
    at = _sealed_start(frame)
    iv = frame[_IV_AT:_SEALED_AT]
    return aead.open(key.frame_key(iv), iv, frame[at:], _aad(topic))


def _refuse_start(frame: bytes) -> None:
    """Name why a frame does not start as ours do."""
    short = min(len(frame), _KID_AT)
    if frame[:short] == _START[:short]:
        raise Malformed("the frame is cut short")
    if frame[:2] != _COSE_ENCRYPT0:
        raise Malformed("not a COSE_Encrypt0")
    if frame[2:7] != _PROTECTED:
        raise Unsupported("only algorithm AES-CCM-16-128-128 (30) is spoken here")
    raise Malformed("the headers of the frame are not kid and IV")


def _sealed_start(frame: bytes) -> int:
    """Where the ciphertext starts; Malformed unless its CBOR length is minimal and exact."""
    rest = len(frame) - _SEALED_AT
    if 24 + 2 <= rest < 256 + 2 and frame[_SEALED_AT] == 0x58 and frame[_SEALED_AT + 1] == rest - 2:
        return _SEALED_AT + 2  # as nearly all are
    head = 2 if rest < 256 + 2 else 3
    if rest < 24 + 1:
        head = 1
    length = rest - head
    if frame[_SEALED_AT : _SEALED_AT + head] != _bytes_head(length):
        raise Malformed("the length of the ciphertext is wrong")
    return _SEALED_AT + head


def _aad(topic: str) -> bytes:
    """The additional data; remembers the last, because frames of one meter come in runs."""
    global _last_aad
    last_topic, aad = _last_aad
    if topic != last_topic:
        external = topic.encode()
        aad = _ENC_STRUCTURE + _bytes_head(len(external)) + external
        _last_aad = (topic, aad)
    return aad


def _bytes_head(length: int) -> bytes:
    """The CBOR head of a byte string, shortest form."""
    if length < 24:
        return bytes((0x40 | length,))
    if length < 256:
        return bytes((0x58, length))
    return bytes((0x59, length >> 8, length & 0xFF))
