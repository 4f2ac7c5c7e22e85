"""How many connections, how often, from where; and what a wrong password costs whom."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import registry
from gateway.config import Limits
from gateway.doors import limits
from gateway.doors.limits import Doorman
from gateway.mqtt import packets
from tests.support.gateway import Client, a_gateway, a_home, a_meter, refusals, rows, until
from wire.topics import shard_of

HERE, THERE = "192.0.2.1", "192.0.2.2"


def test_connections_are_let_in_up_to_the_limit_and_again_when_one_left() -> None:
    doorman = Doorman(Limits(connections=2))
    assert [doorman.arrive(HERE), doorman.arrive(THERE)] == [None, None]
    assert doorman.arrive(HERE) == limits.TOO_MANY
    doorman.leave(THERE)
    assert doorman.arrive(HERE) is None


def test_one_address_fills_its_own_limit_and_not_others() -> None:
    doorman = Doorman(Limits(connections_per_address=2))
    assert [doorman.arrive(HERE), doorman.arrive(HERE)] == [None, None]
    assert doorman.arrive(HERE) == limits.TOO_MANY_FROM
    assert doorman.arrive(THERE) is None
    doorman.leave(HERE)
    assert doorman.arrive(HERE) is None


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=60))
def test_who_came_and_left_is_never_miscounted(steps: list[tuple[bool, str]]) -> None:
    doorman, here = Doorman(Limits(connections=5, connections_per_address=3)), list[str]()
    for comes, address in steps:
        if comes:
            reason = doorman.arrive(address)
            full, many = len(here) >= 5, here.count(address) >= 3
            assert reason == (limits.TOO_MANY if full else limits.TOO_MANY_FROM if many else None)
            here += [address] if reason is None else []
        elif address in here:
            here.remove(address)
            doorman.leave(address)
        assert doorman.connections == len(here)
    for address in here:
        doorman.leave(address)
    assert doorman._from == {}


def test_a_meter_connects_so_many_times_a_minute_and_then_waits() -> None:
    doorman, meter_id = Doorman(Limits(connects_per_minute=3)), b"12345678"
    assert [doorman.connect(meter_id, 0.0) for _ in range(4)] == [True, True, True, False]
    assert doorman.connect(b"another!", 0.0)
    assert not doorman.connect(meter_id, 19.9), "a third of a minute brings the next"
    assert doorman.connect(meter_id, 20.1)
    assert not doorman.connect(meter_id, 20.2)
    assert [doorman.connect(meter_id, 9999.0) for _ in range(4)] == [True, True, True, False]


def test_the_first_wrong_passwords_are_answered_at_once_the_next_ones_ever_later() -> None:
    doorman = Doorman(Limits())
    delays = [doorman.wrong(HERE, float(now)) for now in range(60)]
    assert delays[: limits.WRONG_FREE] == [0.0] * limits.WRONG_FREE
    assert delays[limits.WRONG_FREE : 7] == [0.25, 0.5, 1.0, 2.0]
    assert delays[-1] == limits.WRONG_DELAY_S_MAX
    assert doorman.wrong(THERE, 60.0) == 0.0


def test_a_wrong_password_is_forgotten_after_its_time() -> None:
    for later_s, delay_s in ((limits.WRONG_FORGOTTEN_S - 1, 0.25), (limits.WRONG_FORGOTTEN_S, 0.0)):
        doorman = Doorman(Limits())
        for _ in range(limits.WRONG_FREE):
            doorman.wrong(HERE, 0.0)
        assert doorman.wrong(HERE, later_s) == delay_s


def test_what_is_remembered_of_addresses_and_meters_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "ADDRESSES_MAX", 3)
    monkeypatch.setattr(limits, "METERS_MAX", 3)
    doorman = Doorman(Limits(connects_per_minute=1))
    for number in range(10):
        doorman.wrong(str(number), 0.0)
        doorman.connect(bytes([number]), 0.0)
    assert list(doorman._wrong) == ["7", "8", "9"]
    assert list(doorman._connects) == [b"\7", b"\x08", b"\x09"]


# -------------------------------------------------------------- wired


def with_limits(config: Path, lines: str) -> Path:
    config.write_text(config.read_text() + f"[limits]\n{lines}\n")
    return config


def test_a_meter_that_connects_too_often_is_told_to_wait(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        config = with_limits(a_home(tmp_path, meter), "connects_per_minute = 2")
        async with a_gateway(config) as gateway:
            codes = []
            for _ in range(4):
                client = await Client.open(gateway.port)
                codes.append(await client.connect(meter))
                await client.close()
            assert codes == [packets.ACCEPTED] * 2 + [packets.UNAVAILABLE] * 2
        assert rows(tmp_path, "SELECT meter_id, reason, frames FROM refusal") == [
            (meter.meter_id, limits.TOO_MANY_CONNECTS, 2)
        ]

    asyncio.run(story())


def test_a_stranger_without_the_password_does_not_use_up_a_meter_s_connects(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        config = with_limits(a_home(tmp_path, meter), "connects_per_minute = 1")
        async with a_gateway(config) as gateway:
            for _ in range(3):
                stranger = await Client.open(gateway.port)
                code = await stranger.connect(meter, password=b"a wrong password, quite long")
                assert code == packets.BAD_PASSWORD
                await stranger.close()
            client = await Client.open(gateway.port)
            assert await client.connect(meter) == packets.ACCEPTED
            await client.close()

    asyncio.run(story())


def test_one_address_has_its_own_limit(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        config = with_limits(a_home(tmp_path, meter), "connections_per_address = 1")
        async with a_gateway(config) as gateway:
            client = await Client.join(gateway.port, meter)
            second = await Client.open(gateway.port)
            assert await second.is_closed()
            await client.close()
            await second.close()
            await until(lambda: gateway.endpoint.doorman.connections == 0)
        assert refusals(tmp_path) == {limits.TOO_MANY_FROM: 1}

    asyncio.run(story())


def test_guessing_becomes_slow_and_a_right_password_stays_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = a_meter()
    monkeypatch.setattr(limits, "WRONG_FREE", 1)
    monkeypatch.setattr(limits, "WRONG_FIRST_S", 0.8)  # more than a busy computer takes

    async def answer(port: int, **changes: object) -> tuple[int, float]:
        client = await Client.open(port)
        begun = time.monotonic()
        code = await client.connect(meter, **changes)
        took_s = time.monotonic() - begun
        await client.close()
        return code, took_s

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            wrong = {"password": b"a wrong password, quite long"}
            assert (await answer(gateway.port, **wrong))[1] < 0.7
            code, took_s = await answer(gateway.port, user="ab" * 8)
            assert (code, took_s > 0.79) == (packets.NOT_AUTHORISED, True), "unknown ones, too"
            code, took_s = await answer(gateway.port, **wrong)
            assert (code, took_s > 1.59) == (packets.BAD_PASSWORD, True)
            code, took_s = await answer(gateway.port)
            assert (code, took_s < 0.7) == (packets.ACCEPTED, True)

    asyncio.run(story())


def test_a_meter_of_another_shard_is_sent_away_before_its_password_is_looked_at(
    tmp_path: Path,
) -> None:
    meter = a_meter()
    others = "00-7f" if shard_of(meter.meter_id) > "7f" else "80-ff"

    async def story() -> None:
        config = a_home(tmp_path, meter)
        config.write_text(f'shards = "{others}"\n' + config.read_text())
        async with a_gateway(config) as gateway:
            client = await Client.open(gateway.port)
            assert await client.connect(meter) == packets.NOT_AUTHORISED
            await client.close()
        assert rows(tmp_path, "SELECT meter_id, reason FROM refusal") == [(b"", "wrong_shard")]

    asyncio.run(story())


def test_an_unknown_meter_costs_as_much_work_as_a_wrong_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the clock, which a busy computer blurs: the same hashes and the same queries."""
    meter = a_meter()
    work: list[str] = []
    hashed = registry.password_hash
    asks = re.compile(r"^SELECT (password_hash|key_epoch, wrapped)")

    def counted(meter_id: bytes, password: bytes) -> bytes:
        work.append("hash")
        return hashed(meter_id, password)

    async def story() -> list[list[str]]:
        found = []
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            monkeypatch.setattr(registry, "password_hash", counted)
            for changes in ({"password": b"a wrong password, quite long"}, {"user": "ab" * 8}):
                client = await Client.open(gateway.port)
                work.clear()
                gateway.store.connection.set_trace_callback(
                    lambda text: work.append("query") if asks.search(text) else None
                )
                await client.connect(meter, **changes)
                gateway.store.connection.set_trace_callback(None)
                found.append(list(work))
                await client.close()
        return found

    wrong, unknown = asyncio.run(story())
    assert wrong == unknown == ["query", "query", "hash"]


def test_who_talks_nonsense_on_every_connection_is_let_go_ever_more_slowly(tmp_path: Path) -> None:
    async def story() -> None:
        meter = a_meter()
        async with a_gateway(a_home(tmp_path, meter)) as service:
            now = asyncio.get_running_loop().time
            took_s = []
            for _ in range(limits.WRONG_FREE + 2):
                begun = now()
                client = await Client.open(service.port)
                client.send(b"\xff\xff\xff")
                assert await client.is_closed()
                took_s.append(now() - begun)
                await client.close()
            assert took_s[-2] >= limits.WRONG_FIRST_S
            assert took_s[-1] >= 2 * limits.WRONG_FIRST_S
            client = await Client.join(service.port, meter)  # from the same address: let in
            await client.close()
        assert refusals(tmp_path)["mqtt_malformed"] == limits.WRONG_FREE + 2

    asyncio.run(story())
