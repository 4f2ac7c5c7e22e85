"""Events of meters on disk: each once; and the whole way from a gasp to the webhook."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.mqtt.packets import Will, publish
from gateway.outages import meter_events, notice_channels
from tests.support.gateway import (
    NOW_S,
    Client,
    a_gateway,
    a_home,
    until,
)
from tests.support.outages import A, B, Bench, C, D, a_bench, outages
from wire import topics
from wire.messages import (
    EVENT_BOOT,
    EVENT_EVENTS_LOST,
    EVENT_OUTAGE,
    EVENT_SAG,
    EVENT_TAMPER,
    Event,
)


def test_an_event_that_is_sent_twice_counts_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        told = Event(NOW_S - 500, EVENT_OUTAGE, (60,), 7)
        await bench.say(A, told)
        await bench.book.look()
        await bench.say(A, told)
        await bench.book.look()

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert outages(bench) == [("meter", NOW_S - 500, NOW_S - 440, "meter")]
        assert bench.rows("SELECT count(*) FROM meter_event") == [(1,)]


def test_events_that_could_not_be_numbered_are_all_kept(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.say(A, Event(NOW_S, EVENT_TAMPER, (1,), 0), Event(NOW_S, EVENT_TAMPER, (1,), 0))

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert bench.rows("SELECT count(*) FROM meter_event") == [(2,)]


def test_a_meter_that_lost_its_flash_and_numbers_anew_is_heard(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.say(A, Event(NOW_S, EVENT_BOOT, (1, 9), 3))
        await bench.say(A, Event(NOW_S, EVENT_SAG, (1, 200_000, 4), 3))
        await bench.say(B, Event(NOW_S, EVENT_SAG, (1, 200_000, 4), 3))

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert bench.rows("SELECT count(*) FROM meter_event") == [(3,)]


def test_an_event_that_comes_again_with_its_time_is_dated(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.say(A, Event(0, EVENT_BOOT, (1, 9), 3))
        await bench.say(A, Event(NOW_S, EVENT_BOOT, (1, 9), 3))
        await bench.say(A, Event(NOW_S + 5, EVENT_BOOT, (1, 9), 3))

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert bench.rows("SELECT at_s FROM meter_event") == [(NOW_S,)]


def test_events_that_were_overwritten_are_named_by_their_numbers(tmp_path: Path) -> None:
    with a_bench(tmp_path) as bench:
        asyncio.run(bench.say(A, Event(NOW_S, EVENT_EVENTS_LOST, (5,), 9)))
        asyncio.run(bench.say(A, Event(NOW_S, EVENT_EVENTS_LOST, (90,), 10)))
        wrong, lost = meter_events.rows(bench.store.connection)
    assert (lost["name"], lost["lost_first"], lost["lost_last"]) == ("events_lost", 5, 9)
    assert "lost_first" not in wrong


@pytest.mark.parametrize("values", [(), (-1,), (1 << 62,)])
def test_an_outage_event_that_cannot_be_true_is_kept_and_makes_no_outage(
    tmp_path: Path, values: tuple[int, ...]
) -> None:
    async def story(bench: Bench) -> None:
        await bench.say(A, Event(NOW_S, EVENT_OUTAGE, values, 7))
        await bench.book.look()

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        assert outages(bench) == []
        assert bench.rows("SELECT verdict FROM meter_event") == [("implausible",)]
        assert bench.book.figures.implausible == 1


def test_events_are_handed_on_once_and_in_order(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        await bench.say(A, *(Event(NOW_S, EVENT_SAG, (1, 190_000, n), n) for n in range(1, 151)))
        await bench.book.look()
        await bench.restart(A)
        await bench.book.look()
        await bench.tell_all()

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        batches = [[event["number"] for event in body["events"]] for _, body in bench.channel.heard]
        assert [len(batch) for batch in batches] == [100, 50]
        assert [number for batch in batches for number in batch] == list(range(1, 151))


def test_old_events_go_and_those_not_judged_stay(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.say(A, *(Event(NOW_S, EVENT_SAG, (1, 1, 1), n) for n in range(1, 6)))
        await bench.store.run(lambda c: meter_events.judged(c, 4))
        await bench.store.run(lambda c: meter_events.prune(c, NOW_S, rows_max=5))

    with a_bench(tmp_path) as bench:
        asyncio.run(story(bench))
        prune = meter_events.prune
        connection = bench.store.connection
        assert bench.rows("SELECT count(*) FROM meter_event") == [(5,)], "neither old nor many"
        assert prune(connection, NOW_S, rows_max=4) == 1, "one too many"
        assert prune(connection, NOW_S + 1) == 3, "old, and the fifth is not judged"


# -- through a running gateway

OUTAGES = "\n[outages]\ngrace_s = 1\narea_window_s = 1\n"


def test_from_a_last_gasp_to_the_webhook_and_back_to_light(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    signed: list[bool] = []
    secret = "s" * 32

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        wanted = notice_channels.signature(secret.encode(), body)
        signed.append(request.headers["X-OpenLicznik-Signature"] == wanted)
        heard.append(json.loads(body))
        return web.Response()

    def told(kind: str) -> list[dict[str, Any]]:
        return [body for body in heard if body["kind"] == kind]

    async def story() -> None:
        app = web.Application()
        app.router.add_post("/hook", take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        config = a_home(tmp_path, A, B, C, D)
        (tmp_path / "hook").write_text(secret)
        (tmp_path / "hook").chmod(0o600)
        url = f'webhook_url = "http://127.0.0.1:{port}/hook"\nwebhook_token_file = "hook"\n'
        config.write_text(f"{config.read_text()}{OUTAGES}[notices]\n{url}")
        async with a_gateway(config) as service:
            client = await Client.join(service.port, A, will=Will(topics.gone(A.meter_id), b"x"))
            now_s = service.outages._now().utc_s
            sag = A.seal(Event(now_s - 9, EVENT_SAG, (1, 190_000, 3), 1))
            client.send(publish(topics.up(A.meter_id), sag, 1))
            await client.puback()
            client.send(publish(topics.up(A.meter_id), A.frame(), 2))
            await client.puback()
            await until(lambda: service.outages.figures.watched == 1)
            await client.close()  # no DISCONNECT: the last will counts
            await until(lambda: told("outage"))
            again = await Client.join(service.port, A)
            again.send(publish(topics.up(A.meter_id), A.frame(), 1))
            await until(lambda: len(told("outage")) == 2)
            await again.close()
        await runner.cleanup()

    asyncio.run(story())
    opened, closed = told("outage")
    assert (opened["what"], opened["cause"], opened["meter_id"]) == (
        "opened",
        "last_will",
        A.hex_id,
    )
    assert (closed["what"], closed["confirmed"]) == ("closed", False)
    assert closed["duration_s"] >= 1
    assert [event["name"] for body in told("events") for event in body["events"]] == ["sag"]
    assert all(signed)
