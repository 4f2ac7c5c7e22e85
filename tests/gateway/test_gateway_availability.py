"""Who is here: debounced, kept over a restart, said again to a broker that may have forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import store
from gateway.audit import Act
from gateway.forwarding.availability import DUE_MAX, OFFLINE_AFTER_S, Availability
from tests.support.gateway import a_loaded_meter, a_meter, rows

METER = a_loaded_meter(a_meter())
ID = METER.meter_id


def told(folder: Path, story: Callable[[Availability], Any], now: float = 0.0) -> None:
    """Run a story with a part that was just started at `now`."""

    async def run() -> None:
        kept = store.Store(folder / "gateway.db")
        try:
            part = Availability(kept)
            await part.start(now)
            await story(part)
        finally:
            kept.close()

    asyncio.run(run())


def test_a_meter_is_online_at_once_and_offline_after_a_while(tmp_path: Path) -> None:
    async def story(part: Availability) -> None:
        part.here(METER)
        assert part.due(1.0) == [(ID, "online")]
        await part.said([(ID, "online")])
        assert part.due(2.0) == []
        part.gone(METER, "silence", None)
        assert part.due(10.0) == []
        assert part.due(10.0 + OFFLINE_AFTER_S - 0.1) == []
        assert part.due(10.0 + OFFLINE_AFTER_S) == [(ID, "offline")]

    told(tmp_path, story)


def test_a_meter_that_only_connects_anew_is_never_called_offline(tmp_path: Path) -> None:
    async def story(part: Availability) -> None:
        part.here(METER)
        await part.said(part.due(0.0))
        for now in range(100, 1000, 30):
            part.gone(METER, "reset", None)
            assert part.due(float(now)) == []
            part.here(METER)
            assert part.due(now + OFFLINE_AFTER_S - 1) == []

    told(tmp_path, story)


def test_what_did_not_arrive_is_due_again(tmp_path: Path) -> None:
    async def story(part: Availability) -> None:
        part.here(METER)
        assert part.due(0.0) == part.due(0.0) == [(ID, "online")]

    told(tmp_path, story)


def test_a_meter_that_does_not_come_back_after_a_restart_is_offline(tmp_path: Path) -> None:
    async def before(part: Availability) -> None:
        part.here(METER)
        await part.said(part.due(0.0))

    async def after(part: Availability) -> None:
        assert part.due(500.0 + OFFLINE_AFTER_S - 1) == []
        assert part.due(500.0 + OFFLINE_AFTER_S) == [(ID, "offline")]

    told(tmp_path, before)
    told(tmp_path, after, now=500.0)


def test_a_broker_that_may_have_forgotten_is_told_everything_again(tmp_path: Path) -> None:
    async def story(part: Availability) -> None:
        part.here(METER)
        await part.said(part.due(0.0))
        part.say_again(5.0)
        part.say_again(6.0)
        assert part.due(6.0) == [(ID, "online")]
        await part.said([(ID, "online")])
        assert part.due(7.0) == []

    told(tmp_path, story)


def test_the_topic_of_a_decommissioned_meter_is_cleared(tmp_path: Path) -> None:
    async def story(part: Availability) -> None:
        part.here(METER)
        await part.said(part.due(0.0))
        part.acted(Act(1, 0, "anna", "meter.revoke", ID.hex(), "{}"))
        assert part.due(1.0) == []
        part.acted(Act(2, 0, "anna", "meter.decommission", ID.hex(), "{}"))
        assert part.due(1.0) == [(ID, "")]
        await part.said([(ID, "")])
        part.say_again(2.0)
        assert part.due(2.0) == []

    told(tmp_path, story)
    assert rows(tmp_path, "SELECT * FROM availability") == []


@pytest.mark.parametrize("meters", [DUE_MAX - 1, DUE_MAX, DUE_MAX + 1])
def test_one_look_publishes_a_bounded_number(tmp_path: Path, meters: int) -> None:
    async def story(part: Availability) -> None:
        for number in range(meters):
            part.here(a_loaded_meter(a_meter(number)))
        first = part.due(0.0)
        assert len(first) == min(meters, DUE_MAX)
        await part.said(first)
        assert len(part.due(0.0)) == meters - len(first)

    told(tmp_path, story)
