"""Energy becomes intervals on the capture-period grid, and intervals become profile messages."""

import struct
from collections import namedtuple

from firmware.registers import ZONED
from firmware.saved_state import REGISTER_BYTES, SMALL_BYTES, channels_of, get_row, put_row, set_of
from wire import quality
from wire.messages import DELTA_WH_MAX, START_S_MIN, Profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PUSH_INTERVALS_MAX = 24  # in one frame
PACKET_BYTES_MAX = 190  # of one profile on the air, as a whole MQTT packet at QoS 1
# Of it around channels, energies and runs of quality: MQTT 31 (the topic has 24), COSE 44, message
# 25 where numbers and heads are at their longest (in practice they have up to 9 bytes less).
PACKET_BYTES_AROUND = 100
LATE_S_MAX = 60  # an interval closed later than this has a gap in it
PLAUSIBLE_W = 43_500  # three phases of 63 A at 230 V: more is kept, and flagged
HOUR_S = 3600
INTERVAL_BYTES = 40
_HEAD = "<IHBB"  # start, capture period, quality, set of channel codes
_REGISTERS_AT = 8
_DELTAS_AT = 28

# registers_wh: at the end of the interval; deltas_wh: inside it; one for each of channels
_Interval = namedtuple(
    "_Interval",
    (
        "number",
        "start_s",
        "capture_period_s",
        "quality",
        "registers_wh",
        "deltas_wh",
        "channels",
    ),
)


class Interval(_Interval):
    """[start_s, start_s + capture_period_s) with its energy and quality.

    start_s below START_S_MIN is not a date: it is the second since the meter's start, from 1.
    """

    def pack(self) -> bytearray:
        """The journal's payload; the number is the record's sequence."""
        record = bytearray(INTERVAL_BYTES)
        codes = set_of(self.channels)
        struct.pack_into(_HEAD, record, 0, self.start_s, self.capture_period_s, self.quality, codes)
        put_row(record, _REGISTERS_AT, REGISTER_BYTES, self.registers_wh)
        put_row(record, _DELTAS_AT, SMALL_BYTES, self.deltas_wh)
        return record


def unpack(number: int, record) -> Interval:
    """The interval in a journal's payload."""
    start_s, capture_period_s, grade, codes = struct.unpack_from(_HEAD, record, 0)
    channels = channels_of(codes)
    registers_wh = get_row(record, _REGISTERS_AT, REGISTER_BYTES, len(channels))
    deltas_wh = get_row(record, _DELTAS_AT, SMALL_BYTES, len(channels))
    return Interval(number, start_s, capture_period_s, grade, registers_wh, deltas_wh, channels)


class LoadProfile:
    """The one open interval. Numbers grow by one; intervals never overlap and none is invented.

    An interval starts where the one before it ended, so that the energies of all intervals sum to
    the register: what was counted while the meter was off is in the interval that is closed next,
    flagged `gap`. While the time is unknown, intervals are `undated`: their start counts the
    seconds since the meter's start, until firmware.dating gives them wall time.
    `flags` are on every interval. `end_s` is where the newest dated closed interval ended.
    """

    def __init__(
        self,
        capture_period_s: int,
        channels: "tuple[int, ...]" = ZONED,
        flags: int = quality.MEASURED,
        plausible_w: int = PLAUSIBLE_W,
    ) -> None:
        self.wanted_period_s = capture_period_s
        self.capture_period_s = capture_period_s  # of the open interval
        self._channels = channels
        self._flags = flags
        self._plausible_w = plausible_w
        self.start_s = 0  # 0: none open
        self.end_s = 0  # 0: no dated interval was ever closed
        self.number = 1
        self.quality = flags
        self.registers_wh = (0,) * len(channels)  # at the start of the open interval

    @property
    def undated(self) -> bool:
        """True while the open interval has no wall time yet."""
        return 0 < self.start_s < START_S_MIN

    def restore(self, start_s: int, period_s: int, number: int, grade: int, registers_wh) -> None:
        """Continue an interval that was open when the meter stopped; start_s 0: open a new one.

        period_s: of that interval, or of the one before the new one.
        """
        self.start_s = start_s
        self.capture_period_s = period_s
        self.number = number
        self.quality |= grade
        self.registers_wh = tuple(registers_wh)

    def flag(self, flags: int) -> None:
        """Mark the open interval, or the first one to come."""
        self.quality |= flags

    def date(self, start_s: int, end_s: int) -> None:
        """Give the open interval its wall time; the newest closed one was found to end at end_s."""
        self.start_s = start_s
        self.end_s = end_s
        self.flag(quality.CLOCK_UNSYNCED)

    def advance(self, now_s: int, registers_wh) -> "Interval | None":
        """Take the time and the registers now; gives the interval this closes, if any."""
        assert not self.undated
        if not self.start_s:
            self._start(now_s)
            if 0 < self.end_s < self.start_s:
                self.flag(quality.GAP)  # what came after end_s is in here too
            return None
        end_s = self.start_s + self.capture_period_s
        if now_s < self.start_s:
            self.flag(quality.CLOCK_UNSYNCED)  # set back: wait, so that intervals never overlap
        if now_s < end_s:
            return None
        if now_s > end_s + LATE_S_MAX:
            self.flag(quality.GAP)
        closed = self._close(registers_wh)
        self._start(now_s)
        return closed

    def advance_timeless(self, boot_s: int, least_s: int, registers_wh) -> "Interval | None":
        """As `advance` while the time is unknown; boot_s: seconds since the meter's start, from 1.

        least_s is the wall time that it surely is by now: only then a dated interval, open since
        before the meter stopped, is over.
        """
        period_s = self.capture_period_s
        end_s = self.start_s + period_s
        if self.start_s and (boot_s if self.undated else least_s) < end_s:
            return None
        closed = None
        dated = self.start_s >= START_S_MIN
        late_s = boot_s - end_s
        if self.start_s:
            if dated or late_s > LATE_S_MAX:
                self.flag(quality.GAP)
            self.flag(quality.CLOCK_UNSYNCED)
            closed = self._close(registers_wh)
        if closed is None or dated:
            self.start_s, self.capture_period_s = boot_s, self.wanted_period_s
        else:
            self.start_s = boot_s - late_s % period_s
        self.flag(quality.CLOCK_UNSYNCED)
        return closed

    def seconds_left(self, now_s: int) -> int:
        """Until the open interval ends, at least 1."""
        return max(1, self.start_s + self.capture_period_s - now_s)

    def _start(self, now_s: int) -> None:
        """Open the interval that now_s is in, or the first after end_s that keeps to a grid.

        A new capture period waits until an old interval ends on its grid too, at the full hour at
        the latest: so no interval is cut and none overlaps.
        """
        period_s = self.wanted_period_s
        start_s = now_s - now_s % period_s
        if start_s < self.end_s:
            if self.end_s % period_s:
                period_s = self.capture_period_s
            start_s = max(now_s - now_s % period_s, on_grid(self.end_s, period_s))
        self.start_s, self.capture_period_s = start_s, period_s
        if now_s > start_s + LATE_S_MAX:
            self.flag(quality.GAP)  # its beginning was not measured

    def _close(self, registers_wh) -> Interval:
        deltas_wh = []
        period_s = self.capture_period_s
        for now_wh, before_wh in zip(registers_wh, self.registers_wh):
            delta_wh = now_wh - before_wh
            assert delta_wh >= 0
            if delta_wh > self._plausible_w * period_s // HOUR_S:
                self.flag(quality.IMPLAUSIBLE)
            # Beyond 16 MWh, which is no household's, only the register has it all.
            deltas_wh.append(min(delta_wh, DELTA_WH_MAX))
        ends_wh = tuple(registers_wh)
        number, start_s, grade = self.number, self.start_s, self.quality
        deltas = tuple(deltas_wh)
        closed = Interval(number, start_s, period_s, grade, ends_wh, deltas, self._channels)
        if start_s >= START_S_MIN:
            self.end_s = start_s + period_s
        self.number += 1
        self.quality = self._flags
        self.registers_wh = ends_wh
        return closed


def on_grid(at_s: int, period_s: int) -> int:
    """at_s, or the first time after it that is a multiple of the capture period."""
    return at_s + -at_s % period_s


# ---------------------------------------------------------------------- sending


def next_profile(
    journal, first: int, count_max: int = PUSH_INTERVALS_MAX, dating: "Any" = None
) -> "Profile | None":
    """The next profile message from interval `first` on; None when the journal has none.

    A message holds intervals that follow each other in number, time and register, as many as fit
    PACKET_BYTES_MAX; then it ends and the next begins. Intervals that wait for their wall time
    (`dating`) wait here too, with all that come after them.
    """
    oldest = _oldest_held(journal, dating)
    run = _run(journal, max(first, journal.oldest_unsettled), count_max, dating)
    if not run:
        return None
    start = run[0]
    width = range(len(start.channels))
    return Profile(
        start.number,
        min(oldest, start.number),
        start.start_s,
        start.capture_period_s,
        start.channels,
        tuple([start.registers_wh[c] - start.deltas_wh[c] for c in width]),
        tuple([tuple([interval.deltas_wh[c] for interval in run]) for c in width]),
        tuple([interval.quality for interval in run]),
    )


def _load(journal, number: int, dating) -> "Interval | None":
    """An interval, with its wall time if it has one; None for what can never be sent."""
    record = journal.read(number)
    if record is None:
        return None
    interval = unpack(number, record)
    return interval if dating is None else dating.dated(interval)


def _oldest_held(journal, dating) -> int:
    """Lowest unsettled number that can still be sent: the gateway need not wait for those below."""
    number = journal.oldest_unsettled
    while number < journal.newest and _load(journal, number, dating) is None:
        number += 1
    return number


def _run(journal, number: int, count_max: int, dating) -> "list[Interval]":
    run: list[Interval] = []
    room = 0
    while number <= journal.newest and len(run) < count_max:
        interval = _load(journal, number, dating)
        if interval is None:
            if run:
                break
        else:
            if interval.start_s < START_S_MIN or (run and not _follows(run[-1], interval)):
                break
            if not run:
                room = PACKET_BYTES_MAX - PACKET_BYTES_AROUND - len(interval.channels)
                room -= _varint_bytes(interval.registers_wh)
            room -= _varint_bytes(interval.deltas_wh)
            if not run or interval.quality != run[-1].quality:
                room -= 2  # one run of quality
            if room < 0:
                break
            run.append(interval)
        number += 1
    return run


def _follows(before: Interval, after: Interval) -> bool:
    if after.capture_period_s != before.capture_period_s or after.channels != before.channels:
        return False
    if after.start_s != before.start_s + before.capture_period_s:
        return False
    for channel, delta_wh in enumerate(after.deltas_wh):
        if after.registers_wh[channel] - delta_wh != before.registers_wh[channel]:
            return False
    return True


def _varint_bytes(values) -> int:
    count = 0
    for value in values:
        count += 1
        while value > 0x7F:
            value >>= 7
            count += 1
    return count
