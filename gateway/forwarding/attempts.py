"""What settlement's answers mean, how long to wait, in which coding to send: no I/O here."""

from __future__ import annotations

import gzip
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from gateway.forwarding import outbox
from gateway.forwarding.outbox import Frozen
from wire import batch as wire_batch
from wire.errors import Malformed

REQUEST_S = 60.0
BACKOFF_BASE_S, BACKOFF_CAP_S = 0.5, 60.0
RETRY_AFTER_S_MAX = 3600.0
LINGER_S = 0.2  # lets a few commits share a batch
CODINGS = ("zstd", "gzip", "identity")  # of a body, the best first
GZIP_LEVEL = 6

DELIVERED, RETRY, REFUSED, POISON = "delivered", "retry", "refused", "poison"

_RETRY = {408, 409, 425, 429}  # time-out, original still running, too early, too many
_POISON = {400, 413, 422}  # this batch will never be taken; others may


class Timing(NamedTuple):
    """How long to wait, in seconds; tests shorten it."""

    request_s: float = REQUEST_S
    base_s: float = BACKOFF_BASE_S
    cap_s: float = BACKOFF_CAP_S
    linger_s: float = LINGER_S


class Reply(NamedTuple):
    """What an attempt came to."""

    outcome: str
    why: str
    retry_after_s: float = 0.0
    answer: wire_batch.Answer | None = None
    status: int = 0  # of HTTP, where it says more than the outcome


def outcome_of(status: int) -> str:
    """What an HTTP status means for the batch that was sent."""
    if 200 <= status < 300:
        return DELIVERED
    if status in _RETRY or status >= 500:
        return RETRY
    return POISON if status in _POISON else REFUSED


def coding_for(status: int, accept: str | None, now: str) -> str:
    """Which content coding to send from here on, given an answer to one in coding `now`.

    A server that cannot read a coding answers 415; it may list in Accept-Encoding, with any answer,
    what it reads (RFC 9110 sections 12.5.3 and 15.5.16). Nothing left: `now`.
    """
    left = [coding for coding in CODINGS if coding != now] if status == 415 else list(CODINGS)
    if accept is not None:
        words = [word.split(";") for word in accept.lower().replace(" ", "").split(",")]
        listed = {word[0] for word in words if "q=0" not in word[1:]} | {"identity"}
        left = [coding for coding in left if coding in listed or "*" in listed]
        return left[0] if left else now
    if status != 415:
        return now
    after = CODINGS.index(now) + 1
    return CODINGS[after] if after < len(CODINGS) else now


def backoff_s(attempt: int, chance: float, timing: Timing) -> float:
    """Full jitter: anywhere between nothing and an exponentially growing, capped bound.

    `chance` is in [0, 1); attempt counts from 0. Gateways that failed together do not return
    together.
    """
    return chance * min(timing.cap_s, timing.base_s * 2.0 ** min(attempt, 32))


def retry_after_s(header: str | None, now: datetime) -> float:
    """RFC 9110 section 10.2.3: seconds or a date; 0 when missing, past or not understood."""
    if header is None:
        return 0.0
    if header.isascii() and header.isdigit() and len(header) <= 9:
        seconds = float(header)
    else:
        try:
            seconds = (parsedate_to_datetime(header) - now).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)


def encoded(body: bytes, coding: str) -> bytes:
    """A frozen body, which is zstd, in another content coding: the same batch, the same key."""
    if coding == "zstd":
        return body
    plain = outbox.unpack(body)
    return gzip.compress(plain, GZIP_LEVEL, mtime=0) if coding == "gzip" else plain


def read_answer(body: bytes, frozen: Frozen) -> Reply:
    """A success that does not account for every profile is no success."""
    try:
        answer = wire_batch.decode_answer(body)
    except Malformed:
        return Reply(RETRY, "the answer is not as agreed; is [settlement] url right?")
    if not outbox.is_answer_to(answer, frozen):
        return Reply(RETRY, "the answer does not account for every profile")
    return Reply(DELIVERED, "", answer=answer)


def why(status: int) -> str:
    """The reason for the log, with the next step where a person has one."""
    if status in (401, 403):
        return f"HTTP {status}: settlement refuses the token; check [settlement] token_file"
    if status == 415:
        return (
            "HTTP 415: settlement reads none of zstd, gzip and plain JSON; is [settlement] right?"
        )
    if outcome_of(status) == REFUSED:
        return f"HTTP {status}: not settlement's address; check [settlement] url"
    return f"HTTP {status}"
