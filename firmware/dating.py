"""Wall time for intervals that were closed before the meter knew the time."""

# One record of the dates ring says of one run of such intervals, all of one start of the meter:
#   first number u32, last number u32, wall time of the first u32, its second since the start u32
# Bit 31 of the last field: an earlier start than the one that learnt the time, so that the run's
# place in time is a guess and it has `gap`.

import struct

from firmware.journal import FlashWorn
from firmware.load_profile import Interval, on_grid, unpack
from wire import quality
from wire.messages import START_S_MIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from firmware.journal import Journal, Ring

DATING_BYTES = 16
_RECORD = "<IIII"
_EARLIER = 1 << 31


class Dating:
    """Which wall time the journal's undated intervals have; durable before any of them is sent.

    `first_waiting` is the lowest number that still has none; 0: none waits. `worn` tells that a
    date found no place in flash and is in memory only.
    """

    def __init__(self, ring: "Ring", journal: "Journal") -> None:
        self._ring = ring
        self._journal = journal
        self._unwritten: list[tuple[int, int, int, int]] = []
        self.first_waiting = 0
        self.worn = False
        record = ring.read_newest()
        dated_to = 0 if record is None else struct.unpack_from(_RECORD, record, 0)[1]
        for number in range(journal.newest, max(dated_to, journal.oldest - 1), -1):
            record = journal.read(number)
            if record is not None:
                if unpack(number, record).start_s >= START_S_MIN:
                    break
                self.first_waiting = number

    def closed(self, interval: Interval) -> None:
        """An interval is in the journal now: it waits for a date if it has none."""
        if interval.start_s < START_S_MIN and not self.first_waiting:
            self.first_waiting = interval.number

    def dated(self, interval: Interval) -> "Interval | None":
        """The interval with its wall time; unchanged while it waits; None if its date was lost."""
        if interval.start_s >= START_S_MIN:
            return interval
        number = interval.number
        if 0 < self.first_waiting <= number:
            return interval
        for first, last, start_s, begin_s in self._dates():
            if first <= number <= last:
                grade = interval.quality
                if begin_s & _EARLIER:
                    grade |= quality.GAP
                start_s += interval.start_s - (begin_s & ~_EARLIER)
                period_s, registers_wh = interval.capture_period_s, interval.registers_wh
                energies = (registers_wh, interval.deltas_wh, interval.channels)
                return Interval(number, start_s, period_s, grade, *energies)
            if last < number:
                break
        return None

    def end_s(self) -> int:
        """Where the newest dated interval of the journal ends; 0 where there is none."""
        journal = self._journal
        newest = self.first_waiting - 1 if self.first_waiting else journal.newest
        for number in range(newest, max(0, journal.oldest - 1), -1):
            record = journal.read(number)
            interval = None if record is None else self.dated(unpack(number, record))
            if interval is not None:
                return interval.start_s + interval.capture_period_s
        return 0

    def date(
        self, now_s: int, boot_s: int, open_s: int, period_s: int, end_s: int
    ) -> "tuple[int, int]":
        """Give every waiting interval its wall time, durably; the time is now known to be now_s.

        boot_s: seconds since this start, from 1. open_s, period_s: the open interval, if it is
        undated (else 0, and the period to come). Nothing is put before end_s, where the newest
        dated interval ends. Gives the wall time of the open interval (0 where open_s is) and the
        new end_s.

        This start's run lies on the grid point nearest to its measured time; the runs of earlier
        starts lie in order directly before it. What would overlap goes later instead.
        """
        newest = self._journal.newest
        before_s = 0  # how long the runs are that lie before the anchor
        anchor_s = now_s - now_s % period_s
        for run in self._runs(open_s, period_s):
            if run[1] > newest:  # the open interval is in it: this start's
                nearest_s = now_s - boot_s + run[2] + run[4] // 2
                nearest_s -= nearest_s % run[4]
                # An interval that is alone need not begin late: what follows it is exact then.
                anchor_s = nearest_s if run[0] <= newest else min(nearest_s, anchor_s)
            else:
                before_s += run[3] - run[2]
        for first, last, begin_s, until_s, run_period_s in self._runs(open_s, period_s):
            start_s = anchor_s - before_s
            start_s -= start_s % run_period_s
            start_s = max(start_s, on_grid(max(end_s, START_S_MIN), run_period_s))
            if last > newest:
                if first <= newest:
                    self._put(first, newest, start_s, begin_s)
                    end_s = start_s + open_s - begin_s
                self.first_waiting = 0
                return start_s + open_s - begin_s, end_s
            self._put(first, last, start_s, begin_s | _EARLIER)
            before_s -= until_s - begin_s
            end_s = start_s + until_s - begin_s
        self.first_waiting = 0
        return 0, end_s

    def _runs(self, open_s: int, period_s: int) -> "Iterator[tuple[int, int, int, int, int]]":
        """Waiting runs in order, the open interval last: first, last, begin, end, period.

        Seconds since the start only grow while it lasts, in whole periods: where they do not,
        another start begins (every start has its first look in its first second).
        """
        newest = self._journal.newest
        run = None
        for number in range(self.first_waiting or newest + 1, newest + 2):
            start_s, interval_s = open_s, period_s
            if number <= newest:
                record = self._journal.read(number)
                if record is None:
                    continue
                start_s, interval_s = struct.unpack_from("<IH", record, 0)
            if not start_s:
                continue
            end_s = start_s + interval_s
            if (
                run is not None
                and start_s >= run[3]
                and interval_s == run[4]
                and (start_s - run[2]) % interval_s == 0
            ):
                run = (run[0], number, run[2], end_s, interval_s)
                continue
            if run is not None:
                yield run
            run = (number, number, start_s, end_s, interval_s)
        if run is not None:
            yield run

    def _put(self, first: int, last: int, start_s: int, begin_s: int) -> None:
        record = struct.pack(_RECORD, first, last, start_s, begin_s)
        try:
            self._ring.append(record)
        except FlashWorn:
            self.worn = True
            self._unwritten.insert(0, (first, last, start_s, begin_s))

    def _dates(self) -> "Iterator[tuple[int, int, int, int]]":
        """Newest first."""
        for date in self._unwritten:
            yield date
        for sequence in range(self._ring.newest, self._ring.oldest - 1, -1):
            record = self._ring.read(sequence) if sequence else None
            if record is not None:
                yield struct.unpack_from(_RECORD, record, 0)
