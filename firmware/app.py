"""The meter's story: wake, count, close an interval, send it, and begin again."""

import asyncio
import gc

from firmware.backoff import Backoff
from firmware.clock import Timekeeper
from firmware.controls import Controls
from firmware.events import EventLog
from firmware.journal import FlashWorn
from firmware.keystore import Keystore, KeystoreError
from firmware.metering import Metering
from firmware.mqtt import LinkDown, MqttLink
from firmware.settings import Settings
from firmware.storage import open_storage
from firmware.update import Update
from firmware.uplink import Uplink
from firmware.watch import UPDATE_CONFIRMED, UPDATE_FELL_BACK, UPDATE_TRIED, Watch
from wire.messages import Receipt, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.board import Board
    from firmware.load_profile import Interval

VERSION = "0.2.0"
RECONNECT_BASE_MS = 500
RECONNECT_MAX_MS = 60_000
IDLE_PAUSE_MS = 20  # between two looks at the network
NO_RECEIPT_TODO = "see at the gateway (meters list) why it refuses: a wrong key looks like this"


async def main(board: "Board") -> None:
    """Measure and send, for ever. Measuring waits for the network at most BLOCKING_MS_MAX."""
    meter = Meter(board)
    tasks = [meter.measure()]
    if meter.uplink is not None:
        tasks.append(meter.talk())
    if hasattr(board.pulses, "run"):  # inputs that must be sampled
        tasks.append(board.pulses.run(board.clock))
    await asyncio.gather(*tasks)


class Meter:
    """Everything that lives as long as the meter is on."""

    def __init__(self, board: "Board") -> None:
        self._board = board
        self._storage = storage = open_storage(board.flash)
        self._uptime_s = 0
        self._worn_told = False
        self.uplink: Uplink | None = None
        lived = board.start.flash_lost or storage.lived()
        self.clock = Timekeeper(board.clock)
        self.settings = Settings(storage.settings, board.config)
        keystore = self._open_keystore(lived)
        self._starts = keystore.starts if keystore else 0
        events_settled = keystore.events_settled if keystore else 0
        self.events = EventLog(storage.events, min(events_settled, storage.events.newest))
        self.watch = Watch(board, self.events)
        self.update = Update(board.slots)
        self.controls = Controls(board, self.settings, self.clock, self.watch, self.update)
        self.metering = Metering(
            storage,
            board.pulses,
            board.config.imp_per_kwh,
            self.settings.capture_period_s,
            keystore.settled if keystore else 0,
            board.retained,
            self.controls.zone,
        )
        last_seen_s = self.metering.last_seen_s
        board.clock.not_before(max(last_seen_s, board.config.paired_s))
        self.controls.use(self.metering)
        if keystore is not None:
            try:
                self._make_uplink(keystore)
            except KeystoreError as error:
                self._tell_keystore(error)
        self._tell_start(last_seen_s)

    def _open_keystore(self, lived: bool) -> "Keystore | None":
        """The keystore; None when the meter must not seal. Then it still measures."""
        try:
            return Keystore(self._storage.keystore, self.settings.key_epoch, lived)
        except (KeystoreError, FlashWorn) as error:
            self._tell_keystore(error)
            return None

    def _make_uplink(self, keystore: Keystore) -> None:
        board = self._board
        uplink = Uplink(
            self.settings,
            keystore,
            self._storage.journal,
            self.clock,
            board.rng,
            self.status,
            self.events,
            self.uptime_s,
            self.controls,
        )
        uplink.waiting.dating = self.metering.dating
        self.uplink = uplink
        self._mqtt = MqttLink(board)
        self._reconnect = Backoff(RECONNECT_BASE_MS, RECONNECT_MAX_MS, board.rng)
        self._linked = False

    def uptime_s(self) -> int:
        """Seconds since this start, at the last look."""
        return self._uptime_s

    # -------------------------------------------------------------- measuring

    async def measure(self) -> None:
        """Look at the counters, close intervals on the grid, sleep until the next look."""
        clock = self._board.clock
        seen_s = clock.uptime_s()
        passed_s = 0
        while True:
            self.look(passed_s)
            await clock.sleep_s(self._until_next_look_s())
            now_s = clock.uptime_s()
            passed_s, seen_s = now_s - seen_s, now_s

    def look(self, passed_s: int) -> None:
        """One look at the counters, passed_s after the one before; then the watchdog is fed."""
        self._uptime_s += passed_s
        now_s = self.clock.now_s()
        interval = self.metering.tick(now_s, passed_s, self._uptime_s)
        if interval is not None:
            self._log_interval(interval)
        self.metering.flag(self._board.pulses.flags)
        self.controls.looked(now_s)
        gasp = self.watch.look(now_s, self._uptime_s)
        if gasp is not None:
            self.metering.keep()
            if self.uplink is not None:
                self.uplink.urgent(gasp)
        if self.metering.flash_worn and not self._worn_told:
            self._worn_told = True
            self._board.log("flash_worn", todo="replace the board: its flash takes no record")
        self._board.watchdog.feed()
        if self.update.overdue(self._uptime_s):
            self._restart("update: no receipt while on trial")

    def _until_next_look_s(self) -> int:
        now_s = self.clock.now_s()
        tick_s = self._board.clock.tick_s
        return tick_s if now_s is None else min(tick_s, self.metering.profile.seconds_left(now_s))

    def _restart(self, why: str) -> None:
        self.metering.keep()
        self._board.log("restart", why=why)
        self._board.restart()

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
        if uplink.restart_due():
            self._mqtt.close()
            self._restart("command")
        if not self._linked:
            self._mqtt.connect()
            self._linked = True
            uplink.link_up()
            self._board.log("link", state="up", why="connected")
            return 0
        for topic, data in self._mqtt.poll():
            self._take(topic, data)
        if uplink.restart_due():
            return 0
        unheard = uplink.unheard
        outgoing = uplink.next_frame()
        if uplink.unheard > unheard:
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
        done = self.clock.receipt(message.time_s)
        if done is not None:
            self.controls.clock_set(done)
        self._confirm_update()
        counter, interval = message.frame_counter, message.interval
        self._board.log("receipt", frame_counter=counter, interval=interval)

    def _confirm_update(self) -> None:
        """A receipt came: the application on trial is good. A disk that fails is tried again."""
        try:
            if self.update.confirm():
                self.watch.updated(UPDATE_CONFIRMED)
        except OSError as error:
            self._board.log("update", state="not_confirmed", why=str(error))

    def status(self) -> Status:
        """What the meter says of itself when it greets the gateway."""
        board = self._board
        return Status(
            self.clock.now_s() or 0,
            VERSION,
            self._uptime_s,
            gc.mem_free() if hasattr(gc, "mem_free") else 0,
            self._storage.erases(),
            board.link.rssi_dbm(),
            self._starts,
        )

    # -------------------------------------------------------------- telling

    def _tell_keystore(self, error: Exception) -> None:
        self._board.log("keystore", state=type(error).__name__, todo=str(error))

    def _tell_start(self, last_seen_s: int) -> None:
        board, storage = self._board, self._storage
        blocks, slots = storage.damage()
        board.log(
            "boot",
            why=board.start.why,
            number=self.metering.profile.number,
            unsettled=storage.journal.unsettled,
            damaged_blocks=blocks,
            damaged_slots=slots,
            damaged=storage.damaged(),
            counts_lost=self.metering.counts_lost,
        )
        self.watch.started(self.clock.now_s(), self._starts, last_seen_s)
        self.watch.damage(blocks, slots, self.metering.counts_lost)
        if self.settings.lost:
            board.log("settings", state="lost", todo="send the meter's settings again")
        if self.update.on_trial:
            self.watch.updated(UPDATE_TRIED)
        if self.update.fell_back:
            self.watch.updated(UPDATE_FELL_BACK)
            try:
                self.update.told()
            except OSError as error:  # then the next start tells it once more
                self._board.log("update", state="not_told", why=str(error))

    def _log_interval(self, interval: "Interval") -> None:
        registers = interval.registers_wh
        deltas = interval.deltas_wh
        fields: dict[str, Any] = {
            "number": interval.number,
            "start_s": interval.start_s,
            "import_wh": registers[0],
            "import_delta_wh": deltas[0],
            "pulses": list(self.metering.registers.raw),
            "quality": interval.quality,
        }
        if len(registers) > 1:
            fields["export_wh"] = registers[1]
            fields["export_delta_wh"] = deltas[1]
        self._board.log("interval", **fields)

    def _log_sent(self, outgoing) -> None:
        self._board.log(
            "sent",
            frame_counter=outgoing.frame_counter,
            bytes=len(outgoing.frame),
            first=outgoing.first,
            count=outgoing.count,
        )
