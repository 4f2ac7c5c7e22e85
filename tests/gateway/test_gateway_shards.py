"""Two gateways split the meters; one shard moves between them while its meters report."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from pathlib import Path

import pytest

from gateway.__main__ import main
from gateway.listener import Listener
from gateway.meter import Meter
from gateway.shards.mover import Served
from gateway.shards.shards import SHARDS, is_ours, parse
from tests.support.gateway import (
    Client,
    FakeSettlement,
    a_gateway,
    a_home,
    refusals,
    rows,
    until,
)
from tests.support.moving import meters_in
from tests.support.two_gateways import Gateway, Reporter, check_settlement
from wire.topics import shard_of

MOVING = meters_in("00", "7f", 1)[0]
SHARD = shard_of(MOVING.meter_id)
LOW = [meter for meter in meters_in("00", "7f", 4) if shard_of(meter.meter_id) != SHARD][:2]
HIGH = meters_in("80", "ff", 2)
METERS = [MOVING, *LOW, *HIGH]
BOTH = f"80-ff,{SHARD}"


@pytest.fixture(autouse=True)
def fresh_meters() -> None:
    """Each test begins with meters that have sent nothing."""
    for meter in METERS:
        meter.counter, meter.next_interval = 0, 1


def test_a_shard_moves_under_load_and_no_interval_is_lost_or_counted_twice(tmp_path: Path) -> None:
    async def story() -> None:
        fake = FakeSettlement()
        await fake.start()
        a = Gateway(tmp_path / "a", "gw-a", "00-7f", fake.url, MOVING, *LOW)
        b = Gateway(tmp_path / "b", "gw-b", "80-ff", fake.url, *HIGH)
        reporters = [Reporter(meter) for meter in METERS]
        moving = reporters[0]
        try:
            await asyncio.gather(a.start(), b.start())
            tasks = [asyncio.create_task(one.run([a, b])) for one in reporters]
            await until(lambda: all(one.at for one in reporters))
            assert [one.at for one in reporters] == ["gw-a"] * 3 + ["gw-b"] * 2
            file = await a.export(SHARD, "gw-b")
            await until(lambda: moving.at != "gw-a")
            assert [one.at for one in reporters[1:3]] == ["gw-a"] * 2  # nobody else was disturbed
            await b.stop()
            b.serve(BOTH)
            assert "1 meters taken over" in await b.take(file)
            assert "taken over before" in await b.take(file)
            await b.start()
            await until(lambda: moving.at == "gw-b" and all(one.at for one in reporters))
            reached = moving.meter.counter
            await until(lambda: moving.meter.counter > reached + 20)
            for one in reporters:
                one.ended = True
            await asyncio.wait_for(asyncio.gather(*tasks), 20)
            total = sum(meter.counter for meter in METERS)
            await until(lambda: len(set(fake.frames())) >= total, limit_s=30)
        finally:
            await asyncio.gather(a.stop(), b.stop())
            await fake.stop()
        assert len(fake.frames()) == len(set(fake.frames())) == total
        givers = {batch.gateway_id for batch in fake.taken.values()
                  if any(p.meter_id == MOVING.hex_id for p in batch.profiles)}  # fmt: skip
        assert givers == {"gw-a", "gw-b"}  # each delivered what it had accepted
        assert refusals(a.folder)["wrong_shard"] > 0
        check_settlement(tmp_path, fake, {one.hex_id: one.counter for one in METERS})

    asyncio.run(story())


def test_a_giver_killed_at_every_step_has_given_up_everything_or_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        fake = FakeSettlement()
        await fake.start()
        a = Gateway(tmp_path / "a", "gw-a", "00-7f", fake.url, MOVING)
        b = Gateway(tmp_path / "b", "gw-b", BOTH, fake.url)
        reporter = Reporter(MOVING)
        try:
            await a.start()
            task = asyncio.create_task(reporter.run([a, b]))
            await until(lambda: MOVING.counter > 10)
            export = asyncio.create_task(a.export(SHARD, "gw-b"))
            await until(lambda: rows(a.folder, "SELECT 1 FROM move"))
            await a.stop(signal.SIGKILL)  # asked; perhaps given up, perhaps not
            first = (await export).read_bytes()
            assert rows(a.folder, "SELECT state FROM move") == [("given_up",)]
            await a.start()  # it serves what it has left
            second = await a.export(SHARD, "gw-b")  # the file was lost: written again
            assert first != second.read_bytes()  # another nonce
            await until(lambda: not reporter.at)
            await b.take(second)
            await b.start()
            await until(lambda: reporter.at == "gw-b")
            await b.stop(signal.SIGKILL)
            assert "before" in await b.take(second)
            await b.start()
            reporter.ended = True
            await asyncio.wait_for(task, 20)
            await until(lambda: len(set(fake.frames())) >= MOVING.counter, limit_s=30)
        finally:
            await asyncio.gather(a.stop(), b.stop())
            await fake.stop()
        assert len(fake.frames()) == len(set(fake.frames()))
        check_settlement(tmp_path, fake, {MOVING.hex_id: MOVING.counter})

    asyncio.run(story())


def test_a_gateway_that_starts_gives_up_what_was_asked_while_it_was_down(tmp_path: Path) -> None:
    config = a_home(tmp_path, MOVING)

    async def story() -> None:
        async with a_gateway(config):
            pass
        connection = sqlite3.connect(tmp_path / "gateway.db")
        connection.execute(
            "INSERT INTO move VALUES (zeroblob(16), 'out', ?, 'gw-b', 'asked', 1, 'x', 1, NULL)",
            (SHARD,),
        )
        connection.execute("INSERT INTO shard VALUES (?, 1, zeroblob(16))", (SHARD,))
        connection.commit()
        connection.close()
        async with a_gateway(config) as gateway:
            assert rows(tmp_path, "SELECT state FROM move") == [("given_up",)]
            client = await Client.open(gateway.port)
            assert await client.connect(MOVING) == 5  # not authorised
            await client.close()
        assert refusals(tmp_path) == {"wrong_shard": 1}

    asyncio.run(story())


def test_a_meter_that_is_shown_out_is_no_outage_and_is_not_waited_for(tmp_path: Path) -> None:
    other = LOW[0]
    config = a_home(tmp_path, MOVING, other)
    config.write_text(config.read_text() + "[outages]\nsilence_s = 1\ngrace_s = 1\n")

    class Ears(Listener):
        heard: list[tuple[str, bytes | None]] = []

        def gone(self, meter: Meter, why: str, will: bytes | None) -> None:
            self.heard.append((why, will))

    async def story() -> None:
        async with a_gateway(config) as gateway:
            gateway.listeners.append(Ears())
            clients = [await Client.join(gateway.port, meter) for meter in (MOVING, other)]
            clients[0].publish(MOVING, MOVING.frame(), 1)
            await clients[0].puback()
            done = await asyncio.to_thread(_export, config, tmp_path)
            assert done == 0
            assert await clients[0].is_closed()
            assert Ears.heard == [("stopped", None)]
            assert MOVING.meter_id not in gateway.registry.meters
            clients[1].publish(other, other.frame(), 1)
            assert await clients[1].puback() == 1
            silent = "SELECT meter_id FROM outage"
            await until(lambda: rows(tmp_path, silent))
            assert rows(tmp_path, silent) == [(other.meter_id,)]  # who was shown out long before

    asyncio.run(story())


def _export(config: Path, folder: Path) -> int:
    key = folder / "transfer.key"
    if not key.exists():
        assert main(["shard", "key", str(key)]) == 0
    return main(
        ["shard", "export", SHARD, "--for", "gw-b", "--to", str(folder / "x"), "--key", str(key),
         "--config", str(config)]
    )  # fmt: skip


# ------------------------------------------------------------------ which shards are served


def test_what_is_served_is_the_configuration_without_what_is_away() -> None:
    served = Served(parse("00-ff"))
    assert is_ours(served, MOVING.meter_id)
    assert len(served) == SHARDS
    served.part(frozenset({SHARD, "zz"}))
    assert not is_ours(served, MOVING.meter_id)
    assert is_ours(served, HIGH[0].meter_id)
    assert (len(served), SHARD in served) == (SHARDS - 1, False)
    assert SHARD not in sorted(served)
    served.part(frozenset())
    assert is_ours(served, MOVING.meter_id)


# ------------------------------------------------------------------ the command line


def test_the_command_line_says_what_moved_and_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = a_home(tmp_path, MOVING)
    assert _export(config, tmp_path) == 0
    text = capsys.readouterr().out
    assert "1 meters are in" in text
    assert "`shard import` on gw-b" in text
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600
    assert main(["shard", "list", "--json", "--config", str(config)]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["way"], row["state"], row["other"], row["meters"]) == ("out", "given_up", "gw-b", 1)
    assert main(["shard", "forget", row["move_id"], "--yes", "--config", str(config)]) == 0
    assert rows(tmp_path, "SELECT action FROM audit ORDER BY id") == [
        ("shard.give_up",), ("shard.export",), ("shard.forget",),
    ]  # fmt: skip
    assert MOVING.meter_key.hex() not in text


def test_a_transfer_key_that_others_may_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = a_home(tmp_path, MOVING)
    (tmp_path / "transfer.key").write_text("11" * 32)
    (tmp_path / "transfer.key").chmod(0o644)
    assert _export(config, tmp_path) == 2
    assert "chmod 600" in capsys.readouterr().err
    (tmp_path / "transfer.key").chmod(0o600)
    (tmp_path / "transfer.key").write_text("11")
    assert _export(config, tmp_path) == 2
    assert "wrong_transfer_key" in capsys.readouterr().err
    assert rows(tmp_path, "SELECT count(*) FROM sqlite_schema WHERE name = 'x'") == [(0,)]


def test_a_running_gateway_takes_nothing_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    giver, taker = tmp_path / "a", tmp_path / "b"
    giver.mkdir()
    taker.mkdir()
    assert _export(a_home(giver, MOVING), giver) == 0
    config = a_home(taker)
    config.write_text(config.read_text().replace('"gw-1"', '"gw-b"'))
    words = ["shard", "import", str(giver / "x"), "--key", str(giver / "transfer.key"),
             "--config", str(config)]  # fmt: skip

    async def story() -> None:
        async with a_gateway(config):
            assert await asyncio.to_thread(main, words) == 1
            assert "another gateway runs" in capsys.readouterr().err

    asyncio.run(story())
    assert main(words) == 0
