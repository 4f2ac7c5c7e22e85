"""Keeps the outages: hears meters, decides once a second, writes every decision durably.

Events of meters are kept in the transaction that made them durable and judged in another one,
which moves a cursor: so each is judged exactly once, whatever crashes in between. What was only
heard is forgotten by a restart, and silence counts from the start.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import structlog

from gateway.audit import Act
from gateway.errors import StoreError
from gateway.listener import Listener, Said
from gateway.meter import Meter
from gateway.outages import meter_events, notice_text, notices, outage_rows
from gateway.outages.meter_events import Kept
from gateway.outages.notices import Notices
from gateway.outages.outage_records import AreaOutage, Now, Outage, Rules, Told, dated
from gateway.outages.outages import (
    CAUSES,
    GRACE_OVER,
    HERE,
    LINE_DIED,
    OUT,
    SUSPECTED,
    UNWATCHED,
    Watch,
)
from gateway.store import Store
from wire.messages import EVENT_BOOT, EVENT_LAST_GASP, EVENT_OUTAGE, Event

LOOK_S = 1.0
STALL_S = 30  # between two looks: then it was this process that stood still
EVENTS_A_LOOK = 500
PRUNE_LOOKS = 60  # looks between two prunings
DAY_S = 86_400
POWER_ON = 1  # reason of a boot, wire.cddl

log = structlog.get_logger()


class Figures(NamedTuple):
    """For metrics, as of the last look."""

    watched: int = 0
    suspected: int = 0
    out: int = 0
    areas_out: int = 0
    implausible: int = 0


class OutageBook(Listener):
    """Hears; looks once a second. `figures` is for metrics.

    `is_deaf` says that meters cannot reach the gateway now, for a reason of its own.
    """

    def __init__(
        self,
        store: Store,
        gateway_id: str,
        rules: Rules,
        notices_out: Notices,
        clock_s: Callable[[], int],
        steady_s: Callable[[], float],
        keep_days: int,
        is_deaf: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store, self._gateway_id, self._notices = store, gateway_id, notices_out
        self._clock_s, self._steady_s = clock_s, steady_s
        self._keep_s = keep_days * DAY_S
        self._rules, self._is_deaf = rules, is_deaf
        self.watch = Watch(rules)
        self.figures = Figures()
        self._heard: dict[bytes, int] = {}
        self._lines: dict[bytes, tuple[str, int]] = {}  # the last that happened to each
        self._died: dict[bytes, int] = {}
        self._removed: set[bytes] = set()
        self._reload = self._rested = False
        self._memory: dict[bytes, int] | None = None  # when meters were heard, to begin again
        self._known: dict[int, Outage] | None = None  # records in memory by row, in one look
        self._looked_at: int | None = None
        self._looks = 0
        self._implausible = 0
        self._wake = asyncio.Event()

    # -- gateway.listener.Listener

    def here(self, meter: Meter) -> None:
        self._lines[meter.meter_id] = (HERE, int(self._steady_s()))

    def gone(self, meter: Meter, why: str, will: bytes | None) -> None:
        if will is not None:
            at = int(self._steady_s())
            self._died[meter.meter_id] = at
            self._lines[meter.meter_id] = (LINE_DIED, at)

    def write(self, connection: sqlite3.Connection, said: list[Said], now_s: int) -> None:
        meter_events.keep(connection, said)

    def committed(self, meters: Collection[Meter], said: list[Said]) -> None:
        at = int(self._steady_s())
        heard = self._heard
        for meter in meters:
            if meter.line is None:  # its line ended before this commit did
                heard[meter.meter_id] = min(at, self._died.get(meter.meter_id, at))
            else:
                heard[meter.meter_id] = at
        if said and any(isinstance(one.message, Event) for one in said):
            self._wake.set()

    def acted(self, act: Act) -> None:
        if act.action in ("meter.revoke", "meter.decommission"):
            self._removed.add(bytes.fromhex(act.subject))
        self._reload = self._reload or act.action.split(".")[0] in ("area", "outage")

    def recovered(self) -> None:
        self._rested = True

    # -- the one task

    async def start(self, heard: Iterable[bytes]) -> None:
        """Begin with what the database has; `heard` are the meters that ever sent a frame."""
        now = self._now()
        meters = set(heard)
        await self._store.run(lambda c: self._restore(c, dict.fromkeys(meters, now.steady_s), now))
        self._looked_at = now.steady_s

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            more = await self.look()
            if not more:
                try:
                    async with asyncio.timeout(LOOK_S):  # wait_for may swallow a cancellation
                        await self._wake.wait()
                except TimeoutError:
                    continue
                self._wake.clear()

    async def look(self) -> bool:
        """Judge what came since the last look. Says whether events are left to judge."""
        now = self._now()
        if self._looked_at is not None and now.steady_s - self._looked_at > STALL_S:
            log.warning("stood_still", seconds=now.steady_s - self._looked_at)
            self._rested = True
        self._looked_at = now.steady_s
        heard, self._heard = self._heard, {}
        lines, self._lines = self._lines, {}
        removed, self._removed = self._removed, set()
        reload, self._reload = self._reload, False
        rested, self._rested = self._rested or self._is_deaf(), False

        def work(connection: sqlite3.Connection) -> bool:
            if self._memory is not None:
                self._restore(connection, self._memory, now)
            if rested:
                self.watch.rested(now)
            if reload:
                self._read_places(connection, now)
            more = self._judge_events(connection, now)
            self._judge_lines(heard, lines, removed, now)
            self.watch.look(now)
            self._write(connection, now)
            self._tidy(connection, now)
            return more

        try:
            more = await self._store.run(work)
        except StoreError as error:
            log.error("outages_not_written", error=str(error), next="tried again each second")
            self._begin_again()
            self._heard, self._lines = heard | self._heard, lines | self._lines
            self._removed |= removed
            self._reload, self._rested = True, self._rested or rested
            return False
        self._memory = None
        self._count()
        return more

    # -- on the store's thread, in one transaction

    def _judge_events(self, connection: sqlite3.Connection, now: Now) -> bool:
        self._known = None
        events = meter_events.unjudged(connection, EVENTS_A_LOOK)
        for event in events:
            self._judge(connection, event, now)
        if events:
            meter_events.judged(connection, events[-1].event_id)
            self._notices.forward(connection, self._gateway_id, events, now.utc_s)
        return len(events) == EVENTS_A_LOOK

    def _judge(self, connection: sqlite3.Connection, event: Kept, now: Now) -> None:
        if event.code == EVENT_LAST_GASP:
            self.watch.gasped(event.meter_id, event.at_s, event.received_s, now)
        elif event.code == EVENT_OUTAGE:
            said = Told(event.number, event.at_s, (*event.values, -1)[0], event.received_s)
            told = dated(said)
            if told is None:
                self._implausible += 1
                meter_events.doubt(connection, event.event_id)
                log.warning("event_implausible", meter_id=event.meter_id.hex(), number=event.number)
                return
            records = outage_rows.around(connection, event.meter_id, told, now)
            self.watch.told(event.meter_id, told, self._recall(records), now)
        elif event.code == EVENT_BOOT and event.at_s and event.values[:1] == (POWER_ON,):
            moment = Told(0, event.at_s, 0, event.received_s)
            records = outage_rows.around(connection, event.meter_id, moment, now)
            self.watch.booted(event.at_s, self._recall(records))
        self._save(connection)

    def _judge_lines(
        self,
        heard: dict[bytes, int],
        lines: dict[bytes, tuple[str, int]],
        removed: set[bytes],
        now: Now,
    ) -> None:
        for meter_id, (what, at) in lines.items():
            if what == HERE:
                self.watch.here(meter_id, now)
            else:
                self.watch.line_died(meter_id, at, now)
        for meter_id, at in heard.items():
            self.watch.heard(meter_id, at, now)
        for meter_id in removed:
            self.watch.removed(meter_id, now)

    def _recall(self, records: list[Outage]) -> list[Outage]:
        """The same records as those in memory, where they are there: a notice may wait for them."""
        if self._known is None:  # once a look: a dark city has many events and many records
            areas = self.watch.areas
            held = [record for record in areas.held if isinstance(record, Outage)]
            members = [member for area in areas.open for member in area.members.values()]
            self._known = {each.row_id: each for each in [*held, *areas.fresh, *members]}
        known = self._known
        return [known.get(record.row_id, record) for record in records]

    def _save(self, connection: sqlite3.Connection) -> None:
        changed, self.watch.areas.changed = self.watch.areas.changed, {}
        outage_rows.save(connection, changed)
        if self._known is not None:
            self._known |= {each.row_id: each for each in changed if isinstance(each, Outage)}

    def _write(self, connection: sqlite3.Connection, now: Now) -> None:
        self._save(connection)
        tells, self.watch.areas.tells = self.watch.areas.tells, []
        for tell in tells:
            what, outage = tell
            kind = "area_outage" if isinstance(outage, AreaOutage) else "outage"
            log.warning(f"{kind}_{what}", id=outage.row_id, area=outage.area)
            notice = notice_text.of_outage(self._gateway_id, tell)
            self._notices.queue(connection, notice, now.utc_s)

    def _tidy(self, connection: sqlite3.Connection, now: Now) -> None:
        self._looks += 1
        if self._looks % PRUNE_LOOKS:
            return
        meter_events.prune(connection, now.utc_s - self._keep_s)
        outage_rows.prune(connection, now.utc_s - self._keep_s)
        notices.prune(connection, now.utc_s)

    # -- beginning, and beginning again

    def _begin_again(self) -> None:
        """A look was not written, so memory is ahead of the database: the next one reads that.

        When meters were heard, and whose line died, is in memory only.
        """
        if self._memory is not None:
            return
        self._memory = {}
        for meter_id, watched in self.watch.meters.items():
            if watched.state != UNWATCHED:
                self._memory[meter_id] = watched.heard_at
            outage = watched.outage
            if watched.state == SUSPECTED or (outage and outage.cause == CAUSES[GRACE_OVER]):
                self._lines.setdefault(meter_id, (LINE_DIED, watched.died_at))

    def _restore(self, connection: sqlite3.Connection, heard: dict[bytes, int], now: Now) -> None:
        outages, areas = outage_rows.load(connection, now)
        watch = Watch(self._rules)
        open_ones = [outage for outage in outages if outage.ended_s is None]
        active = {
            row[0]
            for row in connection.execute("SELECT meter_id FROM meter WHERE state = 'active'")
        }
        watch.restore(
            open_ones, {meter_id: at for meter_id, at in heard.items() if meter_id in active}, now
        )
        watch.areas.open = [area for area in areas if area.ended_s is None]
        watch.areas.held = [*(o for o in outages if not o.told), *(a for a in areas if not a.told)]
        watch.areas.fresh = list(outages)
        self.watch = watch
        self._read_places(connection, now)

    def _read_places(self, connection: sqlite3.Connection, now: Now) -> None:
        self.watch.area_of = outage_rows.areas(connection)
        self.watch.areas.plans = outage_rows.plans(connection, now.utc_s - DAY_S)

    def _count(self) -> None:
        watch = self.watch
        states = [watched.state for watched in watch.meters.values()]
        unwatched = states.count(UNWATCHED)
        self.figures = Figures(
            len(states) - unwatched,
            states.count(SUSPECTED),
            states.count(OUT),
            len(watch.areas.open),
            self._implausible,
        )

    def _now(self) -> Now:
        return Now(self._clock_s(), int(self._steady_s()))
