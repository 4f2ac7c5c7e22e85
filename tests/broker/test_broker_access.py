"""The access control of docs/broker.md, as it stands there, in a real mosquitto."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

from tests.support.behind_a_broker import behind, join
from tests.support.gateway import (
    Client,
    FakeMeter,
    a_connect,
    a_gateway,
    a_meter,
    journal_of,
    until,
)
from tests.support.mosquitto import Mosquitto
from wire import topics

ROOT = Path(__file__).resolve().parents[2]
GATEWAY_PASSWORD = "a-gateways-own-password"


def written(kind: str) -> str:
    """A block of docs/broker.md."""
    found = re.findall(rf"```{kind}\n(.*?)```", (ROOT / "docs/broker.md").read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def as_documented(folder: Path, *meters: FakeMeter) -> Mosquitto:
    """mosquitto as the page says, with these meters' passwords."""
    home = folder / "etc"
    home.mkdir()
    (home / "meters.acl").write_text(written("acl"))
    (home / "meters.acl").chmod(0o600)
    passwords = home / "meters.passwd"
    people = [f"{meter.hex_id}:{meter.password}\n" for meter in meters]
    passwords.write_text("".join([f"gw-1:{GATEWAY_PASSWORD}\n", *people]))
    passwords.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
    (folder / "password").write_text(GATEWAY_PASSWORD)
    (folder / "password").chmod(0o600)
    return Mosquitto(folder / "mosquitto", written("conf").replace("/etc/mosquitto", str(home)))


def test_a_meter_cannot_speak_for_another_or_hear_what_is_said_to_it(tmp_path: Path) -> None:
    honest, nosy = a_meter(1), a_meter(2)

    async def story(broker: Mosquitto) -> None:
        login = {"user": "gw-1", "password_file": str(tmp_path / "password")}
        async with a_gateway(behind(broker, tmp_path, honest, nosy, **login)) as gateway:
            await until(lambda: gateway.broker is not None and gateway.broker.connected)
            await asyncio.sleep(0.1)
            other = await join(broker.port, nosy)
            other.send(subscribe_to(topics.down(honest.meter_id)))
            assert await other.expect(0x90) == b"\0\2\1"  # mosquitto looks when it delivers
            other.publish(honest, honest.frame(), 1)
            assert await other.puback() == 1  # mosquitto takes it and forgets it
            own = await join(broker.port, honest)
            honest.next_interval = 1
            own.publish(honest, honest.frame(), 1)
            assert (await own.receipt(honest)).interval == 1
            other.publish(nosy, nosy.frame(), 2)
            assert (await other.receipt(nosy)).interval == 1
            assert [first for first, _ in other.received if first & 0xF0 == 0x30] == []
            assert gateway.intake.accepted == 2
            assert gateway.intake.refused_by == {}
            await own.close()
            await other.close()
        assert [row.frame_counter for row in journal_of(tmp_path)] == [1, 0]

    with as_documented(tmp_path, honest, nosy) as broker:
        asyncio.run(story(broker))


def test_nobody_comes_in_without_his_own_password(tmp_path: Path) -> None:
    meter = a_meter(1)

    async def story(broker: Mosquitto) -> list[int]:
        codes = []
        for user, password in ((None, None), (meter.hex_id, b"wrong"), ("gw-1", meter.password)):
            client = await Client.open(broker.port)
            word = password.encode() if isinstance(password, str) else password
            codes.append(await client.connect(meter, user=user, password=word))
            await client.close()
        assert a_connect(meter).user == meter.hex_id
        return codes

    with as_documented(tmp_path, meter) as broker:
        assert asyncio.run(story(broker)) == [5, 5, 5]


def subscribe_to(topic: str) -> bytes:
    name = topic.encode()
    return bytes((0x82, 5 + len(name), 0, 2, 0, len(name))) + name + b"\1"
