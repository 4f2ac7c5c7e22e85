"""How fast one meter may send: over it the line is read more slowly, and nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.doors.pace import Pace
from tests.support.gateway import (
    Client,
    a_gateway,
    a_home,
    a_loaded_meter,
    a_meter,
    journal_of,
    until,
)

PACE = Pace(frames_per_second=10, frames_burst=20)


@pytest.mark.parametrize(("frames", "wait_s"), [(19, 0.0), (20, 0.0), (21, 0.1), (40, 2.0)])
def test_a_burst_is_read_at_once_and_what_is_above_it_waits(frames: int, wait_s: float) -> None:
    assert PACE.after(a_loaded_meter(a_meter()), frames, 1000.0) == pytest.approx(wait_s)


def test_in_the_long_run_a_meter_is_read_at_its_rate() -> None:
    meter, now, frames = a_loaded_meter(a_meter()), 1000.0, 0
    while now < 1100.0:
        now += PACE.after(meter, 5, now)
        frames += 5
    assert frames == pytest.approx(20 + 100 * 10, abs=10)


def test_a_meter_that_was_silent_has_its_burst_again_and_no_more() -> None:
    meter = a_loaded_meter(a_meter())
    assert PACE.after(meter, 20, 1000.0) == 0
    assert PACE.after(meter, 21, 9000.0) == pytest.approx(0.1)


def test_a_meter_that_floods_is_slowed_and_loses_nothing(tmp_path: Path) -> None:
    flooding, calm = a_meter(1), a_meter(2)

    async def story() -> None:
        config = a_home(tmp_path, flooding, calm)
        config.write_text(
            config.read_text() + "[limits]\nframes_per_second = 200\nframes_burst = 40\n"
        )
        async with a_gateway(config) as gateway:
            flood = await Client.join(gateway.port, flooding)
            other = await Client.join(gateway.port, calm)
            loop = asyncio.get_running_loop()
            started = loop.time()
            for part in range(5):  # 140 frames: 100 above the burst, half a second
                for packet_id in range(28 * part + 1, 28 * part + 29):
                    flood.publish(flooding, flooding.frame(), packet_id)
                await asyncio.sleep(0.01)
            await until(lambda: gateway.intake.slowed)
            before = loop.time()
            other.publish(calm, calm.frame(), 1)
            await other.puback()
            assert loop.time() - before < 0.2, "a calm meter waited for the flood"
            assert [await flood.puback() for _ in range(140)] == list(range(1, 141))
            flood.publish(flooding, flooding.frame(), 200)
            assert await flood.puback() == 200
            assert loop.time() - started > 0.4
            assert gateway.intake.refused == 0
            for client in (flood, other):
                await client.close()

    asyncio.run(story())
    assert len(journal_of(tmp_path)) == 142


def test_a_line_that_is_slowed_and_held_back_is_read_when_both_have_ended(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            gateway.intake.pace = Pace(frames_per_second=10, frames_burst=1)
            client = await Client.join(gateway.port, meter)
            line = gateway.endpoint.sessions[meter.meter_id]
            for packet_id in (1, 2):
                client.publish(meter, meter.frame(), packet_id)
            await until(lambda: gateway.intake.slowed == 1)
            line.pause()
            await asyncio.sleep(0.15)  # the pace allows it again, the intake does not
            client.publish(meter, meter.frame(), 3)
            await asyncio.sleep(0.1)
            assert gateway.intake.accepted == 2
            line.resume()
            await until(lambda: gateway.intake.accepted == 3)
            await client.close()

    asyncio.run(story())
