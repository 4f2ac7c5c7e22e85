"""The meter's story: wake, count, close an interval, send it, and begin again."""

import asyncio
import gc

from firmware.backoff import Backoff
from firmware.journal import FlashWorn
from firmware.keystore import Keystore, KeystoreError
from firmware.metering import Metering
from firmware.mqtt import LinkDown, MqttLink
from firmware.storage import open_storage
from firmware.uplink import Uplink
from wire import quality
from wire.messages import EVENT_COUNTER_LOSS, Event, Receipt, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.board import Board
    from firmware.load_profile import Interval

VERSION = "0.1.0"
RECONNECT_BASE_MS = 500
RECONNECT_MAX_MS = 60_000
IDLE_PAUSE_MS = 20  # between two looks at the network
CLOCK_STEP_S = 5  # a smaller difference to the gateway's clock is left alone
NO_RECEIPT_TODO = "see at the gateway (meters list) why it refuses: a wrong key looks like this"


async def main(board: "Board") -> None:
    """Measure and send, for ever. Measuring waits for the network at most PUBLISH_TIMEOUT_MS."""
    meter = Meter(board)
    if meter.uplink is None:
        await meter.measure()
    else:
        await asyncio.gather(meter.measure(), meter.talk())


class Meter:
    """Everything that lives as long as the meter is on."""

    def __init__(self, board: "Board") -> None:
        self._board = board
        self._storage = open_storage(board.flash)
        self._uptime_s = 0  # counted, not taken from ticks, which wrap after days
        self._worn_told = False
        self.uplink: Uplink | None = None
        lived = board.start.flash_lost or self._storage.lived()
        settled = 0
        try:
            keystore = Keystore(self._storage.keystore, board.config.key_epoch, lived)
            self._make_uplink(keystore)
            self._starts = keystore.starts
            settled = keystore.settled
        except KeystoreError as error:
            board.log("keystore", state=type(error).__name__, todo=str(error))
        config = board.config
        imp_per_kwh, period_s = config.imp_per_kwh, config.capture_period_s
        self.metering = Metering(self._storage, board.pulses, imp_per_kwh, period_s, settled)
        self._log_start()

    def _make_uplink(self, keystore: Keystore) -> None:
        board, journal = self._board, self._storage.journal
        self.uplink = Uplink(board.config, keystore, journal, board.clock, board.rng, self.status)
        self._mqtt = MqttLink(board)
        self._reconnect = Backoff(RECONNECT_BASE_MS, RECONNECT_MAX_MS, board.rng)
        self._linked = False

    # -------------------------------------------------------------- measuring

    async def measure(self) -> None:
        """Look at the counters, close intervals on the grid, sleep until the next look."""
        clock = self._board.clock
        passed_s = 0
        while True:
            self.look(passed_s)
            passed_s = self._until_next_look_s()
            await clock.sleep_s(passed_s)

    def look(self, passed_s: int) -> None:
        """One look at the counters, passed_s after the one before."""
        self._uptime_s += passed_s
        interval = self.metering.tick(self._board.clock.now_s(), passed_s)
        if interval is not None:
            self._log_interval(interval)
        if self.metering.flash_worn and not self._worn_told:
            self._worn_told = True
            self._board.log("flash_worn", todo="replace the board: its flash takes no record")

    def _until_next_look_s(self) -> int:
        now_s = self._board.clock.now_s()
        tick_s = self._board.clock.tick_s
        return tick_s if now_s is None else min(tick_s, self.metering.profile.seconds_left(now_s))

    # -------------------------------------------------------------- talking

    async def talk(self) -> None:
        """Keep a link to the gateway; send what waits, take what comes."""
        while True:
            try:
                pause_ms = self.talk_once()
            except LinkDown as error:
                self._lost(error.why)
                pause_ms = self._reconnect.next_ms()
            except (FlashWorn, KeystoreError) as error:
                self._lost(str(error))
                pause_ms = RECONNECT_MAX_MS
            await self._board.clock.pause_ms(pause_ms)

    def talk_once(self) -> int:
        """One bounded piece of talking; gives how long to pause in ms. Raises LinkDown."""
        uplink = self.uplink
        assert uplink is not None
        if not self._linked:
            self._mqtt.connect()
            self._linked = True
            uplink.link_up()
            self._board.log("link", state="up", why="connected")
        for topic, data in self._mqtt.poll():
            self._take(topic, data)
        unheard = uplink.unheard
        outgoing = uplink.next_frame()
        if uplink.unheard != unheard:
            self._board.log("no_receipt", frames=uplink.unheard, todo=NO_RECEIPT_TODO)
        if outgoing is None:
            return IDLE_PAUSE_MS
        self._mqtt.publish(uplink.up_topic, outgoing.frame)
        uplink.sent(outgoing)
        if outgoing.kind == "profile":
            self._log_sent(outgoing)
        return 0

    def _lost(self, why: str) -> None:
        assert self.uplink is not None
        self.uplink.link_down()
        self._mqtt.close()
        self._linked = False
        self._board.log("link", state="down", why=why)

    def _take(self, topic: str, data: bytes) -> None:
        """A frame from the gateway. Its receipt is the only clock that is authentic."""
        assert self.uplink is not None
        refused = dict(self.uplink.refused)
        message = self.uplink.receive(topic, data)
        for reason, count in self.uplink.refused.items():
            if count != refused.get(reason, 0):
                self._board.log("refused", reason=reason, count=count)
        if type(message) is not Receipt:
            return
        self._reconnect.reset()
        self._set_clock(message.time_s)
        counter, interval = message.frame_counter, message.interval
        self._board.log("receipt", frame_counter=counter, interval=interval)

    def _set_clock(self, time_s: int) -> None:
        clock = self._board.clock
        old_s = clock.now_s()
        if old_s is not None and abs(time_s - old_s) < CLOCK_STEP_S:
            return
        if clock.set(time_s):
            if old_s is not None:
                self.metering.flag(quality.CLOCK_UNSYNCED)
            self._board.log("clock_set", old_s=old_s, new_s=time_s)

    def status(self) -> Status:
        """What the meter says of itself when it greets the gateway."""
        board = self._board
        return Status(
            board.clock.now_s() or 0,
            VERSION,
            self._uptime_s,
            gc.mem_free() if hasattr(gc, "mem_free") else 0,
            self._storage.erases(),
            board.link.rssi_dbm(),
            self._starts,
        )

    # -------------------------------------------------------------- telling

    def _log_start(self) -> None:
        board, storage = self._board, self._storage
        blocks, slots = storage.damage()
        board.log(
            "boot",
            why=board.start.why,
            number=self.metering.profile.number,
            unsettled=storage.journal.unsettled,
            damaged_blocks=blocks,
            damaged_slots=slots,
            counts_lost=self.metering.counts_lost,
        )
        if self.uplink is not None and self.metering.counts_lost:
            now_s = board.clock.now_s() or 0
            self.uplink.answer(Event(now_s, EVENT_COUNTER_LOSS, (blocks, slots), 0))

    def _log_interval(self, interval: "Interval") -> None:
        self._board.log(
            "interval",
            number=interval.number,
            start_s=interval.start_s,
            import_wh=interval.registers_wh[0],
            export_wh=interval.registers_wh[1],
            import_delta_wh=interval.deltas_wh[0],
            export_delta_wh=interval.deltas_wh[1],
            pulses=list(self.metering.registers.raw),
            quality=interval.quality,
        )

    def _log_sent(self, outgoing) -> None:
        self._board.log(
            "sent",
            frame_counter=outgoing.frame_counter,
            bytes=len(outgoing.frame),
            first=outgoing.first,
            count=outgoing.count,
        )
