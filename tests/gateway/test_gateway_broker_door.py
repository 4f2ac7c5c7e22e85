"""The second door, behind a broker that a test bends: acknowledged after the commit, in order."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway import audit, lifecycle, registry, store
from gateway.mqtt.client_packets import Version
from tests.support.fake_broker import SUBSCRIBE, UNSUBSCRIBE, a_broker
from tests.support.gateway import NOW_S, a_meter, add_meter, refusals, rows, until
from tests.support.second_door import VERSIONS, a_door, a_pair, behind, receipts, up
from wire import topics


@pytest.mark.parametrize("version", VERSIONS)
def test_a_frame_from_the_broker_is_acknowledged_and_receipted_after_its_commit(
    tmp_path: Path, version: Version
) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_pair(version, tmp_path, meter) as (broker, gateway, _, ears):
            held = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
            await until(lambda: len(broker.bodies(SUBSCRIBE)) > 0)
            broker.deliver(up(meter), meter.frame(), 1)  # the meter is not loaded yet
            await until(lambda: receipts(broker, meter))
            held.execute("BEGIN IMMEDIATE")  # no commit can end
            broker.deliver(up(meter), meter.frame(), 7)
            await until(lambda: gateway.intake.accepted == 2)
            await asyncio.sleep(0.1)
            assert broker.pubacks() == [1]
            assert len(receipts(broker, meter)) == 1
            held.execute("ROLLBACK")
            held.close()
            await until(lambda: len(receipts(broker, meter)) == 2)
            assert broker.pubacks() == [1, 7]
            assert receipts(broker, meter)[-1][:2] == (1, 2)
            assert ears.heard == [f"here {meter.hex_id}"]

    asyncio.run(story())


def test_what_comes_behind_the_connack_before_we_subscribed_is_taken(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_broker() as broker:
            broker.session_present = True
            broker.greeting = b"".join(
                broker.publish(up(meter), meter.frame(), number) for number in (5, 6, 7)
            )
            async with a_door(behind(broker, tmp_path, meter)):
                await until(lambda: broker.pubacks() == [5, 6, 7])
                assert len(broker.bodies(UNSUBSCRIBE)) > 0  # what other shards left there

    asyncio.run(story())


@pytest.mark.parametrize("version", VERSIONS)
def test_poison_is_refused_by_name_acknowledged_in_order_and_stalls_nobody(
    tmp_path: Path, version: Version
) -> None:
    good, bad, stranger = a_meter(1), a_meter(2), a_meter(3)
    other = "m/" + topics.shard_of(good.meter_id) + "/" + stranger.hex_id + "/up"

    async def story() -> None:
        async with a_pair(version, tmp_path, good, bad) as (broker, gateway, _, ears):
            poison = [
                (up(stranger), b"x"),  # unknown_meter
                (other, b"x"),  # wrong_topic: its shard is another
                ("nobody/asked", b"x"),  # wrong_topic
                (topics.down(good.meter_id), b"x"),  # wrong_topic
                (up(bad), b"x"),  # malformed
                (up(bad), bad.frame()[:-1] + b"\0"),  # bad_tag
                (up(bad), bytes(20_000)),  # too_large
            ]
            number = 0
            for _ in range(3):
                for topic, body in poison:
                    broker.deliver(topic, body, number + 1)
                    broker.deliver(up(good), good.frame(), number + 2)
                    number += 2
            await until(lambda: len(broker.pubacks()) == number)
            assert broker.pubacks() == list(range(1, number + 1))
            assert gateway.intake.accepted == 21
            assert ears.heard == [f"here {good.hex_id}"]
            await until(lambda: sum(refusals(tmp_path).values()) == 21)
        assert refusals(tmp_path) == {
            "unknown_meter": 3, "wrong_topic": 9, "malformed": 3, "bad_tag": 3, "too_large": 3,
        }  # fmt: skip

    asyncio.run(story())


def test_a_meter_of_another_gateways_shard_is_refused_even_if_it_is_known(tmp_path: Path) -> None:
    meter = a_meter()
    shard = int(topics.shard_of(meter.meter_id), 16)
    others = f"00-{shard - 1:02x},{shard + 1:02x}-ff"

    async def story() -> None:
        async with a_broker() as broker:
            config = behind(broker, tmp_path, meter, shards=others)
            async with a_door(config) as (gateway, _, _):
                broker.deliver(up(meter), meter.frame(), 1)
                await until(lambda: broker.pubacks() == [1])
                assert gateway.intake.refused_by == {"wrong_shard": 1}
                subscribed = b"".join(broker.bodies(SUBSCRIBE))
                assert subscribed.count(b"/+/up\1") == subscribed.count(b"/+/gone\1") == 255
                assert b"m/%02x/" % shard not in subscribed
                assert b"$share" not in subscribed

    asyncio.run(story())


def test_a_meter_added_while_the_gateway_runs_is_taken_at_once(tmp_path: Path) -> None:
    meter = a_meter(2)

    async def story() -> None:
        async with a_pair("3.1.1", tmp_path, a_meter(1)) as (broker, gateway, door, _):
            broker.deliver(up(meter), meter.frame(), 1)
            await until(lambda: broker.pubacks() == [1])
            add_meter(tmp_path, meter)
            door.acted(audit.Act(9, NOW_S, "me", lifecycle.ADD, meter.hex_id, "{}"))
            broker.deliver(up(meter), meter.frame(), 2)
            await until(lambda: broker.pubacks() == [1, 2])
            assert (gateway.intake.accepted, gateway.intake.refused) == (1, 1)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("act", "reason"),
    [(lifecycle.revoke, registry.REVOKED), (lifecycle.decommission, registry.DECOMMISSIONED)],
)
def test_a_meter_that_is_shown_out_is_refused_here_too(
    tmp_path: Path, act: Any, reason: str
) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_pair("3.1.1", tmp_path, meter) as (broker, gateway, _, ears):
            broker.deliver(up(meter), meter.frame(), 1)
            await until(lambda: broker.pubacks() == [1])
            connection = store.connect(tmp_path / "gateway.db")
            store.transact(connection, lambda c: act(c, meter.meter_id, "me", NOW_S))
            connection.close()
            await gateway.news.look()
            assert ears.heard[-1].startswith(f"gone {meter.hex_id} meter.")
            broker.deliver(up(meter), meter.frame(), 2)
            await until(lambda: broker.pubacks() == [1, 2])
            assert gateway.intake.refused_by == {reason: 1}
            assert gateway.intake.accepted == 1

    asyncio.run(story())


def test_nothing_is_acknowledged_while_the_store_takes_no_writes(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_pair("3.1.1", tmp_path, meter) as (broker, gateway, door, _):
            sealed = [meter.frame(), meter.frame()]
            broker.deliver(up(meter), sealed[0], 1)
            await until(lambda: broker.pubacks() == [1])
            gateway.store.connection.execute("PRAGMA query_only = ON")
            broker.deliver(up(meter), sealed[1], 2)
            await until(lambda: gateway.intake.halted)
            await until(lambda: not door.connected)
            assert broker.pubacks() == [1]
            broker.session_present = True
            broker.greeting = broker.publish(up(meter), sealed[1], 2)  # delivered again
            await asyncio.sleep(0.1)
            assert broker.connects == 1  # it does not come back before it can write
            gateway.store.connection.execute("PRAGMA query_only = OFF")
            await until(lambda: broker.pubacks() == [1, 2])
            assert receipts(broker, meter)[-1][:2] == (1, 2)
        assert rows(tmp_path, "SELECT count(*) FROM refusal") == [(0,)]

    asyncio.run(story())


def test_a_puback_of_an_ended_connection_is_never_sent_on_the_next(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        async with a_pair("3.1.1", tmp_path, meter) as (broker, gateway, door, _):
            sealed = meter.frame()
            broker.deliver(up(meter), meter.frame(), 1)
            await until(lambda: broker.pubacks() == [1])
            held = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
            held.execute("BEGIN IMMEDIATE")
            broker.deliver(up(meter), sealed, 2)
            await until(lambda: gateway.intake.accepted == 2)
            broker.drop()
            await until(lambda: broker.connects == 2 and door.connected)
            held.execute("ROLLBACK")
            held.close()
            await until(lambda: rows(tmp_path, "SELECT count(*) FROM refusal") == [(0,)])
            await asyncio.sleep(0.1)
            assert broker.pubacks() == [1]  # 2 may be another publish by now
            broker.deliver(up(meter), sealed, 2)
            await until(lambda: broker.pubacks() == [1, 2])
            assert (gateway.intake.accepted, gateway.intake.duplicates) == (2, 1)

    asyncio.run(story())
