"""Notices: durable, at least once under one id, in order for each subject, never for ever."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outages import notices
from gateway.outages.notice_text import Notice
from gateway.outages.notices import NoticeFailed, Notices, Timing, backoff_s
from gateway.store import Store
from tests.support.gateway import NOW_S
from tests.support.outages import Clocks, FakeChannel


class Desk:
    """The queue alone, on a database of its own, with one channel that bends."""

    def __init__(self, folder: Path, chance: float = 0.5) -> None:
        self.path, self.clocks, self.channel = folder / "gateway.db", Clocks(), FakeChannel()
        self.chance = chance
        self.open()

    def open(self) -> None:
        self.store = Store(self.path)
        self.notices = Notices(self.store, [self.channel], self.clocks.utc, lambda: self.chance)

    async def put(self, *notices_in: Notice) -> None:
        for notice in notices_in:
            await self.store.run(partial(self._queue, notice))

    def _queue(self, notice: Notice, connection: sqlite3.Connection) -> None:
        self.notices.queue(connection, notice, self.clocks.utc_s)

    async def step(self) -> bool:
        return await self.notices.step(self.channel)

    def states(self) -> list[str]:
        rows = self.store.connection.execute("SELECT state FROM notice ORDER BY id")
        return [row[0] for row in rows]

    def ids(self) -> list[str]:
        return [notice_id for notice_id, _ in self.channel.heard]


@contextmanager
def a_desk(folder: Path, chance: float = 0.5) -> Iterator[Desk]:
    desk = Desk(folder, chance)
    try:
        yield desk
    finally:
        desk.store.close()


def a_notice(number: int, subject: str | None = None) -> Notice:
    return Notice(subject or f"meter/{number}", f"gw-1/{number}", {"kind": "outage", "n": number})


# -- the queue


def test_a_notice_that_is_queued_twice_is_sent_once(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.put(a_notice(1), a_notice(1))
        assert await desk.step()
        await desk.put(a_notice(1))
        assert not await desk.step()

    with a_desk(tmp_path) as desk:
        asyncio.run(story(desk))
        assert desk.ids() == ["gw-1/1"]
        assert desk.states() == ["sent"]


def test_a_failed_attempt_is_repeated_under_the_same_id_after_its_back_off(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.put(a_notice(1))
        desk.channel.mood = [NoticeFailed("HTTP 500")] * 3
        for wait_s in (1, 2, 4):  # half of 2, 4, 8
            assert await desk.step()
            desk.clocks.pass_s(wait_s - 1)
            assert not await desk.step()
            desk.clocks.pass_s(1)
        assert await desk.step()

    with a_desk(tmp_path) as desk:
        asyncio.run(story(desk))
        assert desk.ids() == ["gw-1/1"]


def test_a_crash_between_sending_and_noting_sends_again_under_the_same_id(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.put(a_notice(1))
        await desk.channel.send("gw-1/1", {})  # and the process dies
        desk.store.close()
        desk.open()
        assert await desk.step()

    with a_desk(tmp_path) as desk:
        asyncio.run(story(desk))
        assert desk.ids() == ["gw-1/1", "gw-1/1"]


def test_what_can_never_be_taken_is_refused_and_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.put(a_notice(1), a_notice(2))
        desk.channel.mood = [NoticeFailed("HTTP 422", forever=True)]
        assert await desk.step()
        assert await desk.step()

    with a_desk(tmp_path) as desk:
        asyncio.run(story(desk))
        assert desk.states() == ["refused", "sent"]
        assert desk.notices.ended == {"sent": 1, "refused": 1, "expired": 0, "displaced": 0}
        shown = notices.rows(desk.store.connection, "refused")
        assert [(row["notice_id"], row["why"]) for row in shown] == [("gw-1/1", "HTTP 422")]


def test_notices_of_one_subject_keep_their_order_and_others_overtake(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.put(a_notice(1, "x"), a_notice(2, "x"), a_notice(3, "y"))
        desk.channel.mood = [NoticeFailed("HTTP 500")]
        assert await desk.step()
        assert await desk.step()
        assert not await desk.step()
        desk.clocks.pass_s(300)
        assert await desk.step()
        assert await desk.step()

    with a_desk(tmp_path) as desk:
        asyncio.run(story(desk))
        assert desk.ids() == ["gw-1/3", "gw-1/1", "gw-1/2"]


@pytest.mark.parametrize(
    ("age_s", "state"), [(notices.EXPIRES_S, "sent"), (notices.EXPIRES_S + 1, "expired")]
)
def test_old_news_are_not_sent(tmp_path: Path, age_s: int, state: str) -> None:
    async def story(desk: Desk) -> None:
        await desk.put(a_notice(1))
        desk.clocks.pass_s(age_s)
        assert await desk.step()

    with a_desk(tmp_path) as desk:
        asyncio.run(story(desk))
        assert desk.states() == [state]


@pytest.mark.parametrize(("more", "displaced"), [(-1, 0), (0, 0), (1, 1)])
def test_the_queue_is_bounded_and_the_oldest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int, displaced: int
) -> None:
    async def story(desk: Desk) -> None:
        await desk.put(*(a_notice(number) for number in range(5 + more)))

    monkeypatch.setattr(notices, "WAITING_MAX", 5)
    with a_desk(tmp_path) as desk:
        asyncio.run(story(desk))
        assert desk.states().count("displaced") == displaced == desk.notices.ended["displaced"]
        assert desk.states()[0] == ("displaced" if displaced else "waiting")


def test_a_clock_that_jumps_back_does_not_hold_notices_up(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.put(a_notice(1))
        desk.clocks.pass_s(-7200)
        assert await desk.step()

    with a_desk(tmp_path) as desk:
        asyncio.run(story(desk))
        assert desk.states() == ["sent"]


def test_a_channel_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    class Hanging(FakeChannel):
        async def send(self, notice_id: str, body: dict[str, Any]) -> None:
            await asyncio.sleep(30)

    async def story() -> list[str]:
        store = Store(tmp_path / "gateway.db")
        channel = Hanging()
        made = Notices(store, [channel], lambda: NOW_S, lambda: 0.5, Timing(attempt_s=0.05))
        await store.run(lambda c: made.queue(c, a_notice(1), NOW_S))
        assert await made.step(channel)
        rows = notices.rows(store.connection)
        store.close()
        return [str(row["why"]) for row in rows]

    assert asyncio.run(story()) == ["no answer within 0.05 s"]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_back_off_is_jittered_and_bounded(attempts: int, chance: float) -> None:
    assert 1 <= backoff_s(attempts, chance, Timing()) <= notices.BACKOFF_CAP_S
    assert backoff_s(attempts, 0.0, Timing()) == 1


def test_sent_notices_are_kept_a_month_and_waiting_ones_as_long_as_they_wait(
    tmp_path: Path,
) -> None:
    async def story(desk: Desk) -> None:
        await desk.put(a_notice(1))
        await desk.step()
        await desk.put(a_notice(2))

    with a_desk(tmp_path) as desk:
        asyncio.run(story(desk))
        notices.prune(desk.store.connection, NOW_S + notices.KEPT_S)
        assert desk.states() == ["sent", "waiting"]
        notices.prune(desk.store.connection, NOW_S + notices.KEPT_S + 1)
        assert desk.states() == ["waiting"]
