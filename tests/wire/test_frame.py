"""Frames: an independent library's frames open, and nothing altered is ever taken."""

import json
from binascii import unhexlify

from wire import frame, topics
from wire.errors import BadTag, Malformed, TooLarge, UnknownEpoch, Unsupported, WireError
from wire.keys import DOWN, UP, EpochKey

VECTORS = __file__.rsplit("/", 2)[0] + "/vectors/wire-vectors.json"
METER = bytes(range(8))
TOPIC = topics.up(METER)
KEY = EpochKey(1, bytes(range(32)))
MESSAGE = b"\x82\x01\x1a\x65\x53\xf1\x00"
NAMED = ("malformed", "too_large", "unsupported", "unknown_epoch", "bad_tag")


def _vectors():
    with open(VECTORS) as file:
        return json.load(file)["frames"]


def _why(data, key=KEY, topic=TOPIC):
    """The named reason for which a frame is refused; fails when it is taken."""
    try:
        frame.open(key, data, topic)
    except WireError as error:
        assert error.reason in NAMED, error.reason
        return type(error)
    raise AssertionError("taken")


def test_frames_of_an_independent_library_come_out_byte_for_byte():
    vectors = _vectors()
    assert len(vectors) == 6
    for v in vectors:
        key = EpochKey(v["key_epoch"], unhexlify(v["meter_key"]))
        direction = {"up": UP, "down": DOWN}[v["direction"]]
        message, sealed = unhexlify(v["message"]), unhexlify(v["frame"])
        assert key.frame_key(unhexlify(v["iv"])) == unhexlify(v["frame_key"])
        assert frame.seal(key, direction, v["frame_counter"], v["topic"], message) == sealed
        assert frame.open(key, sealed, v["topic"]) == message
        assert frame.peek(sealed) == (v["key_epoch"], direction, v["frame_counter"])


def test_every_truncation_is_refused_with_a_named_reason():
    for message in (b"", MESSAGE, bytes(300)):
        sealed = frame.seal(KEY, UP, 5, TOPIC, message)
        for length in range(len(sealed)):
            assert _why(sealed[:length]) is Malformed, length


def test_every_flipped_bit_is_refused_with_a_named_reason():
    sealed = frame.seal(KEY, UP, 5, TOPIC, MESSAGE)
    reasons = set()
    for at in range(len(sealed)):
        for bit in range(8):
            altered = bytearray(sealed)
            altered[at] ^= 1 << bit
            reasons.add(_why(bytes(altered)))
    assert reasons == {Malformed, Unsupported, UnknownEpoch, BadTag}


def test_a_byte_too_many_is_refused():
    sealed = frame.seal(KEY, UP, 5, TOPIC, MESSAGE)
    assert _why(sealed + b"\x00") is Malformed
    assert _why(b"\x00" + sealed) is Malformed


def test_a_frame_proves_who_it_is_from_and_which_way_it_travels():
    sealed = frame.seal(KEY, UP, 5, TOPIC, MESSAGE)
    assert _why(sealed, topic=topics.down(METER)) is BadTag
    assert _why(sealed, topic=topics.up(bytes(8))) is BadTag


def test_a_wrong_meter_key_is_a_bad_tag():
    sealed = frame.seal(KEY, UP, 5, TOPIC, MESSAGE)
    assert _why(sealed, key=EpochKey(1, bytes(32))) is BadTag


def test_a_frame_of_another_epoch_is_refused_by_name():
    sealed = frame.seal(EpochKey(2, bytes(range(32))), UP, 5, TOPIC, MESSAGE)
    assert frame.peek(sealed).key_epoch == 2
    assert _why(sealed) is UnknownEpoch


def test_another_algorithm_is_unsupported():
    sealed = frame.seal(KEY, UP, 5, TOPIC, MESSAGE)
    assert _why(sealed.replace(b"\x01\x18\x1e", b"\x01\x18\x1f")) is Unsupported


def test_an_iv_without_direction_is_malformed():
    sealed = bytearray(frame.seal(KEY, UP, 5, TOPIC, MESSAGE))
    at = sealed.index(b"\x05\x4d") + 2
    for direction in (0, 3, 255):
        sealed[at] = direction
        assert _why(bytes(sealed)) is Malformed


def test_the_largest_message_fits_a_frame_and_one_byte_more_does_not():
    largest = bytes(frame.MESSAGE_BYTES_MAX)
    sealed = frame.seal(KEY, UP, 5, TOPIC, largest)
    assert len(sealed) == frame.FRAME_BYTES_MAX
    assert frame.open(KEY, sealed, TOPIC) == largest
    assert len(frame.seal(KEY, UP, 5, TOPIC, largest[1:])) == frame.FRAME_BYTES_MAX - 1
    try:
        frame.seal(KEY, UP, 5, TOPIC, largest + b"\x00")
    except TooLarge as error:
        assert error.reason == "too_large"
    else:
        raise AssertionError("sealed")
    assert _why(sealed + b"\x00") is TooLarge


def test_the_ciphertext_length_has_one_spelling():
    for length in (0, 7, 8, 239, 240, 500):
        sealed = frame.seal(KEY, UP, 5, TOPIC, bytes(length))
        overhead = len(sealed) - length
        assert overhead == (43 if length < 8 else 44 if length < 240 else 45)


def test_no_garbage_is_taken_and_none_raises_another_error():
    state = 12345
    for _ in range(300):
        data = bytearray()
        for _ in range(state % 97):
            state = (state * 1103515245 + 12345) & 0x3FFFFFFF
            data.append(state >> 16 & 0xFF)
        state = (state * 1103515245 + 12345) & 0x3FFFFFFF
        assert _why(bytes(data)) is Malformed
