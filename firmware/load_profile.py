"""Energy becomes intervals on the capture-period grid, and intervals become profile messages."""

import struct
from collections import namedtuple

from firmware.registers import CHANNELS
from firmware.saved_state import get_pair, put_pair
from wire import obis, quality
from wire.messages import DELTA_WH_MAX, Profile

PUSH_INTERVALS_MAX = 24  # in one frame: a batch of 24 stays below 190 bytes on the air
LATE_S_MAX = 60  # an interval closed later than this has a gap in it
INTERVAL_BYTES = 24
_CHANNELS = (obis.IMPORT_WH, obis.EXPORT_WH)
_HEAD = "<IHBB"  # start, capture period, quality, spare
_REGISTERS_AT = 8
_REGISTER_BYTES = 5
_DELTAS_AT = 18
_DELTA_BYTES = 3

# registers_wh: at the end of the interval; deltas_wh: inside it; pairs (import, export)
_Interval = namedtuple(
    "_Interval",
    ("number", "start_s", "capture_period_s", "quality", "registers_wh", "deltas_wh"),
)


class Interval(_Interval):
    """[start_s, start_s + capture_period_s) with its energy and quality."""

    def pack(self) -> bytearray:
        """The journal's payload; the number is the record's sequence."""
        record = bytearray(INTERVAL_BYTES)
        struct.pack_into(_HEAD, record, 0, self.start_s, self.capture_period_s, self.quality, 0)
        put_pair(record, _REGISTERS_AT, _REGISTER_BYTES, self.registers_wh)
        put_pair(record, _DELTAS_AT, _DELTA_BYTES, self.deltas_wh)
        return record


def unpack(number: int, record) -> Interval:
    """The interval in a journal's payload."""
    start_s, capture_period_s, grade, _ = struct.unpack_from(_HEAD, record, 0)
    registers_wh = get_pair(record, _REGISTERS_AT, _REGISTER_BYTES)
    deltas_wh = get_pair(record, _DELTAS_AT, _DELTA_BYTES)
    return Interval(number, start_s, capture_period_s, grade, registers_wh, deltas_wh)


class LoadProfile:
    """The one open interval. Numbers grow by one; intervals never overlap and none is invented.

    An interval starts where the one before it ended, so that the energies of all intervals sum to
    the register: what was counted while the meter could not tell the time is in the interval that
    is closed next, flagged `gap`.
    """

    def __init__(self, capture_period_s: int) -> None:
        self._capture_period_s = capture_period_s
        self.start_s = 0  # 0: none open, the time has never been known
        self.number = 1
        self.quality = quality.MEASURED
        self.registers_wh = (0, 0)  # at the start of the open interval

    def restore(self, start_s: int, number: int, grade: int, registers_wh) -> None:
        """Continue an interval that was open when the meter stopped."""
        self.start_s = start_s
        self.number = number
        self.quality = grade
        self.registers_wh = (registers_wh[0], registers_wh[1])

    def flag(self, flags: int) -> None:
        """Mark the open interval, or the first one to come."""
        self.quality |= flags

    def advance(self, now_s: int, registers_wh) -> "Interval | None":
        """Take the time and the registers now; gives the interval this closes, if any."""
        if not self.start_s:
            self._start(now_s)
            return None
        end_s = self.start_s + self._capture_period_s
        if now_s < self.start_s:
            self.flag(quality.CLOCK_UNSYNCED)  # set back: wait, so that intervals never overlap
        if now_s < end_s:
            return None
        if now_s > end_s + LATE_S_MAX:
            self.flag(quality.GAP)
        closed = self._close(registers_wh)
        self._start(now_s)
        return closed

    def seconds_left(self, now_s: int) -> int:
        """Until the open interval ends, at least 1."""
        return max(1, self.start_s + self._capture_period_s - now_s)

    def _start(self, now_s: int) -> None:
        self.start_s = now_s - now_s % self._capture_period_s
        if now_s > self.start_s + LATE_S_MAX:
            self.flag(quality.GAP)  # its beginning was not measured

    def _close(self, registers_wh) -> Interval:
        deltas_wh = []
        for channel in range(CHANNELS):
            delta_wh = registers_wh[channel] - self.registers_wh[channel]
            assert delta_wh >= 0
            if delta_wh > DELTA_WH_MAX:  # 16 MWh: no household; the register still has it all
                delta_wh = DELTA_WH_MAX
                self.flag(quality.IMPLAUSIBLE)
            deltas_wh.append(delta_wh)
        now_wh = (registers_wh[0], registers_wh[1])
        period_s, grade = self._capture_period_s, self.quality
        closed = Interval(self.number, self.start_s, period_s, grade, now_wh, tuple(deltas_wh))
        self.number += 1
        self.quality = quality.MEASURED
        self.registers_wh = now_wh
        return closed


def next_profile(journal, first: int, count_max: int = PUSH_INTERVALS_MAX) -> "Profile | None":
    """The next profile message from interval `first` on; None when the journal has none.

    A message holds intervals that follow each other in number, time and register; where they do
    not, the message ends and the next begins.
    """
    run = _run(journal, first, count_max)
    if not run:
        return None
    start = run[0]
    return Profile(
        start.number,
        min(_oldest_held(journal), start.number),
        start.start_s,
        start.capture_period_s,
        _CHANNELS,
        tuple([start.registers_wh[c] - start.deltas_wh[c] for c in range(CHANNELS)]),
        tuple([tuple([interval.deltas_wh[c] for interval in run]) for c in range(CHANNELS)]),
        tuple([interval.quality for interval in run]),
    )


def _oldest_held(journal) -> int:
    """Lowest unsettled number that can still be read: the gateway need not wait for those below."""
    number = journal.oldest_unsettled
    while number < journal.newest and journal.read(number) is None:
        number += 1
    return number


def _run(journal, first: int, count_max: int) -> "list[Interval]":
    run: list[Interval] = []
    number = max(first, journal.oldest_unsettled)
    while number <= journal.newest and len(run) < count_max:
        record = journal.read(number)
        if record is None:
            if run:
                break
        else:
            interval = unpack(number, record)
            if run and not _follows(run[-1], interval):
                break
            run.append(interval)
        number += 1
    return run


def _follows(before: Interval, after: Interval) -> bool:
    if after.capture_period_s != before.capture_period_s:
        return False
    if after.start_s != before.start_s + before.capture_period_s:
        return False
    for channel in range(CHANNELS):
        if after.registers_wh[channel] - after.deltas_wh[channel] != before.registers_wh[channel]:
            return False
    return True
