"""python-cwt, an independent COSE library, opens our frames and we open its."""

import pytest
from cwt import COSE, COSEKey
from hypothesis import given
from hypothesis import strategies as st

from wire import frame, topics
from wire.keys import DOWN, UP, EpochKey, make_iv

AES_CCM_16_128_128 = "AES-CCM-16-128-128"


def _cose_key(key: EpochKey, iv: bytes) -> COSEKey:
    return COSEKey.new(
        {
            1: 4,  # kty: symmetric
            2: bytes([key.key_epoch]),
            3: 30,
            -1: key.frame_key(iv),
        }
    )


frames = st.tuples(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 255),
    st.sampled_from([UP, DOWN]),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=8, max_size=8),
    st.binary(max_size=frame.MESSAGE_BYTES_MAX),
)


@given(frames)
def test_it_opens_our_frames(case: tuple[bytes, int, int, int, bytes, bytes]) -> None:
    meter_key, epoch, direction, counter, meter_id, message = case
    key = EpochKey(epoch, meter_key)
    topic = topics.up(meter_id) if direction == UP else topics.down(meter_id)
    sealed = frame.seal(key, direction, counter, topic, message)
    cose_key = _cose_key(key, make_iv(direction, counter))
    assert COSE.new().decode(sealed, cose_key, external_aad=topic.encode()) == message


@given(frames)
def test_we_open_its_frames(case: tuple[bytes, int, int, int, bytes, bytes]) -> None:
    meter_key, epoch, direction, counter, meter_id, message = case
    key = EpochKey(epoch, meter_key)
    topic = topics.up(meter_id) if direction == UP else topics.down(meter_id)
    iv = make_iv(direction, counter)
    sealed = COSE.new().encode(
        message,
        _cose_key(key, iv),
        protected={1: 30},
        unprotected={4: bytes([epoch]), 5: iv},
        external_aad=topic.encode(),
    )
    assert frame.open(key, sealed, topic) == message
    assert sealed == frame.seal(key, direction, counter, topic, message)


def test_it_refuses_our_frame_on_another_topic() -> None:
    key = EpochKey(1, bytes(32))
    sealed = frame.seal(key, UP, 1, topics.up(bytes(8)), b"reading")
    cose_key = _cose_key(key, make_iv(UP, 1))
    with pytest.raises(Exception, match="decrypt"):
        COSE.new().decode(sealed, cose_key, external_aad=topics.down(bytes(8)).encode())
