"""Counts in, closed intervals out: registers, open interval and their memory in flash and RTC."""

from binascii import crc32

from firmware import load_profile, saved_state
from firmware.board import CHANNELS_MAX
from firmware.dating import Dating
from firmware.demand import Demand
from firmware.journal import FlashWorn
from firmware.load_profile import PLAUSIBLE_W, LoadProfile
from firmware.registers import Registers
from firmware.saved_state import State
from wire import obis, quality
from wire.messages import START_S_MIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware.board import Pulses, Retained
    from firmware.journal import Ring
    from firmware.load_profile import Interval
    from firmware.storage import Storage

SAVE_S = 60  # at most this much counting is at risk where the counters do not keep their count
SAVE_WH = 10
NOW_S_MAX = (1 << 32) - 1 - 86400  # records keep times in four bytes; a day for what is open


class Metering:
    """The meter proper. After any power cut it continues from its flash, and never backward.

    `settled` is the highest interval number that may no longer be given to a new interval.
    `retained` is the board's RTC memory, if it has any: with it a reset loses nothing. zone_of
    (at_s) gives the tariff zone 0..3 of a moment; None: all is in T1.
    `counts_lost` tells, after the start, that pulses since the last save cannot be known;
    `flash_worn` that a record found no place and is in memory (and on its way) only;
    `last_seen_s` the last wall time known, also from before the start (0: never).
    """

    def __init__(
        self,
        storage: "Storage",
        pulses: "Pulses",
        imp_per_kwh: int,
        capture_period_s: int,
        settled: int = 0,
        retained: "Retained | None" = None,
        zone_of: "Callable[[int], int] | None" = None,
        plausible_w: int = PLAUSIBLE_W,
    ) -> None:
        self._storage = storage
        self._pulses = pulses
        self._retained = retained
        self._zone_of = zone_of
        channels = pulses.channels
        self.registers = Registers(imp_per_kwh, pulses.width, channels)
        self.profile = LoadProfile(capture_period_s, channels, pulses.flags, plausible_w)
        self.demand = Demand()
        self.dating = Dating(storage.dates, storage.journal)
        self.counts_lost = False
        self.flash_worn = False
        self.last_seen_s = 0
        self._seen_uptime_s = 0
        self._zone = 0
        self._unsaved_s = 0
        self._unsaved_wh = 0
        self._saved_raw: list[int] = []
        self._since: list[int] = []  # pulses since the state in flash; []: none to build on
        self._base_crc = 0  # its CRC-32
        self._base_s = 0  # and its wall time
        self._newest_crc = 0  # as _base_crc, gone on over the counts record that builds on it
        self._counts_worn = False
        self._restore()
        self.profile.number = max(self.profile.number, settled + 1)
        self._save()

    def tick(self, now_s: "int | None", passed_s: int, uptime_s: int = 0) -> "Interval | None":
        """Take the counts after passed_s more seconds; gives the interval closed, if any.

        The interval is durable on return, unless flash_worn. now_s is UTC since 1970, or None
        while the time is not known (a time before START_S_MIN or after NOW_S_MAX is none);
        uptime_s the seconds since this start of the meter.
        """
        if now_s is not None and not START_S_MIN <= now_s <= NOW_S_MAX:
            now_s = None
        self._count(now_s)
        self._unsaved_s += passed_s
        before = self._structure()
        if now_s is None:
            least_s = self.last_seen_s + uptime_s - self._seen_uptime_s
            closed = self.profile.advance_timeless(1 + uptime_s, least_s, self.registers.wh)
        else:
            if self.profile.undated or self.dating.first_waiting:
                self._date(now_s, uptime_s)
            closed = self.profile.advance(now_s, self.registers.wh)
            self.last_seen_s, self._seen_uptime_s = now_s, uptime_s
        if obis.IMPORT_WH in self.registers.channels:
            import_wh = self.registers.wh[self.registers.channels.index(obis.IMPORT_WH)]
            self.demand.add(now_s, import_wh)
        if closed and self._put(self._storage.journal, closed.pack(), closed.number):
            self.dating.closed(closed)
        if self._structure() != before:
            self._save()
        elif self._save_due():
            self._save(False)
        else:
            self._retain()
        return closed

    def keep(self) -> None:
        """Take the counts and save all, in flash and in RTC memory: call right before a restart."""
        self._count(None)
        self._save()

    def set_capture_period(self, capture_period_s: int) -> None:
        """From the next interval on; see LoadProfile for how the grids meet."""
        self.profile.wanted_period_s = capture_period_s

    def flag(self, flags: int) -> None:
        """Mark the open interval's quality, durably. May be called at every look."""
        if flags & ~self.profile.quality:
            self.profile.flag(flags)
            self._save()

    def _count(self, now_s: "int | None") -> None:
        """Take the counts, into the zone of just before now: a look ends what it counts."""
        registers = self.registers
        if now_s is not None and self._zone_of is not None:
            zone = self._zone_of(now_s - 1)
            if zone != self._zone:
                self._zone = zone
                if not self._save():
                    self._since = []  # pulses of two zones do not go into one counts record
        raw = self._pulses.read()
        for channel in range(len(self._since)):
            pulses = (raw[channel] - registers.raw[channel]) % self._pulses.width
            self._since[channel] += pulses
        self._unsaved_wh += registers.count(raw, self._zone)

    def _date(self, now_s: int, uptime_s: int) -> None:
        """The time is known: give wall time to the intervals that wait for it."""
        profile = self.profile
        open_s = profile.start_s if profile.undated else 0
        period_s = profile.capture_period_s if open_s else profile.wanted_period_s
        start_s, end_s = self.dating.date(now_s, 1 + uptime_s, open_s, period_s, profile.end_s)
        self.flash_worn = self.flash_worn or self.dating.worn
        profile.date(start_s, end_s)

    # -------------------------------------------------------------- memory

    def _save_due(self) -> bool:
        if self.registers.raw == self._saved_raw:
            return False  # nothing counted: nothing at risk, and flash not worn at night
        return self._unsaved_wh >= SAVE_WH or self._unsaved_s >= SAVE_S

    def _structure(self) -> "tuple[int, ...]":
        """All that only a state record can keep, or a sign of it that changes whenever it does."""
        profile, demand = self.profile, self.demand
        return profile.start_s, profile.quality, demand.state()[0], demand.at_s

    def _state(self) -> bytearray:
        registers, profile = self.registers, self.profile
        return saved_state.pack(
            State(
                registers.channels,
                profile.start_s,
                profile.number,
                self.last_seen_s,
                profile.capture_period_s,
                profile.quality,
                self._zone,
                registers.wh,
                registers.remainders,
                registers.raw,
                registers.other_zones_wh(),
                self.demand.state(),
            )
        )

    def _save(self, whole: bool = True) -> bool:
        """Save all, or the counts alone where that will do; True: the state record is new.

        Where one ring is worn, the other takes what it can.
        """
        record = None
        written = False
        if whole or not self._save_counts():
            record = self._state()
            written = self._put(self._storage.state, record)
            if written:
                self._since = [0] * len(self.registers.channels)
                self._base_crc = self._newest_crc = crc32(record)
                self._base_s = self.last_seen_s
            elif whole:
                self._save_counts()
        self._unsaved_s = self._unsaved_wh = 0
        self._saved_raw = list(self.registers.raw)
        self._retain(record)
        return written

    def _save_counts(self) -> bool:
        """Save what was counted since the state in flash, if a counts record can hold it."""
        since, passed_s = self._since, self.last_seen_s - self._base_s
        if self._counts_worn or not since or max(since) > self._pulses.width // 2:
            return False
        if not 0 <= passed_s <= saved_state.COUNTED_S_MAX:
            return False
        sequence = self._storage.state.newest
        record = saved_state.pack_counts(sequence, self._base_crc, passed_s, since)
        if self._put(self._storage.counts, record):
            self._newest_crc = crc32(record, self._base_crc)
            return True
        self._counts_worn = True  # until the next start: trying in vain costs erases and time
        return False

    def _retain(self, record: "bytearray | None" = None) -> None:
        if self._retained is not None:
            record = record or self._state()
            sequence = self._newest()
            self._retained.write(saved_state.retain(record, sequence, self._newest_crc))

    def _newest(self) -> int:
        return self._storage.state.newest + self._storage.counts.newest

    def _put(self, ring: "Ring", record: bytearray, sequence: int = 0) -> bool:
        """Write a record; a worn flash never stops the counting, it is reported."""
        try:
            ring.append(record, sequence)
        except FlashWorn:
            self.flash_worn = True
            return False
        return True

    # -------------------------------------------------------------- at start

    def _restore(self) -> None:
        last = self._last_interval()
        state, passed_s, pulses = self._newest_state()
        states = self._storage.state
        self.counts_lost = states.newest_lost
        if state is None:
            if last is not None or states.damaged_blocks:
                self.counts_lost = True  # the last interval is all that is left
        else:
            self.last_seen_s = state.last_seen_s + passed_s
            self._zone = state.zone
            self.demand.restore(state.demand, self.last_seen_s if self._pulses.kept else 0)
        self._restore_counts(state, pulses, last)
        self._restore_interval(state, last)
        if self.counts_lost:
            self.profile.flag(quality.GAP)

    def _last_interval(self) -> "Interval | None":
        journal = self._storage.journal
        record = journal.read_newest()
        return None if record is None else load_profile.unpack(journal.newest, record)

    def _newest_state(self) -> "tuple[State | None, int, tuple[int, ...]]":
        """The newest state; seconds and pulses (of its channels) that a counts record adds to it.

        From RTC memory if that builds on the newest records in flash; else from there.
        """
        states, counts = self._storage.state, self._storage.counts
        record, added = states.read_newest(), None
        if record is not None:
            self._base_crc = self._newest_crc = crc32(record)
            counted = counts.read_newest()
            if counted is not None:
                added = saved_state.unpack_counts(counted, states.newest, self._base_crc)
            if added is not None:
                self._newest_crc = crc32(counted, self._base_crc)
        if self._retained is not None:
            kept = saved_state.retained(self._retained.read(), self._newest(), self._newest_crc)
            if kept is not None:
                record, added = kept, None
        state = None if record is None else saved_state.unpack(record)
        passed_s, pulses = added or (0, (0,) * CHANNELS_MAX)
        return state, passed_s, pulses

    def _restore_counts(self, state: "State | None", pulses, last: "Interval | None") -> None:
        """Add what was counted since the state: `pulses` up to the last save, and behind that
        what the counters kept. Never below `last`.
        """
        registers, raw, kept = self.registers, self._pulses.read(), self._pulses.kept
        known = () if state is None else state.channels
        for channel, code in enumerate(registers.channels):
            # What an input counted before it was ours is not counted, and volatile inputs begin
            # at 0 with every start.
            base = raw[channel] if kept else 0
            if state is not None and code in known:
                at = known.index(code)
                base = state.raw[at] if kept else 0
                registers.restore(channel, state.registers_wh[at], state.remainders[at], base)
            else:
                registers.restore(channel, 0, 0, base)
        if state is not None:
            registers.restore_zones(state.other_zones_wh)
        width, saved = self._pulses.width, self._mapped(known, pulses)
        saved = [(base + more) % width for base, more in zip(registers.raw, saved)]
        registers.count(saved, self._zone)
        if kept:
            registers.count(raw, self._zone)
        else:
            registers.raw = [0] * len(raw)
            self.counts_lost = self.counts_lost or state is not None
        if last is not None:
            for channel, wh in enumerate(self._mapped(last.channels, last.registers_wh)):
                registers.raise_to(channel, wh, self._zone)

    def _restore_interval(self, state: "State | None", last: "Interval | None") -> None:
        profile = self.profile
        profile.end_s = self.dating.end_s()
        last_number = 0 if last is None else last.number
        last_period_s = profile.wanted_period_s if last is None else last.capture_period_s
        start_wh = list(profile.registers_wh)
        if last is not None:
            start_wh = self._mapped(last.channels, last.registers_wh)
        if state is None or last_number >= state.number:
            if last is not None:  # it was closed just before the power went
                profile.restore(0, last_period_s, last_number + 1, 0, start_wh)
            return
        if last_number != state.number - 1:  # the journal lost its newest intervals
            start_wh = self._mapped(state.channels, state.registers_wh)
            profile.flag(quality.GAP)
        start_s, period_s = state.start_s, state.capture_period_s
        profile.restore(start_s, period_s, state.number, state.quality, start_wh)
        if profile.undated:  # seconds of a start that is over: its energy goes to the next one
            profile.restore(0, last_period_s, state.number, quality.GAP, start_wh)

    def _mapped(self, channels, values_wh) -> "list[int]":
        """Registers of a record in the order of this board's channels; 0 for one that is new."""
        found = []
        for code in self.registers.channels:
            found.append(values_wh[channels.index(code)] if code in channels else 0)
        return found
