"""Commands are durable before they are visible: what is sent, and under which counter, is known."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.support.a_commander import STATUS, Obeying, queue, states
from tests.support.gateway import a_gateway, a_home, a_meter, rows, until
from wire import messages

METER = a_meter(1)


def test_what_is_sent_was_written_down_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit's end is held up: nothing may have left by then."""
    home = a_home(tmp_path, METER)
    queue(tmp_path, METER, messages.COMMAND_RESTART)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            await meter.join(service.port)
            seen: list[tuple[str, int]] = []
            run = service.store.run

            async def slow(work: Any) -> Any:
                outcome = await run(work)
                seen.append((states(tmp_path)[0], len(meter.heard)))
                await asyncio.sleep(0.05)
                seen.append((states(tmp_path)[0], len(meter.heard)))
                return outcome

            monkeypatch.setattr(service.store, "run", slow)
            meter.say(STATUS)
            await until(lambda: meter.heard)
            assert ("sent", 0) in seen
            assert ("queued", 1) not in seen
            await meter.leave()

    asyncio.run(go())


def test_down_counters_are_never_used_twice_over_restarts(tmp_path: Path) -> None:
    home = a_home(tmp_path, METER)
    meter = Obeying(METER)

    async def talk() -> None:
        async with a_gateway(home) as service:
            await meter.join(service.port)
            for _ in range(3):
                meter.say(STATUS)
            queue(tmp_path, METER, messages.COMMAND_READ_NOW)
            await until(lambda: set(states(tmp_path)) == {"done"}, limit_s=5)
            await meter.leave()

    for _ in range(3):
        asyncio.run(talk())
    assert len(meter.acts) == 3
    counters = [counter for _, counter in meter.down_used]
    assert len(counters) == len(set(counters))


def test_frame_counters_are_reserved_durably_before_a_command_uses_them(tmp_path: Path) -> None:
    home = a_home(tmp_path, METER)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            meter.answer = lambda command: None
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: meter.epochs_heard)
            counter = service.registry.meters[METER.meter_id].down[0]
            counter.next = before = counter.reserved  # all of them are used
            queue(tmp_path, METER, messages.COMMAND_READ_NOW)
            await until(lambda: meter.heard)
            assert (0, before) in meter.down_used
            ((reserved,),) = rows(tmp_path, "SELECT down_reserved FROM meter_key")
            assert counter.next <= counter.reserved <= reserved
            await meter.leave()

    asyncio.run(go())


def test_a_write_that_fails_loses_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = a_home(tmp_path, METER)
    queue(tmp_path, METER, messages.COMMAND_RESTART)

    async def go() -> None:
        async with a_gateway(home) as service:
            meter = Obeying(METER)
            failures = [0]

            def breaks(connection: sqlite3.Connection, *rest: Any) -> Any:
                failures[0] += 1
                if failures[0] == 1:
                    raise sqlite3.OperationalError("disk I/O error")
                return found(connection, *rest)

            found = service.downlink._find
            monkeypatch.setattr(service.downlink, "_find", breaks)
            await meter.join(service.port)
            meter.say(STATUS)
            await until(lambda: states(tmp_path) == ["done"])
            assert failures[0] >= 2
            await meter.leave()

    asyncio.run(go())
