"""The systemd unit: its sandbox is tight, and the gateway lives in it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from gateway import store
from gateway.registry import Registry, read_master_key
from tests.support.gateway import Client, a_home, a_meter

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "gateway/deploy/openlicznik-gateway.service"
EXPOSURE_MAX = 2.0
CALLED = re.compile(r"^(?:\d+ +)?(\w+)\((.*)")


def settings(name: str) -> list[str]:
    """Every value of a setting in the unit."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def calls_of(group: str) -> set[str]:
    """The system calls in a group of SystemCallFilter, with the groups inside it."""
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True
    ).stdout
    names: set[str] = set()
    for line in listed.splitlines()[1:]:
        word = line.strip().partition(" ")[0]
        if word.startswith("@"):
            names |= calls_of(word)
        elif word and not word.startswith("#"):
            names.add(word)
    return names


def allowed() -> set[str]:
    """What SystemCallFilter leaves."""
    names: set[str] = set()
    for value in settings("SystemCallFilter"):
        groups = value.lstrip("~").split()
        found = set().union(*(calls_of(group) for group in groups))
        names = names - found if value.startswith("~") else names | found
    return names


def here(text: str, folder: Path) -> str:
    """A line of the unit with the paths of an installation replaced by ours."""
    text = text.replace("/usr/lib/openlicznik/.venv/bin/python", sys.executable)
    text = text.replace("/usr/lib/openlicznik", str(ROOT))
    return text.replace("/etc/openlicznik", str(folder)).replace(
        "/var/lib/openlicznik", str(folder)
    )


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as line:
        port: int = line.getsockname()[1]
        return port


def installed(folder: Path, http_port: int) -> None:
    """The configuration of an installation, with a settlement service that is down."""
    config = a_home(folder, a_meter(), settlement_url="http://localhost:1")
    text = here((ROOT / "gateway/deploy/gateway.toml").read_text(), folder)
    text = text.replace("port = 1883", "port = 0").replace("port = 8081", f"port = {http_port}")
    config.write_text(text + '[settlement]\nurl = "http://localhost:1"\n')


def environment(folder: Path) -> dict[str, str]:
    """What systemd would give the process."""
    environ = {
        "NOTIFY_SOCKET": str(folder / "notify"),
        "CREDENTIALS_DIRECTORY": str(folder),
        "WATCHDOG_USEC": str(int(settings("WatchdogSec")[0]) * 1_000_000),
    }
    pairs = (pair.partition("=") for pair in here(settings("Environment")[0], folder).split())
    return environ | {name: value for name, _, value in pairs}


async def send_a_frame(port: int) -> None:
    meter = a_meter()
    client = await Client.join(port, meter)
    client.publish(meter, meter.frame(), 1)
    assert await client.puback() == 1
    await client.close()


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """System calls of the unit's command: started, used, reloaded, stopped."""
    folder, http_port = tmp_path_factory.mktemp("unit"), a_free_port()
    installed(folder, http_port)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(30)
        process = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", str(folder / "calls"),
             *here(settings("ExecStart")[0], folder).split()],
            cwd=here(settings("WorkingDirectory")[0], folder), env=environment(folder),
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            while b"READY=1\nSTATUS=port " not in (said := manager.recv(200)):
                pass
            asyncio.run(send_a_frame(int(said.rpartition(b" ")[2])))
            for path in ("livez", "readyz", "metrics"):
                with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/{path}") as answer:
                    assert answer.status == 200
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            (gateway,) = children.read_text().split()
            reload = settings("ExecReload")[0].replace("$MAINPID", gateway)
            subprocess.run(reload.split(), check=True)
            while manager.recv(200) != b"READY=1":
                pass
            os.kill(int(gateway), signal.SIGTERM)
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0
    assert '"event": "stopped"' in output
    found = map(CALLED.match, (folder / "calls").read_text().splitlines())
    return [(call[1], call[2]) for call in found if call]


def test_the_exposure_is_below_two() -> None:
    analyzed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager",
         f"--threshold={int(EXPOSURE_MAX * 10)}", str(UNIT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert analyzed.returncode == 0, analyzed.stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", analyzed.stdout)
    assert found
    assert float(found[1]) < EXPOSURE_MAX


PROMISED = {
    "Type": "notify", "DynamicUser": "yes", "StateDirectory": "openlicznik",
    "ConfigurationDirectory": "openlicznik", "ProtectSystem": "strict", "ProtectHome": "yes",
    "ProtectProc": "invisible", "NoNewPrivileges": "yes", "PrivateTmp": "yes",
    "PrivateDevices": "yes", "PrivateUsers": "yes", "MemoryDenyWriteExecute": "yes",
    "CapabilityBoundingSet": "", "SystemCallArchitectures": "native", "UMask": "0077",
}  # fmt: skip


@pytest.mark.parametrize("name", PROMISED)
def test_no_single_protection_is_lost_unnoticed(name: str) -> None:
    assert settings(name) == [PROMISED[name]]


def test_a_unit_without_its_sandbox_is_found_exposed(tmp_path: Path) -> None:
    bare = tmp_path / "bare.service"
    kept = re.sub(r"^(Protect|Private|Restrict|System|Cap|NoNew|Dynamic).*\n", "",
                  UNIT.read_text(), flags=re.MULTILINE)  # fmt: skip
    bare.write_text(kept)
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(bare)]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(here(UNIT.read_text(), tmp_path))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    about_us = [line for line in verified.stderr.splitlines() if UNIT.name in line]
    assert not about_us


def test_the_gateway_makes_only_the_system_calls_that_the_unit_allows(
    trace: list[tuple[str, str]],
) -> None:
    made = {name for name, _ in trace}
    if os.geteuid() == 0:  # SQLite gives its files to the folder's owner when root runs it
        made.discard("fchown")
    assert {"socket", "sendto", "pwrite64"} <= made
    assert made & {"fsync", "fdatasync"}
    assert not made - allowed(), sorted(made - allowed())


def test_the_gateway_never_makes_memory_both_writable_and_executable(
    trace: list[tuple[str, str]],
) -> None:
    assert settings("MemoryDenyWriteExecute") == ["yes"]
    mapped = [(name, text) for name, text in trace if name in ("mmap", "mprotect", "shmat")]
    assert mapped
    for name, text in mapped:
        if "PROT_EXEC" in text:
            assert name == "mmap", text
            assert "PROT_WRITE" not in text


def test_the_gateway_opens_only_the_families_that_the_unit_allows(
    trace: list[tuple[str, str]],
) -> None:
    families = set(settings("RestrictAddressFamilies")[0].split())
    opened = {text.partition(",")[0] for name, text in trace if name in ("socket", "socketpair")}
    assert opened
    assert {family.replace("AF_LOCAL", "AF_UNIX") for family in opened} <= families


def test_the_installed_command_finds_configuration_and_master_key_by_itself(
    tmp_path: Path,
) -> None:
    installed(tmp_path, 0)
    script = tmp_path / "openlicznik-gateway"
    script.write_text(here((ROOT / "gateway/deploy/openlicznik-gateway").read_text(), tmp_path))
    listed = subprocess.run(
        ["sh", str(script), "meters", "list", "--json"],
        capture_output=True, text=True, check=False, cwd="/",
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert listed.returncode == 0, listed.stderr
    (meter,) = json.loads(listed.stdout)
    assert meter["meter_id"] == a_meter().hex_id
    added = subprocess.run(
        ["sh", str(script), "meters", "revoke", a_meter().hex_id],
        capture_output=True, text=True, check=False, cwd="/",
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert added.returncode == 0, added.stderr  # it needs the master key


def test_the_units_database_is_the_one_of_its_configuration(tmp_path: Path) -> None:
    a_home(tmp_path, a_meter())
    connection = store.connect(tmp_path / "gateway.db")
    Registry(read_master_key(tmp_path / "master.key")).check_master_key(connection)
    connection.close()
    text = (ROOT / "gateway/deploy/gateway.toml").read_text()
    (state,) = settings("StateDirectory")
    assert f'path = "/var/lib/{state}/' in text
    credential = settings("LoadCredential")[0].partition(":")[0]
    assert f'master_key_credential = "{credential}"' in text
