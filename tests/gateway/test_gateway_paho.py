"""A client that others wrote, paho-mqtt, talks to the endpoint as to any MQTT 3.1.1 broker."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.gateway import FakeMeter, a_gateway, a_home, a_meter, journal_of, rows
from wire import topics


def a_paho(meter: FakeMeter) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, meter.hex_id, protocol=paho.MQTTv311)
    client.username_pw_set(meter.hex_id, meter.password)
    client.will_set(topics.gone(meter.meter_id), b"gone", qos=1)
    return client


def test_paho_publishes_and_hears_its_receipt(tmp_path: Path) -> None:
    meter = a_meter()
    heard: list[Any] = []
    done = threading.Event()

    def on_connect(client: paho.Client, *_: object) -> None:
        client.subscribe(topics.down(meter.meter_id), 1)

    def on_subscribe(client: paho.Client, *_: object) -> None:
        for _frame in range(20):
            client.publish(topics.up(meter.meter_id), meter.frame(4), qos=1)

    def on_message(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        heard.append(meter.open(bytes(message.payload)))
        if heard[-1].frame_counter == 19:
            done.set()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = a_paho(meter)
            client.on_connect, client.on_subscribe = on_connect, on_subscribe
            client.on_message = on_message
            client.connect_async("127.0.0.1", gateway.port, keepalive=30)
            client.loop_start()
            assert await asyncio.to_thread(done.wait, 10)
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    asyncio.run(story())
    assert heard[-1].interval == 80
    assert len(journal_of(tmp_path)) == 20
    assert rows(tmp_path, "SELECT * FROM last_will") == []


@pytest.mark.parametrize(
    ("password", "code"), [("wrong password", "Bad user name or password"), (None, "Success")]
)
def test_paho_is_told_whether_it_is_let_in(tmp_path: Path, password: str | None, code: str) -> None:
    meter = a_meter()
    said: list[str] = []
    done = threading.Event()

    def on_connect(client: paho.Client, data: object, flags: object, why: Any, *_: object) -> None:
        said.append(str(why))
        client.disconnect()
        done.set()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = a_paho(meter)
            if password is not None:
                client.username_pw_set(meter.hex_id, password)
            client.on_connect = on_connect
            client.connect_async("127.0.0.1", gateway.port, keepalive=30)
            client.loop_start()
            assert await asyncio.to_thread(done.wait, 10)
            await asyncio.to_thread(client.loop_stop)

    asyncio.run(story())
    assert said == [code]
