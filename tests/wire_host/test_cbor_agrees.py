"""The device's CBOR and the host's say the same: same bytes out, same refusals in."""

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import cbor, cbor_device
from wire.errors import Malformed

leaves = st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=300)
subset = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4), max_leaves=12)
anything = st.recursive(
    leaves
    | st.floats()
    | st.booleans()
    | st.none()
    | st.datetimes(timezones=st.just(__import__("datetime").timezone.utc))
    | st.decimals()
    | st.builds(cbor2.CBORTag, st.integers(0, 300), leaves),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def _read(loads: object, data: bytes) -> object:
    try:
        return loads(data)  # type: ignore[operator]
    except Malformed:
        return Malformed


@given(subset)
def test_both_write_the_same_bytes(value: object) -> None:
    assert cbor_device.dumps(value) == cbor2.dumps(value, canonical=True) == cbor2.dumps(value)


@settings(max_examples=500)
@given(st.binary(max_size=40))
def test_both_read_or_refuse_random_bytes_alike(data: bytes) -> None:
    assert _read(cbor.decode, data) == _read(cbor_device.loads, data)


@settings(max_examples=500)
@given(anything, st.booleans(), st.booleans())
def test_both_read_or_refuse_other_cbor_alike(value: object, canonical: bool, refs: bool) -> None:
    data = cbor2.dumps(value, canonical=canonical, string_referencing=refs)[: cbor.CBOR_BYTES_MAX]
    assert _read(cbor.decode, data) == _read(cbor_device.loads, data)


@settings(max_examples=500)
@given(subset, st.data())
def test_both_read_or_refuse_altered_bytes_alike(value: object, data: st.DataObject) -> None:
    altered = bytearray(cbor_device.dumps(value)[: cbor.CBOR_BYTES_MAX])
    at = data.draw(st.integers(0, len(altered) - 1))
    altered[at] = data.draw(st.integers(0, 255))
    assert _read(cbor.decode, bytes(altered)) == _read(cbor_device.loads, bytes(altered))


@settings(max_examples=500)
@given(st.integers(0, 300), subset, st.binary(max_size=8))
def test_both_refuse_every_tag_whatever_it_holds(tag: int, value: object, rest: bytes) -> None:
    head = cbor2.dumps(cbor2.CBORTag(tag, 0))[:-1]
    for data in (head + cbor2.dumps(value), b"\x82\x01" + head + rest):
        data = data[: cbor.CBOR_BYTES_MAX]
        assert _read(cbor.decode, data) is _read(cbor_device.loads, data) is Malformed
