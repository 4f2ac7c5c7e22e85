"""Counts in, closed intervals out: registers, open interval and their memory in flash and RTC."""

from binascii import crc32

from firmware import load_profile, saved_state
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
        self._since: list[int] = []  # pulses since the state record in flash; []: none to build on
        self._since_s = 0  # the wall time of that
        self._base_crc = 0  # CRC-32 of the newest state record in flash
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
        profile, registers = self.profile, self.registers
        if now_s is None:
            least_s = self.last_seen_s + uptime_s - self._seen_uptime_s
            closed = profile.advance_timeless(1 + uptime_s, least_s, registers.wh)
        else:
            if profile.undated or self.dating.first_waiting:
                self._date(now_s, uptime_s)
            closed = profile.advance(now_s, registers.wh)
            self.last_seen_s, self._seen_uptime_s = now_s, uptime_s
        if obis.IMPORT_WH in registers.channels:
            self.demand.add(now_s, registers.wh[registers.channels.index(obis.IMPORT_WH)])
        if closed and self._put(self._storage.journal, closed.pack(), closed.number):
            self.dating.closed(closed)
        if self._structure() != before:
            self._save()
        elif registers.raw != self._saved_raw and (
            self._unsaved_wh >= SAVE_WH or self._unsaved_s >= SAVE_S
        ):  # nothing counted is nothing at risk, and flash is not worn at night
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
        if now_s is not None and self._zone_of is not None:
            zone = self._zone_of(now_s - 1)
            if zone != self._zone:
                self._zone = zone
                self._since = []  # no counts record holds pulses of two zones: a state, or none
                self._save()
        raw = self._pulses.read()
        registers = self.registers
        for channel in range(len(self._since)):
            self._since[channel] += (raw[channel] - registers.raw[channel]) % self._pulses.width
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

    def _save(self, whole: bool = True) -> None:
        """Save all, or only the counts where that will do.

        Where one ring is worn, the other takes what it can.
        """
        record = None
        if whole or not self._save_counts():
            record = self._state()
            if self._put(self._storage.state, record):
                self._base_crc = crc32(record)
                self._since = [0] * len(self.registers.raw)
                self._since_s = self.last_seen_s
            elif whole:
                self._save_counts()
        self._unsaved_s = self._unsaved_wh = 0
        self._saved_raw = list(self.registers.raw)
        self._retain(record)

    def _save_counts(self) -> bool:
        """Save what was counted since the state in flash, if a counts record can hold it."""
        row = [self.last_seen_s - self._since_s] + self._since
        if not self._since or min(row) < 0 or max(row) > self._pulses.width // 2:
            return False
        record = bytearray(saved_state.COUNTS_BYTES)
        saved_state.put_row(record, 0, saved_state.SMALL_BYTES, [self._base()] + row)
        return self._put(self._storage.counts, record)

    def _base(self) -> int:
        """What a counts record says of the newest state record in flash."""
        return (self._storage.state.newest & 0xFFFF) << 8 | self._base_crc & 0xFF

    def _retain(self, record: "bytearray | None" = None) -> None:
        if self._retained is not None:
            record = record or self._state()
            sequence = self._storage.state.newest + self._storage.counts.newest
            self._retained.write(saved_state.retain(record, sequence, self._base_crc))

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
        """Go on from the newest state in RTC memory or flash, and the counts that build on it."""
        journal, states, counts = self._storage.journal, self._storage.state, self._storage.counts
        last, state = None, None
        none: tuple[int, ...] = (0,) * 6
        added = none  # by the counts record
        record = journal.read_newest()
        if record is not None:
            last = load_profile.unpack(journal.newest, record)
        record = states.read_newest()
        if record is not None:
            self._base_crc = crc32(record)
            counted = counts.read_newest()
            if counted is not None:
                added = saved_state.get_row(counted, *saved_state.COUNTS_ROW)
                if added[0] != self._base():
                    added = none
        if self._retained is not None:
            sequence = states.newest + counts.newest
            kept = saved_state.retained(self._retained.read(), sequence, self._base_crc)
            if kept is not None:  # it is newer than both
                record, added = kept, none
        if record is not None:
            state = saved_state.unpack(record)
        if state is None:  # the last interval is all that is left
            self.counts_lost = last is not None or states.damaged_blocks > 0
        else:
            self.counts_lost = states.newest_lost or not self._pulses.kept
            self.last_seen_s = state.last_seen_s + added[1]
            self._zone = state.zone
            self.demand.restore(state.demand, self.last_seen_s if self._pulses.kept else 0)
        self._restore_counts(state, added[2:], last)
        self._restore_interval(state, last)
        if self.counts_lost:
            self.profile.flag(quality.GAP)

    def _restore_counts(self, state: "State | None", pulses, last: "Interval | None") -> None:
        """Add what was counted since the state: `pulses` up to the last save, and after it what
        the counters kept. Never below `last`.
        """
        registers, raw, kept = self.registers, self._pulses.read(), self._pulses.kept
        known = () if state is None else state.channels
        # What an input counted before it was ours is not counted, and volatile inputs begin at 0
        # with every start.
        saved = list(raw) if kept else [0] * len(raw)
        for channel, code in enumerate(registers.channels):
            if state is not None and code in known:
                at = known.index(code)
                if kept:
                    saved[channel] = (state.raw[at] + pulses[at]) % self._pulses.width
                base = saved[channel] - pulses[at]
                registers.restore(channel, state.registers_wh[at], state.remainders[at], base)
            else:
                registers.restore(channel, 0, 0, saved[channel])
        if state is not None:
            registers.restore_zones(state.other_zones_wh)
        registers.count(saved, self._zone)
        if kept:
            registers.count(raw, self._zone)
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
