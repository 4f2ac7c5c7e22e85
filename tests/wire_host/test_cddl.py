"""wire.cddl is the law: what we send keeps it, what it forbids we refuse."""

from pathlib import Path

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zcbor.zcbor.zcbor import CddlValidationError, DataTranslator

from tests.wire.test_messages import SAMPLES
from wire import messages
from wire.errors import WireError
from wire.keys import DOWN, UP

CDDL = (Path(messages.__file__).parent / "wire.cddl").read_text()
LAW = DataTranslator.from_cddl(cddl_string=CDDL, default_max_qty=messages.VALUES_MAX).my_types
UP_LAW, DOWN_LAW = LAW["up-message"], LAW["down-message"]


def _lawful(law: DataTranslator, data: bytes) -> bool:
    try:
        law.validate_str(data)
    except CddlValidationError:
        return False
    return True


@pytest.mark.parametrize(("way", "message"), SAMPLES)
def test_every_message_we_send_is_lawful(way: int, message: tuple[object, ...]) -> None:
    law, other = (UP_LAW, DOWN_LAW) if way == UP else (DOWN_LAW, UP_LAW)
    assert _lawful(law, messages.encode(message))
    assert not _lawful(other, messages.encode(message))


@pytest.mark.parametrize(("way", "message"), SAMPLES)
def test_a_message_with_fields_of_the_future_is_lawful(
    way: int, message: tuple[object, ...]
) -> None:
    law = UP_LAW if way == UP else DOWN_LAW
    assert _lawful(law, cbor2.dumps([*cbor2.loads(messages.encode(message)), 1, b"new"]))


values = st.recursive(
    st.integers(-(2**63), 2**64 - 1) | st.integers(-2, 70) | st.binary(max_size=12) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


def _fields_of(kind: int, items: list[object]) -> list[st.SearchStrategy[object]]:
    return [st.just(items[at]) | values if at else st.just(kind) for at in range(len(items))]


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(SAMPLES))
def test_what_we_take_is_lawful(
    data: st.DataObject, sample: tuple[int, tuple[object, ...]]
) -> None:
    way, message = sample
    items = cbor2.loads(messages.encode(message))
    altered = [data.draw(field) for field in _fields_of(items[0], items)]
    encoded = cbor2.dumps(altered)
    try:
        messages.decode(encoded, way)
    except WireError:
        return
    assert _lawful(UP_LAW if way == UP else DOWN_LAW, encoded)


def test_the_law_has_the_limits_of_the_code() -> None:
    assert f"{messages.START_S_MIN}..{messages.TIME_S_MAX}" in CDDL
    assert f"register = 0..{messages.REGISTER_WH_MAX}" in CDDL
    assert f"bstr .size (1..{messages.CHANNELS_MAX})" in CDDL
    assert f"tstr .size (0..{messages.TEXT_BYTES_MAX})" in CDDL
    assert f"bstr .size (0..{messages.BLOB_BYTES_MAX})" in CDDL
    assert f"0*{messages.VALUES_MAX} int" in CDDL
    assert f"1..{messages.CAPTURE_PERIOD_S_MAX}" in CDDL
    assert {UP, DOWN} == {1, 2}
