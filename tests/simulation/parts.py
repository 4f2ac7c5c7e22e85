"""The three programs as a history runs them: production code over fake flash and a lossy line."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from firmware.config import parse
from firmware.events import EventLog
from firmware.keystore import Keystore
from firmware.metering import Metering
from firmware.settings import Settings
from firmware.storage import open_storage
from firmware.uplink import Outgoing, Uplink
from gateway import journal, registry
from gateway.forwarding import outbox
from gateway.intake import Intake
from gateway.meter import Meter
from gateway.mqtt.mqtt import Decoder
from gateway.mqtt.packets import Publish
from gateway.registry import NewMeter, Registry
from gateway.store import Store as GatewayStore
from settlement import ingest
from settlement.store import Store as SettlementStore
from tests.support.a_meter import FakeClock, FakePulses, settings
from tests.support.fake_flash import CUT_SHAPES, FakeFlash, PowerCut
from wire import batch, frame
from wire.messages import Status

START_S = 1_729_202_400
FLASH_BLOCKS = 32
COMMIT_WAIT_S = 30.0


class SimMeter:
    """A meter whose supply may fail at any flash operation."""

    def __init__(self, number: int, dice: random.Random, now_s: int) -> None:
        self.dice = dice
        self.settings = settings(
            meter_id=f"{number:016x}", meter_key=dice.randbytes(32).hex(), password="0" * 32
        )
        self.config = parse(self.settings)
        self.flash = FakeFlash(FLASH_BLOCKS)
        self.pulses = FakePulses(width=1 << 12)  # wraps every few hours
        self.clock = FakeClock(now_s)
        self.counters: set[int] = set()
        self.restarts = 0
        self.power_on()

    def power_on(self) -> None:
        storage = open_storage(self.flash)
        config = self.config
        settings = Settings(storage.settings, config)
        keystore = Keystore(storage.keystore, settings.key_epoch, storage.lived())
        self.journal = storage.journal
        events = EventLog(storage.events, min(keystore.events_settled, storage.events.newest))
        self.uplink = Uplink(
            settings,
            keystore,
            storage.journal,
            self.clock,
            self._chance,
            self._status,
            events,
            self.clock.uptime_s,
        )
        self.metering = Metering(
            storage, self.pulses, config.imp_per_kwh, config.capture_period_s, keystore.settled
        )
        self.uplink.waiting.dating = self.metering.dating

    def power_cut(self) -> None:
        """The supply comes back at once; what was being written is torn in one of six ways."""
        self.restarts += 1
        self.flash = self.flash.after_power_on()
        self.pulses = self.pulses.after_power_on()
        self.power_on()

    def arm(self) -> None:
        """Let the supply fail at one of the next flash operations."""
        self.flash.cut_at = self.flash.operations + self.dice.randrange(6)
        self.flash.cut_shape = self.dice.choice(CUT_SHAPES)

    def minute(self) -> None:
        """A minute of the household's life."""
        self.pulses.count(self.dice.randrange(40), self.dice.choice((0, 0, 0, 25)))
        self.clock.pass_ms(60_000)
        assert self.clock.wall_s is not None
        self.clock.wall_s += 60
        self.look(60)

    def look(self, passed_s: int) -> None:
        """The meter looks at its counters, passed_s after the last time."""
        self.surviving(lambda: self.metering.tick(self.clock.now_s(), passed_s))

    def surviving(self, step: Any) -> Any:
        """Do something in which the power may go; None when it did."""
        try:
            return step()
        except PowerCut:
            self.power_cut()
            return None

    def next_frame(self) -> Outgoing | None:
        outgoing: Outgoing | None = self.surviving(self.uplink.next_frame)
        if outgoing is not None:
            assert outgoing.frame_counter not in self.counters, "a frame counter used twice"
            self.counters.add(outgoing.frame_counter)
        return outgoing

    def _chance(self, limit: int) -> int:
        return self.dice.randrange(max(1, limit))

    def _status(self) -> Status:
        return Status(self.clock.now_s() or 0, "sim", 0, 0, 0, 0, 0)


class Line:
    """A meter's session as the intake sees it; what the gateway sends is kept as packets."""

    def __init__(self, meter: Meter) -> None:
        self.meter, self.acks = meter, bytearray()
        self.heard: list[Publish] = []
        self.acked = asyncio.Event()
        self._decoder = Decoder()

    def hears(self, meter: Meter) -> bool:
        return meter is self.meter

    def send(self, data: bytes) -> None:
        for packet in self._decoder.feed(data):
            if isinstance(packet, Publish):
                self.heard.append(packet)
            else:
                self.acked.set()

    def pause(self) -> None:
        """Nothing to hold back: one frame at a time."""

    def resume(self) -> None:
        """See pause."""


class SimGateway:
    """A gateway over a real database file; `crash` is kill -9 of its process."""

    def __init__(self, folder: Path, now_s: Any) -> None:
        self._path, self._now_s = folder / "gateway.db", now_s
        self._master_key = bytes(32)
        self.crashes = 0

    async def start(self) -> None:
        self.store = GatewayStore(self._path)
        self.registry = Registry(self._master_key)
        self.registry.restore(await self.store.run(journal.rebuild))
        self.intake = Intake(self.store, self.registry, self._now_s, lambda: None)
        self._task = asyncio.create_task(self.intake.run())

    async def crash(self) -> None:
        """What was not committed is gone; the files are as they are."""
        self.crashes += 1
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.store.close()
        await self.start()

    async def stop(self) -> None:
        self.intake.stop()
        await self._task
        self.store.close()

    async def pair(self, meter: SimMeter) -> None:
        fields = {key: meter.settings[key] for key in NewMeter.__struct_fields__}
        await self.store.run(lambda c: self.registry.add(c, NewMeter(**fields), 0))

    async def line(self, meter: SimMeter) -> Line:
        """A new session of this meter."""
        meter_id = meter.config.meter_id
        stored = await self.store.run(lambda c: registry.fetch(c, meter_id))
        assert stored is not None
        return Line(self.registry.admit(stored))

    async def take(self, line: Line, data: bytes, topic: str) -> None:
        """One PUBLISH at QoS 1, and what comes of it, up to the PUBACK."""
        self.begin(line, data, topic)
        await asyncio.wait_for(line.acked.wait(), COMMIT_WAIT_S)

    def begin(self, line: Line, data: bytes, topic: str) -> None:
        """A PUBLISH has come and is judged; nothing is committed yet."""
        line.acked.clear()
        self.intake.take(line, line.meter, Publish(topic, data, 1, 1))


class SimSettlement:
    """Settlement over a real database file, behind a line that may break before or after."""

    def __init__(self, folder: Path) -> None:
        self.store = SettlementStore(folder / "settlement.db")

    async def drain(self, gateway: SimGateway, dice: random.Random, faults: float) -> None:
        """Freeze and send what waits; every step may be the last before a crash."""
        while True:
            frozen = await gateway.store.run(outbox.next_frozen)
            if frozen is None:
                rows = await gateway.store.run(outbox.read_rows)
                if not rows:
                    return
                new = outbox.build("sim", rows)
                await gateway.store.run(lambda c, new=new: outbox.freeze(c, new, START_S))
                continue
            if dice.random() < faults:
                return  # settlement is down
            body = ingest.unpacked(frozen.body, "zstd")
            receipt = ingest.take(self.store, frozen.idempotency_key, body, START_S)
            if dice.random() < faults:
                await gateway.crash()  # the answer was on its way
                continue
            answer = batch.decode_answer(receipt.answer)
            assert outbox.is_answer_to(answer, frozen)
            assert not answer.rejected
            await gateway.store.run(
                lambda c, f=frozen, a=answer: outbox.delivered(c, f, a, START_S)
            )


def garbage(dice: random.Random, data: bytes) -> bytes:
    """A frame as an attacker might send it: altered, cut short, or noise."""
    kind = dice.randrange(3)
    if kind == 0:
        at = dice.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[: dice.randrange(len(data))]
    return dice.randbytes(dice.randrange(frame.FRAME_BYTES_MAX + 10))
