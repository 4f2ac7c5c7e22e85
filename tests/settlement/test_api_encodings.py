"""In which content codings a gateway may send a batch, and how it gets to know."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import Any

import pytest
import zstandard
from litestar.testing import TestClient

from settlement import ingest
from settlement.errors import BodyTooLarge
from tests.support.settlement import a_batch, a_key, a_profile, refused

Client = TestClient[Any]


def send(client: Client, key: str, data: bytes, coding: str) -> Any:
    headers = {"idempotency-key": key, "content-encoding": coding}
    return client.post("/v1/batches", content=data, headers=headers)


def test_a_batch_is_the_same_whatever_coding_it_comes_in(client: Client) -> None:
    body = a_batch([a_profile()])
    first = send(client, a_key(body), gzip.compress(body), "gzip")
    again = send(client, a_key(body), zstandard.ZstdCompressor().compress(body), "zstd")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json() == {"accepted": 1, "duplicate": 0, "rejected": []}
    assert again.headers["idempotency-replayed"] == "true"


def test_an_answer_says_which_codings_are_read(client: Client) -> None:
    body = a_batch([a_profile()])
    answer = send(client, a_key(body), body, "identity")
    assert answer.headers["accept-encoding"] == "zstd, gzip, identity"


def test_a_gzip_bomb_is_refused_before_it_takes_memory(client: Client) -> None:
    bomb = gzip.compress(b" " * (ingest.BODY_BYTES_MAX * 20))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            ingest.unpacked(bomb, "gzip")
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 3 * ingest.BODY_BYTES_MAX
    assert refused(send(client, "k", bomb, "gzip")) == (413, "too_large")
