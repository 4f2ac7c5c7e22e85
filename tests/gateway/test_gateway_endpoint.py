"""Frames over real sockets: what is acknowledged and receipted, and when."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway import intake
from gateway.doors import connection
from gateway.mqtt import packets
from tests.support.gateway import (
    Client,
    a_connect,
    a_gateway,
    a_home,
    a_meter,
    a_profile,
    add_meter,
    journal_of,
    refusals,
    rows,
)
from wire.frame import peek
from wire.messages import Status


def test_a_frame_is_acknowledged_and_receipted_after_it_is_in_the_journal(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.join(gateway.port, meter)
            client.publish(meter, meter.frame(intervals=4), packet_id=7)
            assert await client.puback() == 7
            assert [row.frame_counter for row in journal_of(tmp_path)] == [0]
            receipt = await client.receipt(meter)
            assert (receipt.frame_counter, receipt.interval) == (0, 4)
            assert receipt.time_s > 1_700_000_000
            await client.close()

    asyncio.run(story())


def test_a_puback_waits_for_the_commit(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.join(gateway.port, meter)
            held = rows_lock(tmp_path)  # another writer holds the database: no commit can end
            client.publish(meter, meter.frame(), packet_id=1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.puback(), 0.3)
            held.execute("ROLLBACK")
            held.close()
            assert await client.puback() == 1
            await client.close()

    asyncio.run(story())


def rows_lock(folder: Path) -> sqlite3.Connection:
    held = sqlite3.connect(folder / "gateway.db", isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    return held


def test_a_frame_sent_twice_is_acknowledged_twice_and_counted_once(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.join(gateway.port, meter)
            sealed = meter.frame()
            client.publish(meter, sealed, packet_id=1)
            client.publish(meter, sealed, packet_id=2)
            assert [await client.puback(), await client.puback()] == [1, 2]
            client.publish(meter, sealed, packet_id=3)
            assert await client.puback() == 3
            assert (await client.receipt(meter)).frame_counter == 0
            assert gateway.intake.duplicates == 2
            await client.close()
        assert len(journal_of(tmp_path)) == 1

    asyncio.run(story())


def test_a_refused_frame_is_acknowledged_and_counted_but_never_receipted(tmp_path: Path) -> None:
    meter, other = a_meter(1), a_meter(2)

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.join(gateway.port, meter)
            client.publish(meter, other.frame(), packet_id=1)  # another meter's key
            client.publish(meter, b"nonsense", packet_id=2)
            client.publish(meter, bytes(1025), packet_id=3)
            assert [await client.puback() for _ in range(3)] == [1, 2, 3]
            assert client.received == []
            await client.close()
        assert refusals(tmp_path) == {"bad_tag": 1, "malformed": 1, "too_large": 1}
        assert rows(tmp_path, "SELECT DISTINCT meter_id FROM refusal") == [(meter.meter_id,)]

    asyncio.run(story())


def test_a_status_is_kept_and_answered_with_the_time(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.join(gateway.port, meter)
            client.publish(meter, meter.seal(Status(0, "0.1.0", 3, 100_000, 1, -60, 1)))  # QoS 0
            receipt = await client.receipt(meter)
            assert (receipt.frame_counter, receipt.interval) == (0, 0)
            assert client.received == []  # QoS 0 has no PUBACK
            await client.close()

    asyncio.run(story())


def test_frames_sent_behind_an_unanswered_connect_are_taken_after_it(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.open(gateway.port)
            client.send(packets.connect(a_connect(meter)))
            client.publish(meter, meter.frame(), packet_id=1)
            assert await client.expect(0x20) == b"\0\0"
            assert await client.puback() == 1
            client.send(packets.connect(a_connect(meter)))  # a second CONNECT is a violation
            assert await client.is_closed()
            await client.close()

    asyncio.run(story())


def test_a_flood_behind_an_unanswered_connect_is_cut_off(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.open(gateway.port)
            flood = packets.PINGREQ * (connection.HELD_PACKETS_MAX + 1)
            client.send(packets.connect(a_connect(meter)) + flood)
            assert await client.is_closed()
            await client.close()
        assert refusals(tmp_path) == {"mqtt_too_large": 1}

    asyncio.run(story())


def test_a_meter_added_while_the_gateway_runs_is_let_in(tmp_path: Path) -> None:
    first, late = a_meter(1), a_meter(2)

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, first)) as gateway:
            refused = await Client.open(gateway.port)
            assert await refused.connect(late) == packets.NOT_AUTHORISED
            add_meter(tmp_path, late)
            client = await Client.join(gateway.port, late)
            client.publish(late, late.frame(), packet_id=1)
            assert await client.puback() == 1
            await refused.close()
            await client.close()

    asyncio.run(story())


def test_more_frames_than_one_group_holds_are_all_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = a_meter()
    monkeypatch.setattr(intake, "PENDING_PUBLISHES_MAX", 4)

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.join(gateway.port, meter)
            for packet_id in range(1, 301):
                client.publish(meter, meter.frame(), packet_id)
            assert [await client.puback() for _ in range(300)] == list(range(1, 301))
            await client.close()
        assert len(journal_of(tmp_path)) == 300

    asyncio.run(story())


def test_a_meter_that_does_not_read_is_let_go(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.join(gateway.port, meter)
            session = gateway.endpoint.sessions[meter.meter_id]
            session.send(bytes(connection.WRITE_BYTES_MAX))
            assert gateway.endpoint.sessions  # at the limit it may stay
            session.send(bytes(connection.WRITE_BYTES_MAX + 1))
            assert not gateway.endpoint.sessions
            await client.close()

    asyncio.run(story())


def test_down_counters_are_never_used_twice_across_restarts(tmp_path: Path) -> None:
    meter = a_meter()
    used: list[int] = []

    async def story() -> None:
        config = a_home(tmp_path, meter)
        for _ in range(3):
            async with a_gateway(config) as gateway:
                client = await Client.join(gateway.port, meter)
                for packet_id in range(1, 4):
                    client.publish(meter, meter.frame(), packet_id)
                    await client.puback()
                    body = await client.expect(0x30)
                    size = int.from_bytes(body[:2], "big")
                    used.append(peek(body[2 + size :]).frame_counter)
                await client.close()

    asyncio.run(story())
    assert len(used) == 9
    assert len(set(used)) == 9


def test_a_profile_from_the_far_future_is_refused(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.join(gateway.port, meter)
            client.publish(meter, meter.seal(a_profile(start_s=(1 << 36) - 1)), packet_id=1)
            assert await client.puback() == 1
            await client.close()
        assert refusals(tmp_path) == {"start_ahead": 1}

    asyncio.run(story())
