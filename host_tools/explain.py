"""Says what a frame is, or exactly why it is refused; never shows a key."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from host_tools.cbor_walk import broken_at
from host_tools.pairing.errors import BadInput
from host_tools.pairing.files import read_secret
from host_tools.pairing.identity import Secret
from wire import frame, messages, obis, topics
from wire.errors import Malformed, WireError
from wire.keys import KEY_EPOCH_MAX, METER_KEY_BYTES, EpochKey

LINE_CHARS_MAX = 8192
LINES_MAX = 100_000
DIRECTIONS = {frame.UP: "up", frame.DOWN: "down"}
_SECRET_COMMANDS = (messages.COMMAND_REKEY, messages.COMMAND_HOME_KEY)
# How every frame of ours starts, byte for byte (wire/frame.py): tag 16 and an array of 3, the
# protected header {1: 30}, the unprotected one {4: kid (1 byte), 5: IV (13 bytes)}.
_FIXED = (
    (0, b"\xd0\x83", "COSE_Encrypt0: tag 16, an array of 3"),
    (2, b"\x44\xa1\x01\x18\x1e", "the protected header {1: 30}, AES-CCM-16-128-128"),
    (7, b"\xa2\x04\x41", "the unprotected header: 4 is a kid of 1 byte"),
    (11, b"\x05\x4d", "the unprotected header: 5 is an IV of 13 bytes"),
    (14, b"\x00\x00\x00\x00", "the IV: four zero bytes behind the direction"),
)
_DIRECTION_AT, _LENGTH_AT = 13, 26
_STARTS = "d083"


class Captured(NamedTuple):
    """A frame as somebody caught it, with its topic where that is known."""

    data: bytes
    topic: str = ""


class Key(NamedTuple):
    """A meter's key from a file. Its repr shows the epoch only."""

    meter_key: Secret
    key_epoch: int


# ------------------------------------------------------------------ what was caught


def captured(text: str) -> Iterator[Captured]:
    """Frames in a text: one a line, or one in all of it. Raises BadInput, naming the line.

    A line is hex, base64, `topic payload`, or a JSON object with topic and payload, as
    `mosquitto_sub -F '%t %x'` and `-F %j` print them.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise BadInput("nothing to explain: give a frame as hex or base64, or a captured line")
    if len(lines) > LINES_MAX:
        raise BadInput(f"at most {LINES_MAX} lines at once; split the file")
    whole = "".join(lines)
    if _is_hex(whole) and not any(line.lower().startswith(_STARTS) for line in lines[1:]):
        yield Captured(bytes.fromhex(whole))  # one frame, perhaps wrapped by a mail or a terminal
        return
    for number, line in enumerate(lines, 1):
        try:
            yield _captured(line)
        except BadInput as error:
            raise BadInput(f"line {number}: {error}") from None


def _captured(line: str) -> Captured:
    if len(line) > LINE_CHARS_MAX:
        raise BadInput(f"over {LINE_CHARS_MAX} characters: no frame is that long")
    if line.startswith("{"):
        try:
            fields = json.loads(line)
            return Captured(_bytes_of(str(fields["payload"])), str(fields.get("topic", "")))
        except (ValueError, KeyError, TypeError):
            raise BadInput("a JSON line has `topic` and `payload`, the payload as hex") from None
    topic, _, payload = line.rpartition(" ") if line.startswith("m/") else ("", "", line)
    return Captured(_bytes_of(payload), topic.strip())


def _bytes_of(text: str) -> bytes:
    plain = re.sub(r"\s", "", text)
    digits = plain.removeprefix("0x").replace(":", "")
    if _is_hex(digits):
        return bytes.fromhex(digits)
    standard = plain.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput("neither hex nor base64: copy the whole payload") from None


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and re.fullmatch(r"[0-9a-fA-F]*", text) is not None


def read_key(path: Path, key_epoch: int | None = None) -> Key:
    """A meter's key from a file of mode 0600: 64 hex digits, or `meters add`'s JSON on one line.

    Raises BadInput, ExposedSecret; neither shows what was in the file.
    """
    text = read_secret(path).reveal()
    epoch = 0
    if text.startswith(b"{"):
        try:
            fields = json.loads(text)
            text, epoch = str(fields["meter_key"]).encode(), fields["key_epoch"]
        except (ValueError, KeyError, TypeError):
            text = b""
    if not re.fullmatch(rb"[0-9a-fA-F]{%d}" % (2 * METER_KEY_BYTES), text):
        raise BadInput(f"{path} has no meter key: 64 hex digits, or JSON with meter_key, key_epoch")
    epoch = epoch if key_epoch is None else key_epoch
    if type(epoch) is not int or not 0 <= epoch <= KEY_EPOCH_MAX:
        raise BadInput(f"a key epoch is 0 to {KEY_EPOCH_MAX}")
    return Key(Secret(bytes.fromhex(text.decode())), epoch)


# ------------------------------------------------------------------ what it is


def explain(caught: Captured, key: Key | None = None) -> dict[str, Any]:
    """What a frame is, as a dict; `refused` and `why` are in it when it is one nobody takes."""
    said: dict[str, Any] = {"bytes": len(caught.data)}
    if caught.topic:
        said["topic"] = caught.topic
    try:
        header = frame.peek(caught.data)
        said |= {
            "key_epoch": header.key_epoch,
            "direction": DIRECTIONS[header.direction],
            "frame_counter": header.frame_counter,
        }
        if not _length_fits(caught.data):
            raise Malformed("the length of the ciphertext is wrong")
        opened = _opened(caught, header, key, said)
    except WireError as error:
        at = where(caught.data) if error.reason in ("malformed", "unsupported") else None
        return said | _refused(error, at)
    if opened is None:
        return said
    try:
        return said | {"message": describe(messages.decode(opened, header.direction))}
    except WireError as error:
        said["sealed"] = f"the seal is good; the {len(opened)} bytes in it are refused"
        return said | _refused(error, broken_at(opened))


def _opened(
    caught: Captured, header: frame.Header, key: Key | None, said: dict[str, Any]
) -> bytes | None:
    """The message's bytes; None, with a note, when they cannot be or are not to be seen."""
    if not caught.topic:
        said["note"] = "without its topic a frame is not opened: the seal covers the topic"
        return None
    place = topics.parse(caught.topic)
    said |= {"meter_id": place.meter_id.hex(), "shard": topics.shard_of(place.meter_id)}
    if place.way != DIRECTIONS[header.direction]:
        said["refused"] = "wrong_direction"
        said["why"] = (
            f"it says {said['direction']} and came on a topic for {place.way}: a frame that was"
            " sent back; look for a bridge that loops topics"
        )
        return None
    if key is None:
        said["note"] = "with --key FILE its seal is checked and its message shown"
        return None
    epoch_key = EpochKey(key.key_epoch, key.meter_key.reveal())
    return frame.open(epoch_key, caught.data, caught.topic, header)


def _length_fits(data: bytes) -> bool:
    """Whether the ciphertext's head tells its length in the shortest form, to the last byte."""
    rest = len(data) - _LENGTH_AT
    for head, low, high in ((1, 0, 24), (2, 24, 256), (3, 256, 1 << 16)):
        length = rest - head
        if low <= length < high:
            start = {1: b"", 2: b"\x58", 3: b"\x59"}[head]
            size = bytes((0x40 | length,)) if head == 1 else length.to_bytes(head - 1, "big")
            return data[_LENGTH_AT : _LENGTH_AT + head] == start + size
    return False


def _refused(error: WireError, at: tuple[int, str] | None) -> dict[str, Any]:
    """The error, what to do next (its class says it), and the byte."""
    todo = (type(error).__doc__ or "").partition(": ")[2].rstrip(".")
    said: dict[str, Any] = {
        "refused": error.reason,
        "why": f"{error}; {todo}" if todo else str(error),
    }
    if at is not None:
        said |= {"at_byte": at[0], "expected": at[1]}
    return said


def describe(message: Any) -> dict[str, Any]:
    """An opened message by its fields; keys that a command carries stay hidden."""
    fields: dict[str, Any] = {"kind": type(message).__name__.lower(), **message._asdict()}
    if isinstance(message, messages.Command) and message.code in _SECRET_COMMANDS:
        fields["args"] = ["hidden" if isinstance(each, bytes) else each for each in message.args]
    if "channels" in fields:
        fields["channels"] = [obis.NAMES.get(each, each) for each in fields["channels"]]
    return {name: _plain(value) for name, value in fields.items()}


def where(data: bytes) -> tuple[int, str] | None:
    """The first byte that is not as a frame's must be, and what belongs there; None: all are."""
    for at, wanted, what in _FIXED:
        found = data[at : at + len(wanted)]
        if found != wanted:
            same = next((n for n, pair in enumerate(zip(found, wanted, strict=False))
                         if pair[0] != pair[1]), len(found))  # fmt: skip
            return min(at + same, len(data)), what
    if data[_DIRECTION_AT] not in DIRECTIONS:
        return _DIRECTION_AT, "the IV: a direction, 1 up or 2 down"
    if len(data) <= _LENGTH_AT:
        return len(data), "the ciphertext, at least 17 bytes: it ends before"
    return _LENGTH_AT, "the head of the ciphertext: its length, shortest form, to the last byte"


def _plain(value: Any) -> Any:
    """As JSON can hold it: bytes as hex."""
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value
