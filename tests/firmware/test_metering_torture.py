"""The whole metering under power cuts and resets at every flash operation, in six shapes."""

from collections import namedtuple

from firmware.dating import DATING_BYTES
from firmware.journal import Journal, Ring
from firmware.load_profile import INTERVAL_BYTES, unpack
from firmware.metering import Metering
from firmware.saved_state import COUNTS_BYTES, STATE_BYTES
from tests.support.a_meter import NOON_S, FakePulses, FakeRetained
from tests.support.torture import torture
from wire.messages import START_S_MIN

BLOCK_BYTES = 512  # three states, ten intervals: a short history goes round every ring
COUNTS_SLOTS = 19  # in a block; histories that shall enter the next begin with a fuller one
STATE_BLOCKS, COUNTS_BLOCKS, DATES_BLOCKS, JOURNAL_BLOCKS = 3, 2, 2, 6
BLOCKS = STATE_BLOCKS + COUNTS_BLOCKS + DATES_BLOCKS + JOURNAL_BLOCKS
PERIOD_S = 300
WIDTH = 1 << 12

Rings = namedtuple("Rings", ("state", "counts", "dates", "journal"))

# What the world is when the supply fails: minutes gone since noon, what the inputs have counted
# in all, what they show, what the meter's register was after its last finished look, the RTC
# memory, the dates under which intervals were visible to the uplink, what was counted in each
# zone's time, and how often the supply failed before.
World = namedtuple(
    "World", ("step", "total", "shown", "metered", "retained", "seen", "zones", "starts")
)
FIRST = World(0, 0, 0, 0, b"", (), (0, 0, 0, 0), 0)


def open_rings(flash):
    at = STATE_BLOCKS + COUNTS_BLOCKS
    return Rings(
        Ring(flash, 0, STATE_BLOCKS, STATE_BYTES),
        Ring(flash, STATE_BLOCKS, COUNTS_BLOCKS, COUNTS_BYTES),
        Ring(flash, at, DATES_BLOCKS, DATING_BYTES),
        Journal(flash, at + DATES_BLOCKS, JOURNAL_BLOCKS, INTERVAL_BYTES),
    )


class History:
    """One kind of history: `work` and `check` for torture()."""

    def __init__(
        self,
        kept=True,
        tick_s=60,
        pulses_a_tick=7,
        timeless_ticks=0,
        keeps_rtc=False,
        change=0,
        zone_s=PERIOD_S,
        first=FIRST,
        counts_used=0,
    ):
        self.kept = kept
        self.tick_s = tick_s
        self.pulses_a_tick = pulses_a_tick
        self.timeless_ticks = timeless_ticks  # looks after each start before the time is known
        self.keeps_rtc = keeps_rtc  # a reset, not a power cut
        self.change = change  # the look after which the capture period becomes an other one
        self.zone_s = zone_s  # between two changes of the zone
        self.first = first
        self.counts_used = counts_used  # records of an earlier life in the ring of counts

    def zone_of(self, at_s):
        return at_s // self.zone_s % 4

    def begin(self, flash, done):
        ring = open_rings(flash).counts
        assert ring.slots_per_block == COUNTS_SLOTS
        for number in range(self.counts_used):
            ring.append(bytes([200 + number % 50] * COUNTS_BYTES))

    def start(self, flash, world):
        """A start of the meter in this world: its rings, inputs, RTC memory and metering."""
        rings = open_rings(flash)
        pulses = FakePulses(WIDTH, self.kept)
        pulses.total = [world.shown, 2 * world.shown]
        noise = b"\x5a" * 136
        retained = FakeRetained(world.retained if self.keeps_rtc else noise)
        period_s = 600 if self.change and world.step > self.change else PERIOD_S
        meter = Metering(rings, pulses, 1000, period_s, 0, retained, self.zone_of)
        return rings, pulses, retained, meter

    def world_of(self, done):
        world = done[-1] if done else self.first
        return world if self.kept else World(*world[:2], 0, *world[3:])

    def now_s(self, step, looks):
        return None if looks <= self.timeless_ticks else NOON_S + step * self.tick_s

    def work(self, flash, count, done):
        world = self.world_of(done)
        step, total, shown, zones = world.step, world.total, world.shown, list(world.zones)
        starts = world.starts + 1
        rings, pulses, retained, meter = self.start(flash, world)
        seen, metered = world.seen, meter.registers.wh[0]
        done.append(world_now(step, total, shown, metered, retained, seen, zones, starts))
        for looks in range(1, count + 1):
            step, total = step + 1, total + self.pulses_a_tick
            shown += self.pulses_a_tick
            pulses.total = [shown, 2 * shown]
            zones[self.zone_of(NOON_S + step * self.tick_s - 1)] += self.pulses_a_tick
            done.append(world_now(step, total, shown, metered, retained, seen, zones, starts))
            write = retained.write

            def written(data, write=write, world=done[-1]):
                write(data)
                done.append(World(*world[:4], retained.content, *world[5:]))

            retained.write = written
            if step == self.change:
                meter.set_capture_period(600)
            now_s = self.now_s(step, looks)
            meter.tick(now_s, self.tick_s, looks * self.tick_s)
            retained.write = write
            metered = meter.registers.wh[0]
            if self.timeless_ticks:
                seen = visible(rings, meter)
            done.append(world_now(step, total, shown, metered, retained, seen, zones, starts))

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
        if self.kept and not self.timeless_ticks:
            # A look that the supply ended goes into the zone before it, as does the first of all.
            for zone_wh, wanted_wh in zip(meter.registers.zones_wh[0], world.zones):
                assert abs(zone_wh - wanted_wh) <= (1 + world.starts) * self.pulses_a_tick
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


def world_now(step, total, shown, metered, retained, seen, zones, starts):
    return World(step, total, shown, metered, retained.content, seen, tuple(zones), starts)


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
    begin = history.begin
    found = torture(history.work, history.check, count, BLOCKS, BLOCK_BYTES, begin, more, again)
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


# A zone and an interval for a long time, so that all saves but the start's are counts records.
ONE_ZONE_S = 86_400


def test_where_counts_are_the_newest_records_kept_counters_lose_nothing_at_two_cuts_in_a_row():
    tortured(History(tick_s=10, pulses_a_tick=11, zone_s=ONE_ZONE_S), 8, more=3, again=2)


def test_where_counts_are_the_newest_records_volatile_counters_lose_one_save_period_at_most():
    history = History(kept=False, tick_s=10, pulses_a_tick=11, zone_s=ONE_ZONE_S)
    tortured(history, 8, more=3, again=2)


def test_cuts_while_a_block_of_counts_is_erased_lose_nothing():
    for used in (2 * COUNTS_SLOTS - 4, 3 * COUNTS_SLOTS - 4):
        for kept in (True, False):
            first = History(kept, 10, 11, zone_s=ONE_ZONE_S, counts_used=used)
            assert tortured(first, 9, more=3).erases == 1


def test_cuts_while_a_block_of_states_is_erased_between_counts_lose_nothing():
    for kept in (True, False):  # a change of the zone every fourth look: the states go round
        assert tortured(History(kept, 10, 11, zone_s=40), 26, more=2).erases >= 3


def test_a_cut_around_a_change_of_the_zone_puts_no_energy_into_two_zones():
    for kept in (True, False):
        tortured(History(kept, 10, 11, zone_s=30), 8, more=3)
    tortured(History(tick_s=1, pulses_a_tick=1, zone_s=7, keeps_rtc=True), 16, more=8)


def test_a_cut_around_the_wrap_of_the_counters_counts_each_pulse_once():
    shown = WIDTH - 50
    first = World(0, shown, shown, shown, b"", (), (0, 0, 0, 0), 0)
    tortured(Wrapping(first), 8, more=3, again=1)


class Wrapping(History):
    """Inputs that had counted before the meter was theirs, and are about to wrap."""

    def __init__(self, first):
        super().__init__(tick_s=10, pulses_a_tick=11, zone_s=ONE_ZONE_S, first=first)

    def check(self, flash, done):
        world = self.world_of(done)
        _, _, _, meter = self.start(flash, world)
        if not done:
            return
        assert meter.registers.wh[0] == world.total - self.first.total
        assert meter.registers.wh[1] == 2 * meter.registers.wh[0]
        assert [sum(row) for row in meter.registers.zones_wh] == meter.registers.wh


def test_a_reset_between_counts_records_goes_on_from_the_last_look():
    # Three looks to a save: RTC memory is newer than the counts record, which is newer than the
    # state; of the three only the newest may win.
    for kept in (True, False):
        history = History(kept, 1, 4, keeps_rtc=True, zone_s=ONE_ZONE_S)
        tortured(history, 10, more=7)
