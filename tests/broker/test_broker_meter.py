"""The real meter, on MicroPython's unix port, through a real mosquitto to its receipt."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

from host_tools import household
from host_tools.household import Household
from host_tools.micropython import ROOT, find_micropython, micropython_env
from host_tools.programs import Program
from host_tools.trip import MeterLog
from tests.support.behind_a_broker import behind
from tests.support.gateway import START_S, FakeMeter, a_gateway, journal_of, until
from tests.support.mosquitto import Mosquitto

HOURS = 3
SPEED = 3600  # an hour a second


def test_a_meter_on_the_unix_port_gets_its_receipts_through_mosquitto(tmp_path: Path) -> None:
    script = "".join(f"{START_S + 3600 * hour},{900 + hour},0\n" for hour in range(HOURS))
    house = Household(script, date(2021, 10, 15), "0123456789abcdef")
    log = MeterLog()

    async def story(broker: Mosquitto) -> None:
        paired = household.pair(house, tmp_path / "meter", broker.port, SPEED)
        meter = FakeMeter(
            bytes.fromhex(house.meter_id),
            bytes.fromhex(str(paired["meter_key"])),
            str(paired["password"]),
        )
        command = [str(find_micropython()), "-m", "boards.unix", str(tmp_path / "meter")]
        program = Program("meter", command, ROOT, micropython_env(), log.hear)
        async with a_gateway(behind(broker, tmp_path, meter)) as gateway:
            await until(lambda: gateway.broker is not None and gateway.broker.connected)
            program.start()
            try:
                await until(lambda: log.done() or program.failure, limit_s=60)
            finally:
                program.stop()
            program.check()
            assert gateway.intake.refused_by == {}

    with Mosquitto(tmp_path / "mosquitto") as broker:
        asyncio.run(story(broker))
    assert log.receipted == log.script_intervals == 4 * HOURS
    assert journal_of(tmp_path)
