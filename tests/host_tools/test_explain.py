"""What a frame is, or the byte at which it is none, and that no key is ever shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_tools import explain
from host_tools.cbor_walk import broken_at
from host_tools.explain import Captured, Key, captured, read_key
from host_tools.pairing.errors import BadInput, ExposedSecret
from host_tools.pairing.identity import Secret
from tests.support.gateway import a_meter, a_profile
from wire import cbor, frame, messages, topics
from wire.errors import Malformed, WireError
from wire.keys import DOWN, UP, EpochKey
from wire.messages import Command, Receipt, Registers

METER = a_meter()
UP_TOPIC, DOWN_TOPIC = topics.up(METER.meter_id), topics.down(METER.meter_id)
KEY = Key(Secret(METER.meter_key), 0)
REGISTERS = Registers(1_760_000_000, (1, 2, 11), (5000, 7, 2500))


def sealed(
    message: Any, topic: str = UP_TOPIC, direction: int = UP, counter: int = 7, epoch: int = 0
) -> bytes:
    key = EpochKey(epoch, METER.meter_key)
    return frame.seal(key, direction, counter, topic, messages.encode(message))


def sealed_bytes(data: bytes) -> bytes:
    return frame.seal(METER.key, UP, 7, UP_TOPIC, data)


GOOD = sealed(REGISTERS)


# ------------------------------------------------------------------ what it is


def test_a_frame_by_itself_is_named_by_its_header() -> None:
    said = explain.explain(Captured(GOOD))
    assert (said["direction"], said["key_epoch"], said["frame_counter"]) == ("up", 0, 7)
    assert said["bytes"] == len(GOOD)
    assert "topic" in said["note"]
    assert "refused" not in said


def test_with_its_topic_it_is_a_meters() -> None:
    said = explain.explain(Captured(GOOD, UP_TOPIC))
    assert said["meter_id"] == METER.hex_id
    assert said["shard"] == topics.shard_of(METER.meter_id)
    assert "--key" in said["note"]


def test_with_its_key_it_says_what_it_says() -> None:
    said = explain.explain(Captured(GOOD, UP_TOPIC), KEY)
    assert said["message"] == {
        "kind": "registers",
        "at_s": 1_760_000_000,
        "channels": ["1.8.0", "2.8.0", "1.8.1"],
        "registers_wh": [5000, 7, 2500],
    }


@pytest.mark.parametrize(
    ("message", "direction", "kind"),
    [
        (a_profile(3, 4), UP, "profile"),
        (messages.Live(1_760_000_000, 230, (230_000,), (1000,), 50_000), UP, "live"),
        (messages.Event(1_760_000_000, 7, (1, 2), 3), UP, "event"),
        (messages.Status(1_760_000_000, "0.1.0", 5, 1000, 3, -60, 1), UP, "status"),
        (messages.Result(9, 0, b"\x01"), UP, "result"),
        (Receipt(5, 4, 1_760_000_000), DOWN, "receipt"),
        (Command(1, 4, (900,)), DOWN, "command"),
    ],
)
def test_every_kind_of_message_is_shown_as_json(message: Any, direction: int, kind: str) -> None:
    topic = UP_TOPIC if direction == UP else DOWN_TOPIC
    said = explain.explain(Captured(sealed(message, topic, direction), topic), KEY)
    assert said["message"]["kind"] == kind
    assert json.loads(json.dumps(said)) == said


@pytest.mark.parametrize("code", [messages.COMMAND_REKEY, messages.COMMAND_HOME_KEY])
def test_a_key_inside_a_command_stays_hidden(code: int) -> None:
    secret = bytes(range(32))
    args = (1, secret) if code == messages.COMMAND_REKEY else (secret,)
    said = explain.explain(
        Captured(sealed(Command(5, code, args), DOWN_TOPIC, DOWN), DOWN_TOPIC), KEY
    )
    assert said["message"]["args"][-1] == "hidden"
    assert secret.hex() not in json.dumps(said)
    assert METER.meter_key.hex() not in json.dumps(said) + repr(KEY)


# ------------------------------------------------------------------ why it is refused


def test_every_truncation_is_named_with_the_byte_at_which_it_ends() -> None:
    for size in range(len(GOOD)):
        for key, topic in ((KEY, UP_TOPIC), (None, UP_TOPIC), (None, "")):
            said = explain.explain(Captured(GOOD[:size], topic), key)
            assert said["refused"] == "malformed", size
            assert said["at_byte"] == min(size, 26), size


@pytest.mark.parametrize("size", [1, 6, 7, 8, 200, 238, 239, 240, 241, 900])
def test_every_length_of_a_frame_fits_itself_alone(size: int) -> None:
    data = sealed_bytes(bytes(size))
    assert "refused" not in explain.explain(Captured(data))
    assert explain.explain(Captured(data + b"\x00"))["refused"] == "malformed"


def test_every_flipped_bit_is_refused_and_in_the_header_its_byte_is_named() -> None:
    for at in range(len(GOOD)):
        for bit in range(8):
            broken = bytes([*GOOD[:at], GOOD[at] ^ 1 << bit, *GOOD[at + 1 :]])
            said = explain.explain(Captured(broken, UP_TOPIC), KEY)
            assert "refused" in said, (at, bit)
            if said["refused"] in ("malformed", "unsupported"):
                assert said["at_byte"] == (at if at < 26 else 26), (at, bit)


def test_the_expected_bytes_are_those_that_a_frame_has() -> None:
    assert explain.where(GOOD) == (
        26, "the head of the ciphertext: its length, shortest form, to the last byte",
    )  # fmt: skip
    for start, wanted, _ in explain._FIXED:
        assert GOOD[start : start + len(wanted)] == wanted


@pytest.mark.parametrize(
    ("caught", "key", "refused", "todo"),
    [
        (Captured(GOOD, topics.up(bytes(8))), KEY, "bad_tag", "wrong meter key"),
        (Captured(GOOD, UP_TOPIC), Key(Secret(bytes(32)), 0), "bad_tag", "altered"),
        (Captured(GOOD, UP_TOPIC), Key(KEY.meter_key, 3), "unknown_epoch", "pair the meter again"),
        (Captured(GOOD, DOWN_TOPIC), KEY, "wrong_direction", "loops topics"),
        (Captured(GOOD, "m/00/nonsense/up"), KEY, "wrong_topic", "meter's config"),
        (Captured(GOOD, "m/00/" + METER.hex_id + "/up"), KEY, "wrong_topic", "shard"),
        (Captured(GOOD + b"\x00", UP_TOPIC), KEY, "malformed", "firmware version"),
        (Captured(bytes(1025), UP_TOPIC), KEY, "too_large", "send less"),
        (Captured(b"", UP_TOPIC), KEY, "malformed", "cut short"),
        (Captured(b"\xd0\x83\x43\xa1\x01\x0a", ""), None, "unsupported", "AES-CCM"),
        (Captured(b"GET / HTTP/1.1", ""), None, "malformed", "COSE_Encrypt0"),
    ],
)
def test_what_nobody_takes_is_named_and_says_what_to_do(
    caught: Captured, key: Key | None, refused: str, todo: str
) -> None:
    said = explain.explain(caught, key)
    assert said["refused"] == refused
    assert todo in said["why"]
    assert "message" not in said


@pytest.mark.parametrize(
    ("data", "at", "wanted"),
    [
        (b"\x05", 0, "an array"),
        (b"\x82\x02", 2, "another item"),
        (b"\x82\x02\x18\x05", 2, "a shorter way to write 5"),
        (b"\x82\x02\x19\x01", 4, "the rest of a number"),
        (b"\x82\x02\x43\x01", 4, "the rest of a string of 3 bytes that begins at 2"),
        (b"\x82\x02\x61\xff", 3, "UTF-8"),
        (b"\x82\x02\xf5", 2, "nothing else is spoken here"),
        (b"\x82\x02\xa0", 2, "nothing else is spoken here"),
        (b"\x82\x02\x9f\xff", 2, "indefinite"),
        (b"\x82\x02\x1c", 2, "indefinite and reserved"),
        (b"\x82\x02\x05\x05", 3, "the message ends before"),
        (b"\x81" * 5 + b"\x00", 4, "no array inside 4 others"),
    ],
)
def test_a_message_that_is_no_message_is_named_by_its_byte(
    data: bytes, at: int, wanted: str
) -> None:
    said = explain.explain(Captured(sealed_bytes(data), UP_TOPIC), KEY)
    assert said["refused"] in ("malformed", "unsupported")
    assert said["at_byte"] == at
    assert wanted in said["expected"]
    assert "the seal is good" in said["sealed"]


def test_a_message_with_a_wrong_value_is_named_without_a_byte() -> None:
    data = cbor.encode([99, 1])
    said = explain.explain(Captured(sealed_bytes(data), UP_TOPIC), KEY)
    assert said["refused"] == "unsupported"
    assert "no message of kind 99" in said["why"]
    assert "at_byte" not in said


@given(st.binary(max_size=40))
def test_the_walk_finds_a_byte_exactly_where_the_wire_refuses(data: bytes) -> None:
    try:
        good = type(cbor.decode(data)) is list
    except Malformed:
        good = False
    found = broken_at(data)
    assert (found is None) == good
    assert found is None or 0 <= found[0] <= len(data)


@given(st.binary(max_size=80))
def test_nothing_that_anybody_sends_breaks_it(data: bytes) -> None:
    said = explain.explain(Captured(data, UP_TOPIC), KEY)
    reason = "bad_tag"
    try:
        frame.peek(data)
    except WireError as error:
        reason = error.reason
    assert said["refused"] in (reason, "malformed", "unknown_epoch", "wrong_direction")


# ------------------------------------------------------------------ how it was caught


@pytest.mark.parametrize(
    "text",
    [
        GOOD.hex(), GOOD.hex().upper(), "0x" + GOOD.hex(), GOOD.hex(":"), GOOD.hex(" "),
        "\n".join([GOOD.hex()[:40], GOOD.hex()[40:]]), base64.b64encode(GOOD).decode(),
        base64.urlsafe_b64encode(GOOD).decode().rstrip("="), f"  {GOOD.hex()}\n\n",
    ],
)  # fmt: skip
def test_a_frame_is_taken_however_it_was_copied(text: str) -> None:
    assert list(captured(text)) == [Captured(GOOD)]


@pytest.mark.parametrize(
    "text",
    [
        f"{UP_TOPIC} {GOOD.hex()}",
        f"{UP_TOPIC} {base64.b64encode(GOOD).decode()}",
        json.dumps({"topic": UP_TOPIC, "payload": GOOD.hex(), "qos": 1}),
    ],
)
def test_a_captured_line_brings_its_topic(text: str) -> None:
    assert list(captured(text)) == [Captured(GOOD, UP_TOPIC)]
    assert len(list(captured(f"{text}\n{text}\n"))) == 2


def test_several_frames_are_one_a_line() -> None:
    other = sealed(REGISTERS, counter=8)
    assert list(captured(f"{GOOD.hex()}\n{other.hex()}")) == [Captured(GOOD), Captured(other)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing to explain"), ("\n \n", "nothing to explain"), ("hello!", "line 1: neither"),
        (GOOD.hex() + "\nżółw", "line 2"), ("{}", "topic and payload|`topic` and `payload`"),
        ('{"payload": 5', "`payload`"), ("x" * 9000, "no frame is that long"),
    ],
)  # fmt: skip
def test_what_is_no_capture_is_named_by_its_line(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        list(captured(text))


def test_a_capture_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "LINES_MAX", 2)
    assert len(list(captured("\n".join([GOOD.hex()] * 2)))) == 2
    with pytest.raises(BadInput, match="at most 2"):
        list(captured("\n".join([GOOD.hex()] * 3)))


# ------------------------------------------------------------------ the key


def a_key_file(folder: Path, text: str) -> Path:
    path = folder / "meter.key"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_key_comes_from_a_file_alone(tmp_path: Path) -> None:
    text = METER.meter_key.hex()
    assert read_key(a_key_file(tmp_path, text + "\n")) == KEY
    assert read_key(a_key_file(tmp_path, text), 9).key_epoch == 9
    as_json = json.dumps({"meter_id": METER.hex_id, "meter_key": text, "key_epoch": 4})
    assert read_key(a_key_file(tmp_path, as_json)).key_epoch == 4
    path = a_key_file(tmp_path, text)
    path.chmod(0o640)
    with pytest.raises(ExposedSecret):
        read_key(path)


@pytest.mark.parametrize("text", ["", "secret", "00" * 31, "{}", '{"meter_key": "secret"}',
                                  "{secret", '{"meter_key": 5, "key_epoch": 0}'])  # fmt: skip
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_key(a_key_file(tmp_path, text))
    assert "secret" not in str(refused.value).replace("the secret", "")


@pytest.mark.parametrize(("epoch", "good"), [(-1, False), (0, True), (255, True), (256, False)])
def test_a_key_epoch_has_its_limits(tmp_path: Path, epoch: int, good: bool) -> None:
    path = a_key_file(tmp_path, "00" * 32)
    if good:
        assert read_key(path, epoch).key_epoch == epoch
    else:
        with pytest.raises(BadInput, match="0 to 255"):
            read_key(path, epoch)
