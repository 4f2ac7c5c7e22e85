"""Carries commands to meters: one in flight for each, in order, again until it is answered.

A command is sent when its meter's line is open and a frame of it was committed on this session:
then its clock and its key epoch are settled. It is written down as sent, and its frame counter as
used, before the bytes leave. The meter answers an id it knows without acting again, so sending
once more is safe. Results are marked in the transaction that makes them durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Collection
from typing import NamedTuple

import structlog

from gateway import registry
from gateway.audit import Act
from gateway.downlink import commands
from gateway.downlink.command_steps import Open, decide, retry_wait_s
from gateway.downlink.commands import Sending
from gateway.errors import StoreError
from gateway.listener import Listener, Said
from gateway.meter import DOWN_BLOCK_COUNTERS, Meter
from gateway.mqtt import packets
from gateway.registry import Registry, StoredMeter
from gateway.store import Store
from wire import frame, messages
from wire.keys import DOWN

TICK_S = 1.0  # between looks at what is due by time
SWEEP_S = 60  # between looks for expired commands of meters that are not there
SWEEP_ROWS = 500
BATCH_METERS = 200  # in one transaction, which frames wait for
DEAF_S = 5  # before looking again at a meter that does not listen
BUSY_S = 3600  # while a transaction looks; the meter's next look is set after it
NO_RESULT, SECRET_DAMAGED = b"no_result", b"secret_damaged"
UNKNOWN_RESULT = "unknown_result"  # counted as a refusal: an answer to what we never sent

log = structlog.get_logger()


class Found(NamedTuple):
    """What a look into the database found for one meter."""

    sending: Sending | None = None
    message: bytes = b""
    look_s: int | None = None
    stored: StoredMeter | None = None  # with a rekey: the new key must open before it is told

    def __repr__(self) -> str:
        return f"Found({self.sending})"


class Downlink(Listener):
    """Knows which meters have something queued, and which of them can be told now."""

    def __init__(
        self, store: Store, keeper: Registry, clock_s: Callable[[], int], retry_s: int
    ) -> None:
        self._store, self._keeper, self._clock_s, self._retry_s = store, keeper, clock_s, retry_s
        self.sent = self.repeated = self.expired = 0
        self._open: set[bytes] = set()  # meters with a command that has no result
        self._heard: set[Meter] = set()  # a frame of this session is durable
        self._look: dict[Meter, int] = {}  # both of the above: when to look
        self._again: set[Meter] = set()  # new sessions: what was sent is sent again
        self._wake = asyncio.Event()
        self._reload_due = False
        self._swept_s = 0

    @property
    def meters_waiting(self) -> int:
        """How many meters have something queued or unanswered."""
        return len(self._open)

    def wake(self, meter_id: bytes) -> None:
        """There may be something to send to this meter now."""
        self._open.add(meter_id)
        meter = self._keeper.meters.get(meter_id)
        if meter is not None and meter in self._heard:
            self._look[meter] = 0
            self._wake.set()

    # -- what is heard (gateway.listener.Listener)

    def here(self, meter: Meter) -> None:
        """A new session: nothing goes before its first frame is durable."""
        self._forget(meter)

    def gone(self, meter: Meter, why: str, will: bytes | None) -> None:
        """What it was told may not have arrived."""
        self._forget(meter)

    def _forget(self, meter: Meter) -> None:
        self._heard.discard(meter)
        self._again.discard(meter)
        self._look.pop(meter, None)

    def write(self, connection: sqlite3.Connection, said: list[Said], now_s: int) -> None:
        """Mark the commands that these results answer."""
        for one in said:
            if type(one.message) is not messages.Result:
                continue
            if not commands.note_result(connection, one.meter.meter_id, one.message, now_s):
                connection.execute(
                    "INSERT INTO refusal VALUES (?1, ?2, 1, ?3) ON CONFLICT DO UPDATE"
                    " SET frames = frames + 1, last_s = ?3",
                    (one.meter.meter_id, UNKNOWN_RESULT, now_s),
                )

    def committed(self, meters: Collection[Meter], said: list[Said]) -> None:
        """Who was heard for the first time on its session can be told; who answered, the next."""
        for meter in set(meters) - self._heard:
            if meter.line is None:
                continue
            self._heard.add(meter)
            if meter.meter_id in self._open:
                self._again.add(meter)
                self._look[meter] = 0
                self._wake.set()
        for one in said:
            if type(one.message) is messages.Result and one.meter in self._look:
                self._look[one.meter] = 0
                self._wake.set()

    def acted(self, act: Act) -> None:
        """Somebody queued or cancelled: perhaps in another process."""
        if act.action in ("command.queue", "command.cancel"):
            self.wake(bytes.fromhex(act.subject))
        elif act.action.startswith(("bundle.", "key.")):
            self.recovered()

    def recovered(self) -> None:
        """Read from the database again who has something queued."""
        self._reload_due = True
        self._wake.set()

    # -- the one task that sends

    async def start(self) -> None:
        """Find who has something queued. Raises StoreError."""
        open_now = await self._store.run(_open_meters)
        for meter_id in open_now:
            self.wake(meter_id)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):  # nothing happened, but time has passed
                # Not wait_for: in Python 3.11 it may swallow a cancellation.
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._turn()
            except StoreError as error:
                log.error("commands_wait", error=str(error), next="they go on when it writes again")
                self._reload_due = True
                await asyncio.sleep(TICK_S)

    async def _turn(self) -> None:
        now_s = self._clock_s()
        if self._reload_due:
            self._reload_due = False
            await self.start()
        if abs(now_s - self._swept_s) >= SWEEP_S:
            self._swept_s = now_s
            await self._sweep(now_s)
        due = [meter for meter, at_s in self._look.items() if at_s <= now_s][:BATCH_METERS]
        ready = []
        for meter in due:
            hears = meter.line is not None and meter.line.hears(meter)
            hears = hears and current_epoch(meter) is not None
            del self._look[meter]  # to the end of the line: the others are looked at first
            self._look[meter] = now_s + (BUSY_S if hears else DEAF_S)
            if hears:
                ready.append(meter)
        if ready:
            await self._tell(ready, now_s)
            self._wake.set()  # there may be more of them

    async def _sweep(self, now_s: int) -> None:
        ended = await self._store.run(lambda connection: _clean(connection, now_s))
        self.expired += len(ended)
        for meter_id in ended:
            self.wake(meter_id)

    async def _tell(self, meters: list[Meter], now_s: int) -> None:
        again = self._again.intersection(meters)
        self._again -= again
        reservations = self._reservations(meters)

        def work(connection: sqlite3.Connection) -> list[Found]:
            connection.executemany(
                "UPDATE meter_key SET down_reserved = max(down_reserved, ?)"
                " WHERE meter_id = ? AND key_epoch = ?",
                [(upto, meter.meter_id, epoch) for meter, epoch, upto in reservations],
            )
            return [self._find(connection, meter, now_s, meter in again) for meter in meters]

        try:
            found = await self._store.run(work)
        except StoreError:
            self._again |= again & self._heard
            for meter in meters:
                self._set_look(meter, now_s, 0)
            raise
        for meter, epoch, upto in reservations:
            if epoch in meter.down:
                counter = meter.down[epoch]
                counter.reserved = max(counter.reserved, upto)
        for meter, one in zip(meters, found, strict=True):
            self._set_look(meter, now_s, one.look_s)
            if one.sending is not None:
                self._send(meter, one)

    def _reservations(self, meters: list[Meter]) -> list[tuple[Meter, int, int]]:
        wanted = []
        for meter in meters:
            epoch = current_epoch(meter)
            if epoch is not None and meter.down[epoch].is_low():
                wanted.append((meter, epoch, meter.down[epoch].reserved + DOWN_BLOCK_COUNTERS))
        return wanted

    def _find(self, connection: sqlite3.Connection, meter: Meter, now_s: int, again: bool) -> Found:
        """Take steps for this meter until there is something to send, or to wait for."""
        while True:
            step = decide(_read_open(connection, meter.meter_id), now_s, self._retry_s, again=again)
            if not step.event:
                return Found(look_s=step.look_s)
            if step.event != "send":
                reason = NO_RESULT if step.event == "give up" else b""
                commands.end(connection, step.row_id, step.event, now_s, detail=reason)
                continue
            sending = commands.note_sent(connection, step.row_id, now_s)
            try:
                message = messages.encode(sending.message(self._keeper, now_s))
            except StoreError as error:
                log.error("command_damaged", row=step.row_id, error=str(error))
                commands.end(connection, step.row_id, "give up", now_s, detail=SECRET_DAMAGED)
                continue
            is_rekey = sending.code == messages.COMMAND_REKEY
            stored = registry.fetch(connection, meter.meter_id) if is_rekey else None
            look_s = now_s + retry_wait_s(sending.attempts, self._retry_s)
            return Found(sending, message, look_s, stored)

    def _set_look(self, meter: Meter, began_s: int, look_s: int | None) -> None:
        """Unless something woke it meanwhile, or it went."""
        if self._look.get(meter) != began_s + BUSY_S:
            return
        if look_s is None:
            del self._look[meter]
            self._open.discard(meter.meter_id)
        else:
            self._look[meter] = look_s

    def _send(self, meter: Meter, found: Found) -> None:
        assert found.sending is not None
        if found.stored is not None:
            self._keeper.admit(found.stored)
        epoch = current_epoch(meter)
        counter = meter.down.get(epoch) if epoch is not None else None
        if meter.line is None or meter not in self._heard:
            return  # it went meanwhile: again on its next session
        if epoch is None or counter is None or counter.next >= counter.reserved:
            self._again.add(meter)  # its key changed while we wrote
            self._look[meter] = self._clock_s() + 1
            return
        sealed = frame.seal(
            meter.keys[epoch], DOWN, counter.take(), meter.down_topic, found.message
        )
        meter.line.send(packets.publish(meter.down_topic, sealed))
        self.sent += 1
        self.repeated += found.sending.attempts > 1
        log.info("command_sent", meter_id=meter.hex_id, row=found.sending.row_id,
                 attempt=found.sending.attempts)  # fmt: skip


def current_epoch(meter: Meter) -> int | None:
    """The key epoch the meter seals under: the newest one that a frame was accepted of.

    While a rekey is under way it opens both; one of ours under the new one would end it early.
    """
    windows = meter.progress.windows
    heard = [epoch for epoch in meter.keys if epoch in windows and windows[epoch].highest >= 0]
    return max(heard, default=None)


def _open_meters(connection: sqlite3.Connection) -> list[bytes]:
    found = connection.execute(
        "SELECT DISTINCT meter_id FROM command WHERE state IN ('queued', 'sent')"
    )
    return [row[0] for row in found]


def _read_open(connection: sqlite3.Connection, meter_id: bytes) -> list[Open]:
    return [
        Open(*row)
        for row in connection.execute(
            "SELECT id, state, not_before_s, expires_s, sent_s, attempts FROM command"
            " WHERE meter_id = ? AND state IN ('queued', 'sent') ORDER BY id",
            (meter_id,),
        )
    ]


def _clean(connection: sqlite3.Connection, now_s: int) -> list[bytes]:
    commands.prune(connection, now_s, SWEEP_ROWS)
    return commands.expire(connection, now_s, SWEEP_ROWS)
