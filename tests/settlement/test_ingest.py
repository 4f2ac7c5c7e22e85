"""A batch counts exactly once, whatever is sent again, cut short, reused or half wrong."""

from __future__ import annotations

import gzip
import pkgutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from settlement import ingest
from settlement.errors import (
    BadEncoding,
    BadKey,
    BodyTooLarge,
    KeyReused,
    MalformedBody,
    MissingKey,
)
from settlement.store import StorageFull, Store
from tests.support.settlement import (
    NOW_S,
    a_batch,
    a_day_of_profiles,
    a_key,
    a_profile,
)
from wire import batch
from wire.messages import REGISTER_WH_MAX


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "settlement.db")
    yield opened
    opened.close()


def answer(store: Store, body: bytes, key: str | None = None) -> batch.Answer:
    receipt = ingest.take(store, key or a_key(body), body, NOW_S)
    return batch.decode_answer(receipt.answer)


def count(store: Store, table: str = "readings") -> int:
    with store.reading() as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_every_interval_of_every_channel_is_stored_with_its_register(store: Store) -> None:
    assert answer(store, a_batch([a_profile()])) == batch.Answer(1, 0, [])
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT obis, energy_wh, register_end_wh FROM readings ORDER BY obis, start_s"
        ).fetchall()
    assert rows == [
        ("1.8.0", 10, 1010),
        ("1.8.0", 20, 1030),
        ("1.8.0", 30, 1060),
        ("1.8.0", 40, 1100),
        ("2.8.0", 0, 2000),
        ("2.8.0", 1, 2001),
        ("2.8.0", 0, 2001),
        ("2.8.0", 2, 2003),
    ]


def test_a_replayed_batch_gets_the_stored_answer_and_counts_once(store: Store) -> None:
    body = a_batch(a_day_of_profiles())
    first = ingest.take(store, a_key(body), body, NOW_S)
    again = ingest.take(store, a_key(body), body, NOW_S + 99)
    assert (first.replayed, again.replayed) == (False, True)
    assert first.answer == again.answer
    assert count(store) == 2 * 96
    assert count(store, "inbox") == 1


def test_the_same_profile_in_another_batch_is_a_duplicate(store: Store) -> None:
    answer(store, a_batch([a_profile()]))
    resent = a_batch([a_profile(frame_counter=2)], first_id=2)
    assert answer(store, resent) == batch.Answer(0, 1, [])
    assert count(store) == 8


def test_the_same_key_with_another_body_is_refused(store: Store) -> None:
    body = a_batch([a_profile()])
    answer(store, body)
    with pytest.raises(KeyReused):
        ingest.take(store, a_key(body), a_batch([a_profile(quality=[1, 0, 0, 0])]), NOW_S)
    with pytest.raises(KeyReused):
        ingest.take(store, a_key(body), b"not even a batch", NOW_S)
    assert count(store) == 8


def test_eight_deliveries_at_once_store_one_batch(store: Store) -> None:
    body = a_batch(a_day_of_profiles())
    receipts: list[ingest.Receipt] = []
    together = threading.Barrier(8)

    def deliver() -> None:
        together.wait(timeout=10)
        receipts.append(ingest.take(store, a_key(body), body, NOW_S))

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(receipt.replayed for receipt in receipts) == [False] + [True] * 7
    assert count(store) == 2 * 96


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"channels": ["1.8.0", "1.8.0"]}, "misfit"),
        ({"registers_wh": [1]}, "misfit"),
        ({"deltas_wh": [[1, 2, 3, 4], [1, 2, 3]]}, "misfit"),
        ({"channels": ["1.8.0", "1.7.0"]}, "unknown_channel"),
        ({"capture_period_s": 7200}, "bad_capture_period"),
        ({"capture_period_s": 59}, "bad_capture_period"),
        ({"start_s": 1_728_000_001}, "off_grid"),
        ({"frame_counter": 2**64}, "frame_counter_too_large"),
        ({"registers_wh": [REGISTER_WH_MAX - 99, 0]}, "register_overflow"),
    ],
)
def test_a_wrong_profile_is_rejected_by_name_and_never_blocks_the_rest(
    store: Store, changes: dict[str, Any], code: str
) -> None:
    good = a_profile(start_s=1_728_000_000)
    body = a_batch([a_profile(**changes), good])
    told = answer(store, body)
    assert (told.accepted, told.duplicate) == (1, 0)
    assert [(each.index, each.code) for each in told.rejected] == [(0, code)]
    assert count(store) == 8


def test_a_register_and_a_counter_at_their_limits_are_taken(store: Store) -> None:
    at_limit = a_profile(frame_counter=2**64 - 1, registers_wh=[REGISTER_WH_MAX - 100, 0])
    assert answer(store, a_batch([at_limit])).accepted == 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"gateway_id": 1}', b"\xff\xfe", b"null", b'{"a":1}']
)
def test_a_malformed_batch_is_refused_and_stores_nothing(store: Store, body: bytes) -> None:
    with pytest.raises(MalformedBody):
        ingest.take(store, "key", body, NOW_S)
    assert count(store, "inbox") == 0


def test_every_truncation_of_a_batch_is_malformed(store: Store) -> None:
    body = a_batch([a_profile()])
    for length in range(len(body)):
        with pytest.raises(MalformedBody):
            ingest.take(store, "key", body[:length], NOW_S)
    assert count(store, "inbox") == 0


def test_a_full_disk_stores_nothing_and_the_same_batch_goes_through_later(store: Store) -> None:
    body = a_batch(a_day_of_profiles())
    store.limit_pages(1)
    with pytest.raises(StorageFull):
        ingest.take(store, a_key(body), body, NOW_S)
    assert (count(store), count(store, "inbox")) == (0, 0)
    store.limit_pages(1_000_000)
    assert answer(store, body).accepted == 24


class PowerCut(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    "step",
    [
        "settlement.store.inbox.open_batch",
        "settlement.store.readings.add",
        "settlement.ingest._add_profile",
        "wire.batch.encode_answer",
        "settlement.store.inbox.close_batch",
    ],
)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_cut_around_any_step_keeps_nothing_and_the_next_delivery_counts_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    body = a_batch(a_day_of_profiles())
    real: Callable[..., Any] = pkgutil.resolve_name(step)

    def cut(*given: Any, **named: Any) -> None:
        if moment == "after":
            real(*given, **named)
        raise PowerCut

    with monkeypatch.context() as bent:
        bent.setattr(step, cut)
        with pytest.raises(PowerCut):
            ingest.take(store, a_key(body), body, NOW_S)
    assert (count(store), count(store, "inbox")) == (0, 0)
    assert answer(store, body).accepted == 24
    assert count(store) == 2 * 96


@pytest.mark.parametrize("key", ["k", "k" * ingest.IDEMPOTENCY_KEY_CHARS_MAX])
def test_a_key_within_its_limits_is_taken(key: str) -> None:
    assert ingest.checked_key(key) == key


@pytest.mark.parametrize("key", ["", "k" * (ingest.IDEMPOTENCY_KEY_CHARS_MAX + 1), "klucz\t", "ż"])
def test_an_odd_key_is_refused(key: str) -> None:
    with pytest.raises(BadKey):
        ingest.checked_key(key)


def test_a_missing_key_is_refused() -> None:
    with pytest.raises(MissingKey):
        ingest.checked_key(None)


PACKED = {
    "identity": lambda body: body,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", PACKED)
def test_a_body_is_the_same_under_every_encoding(encoding: str) -> None:
    body = a_batch(a_day_of_profiles())
    packed = PACKED[encoding](body)
    assert ingest.unpacked(packed, encoding) == body
    assert ingest.unpacked(packed, f" {encoding.upper()} ") == body


def test_no_encoding_means_plain() -> None:
    assert ingest.unpacked(b"{}", None) == b"{}"


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, zstd", "x"])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(BadEncoding, match="zstd, gzip, identity"):
        ingest.unpacked(b"", encoding)


@pytest.mark.parametrize("encoding", PACKED)
def test_a_body_is_taken_at_its_limit_and_refused_one_byte_above(encoding: str) -> None:
    pack = PACKED[encoding]
    for size in (ingest.BODY_BYTES_MAX - 1, ingest.BODY_BYTES_MAX):
        assert len(ingest.unpacked(pack(b" " * size), encoding)) == size
    with pytest.raises(BodyTooLarge):
        ingest.unpacked(pack(b" " * (ingest.BODY_BYTES_MAX + 1)), encoding)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_cut_or_extended_compressed_body_is_malformed(encoding: str) -> None:
    packed = PACKED[encoding](a_batch([a_profile()]))
    for length in range(len(packed)):
        with pytest.raises(MalformedBody):
            ingest.unpacked(packed[:length], encoding)
    with pytest.raises(MalformedBody):
        ingest.unpacked(packed + b"x", encoding)


def test_a_zstd_frame_that_hides_its_size_is_refused() -> None:
    hidden = zstandard.ZstdCompressor(write_content_size=False).compress(b"{}")
    with pytest.raises(MalformedBody, match="content size"):
        ingest.unpacked(hidden, "zstd")
