"""Gateway -> settlement: batches of opened profiles, their answer and their idempotency key."""

# CPython only: both ends are servers. Meters are pseudonyms here; settlement knows whose they are.

import hashlib
from typing import Annotated

import msgspec

from wire.errors import Malformed, TooLarge
from wire.messages import (
    CAPTURE_PERIOD_S_MAX,
    CHANNELS_MAX,
    DELTA_WH_MAX,
    INTERVAL_NUMBER_MAX,
    INTERVALS_MAX,
    REGISTER_WH_MAX,
    START_S_MIN,
    TIME_S_MAX,
)
from wire.quality import QUALITY_MAX

BATCH_PROFILES_MAX = 1000
BATCH_BYTES_MAX = 8 * 1024 * 1024  # uncompressed
_DETAIL_CHARS_MAX = 500

_MeterId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
_Obis = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$")]
_JournalId = Annotated[int, msgspec.Meta(ge=1)]
_RegisterWh = Annotated[int, msgspec.Meta(ge=0, le=REGISTER_WH_MAX)]
_DeltaWh = Annotated[int, msgspec.Meta(ge=0, le=DELTA_WH_MAX)]
_Quality = Annotated[int, msgspec.Meta(ge=0, le=QUALITY_MAX)]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One accepted profile: intervals of one meter, contiguous in number and in time."""

    meter_id: _MeterId
    key_epoch: Annotated[int, msgspec.Meta(ge=0, le=255)]
    frame_counter: Annotated[int, msgspec.Meta(ge=0)]
    received_s: Annotated[int, msgspec.Meta(ge=0, le=TIME_S_MAX)]
    first: Annotated[int, msgspec.Meta(ge=1, le=INTERVAL_NUMBER_MAX)]
    start_s: Annotated[int, msgspec.Meta(ge=START_S_MIN, le=TIME_S_MAX)]
    capture_period_s: Annotated[int, msgspec.Meta(ge=1, le=CAPTURE_PERIOD_S_MAX)]
    channels: Annotated[list[_Obis], msgspec.Meta(min_length=1, max_length=CHANNELS_MAX)]
    registers_wh: list[_RegisterWh]
    deltas_wh: list[Annotated[list[_DeltaWh], msgspec.Meta(max_length=INTERVALS_MAX)]]
    quality: Annotated[list[_Quality], msgspec.Meta(min_length=1, max_length=INTERVALS_MAX)]


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen run of the gateway's journal, from first_id to last_id inclusive."""

    gateway_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    first_id: _JournalId
    last_id: _JournalId
    profiles: Annotated[list[Profile], msgspec.Meta(max_length=BATCH_PROFILES_MAX)]


class Rejection(msgspec.Struct, frozen=True):
    """Why the profile at `index` of the batch was not taken."""

    index: int
    code: str
    detail: str


class Answer(msgspec.Struct, frozen=True):
    """Settlement's word on a batch, counted in profiles."""

    accepted: int
    duplicate: int
    rejected: list[Rejection]


_encoder = msgspec.json.Encoder()
_batch_decoder = msgspec.json.Decoder(Batch)
_answer_decoder = msgspec.json.Decoder(Answer)


def encode(batch: Batch) -> bytes:
    """The batch as JSON. Raises TooLarge above BATCH_PROFILES_MAX or BATCH_BYTES_MAX."""
    if len(batch.profiles) > BATCH_PROFILES_MAX:
        raise TooLarge(f"a batch has at most {BATCH_PROFILES_MAX} profiles")
    body = _encoder.encode(batch)
    if len(body) > BATCH_BYTES_MAX:
        raise TooLarge(f"a batch has at most {BATCH_BYTES_MAX} bytes")
    return body


def decode(body: bytes) -> Batch:
    """The batch in body. Raises TooLarge, or Malformed with the path of the wrong field."""
    if len(body) > BATCH_BYTES_MAX:
        raise TooLarge(f"a batch has at most {BATCH_BYTES_MAX} bytes")
    try:
        batch = _batch_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the batch is not as agreed: {error}"[:_DETAIL_CHARS_MAX]) from None
    if batch.last_id < batch.first_id:
        raise Malformed("the batch ends before it starts")
    return batch


def misfit(profile: Profile) -> str | None:
    """What in a profile does not fit together (rows, registers, numbers), or None."""
    channels, count = len(profile.channels), len(profile.quality)
    if len(set(profile.channels)) != channels:
        return "a channel is named twice"
    if len(profile.registers_wh) != channels or len(profile.deltas_wh) != channels:
        return "one register and one row of energies for each channel"
    if any(len(row) != count for row in profile.deltas_wh):
        return "one energy for each interval"
    return None


def encode_answer(answer: Answer) -> bytes:
    """The answer as JSON."""
    return _encoder.encode(answer)


def decode_answer(body: bytes) -> Answer:
    """The answer in body. Raises Malformed."""
    try:
        return _answer_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the answer is not as agreed: {error}"[:_DETAIL_CHARS_MAX]) from None


def idempotency_key(gateway_id: str, first_id: int, last_id: int, body: bytes) -> str:
    """64 hex digits derived from what is sent, so that a restarted gateway uses the same key.

    A random key would name the same batch twice after a crash (draft-ietf-httpapi-idempotency-key).
    """
    digest = hashlib.sha256(body).hexdigest()
    named = f"{len(gateway_id)}:{gateway_id}:{first_id}:{last_id}:{digest}"
    return hashlib.sha256(named.encode()).hexdigest()
