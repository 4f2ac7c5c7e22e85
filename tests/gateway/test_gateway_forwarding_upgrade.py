"""A database from before parked profiles: nothing it had put aside is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from gateway import store
from gateway.forwarding import outbox, parked
from tests.support.forwarding import append, journal_rows
from tests.support.gateway import NOW_S, a_meter, rows
from wire import batch as wire_batch


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Schema 6: one batch delivered with a rejection, one parked whole."""
    files = store.schema_files()
    with monkeypatch.context() as bent:
        bent.setattr(store, "schema_files", lambda: files[:6])
        append(tmp_path, journal_rows(a_meter(), 4))
        connection = store.connect(tmp_path / "gateway.db")
        body = zstandard.ZstdCompressor().compress(b'{"whatever": "was sent"}')
        connection.executemany(
            "INSERT INTO batch VALUES (?, ?, ?, 2, ?, ?, ?, ?, ?)",
            [
                (1, 1, 2, "delivered", "k1", None, NOW_S, NOW_S + 5),
                (2, 3, 4, "parked", "k2", body, NOW_S, NOW_S + 9),
            ],
        )
        connection.execute("INSERT INTO rejection VALUES (1, 1, 2, 'off_grid', 'not on the grid')")
        connection.close()
    return tmp_path


def test_an_old_rejection_is_a_parked_profile(old: Path) -> None:
    connection = store.connect(old / "gateway.db")
    (found,) = parked.rows(connection)
    assert (found.row.journal_id, found.row.frame_counter) == (2, 1)
    assert found.row.meter_id == a_meter().meter_id
    assert (found.code, found.detail, found.parked_s) == ("off_grid", "not on the grid", NOW_S + 5)
    built = outbox.build("gw-1", [found.row])
    parked.retry(connection, found, built.idempotency_key, built.body, "anna", NOW_S)
    connection.close()


def test_an_old_parked_batch_is_sent_once_more_and_halved_if_need_be(old: Path) -> None:
    connection = store.connect(old / "gateway.db")
    frozen = outbox.next_frozen(connection)
    assert frozen is not None
    assert (frozen.batch_id, frozen.idempotency_key) == (2, "k2")
    connection.close()
    assert rows(old, "SELECT id, state, ended_s FROM batch") == [
        (1, "delivered", NOW_S + 5),
        (2, "frozen", None),
    ]


def test_a_parked_profile_keeps_its_journal_rows_number(old: Path) -> None:
    connection = store.connect(old / "gateway.db")
    frozen = outbox.build("gw-1", [parked.find(connection, 2).row])
    (profile,) = wire_batch.decode(outbox.unpack(frozen.body)).profiles
    assert (frozen.first_id, frozen.last_id, profile.first) == (2, 2, 2)
    connection.close()
