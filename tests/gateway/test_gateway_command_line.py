"""The program as people start it: real processes, one clear line for a mistake, no traceback."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.init import example
from gateway.config import CONFIG_BYTES_MAX, load, read_token
from gateway.errors import ConfigError, UsageError
from gateway.registry import parse_new_meter
from tests.support.gateway import (
    TOKEN,
    Client,
    FakeSettlement,
    a_gateway,
    a_home,
    a_meter,
    rows,
    until,
)

ROOT = Path(__file__).resolve().parents[2]


def gateway(
    *arguments: str | Path, stdin: str = "", folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )


def as_json(number: int = 1, **changes: object) -> str:
    meter = a_meter(number)
    fields: dict[str, object] = {
        "meter_id": meter.hex_id,
        "meter_key": meter.meter_key.hex(),
        "key_epoch": 0,
        "password": meter.password,
    }
    return json.dumps(fields | changes)


def test_from_init_to_a_listed_meter(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    made = gateway("init", "--config", config)
    assert (made.returncode, made.stderr) == (0, "")
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600
    assert gateway("run", "--check-config", "--config", config).returncode == 0
    added = gateway("meters", "add", "--config", config, stdin=as_json())
    assert added.stdout == f"meter {a_meter().hex_id} added\n"
    listed = gateway("meters", "list", "--config", config, "--json")
    (meter,) = json.loads(listed.stdout)
    assert meter["meter_id"] == a_meter().hex_id
    assert meter["key_epochs"] == [0]
    again = gateway("meters", "add", "--config", config, stdin=as_json())
    assert again.returncode == 2
    assert "registered already" in again.stderr
    assert gateway("init", "--config", config).returncode == 2


@pytest.mark.parametrize(
    ("stdin", "says"),
    [
        ("", "not one JSON object"),
        ("[]", "Expected `object`"),
        (as_json(meter_id="xyz"), "$.meter_id"),
        (as_json(meter_id=a_meter().hex_id.upper()), "$.meter_id"),
        (as_json(meter_key="00" * 31), "$.meter_key"),
        (as_json(key_epoch=256), "$.key_epoch"),
        (as_json(password="s" * 21), "$.password"),
        (as_json(password="s" * 257), "$.password"),
        (as_json(password="ł" * 22), "ASCII"),
        (as_json(extra=1), "unknown field `extra`"),
        (as_json()[:-1], "not one JSON object"),
        (as_json() + " " * 5000, "at most 4096 bytes"),
    ],
)
def test_a_meter_that_is_not_right_is_refused_in_one_line_without_its_secrets(
    stdin: str, says: str
) -> None:
    with pytest.raises(UsageError) as refused:
        parse_new_meter(stdin.encode())
    line = str(refused.value)
    assert says in line
    assert "\n" not in line
    assert a_meter().meter_key.hex() not in line
    assert a_meter().password not in line


@pytest.mark.parametrize("password", ["s" * 22, "s" * 256])
def test_a_password_within_its_limits_is_taken(password: str) -> None:
    assert parse_new_meter(as_json(password=password).encode()).password == password


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('gateway_id = "gw-1"\nport = 1', 'unknown key "port"'),
        ('gateway_id = "gw-1"\n[endpoint]\nprot = 1', 'unknown key "endpoint.prot"'),
        ('gateway_id = "gw-1"\n[endpoint]\nport = 65536', '"endpoint.port"'),
        ('gateway_id = "gw-1"\n[endpoint]\nport = "1883"', '"endpoint.port"'),
        ("[endpoint]\nport = 1", '"gateway_id" is missing'),
        ('gateway_id = "' + "g" * 65 + '"', '"gateway_id"'),
        ('gateway_id = "gw 1"', '"gateway_id"'),
        ('gateway_id = "gw-1"\n[settlement]\n', '"settlement.url" is missing'),
        ('gateway_id = "gw-1"\n[settlement]\nurl = "ftp://x"', '"settlement.url"'),
        ('gateway_id = "gw-1"\n[settlement]\nurl = "http://u:p@x"', "without user"),
        ('gateway_id = "gw-1"\n[settlement]\nurl = "http://[x"', '"settlement.url"'),
        ('gateway_id = "gw-1"\n[log]\nlevel = "loud"', '"log.level"'),
        ("gateway_id = ", "not TOML"),
        ("\xff\xfe", "not UTF-8"),
        ("#" * (CONFIG_BYTES_MAX + 1), "longer than"),
    ],
)
def test_a_wrong_configuration_is_named_by_its_key(tmp_path: Path, text: str, says: str) -> None:
    config = tmp_path / "gateway.toml"
    config.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as refused:
        load(config)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_configuration_of_just_the_allowed_size_is_read(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    text = 'gateway_id = "' + "g" * 64 + '"\n'
    config.write_text(text + "#" * (CONFIG_BYTES_MAX - len(text)))
    assert load(config).gateway_id == "g" * 64


def test_the_example_is_a_good_configuration_with_paths_beside_it(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(example())
    assert load(config).store.path == str(tmp_path / "gateway.db")


@pytest.mark.parametrize(
    ("token", "is_good"),
    [
        ("t" * 15, False),
        ("t" * 16, True),
        ("t" * 512, True),
        ("t" * 513, False),
        ("two words in a token", False),
        ("zażółć gęślą jaźń", False),
    ],
)
def test_a_token_is_one_line_of_bounded_length(tmp_path: Path, token: str, is_good: bool) -> None:
    path = tmp_path / "token"
    path.write_text(token + "\n")
    path.chmod(0o600)
    if is_good:
        assert read_token(path) == token
    else:
        with pytest.raises(ConfigError) as refused:
            read_token(path)
        assert token not in str(refused.value)


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    config = a_home(tmp_path, settlement_url="http://127.0.0.1:1")
    (tmp_path / "token").chmod(0o644)
    refused = gateway("run", "--config", config)
    assert refused.returncode == 2
    assert "chmod 600" in refused.stderr
    assert TOKEN not in refused.stderr


@pytest.mark.parametrize(
    ("spoil", "says", "code"),
    [
        (lambda folder: (folder / "gateway.toml").unlink(), "gateway init", 2),
        (lambda folder: (folder / "master.key").unlink(), "no such file", 2),
        (lambda folder: (folder / "master.key").chmod(0o644), "chmod 600", 2),
        (lambda folder: (folder / "gateway.db").write_bytes(b"x" * 5000), "restore a backup", 1),
    ],
)
def test_what_is_missing_or_damaged_is_one_line_with_the_next_step(
    tmp_path: Path, spoil: object, says: str, code: int
) -> None:
    config = a_home(tmp_path)
    assert callable(spoil)
    spoil(tmp_path)
    refused = gateway("run", "--config", config)
    assert refused.returncode == code
    assert says in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert "Traceback" not in refused.stderr + refused.stdout


def test_a_port_in_use_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    config = a_home(tmp_path)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        config.write_text(config.read_text().replace("port = 0", f"port = {port}"))
        refused = gateway("run", "--config", config)
    assert refused.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in refused.stderr
    assert "Traceback" not in refused.stderr + refused.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_gateway_stops_cleanly_when_asked(tmp_path: Path, number: signal.Signals) -> None:
    config = a_home(tmp_path, a_meter())
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "run", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == "listening":
            process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert events[-1]["event"] == "stopped"
    assert next(e["port"] for e in events if e["event"] == "listening") > 0
    assert rows(tmp_path, "SELECT journal_id FROM checkpoint") == [(0,)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["trace", "--config", "gateway.toml", "nothex", "1"],
        ["trace", "--config", "gateway.toml", "00" * 8, "-1"],
        ["trace", "--config", "gateway.toml", "00" * 8, str(1 << 64)],
        ["trace", "--config", "gateway.toml", "00" * 8, "one"],
        ["fly"],
        [],
    ],
)
def test_a_mistake_in_usage_has_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    a_home(tmp_path)
    refused = gateway(*arguments, folder=tmp_path)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_a_frame_is_traced_from_its_journal_row_to_its_delivery(tmp_path: Path) -> None:
    meter = a_meter()

    async def deliver() -> FakeSettlement:
        settlement = FakeSettlement()
        await settlement.start()
        async with a_gateway(a_home(tmp_path, meter, settlement_url=settlement.url)) as running:
            client = await Client.join(running.port, meter)
            for packet_id in (1, 2):
                client.publish(meter, meter.frame(intervals=4), packet_id)
                await client.puback()
            await until(lambda: rows(tmp_path, "SELECT ended_s FROM batch WHERE last_id >= 2"))
            await until(lambda: rows(tmp_path, "SELECT max(ended_s) FROM batch") != [(None,)])
            await client.close()
        await settlement.stop()
        return settlement

    settlement = asyncio.run(deliver())
    traced = gateway("trace", meter.hex_id, "1", "--json", folder=tmp_path)
    found = json.loads(traced.stdout)
    assert (found["journal_id"], found["first"], found["intervals"]) == (2, 5, 4)
    assert found["idempotency_key"] in settlement.taken
    assert found["delivered_s"] >= found["received_s"]
    assert found["batch_id"] == 1
    assert found["idempotency_key"] in gateway("trace", meter.hex_id, "1", folder=tmp_path).stdout


def test_a_frame_that_never_came_is_not_traced(tmp_path: Path) -> None:
    a_home(tmp_path, a_meter())
    refused = gateway("trace", a_meter().hex_id, "7", folder=tmp_path)
    assert refused.returncode == 1
    assert "is not in the journal" in refused.stderr
