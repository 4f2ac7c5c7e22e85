"""To settlement: at least once, the same bytes under the same key, whatever settlement does."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import journal, outbox, store
from gateway.errors import StoreFull
from gateway.forwarder import Forwarder, Timing
from tests.support.gateway import NOW_S, TOKEN, FakeMeter, FakeSettlement, a_meter, a_profile, until
from wire import batch as wire_batch
from wire import messages
from wire.messages import Status

QUICK = Timing(request_s=0.3, base_s=0.01, cap_s=0.05, linger_s=0.01)


class Crash(BaseException):
    """The process dies here."""


@asynccontextmanager
async def a_forwarder(kept: store.Store, url: str) -> AsyncIterator[Forwarder]:
    forward = Forwarder(kept, "gw-1", url, TOKEN, lambda: NOW_S, lambda: 0.5, QUICK)
    task = asyncio.create_task(forward.run())
    try:
        yield forward
    finally:
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        assert all(isinstance(r, asyncio.CancelledError | Crash) for r in results), results


def journal_rows(meter: FakeMeter, count: int, **changes: Any) -> list[Any]:
    made = []
    for _ in range(count):
        counter, meter.counter = meter.counter, meter.counter + 1
        message = messages.encode(a_profile(counter + 1, **changes))
        made.append((meter.meter_id, 0, counter, NOW_S, message))
    return made


def append(folder: Path, made: list[Any]) -> None:
    connection = store.connect(folder / "gateway.db")
    store.transact(connection, lambda c: journal.commit(c, journal.Group(NOW_S, rows=made)))
    connection.close()


def states(kept: store.Store) -> list[str]:
    connection = sqlite3.connect(kept.path)
    try:
        return [row[0] for row in connection.execute("SELECT state FROM batch ORDER BY id")]
    finally:
        connection.close()


def with_settlement(
    folder: Path, story: Callable[[FakeSettlement, store.Store], Any]
) -> FakeSettlement:
    """Run a story with a fake settlement and an open store."""

    async def run() -> FakeSettlement:
        settlement, kept = FakeSettlement(), store.Store(folder / "gateway.db")
        await settlement.start()
        try:
            await story(settlement, kept)
        finally:
            await settlement.stop()
            kept.close()
        return settlement

    return asyncio.run(run())


def test_profiles_arrive_with_everything_settlement_needs(tmp_path: Path) -> None:
    meter = a_meter()
    append(tmp_path, journal_rows(meter, 1, intervals=2))

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url):
            await until(lambda: "delivered" in states(kept))

    (batch,) = with_settlement(tmp_path, story).taken.values()
    expected = wire_batch.Profile(
        meter_id=meter.hex_id,
        key_epoch=0,
        frame_counter=0,
        received_s=NOW_S,
        first=1,
        start_s=a_profile().start_s,
        capture_period_s=900,
        channels=["1.8.0", "2.8.0"],
        registers_wh=[1000, 0],
        deltas_wh=[[250, 250], [0, 0]],
        quality=[0, 0],
    )
    assert batch == wire_batch.Batch("gw-1", 1, 1, [expected])


@pytest.mark.parametrize(
    "mood", ["500", "503", "408", "409", "425", "429", "hang", "reset", "lost_answer", "miscount"]
)
def test_a_batch_is_sent_again_as_the_same_bytes_under_the_same_key(
    tmp_path: Path, mood: str
) -> None:
    append(tmp_path, journal_rows(a_meter(), 3))

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        settlement.mood = [mood, mood]
        async with a_forwarder(kept, settlement.url):
            await until(lambda: states(kept) == ["delivered"])

    settlement = with_settlement(tmp_path, story)
    assert len(settlement.seen) == 3
    assert len(set(settlement.seen)) == 1
    assert [counter for _, counter in settlement.frames()] == [0, 1, 2]


@pytest.mark.parametrize("mood", ["401", "403", "404", "301"])
def test_a_refused_token_or_address_loses_nothing_and_parks_nothing(
    tmp_path: Path, mood: str, capsys: pytest.CaptureFixture[str]
) -> None:
    append(tmp_path, journal_rows(a_meter(), 1))

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        settlement.mood = [mood]
        async with a_forwarder(kept, settlement.url):
            await until(lambda: states(kept) == ["delivered"])

    assert len(with_settlement(tmp_path, story).seen) == 2
    assert "check [settlement]" in capsys.readouterr().out


@pytest.mark.parametrize("mood", ["400", "413", "422"])
def test_a_poison_batch_is_parked_with_its_body_and_the_next_goes_on(
    tmp_path: Path, mood: str
) -> None:
    meter = a_meter()
    append(tmp_path, journal_rows(meter, 2))

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        settlement.mood = [mood]
        async with a_forwarder(kept, settlement.url) as forward:
            await until(lambda: states(kept) == ["parked"])
            append(tmp_path, journal_rows(meter, 2))
            forward.notify()
            await until(lambda: states(kept) == ["parked", "delivered"])
            body = await kept.run(
                lambda c: c.execute("SELECT body FROM batch WHERE state = 'parked'").fetchone()[0]
            )
            assert len(wire_batch.decode(outbox.unpack(body)).profiles) == 2

    assert [counter for _, counter in with_settlement(tmp_path, story).frames()] == [2, 3]


def test_a_rejected_profile_is_recorded_with_its_journal_row(tmp_path: Path) -> None:
    meter = a_meter()
    status = messages.encode(Status(0, "0.1.0", 1, 1, 1, -50, 1))
    append(tmp_path, [(meter.meter_id, 0, 99, NOW_S, status)])
    append(tmp_path, journal_rows(meter, 2))

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        settlement.mood = ["reject_first"]
        async with a_forwarder(kept, settlement.url):
            await until(lambda: states(kept) == ["delivered"])
            query = "SELECT journal_id, profile_index, code, detail FROM rejection"
            found = await kept.run(lambda c: c.execute(query).fetchall())
            assert found == [(2, 0, "unknown_meter", "who?")]

    with_settlement(tmp_path, story)


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    append(tmp_path, journal_rows(a_meter(), 1))

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        settlement.mood = ["429 1"]
        async with a_forwarder(kept, settlement.url):
            await until(lambda: states(kept) == ["delivered"])

    times = with_settlement(tmp_path, story).times
    assert 1.0 <= times[1] - times[0] < 3.0


def test_settlement_down_and_up_again_receives_everything_once(tmp_path: Path) -> None:
    meter = a_meter()
    append(tmp_path, journal_rows(meter, 1500))

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        await settlement.stop()  # its port is known, nobody listens
        async with a_forwarder(kept, settlement.url) as forward:
            await until(lambda: states(kept) == ["frozen"])
            append(tmp_path, journal_rows(meter, 700))
            forward.notify()
            await asyncio.sleep(0.1)
            assert states(kept) == ["frozen"]  # the backlog stays in the journal
            await settlement.start()
            await until(lambda: states(kept) == ["delivered"] * 3)

    settlement = with_settlement(tmp_path, story)
    assert [counter for _, counter in settlement.frames()] == list(range(2200))


def test_rows_without_profiles_are_passed_over(tmp_path: Path) -> None:
    meter = a_meter()
    status = messages.encode(Status(0, "0.1.0", 1, 1, 1, -50, 1))
    append(tmp_path, [(meter.meter_id, 0, counter, NOW_S, status) for counter in range(5)])

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url) as forward:
            await until(lambda: states(kept) == ["empty"])
            append(tmp_path, journal_rows(meter, 1))
            forward.notify()
            await until(lambda: states(kept) == ["empty", "delivered"])

    assert len(with_settlement(tmp_path, story).seen) == 1


CRASHES = ("read_rows", "build", "freeze", "sent", "answered", "delivered")


@pytest.mark.parametrize("point", CRASHES)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_between_any_two_steps_loses_nothing_and_changes_no_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, moment: str
) -> None:
    append(tmp_path, journal_rows(a_meter(), 4))

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        with monkeypatch.context() as bent:
            crashed = crash_at(bent, point, moment)
            async with a_forwarder(kept, settlement.url):
                await until(lambda: crashed)
        append(tmp_path, journal_rows(a_meter(2), 2))  # life goes on before the restart
        async with a_forwarder(kept, settlement.url):
            await until(lambda: 6 in [sum(counts(settlement))])
            await until(lambda: states(kept) and set(states(kept)) == {"delivered"})

    settlement = with_settlement(tmp_path, story)
    assert len(settlement.frames()) == len(set(settlement.frames())) == 6
    bodies = {key: {body for k, body in settlement.seen if k == key} for key in settlement.taken}
    assert all(len(different) == 1 for different in bodies.values())


def counts(settlement: FakeSettlement) -> list[int]:
    return [len(batch.profiles) for batch in settlement.taken.values()]


def crash_at(bent: pytest.MonkeyPatch, point: str, moment: str) -> list[str]:
    """Let one step of the forwarder die before or after it did its work."""
    owner: Any = outbox
    name = point
    if point == "sent":
        owner, name = Forwarder, "_send"
    if point == "answered":
        owner, name = Forwarder, "_finish"
    original, crashed = getattr(owner, name), list[str]()

    def die() -> None:
        crashed.append(point)
        raise Crash

    def step(*arguments: Any) -> Any:
        if moment == "before":
            die()
        result = original(*arguments)
        die()
        return result

    async def async_step(*arguments: Any) -> Any:
        if moment == "before":
            die()
        result = await original(*arguments)
        die()
        return result

    bent.setattr(owner, name, async_step if owner is Forwarder else step)
    return crashed


def test_a_full_disk_does_not_stop_the_forwarder_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path, journal_rows(a_meter(), 2))
    original, failures = outbox.freeze, [StoreFull("full"), StoreFull("full")]

    def freeze(*arguments: Any) -> int:
        if failures:
            raise failures.pop()
        return original(*arguments)

    monkeypatch.setattr(outbox, "freeze", freeze)

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url):
            await until(lambda: states(kept) == ["delivered"])

    assert len(with_settlement(tmp_path, story).frames()) == 2


def test_a_batch_that_would_be_too_large_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = a_meter()
    made = [(index + 1, *row) for index, row in enumerate(journal_rows(meter, 10, intervals=50))]
    whole = outbox.build("gw-1", made)
    monkeypatch.setattr(wire_batch, "BATCH_BYTES_MAX", len(outbox.unpack(whole.body)))
    assert outbox.build("gw-1", made) == whole
    monkeypatch.setattr(wire_batch, "BATCH_BYTES_MAX", wire_batch.BATCH_BYTES_MAX - 1)
    assert (outbox.build("gw-1", made).first_id, outbox.build("gw-1", made).last_id) == (1, 5)


def test_the_same_rows_make_the_same_bytes_and_key() -> None:
    made = [(index + 1, *row) for index, row in enumerate(journal_rows(a_meter(), 3))]
    assert outbox.build("gw-1", made) == outbox.build("gw-1", made)
    assert outbox.build("gw-1", made).idempotency_key != outbox.build("gw-2", made).idempotency_key


def test_the_token_is_never_shown(tmp_path: Path) -> None:
    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url) as forward:
            assert TOKEN not in repr(forward)

    with_settlement(tmp_path, story)
