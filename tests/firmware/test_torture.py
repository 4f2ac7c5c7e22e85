"""Power cuts at every flash operation of every storage path, and again while it recovers."""

from firmware.dating import DATING_BYTES
from firmware.events import EVENT_BYTES, EventLog
from firmware.journal import Journal, Ring
from firmware.keystore import KEYSTORE_BYTES
from firmware.load_profile import INTERVAL_BYTES
from firmware.saved_state import COUNTS_BYTES, STATE_BYTES
from firmware.settings import SETTINGS_BYTES
from tests.support.fake_flash import CUT_SHAPES, FakeFlash
from tests.support.torture import torture
from wire.messages import EVENT_SAG

CUTS_SURVIVED = 3  # one of the history, two of its recovery: each may leave one slot torn


class RingPath:
    """A ring as one of the meter's rings is, in blocks of few slots so that it wraps often."""

    def __init__(self, blocks, payload_bytes, slots, kind=Ring):
        self.blocks = blocks
        self.payload_bytes = payload_bytes
        self.slots = slots
        self.kind = kind
        self.block_bytes = slots * (payload_bytes + 8) + 1 + (blocks + 7) // 8

    def payload_of(self, sequence):
        return bytes((sequence * 7 + index) & 0xFF for index in range(self.payload_bytes))

    def open(self, flash):
        ring = self.kind(flash, 0, self.blocks, self.payload_bytes)
        assert ring.slots_per_block == self.slots
        return ring

    def begin(self, flash, done):
        """A ring that has wrapped once, so that each block holds old records."""
        self.work(flash, self.blocks * self.slots, done)

    def work(self, flash, count, done):
        ring = self.open(flash)
        done.append(ring.newest)
        for _ in range(count):
            done.append(ring.append(self.payload_of(ring.newest + 1)))

    def check(self, flash, done):
        ring = self.open(flash)
        last = done[-1] if done else 0
        assert last <= ring.newest <= last + 1, "never backward, and no record that nobody wrote"
        kept = (self.blocks - 1) * self.slots - CUTS_SURVIVED
        for sequence in range(max(1, ring.newest - kept + 1), ring.newest + 1):
            assert bytes(ring.read(sequence)) == self.payload_of(sequence), sequence
        assert not ring.quarantined and not ring.damaged_blocks, "a power cut is no damage"
        assert not ring.newest_lost
        assert ring.damaged_slots <= CUTS_SURVIVED


def must_survive(path, again=1):
    """Torture a ring from its first byte on, and a full one all the way round.

    again: at how many operations of each recovery the power goes a second time.
    """
    turn = path.blocks * path.slots
    shape = {"blocks": path.blocks, "block_bytes": path.block_bytes}
    young = torture(path.work, path.check, path.slots + 1, again=1, **shape)
    full = torture(path.work, path.check, turn + 1, begin=path.begin, again=again, **shape)
    for told, appended in ((young, path.slots + 1), (full, turn + 1)):
        assert told.records == appended + 1
        assert told.erases == appended // path.slots + (told is full)
        assert told.cuts > told.operations * len(CUT_SHAPES)


def test_the_keystore_survives_a_power_cut_at_every_flash_operation():
    must_survive(RingPath(4, KEYSTORE_BYTES, 3), again=2)


def test_the_saved_state_survives_a_power_cut_at_every_flash_operation():
    must_survive(RingPath(4, STATE_BYTES, 3))


def test_the_counts_survive_a_power_cut_at_every_flash_operation():
    must_survive(RingPath(3, COUNTS_BYTES, 4))


def test_the_settings_survive_a_power_cut_at_every_flash_operation():
    must_survive(RingPath(3, SETTINGS_BYTES, 2))


def test_the_dates_survive_a_power_cut_at_every_flash_operation_in_a_ring_of_two_blocks():
    must_survive(RingPath(2, DATING_BYTES, 5), again=3)


def test_the_journal_survives_a_power_cut_at_every_flash_operation():
    must_survive(RingPath(4, INTERVAL_BYTES, 4, Journal))


def test_the_torture_finds_a_ring_that_overwrites_in_place():
    assert must_be_found(rewrite_in_place)


def test_the_torture_finds_a_record_that_is_told_before_it_is_durable():
    assert must_be_found(tell_too_early)


PATH = RingPath(2, 24, 4)


def must_be_found(work):
    try:
        torture(work, PATH.check, 4, blocks=2, block_bytes=PATH.block_bytes, more=0, again=0)
    except (AssertionError, TypeError):
        return True
    return False


def rewrite_in_place(flash, count, done):
    """Keep the newest record only, always in the same block."""
    for number in range(1, count + 1):
        flash.ioctl(6, 0)
        ring = PATH.open(flash)
        done.append(ring.append(PATH.payload_of(number), number))


def tell_too_early(flash, count, done):
    ring = PATH.open(flash)
    for _ in range(count):
        done.append(ring.newest + 1)
        ring.append(PATH.payload_of(ring.newest + 1))


# ------------------------------------------------------------------ the event log, with receipts

EVENTS_BLOCKS = 3
EVENTS_SLOTS = 3
EVENTS_BLOCK_BYTES = EVENTS_SLOTS * (EVENT_BYTES + 8) + 2


def an_event_log(flash, done):
    """done: (highest number added, highest number settled) as they were durable."""
    ring = Journal(flash, 0, EVENTS_BLOCKS, EVENT_BYTES)
    return EventLog(ring, done[-1][1] if done else 0), ring


def add_and_settle(flash, count, done):
    log, ring = an_event_log(flash, done)
    done.append((ring.newest, log.settled))
    for index in range(count):
        number = log.add(EVENT_SAG, (1 + index % 3, -index, 5), 1000 + index, index)
        done.append((number, log.settled))
        if index % 2:  # half of them find a receipt, so that some are overwritten unsettled
            log.settle(log.next(None, 0).number)
            done.append((number, log.settled))


def every_event_is_told_once(flash, done):
    log, ring = an_event_log(flash, done)
    added, settled = done[-1] if done else (0, 0)
    assert added <= ring.newest <= added + 1
    assert (ring.quarantined, ring.damaged_blocks) == ([], 0)
    told = settled
    while True:
        event = log.next(None, 0)
        if event is None:
            break
        assert event.number > told
        gone = event.values[0] if event.code != EVENT_SAG else 1
        assert event.number == told + gone, "each number is told, or told to be lost, exactly once"
        told = event.number
        log.settle(told)
    assert told == max(ring.newest, settled)


def test_the_event_log_survives_a_power_cut_at_every_flash_operation():
    told = torture(
        add_and_settle,
        every_event_is_told_once,
        count=25,
        blocks=EVENTS_BLOCKS,
        block_bytes=EVENTS_BLOCK_BYTES,
    )
    assert told.erases <= 25 // EVENTS_SLOTS
    assert told.cuts > 25 * len(CUT_SHAPES)


# ------------------------------------------------------------------ what a record costs


def test_a_record_costs_one_erase_for_each_block_full_of_them():
    flash = FakeFlash(4)
    ring = Ring(flash, 0, 4, 24)
    assert ring.slots_per_block == 127
    for _ in range(8 * 127):
        ring.append(bytes(24))
    assert sum(flash.erases) * 100 <= ring.newest, "at most 0.01 erases a record"
    assert flash.operations == 8 * 127 + sum(flash.erases) + 7 * 2  # a program a record, two marks
