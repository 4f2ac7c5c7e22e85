"""Brings updates to meters in waves while the gateway runs, and stops by itself on failures."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Collection

import structlog

from gateway.audit import Act
from gateway.errors import StoreError
from gateway.listener import Listener, Said
from gateway.meter import Meter
from gateway.registry import Registry
from gateway.rollout import rollout_answers, rollout_steps
from gateway.rollout.rollout_answers import Heard
from gateway.rollout.rollout_steps import Step
from gateway.store import Store

LOOK_S = 5.0  # how late a deadline, or a meter that came back, may be noticed
REST_S = 1.0  # between two looks, whatever happens

_LEAVING = ("meter.revoke", "meter.decommission")

log = structlog.get_logger()


class Rollout(Listener):
    """Hears answers in the intake's transaction; looks at deadlines and waves by itself.

    Everything is in the database: a restart, or kill -9, goes on where it was.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock_s: Callable[[], int],
        wake: Callable[[bytes], None],
        look_s: float = LOOK_S,
        rest_s: float = REST_S,
    ) -> None:
        self._store, self._registry, self._clock_s, self._wake = store, registry, clock_s, wake
        self._look_s, self._rest_s = look_s, rest_s
        self._nudge = asyncio.Event()
        self._heard: deque[Heard] = deque()  # of the store's thread, for the loop
        self._left: list[bytes] = []
        self._after: dict[int, bytes] = {}

    # -- the listener

    def write(self, connection: sqlite3.Connection, said: list[Said], now_s: int) -> None:
        """The next piece is queued in the very transaction that keeps the answer."""
        heard = rollout_answers.hear(connection, said, now_s)
        if heard.wake or heard.settled:
            self._heard.append(heard)

    def committed(self, meters: Collection[Meter], said: list[Said]) -> None:
        """The next pieces are durable: they may leave."""
        while self._heard:
            heard = self._heard.popleft()
            for meter_id in heard.wake:
                self._wake(meter_id)
            if heard.settled:
                self._nudge.set()

    def acted(self, act: Act) -> None:
        """Somebody began, paused, resumed or stopped a roll-out, or took a meter out of service."""
        if act.action.startswith("rollout."):
            self._nudge.set()
        elif act.action in _LEAVING:
            self._left.append(bytes.fromhex(act.subject))
            self._nudge.set()

    # -- the one task that looks

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._rest_s)
            try:
                async with asyncio.timeout(self._look_s):
                    await self._nudge.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Move every roll-out on as far as it goes now."""
        self._nudge.clear()
        left, self._left = self._left, []
        after = dict(self._after)
        try:
            waiting = await self._store.run(
                lambda connection: rollout_steps.candidates(connection, after)
            )
            here = self._reached(waiting)
            now_s = self._clock_s()
            step = await self._store.run(
                lambda connection: rollout_steps.look(connection, here, left, now_s)
            )
        except StoreError as error:
            self._left = left + self._left
            log.error("rollout_waits", error=str(error), next="it goes on when the store does")
            return
        self._after = after
        self._tell(step)

    def _reached(self, waiting: list[tuple[int, bytes]]) -> dict[int, list[bytes]]:
        here: dict[int, list[bytes]] = {}
        for rollout_id, meter_id in waiting:
            meter = self._registry.meters.get(meter_id)
            if meter is not None and meter.line is not None and meter.line.hears(meter):
                here.setdefault(rollout_id, []).append(meter_id)
        return here

    def _tell(self, step: Step) -> None:
        for meter_id in step.wake:
            self._wake(meter_id)
        for rollout_id, reason in step.stopped:
            log.error(
                "rollout_stopped",
                rollout=rollout_id,
                reason=reason,
                next=f"`gateway update status {rollout_id}` names the meters and why",
            )
        for rollout_id in step.finished:
            log.info("rollout_done", rollout=rollout_id)
