"""Outages on disk: nothing is lost in a crash, and nothing counts twice."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.audit import Act
from gateway.outages import meter_events, outage_rows, outage_views
from gateway.outages.outage_book import STALL_S, OutageBook
from gateway.outages.outage_records import Rules
from tests.support.gateway import (
    NOW_S,
)
from tests.support.outages import ALL, A, B, Bench, C, D, a_bench, outages
from wire.messages import (
    EVENT_LAST_GASP,
    EVENT_OUTAGE,
    Event,
)


def test_an_event_that_was_durable_before_a_crash_is_judged_once_after_it(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        await bench.say(A, Event(NOW_S - 500, EVENT_OUTAGE, (60,), 7))
        await bench.restart(A)
        await bench.book.look()
        await bench.restart(A)
        await bench.book.look()

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert len(outages(bench)) == 1


def test_an_open_outage_survives_a_restart_and_is_closed_by_the_next_frame(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        await bench.say(A, Event(NOW_S, EVENT_LAST_GASP, (), 7))
        await bench.book.look()
        bench.clocks.pass_s(50_000)
        await bench.restart(A)
        await bench.book.look()
        assert bench.book.figures.out == 1
        await bench.say(A)
        await bench.book.look()

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert outages(bench) == [("last_gasp", NOW_S, NOW_S + 50_000, "gateway")]


def test_the_gateways_own_downtime_is_not_silence(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        bench.clocks.pass_s(50_000)
        await bench.restart(A)
        await bench.pass_s(3600)
        assert outages(bench) == []
        await bench.pass_s(2)

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert [row[:2] for row in outages(bench)] == [("silence", NOW_S + 50_000)]


@pytest.mark.parametrize(("stood_s", "outages_found"), [(STALL_S, 1), (STALL_S + 1, 0)])
def test_a_process_that_stood_still_calls_nobody_silent(
    tmp_path: Path, stood_s: int, outages_found: int
) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        await bench.pass_s(10)
        bench.clocks.pass_s(stood_s)
        await bench.book.look()

    with a_bench(tmp_path, Rules(silence_s=35)) as bench:
        asyncio.run(story(bench))
        assert len(outages(bench)) == outages_found


def test_a_store_that_took_no_writes_calls_nobody_silent(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        await bench.pass_s(30)
        bench.book.recovered()
        await bench.pass_s(20)

    with a_bench(tmp_path, Rules(silence_s=35)) as bench:
        asyncio.run(story(bench))
        assert outages(bench) == []


def test_a_gateway_without_its_broker_calls_nobody_silent(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        bench.deaf = True
        await bench.pass_s(100)
        bench.deaf = False
        await bench.pass_s(35)
        assert outages(bench) == []
        await bench.pass_s(1)

    with a_bench(tmp_path, Rules(silence_s=35)) as bench:
        asyncio.run(story(bench))
        assert [row[:2] for row in outages(bench)] == [("silence", NOW_S + 100)]


def test_a_meter_that_is_not_active_is_not_watched(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.store.run(
            lambda c: c.execute(
                "UPDATE meter SET state = 'revoked' WHERE meter_id = ?", (A.meter_id,)
            )
        )
        await bench.start(A)
        await bench.pass_s(4000)

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert outages(bench) == []


@pytest.mark.parametrize("action", ["meter.revoke", "meter.decommission"])
def test_a_meter_that_is_let_go_ends_its_outage(tmp_path: Path, action: str) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        await bench.pass_s(4000)
        bench.book.acted(Act(1, NOW_S, "anna", action, A.hex_id, "{}"))
        await bench.pass_s(1)

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert bench.rows("SELECT end_why FROM outage") == [("removed",)]
        assert bench.book.figures.watched == 0


@pytest.mark.parametrize(
    ("part", "fails"), [(outage_rows, "save"), (meter_events, "judged"), (OutageBook, "_tidy")]
)
def test_a_look_that_was_not_written_is_done_again_and_nothing_counts_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: object, fails: str
) -> None:
    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async def story(bench: Bench) -> None:
        await bench.start(A, B)
        bench.meter(B).line = None
        bench.book.gone(bench.meter(B), "line_lost", b"")
        await bench.pass_s(60)
        await bench.say(A, Event(NOW_S + 60, EVENT_LAST_GASP, (), 7))
        with monkeypatch.context() as patch:
            patch.setattr(part, fails, broken)
            await bench.pass_s(1)
            await bench.pass_s(1)
            assert len(outages(bench)) == 0
        await bench.pass_s(200)
        await bench.tell_all()

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert sorted(row[0] for row in outages(bench)) == ["last_gasp", "last_will"]
        notices = [body for _, body in bench.channel.heard if body["kind"] == "outage"]
        assert len(notices) == 2


def test_a_crash_while_an_area_gathers_still_makes_one_notice(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(*ALL)
        for meter in (A, B, C):
            await bench.say(meter, Event(bench.clocks.utc_s, EVENT_LAST_GASP, (), 7))
        await bench.pass_s(20)
        await bench.restart(*ALL)
        await bench.say(D, Event(bench.clocks.utc_s, EVENT_LAST_GASP, (), 7))
        await bench.pass_s(200)
        await bench.restart(*ALL)
        await bench.pass_s(200)
        await bench.tell_all()

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        told = [body for _, body in bench.channel.heard if body["kind"] != "events"]
        assert [(body["kind"], body["what"], body["meters"]) for body in told] == [
            ("area_outage", "opened", 4)
        ]
        (area,) = outage_views.area_outages(bench.store.connection)
        assert (area["meters"], area["meters_back"], area["ended_s"]) == (4, 0, None)


def test_outages_from_before_a_restart_are_not_called_at_once_with_a_new_one(
    tmp_path: Path,
) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(*ALL)
        for meter in (A, B):
            await bench.say(meter, Event(NOW_S, EVENT_LAST_GASP, (), 7))
        await bench.pass_s(300)
        await bench.restart(*ALL)
        await bench.say(C, Event(bench.clocks.utc_s, EVENT_LAST_GASP, (), 7))
        await bench.pass_s(200)

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert [row[0] for row in outages(bench)] == ["last_gasp"] * 3
        assert bench.rows("SELECT * FROM area_outage") == []


def test_a_correction_after_the_notice_does_not_send_another(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A, B)
        await bench.say(A, Event(NOW_S, EVENT_LAST_GASP, (), 7))
        await bench.pass_s(300)
        await bench.say(A)
        await bench.pass_s(5)
        await bench.say(A, Event(NOW_S, EVENT_OUTAGE, (290,), 9))
        await bench.pass_s(200)
        await bench.tell_all()

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert outages(bench) == [("last_gasp", NOW_S, NOW_S + 290, "meter")]
        told = [body["what"] for _, body in bench.channel.heard if body["kind"] == "outage"]
        assert told == ["opened", "closed"]


def test_a_correction_before_the_notice_is_what_the_notice_says(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A, B)
        await bench.say(A, Event(NOW_S, EVENT_LAST_GASP, (), 7))
        await bench.pass_s(60)
        await bench.say(A)
        await bench.pass_s(5)
        await bench.say(A, Event(NOW_S, EVENT_OUTAGE, (40,), 9))
        await bench.pass_s(200)
        await bench.tell_all()

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        (body,) = [body for _, body in bench.channel.heard if body["kind"] == "outage"]
        assert (body["what"], body["duration_s"], body["confirmed"]) == ("closed", 40, True)


def test_areas_and_plans_are_known_as_soon_as_the_act_is_news(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(*ALL)
        places = {A.meter_id: "Wola"}
        await bench.store.run(lambda c: outage_rows.set_areas(c, places, actor="anna", now_s=NOW_S))
        bench.book.acted(Act(1, NOW_S, "anna", "area.set", "Wola", "{}"))
        await bench.say(A, Event(NOW_S, EVENT_LAST_GASP, (), 7))
        await bench.book.look()
        await bench.say(B, Event(NOW_S, EVENT_LAST_GASP, (), 7))
        await bench.book.look()

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert bench.rows("SELECT area FROM outage ORDER BY id") == [("Wola",), ("gateway",)]


def test_outages_that_ended_long_ago_go_and_open_ones_stay(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A, B)
        await bench.say(A, Event(NOW_S - 500, EVENT_OUTAGE, (60,), 7))
        await bench.say(B, Event(NOW_S, EVENT_LAST_GASP, (), 7))
        await bench.pass_s(200)
        await bench.store.run(lambda c: outage_rows.prune(c, NOW_S - 440))
        assert len(outages(bench)) == 2
        await bench.store.run(lambda c: outage_rows.prune(c, NOW_S - 439))

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert [row[0] for row in outages(bench)] == ["last_gasp"]
