"""Revoke, restore, decommission by the command line while the gateway runs, and what it shows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway import news, registry
from gateway.errors import UsageError
from gateway.mqtt import packets
from gateway.registry import DECOMMISSIONED, REVOKED
from tests.gateway.test_gateway_command_line import as_json, gateway
from tests.support.gateway import (
    Client,
    FakeMeter,
    a_gateway,
    a_home,
    a_meter,
    refusals,
    until,
)

SHOWN_OUT_S = news.LOOK_S + 4  # a second, and what a busy computer needs
NEW_PASSWORD = "a-new-password-of-this-meter"


async def knock(port: int, meter: FakeMeter, **changes: Any) -> int:
    client = await Client.open(port)
    code = await client.connect(meter, **changes)
    await client.close()
    return code


def test_a_revoked_meter_is_shown_out_refused_by_name_and_let_in_when_restored(
    tmp_path: Path,
) -> None:
    meter, other = a_meter(1), a_meter(2)

    async def story() -> None:
        config = a_home(tmp_path, meter, other)
        async with a_gateway(config) as running:
            client = await Client.join(running.port, meter)
            bystander = await Client.join(running.port, other)
            client.publish(meter, meter.frame(), 1)
            assert await client.puback() == 1
            act(config, "revoke", meter)
            async with asyncio.timeout(SHOWN_OUT_S):
                assert await client.is_closed()
            assert running.registry.meters[meter.meter_id].keys == {}
            assert await knock(running.port, meter) == packets.NOT_AUTHORISED
            assert await knock(running.port, meter, password=b"x" * 30) == packets.BAD_PASSWORD
            act(config, "restore", meter)
            back = await Client.join(running.port, meter)
            back.publish(meter, meter.frame(), 2)
            assert await back.puback() == 2
            receipt = await back.receipt(meter)
            assert (receipt.frame_counter, receipt.interval) == (1, 2), "nothing was forgotten"
            bystander.publish(other, other.frame(), 3)
            assert await bystander.puback() == 3
            for line in (client, bystander, back):
                await line.close()
        assert refusals(tmp_path) == {"revoked": 1, "bad_password": 1}

    asyncio.run(story())


def act(config: Path, verb: str, meter: FakeMeter, *more: str) -> None:
    done = gateway("meters", verb, meter.hex_id, "--config", config, *more)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_decommissioned_meter_is_shown_out_while_a_frame_is_on_its_way(tmp_path: Path) -> None:
    """Its keys go from memory; the commit that is under way ends well all the same."""
    meter = a_meter()

    async def story() -> None:
        config = a_home(tmp_path, meter)
        async with a_gateway(config) as running:
            client = await Client.join(running.port, meter)
            for packet_id in range(1, 200):
                client.publish(meter, meter.frame(), packet_id)
            await client.puback()
            running.registry.forget_keys(meter.meter_id)  # at the worst moment
            act(config, "decommission", meter, "--yes")
            async with asyncio.timeout(SHOWN_OUT_S):
                assert await client.is_closed()
            assert await knock(running.port, meter) == packets.NOT_AUTHORISED
            assert not running._intake_task.done()  # type: ignore[union-attr]
            await client.close()
        assert refusals(tmp_path).get("decommissioned") == 1

    asyncio.run(story())


def test_a_meter_that_comes_back_opens_under_its_new_key_only(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        config = a_home(tmp_path, meter)
        async with a_gateway(config) as running:
            client = await Client.join(running.port, meter)
            client.publish(meter, meter.frame(), 1)
            await client.puback()
            act(config, "decommission", meter, "--yes")
            assert await client.is_closed()
            new = as_json(1, key_epoch=1, meter_key="ab" * 32, password=NEW_PASSWORD)
            refused = gateway("meters", "add", "--config", config, stdin=new)
            assert refused.returncode == 2
            assert "--force-new-epoch" in refused.stderr
            done = gateway("meters", "add", "--force-new-epoch", "--config", config, stdin=new)
            assert done.returncode == 0
            again = await Client.open(running.port)
            code = await again.connect(meter, password=NEW_PASSWORD.encode())
            assert code == packets.ACCEPTED
            again.publish(meter, meter.frame(), 2)  # under the old key
            assert await again.puback() == 2
            for line in (client, again):
                await line.close()
            await until(lambda: not running.endpoint.sessions)
        assert refusals(tmp_path) == {"unknown_epoch": 1}

    asyncio.run(story())


def test_a_new_password_is_asked_for_at_the_next_connect(tmp_path: Path) -> None:
    meter = a_meter()

    async def story() -> None:
        config = a_home(tmp_path, meter)
        async with a_gateway(config) as running:
            done = gateway(
                "meters", "password", meter.hex_id, "--config", config, stdin=NEW_PASSWORD + "\n"
            )
            assert (done.returncode, NEW_PASSWORD in done.stdout) == (0, False)
            assert await knock(running.port, meter) == packets.BAD_PASSWORD
            changed = {"password": NEW_PASSWORD.encode()}
            assert await knock(running.port, meter, **changed) == packets.ACCEPTED

    asyncio.run(story())


@pytest.mark.parametrize(("chars", "is_good"), [(21, False), (22, True), (256, True), (257, False)])
def test_a_new_password_is_within_its_limits(chars: int, is_good: bool) -> None:
    if is_good:
        assert registry.check_password("p" * chars) == b"p" * chars
    else:
        with pytest.raises(UsageError, match="22 to 256"):
            registry.check_password("p" * chars)


# -------------------------------------------------------------- the command line


def test_the_command_line_shows_states_and_epochs_and_asks_before_it_destroys(
    tmp_path: Path,
) -> None:
    config = a_home(tmp_path, a_meter(1), a_meter(2))
    kept = gateway("meters", "decommission", a_meter(1).hex_id, "--config", config, stdin="n\n")
    assert kept.returncode == 1
    act(config, "decommission", a_meter(1), "--yes")
    act(config, "revoke", a_meter(2))
    listed = json.loads(gateway("meters", "list", "--config", config, "--json").stdout)
    states = {row["meter_id"]: (row["state"], row["key_epochs"]) for row in listed}
    assert states == {
        a_meter(1).hex_id: (DECOMMISSIONED, []),
        a_meter(2).hex_id: (REVOKED, [0]),
    }
    (one,) = json.loads(
        gateway("meters", "show", a_meter(2).hex_id, "--config", config, "--json").stdout
    )
    assert one["state"] == REVOKED
    assert gateway("meters", "show", "00" * 8, "--config", config).returncode == 2
    again = gateway("meters", "revoke", a_meter(2).hex_id, "--config", config)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    keys = json.loads(gateway("keys", "list", "--config", config, "--json").stdout)
    assert {(row["meter_id"], row["key_state"]) for row in keys} == {
        (a_meter(1).hex_id, "destroyed"),
        (a_meter(2).hex_id, "in_force"),
    }


def test_keys_are_rotated_for_one_meter_or_for_all(tmp_path: Path) -> None:
    config = a_home(tmp_path, a_meter(1), a_meter(2), a_meter(3))
    act(config, "revoke", a_meter(3))
    one = gateway("keys", "rotate", a_meter(1).hex_id, "--config", config)
    assert (one.returncode, one.stderr) == (0, "")
    rest = gateway("keys", "rotate", "--all", "--config", config)
    assert rest.stdout.splitlines() == [
        "1 meters get a new key, 1 were left out",
        f"{a_meter(1).hex_id} rekey_open",
    ]
    keys = json.loads(gateway("keys", "list", "--config", config, "--json").stdout)
    unproven = {row["meter_id"] for row in keys if row["key_state"] == "unproven"}
    assert unproven == {a_meter(1).hex_id, a_meter(2).hex_id}
    for wrong in ([], ["--all", a_meter(1).hex_id]):
        assert gateway("keys", "rotate", *wrong, "--config", config).returncode == 2
    log = json.loads(gateway("audit", "list", "--config", config, "--json").stdout)
    assert [row["action"] for row in log].count("key.rotate") == 2
