"""Counts in, closed intervals out: registers, open interval and their memory in flash."""

from firmware import load_profile, saved_state
from firmware.journal import FlashWorn
from firmware.load_profile import LoadProfile
from firmware.registers import Registers
from firmware.saved_state import State
from wire import quality

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.board import Pulses
    from firmware.journal import Ring
    from firmware.load_profile import Interval
    from firmware.storage import Storage

SAVE_S = 60  # at most this much counting is at risk where the counters do not survive
SAVE_WH = 10


class Metering:
    """The meter proper. After any power cut it continues from its flash, and never backward.

    `settled` is the highest interval number that may no longer be given to a new interval.
    `counts_lost` tells, after the start, that pulses since the last save cannot be known;
    `flash_worn` that a record found no place and is in memory (and on its way) only.
    """

    def __init__(
        self,
        storage: "Storage",
        pulses: "Pulses",
        imp_per_kwh: int,
        capture_period_s: int,
        settled: int = 0,
    ) -> None:
        self._storage = storage
        self._pulses = pulses
        self.registers = Registers(imp_per_kwh, pulses.width)
        self.profile = LoadProfile(capture_period_s)
        self.counts_lost = False
        self.flash_worn = False
        self._unsaved_s = 0
        self._unsaved_wh = 0
        self._saved_raw: list[int] = []
        self._restore()
        self.profile.number = max(self.profile.number, settled + 1)
        self._save()

    def tick(self, now_s: "int | None", passed_s: int) -> "Interval | None":
        """Take the counts after passed_s more seconds; gives the interval closed, if any.

        The interval is durable on return, unless flash_worn. now_s is UTC since 1970, or None
        while the time is not known.
        """
        self._unsaved_wh += self.registers.count(self._pulses.read())
        self._unsaved_s += passed_s
        closed = None
        opened = self.profile.start_s
        if now_s is not None:
            closed = self.profile.advance(now_s, self.registers.wh)
        if closed is not None:
            self._put(self._storage.journal, closed.pack(), closed.number)
        if self.profile.start_s != opened or self._save_due():
            self._save()
        return closed

    def flag(self, flags: int) -> None:
        """Mark the open interval's quality, durably."""
        self.profile.flag(flags)
        self._save()

    def _save_due(self) -> bool:
        if self.registers.raw == self._saved_raw:
            return False  # nothing counted: nothing at risk, and flash not worn at night
        return self._unsaved_wh >= SAVE_WH or self._unsaved_s >= SAVE_S

    def _save(self) -> None:
        registers, profile = self.registers, self.profile
        state = State(
            registers.wh,
            registers.remainders,
            registers.raw,
            profile.start_s,
            profile.number,
            profile.quality,
        )
        self._put(self._storage.state, saved_state.pack(state))
        self._unsaved_s = self._unsaved_wh = 0
        self._saved_raw = list(registers.raw)

    def _put(self, ring: "Ring", record: bytearray, sequence: int = 0) -> None:
        """Write a record; a worn flash never stops the counting, it is reported."""
        try:
            ring.append(record, sequence)
        except FlashWorn:
            self.flash_worn = True

    # -------------------------------------------------------------- at start

    def _restore(self) -> None:
        last = self._last_interval()
        record = self._storage.state.read_newest()
        state = None if record is None else saved_state.unpack(record)
        if state is not None:
            self.registers.restore(state.registers_wh, state.remainders, state.raw)
        elif last is not None or self._storage.state.damaged_blocks:
            self.counts_lost = True  # the state was destroyed: the last interval is what is left
        self._restore_counts(state, last)
        self._restore_interval(state, last)
        if self.counts_lost:
            self.profile.flag(quality.GAP)

    def _last_interval(self) -> "Interval | None":
        journal = self._storage.journal
        record = journal.read_newest()
        return None if record is None else load_profile.unpack(journal.newest, record)

    def _restore_counts(self, state: "State | None", last: "Interval | None") -> None:
        """Add what was counted since the save, if the counters kept it; never below `last`."""
        registers = self.registers
        if not self._pulses.kept:
            self._raise_to(last)
            registers.raw = [0, 0]  # such counters begin at 0 with every start
            self.counts_lost = self.counts_lost or state is not None
            return
        if state is None:
            registers.raw = list(self._pulses.read())  # what they counted before is not ours
        registers.count(self._pulses.read())
        self._raise_to(last)

    def _raise_to(self, last: "Interval | None") -> None:
        registers = self.registers
        ends_wh = (0, 0) if last is None else last.registers_wh
        for channel, end_wh in enumerate(ends_wh):
            if registers.wh[channel] < end_wh:
                registers.wh[channel] = end_wh
                registers.remainders[channel] = 0

    def _restore_interval(self, state: "State | None", last: "Interval | None") -> None:
        profile = self.profile
        last_number = 0 if last is None else last.number
        if state is None or last_number >= state.number:
            if last is not None:  # it was closed just before the power went
                profile.restore(0, last_number + 1, quality.MEASURED, last.registers_wh)
            return
        start_wh = (0, 0)
        if last is not None and last_number == state.number - 1:
            start_wh = last.registers_wh
        elif state.number > 1:  # the journal lost its newest intervals
            start_wh = state.registers_wh
            profile.flag(quality.GAP)
        flags = state.quality | profile.quality
        profile.restore(state.start_s, state.number, flags, start_wh)
