"""Batches: what settlement may rely on, and what it may refuse by name."""

import json

import msgspec
import pytest

from wire import batch
from wire.errors import Malformed, TooLarge

PROFILE = batch.Profile(
    meter_id="90ac970dedb3b843",
    key_epoch=0,
    frame_counter=7,
    received_s=1729300000,
    first=1,
    start_s=1729202400,
    capture_period_s=900,
    channels=["1.8.0", "2.8.0"],
    registers_wh=[1000, 20],
    deltas_wh=[[100, 0], [0, 3]],
    quality=[0, 8],
)
BATCH = batch.Batch(gateway_id="gw-1", first_id=1, last_id=4, profiles=[PROFILE])


def test_a_batch_comes_back_as_it_was_frozen() -> None:
    assert batch.decode(batch.encode(BATCH)) == BATCH


def test_a_batch_without_profiles_is_a_batch() -> None:
    empty = batch.Batch(gateway_id="gw-1", first_id=3, last_id=3, profiles=[])
    assert batch.decode(batch.encode(empty)) == empty


def test_every_truncation_of_a_batch_is_malformed() -> None:
    body = batch.encode(BATCH)
    for length in range(len(body)):
        with pytest.raises(Malformed):
            batch.decode(body[:length])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("meter_id", "90AC970DEDB3B843"),
        ("meter_id", "90ac"),
        ("key_epoch", 256),
        ("frame_counter", -1),
        ("received_s", 1.5),
        ("first", 0),
        ("start_s", 0),
        ("capture_period_s", 0),
        ("capture_period_s", 86401),
        ("channels", []),
        ("channels", ["import"]),
        ("registers_wh", [1 << 40]),
        ("registers_wh", [True]),
        ("deltas_wh", [[1 << 24]]),
        ("deltas_wh", [[-1]]),
        ("quality", []),
        ("quality", [64]),
        ("colour", "red"),
    ],
)
def test_a_field_out_of_its_limits_is_malformed_and_named(field: str, value: object) -> None:
    items = json.loads(batch.encode(BATCH))
    items["profiles"][0][field] = value
    with pytest.raises(Malformed, match=field):
        batch.decode(json.dumps(items).encode())


def test_a_batch_that_ends_before_it_starts_is_malformed() -> None:
    body = batch.encode(msgspec.structs.replace(BATCH, first_id=5))
    with pytest.raises(Malformed, match="ends before it starts"):
        batch.decode(body)


def test_a_batch_has_at_most_1000_profiles() -> None:
    full = msgspec.structs.replace(BATCH, profiles=[PROFILE] * batch.BATCH_PROFILES_MAX)
    assert len(batch.decode(batch.encode(full)).profiles) == 1000
    over = msgspec.structs.replace(BATCH, profiles=[PROFILE] * (batch.BATCH_PROFILES_MAX + 1))
    with pytest.raises(TooLarge):
        batch.encode(over)
    with pytest.raises(Malformed, match="profiles"):
        batch.decode(msgspec.json.encode(over))


def test_a_batch_has_at_most_8_mib() -> None:
    body = batch.encode(BATCH)
    padded = body + b" " * (batch.BATCH_BYTES_MAX - len(body))
    assert batch.decode(padded) == BATCH
    with pytest.raises(TooLarge):
        batch.decode(padded + b" ")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"channels": ["1.8.0", "1.8.0"]}, "twice"),
        ({"registers_wh": [1]}, "register"),
        ({"deltas_wh": [[1, 2]]}, "register"),
        ({"deltas_wh": [[1, 2], [3]]}, "interval"),
        ({"quality": [0]}, "interval"),
    ],
)
def test_a_profile_whose_parts_do_not_fit_is_told(changes: dict[str, object], why: str) -> None:
    misfit = batch.misfit(msgspec.structs.replace(PROFILE, **changes))
    assert misfit is not None
    assert why in misfit


def test_a_profile_whose_parts_fit_is_fine() -> None:
    assert batch.misfit(PROFILE) is None


def test_an_answer_comes_back() -> None:
    answer = batch.Answer(1, 2, [batch.Rejection(0, "off_grid", "starts at 12:07")])
    assert batch.decode_answer(batch.encode_answer(answer)) == answer
    with pytest.raises(Malformed):
        batch.decode_answer(b"<html>")


def test_the_key_is_derived_from_all_that_is_sent() -> None:
    key = batch.idempotency_key("gw-1", 1, 4, b"body")
    assert key == batch.idempotency_key("gw-1", 1, 4, b"body")
    assert len(key) == 64
    others = [("gw-2", 1, 4, b"body"), ("gw-1", 2, 4, b"body"), ("gw-1", 1, 5, b"body")]
    others += [("gw-1", 1, 4, b"b0dy"), ("gw-1:1", 4, 4, b"body")]
    assert len({key} | {batch.idempotency_key(*other) for other in others}) == 6
