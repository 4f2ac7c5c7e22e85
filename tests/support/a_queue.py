"""For tests of the command queue: two meters in a database, and what a meter answers."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from gateway import registry, store
from gateway.downlink import commands
from tests.support.gateway import NOW_S, FakeMeter, a_meter
from wire.messages import Result

METER = a_meter(1)
OTHER = a_meter(2)
MASTER = bytes(range(32))


def a_database(folder: Path) -> sqlite3.Connection:
    """With METER and OTHER registered."""
    keeper = registry.Registry(MASTER)
    opened = store.connect(folder / "gateway.db")

    def add(connection: sqlite3.Connection) -> None:
        keeper.check_master_key(connection)
        for meter in (METER, OTHER):
            keeper.add(connection, meter.new(), NOW_S)

    store.transact(opened, add)
    return opened


def queue(connection: sqlite3.Connection, code: int, *args: Any, **changes: Any) -> int:
    """A command to METER, or to `meter`; its row."""
    meter: FakeMeter = changes.pop("meter", METER)
    said: dict[str, Any] = {"actor": "anna", "now_s": NOW_S} | changes
    return commands.queue(connection, meter.meter_id, code, args, **said)


def row(connection: sqlite3.Connection, row_id: int) -> dict[str, Any]:
    """A command as people see it."""
    return commands.rows(connection, row_id=row_id)[0]


def answer(connection: sqlite3.Connection, row_id: int, code: int = 0, detail: bytes = b"") -> bool:
    """METER's result, nine seconds later."""
    number = row(connection, row_id)["command_id"]
    return commands.note_result(connection, METER.meter_id, Result(number, code, detail), NOW_S + 9)
