"""Outages on a real broker: retained state that comes although the broker was down meanwhile."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.support.gateway import Client, a_gateway, a_home, a_meter, rows, until
from tests.support.mosquitto import Mosquitto
from wire.messages import EVENT_LAST_GASP, Event

OUTAGES = "[outages]\narea_window_s = 1\n[notices]\nmqtt = true\n"


def test_the_state_of_a_dark_meter_waits_for_the_broker_and_is_retained(tmp_path: Path) -> None:
    meter = a_meter(1)

    async def story(broker: Mosquitto) -> Any:
        config = a_home(tmp_path, meter)
        publish = f'[publish]\nurl = "{broker.url}"\ntopic = "base"\n'
        config.write_text(config.read_text() + publish + OUTAGES)
        async with a_gateway(config) as service:
            await until(lambda: service.publish_client and service.publish_client.connected)
            broker.kill()
            client = await Client.join(service.port, meter)
            now_s = service.outages._now().utc_s
            client.publish(meter, meter.seal(Event(now_s, EVENT_LAST_GASP, (), 1)), 1)
            await client.puback()
            await until(lambda: rows(tmp_path, "SELECT * FROM notice WHERE subject LIKE 'meter/%'"))
            broker.start()
            await until(lambda: rows(tmp_path, SENT), 30)
            found = await asyncio.to_thread(broker.listen, f"base/outage/meter/{meter.hex_id}", 1)
            await client.close()
        return found

    with Mosquitto(tmp_path / "broker") as broker:
        (line,) = asyncio.run(story(broker))
    topic, _, said = line.partition(" ")
    body = json.loads(said)
    assert topic == f"base/outage/meter/{meter.hex_id}"
    assert (body["state"], body["cause"], body["confirmed"]) == ("out", "last_gasp", True)


SENT = "SELECT * FROM notice WHERE subject LIKE 'meter/%' AND state = 'sent'"
