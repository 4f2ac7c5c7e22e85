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
from typing import NamedTuple

import structlog

from gateway import journal
from gateway.acceptance import Accepted, Duplicate, Refused, accept, mark
from gateway.doors.pace import UNLIMITED, Pace
from gateway.errors import StoreError, StoreFull
from gateway.journal import Group, Proven, Will
from gateway.listener import Line, Listener, Said
from gateway.meter import DOWN_BLOCK_COUNTERS, Meter
from gateway.mqtt.packets import Publish, puback
from gateway.receipts import Due, due, to_packet
from gateway.registry import Registry, retire_keys
from gateway.store import Store
from wire import messages
from wire.errors import WrongTopic
from wire.keys import UP

GROUP_FRAMES = 256  # gathered before a commit; what one look at the sockets brings comes on top
GATHER_S_MAX = 0.01
PENDING_PUBLISHES_MAX = 8192  # in the group being gathered; beyond it sessions are not read
RETRY_S = 1.0  # between attempts to write while the disk is full
REFUSAL_LOG_S = 60  # one line a minute for a meter that is refused for one reason

log = structlog.get_logger()


class GroupDone(NamedTuple):
    """One commit: frames judged since the one before, how long it took, how long they waited."""

    frames: int
    commit_s: float
    oldest_wait_s: float  # from the first frame's verdict to its PUBACK


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
        self.refused_by: dict[str, int] = {}  # by reason
        self.on_group: Callable[[GroupDone], None] | None = None
        self.slowed = 0  # how often a meter was not read for a while
        self.pace: Pace = UNLIMITED  # of every meter
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._group = Group(0)
        self._touched: dict[Meter, tuple[int, Line]] = {}  # key epoch and where to answer
        self._spoke: set[Meter] = set()  # those of them with a new frame, not a duplicate only
        self._waiting: dict[Line, None] = {}  # sessions with acks
        self._paused: set[Line] = set()
        self._pending = 0
        self._first_at = 0.0  # when the first of them came
        self._dirty: set[Meter] = set()  # changed since the last checkpoint
        self._since_checkpoint = 0
        self._logged: dict[tuple[bytes, str], float] = {}

    # -- called by sessions, on the loop

    def take(self, line: Line, meter: Meter, packet: Publish) -> None:
        """Judge one PUBLISH that came on this line for this meter."""
        acks = puback(packet.packet_id) if packet.qos else b""
        if packet.topic == meter.up_topic:
            self.take_frames(line, meter, (packet.payload,), acks)
        else:
            self.refuse(meter.meter_id, WrongTopic.reason)
            self._pend(line, 1, acks)

    def take_frames(
        self, line: Line, meter: Meter, frames: Sequence[bytes], acks: bytes | bytearray
    ) -> None:
        """Judge a run of a meter's frames; what follows happens after the next commit.

        `acks` are the PUBACKs of all of them.
        """
        if self.halted:
            return  # the session is being closed; without a PUBACK the meter sends again
        now_s = meter.heard_s = self._clock_s()
        meter_id, topic, rows = meter.meter_id, meter.up_topic, self._group.rows
        before, epoch = len(rows), None
        for frame in frames:
            verdict = accept(frame, topic, meter, now_s)
            if type(verdict) is Accepted:
                mark(meter, verdict)
                epoch, counter, message, span = verdict
                rows.append((meter_id, epoch, counter, now_s, message))
                if span is None:
                    said = messages.decode(message, UP)
                    self._group.said.append(Said(meter, epoch, counter, now_s, said))
                if epoch > meter.epoch_min and len(meter.keys) > 1:
                    self._prove(meter, epoch)
            elif type(verdict) is Duplicate:
                self.duplicates += 1
                epoch = verdict.key_epoch
            elif type(verdict) is Refused:
                self.refuse(meter_id, verdict.reason)
        self.accepted += len(rows) - before
        if epoch is not None:
            self._touched[meter] = (epoch, line)
        if len(rows) > before:
            self._spoke.add(meter)
        self._pend(line, len(frames), acks)

    def _prove(self, meter: Meter, key_epoch: int) -> None:
        """A frame of a newer key epoch opened: from here on the older ones are refused."""
        self._group.proven.append(Proven(meter, key_epoch, meter.epoch_min))
        meter.epoch_min = key_epoch

    def _pend(self, line: Line, frames: int, acks: bytes | bytearray) -> None:
        if acks:
            line.acks += acks
            self._waiting[line] = None
        if not self._pending:
            self._first_at = self._loop.time()
        self._pending += frames
        if self._pending >= PENDING_PUBLISHES_MAX:
            self._paused.add(line)
            line.pause()
        self._wake.set()

    def refuse(self, meter_id: bytes, reason: str) -> None:
        """Count a refusal, in the database with the next group; say so once a minute."""
        self.refused += 1
        self.refused_by[reason] = self.refused_by.get(reason, 0) + 1
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
            await self._gather()
            self._wake.clear()
            await self._commit_group(checkpoint=False)
        if not self.halted:  # else memory is ahead of the journal: a checkpoint would lose frames
            await self._commit_group(checkpoint=True)

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def _gather(self) -> None:
        """Let the group grow while frames keep coming in, within limits of size and time.

        A look at every socket brought nothing: nobody sends before we answer, so do.
        """
        deadline, before = self._loop.time() + GATHER_S_MAX, -1
        while before != self._pending < GROUP_FRAMES and self._loop.time() < deadline:
            before = self._pending
            await asyncio.sleep(0)

    async def _commit_group(self, *, checkpoint: bool) -> None:
        group, self._group = self._group, Group(0)
        touched, self._touched = self._touched, {}
        spoke, self._spoke = self._spoke, set()
        frames, first_at = self._pending, self._first_at
        acks = self._take_acks()
        group.now_s = self._clock_s()
        receipts = self._prepare(group, touched)
        if checkpoint or self._since_checkpoint >= journal.CHECKPOINT_FRAMES:
            group.snapshot = journal.take_snapshot(self._dirty)
        started = self._loop.time()
        written = not group.is_empty() or bool(group.reservations)
        if written:
            try:
                await self.store.run(lambda connection: self._write(connection, group))
            except StoreError as error:
                await self._recover(group, error)
                return
            self._committed(group)
        commit_s = self._loop.time() - started
        self._answer(acks, receipts)
        if written and self.on_group is not None:
            wait_s = self._loop.time() - first_at if frames else 0.0
            self.on_group(GroupDone(frames, commit_s, wait_s))
        if spoke:
            for listener in self.listeners:
                listener.committed(spoke, group.said)
        for meter, epoch, _ in group.proven:
            for listener in self.listeners:
                listener.proven(meter, epoch)

    def _write(self, connection: sqlite3.Connection, group: Group) -> None:
        journal.commit(connection, group)
        for meter, epoch, _ in group.proven:
            retire_keys(connection, meter.meter_id, epoch)
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
            receipt = due(meter, epoch)
            receipts.append((line, receipt))
            counter = receipt.counter
            if counter.is_low():
                reserved = counter.reserved + DOWN_BLOCK_COUNTERS
                group.reservations.append((reserved, meter.meter_id, epoch))
                group.reserved.append((counter, reserved))
        return receipts

    def _committed(self, group: Group) -> None:
        self.commits += 1
        for counter, reserved in group.reserved:
            counter.reserved = max(counter.reserved, reserved)
        for meter, epoch, _ in group.proven:
            meter.forget_below(epoch)
        if group.snapshot is not None:
            self._since_checkpoint = 0
            # What came in during the commit is in none of the two; keep it for the next one.
            self._dirty = set(self._touched)
        if group.rows:
            self._on_commit()

    def _answer(self, acks: list[tuple[Line, bytes]], receipts: list[tuple[Line, Due]]) -> None:
        now_s = self._clock_s()
        answers = {line: [data] for line, data in acks}
        for line, receipt in receipts:
            answers.setdefault(line, []).append(to_packet(receipt, now_s))
        for line, parts in answers.items():
            line.send(b"".join(parts))

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
                log.error(event, error=str(again), retry_s=RETRY_S)
                continue
            self.registry.restore(rebuilt)
            # A meter that was revoked since is another object now; the old one knows too much.
            known = self.registry.meters
            self._dirty = {known[m.meter_id] for m in self._dirty if m.meter_id in known}
            self.halted = False
            log.info("store_recovered")
            for listener in self.listeners:
                listener.recovered()
            return

    def _drop_pending(self, group: Group) -> None:
        """Nothing of this was acknowledged. Only the refusals and wills are still wanted."""
        for meter, _, epoch_before in reversed(group.proven + self._group.proven):
            meter.epoch_min = epoch_before
        refusals = group.refusals
        for key, frames in self._group.refusals.items():
            refusals[key] = refusals.get(key, 0) + frames
        wills = group.wills + self._group.wills
        self._group = Group(0, refusals=refusals, wills=wills)
        self._touched, self._spoke, self._pending = {}, set(), 0
        self._waiting.clear()
        self._paused.clear()
