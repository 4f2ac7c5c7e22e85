"""A newer key epoch: both are taken until a frame of the newer one is durable, then it alone."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway import intake, journal, registry, store
from gateway.intake import GroupDone, Intake
from gateway.listener import Listener
from gateway.meter import Meter
from gateway.mqtt import packets
from gateway.service import Service
from tests.support.gateway import (
    Client,
    FakeMeter,
    a_gateway,
    a_home,
    a_meter,
    a_profile,
    refusals,
    rows,
    until,
)
from wire import frame, messages, topics
from wire.keys import UP, EpochKey

NEW_KEY = bytes(range(32))


class Watch(Listener):
    """Notes which epochs were proven."""

    def __init__(self) -> None:
        self.proven_epochs: list[int] = []

    def proven(self, meter: Meter, key_epoch: int) -> None:
        assert list(meter.keys) == [key_epoch]
        self.proven_epochs.append(key_epoch)


def rekey(folder: Path, meter: FakeMeter) -> None:
    """The gateway's side of a rekey: the database holds both epochs."""
    keeper = registry.Registry(registry.read_master_key(folder / "master.key"))
    connection = store.connect(folder / "gateway.db")
    store.transact(connection, lambda c: keeper.add_key(c, meter.meter_id, 1, NEW_KEY))
    connection.close()


def under_new_key(meter: FakeMeter, counter: int) -> bytes:
    up = topics.up(meter.meter_id)
    message = messages.encode(a_profile(50 + counter))
    return frame.seal(EpochKey(1, NEW_KEY), UP, counter, up, message)


def epochs_kept(folder: Path) -> list[int]:
    return [row[0] for row in rows(folder, "SELECT key_epoch FROM meter_key ORDER BY key_epoch")]


def test_either_epoch_is_taken_until_the_newer_one_is_proven(tmp_path: Path) -> None:
    meter, watch = a_meter(), Watch()

    async def story() -> None:
        config = a_home(tmp_path, meter)
        rekey(tmp_path, meter)
        async with a_gateway(config) as gateway:
            gateway.listeners.append(watch)
            client = await Client.join(gateway.port, meter)
            client.publish(meter, meter.frame(), 1)
            await client.puback()
            assert epochs_kept(tmp_path) == [0, 1]
            assert watch.proven_epochs == []
            client.publish(meter, under_new_key(meter, 0), 2)
            await client.puback()
            assert epochs_kept(tmp_path) == [1]
            await until(lambda: watch.proven_epochs == [1])
            client.publish(meter, meter.frame(), 3)
            client.publish(meter, under_new_key(meter, 1), 4)
            assert [await client.puback() for _ in range(2)] == [3, 4]
            assert gateway.intake.refused_by == {"unknown_epoch": 1}
            assert watch.proven_epochs == [1]
            await client.close()

    asyncio.run(story())
    assert refusals(tmp_path) == {"unknown_epoch": 1}


def test_an_old_frame_right_behind_the_proof_is_refused_and_receipts_do_not_break(
    tmp_path: Path,
) -> None:
    meter = a_meter()

    async def story() -> None:
        config = a_home(tmp_path, meter)
        rekey(tmp_path, meter)
        async with a_gateway(config) as gateway:
            client = await Client.join(gateway.port, meter)
            up = topics.up(meter.meter_id)
            stream = [
                meter.frame(),
                under_new_key(meter, 0),
                meter.frame(),
                under_new_key(meter, 1),
            ]
            packed = [packets.publish(up, sealed, n) for n, sealed in enumerate(stream, start=1)]
            client.send(b"".join(packed))
            assert [await client.puback() for _ in stream] == [1, 2, 3, 4]
            assert (gateway.intake.accepted, gateway.intake.refused) == (3, 1)
            await client.close()
        async with a_gateway(config) as gateway:
            client = await Client.join(gateway.port, meter)
            client.publish(meter, under_new_key(meter, 1), 1)
            await client.puback()
            assert gateway.intake.duplicates == 1
            await client.close()

    asyncio.run(story())
    assert epochs_kept(tmp_path) == [1]


def test_an_epoch_whose_proof_was_not_written_is_not_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = a_meter()
    monkeypatch.setattr(intake, "RETRY_S", 0.05)

    def full(connection: sqlite3.Connection, group: journal.Group) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async def story() -> None:
        config = a_home(tmp_path, meter)
        rekey(tmp_path, meter)
        async with a_gateway(config) as gateway:
            client = await Client.join(gateway.port, meter)
            with monkeypatch.context() as broken:
                broken.setattr(journal, "commit", full)
                client.publish(meter, under_new_key(meter, 0), 1)
                assert await client.is_closed()
            await until(lambda: not gateway.intake.halted)
            again = await Client.join(gateway.port, meter)
            again.publish(meter, meter.frame(), 2)
            assert await again.puback() == 2
            assert gateway.intake.refused == 0
            await again.close()

    asyncio.run(story())
    assert epochs_kept(tmp_path) == [0, 1]


def test_each_commit_is_told_with_its_size_and_time(tmp_path: Path) -> None:
    meter, told = a_meter(), list[GroupDone]()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            gateway.intake.on_group = told.append
            client = await Client.join(gateway.port, meter)
            for packet_id in range(1, 6):
                client.publish(meter, meter.frame(), packet_id)
            client.publish(meter, meter.frame()[:-1] + b"\0", 6)
            for _ in range(6):
                await client.puback()
            assert counts_of(gateway) == (5, 0, {"bad_tag": 1})
            assert sum(done.frames for done in told) == 6
            assert all(0 < done.commit_s <= done.oldest_wait_s < 10 for done in told if done.frames)
            await client.close()

    asyncio.run(story())


def counts_of(gateway: Service) -> tuple[int, int, dict[str, int]]:
    counted: Intake = gateway.intake
    return counted.accepted, counted.duplicates, counted.refused_by


def test_a_clock_that_jumps_by_years_refuses_by_name_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, years_s = a_meter(), 10 * 365 * 86_400
    shift = {"s": 0}

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            true = gateway.intake._clock_s
            monkeypatch.setattr(gateway.intake, "_clock_s", lambda: true() + shift["s"])
            client = await Client.join(gateway.port, meter)
            sealed = meter.frame()
            for packet_id, jump in ((1, -years_s), (2, 0), (3, years_s), (4, -years_s)):
                shift["s"] = jump
                client.publish(meter, sealed if packet_id < 3 else meter.frame(), packet_id)
                assert await client.puback() == packet_id
            assert counts_of(gateway)[0] == 2
            assert counts_of(gateway)[2] == {"start_ahead": 2}
            shift["s"] = 0
            await client.close()

    asyncio.run(story())
