"""To settlement: at least once, the same bytes under the same key, whatever settlement does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway import store
from gateway.errors import StoreFull
from gateway.forwarding import outbox
from gateway.forwarding.forwarder import Forwarder
from gateway.segments import Row
from tests.support.forwarding import (
    IMPATIENT,
    Crash,
    PoisonSettlement,
    a_forwarder,
    append,
    journal_rows,
    states,
    with_settlement,
)
from tests.support.gateway import NOW_S, TOKEN, FakeSettlement, a_meter, a_profile, until
from wire import batch as wire_batch
from wire import messages
from wire.messages import Status


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
        async with a_forwarder(kept, settlement.url, IMPATIENT):
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
    made = [Row(index + 1, *row) for index, row in enumerate(journal_rows(meter, 10, intervals=50))]
    whole = outbox.build("gw-1", made)
    monkeypatch.setattr(wire_batch, "BATCH_BYTES_MAX", len(outbox.unpack(whole.body)))
    assert outbox.build("gw-1", made) == whole
    monkeypatch.setattr(wire_batch, "BATCH_BYTES_MAX", wire_batch.BATCH_BYTES_MAX - 1)
    assert (outbox.build("gw-1", made).first_id, outbox.build("gw-1", made).last_id) == (1, 5)


def test_the_same_rows_make_the_same_bytes_and_key() -> None:
    made = [Row(index + 1, *row) for index, row in enumerate(journal_rows(a_meter(), 3))]
    assert outbox.build("gw-1", made) == outbox.build("gw-1", made)
    assert outbox.build("gw-1", made).idempotency_key != outbox.build("gw-2", made).idempotency_key


def test_the_token_is_never_shown(tmp_path: Path) -> None:
    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url) as forward:
            assert TOKEN not in repr(forward)

    with_settlement(tmp_path, story)


def test_bad_profiles_among_good_ones_cost_no_pause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):  # of more meters than may be parked in a row
        append(tmp_path, journal_rows(a_meter(number), 2))

    async def story(settlement: PoisonSettlement, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url):
            await until(lambda: states(kept) and "frozen" not in states(kept))

    settlement = with_settlement(tmp_path, story, PoisonSettlement(0))
    assert len(settlement.frames()) == 20
    assert "settlement_waits" not in capsys.readouterr().out
