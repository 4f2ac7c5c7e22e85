"""Identities: what they are made of, what they refuse, and that no secret shows by accident."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import pickle

import pytest

from firmware import config
from gateway import registry
from host_tools.pairing import identity
from host_tools.pairing.errors import BadIdentity
from host_tools.pairing.identity import Identity, Secret, fresh, from_dict, to_dict

KEY, PASSWORD = bytes(range(32)), b"p" * 32


def an_identity(
    meter_id: bytes = bytes(8), key: bytes = KEY, epoch: int = 0, password: bytes = PASSWORD
) -> Identity:
    return Identity(meter_id, Secret(key), epoch, Secret(password))


def test_a_new_identity_is_random_in_each_of_its_parts() -> None:
    made = [fresh() for _ in range(64)]
    for part in ("meter_id", "meter_key", "password"):
        assert len({getattr(each, part) for each in made}) == 64
    assert {each.key_epoch for each in made} == {0}


def test_all_of_its_randomness_comes_from_where_it_is_asked_for() -> None:
    counting = itertools.count()
    made = fresh(random=lambda size: bytes([next(counting)]) * size)
    assert made.meter_id == bytes(8)
    assert made.meter_key.reveal() == b"\x01" * 32
    assert made.password.reveal() == b"AgICAgICAgICAgICAgICAgICAgICAgIC"


def test_a_next_identity_keeps_the_meter_id() -> None:
    made = fresh(b"\x07" * 8, 3)
    assert (made.hex_id, made.key_epoch) == ("07" * 8, 3)


@pytest.mark.parametrize("show", [repr, str, "{}".format, ascii])
def test_nothing_secret_is_in_its_repr(show: object) -> None:
    made = an_identity()
    assert callable(show)
    for thing in (made, [made], {"a": made}, made.meter_key, dataclasses.fields(made)):
        text = show(thing)
        assert KEY.hex() not in text
        assert repr(KEY)[2:12] not in text
        assert "pppp" not in text
    assert "0000000000000000" in show(made)


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, dataclasses.asdict])
def test_a_secret_is_not_copied_by_accident(leak: object) -> None:
    assert callable(leak)
    made = an_identity()
    with pytest.raises(TypeError, match="by accident"):
        leak(made if leak is dataclasses.asdict else made.meter_key)


def test_secrets_compare_by_their_bytes() -> None:
    assert Secret(b"a") == Secret(b"a")
    assert Secret(b"a") != Secret(b"b")
    assert Secret(b"a") != b"a"
    assert len({Secret(b"a"), Secret(b"a"), Secret(b"b")}) == 2


@pytest.mark.parametrize("size", [0, 7, 9])
def test_a_meter_id_has_eight_bytes(size: int) -> None:
    with pytest.raises(BadIdentity, match="meter id"):
        an_identity(meter_id=bytes(size))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_meter_key_has_32_bytes(size: int) -> None:
    with pytest.raises(BadIdentity, match="meter key"):
        an_identity(key=bytes(size))


@pytest.mark.parametrize(("epoch", "good"), [(-1, False), (0, True), (255, True), (256, False)])
def test_a_key_epoch_is_a_byte(epoch: int, good: bool) -> None:
    if good:
        assert an_identity(epoch=epoch).key_epoch == epoch
    else:
        with pytest.raises(BadIdentity, match="pair it as a new meter"):
            an_identity(epoch=epoch)


@pytest.mark.parametrize(
    ("password", "good"),
    [(b"p" * 21, False), (b"p" * 22, True), (b"p" * 128, True), (b"p" * 129, False),
     (("ó" * 12).encode(), False)],
)  # fmt: skip
def test_a_password_suits_gateway_and_meter(password: bytes, good: bool) -> None:
    if not good:
        with pytest.raises(BadIdentity, match="password"):
            an_identity(password=password)
        return
    made = an_identity(password=password)
    registry.check_password(made.password.reveal().decode())


def test_the_limits_are_those_of_gateway_and_meter() -> None:
    assert identity.PASSWORD_CHARS_MIN == registry.PASSWORD_CHARS_MIN
    assert identity.PASSWORD_CHARS_MAX == config.PASSWORD_CHARS_MAX <= registry.PASSWORD_CHARS_MAX


def test_the_gateway_takes_what_is_written_and_it_reads_back() -> None:
    made = fresh(key_epoch=5)
    taken = registry.parse_new_meter(json.dumps(to_dict(made)).encode())
    assert (taken.meter_id, taken.key_epoch) == (made.hex_id, 5)
    assert from_dict(json.loads(json.dumps(to_dict(made)))) == made


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("meter_id", None), ("meter_id", "00"), ("meter_id", "g" * 16), ("meter_key", "secret!"),
        ("meter_key", 5), ("key_epoch", "0"), ("key_epoch", True), ("key_epoch", 300),
        ("password", "secret!"), ("password", None),
    ],
)  # fmt: skip
def test_what_is_no_identity_is_refused_by_field_and_never_shown(field: str, value: object) -> None:
    good = to_dict(fresh())
    with pytest.raises(BadIdentity) as refused:
        from_dict(good | {field: value})
    assert "secret!" not in str(refused.value)
    assert good["meter_key"] not in str(refused.value)
    assert field in str(refused.value) or field.replace("_", " ") in str(refused.value)


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_what_is_no_object_is_no_identity(data: object) -> None:
    with pytest.raises(BadIdentity, match="JSON object"):
        from_dict(data)


@pytest.mark.parametrize("text", ["", "00", "0011223344556677 ", "0011223344556G77", "A" * 16])
def test_a_meter_id_that_was_mistyped_is_refused(text: str) -> None:
    with pytest.raises(BadIdentity, match="16 hex digits"):
        identity.meter_id_of(text)
    assert identity.meter_id_of("00112233aabbccdd").hex() == "00112233aabbccdd"
