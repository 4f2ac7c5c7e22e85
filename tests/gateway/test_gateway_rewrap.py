"""A new master key: every wrapped key moves, and after a crash at any step one of the two fits."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import audit, config, master_key, registry, rewrapping, store
from gateway.downlink import commands, rekeying
from gateway.errors import ConfigError, DamagedStore, MasterKeyError, UsageError
from gateway.registry import Registry
from gateway.store import Store
from tests.gateway.test_gateway_command_line import gateway
from tests.support.gateway import NOW_S, FakeMeter, a_home, a_meter
from wire.messages import COMMAND_REKEY

METERS = [a_meter(number) for number in range(1, 4)]


class Crash(BaseException):
    """The process ends here."""


def settings(folder: Path) -> config.Store:
    return config.Store(str(folder / "gateway.db"), str(folder / "master.key"))


def opened(folder: Path) -> tuple[sqlite3.Connection, Registry]:
    """As the gateway opens it. Raises MasterKeyError when no key of its files fits."""
    connection = store.connect(folder / "gateway.db")
    keeper = Registry(*master_key.master_keys(settings(folder)))
    keeper.check_master_key(connection)
    return connection, keeper


def keys_of(folder: Path) -> dict[str, bytes]:
    """Every meter key as the gateway unwraps it, and the one a command carries."""
    connection, keeper = opened(folder)
    found = {}
    for meter in METERS:
        stored = registry.fetch(connection, meter.meter_id)
        assert stored is not None
        for epoch, wrapped, _ in stored.keys:
            found[f"{meter.hex_id} {epoch}"] = keeper.unwrap(meter.meter_id, epoch, wrapped)
    row = connection.execute("SELECT meter_id, wrapped, secret_bytes FROM command").fetchone()
    hidden = commands.Hidden(row[1], row[2])
    found["command"] = commands.reveal(keeper, row[0], COMMAND_REKEY, hidden)
    connection.close()
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three meters, one of them with a rekey on its way."""
    a_home(tmp_path, *METERS)
    connection, keeper = opened(tmp_path)
    store.transact(
        connection, lambda c: rekeying.queue(c, keeper, METERS[0].meter_id, "anna", NOW_S)
    )
    connection.close()
    return tmp_path


def rewrap(folder: Path) -> rewrapping.Done:
    connection = store.connect(folder / "gateway.db")
    try:
        return rewrapping.rewrap(folder / "master.key", connection, "anna", NOW_S)
    finally:
        connection.close()


def test_every_key_is_the_same_under_the_new_master_key_and_the_old_opens_nothing(
    folder: Path,
) -> None:
    before, old = keys_of(folder), registry.read_master_key(folder / "master.key")
    assert len(before) == 5
    done = rewrap(folder)
    assert done.keys == 5
    assert done.kept is not None
    assert registry.read_master_key(done.kept) == old
    assert done.kept.stat().st_mode & 0o777 == 0o600
    assert registry.read_master_key(folder / "master.key") != old
    assert not (folder / "master.key.new").exists()
    assert keys_of(folder) == before
    connection = store.connect(folder / "gateway.db")
    with pytest.raises(MasterKeyError):
        Registry(old).check_master_key(connection)
    assert audit.since(connection, 0)[-1].action == "key.rewrap"
    connection.close()


def crash(*_: Any, **__: Any) -> None:
    raise Crash


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any, **named: Any) -> None:
        function(*arguments, **named)
        raise Crash

    return run


STEPS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "before the new key is written": (master_key, "write_master_key", crash),
    "after the new key is written": (
        master_key, "write_master_key", after(master_key.write_master_key),
    ),
    "while keys are moved": (master_key, "rewrap", after(master_key.rewrap)),
    "before the commit": (audit, "record", after(audit.record)),
    "after the commit": (store, "transact", after(store.transact)),
    "before the files change places": (master_key, "take_turns", crash),
    "between keeping the old file and replacing it": (os, "replace", crash),
    "after the files changed places": (os, "replace", after(os.replace)),
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_leaves_a_key_that_fits_and_a_repeat_finishes(
    folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys_of(folder)
    where, name, bent = STEPS[step]
    monkeypatch.setattr(where, name, bent)
    with pytest.raises(Crash):
        rewrap(folder)
    monkeypatch.undo()
    assert keys_of(folder) == before, "the gateway starts with one of its two files"
    rewrap(folder)
    assert keys_of(folder) == before
    assert not (folder / "master.key.new").exists()
    for file in (*folder.glob("master.key*"), folder / "gateway.db"):
        assert file.stat().st_mode & 0o777 == 0o600, file


def test_a_damaged_key_stops_it_before_anything_changed(folder: Path) -> None:
    connection = store.connect(folder / "gateway.db")
    meter_id = METERS[2].meter_id
    connection.execute("UPDATE meter_key SET wrapped = x'00' WHERE meter_id = ?", (meter_id,))
    before = connection.execute("SELECT * FROM meter_key").fetchall()
    with pytest.raises(DamagedStore, match="table meter_key"):
        rewrapping.rewrap(folder / "master.key", connection, "anna", NOW_S)
    assert connection.execute("SELECT * FROM meter_key").fetchall() == before
    connection.close()
    opened(folder)[0].close()


def test_another_master_key_is_refused(folder: Path) -> None:
    (folder / "master.key").unlink()
    registry.write_master_key(folder / "master.key")
    with pytest.raises(MasterKeyError, match="put the right file back"):
        rewrap(folder)


def test_the_same_key_twice_is_no_new_key(folder: Path) -> None:
    new = folder / "master.key.new"
    new.write_bytes((folder / "master.key").read_bytes())
    new.chmod(0o600)
    with pytest.raises(UsageError, match="is the old one"):
        rewrap(folder)


def test_a_running_gateway_keeps_it_from_happening(folder: Path) -> None:
    running = Store(folder / "gateway.db")
    refused = gateway("keys", "rewrap", "--config", folder / "gateway.toml")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "stop that one first" in refused.stderr
    running.close()
    done = gateway("keys", "rewrap", "--config", folder / "gateway.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("5 keys moved; ")


def test_a_command_that_opened_the_database_before_cannot_wrap_under_the_old_key(
    folder: Path,
) -> None:
    connection, keeper = opened(folder)
    rewrap(folder)
    new = a_meter(9).new()
    with pytest.raises(MasterKeyError):
        store.transact(connection, lambda c: keeper.add(c, new, NOW_S))
    assert registry.state_of(connection, a_meter(9).meter_id) is None
    connection.close()


# -------------------------------------------------------------- a systemd credential


def a_credential(folder: Path, mode: int = 0o440) -> dict[str, str]:
    """The master key where systemd would put it; group rights are its ACL for the user."""
    held = folder / "credentials"
    held.mkdir(mode=0o700)
    (held / "master").write_bytes((folder / "master.key").read_bytes())
    (held / "master").chmod(mode)
    (folder / "master.key").unlink()
    return {"CREDENTIALS_DIRECTORY": str(held)}


def test_the_master_key_is_read_from_a_systemd_credential(folder: Path) -> None:
    key = registry.read_master_key(folder / "master.key")
    environ = a_credential(folder)
    named = config.Store(str(folder / "gateway.db"), master_key_credential="master")
    assert master_key.master_keys(named, environ) == [key]


@pytest.mark.parametrize("name", ["", ".", "..", "../master.key", "a/b"])
def test_a_credential_s_name_is_no_path(folder: Path, name: str) -> None:
    with pytest.raises(MasterKeyError, match="LoadCredential"):
        master_key.credential_path(name, {"CREDENTIALS_DIRECTORY": str(folder)})


def test_a_credential_that_is_not_there_says_how_to_give_it(folder: Path) -> None:
    named = config.Store(master_key_credential="master")
    with pytest.raises(MasterKeyError, match="LoadCredential=master"):
        master_key.master_keys(named, {})
    with pytest.raises(ConfigError, match="no such file"):
        master_key.master_keys(named, {"CREDENTIALS_DIRECTORY": str(folder)})


def test_a_credential_is_replaced_by_a_file_that_becomes_the_next_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in a_credential(folder).items():
        monkeypatch.setenv(name, value)
    toml = folder / "gateway.toml"
    toml.write_text(toml.read_text() + '[store]\nmaster_key_credential = "master"\n')
    assert gateway("keys", "rewrap", "--config", toml).returncode == 2
    done = gateway("keys", "rewrap", "--to", folder / "next.key", "--config", toml)
    assert (done.returncode, done.stderr) == (0, "")
    connection = store.connect(folder / "gateway.db")
    Registry(registry.read_master_key(folder / "next.key")).check_master_key(connection)
    connection.close()


def test_wrapped_keys_are_bound_to_meter_and_epoch(folder: Path) -> None:
    meter: FakeMeter = METERS[0]
    keeper = Registry(bytes(32))
    wrapped = keeper.wrap(meter.meter_id, 1, meter.meter_key)
    assert keeper.unwrap(meter.meter_id, 1, wrapped) == meter.meter_key
    for meter_id, epoch in ((METERS[1].meter_id, 1), (meter.meter_id, 2)):
        with pytest.raises(registry.StoreError, match="pair it again"):
            keeper.unwrap(meter_id, epoch, wrapped)
