"""From a meter through the gateway and a real mosquitto to a backend that reads with paho."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.gateway import Client, FakeMeter, a_gateway, a_home, a_meter, rows, until
from tests.support.mosquitto import PERSISTENT, Mosquitto
from wire.messages import EVENT_SAG, Event

DOCS = Path(__file__).resolve().parents[2] / "docs" / "forwarding.md"


class Backend:
    """Whoever reads our topics: an independent client with a session of its own."""

    def __init__(self, port: int, name: str) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.subscribed = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("base/#", 1)
        self._client.on_subscribe = self._on_subscribe
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_subscribe(self, *_: Any) -> None:
        self.subscribed = True

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload), message.retain))

    def said(self, topic: str) -> list[Any]:
        return [json.loads(data) for to, data, _ in self.heard if to == topic]

    def texts(self, topic: str) -> list[str]:
        return [data.decode() for to, data, _ in self.heard if to == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def a_backend(port: int, name: str = "backend") -> Iterator[Backend]:
    backend = Backend(port, name)
    try:
        yield backend
    finally:
        backend.close()


def a_publishing_home(folder: Path, broker: Mosquitto, *meters: FakeMeter) -> Path:
    config = a_home(folder, *meters)
    config.write_text(
        f'{config.read_text()}[publish]\nurl = "{broker.url}"\ntopic = "base"\n'
        'formats = ["json", "senml"]\n'
    )
    return config


def check(schema: dict[str, str], said: dict[str, Any]) -> None:
    """Hold an object against the table of fields in docs/forwarding.md."""
    kinds: dict[str, Any] = {"text": str, "number": int, "list": list, "object": dict}
    assert set(said) <= set(schema), set(said) - set(schema)
    for name, kind in schema.items():
        optional = kind.endswith("?")
        if name not in said:
            assert optional, f"{name} is missing"
            continue
        value = said[name]
        if value is None:
            assert optional, f"{name} is null"
            continue
        assert type(value) is kinds[kind.rstrip("?")], (name, value)


def documented(topic: str) -> dict[str, str]:
    """The fields of a topic: the rows `| field | kind | meaning |` below its heading."""
    section = DOCS.read_text().split(f"### `<base>/<meter_id>/{topic}`")[1].split("\n##")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (\w+\??) \|", section, re.MULTILINE))


def test_a_backend_hears_what_meters_say_and_nothing_that_is_old(tmp_path: Path) -> None:
    meter = a_meter()

    async def story(broker: Mosquitto) -> None:
        home = a_publishing_home(tmp_path, broker, meter)
        with a_backend(broker.port) as backend:
            await until(lambda: backend.subscribed)
            async with a_gateway(home) as service:
                client = await Client.join(service.port, meter)
                client.publish(meter, meter.frame(2), 1)
                client.publish(
                    meter, meter.seal(Event(1_634_256_000, EVENT_SAG, (1, 180_000, 2), 1)), 2
                )
                base = f"base/{meter.hex_id}"
                await until(lambda: backend.said(f"{base}/event"))
                assert [each["interval"] for each in backend.said(f"{base}/reading")] == [1, 2]
                for topic in ("reading", "event"):
                    for said in backend.said(f"{base}/{topic}"):
                        check(documented(topic), said)
                assert backend.said(f"{base}/senml")[0][0]["u"] == "J"
                await until(lambda: backend.texts(f"{base}/availability") == ["online"])
                assert backend.texts("base/bridge/state") == ["online"]
                await client.close()
            await until(lambda: backend.texts("base/bridge/state") == ["online", "offline"])
        with a_backend(broker.port, "late") as late:
            await until(lambda: len(late.heard) >= 2)
            await asyncio.sleep(0.2)
            assert {to: data for to, data, _ in late.heard} == {
                "base/bridge/state": b"offline", f"{base}/availability": b"online",
            }  # fmt: skip
            assert all(retained for *_, retained in late.heard)

    with Mosquitto(tmp_path / "broker") as broker:
        asyncio.run(story(broker))


def test_what_is_accepted_while_the_broker_is_away_arrives_when_it_is_back(tmp_path: Path) -> None:
    meter = a_meter()

    async def story(broker: Mosquitto) -> None:
        topic = f"base/{meter.hex_id}/reading"
        home = a_publishing_home(tmp_path, broker, meter)
        with a_backend(broker.port) as backend:
            await until(lambda: backend.subscribed)
            async with a_gateway(home) as service:
                client = await Client.join(service.port, meter)
                client.publish(meter, meter.frame(), 1)
                await until(lambda: len(backend.said(topic)) == 1)
                broker.stop()  # it saves the backend's session; a killed one would forget it
                for packet_id in range(2, 22):
                    client.publish(meter, meter.frame(), packet_id)
                for packet_id in range(1, 22):
                    assert await client.puback() == packet_id, "meters do not wait for a backend"
                broker.start()
                await until(
                    lambda: rows(tmp_path, "SELECT journal_id FROM publish_cursor") == [(21,)], 20
                )
                await client.close()
            await until(lambda: len(backend.said(topic)) >= 21, 20)
            assert [each["interval"] for each in backend.said(topic)] == list(range(1, 22))
            assert backend.texts("base/bridge/state")[-1] == "offline"

    with Mosquitto(tmp_path / "broker", PERSISTENT) as broker:
        asyncio.run(story(broker))
