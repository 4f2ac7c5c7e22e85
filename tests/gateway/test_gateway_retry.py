"""What settlement's answers mean, and how long the forwarder waits: the pure part."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gateway.forwarding import attempts, outbox
from gateway.forwarding.attempts import (
    Timing,
    backoff_s,
    coding_for,
    encoded,
    outcome_of,
    retry_after_s,
)
from wire import batch as wire_batch


@pytest.mark.parametrize(
    ("answer", "is_good"),
    [
        ((2, 1, []), True),
        ((3, 0, []), True),
        ((2, 0, []), False),
        ((3, 1, []), False),
        ((4, -1, []), False),
        ((2, 0, [2]), True),
        ((2, 0, [3]), False),
        ((2, 0, [-1]), False),
        ((1, 0, [1, 1]), False),
    ],
)
def test_an_answer_must_account_for_every_profile(
    answer: tuple[int, int, list[int]], is_good: bool
) -> None:
    rejected = [wire_batch.Rejection(index, "code", "") for index in answer[2]]
    frozen = outbox.Frozen(1, 1, 3, 3, "key", b"")
    assert outbox.is_answer_to(wire_batch.Answer(answer[0], answer[1], rejected), frozen) is is_good


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_back_off_is_bounded_and_jittered(attempt: int, chance: float) -> None:
    timing = Timing()
    wait_s = backoff_s(attempt, chance, timing)
    assert 0 <= wait_s <= timing.cap_s
    if attempt < 6:
        assert wait_s <= timing.base_s * 2**attempt


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0.0),
        ("0", 0.0),
        ("120", 120.0),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("999999999999", 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("Fri, 15 Oct 2021 00:01:00 GMT", 60.0),
        ("Thu, 14 Oct 2021 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_the_standard_says(header: str | None, seconds: float) -> None:
    assert retry_after_s(header, datetime(2021, 10, 15, tzinfo=UTC)) == seconds


def test_every_http_status_has_one_outcome() -> None:
    by_outcome: dict[str, set[int]] = {}
    for status in range(100, 600):
        by_outcome.setdefault(outcome_of(status), set()).add(status)
    assert by_outcome[attempts.DELIVERED] == set(range(200, 300))
    assert by_outcome[attempts.POISON] == {400, 413, 422}
    assert by_outcome[attempts.RETRY] == {408, 409, 425, 429} | set(range(500, 600))


@pytest.mark.parametrize(
    ("status", "accept", "now", "next_coding"),
    [
        (200, None, "zstd", "zstd"),
        (200, "gzip", "zstd", "gzip"),
        (200, "zstd, gzip", "gzip", "zstd"),
        (200, "ZSTD;q=0, gzip;q=0.5", "zstd", "gzip"),
        (200, "identity", "gzip", "identity"),
        (200, "*", "zstd", "zstd"),
        (200, "br", "zstd", "identity"),
        (503, None, "gzip", "gzip"),
        (415, None, "zstd", "gzip"),
        (415, None, "gzip", "identity"),
        (415, None, "identity", "identity"),
        (415, "gzip", "zstd", "gzip"),
        (415, "zstd, gzip", "zstd", "gzip"),
        (415, "identity", "identity", "identity"),
    ],
)
def test_the_content_coding_follows_what_settlement_reads(
    status: int, accept: str | None, now: str, next_coding: str
) -> None:
    assert coding_for(status, accept, now) == next_coding


@pytest.mark.parametrize("coding", attempts.CODINGS)
def test_every_content_coding_carries_the_same_batch(coding: str) -> None:
    plain = b'{"gateway_id": "gw-1"}' * 100
    read = {"zstd": outbox.unpack, "gzip": gzip.decompress, "identity": bytes}[coding]
    assert read(encoded(zstandard.ZstdCompressor().compress(plain), coding)) == plain
