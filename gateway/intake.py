"""From a frame on a session to its PUBACK: verdict, group commit, acknowledgement, receipt.

Everything that came in while a commit ran is the next group. A group's acknowledgements are
written after its commit; so a duplicate is never acknowledged before its original is durable.
When a commit fails, every session is closed without PUBACK and the meters' progress is read
back from the journal: what was not committed was never accepted.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence

import structlog

from gateway import journal
from gateway.acceptance import Accepted, Duplicate, accept, mark
from gateway.errors import StoreError, StoreFull
from gateway.journal import Group, Will, to_signed
from gateway.listener import Line, Listener, Said
from gateway.meter import DOWN_BLOCK_COUNTERS, Meter
from gateway.packets import Publish, puback
from gateway.receipts import Due, due, to_packet
from gateway.registry import Registry
from gateway.store import Store
from wire import messages
from wire.keys import UP

PENDING_PUBLISHES_MAX = 8192  # in the group being gathered; beyond it sessions are not read
RETRY_S = 1.0  # between attempts to write while the disk is full
REFUSAL_LOG_S = 60  # one line a minute for a meter that is refused for one reason

log = structlog.get_logger()


class Intake:
    """Gathers groups and commits them, one at a time."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock_s: Callable[[], int],
        on_commit: Callable[[], None],
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.store, self.registry = store, registry
        self._clock_s, self._on_commit = clock_s, on_commit
        self.listeners = listeners
        self.doors: list[Callable[[str], None]] = []  # each closes its sessions, and says why
        self.halted = False  # the store takes no writes: nobody is let in
        self.accepted = self.duplicates = self.refused = self.commits = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._group = Group(0)
        self._touched: dict[Meter, tuple[int, Line]] = {}  # key epoch and where to answer
        self._waiting: dict[Line, None] = {}  # sessions with acks
        self._paused: set[Line] = set()
        self._pending = 0
        self._dirty: set[Meter] = set()  # changed since the last checkpoint
        self._since_checkpoint = 0
        self._logged: dict[tuple[bytes, str], float] = {}

    # -- called by sessions, on the loop

    def take(self, line: Line, meter: Meter, packet: Publish) -> None:
        """Judge a frame; what follows from the verdict happens after the next commit."""
        if self.halted:
            return  # the session is being closed; without a PUBACK the meter sends again
        now_s = meter.heard_s = self._clock_s()
        verdict = accept(packet.payload, packet.topic, meter, now_s)
        if isinstance(verdict, Accepted):
            mark(meter, verdict)
            self.accepted += 1
            epoch, counter = verdict.key_epoch, to_signed(verdict.frame_counter)
            self._group.rows.append((meter.meter_id, epoch, counter, now_s, verdict.message))
            self._touched[meter] = (epoch, line)
            if verdict.span is None:
                said = messages.decode(verdict.message, UP)
                self._group.said.append(Said(meter, epoch, verdict.frame_counter, now_s, said))
        elif isinstance(verdict, Duplicate):
            self.duplicates += 1
            self._touched[meter] = (verdict.key_epoch, line)
        else:
            self.refuse(meter.meter_id, verdict.reason)
        if packet.qos:
            line.acks += puback(packet.packet_id)
            self._waiting[line] = None
        self._pending += 1
        if self._pending >= PENDING_PUBLISHES_MAX:
            self._paused.add(line)
            line.pause()
        self._wake.set()

    def refuse(self, meter_id: bytes, reason: str) -> None:
        """Count a refusal, in the database with the next group; say so once a minute."""
        self.refused += 1
        key = (meter_id, reason)
        self._group.refusals[key] = self._group.refusals.get(key, 0) + 1
        now = asyncio.get_running_loop().time()
        if now - self._logged.get(key, -REFUSAL_LOG_S) >= REFUSAL_LOG_S:
            self._logged[key] = now
            log.warning("refused", meter_id=meter_id.hex() or None, reason=reason)
        self._wake.set()

    def record_will(self, meter: Meter, why: str, message: bytes) -> None:
        """Keep the last will of a session that ended abnormally."""
        self._group.wills.append(Will(meter.meter_id, self._clock_s(), why, message))
        self._wake.set()

    def forget(self, line: Line) -> None:
        """The line is closed: nothing can be acknowledged there any more."""
        self._waiting.pop(line, None)
        self._paused.discard(line)

    # -- the one task that commits

    async def run(self) -> None:
        """Commit group after group until `stop`; then what is left, and a checkpoint."""
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            await self._commit_group(checkpoint=False)
        if not self.halted:  # else memory is ahead of the journal: a checkpoint would lose frames
            await self._commit_group(checkpoint=True)

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def _commit_group(self, *, checkpoint: bool) -> None:
        group, self._group = self._group, Group(0)
        touched, self._touched = self._touched, {}
        acks = self._take_acks()
        group.now_s = self._clock_s()
        receipts = self._prepare(group, touched)
        if checkpoint or self._since_checkpoint >= journal.CHECKPOINT_FRAMES:
            group.snapshot = journal.take_snapshot(self._dirty)
        if not group.is_empty() or group.reservations:
            try:
                await self.store.run(lambda connection: self._write(connection, group))
            except StoreError as error:
                await self._recover(group, error)
                return
            self._committed(group)
        self._answer(acks, receipts)
        if touched:
            for listener in self.listeners:
                listener.committed(touched, group.said)

    def _write(self, connection: sqlite3.Connection, group: Group) -> None:
        journal.commit(connection, group)
        if group.said:
            for listener in self.listeners:
                listener.write(connection, group.said, group.now_s)

    def _take_acks(self) -> list[tuple[Line, bytes]]:
        acks = [(line, bytes(line.acks)) for line in self._waiting]
        for line, _ in acks:
            line.acks.clear()
        self._waiting.clear()
        self._pending = 0
        for line in self._paused:
            line.resume()
        self._paused.clear()
        return acks

    def _prepare(
        self, group: Group, touched: dict[Meter, tuple[int, Line]]
    ) -> list[tuple[Line, Due]]:
        receipts = []
        self._since_checkpoint += len(group.rows)
        for meter, (epoch, line) in touched.items():
            self._dirty.add(meter)
            if not line.hears(meter):
                continue
            receipts.append((line, due(meter, epoch)))
            counter = meter.down[epoch]
            if counter.is_low():
                reserved = counter.reserved + DOWN_BLOCK_COUNTERS
                group.reservations.append((reserved, meter.meter_id, epoch))
        return receipts

    def _committed(self, group: Group) -> None:
        self.commits += 1
        for reserved, meter_id, epoch in group.reservations:
            self.registry.meters[meter_id].down[epoch].reserved = reserved
        if group.snapshot is not None:
            self._since_checkpoint = 0
            # What came in during the commit is in none of the two; keep it for the next one.
            self._dirty = set(self._touched)
        if group.rows:
            self._on_commit()

    def _answer(self, acks: list[tuple[Line, bytes]], receipts: list[tuple[Line, Due]]) -> None:
        now_s = self._clock_s()
        answers = dict(acks)
        for line, receipt in receipts:
            answers[line] = answers.get(line, b"") + to_packet(receipt, now_s)
        for line, data in answers.items():
            line.send(data)

    # -- when the store takes no writes

    async def _recover(self, group: Group, error: StoreError) -> None:
        self.halted = True
        event = "disk_full" if isinstance(error, StoreFull) else "store_failed"
        log.error(event, error=str(error), frames=len(group.rows), next="meters send them again")
        for close_sessions in self.doors:
            close_sessions("store_failed")
        self._drop_pending(group)
        while not self._stopping:
            await asyncio.sleep(RETRY_S)
            try:
                await self.store.run(journal.probe)
                rebuilt = await self.store.run(journal.rebuild)
            except StoreError as again:
                log.error(event, error=str(again), next="free space on the disk of the database")
                continue
            self.registry.restore(rebuilt)
            self.halted = False
            log.info("store_recovered")
            for listener in self.listeners:
                listener.recovered()
            return

    def _drop_pending(self, group: Group) -> None:
        """Nothing of this was acknowledged. Only the refusals and wills are still wanted."""
        refusals = group.refusals
        for key, frames in self._group.refusals.items():
            refusals[key] = refusals.get(key, 0) + frames
        wills = group.wills + self._group.wills
        self._group = Group(0, refusals=refusals, wills=wills)
        self._touched, self._pending = {}, 0
        self._waiting.clear()
        self._paused.clear()
