"""The ways to tell somebody: a signed webhook, retained state on a broker, and how each fails."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from gateway.config import Notices as NoticesConfig
from gateway.errors import ConfigError, PublishLost, PublishRefused
from gateway.outages import notice_channels
from gateway.outages.notice_channels import MqttState, Webhook, channels_of, signature
from gateway.outages.notices import NoticeFailed
from tests.support.gateway import NOW_S

SECRET = "a-secret-of-32-characters-exactly"


# -- the webhook


@asynccontextmanager
async def a_hook(*answers: web.Response) -> AsyncIterator[tuple[str, list[tuple[Any, bytes]]]]:
    waiting, heard = list(answers), []

    async def take(request: web.Request) -> web.StreamResponse:
        heard.append((request.headers, await request.read()))
        return waiting.pop(0) if waiting else web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", heard
    finally:
        await runner.cleanup()


def test_a_webhook_gets_json_with_its_id_and_a_signature_over_the_very_body() -> None:
    async def story() -> None:
        async with a_hook() as (url, heard):
            await Webhook(url, SECRET).send("gw-1/1", {"area": "Łódź", "n": 1})
            ((headers, body),) = heard
            assert json.loads(body) == {"area": "Łódź", "n": 1}
            assert headers["Idempotency-Key"] == "gw-1/1"
            assert headers["X-OpenLicznik-Signature"] == signature(SECRET.encode(), body)

    asyncio.run(story())


def test_the_signature_is_the_published_one() -> None:  # RFC 4231, test case 2
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signature(b"Jefe", b"what do ya want for nothing?") == f"sha256={expected}"


@pytest.mark.parametrize(
    ("status", "forever"),
    [
        (500, False),
        (429, False),
        (401, False),
        (404, False),
        (302, False),
        (400, True),
        (422, True),
    ],
)
def test_an_answer_of_the_webhook_other_than_success_is_a_failed_attempt(
    status: int, forever: bool
) -> None:
    async def story() -> NoticeFailed:
        answer = web.Response(status=status, headers={"Location": "/hook"})
        async with a_hook(answer) as (url, heard):
            with pytest.raises(NoticeFailed) as failure:
                await Webhook(url, None).send("gw-1/1", {})
            assert len(heard) == 1, "a redirect is not followed"
            return failure.value

    failure = asyncio.run(story())
    assert failure.forever is forever
    assert failure.why == f"HTTP {status} from the webhook"


def test_a_webhook_that_is_not_there_is_a_failed_attempt(unused_port: int) -> None:
    with pytest.raises(NoticeFailed, match="the webhook is not reached"):
        asyncio.run(Webhook(f"http://127.0.0.1:{unused_port}/", None).send("gw-1/1", {}))


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_no_repr_of_a_channel_shows_its_secret() -> None:
    assert SECRET not in repr(Webhook("http://127.0.0.1/", SECRET))


# -- the broker


class FakePublisher:
    """Keeps what is published, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.published: list[tuple[str, Any, bool]] = []
        self.failure = failure

    async def publish(self, topic: str, data: bytes, *, qos: int = 1, retain: bool = False) -> None:
        if self.failure is not None:
            raise self.failure
        assert qos == 1
        self.published.append((topic, json.loads(data), retain))


def test_the_broker_holds_the_state_of_meters_and_areas_retained() -> None:
    async def story(client: FakePublisher) -> None:
        channel = MqttState(client, "openlicznik")
        meter: dict[str, object] = {"kind": "outage", "what": "opened", "meter_id": "00" * 8}
        await channel.send("1", meter)
        await channel.send("2", meter | {"what": "closed"})
        await channel.send("3", {"kind": "area_outage", "what": "opened", "area": "Wola"})
        await channel.send("4", {"kind": "events", "events": [{"meter_id": "00" * 8}]})

    client = FakePublisher()
    asyncio.run(story(client))
    assert [(topic, said.get("state"), retain) for topic, said, retain in client.published] == [
        ("openlicznik/outage/meter/" + "00" * 8, "out", True),
        ("openlicznik/outage/meter/" + "00" * 8, "well", True),
        ("openlicznik/outage/area/Wola", "out", True),
        ("openlicznik/event/" + "00" * 8, None, False),
    ]


@pytest.mark.parametrize(
    ("error", "forever"), [(PublishLost("gone"), False), (PublishRefused("no"), True)]
)
def test_a_publish_that_was_not_acknowledged_is_a_failed_attempt(
    error: Exception, forever: bool
) -> None:
    channel = MqttState(FakePublisher(error), "openlicznik")
    body: dict[str, object] = {"kind": "area_outage", "what": "opened", "area": "Wola"}
    with pytest.raises(NoticeFailed) as failure:
        asyncio.run(channel.send("1", body))
    assert failure.value.forever is forever


# -- the configuration


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (NoticesConfig(webhook_url="ftp://x"), "webhook_url"),
        (NoticesConfig(webhook_url="http://user:pw@x/"), "webhook_url"),
        (NoticesConfig(webhook_url="http://x/", webhook_token_file="/nowhere"), "no such file"),
        (NoticesConfig(mqtt=True), "publish"),
    ],
)
def test_a_channel_that_cannot_work_is_refused_at_the_start(
    config: NoticesConfig, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        channels_of(config, None, "", lambda: NOW_S)


def test_without_a_section_nobody_is_told() -> None:
    assert channels_of(NoticesConfig(), None, "", lambda: NOW_S) == []
    assert notice_channels.RECIPIENTS_MAX == 20
