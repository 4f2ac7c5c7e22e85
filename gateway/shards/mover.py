"""Gives shards up while the gateway runs: doors closed, what was accepted on disk, then gone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING

import structlog

from gateway import lifecycle
from gateway.audit import Act
from gateway.doors.connection import STOPPED
from gateway.errors import StoreError
from gateway.listener import Listener
from gateway.meter import Meter, Progress
from gateway.registry import Registry
from gateway.shards import moves
from gateway.store import Store
from wire.topics import shard_of

if TYPE_CHECKING:
    from gateway.doors.broker import Broker
    from gateway.doors.endpoint import Endpoint
    from gateway.shards.moves import Asked

SETTLE_S = 0.05  # between looks whether the journal has all that was accepted
RETRY_S = 1.0  # while the database takes no writes

log = structlog.get_logger()


class Served(frozenset[str]):
    """The shards that are served now: those of gateway.toml without those that are away.

    The doors look here whenever a meter comes, so a shard that goes is gone for both at once.
    """

    away: frozenset[str] = frozenset()

    def part(self, away: frozenset[str]) -> None:
        """These are not served, whether they are configured or not."""
        self.away = frozenset(filter(super().__contains__, away))

    def __contains__(self, shard: object) -> bool:
        return super().__contains__(shard) and shard not in self.away

    def __iter__(self) -> Iterator[str]:
        return (shard for shard in super().__iter__() if shard not in self.away)

    def __len__(self) -> int:
        return super().__len__() - len(self.away)


class Mover(Listener):
    """Reads in the audit log that shards are to be given up, and gives them up."""

    def __init__(
        self, store: Store, registry: Registry, served: Served, clock_s: Callable[[], int]
    ) -> None:
        self._store, self._registry = store, registry
        self._served, self._clock_s = served, clock_s
        self._listeners: list[Listener] = []
        self._endpoint: Endpoint | None = None
        self._broker: Broker | None = None
        self._wake = asyncio.Event()

    def attach(self, listeners: list[Listener], endpoint: Endpoint, broker: Broker | None) -> None:
        """The doors to close, and whom to tell."""
        self._listeners, self._endpoint, self._broker = listeners, endpoint, broker

    def acted(self, act: Act) -> None:
        if act.action == moves.GIVE_UP:
            self._wake.set()

    async def start(self) -> None:
        """Before a door is opened: what is away, and what was asked while nobody ran."""
        asked = await self._store.run(self._look)
        for move in asked:
            now_s = self._clock_s()
            await self._store.run(partial(moves.give_up, move=move, memory={}, now_s=now_s))
            _say(move)
        for meter_id in self._meters(self._served.away):
            del self._registry.meters[meter_id]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                for move in await self._store.run(self._look):
                    await self._give_up(move)
            except StoreError as error:
                log.error("shards_not_given_up", error=str(error), retry_s=RETRY_S)
                self._wake.set()
                await asyncio.sleep(RETRY_S)

    def _look(self, connection: sqlite3.Connection) -> list[Asked]:
        self._served.part(moves.shards_away(connection))
        return moves.asked(connection)

    async def _give_up(self, move: Asked) -> None:
        for meter_id in self._show_out(move.shards):
            gone = Act(0, self._clock_s(), "gateway", lifecycle.REVOKE, meter_id.hex(), "{}")
            for listener in self._listeners:
                if listener is not self._endpoint and listener is not self._broker:
                    listener.acted(gone)  # to them it is as if it had been revoked
        if self._broker is not None:
            self._broker.close_sessions("shards_changed")  # it comes back with fewer filters
        # Whoever was being judged when the door closed has come in when the store has done this.
        await self._store.run(lambda connection: None)
        self._show_out(move.shards)
        while not await self._store.run(
            lambda c: moves.give_up(c, move, self._memory(move.shards), self._clock_s())
        ):
            await asyncio.sleep(SETTLE_S)
        for meter_id in self._meters(move.shards):
            del self._registry.meters[meter_id]
        _say(move)

    def _show_out(self, shards: Collection[str]) -> list[bytes]:
        """Nothing comes in from these meters any more, nothing goes out; who they are."""
        meter_ids = self._meters(shards)
        for meter_id in meter_ids:
            session = self._endpoint.sessions.get(meter_id) if self._endpoint else None
            if session is not None:
                session.close(STOPPED)  # our doing: no last will, no outage
            self._leave_broker(self._registry.meters[meter_id])
        return meter_ids

    def _leave_broker(self, meter: Meter) -> None:
        if self._broker is None or self._broker.known.pop(meter.up_topic, None) is None:
            return
        if meter.line is not None:
            meter.line = None
            for listener in self._listeners:
                listener.gone(meter, STOPPED, None)

    def _memory(self, shards: Collection[str]) -> dict[bytes, Progress]:
        """Nobody changes it any more: it may be read on the store's thread."""
        return {one: self._registry.meters[one].progress for one in self._meters(shards)}

    def _meters(self, shards: Collection[str]) -> list[bytes]:
        if not shards:
            return []
        return [meter_id for meter_id in self._registry.meters if shard_of(meter_id) in shards]


def _say(move: Asked) -> None:
    log.warning(
        "shards_given_up", shards=",".join(sorted(move.shards)), to=move.other,
        move=move.move_id.hex(), next="`shard export` writes them out for the other gateway",
    )  # fmt: skip
