"""What settlement refuses: found by halving, kept aside, listed, and sent again on request."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway import __main__, store
from gateway.audit import Act
from gateway.errors import UsageError
from gateway.forwarding import forwarder, outbox, parked
from gateway.forwarding.forwarder import Forwarder
from tests.support.forwarding import (
    Crash,
    PoisonSettlement,
    a_forwarder,
    append,
    journal_rows,
    states,
    with_settlement,
)
from tests.support.gateway import FakeSettlement, a_home, a_meter, rows, until
from wire import messages
from wire.messages import Status


def parked_ids(folder: Path) -> list[int]:
    return [row[0] for row in rows(folder, "SELECT journal_id FROM parked WHERE state = 'parked'")]


def ended(kept: store.Store) -> bool:
    return bool(states(kept)) and "frozen" not in states(kept)


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("poison", [0, 5, 11])
def test_one_poison_profile_is_parked_and_all_others_are_delivered(
    tmp_path: Path, status: int, poison: int
) -> None:
    append(tmp_path, journal_rows(a_meter(), 12))

    async def story(settlement: PoisonSettlement, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url):
            await until(lambda: ended(kept))

    settlement = with_settlement(tmp_path, story, PoisonSettlement(poison, status=status))
    taken = [counter for _, counter in settlement.frames()]
    assert taken == [counter for counter in range(12) if counter != poison]
    assert rows(tmp_path, "SELECT journal_id, code, tries FROM parked") == [
        (poison + 1, f"http_{status}", 0)
    ]


def test_after_halving_a_meter_still_arrives_in_order(tmp_path: Path) -> None:
    append(tmp_path, journal_rows(a_meter(), 64))

    async def story(settlement: PoisonSettlement, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url):
            await until(lambda: ended(kept))

    poison = {3, 31, 32, 50}
    settlement = with_settlement(tmp_path, story, PoisonSettlement(*poison))
    taken = [counter for _, counter in settlement.frames()]
    assert taken == sorted(set(range(64)) - poison)


def test_halving_costs_few_requests(tmp_path: Path) -> None:
    append(tmp_path, journal_rows(a_meter(), 1000))

    async def story(settlement: PoisonSettlement, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url):
            await until(lambda: ended(kept))

    settlement = with_settlement(tmp_path, story, PoisonSettlement(777))
    assert len(settlement.frames()) == 999
    assert len(settlement.seen) <= 1 + 2 * 10  # two halves at each of ten levels


def test_a_profile_is_under_one_key_from_the_first_batch_that_may_have_been_taken(
    tmp_path: Path,
) -> None:
    append(tmp_path, journal_rows(a_meter(), 16))
    settlement = PoisonSettlement(9)

    async def story(_: Any, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url):
            await until(lambda: ended(kept))

    with_settlement(tmp_path, story, settlement)
    keys = {key for key, _ in settlement.keys}
    assert len(keys) == len(set(settlement.keys)), "a key always stands for the same profiles"
    delivered = Counter(p.frame_counter for b in settlement.taken.values() for p in b.profiles)
    assert set(delivered.values()) == {1}


@pytest.mark.parametrize("step", ["split", "park", "delivered"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_crash_while_halving_changes_neither_keys_nor_what_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, moment: str, at: int
) -> None:
    append(tmp_path, journal_rows(a_meter(), 8))
    original, calls = getattr(outbox, step), list[int]()

    def dying(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == at and moment == "before":
            raise Crash
        result = original(*arguments)
        if len(calls) == at:
            raise Crash
        return result

    async def story(settlement: PoisonSettlement, kept: store.Store) -> None:
        with monkeypatch.context() as bent:
            bent.setattr(outbox, step, dying)
            async with a_forwarder(kept, settlement.url):
                await until(lambda: len(calls) >= at or ended(kept))
        async with a_forwarder(kept, settlement.url):
            await until(lambda: ended(kept))

    settlement = PoisonSettlement(2, 6)
    with_settlement(tmp_path, story, settlement)
    assert sorted(counter for _, counter in settlement.frames()) == [0, 1, 3, 4, 5, 7]
    assert parked_ids(tmp_path) == [3, 7]
    by_key: dict[str, set[tuple[int, ...]]] = {}
    for key, counters in settlement.keys:
        by_key.setdefault(key, set()).add(counters)
    assert all(len(different) == 1 for different in by_key.values())
    assert len(by_key) == len({counters for _, counters in settlement.keys})


def test_a_settlement_that_takes_smaller_batches_is_sent_smaller_ones(tmp_path: Path) -> None:
    append(tmp_path, journal_rows(a_meter(), 2000))
    settlement = PoisonSettlement()
    settlement.profiles_max = 300

    async def story(_: Any, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url):
            await until(lambda: ended(kept) and len(settlement.frames()) == 2000, 30)

    with_settlement(tmp_path, story, settlement)
    assert settlement.sizes[:4] == [1000, 500, 250, 250]
    assert max(settlement.sizes[6:]) <= 250  # it was refused once, not for every batch


def test_when_nothing_of_many_meters_is_taken_a_backlog_is_not_parked_in_a_rush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        append(tmp_path, journal_rows(a_meter(number), 1))
    settlement = PoisonSettlement(0)  # the first frame of every meter: all of them
    pauses: list[str] = []
    original = Forwarder._pause

    async def pause(self: Forwarder, *arguments: Any) -> None:
        pauses.append("long")
        await original(self, *arguments)

    monkeypatch.setattr(Forwarder, "_pause", pause)

    async def story(_: Any, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url):
            await until(lambda: len(pauses) == 2)
            assert len(parked_ids(tmp_path)) == forwarder.PARKED_METERS_MAX + 1
            settlement.poison.clear()  # somebody put it right
            await until(lambda: ended(kept))

    with_settlement(tmp_path, story, settlement)
    assert len(settlement.frames()) + len(parked_ids(tmp_path)) == 12
    assert len(settlement.frames()) >= 2


def test_a_meter_that_sends_only_poison_never_slows_the_others(tmp_path: Path) -> None:
    bad, good = a_meter(1), a_meter(2)
    bad.counter = 1000
    append(tmp_path, journal_rows(bad, 40))
    append(tmp_path, journal_rows(good, 40))

    async def story(settlement: PoisonSettlement, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url):
            await until(lambda: ended(kept))

    settlement = with_settlement(tmp_path, story, PoisonSettlement(*range(1000, 1040)))
    assert settlement.frames() == [(good.hex_id, counter) for counter in range(40)]
    assert len(parked_ids(tmp_path)) == 40


def test_a_rejected_profile_is_parked_with_its_reason_and_its_frame(tmp_path: Path) -> None:
    meter = a_meter()
    status = messages.encode(Status(0, "0.1.0", 1, 1, 1, -50, 1))
    append(tmp_path, [(meter.meter_id, 0, (1 << 64) - 1, 5, status)])
    (row,) = journal_rows(meter, 1)
    row = (*row[:2], (1 << 64) - 2, *row[3:])  # the largest counters come through as they are
    append(tmp_path, [row])

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        settlement.mood = ["reject_first"]
        async with a_forwarder(kept, settlement.url):
            await until(lambda: states(kept) == ["delivered"])
        (found,) = await kept.run(lambda c: parked.rows(c))
        assert found.row == (2, *row)
        assert (found.code, found.detail, found.state) == ("unknown_meter", "who?", "parked")

    with_settlement(tmp_path, story)


def test_a_profile_that_is_sent_again_arrives_under_a_key_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settlement = PoisonSettlement(1)
    config = str(a_home(tmp_path, settlement_url="http://127.0.0.1:1"))
    append(tmp_path, journal_rows(a_meter(), 3))

    async def story(_: Any, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url) as forward:
            await until(lambda: ended(kept))
            again = ["parked", "retry", "2", "--config", config]
            assert __main__.main(again) == 0  # settlement still refuses it
            forward.acted(Act(1, 0, "anna", "parked.retry", "2", "{}"))
            await until(
                lambda: rows(tmp_path, "SELECT tries, state FROM parked") == [(1, "parked")]
            )
            settlement.poison.clear()
            assert __main__.main(again) == 0
            forward.acted(Act(2, 0, "anna", "parked.retry", "2", "{}"))
            await until(lambda: len(settlement.frames()) == 3)
            await until(lambda: parked_ids(tmp_path) == [] and states(kept).count("parked") == 1)

    with_settlement(tmp_path, story, settlement)
    tries = [key for key, counters in settlement.keys if counters == (1,)]
    assert len(tries) == len(set(tries)) == 3
    assert rows(tmp_path, "SELECT state, tries, body FROM parked") == [("delivered", 2, None)]
    acts = rows(tmp_path, "SELECT action, subject FROM audit")
    assert acts == [("parked.retry", "2")] * 2
    capsys.readouterr()


def test_a_retry_that_a_crash_interrupts_goes_on_under_the_same_key(tmp_path: Path) -> None:
    append(tmp_path, journal_rows(a_meter(), 1))
    settlement = FakeSettlement()
    settlement.mood = ["reject_first"]

    async def story(_: Any, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url):
            await until(lambda: parked_ids(tmp_path) == [1])
        found = await kept.run(lambda c: parked.find(c, 1))
        built = outbox.build("gw-1", [found.row])
        await kept.run(
            lambda c: parked.retry(c, found, built.idempotency_key, built.body, "anna", 7)
        )
        settlement.mood = ["lost_answer", "lost_answer"]
        async with a_forwarder(kept, settlement.url):
            await until(lambda: len(settlement.seen) >= 2)  # then the gateway is killed
        async with a_forwarder(kept, settlement.url):
            await until(lambda: rows(tmp_path, "SELECT state FROM parked") == [("delivered",)])
        with pytest.raises(UsageError, match="delivered: nothing to do"):
            parked.retry(kept.connection, parked.find(kept.connection, 1), "k", b"", "anna", 8)

    with_settlement(tmp_path, story, settlement)
    assert len({key for key, _ in settlement.seen[1:]}) == 1
    assert settlement.seen[0][0] != settlement.seen[1][0]


def test_gzip_is_sent_where_zstd_is_not_read_and_this_is_remembered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meter = a_meter()
    append(tmp_path, journal_rows(meter, 2))
    settlement = PoisonSettlement()
    settlement.codings = ("gzip",)

    async def story(_: Any, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url) as forward:
            await until(lambda: ended(kept))
            append(tmp_path, journal_rows(meter, 2))
            forward.notify()
            await until(lambda: forward.requests == {"415": 1, "200": 2})

    with_settlement(tmp_path, story, settlement)
    assert "settlement_waits" not in capsys.readouterr().out
    expected = rows(tmp_path, "SELECT idempotency_key FROM batch ORDER BY id")
    assert [(key,) for key, _ in settlement.seen] == expected  # of the batch, not of its form


def test_a_settlement_that_reads_no_coding_at_all_parks_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(tmp_path, journal_rows(a_meter(), 2))
    settlement = PoisonSettlement()
    settlement.codings = ()

    async def story(_: Any, kept: store.Store) -> None:
        async with a_forwarder(kept, settlement.url) as forward:
            await until(lambda: forward.requests["415"] > 3)
            settlement.codings = ("identity",)
            await until(lambda: ended(kept))

    with_settlement(tmp_path, story, settlement)
    assert len(settlement.frames()) == 2
    assert "reads none of zstd, gzip and plain JSON" in capsys.readouterr().out


def test_parked_profiles_are_listed_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(a_home(tmp_path, settlement_url="http://127.0.0.1:1"))
    meter = a_meter()
    append(tmp_path, journal_rows(meter, 2, intervals=2))

    async def story(settlement: FakeSettlement, kept: store.Store) -> None:
        settlement.mood = ["reject_first"]
        async with a_forwarder(kept, settlement.url):
            await until(lambda: ended(kept))

    with_settlement(tmp_path, story)
    capsys.readouterr()
    assert __main__.main(["parked", "list", "--json", "--config", config]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed == {
        "journal_id": 1, "meter_id": meter.hex_id, "frame_counter": 0, "first": 1, "intervals": 2,
        "code": "unknown_meter", "detail": "who?", "parked": "2025-10-09T08:53:20Z",
        "state": "parked", "tries": 0,
    }  # fmt: skip
    assert __main__.main(["parked", "list", "--config", config]) == 0
    assert "unknown_meter" in capsys.readouterr().out
    assert __main__.main(["parked", "show", "1", "--config", config]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [reading["energy_wh"]["1.8.0"] for reading in shown["readings"]] == [250, 250]
    assert __main__.main(["parked", "show", "2", "--config", config]) == 2
    assert "`parked list` shows what is" in capsys.readouterr().err
    assert __main__.main(["parked", "retry", "--config", config]) == 2
    assert __main__.main(["parked", "retry", "--all", "--config", config]) == 0
    assert "1 profiles will be sent again" in capsys.readouterr().out
