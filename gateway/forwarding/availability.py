"""Which meters are here, as the broker's retained topics say it: debounced, kept over a start."""

from __future__ import annotations

import sqlite3

from gateway.audit import Act
from gateway.listener import Listener
from gateway.meter import Meter
from gateway.store import Store

ONLINE, OFFLINE, REMOVED = "online", "offline", ""  # an empty retained publish clears the topic
OFFLINE_AFTER_S = 60.0  # a meter that comes back sooner was never away
DUE_MAX = 500  # publishes in one look


class Availability(Listener):
    """What should be said of each meter, and what was said last. Times are of a monotonic clock."""

    def __init__(self, store: Store, offline_after_s: float = OFFLINE_AFTER_S) -> None:
        self._store, self._offline_after_s = store, offline_after_s
        self._said: dict[bytes, str] = {}  # a meter that has ever been here each
        self._wanted: dict[bytes, tuple[str, float]] = {}  # and from when on to say it
        self._left: list[bytes] = []  # since the last look; not given a time yet
        self._stale = set[bytes]()  # what the broker may have lost since

    async def start(self, now: float) -> None:
        """Meters that were online before the restart have as long to come back as any other."""
        self._said = await self._store.run(
            lambda c: dict(c.execute("SELECT meter_id, state FROM availability").fetchall())
        )
        for meter_id, state in self._said.items():
            if state == ONLINE:
                self._wanted[meter_id] = (OFFLINE, now + self._offline_after_s)

    def here(self, meter: Meter) -> None:
        """Said at the next look."""
        self._wanted[meter.meter_id] = (ONLINE, 0.0)

    def gone(self, meter: Meter, why: str, will: bytes | None) -> None:
        """Said when the meter stays away."""
        self._left.append(meter.meter_id)
        self._wanted.pop(meter.meter_id, None)

    def acted(self, act: Act) -> None:
        """A decommissioned meter's topic is cleared."""
        if act.action == "meter.decommission":
            self._wanted[bytes.fromhex(act.subject)] = (REMOVED, 0.0)

    def say_again(self, now: float) -> None:
        """The connection to the broker is a new one: it may have lost what it retained."""
        for meter_id, state in self._said.items():
            self._wanted.setdefault(meter_id, (state, now))
        self._stale.update(self._said)

    def due(self, now: float) -> list[tuple[bytes, str]]:
        """What to publish now, some at a time; what is said already is not said again."""
        for meter_id in self._left:
            self._wanted.setdefault(meter_id, (OFFLINE, now + self._offline_after_s))
        self._left.clear()
        due: list[tuple[bytes, str]] = []
        for meter_id, (state, from_s) in list(self._wanted.items()):
            if self._said.get(meter_id) == state and meter_id not in self._stale:
                del self._wanted[meter_id]
            elif from_s <= now and len(due) < DUE_MAX:
                due.append((meter_id, state))
        return due

    async def said(self, told: list[tuple[bytes, str]]) -> None:
        """The broker has these."""
        new = [(meter_id, state) for meter_id, state in told if self._said.get(meter_id) != state]
        if new:
            await self._store.run(lambda connection: _note(connection, new))
        for meter_id, state in told:
            self._stale.discard(meter_id)
            self._said[meter_id] = state
            if state == REMOVED:
                del self._said[meter_id]
                self._wanted.pop(meter_id, None)


def _note(connection: sqlite3.Connection, told: list[tuple[bytes, str]]) -> None:
    connection.executemany("DELETE FROM availability WHERE meter_id = ?", [(m,) for m, _ in told])
    kept = [(meter_id, state) for meter_id, state in told if state != REMOVED]
    connection.executemany("INSERT INTO availability VALUES (?, ?)", kept)
