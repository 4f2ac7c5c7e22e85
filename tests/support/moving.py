"""For tests of moved shards: two gateways in two folders, one transfer key, and a meter in each."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway import journal, master_key, registry, store
from gateway.errors import MoveRefused
from gateway.journal import Group
from gateway.meter import Meter
from gateway.registry import Registry
from gateway.segments import Accepted
from gateway.shards import move_file, moves, takeover
from gateway.shards.move_file import Move
from gateway.shards.moves import Asked
from tests.support.gateway import NOW_S, FakeMeter, a_home, a_meter, a_profile
from wire import messages
from wire.topics import shard_of

TRANSFER = move_file.derive(bytes(range(32)))
EVERY = frozenset(f"{number:02x}" for number in range(256))


def meters_in(first: str, last: str, count: int, begin: int = 1) -> list[FakeMeter]:
    """So many test meters whose shards are in first .. last."""
    found: list[FakeMeter] = []
    while len(found) < count:
        meter = a_meter(begin)
        begin += 1
        if first <= shard_of(meter.meter_id) <= last:
            found.append(meter)
    return found


MOVING, STAYING = meters_in("10", "1f", 1)[0], meters_in("80", "8f", 1)[0]
SHARD = shard_of(MOVING.meter_id)


class Side(NamedTuple):
    """One gateway's database."""

    name: str
    folder: Path
    connection: sqlite3.Connection
    keeper: Registry

    def ask(self, meter: FakeMeter, taker: str = "gw-b") -> Asked:
        shards = frozenset({shard_of(meter.meter_id)})
        return store.transact(
            self.connection,
            lambda c: moves.ask(c, EVERY, shards, self.name, taker, "anna", NOW_S),
        )

    def give_up(self, move: Asked) -> Asked:
        assert store.transact(self.connection, lambda c: moves.give_up(c, move, {}, NOW_S))
        found = moves.find(self.connection, move.shards, move.other)
        assert found is not None
        return found

    def export(self, move: Asked) -> Move:
        return moves.export(self.connection, move, self.name, self.keeper, TRANSFER)

    def give(self, meter: FakeMeter, taker: str = "gw-b") -> Move:
        """All of the giver's steps."""
        return self.export(self.give_up(self.ask(meter, taker)))

    def take(self, move: Move, ours: frozenset[str] = EVERY) -> bool:
        return store.transact(
            self.connection,
            lambda c: takeover.take(
                c, move, ours, self.name, self.keeper, TRANSFER, "boris", NOW_S + 60
            ),
        )

    def accept(self, meter: FakeMeter, counters: list[int], first: int = 1) -> None:
        """Put a profile of one interval for each frame counter into the journal."""
        rows: list[Accepted] = [
            (meter.meter_id, 0, counter, NOW_S, messages.encode(a_profile(first + number)))
            for number, counter in enumerate(counters)
        ]
        store.transact(self.connection, lambda c: journal.commit(c, Group(NOW_S, rows=rows)))

    def loaded(self, meter: FakeMeter) -> Meter:
        """As the gateway has it after a start and a CONNECT."""
        fresh = Registry(registry.read_master_key(self.folder / "master.key"))
        fresh.restore(journal.rebuild(self.connection))
        stored = registry.fetch(self.connection, meter.meter_id)
        assert stored is not None
        return fresh.admit(stored)


def a_side(folder: Path, name: str, *meters: FakeMeter) -> Side:
    """A gateway's folder with its own master key and these meters; open."""
    folder.mkdir()
    config = a_home(folder, *meters)
    config.write_text(config.read_text().replace('"gw-1"', f'"{name}"'))
    keeper = Registry(master_key.read_master_key(folder / "master.key"))
    connection = store.connect(folder / "gateway.db")
    store.transact(connection, keeper.check_master_key)
    return Side(name, folder, connection, keeper)


def do(side: Side, query: str, *values: object) -> None:
    """Change something in a side's database."""
    store.transact(side.connection, lambda c: c.execute(query, values))


def refused(reason: str) -> pytest.RaisesExc[MoveRefused]:
    """A move is refused for this reason."""
    return pytest.raises(MoveRefused, match=f"^{reason}: ")
