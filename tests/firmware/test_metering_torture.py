"""The whole metering under power cuts and resets at every flash operation, in six shapes."""

from collections import namedtuple

from firmware.dating import DATING_BYTES
from firmware.journal import Journal, Ring
from firmware.load_profile import INTERVAL_BYTES, unpack
from firmware.metering import Metering
from firmware.saved_state import STATE_BYTES
from tests.support.a_meter import NOON_S, FakePulses, FakeRetained
from tests.support.torture import torture
from wire.messages import START_S_MIN

BLOCK_BYTES = 512  # four states, ten intervals: a short history goes round every ring
STATE_BLOCKS, DATES_BLOCKS, JOURNAL_BLOCKS = 3, 2, 6
BLOCKS = STATE_BLOCKS + DATES_BLOCKS + JOURNAL_BLOCKS
PERIOD_S = 300

Rings = namedtuple("Rings", ("state", "dates", "journal"))

# What the world is when the supply fails: minutes gone since noon, what the inputs have counted
# in all, what they show, what the meter's register was after its last finished look, the RTC
# memory, and the dates under which intervals were visible to the uplink.
World = namedtuple("World", ("step", "total", "shown", "metered", "retained", "seen"))
FIRST = World(0, 0, 0, 0, b"", ())


def open_rings(flash):
    at = STATE_BLOCKS + DATES_BLOCKS
    return Rings(
        Ring(flash, 0, STATE_BLOCKS, STATE_BYTES),
        Ring(flash, STATE_BLOCKS, DATES_BLOCKS, DATING_BYTES),
        Journal(flash, at, JOURNAL_BLOCKS, INTERVAL_BYTES),
    )


def zone_of(at_s):
    return at_s // PERIOD_S % 4


class History:
    """One kind of history: `work` and `check` for torture()."""

    def __init__(
        self, kept=True, tick_s=60, pulses_a_tick=7, timeless_ticks=0, keeps_rtc=False, change=0
    ):
        self.kept = kept
        self.tick_s = tick_s
        self.pulses_a_tick = pulses_a_tick
        self.timeless_ticks = timeless_ticks  # looks after each start before the time is known
        self.keeps_rtc = keeps_rtc  # a reset, not a power cut
        self.change = change  # the look after which the capture period becomes an other one

    def start(self, flash, world):
        """A start of the meter in this world: its rings, inputs, RTC memory and metering."""
        rings = open_rings(flash)
        pulses = FakePulses(1 << 12, self.kept)
        pulses.total = [world.shown, 2 * world.shown]
        noise = b"\x5a" * 136
        retained = FakeRetained(world.retained if self.keeps_rtc else noise)
        period_s = 600 if self.change and world.step > self.change else PERIOD_S
        meter = Metering(rings, pulses, 1000, period_s, 0, retained, zone_of)
        return rings, pulses, retained, meter

    def world_of(self, done):
        world = done[-1] if done else FIRST
        return world if self.kept else World(*world[:2], 0, *world[3:])

    def now_s(self, step, looks):
        return None if looks <= self.timeless_ticks else NOON_S + step * self.tick_s

    def work(self, flash, count, done):
        world = self.world_of(done)
        step, total, shown = world.step, world.total, world.shown
        rings, pulses, retained, meter = self.start(flash, world)
        seen, metered = world.seen, meter.registers.wh[0]
        done.append(World(step, total, shown, metered, retained.content, seen))
        for looks in range(1, count + 1):
            step, total = step + 1, total + self.pulses_a_tick
            shown += self.pulses_a_tick
            pulses.total = [shown, 2 * shown]
            done.append(World(step, total, shown, metered, retained.content, seen))
            write = retained.write

            def written(data, write=write, world=done[-1]):
                write(data)
                done.append(World(*world[:4], retained.content, world.seen))

            retained.write = written
            if step == self.change:
                meter.set_capture_period(600)
            now_s = self.now_s(step, looks)
            meter.tick(now_s, self.tick_s, looks * self.tick_s)
            retained.write = write
            metered = meter.registers.wh[0]
            if self.timeless_ticks:
                seen = visible(rings, meter)
            done.append(World(step, total, shown, metered, retained.content, seen))

    def check(self, flash, done):
        world = self.world_of(done)
        rings, _, _, meter = self.start(flash, world)
        wh = meter.registers.wh[0]
        assert wh == meter.registers.wh[1] // 2, "one channel went without the other"
        assert wh <= world.total, "more than ever was counted"
        if self.kept:
            assert wh == world.total, ("lost", wh, world.total)
        else:
            missing_wh = wh - world.metered
            assert missing_wh in (0, self.pulses_a_tick), ("lost", missing_wh)
        self.check_memory(rings, meter, world)
        now_s = NOON_S + world.step * self.tick_s + 30
        for _ in range(3):  # the time is known: what waits is dated, and metering goes on
            meter.tick(now_s, 30, 30)
            self.check_memory(rings, meter, world)
            now_s += PERIOD_S
        assert not meter.dating.first_waiting

    def check_memory(self, rings, meter, world):
        registers = meter.registers
        assert [sum(row) for row in registers.zones_wh] == registers.wh
        check_intervals(rings, meter)
        now = dict(visible(rings, meter))
        for number, start_s in world.seen:
            assert now.get(number, start_s) == start_s, "an interval was dated anew"


def intervals(rings):
    journal = rings.journal
    for number in range(max(1, journal.oldest), journal.newest + 1):
        record = journal.read(number)
        if record is not None:
            yield unpack(number, record)


def visible(rings, meter):
    """(number, start) of the intervals that the uplink may send."""
    found = []
    for interval in intervals(rings):
        dated = meter.dating.dated(interval)
        if dated is not None and dated.start_s >= START_S_MIN:
            found.append((dated.number, dated.start_s))
    return tuple(found)


def check_intervals(rings, meter):
    """Numbers and registers without a gap or a repeat; no interval over another."""
    before, end_s = None, 0
    for interval in intervals(rings):
        if before is not None:
            assert interval.number == before.number + 1
            for channel in range(2):
                begin_wh = interval.registers_wh[channel] - interval.deltas_wh[channel]
                assert begin_wh == before.registers_wh[channel]
        before = interval
        dated = meter.dating.dated(interval)
        assert dated is not None
        if dated.start_s >= START_S_MIN:
            assert dated.start_s % dated.capture_period_s == 0
            assert dated.start_s >= end_s
            end_s = dated.start_s + dated.capture_period_s
        else:
            assert interval.number >= meter.dating.first_waiting > 0
    if before is not None:
        assert tuple(meter.registers.wh) >= before.registers_wh
        assert tuple(meter.profile.registers_wh) == before.registers_wh
        assert meter.profile.number == before.number + 1
    assert not meter.profile.start_s > START_S_MIN or meter.profile.start_s >= end_s


def tortured(history, count, more=3, again=0):
    found = torture(history.work, history.check, count, BLOCKS, BLOCK_BYTES, None, more, again)
    assert found.cuts >= 6 * found.operations
    return found


def test_counters_that_keep_their_count_lose_nothing_at_any_cut():
    tortured(History(), 9, again=1)


def test_counters_that_begin_at_0_lose_one_save_period_at_most_at_any_cut():
    tortured(History(kept=False), 9)


def test_a_reset_with_rtc_memory_loses_nothing_that_was_looked_at():
    # 1 Wh a second: between two saves of flash there are nine looks that only RTC memory knows.
    history = History(kept=False, tick_s=1, pulses_a_tick=1, keeps_rtc=True)
    tortured(history, 31, more=12)


def test_a_reset_with_rtc_memory_and_kept_counters_counts_nothing_twice():
    tortured(History(tick_s=1, pulses_a_tick=1, keeps_rtc=True), 21, more=12)


def test_a_cut_while_undated_intervals_are_dated_loses_and_repeats_nothing():
    tortured(History(timeless_ticks=11), 14, more=13)


def test_a_cut_while_dating_with_volatile_counters_loses_one_save_period_at_most():
    tortured(History(kept=False, timeless_ticks=11), 13, more=1)


def test_a_cut_around_a_change_of_the_capture_period_overlaps_nothing():
    tortured(History(change=7), 12, more=6)
