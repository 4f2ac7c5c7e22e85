"""Questions beside the running gateway: no commit waits for them, and nothing is changed."""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
import threading
import time
from pathlib import Path

import aiohttp
import pytest

from gateway.admin.reader import Reader
from gateway.doors import certs
from gateway.errors import StoreError
from tests.support.admin import ADMIN_TOKEN, a_config
from tests.support.gateway import Client, a_gateway, a_home, a_meter

COUNT = "SELECT count(*) FROM audit"


def test_a_long_question_makes_no_commit_wait(tmp_path: Path) -> None:
    release = threading.Event()

    def long(connection: sqlite3.Connection) -> int:
        connection.execute(COUNT).fetchone()
        assert release.wait(10)
        found: int = connection.execute(COUNT).fetchone()[0]
        return found

    async def work() -> int:
        meter = a_meter()
        async with a_gateway(a_home(tmp_path, meter)) as running:
            asking = asyncio.create_task(running.reader.look(long))
            client = await Client.join(running.port, meter)
            client.publish(meter, meter.frame(), 1)
            assert await client.puback() == 1  # while the question is still being asked
            assert not asking.done()
            release.set()
            await client.close()
            return await asking

    assert asyncio.run(work()) == 0


def test_a_question_sees_one_state_of_the_database(tmp_path: Path) -> None:
    a_home(tmp_path, a_meter(1))
    step = threading.Barrier(2, timeout=10)

    def twice(connection: sqlite3.Connection) -> tuple[int, int]:
        query = "SELECT count(*) FROM meter"
        before = connection.execute(query).fetchone()[0]
        step.wait()
        step.wait()
        return before, connection.execute(query).fetchone()[0]

    async def work() -> tuple[int, int]:
        asking = asyncio.create_task(Reader(tmp_path / "gateway.db").look(twice))
        await asyncio.to_thread(step.wait)
        await asyncio.to_thread(a_home, tmp_path, a_meter(2))
        await asyncio.to_thread(step.wait)
        return await asking

    assert asyncio.run(work()) == (1, 1)


def test_a_question_cannot_change_anything(tmp_path: Path) -> None:
    a_home(tmp_path, a_meter())
    reader_of = tmp_path / "gateway.db"
    with pytest.raises(StoreError, match="readonly"):
        asyncio.run(_look(reader_of, lambda connection: connection.execute("DELETE FROM meter")))


def test_a_database_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such database"):
        asyncio.run(_look(tmp_path / "none.db", lambda connection: None))


@pytest.mark.parametrize(("asked", "at_once"), [(1, 1), (2, 2), (3, 2)])
def test_so_many_questions_are_asked_at_once_and_the_others_wait(
    tmp_path: Path, asked: int, at_once: int
) -> None:
    a_home(tmp_path, a_meter())
    now, most, lock, full = 0, 0, threading.Lock(), threading.Event()

    def slow(_: sqlite3.Connection) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        full.wait(0.1)
        with lock:
            now -= 1

    async def work() -> None:
        reader = Reader(tmp_path / "gateway.db", readers_max=2)
        await asyncio.gather(*(reader.look(slow) for _ in range(asked)))

    asyncio.run(work())
    assert most == at_once


async def _look(path: Path, work: object) -> None:
    assert callable(work)
    await Reader(path).look(work)


def test_the_admin_interface_speaks_tls_with_its_certificate(tmp_path: Path) -> None:
    made = tmp_path / "tls"
    made.mkdir()
    certs.make_ca(made, "test", int(time.time()))
    certs.make_server(made, ["127.0.0.1"], int(time.time()))
    config = a_config(tmp_path, a_meter())
    text = config.read_text()
    tls = '[http]\ncertificate_file = "tls/server.pem"\nkey_file = "tls/server.key"\n'
    config.write_text(text.replace("[http]\n", tls))

    async def work() -> tuple[int, bool]:
        context = ssl.create_default_context(cafile=str(made / "ca.pem"))
        async with a_gateway(config) as running, aiohttp.ClientSession() as session:
            address = f"//127.0.0.1:{running.http_port}/v1/meters"
            headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
            async with session.get(f"https:{address}", headers=headers, ssl=context) as answer:
                status = answer.status
            try:
                async with session.get(f"http:{address}", headers=headers) as answer:
                    plain = answer.status == 200
            except aiohttp.ClientError:
                plain = False
            return status, plain

    assert asyncio.run(work()) == (200, False)
