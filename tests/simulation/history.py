"""Runs one history and checks it: nothing lost, nothing twice, no counter used again."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import tempfile
from pathlib import Path
from typing import NamedTuple

import structlog

from firmware.uplink import OFFLINE
from gateway import journal
from settlement.store import readings
from tests.simulation.parts import (
    START_S,
    Line,
    SimGateway,
    SimMeter,
    SimSettlement,
    garbage,
)
from wire.obis import EXPORT_WH, IMPORT_WH, NAMES

METERS = 4
HOURS = 30
HEAL_ROUNDS_MAX = 400


class Summary(NamedTuple):
    """What happened in a history."""

    intervals: int
    frames: int
    restarts: int
    crashes: int
    refused: int
    duplicates: int


class History:
    """Meters, a gateway and settlement, with dice for everything that may go wrong."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.dice = random.Random(seed)
        self.rate = self.dice.choice((0.02, 0.1, 0.3))  # of every kind of fault
        self.meters = [SimMeter(n + 1, self.dice, START_S) for n in range(METERS)]
        self.gateway = SimGateway(folder, lambda: self.meters[0].clock.now_s())
        self.settlement = SimSettlement(folder)
        self.lines: dict[SimMeter, Line | None] = dict.fromkeys(self.meters)
        self.old: dict[SimMeter, list[tuple[str, bytes]]] = {meter: [] for meter in self.meters}
        self.refused = self.duplicates = 0

    async def run(self) -> Summary:
        await self.gateway.start()
        for meter in self.meters:
            await self.gateway.pair(meter)
        for _ in range(HOURS * 60):
            for meter in self.meters:
                if self._fault(0.05):
                    meter.arm()
                meter.minute()
                await self.talk(meter)
            if self._fault(0.05):
                await self.crash()
            if self.dice.random() < 0.1:
                await self.settlement.drain(self.gateway, self.dice, self.rate)
        await self.heal()
        summary = await self.check()
        await self.gateway.stop()
        self.settlement.store.close()
        return summary

    def _fault(self, weight: float = 1.0) -> bool:
        return self.dice.random() < self.rate * weight

    async def crash(self) -> None:
        """The gateway dies, and with it every line."""
        self._count()
        await self.gateway.crash()
        self._lines_lost()

    def _lines_lost(self) -> None:
        for meter in self.meters:
            self.lines[meter] = None
            meter.uplink.link_down()

    def _count(self) -> None:
        self.refused += self.gateway.intake.refused
        self.duplicates += self.gateway.intake.duplicates

    # -------------------------------------------------------------- the line

    async def talk(self, meter: SimMeter) -> None:
        """One look of the meter at its network."""
        line = self.lines[meter]
        if line is None or meter.uplink.state == OFFLINE:  # never linked, lost, or just restarted
            if self._fault():
                return  # not reached
            meter.uplink.link_down()
            line = self.lines[meter] = await self.gateway.line(meter)
            meter.uplink.link_up()
        await self.listen(meter, line)
        outgoing = meter.next_frame()
        if outgoing is None:
            return
        if self._fault():  # lost on the way there
            self._down(meter)
            return
        if self._fault(0.2):  # the gateway dies while it has the frame in its hands
            if self.dice.random() < 0.5:
                self.gateway.begin(line, outgoing.frame, meter.uplink.up_topic)
            else:  # committed, and nobody is told
                await self.gateway.take(line, outgoing.frame, meter.uplink.up_topic)
            await self.crash()
            return
        await self.gateway.take(line, outgoing.frame, meter.uplink.up_topic)
        if self._fault():  # the PUBACK was lost on the way back
            self._down(meter)
            return
        if self._fault():  # sent again by the network
            accepted = self.gateway.intake.accepted
            await self.gateway.take(line, outgoing.frame, meter.uplink.up_topic)
            assert self.gateway.intake.accepted == accepted, "a frame accepted twice"
        if self._fault():
            accepted = self.gateway.intake.accepted
            await self.gateway.take(line, garbage(self.dice, outgoing.frame), meter.uplink.up_topic)
            assert self.gateway.intake.accepted == accepted, "a forgery accepted"
        meter.surviving(lambda: meter.uplink.sent(outgoing))
        await self.listen(meter, line)

    def _down(self, meter: SimMeter) -> None:
        self.lines[meter] = None
        meter.uplink.link_down()

    async def listen(self, meter: SimMeter, line: Line) -> None:
        """Receipts reach the meter, or not; old and broken ones do, too."""
        heard, line.heard = line.heard, []
        for packet in heard:
            if not self._fault() and self._hear(meter, packet.topic, packet.payload):
                self.old[meter].append((packet.topic, packet.payload))
        if self.old[meter] and self._fault():
            topic, data = self.dice.choice(self.old[meter])
            assert self._hear(meter, topic, garbage(self.dice, data)) is None, "a forgery taken"
            assert self._hear(meter, topic, data) is None, "a receipt taken twice"

    def _hear(self, meter: SimMeter, topic: str, data: bytes) -> object:
        """What the meter takes a frame from the gateway for; None when refused, or power went."""
        return meter.surviving(lambda: meter.uplink.receive(topic, data))

    # -------------------------------------------------------------- the end

    async def heal(self) -> None:
        """No more faults: everything that is held must come through."""
        self.rate = 0.0
        for meter in self.meters:
            meter.look(0)  # the last minute may have been one in which the power went
        for _ in range(HEAL_ROUNDS_MAX):
            for meter in self.meters:
                meter.clock.pass_ms(60_000)
                await self.talk(meter)
            if all(meter.journal.unsettled == 0 for meter in self.meters):
                break
        else:
            raise AssertionError("a meter still holds intervals that nobody confirms")
        self._count()
        await self.settlement.drain(self.gateway, self.dice, 0.0)

    async def check(self) -> Summary:
        """The oracle: what was counted is what settlement has, interval by interval, once."""
        total = 0
        rows, frames = await self.gateway.store.run(_journal_counts)
        assert rows == frames, "a frame is in the journal twice"
        for meter in self.meters:
            counted = list(meter.pulses.total)
            for channel, code in enumerate((IMPORT_WH, EXPORT_WH)):
                found = self._readings(meter, NAMES[code])
                starts = [start_s for start_s, _, _ in found]
                assert starts == [START_S + 900 * n for n in range(len(starts))], "a gap or repeat"
                assert len(starts) == HOURS * 4, "an interval is missing at the end"
                closed_wh = sum(energy_wh for _, energy_wh, _ in found)
                assert closed_wh == found[-1][2], "intervals do not sum to the register"
                assert closed_wh == counted[channel], "counted and settled energy differ"
                total += len(starts)
        return Summary(
            intervals=total // 2,
            frames=sum(len(meter.counters) for meter in self.meters),
            restarts=sum(meter.restarts for meter in self.meters),
            crashes=self.gateway.crashes,
            refused=self.refused,
            duplicates=self.duplicates,
        )

    def _readings(self, meter: SimMeter, obis: str) -> list[tuple[int, int, int]]:
        meter_id = meter.config.meter_id.hex()
        with self.settlement.store.reading() as connection:
            found = readings.intervals(connection, meter_id, obis, 0, 1 << 36)
            versions = connection.execute(
                "SELECT max(version) FROM readings WHERE meter_id = ?", (meter_id,)
            ).fetchone()[0]
        assert versions == 1, "an interval was told in two ways"
        return [(each.start_s, each.energy_wh, each.register_end_wh or 0) for each in found]


def _journal_counts(connection: sqlite3.Connection) -> tuple[int, int]:
    """Rows of the gateway's journal, and how many frames they are."""
    rows = journal.read_rows(connection, 0, 1 << 30)
    frames = {(row.meter_id, row.key_epoch, row.frame_counter) for row in rows}
    return len(rows), len(frames)


def run(seed: int) -> Summary:
    """One history. An AssertionError is a fault of ours: replay it with `make simulate SEED=`."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="openlicznik-") as folder:
        return asyncio.run(History(seed, Path(folder)).run())
