"""Secrets stay where they belong: every command and every refusal, and nothing of them anywhere."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway import registry, store
from gateway.config import load
from gateway.doors import certs
from gateway.mqtt import packets
from gateway.registry import Registry
from tests.gateway.test_gateway_command_line import gateway
from tests.support.gateway import Client, FakeMeter, a_gateway, a_home, rows
from tests.support.gateway_tls import a_tls_client, a_tls_home, now_s, trusting

HEX_ID = "5ec2e7000000beef"
METER_KEY = bytes.fromhex("5ec2e75ec2e7" * 5 + "dead")
PASSWORD = "marked-secret-password-one"
NEXT_PASSWORD = "marked-secret-password-two"
GUESS = "marked-secret-guess-from-the-net"


def a_marked_meter() -> FakeMeter:
    return FakeMeter(bytes.fromhex(HEX_ID), METER_KEY, PASSWORD)


def spellings(secret: bytes) -> list[bytes]:
    """A secret as it might be written somewhere."""
    return [
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret),
        repr(secret)[2:-1].encode(),
    ]


def assert_untold(text: bytes, secrets: list[bytes], where: object) -> None:
    for secret in secrets:
        for spelling in spellings(secret):
            assert spelling not in text, where


def new(**changes: Any) -> str:
    meter = {"meter_id": HEX_ID, "meter_key": METER_KEY.hex(), "key_epoch": 0, "password": PASSWORD}
    return json.dumps(meter | changes)


SECRETS = [METER_KEY, PASSWORD.encode(), NEXT_PASSWORD.encode(), GUESS.encode()]


def test_no_command_prints_a_secret_whether_it_succeeds_or_is_refused(tmp_path: Path) -> None:
    config = a_home(tmp_path)
    config.write_text(config.read_text().replace("json", "console"))
    commands: list[tuple[list[str], str]] = [
        (["meters", "add"], new()),
        (["meters", "add"], new()),
        (["meters", "add"], new(meter_id="x")),
        (["meters", "add"], new(meter_key=METER_KEY.hex() + "0")),
        (["meters", "add"], new(password=PASSWORD[:20])),
        (["meters", "add"], new(password=PASSWORD + "ł")),
        (["meters", "add"], new()[:-1]),
        (["meters", "add"], f"[{new()}, {new()}]"),
        (["meters", "add", PASSWORD], ""),
        (["meters", "list"], ""),
        (["meters", "show", HEX_ID], ""),
        (["meters", "password", HEX_ID], NEXT_PASSWORD),
        (["meters", "password", HEX_ID], NEXT_PASSWORD[:20]),
        (["keys", "list"], ""),
        (["keys", "rotate", HEX_ID], ""),
        (["keys", "rewrap"], ""),
        (["audit", "list", "--json"], ""),
        (["audit", "verify"], ""),
        (["meters", "revoke", HEX_ID], ""),
        (["meters", "decommission", HEX_ID, "--yes"], ""),
        (["run", "--check-config"], ""),
    ]
    masters = [registry.read_master_key(tmp_path / "master.key")]
    for words, stdin in commands:
        done = gateway(*words, "--config", config, stdin=stdin)
        text = (done.stdout + done.stderr).encode()
        assert "Traceback" not in done.stderr, words
        masters.append(registry.read_master_key(tmp_path / "master.key"))
        told = [secret for secret in SECRETS if secret.decode("latin-1") not in words]
        assert_untold(text, [*told, *masters], words)
    for file in tmp_path.glob("gateway.db*"):
        assert_untold(file.read_bytes(), [*SECRETS, *masters], file)


def test_no_refusal_of_a_session_tells_a_secret_in_log_or_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    structlog.reset_defaults()  # to the standard output of now, whoever set it up before
    meter = a_marked_meter()
    folder = tmp_path / "certs"
    certs.make_ca(folder, "Test CA", now_s())
    certs.make_server(folder, ["gateway.test"], now_s())
    tries: list[dict[str, Any]] = [
        {"password": GUESS.encode()},
        {"user": "ab" * 8},
        {"user": PASSWORD},
        {"user": METER_KEY.hex()},
        {"client_id": PASSWORD},
        {"client_id": "", "clean": False},
        {"will": packets.Will("m/00/other/gone", PASSWORD.encode())},
        {},
    ]

    async def story() -> None:
        config = a_tls_home(tmp_path, meter, folder=folder)
        config.write_text(config.read_text().replace('"json"', '"json"\nlevel = "debug"'))
        async with a_gateway(config) as gateway:
            for changes in tries:
                client = await a_tls_client(gateway.port, trusting(folder))
                await client.connect(meter, **changes)
                if not changes:
                    client.publish(meter, meter.frame(), 1)
                    await client.puback()
                    client.publish(meter, METER_KEY, 2)
                    await client.puback()
                    for file in tmp_path.glob("gateway.db*"):
                        assert_untold(file.read_bytes(), SECRETS, file)
                await client.close()
            plain = await Client.open(gateway.port)
            plain.send(
                packets.connect(packets.Connect(HEX_ID, HEX_ID, PASSWORD.encode(), 60, True, None))
            )
            await plain.is_closed()
            await plain.close()

    asyncio.run(story(), debug=True)
    printed = capsys.readouterr()
    text = (printed.out + printed.err + caplog.text).encode()
    assert b"refused" in text, "the log was read"
    key = (folder / "server.key").read_bytes().splitlines()[1]
    assert_untold(text, [*SECRETS, key], "the log")
    reasons = {row[0] for row in rows(tmp_path, "SELECT reason FROM refusal")}
    assert reasons >= {
        "bad_password",
        "unknown_meter",
        "bad_client_id",
        "wrong_topic",
        "tls_expected",
    }


def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    meter = a_marked_meter()
    config = a_home(tmp_path, meter)
    connection = store.connect(tmp_path / "gateway.db")
    keeper = Registry(registry.read_master_key(tmp_path / "master.key"))
    stored = registry.fetch(connection, meter.meter_id)
    connection.close()
    assert stored is not None
    admitted = keeper.admit(stored)
    shown = [
        meter.new(), stored, keeper, admitted, list(admitted.keys.values()), load(config),
        packets.Connect(HEX_ID, HEX_ID, PASSWORD.encode(), 60, True, None),
    ]  # fmt: skip
    for thing in shown:
        assert_untold(repr(thing).encode(), [*SECRETS, stored.password_hash], type(thing))
