"""What the commands share: the database with its keys, who acts, tables and JSON."""

from __future__ import annotations

import getpass
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import typer

from gateway import config as config_file
from gateway import registry, store
from gateway.config import Config
from gateway.errors import UsageError
from gateway.master_key import master_keys
from wire.topics import METER_ID_BYTES

DEFAULT_CONFIG = Path("gateway.toml")

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", metavar="FILE", help="gateway.toml", envvar="OPENLICZNIK_GATEWAY_CONFIG"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]
MeterArgument = Annotated[str, typer.Argument(metavar="METER_ID", help="16 hex digits")]

T = TypeVar("T")


class Desk(NamedTuple):
    """Where an administrator works: the open database, its keys, and who it is."""

    config: Config
    connection: sqlite3.Connection
    keeper: registry.Registry
    actor: str

    def act(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do it in one transaction; a running gateway reads of it in the audit log."""
        return store.transact(self.connection, work)


@contextmanager
def desk(config_path: Path) -> Iterator[Desk]:
    """Open the database for acting on it; the gateway may run or not."""
    config = config_file.load(config_path)
    keeper = registry.Registry(*master_keys(config.store))
    connection = store.connect(Path(config.store.path))
    try:
        store.transact(connection, keeper.check_master_key)
        yield Desk(config, connection, keeper, actor())
    finally:
        connection.close()


def actor() -> str:
    """Who acts, for the audit log: the user of this process, and behind sudo who called it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{behind} as {user}" if behind and behind != user else user


@contextmanager
def looking(config_path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for looking only."""
    connection = store.connect_read_only(Path(config_file.load(config_path).store.path))
    try:
        yield connection
    finally:
        connection.close()


def now_s() -> int:
    """UTC seconds since 1970."""
    return int(time.time())


def meter_id_of(text: str) -> bytes:
    """A meter id from 16 hex digits. Raises UsageError."""
    try:
        meter_id = bytes.fromhex(text)
    except ValueError:
        meter_id = b""
    if len(meter_id) != METER_ID_BYTES or len(text) != 2 * METER_ID_BYTES:
        raise UsageError("a meter id is 16 hex digits")
    return meter_id


def show(rows: Sequence[dict[str, object]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows as a table of these columns, or whole as JSON."""
    if as_json:
        print(json.dumps(list(rows)))
        return
    from rich.console import Console  # a command that prints JSON need not wait for it
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*("" if row.get(name) is None else str(row[name]) for name in columns))
    Console(soft_wrap=True).print(table)
