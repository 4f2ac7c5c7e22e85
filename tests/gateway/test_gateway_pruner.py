"""Old frames go when nobody lacks them any more, and only then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway import journal, store
from gateway.forwarding import outbox, parked, publisher
from gateway.forwarding.pruner import DAY_S, Pruner
from tests.support.forwarding import append, journal_rows
from tests.support.gateway import NOW_S, a_meter
from wire import batch as wire_batch

KEEP_DAYS = 10
OLD_ENOUGH_S = NOW_S + KEEP_DAYS * DAY_S + 1


def a_journal(folder: Path, commits: int) -> store.Store:
    """Groups of two frames each; the next start would read none of them again."""
    meter = a_meter()
    for _ in range(commits):
        append(folder, journal_rows(meter, 2))
    kept = store.Store(folder / "gateway.db")
    kept.connection.execute("UPDATE checkpoint SET journal_id = ?", (2 * commits,))
    kept.connection.execute("UPDATE quality_cursor SET journal_id = ?", (2 * commits,))
    return kept


def freeze(kept: store.Store, rows_max: int) -> outbox.Frozen:
    new = outbox.build("gw-1", outbox.read_rows(kept.connection, rows_max))
    return new._replace(batch_id=outbox.freeze(kept.connection, new, NOW_S))


def deliver(kept: store.Store, frozen: outbox.Frozen) -> None:
    answer = wire_batch.Answer(frozen.profiles, 0, [])
    outbox.delivered(kept.connection, frozen, answer, NOW_S)


def pruned(kept: store.Store, now_s: int, *, is_publishing: bool = False) -> list[int]:
    """The frames that are left."""
    pruner = Pruner(kept, KEEP_DAYS, lambda: now_s, is_publishing=is_publishing)
    asyncio.run(pruner.look())
    return [row.journal_id for row in journal.read_rows(kept.connection, 0, 1000)]


@pytest.mark.parametrize(("late_s", "left"), [(-1, 6), (0, 6), (1, 2)])
def test_a_delivered_frame_goes_after_keep_days(tmp_path: Path, late_s: int, left: int) -> None:
    kept = a_journal(tmp_path, 3)
    deliver(kept, freeze(kept, 1000))
    assert len(pruned(kept, NOW_S + KEEP_DAYS * DAY_S + late_s)) == left  # the newest group stays
    kept.close()


def test_what_settlement_lacks_stays_however_old_it_is(tmp_path: Path) -> None:
    kept = a_journal(tmp_path, 4)
    assert pruned(kept, OLD_ENOUGH_S) == list(range(1, 9))
    deliver(kept, freeze(kept, 2))
    frozen = freeze(kept, 2)
    assert pruned(kept, OLD_ENOUGH_S) == list(range(3, 9))
    deliver(kept, frozen)
    assert pruned(kept, OLD_ENOUGH_S) == list(range(5, 9))
    kept.close()


def test_what_is_not_published_yet_stays(tmp_path: Path) -> None:
    kept = a_journal(tmp_path, 4)
    deliver(kept, freeze(kept, 1000))
    kept.connection.execute("INSERT INTO publish_cursor VALUES (1, 3)")
    assert pruned(kept, OLD_ENOUGH_S, is_publishing=True) == list(range(3, 9))
    publisher.move_cursor(kept.connection, 8)
    assert pruned(kept, OLD_ENOUGH_S, is_publishing=True) == [7, 8]
    kept.close()


def test_what_the_indicators_have_not_counted_yet_stays(tmp_path: Path) -> None:
    kept = a_journal(tmp_path, 4)
    deliver(kept, freeze(kept, 1000))
    kept.connection.execute("UPDATE quality_cursor SET journal_id = 3")
    assert pruned(kept, OLD_ENOUGH_S) == list(range(3, 9))
    kept.close()


def test_no_frame_is_frozen_twice_after_its_batch_was_let_go(tmp_path: Path) -> None:
    kept = a_journal(tmp_path, 4)
    while outbox.read_rows(kept.connection):
        deliver(kept, freeze(kept, 2))
    pruned(kept, OLD_ENOUGH_S)
    assert kept.connection.execute("SELECT count(*), max(last_id) FROM batch").fetchone() == (1, 8)
    assert outbox.read_rows(kept.connection) == []
    kept.close()


def test_a_parked_profile_outlives_its_journal_and_can_still_be_sent(tmp_path: Path) -> None:
    kept = a_journal(tmp_path, 3)
    outbox.park(kept.connection, freeze(kept, 1), "http_400", NOW_S)
    deliver(kept, freeze(kept, 1000))
    assert pruned(kept, OLD_ENOUGH_S) == [5, 6]
    found = parked.find(kept.connection, 1)
    built = outbox.build("gw-1", [found.row])
    parked.retry(kept.connection, found, built.idempotency_key, built.body, "anna", NOW_S)
    again = outbox.next_frozen(kept.connection)
    assert again is not None
    deliver(kept, again)
    assert parked.rows(kept.connection) == []
    pruned(kept, OLD_ENOUGH_S)
    assert kept.connection.execute("SELECT count(*) FROM parked").fetchone() == (0,)
    kept.close()


def test_a_batch_stays_as_long_as_its_frames(tmp_path: Path) -> None:
    kept = a_journal(tmp_path, 4)
    while outbox.read_rows(kept.connection):
        deliver(kept, freeze(kept, 2))
    kept.connection.execute("INSERT INTO publish_cursor VALUES (1, 4)")
    assert pruned(kept, OLD_ENOUGH_S, is_publishing=True) == [5, 6, 7, 8]
    assert kept.connection.execute("SELECT last_id FROM batch").fetchall() == [(6,), (8,)]
    kept.close()
