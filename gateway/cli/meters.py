"""`meters`: register, list, revoke, restore, decommission them; set password, security level."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from gateway import lifecycle, registry
from gateway.admin import queries
from gateway.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    MeterArgument,
    desk,
    looking,
    meter_id_of,
    now_s,
    show,
)
from gateway.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Register and list meters, close the door to one.")

COLUMNS = ("meter_id", "state", "key_epochs", "security_level", "gone_s", "refused")


@app.command(epilog="Example: meters add < meter.json")
def add(
    config: ConfigOption = DEFAULT_CONFIG,
    force_new_epoch: Annotated[
        bool,
        typer.Option(help="bring decommissioned meters back, under key epochs never used"),
    ] = False,
) -> None:
    """Register the meter on standard input: one JSON object, an array, or one on each line."""
    data = sys.stdin.buffer.read(registry.NEW_METERS_BYTES_MAX + 1)
    new = registry.parse_new_meters(data)
    with desk(config) as at:
        at.act(
            lambda connection: lifecycle.add(
                connection, at.keeper, new, at.actor, now_s(), again=force_new_epoch
            )
        )
    print(f"meter {new[0].meter_id} added" if len(new) == 1 else f"{len(new)} meters added")


@app.command("list", epilog="Example: meters list --json")
def list_(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List meters, their states and what was refused of them."""
    with looking(config) as connection:
        show(_rows(connection), COLUMNS, as_json=as_json)


@app.command("show", epilog="Example: meters show 0123456789abcdef --json")
def show_(
    meter: MeterArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Show one meter."""
    hex_id = meter_id_of(meter).hex()
    with looking(config) as connection:
        rows = [row for row in _rows(connection) if row["meter_id"] == hex_id]
    if not rows:
        raise UsageError(f"meter {hex_id} is not registered; `meters list` shows who is")
    show(rows, COLUMNS, as_json=as_json)


@app.command(epilog="Example: meters revoke 0123456789abcdef")
def revoke(meter: MeterArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Close the door to a meter; a running gateway ends its session within two seconds."""
    _change(config, meter, lifecycle.revoke, "revoked; `meters restore` lets it in again")


@app.command(epilog="Example: meters restore 0123456789abcdef")
def restore(meter: MeterArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Let a revoked meter in again."""
    _change(config, meter, lifecycle.restore, "restored")


@app.command(epilog="Example: meters decommission 0123456789abcdef --yes")
def decommission(
    meter: MeterArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Destroy a meter's keys for good; its readings and a tombstone stay."""
    if not yes:
        typer.confirm(f"Destroy the keys of meter {meter}? This is not undone", abort=True)
    _change(config, meter, lifecycle.decommission, "decommissioned; its keys are destroyed")


@app.command(epilog="Example: meters password 0123456789abcdef < password.txt")
def password(meter: MeterArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Give a meter the MQTT password on standard input; it needs it at its next CONNECT."""
    meter_id = meter_id_of(meter)
    data = sys.stdin.buffer.read(registry.PASSWORD_CHARS_MAX + 3)
    text = data.decode("latin-1").rstrip("\r\n")
    with desk(config) as at:
        at.act(
            lambda connection: lifecycle.set_password(connection, meter_id, text, at.actor, now_s())
        )
    print(f"meter {meter_id.hex()} has a new password")


@app.command(epilog="Example: meters level 0123456789abcdef L1")
def level(
    meter: MeterArgument,
    security_level: Annotated[str, typer.Argument(metavar="LEVEL", help="L0, L1 or L2")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Record how well a meter's key is protected, as `doctor` and `lockdown` read it."""
    named = security_level.upper()

    def change(connection: sqlite3.Connection, meter_id: bytes, who: str, at_s: int) -> None:
        lifecycle.set_security_level(connection, meter_id, named, who, at_s)

    _change(config, meter, change, f"is recorded as {named}")


def _change(
    config: ConfigOption,
    meter: str,
    change: Callable[[sqlite3.Connection, bytes, str, int], None],
    done: str,
) -> None:
    meter_id = meter_id_of(meter)
    with desk(config) as at:
        at.act(lambda connection: change(connection, meter_id, at.actor, now_s()))
    print(f"meter {meter_id.hex()} {done}")


def _rows(connection: sqlite3.Connection) -> list[dict[str, object]]:
    states = registry.states(connection)
    return [
        row | {"state": states.get(str(row["meter_id"]))} if row["meter_id"] else row
        for row in queries.list_meters(connection)
    ]
