"""`keys`: which key epochs there are, new keys for meters, a new master key."""

from __future__ import annotations

import getpass
import random
import sqlite3
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gateway import audit, master_key, registry, rewrapping, store
from gateway import config as config_file
from gateway.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    Desk,
    JsonOption,
    desk,
    looking,
    meter_id_of,
    now_s,
    show,
)
from gateway.downlink import rekeying
from gateway.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Key epochs, new meter keys, a new master key.")

COLUMNS = ("meter_id", "meter_state", "key_epoch", "key_state", "highest_epoch")
ROTATE = "key.rotate"


@app.command("list", epilog="Example: keys list --json")
def list_(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the key epochs of every meter; keys themselves are never shown."""
    with looking(config) as connection:
        show(registry.key_states(connection), COLUMNS, as_json=as_json)


@app.command(epilog="Example: keys rotate 0123456789abcdef")
def rotate(
    meter: Annotated[str, typer.Argument(metavar="[METER_ID]", help="16 hex digits")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    every: Annotated[bool, typer.Option("--all", help="every active meter, in waves")] = False,
) -> None:
    """Give a meter, or every active one, a new key by a sealed command."""
    if every == bool(meter):
        raise UsageError("name one meter, or --all")
    with desk(config) as at:
        if every:
            _rotate_all(at)
        else:
            _rotate_one(at, meter_id_of(meter))


def _rotate_one(at: Desk, meter_id: bytes) -> None:
    at_s = now_s()

    def work(connection: sqlite3.Connection) -> int:
        row_id = rekeying.queue(connection, at.keeper, meter_id, at.actor, at_s)
        audit.record(connection, at.actor, ROTATE, meter_id.hex(), {"command": row_id}, at_s)
        return row_id

    row_id = at.act(work)
    print(f"command {row_id} brings meter {meter_id.hex()} its new key; `keys list` shows when")


def _rotate_all(at: Desk) -> None:
    states = registry.states(at.connection)
    active = [bytes.fromhex(one) for one, state in states.items() if state == registry.ACTIVE]
    plan = rekeying.spread(active, now_s(), random.SystemRandom().random)
    left_out: list[tuple[bytes, str]] = []
    for start in range(0, len(plan), rekeying.WAVE_METERS):
        left_out += at.act(partial(_wave, at, plan[start : start + rekeying.WAVE_METERS]))
    print(f"{len(plan) - len(left_out)} meters get a new key, {len(left_out)} were left out")
    for meter_id, why in left_out:
        print(f"{meter_id.hex()} {why}")


def _wave(
    at: Desk, wave: list[tuple[bytes, int]], connection: sqlite3.Connection
) -> list[tuple[bytes, str]]:
    at_s = now_s()
    left_out = rekeying.queue_wave(connection, at.keeper, wave, at.actor, at_s)
    detail: dict[str, object] = {"meters": len(wave) - len(left_out)}
    audit.record(connection, at.actor, ROTATE, "all", detail, at_s)
    return left_out


@app.command(epilog="Example: keys rewrap --config gateway.toml")
def rewrap(
    config: ConfigOption = DEFAULT_CONFIG,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="where a new key goes when it is a systemd credential"),
    ] = None,
) -> None:
    """Wrap every key under a new master key. The gateway must be stopped; repeat when cut off."""
    loaded = config_file.load(config).store
    if (loaded.master_key_credential is None) == (to is not None):
        raise UsageError("--to is for a master key that is a systemd credential, and only for it")
    held = store.Store(Path(loaded.path))  # its lock: a running gateway has the old key in memory
    try:
        if to is None:
            path = Path(loaded.master_key_file)
            done = rewrapping.rewrap(path, held.connection, getpass.getuser(), now_s())
            print(f"{done.keys} keys moved; {path} is the new master key, back it up now")
            print(f"{done.kept} opens backups of the database made before; delete it with them")
        else:
            (old,) = master_key.master_keys(loaded)
            if not to.exists():
                master_key.write_master_key(to)
            new = master_key.read_master_key(to)
            keys = rewrapping.move(held.connection, old, new, getpass.getuser(), now_s())
            print(f"{keys} keys moved; make {to} the credential before you start the gateway")
    finally:
        held.close()
