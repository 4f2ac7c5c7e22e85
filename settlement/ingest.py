"""Takes a batch exactly once: one key, one transaction, one answer that a replay gets again."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from itertools import accumulate
from sqlite3 import Connection
from typing import NamedTuple

import zstandard

from settlement.errors import (
    BadEncoding,
    BadKey,
    BodyTooLarge,
    KeyReused,
    MalformedBody,
    MissingKey,
)
from settlement.rules.validation import is_capture_period
from settlement.store import Store, inbox, readings
from wire import batch as wire_batch
from wire.errors import Malformed, TooLarge
from wire.messages import REGISTER_WH_MAX
from wire.obis import CODES

BODY_BYTES_MAX = wire_batch.BATCH_BYTES_MAX
IDEMPOTENCY_KEY_CHARS_MAX = 128
# The memory that a zstd stream may ask for; its own default would allow 128 MiB.
ZSTD_WINDOW_BYTES_MAX = 8 * 1024 * 1024


class Receipt(NamedTuple):
    """The answer to a batch, and whether it is the answer of an earlier delivery."""

    answer: bytes
    replayed: bool


class ProfileRefused(Exception):
    """One profile is not taken; the rest of its batch is."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def checked_key(key: str | None) -> str:
    """The idempotency key. Raises MissingKey or BadKey."""
    if key is None:
        raise MissingKey("send an Idempotency-Key header: a batch is taken once per key")
    if not 0 < len(key) <= IDEMPOTENCY_KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
        raise BadKey(f"an Idempotency-Key is 1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable characters")
    return key


def unpacked(data: bytes, encoding: str | None) -> bytes:
    """The body after its Content-Encoding. Raises BadEncoding, BodyTooLarge or MalformedBody."""
    unpack = _UNPACK.get((encoding or "identity").strip().lower())
    if unpack is None:
        raise BadEncoding(f"Content-Encoding is one of {ENCODINGS}")
    body = unpack(data)
    if len(body) > BODY_BYTES_MAX:
        raise BodyTooLarge(f"a batch has at most {BODY_BYTES_MAX} bytes: send fewer profiles")
    return body


def _plain(data: bytes) -> bytes:
    return data


def _gunzip(data: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        body = inflater.decompress(data, BODY_BYTES_MAX + 1)
    except zlib.error as error:
        raise MalformedBody(f"the body is not gzip: {error}") from None
    if len(body) <= BODY_BYTES_MAX and (not inflater.eof or inflater.unused_data):
        raise MalformedBody("the gzip body is cut short or has something behind it")
    return body


def _unzstd(data: bytes) -> bytes:
    # The frame states its size, so that a bomb is refused before any memory is taken for it.
    try:
        size = zstandard.get_frame_parameters(data).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            raise MalformedBody("the zstd frame does not state its content size: compress at once")
        if size > BODY_BYTES_MAX:
            raise BodyTooLarge(f"a batch has at most {BODY_BYTES_MAX} bytes: send fewer profiles")
        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
        return decompressor.decompress(data, read_across_frames=False, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MalformedBody(f"the body is not one whole zstd frame: {error}") from None


_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "zstd": _unzstd,
    "gzip": _gunzip,
    "identity": _plain,
}
ENCODINGS = ", ".join(_UNPACK)  # for senders: RFC 9110 section 12.5.3


def take(store: Store, key: str, body: bytes, now_s: int) -> Receipt:
    """Stores the batch and its answer, or finds the answer that was given before.

    Raises KeyReused, MalformedBody, BodyTooLarge and StoreError; then nothing was stored.
    """
    digest = hashlib.sha256(body).digest()
    with store.reading() as connection:
        taken = inbox.find(connection, key)
    if taken is None:
        batch = _decoded(body)
        with store.writing() as connection:
            # Looked up again: the same batch may have come in on two connections at once.
            taken = inbox.find(connection, key)
            if taken is None:
                batch_id = inbox.open_batch(
                    connection,
                    key=key,
                    body_sha256=digest,
                    gateway_id=batch.gateway_id,
                    first_id=batch.first_id,
                    last_id=batch.last_id,
                    received_s=now_s,
                )
                answer = wire_batch.encode_answer(_add_profiles(connection, batch, batch_id))
                inbox.close_batch(connection, batch_id, answer)
                return Receipt(answer, replayed=False)
    if taken.body_sha256 != digest:
        raise KeyReused("this Idempotency-Key came with another body before: derive a new key")
    return Receipt(taken.answer, replayed=True)


def _decoded(body: bytes) -> wire_batch.Batch:
    try:
        return wire_batch.decode(body)
    except TooLarge as error:
        raise BodyTooLarge(str(error)) from None
    except Malformed as error:
        raise MalformedBody(str(error)) from None


def _add_profiles(
    connection: Connection, batch: wire_batch.Batch, batch_id: int
) -> wire_batch.Answer:
    accepted = duplicate = 0
    rejected = []
    for index, profile in enumerate(batch.profiles):
        try:
            check_profile(profile)
        except ProfileRefused as refusal:
            rejected.append(wire_batch.Rejection(index, refusal.code, str(refusal)))
            continue
        if _add_profile(connection, profile, batch_id):
            accepted += 1
        else:
            duplicate += 1
    return wire_batch.Answer(accepted, duplicate, rejected)


def check_profile(profile: wire_batch.Profile) -> None:
    """Raises ProfileRefused, with the code that the gateway records."""
    if (problem := wire_batch.misfit(profile)) is not None:
        raise ProfileRefused("misfit", problem)
    for channel in profile.channels:
        if channel not in CODES:
            raise ProfileRefused("unknown_channel", f"register {channel} is not billed here")
    if not is_capture_period(profile.capture_period_s):
        raise ProfileRefused("bad_capture_period", "a capture period divides an hour, 60 s or more")
    if profile.start_s % profile.capture_period_s:
        raise ProfileRefused("off_grid", "the profile does not start on the grid of its periods")
    if profile.frame_counter > readings.FRAME_COUNTER_MAX:
        raise ProfileRefused("frame_counter_too_large", "a frame counter has 64 bits")
    for register_wh, deltas_wh in zip(profile.registers_wh, profile.deltas_wh, strict=True):
        if register_wh + sum(deltas_wh) > REGISTER_WH_MAX:
            raise ProfileRefused("register_overflow", f"a register ends at {REGISTER_WH_MAX} Wh")


def _add_profile(connection: Connection, profile: wire_batch.Profile, batch_id: int) -> int:
    """Adds every channel and returns how many readings were new."""
    order = readings.frame_order(profile.key_epoch, profile.frame_counter)
    added = 0
    rows = zip(profile.channels, profile.registers_wh, profile.deltas_wh, strict=True)
    for channel, register_wh, deltas_wh in rows:
        registers_end_wh = list(accumulate(deltas_wh, initial=register_wh))[1:]
        of_channel = [
            readings.Reading(
                profile.start_s + number * profile.capture_period_s,
                profile.capture_period_s,
                energy_wh,
                quality,
                register_end_wh,
            )
            for number, (energy_wh, quality, register_end_wh) in enumerate(
                zip(deltas_wh, profile.quality, registers_end_wh, strict=True)
            )
        ]
        added += readings.add(connection, profile.meter_id, channel, of_channel, order, batch_id)
    return added
