"""Damage on the flash: quarantined and reported, told apart from a cut erase, never in the way."""

from firmware.journal import (
    ERASE_TRIES_MAX,
    PAYLOAD_BYTES_MAX,
    RING_BLOCKS_MIN,
    SLOT_OVERHEAD_BYTES,
    TORN_SLOTS_MAX,
    FlashWorn,
    Ring,
)
from tests.support.a_meter import refused
from tests.support.fake_flash import CUT_SHAPES, FakeFlash, PowerCut

PAYLOAD_BYTES = 24
SLOT_BYTES = PAYLOAD_BYTES + SLOT_OVERHEAD_BYTES
SLOTS = 8
BLOCK = SLOTS * SLOT_BYTES + 3  # and the marks of up to 16 blocks


def payload_of(sequence):
    return bytes((sequence + index) & 0xFF for index in range(PAYLOAD_BYTES))


def a_flash(blocks=4):
    return FakeFlash(blocks, block_bytes=BLOCK)


def a_ring(flash):
    return Ring(flash, 0, len(flash.erases), PAYLOAD_BYTES)


def fill(ring, count):
    for _ in range(count):
        ring.append(payload_of(ring.newest + 1))


def filled(count, blocks=4):
    flash = a_flash(blocks)
    fill(a_ring(flash), count)
    return flash


def damage(flash, block, at=0, until=BLOCK):
    for index in range(block * BLOCK + at, block * BLOCK + until):
        flash.image[index] = (index * 31 + 7) % 251


def block_of(flash, block):
    return bytes(flash.image[block * BLOCK : (block + 1) * BLOCK])


def cut_next_erase(flash, shape):
    """Fill until the power goes in the next erase."""
    ring = a_ring(flash)
    while True:
        was = sum(flash.erases)
        trial = flash.after_power_on()
        fill(a_ring(trial), 1)
        if sum(trial.erases) > 0:
            break
        fill(ring, 1)
    assert sum(flash.erases) == was
    flash.cut_at, flash.cut_shape = flash.operations + 1, shape  # a mark goes before the erase
    assert refused(PowerCut, lambda: fill(a_ring(flash), 1))
    return flash.after_power_on()


def must_hold(flash, newest, count):
    """The newest `count` records are read back after a restart."""
    ring = a_ring(flash.after_power_on())
    assert ring.newest == newest
    for sequence in range(newest - count + 1, newest + 1):
        assert bytes(ring.read(sequence)) == payload_of(sequence)
    return ring


def test_a_damaged_block_is_left_as_it_is_and_reported_at_every_start():
    flash = filled(28)
    damage(flash, 1)
    kept = block_of(flash, 1)
    for _ in range(3):
        ring = a_ring(flash)
        assert (ring.quarantined, ring.damaged_blocks, ring.reclaimed) == ([1], 1, 0)
        assert not ring.newest_lost
        fill(ring, 5 * SLOTS)
        assert block_of(flash, 1) == kept
    must_hold(flash, 28 + 15 * SLOTS, 2 * SLOTS)


def test_an_erase_that_was_cut_is_not_taken_for_damage():
    for shape in CUT_SHAPES:
        flash = cut_next_erase(filled(4 * SLOTS - 3), shape)
        ring = a_ring(flash)
        assert (ring.quarantined, ring.damaged_blocks, ring.newest_lost) == ([], 0, False), shape
        fill(ring, 9 * SLOTS)
        assert 0 not in flash.erases
        must_hold(flash, 13 * SLOTS, 3 * SLOTS)


def test_two_thousand_power_cuts_at_erases_do_not_shrink_the_ring():
    flash = filled(4 * SLOTS)
    for cut in range(2000):
        ring = a_ring(flash)
        while ring._at < SLOTS:
            fill(ring, 1)
        flash.cut_at = flash.operations + cut % 4  # the marks, the erase, the record behind it
        flash.cut_shape = CUT_SHAPES[cut // 4 % len(CUT_SHAPES)]
        assert refused(PowerCut, lambda flash=flash: fill(a_ring(flash), 4))
        flash = flash.after_power_on()
    ring = a_ring(flash)
    assert (ring.quarantined, ring.damaged_blocks, ring.newest_lost) == ([], 0, False)
    assert ring.newest > 4 * SLOTS
    fill(ring, 4 * SLOTS)
    assert 0 not in flash.erases


def test_power_cuts_at_erases_beside_a_damaged_block_leave_it_alone_and_take_no_other():
    flash = filled(4 * SLOTS + 1, 6)
    damage(flash, 2)
    kept = block_of(flash, 2)
    for cut in range(60):
        flash = cut_next_erase(flash, CUT_SHAPES[cut % len(CUT_SHAPES)])
        ring = a_ring(flash)
        assert ring.quarantined == [2], cut
        fill(ring, 2)
    assert block_of(flash, 2) == kept


def test_a_partition_of_something_else_is_reported_and_the_meter_writes_on():
    flash = a_flash(6)
    for block in range(6):
        damage(flash, block)
    others = [block_of(flash, block) for block in range(2, 6)]
    ring = a_ring(flash)
    assert (ring.newest, ring.damaged_blocks, ring.newest_lost) == (0, 6, True)
    assert ring.quarantined == [0, 1, 2, 3, 4, 5]
    fill(ring, 5 * SLOTS)
    assert (ring.reclaimed, ring.quarantined) == (RING_BLOCKS_MIN, [2, 3, 4, 5])
    assert [block_of(flash, block) for block in range(2, 6)] == others
    again = must_hold(flash, 5 * SLOTS, SLOTS)
    assert (again.damaged_blocks, again.reclaimed) == (4, 0)


def test_a_quarantined_block_is_erased_only_when_fewer_than_two_sound_ones_are_left():
    for damaged, reclaimed in ((1, 0), (2, 0), (3, 1)):
        flash = filled(4 * SLOTS)  # the newest records are in block 3
        for block in range(damaged):
            damage(flash, block)
        ring = a_ring(flash)
        fill(ring, 6 * SLOTS)
        assert ring.reclaimed == reclaimed
        assert ring.damaged_blocks == damaged
        must_hold(flash, 10 * SLOTS, SLOTS)


def test_the_block_of_the_newest_record_is_never_erased_even_when_no_other_erases():
    flash = filled(4 * SLOTS)
    flash.stuck_blocks = (0, 1, 2)
    ring = a_ring(flash)
    for _ in range(5):
        assert refused(FlashWorn, lambda: fill(ring, 1))
        assert (sorted(ring.quarantined), ring.damaged_blocks) == ([0, 1, 2], 3)
    assert flash.erases[3] == 1
    must_hold(flash, 4 * SLOTS, SLOTS)


def test_the_newest_records_outlive_a_ring_of_two_blocks_whose_other_one_takes_no_record():
    flash = filled(2 * SLOTS, 2)
    flash.weak_bytes = tuple([slot * SLOT_BYTES for slot in range(SLOTS)])
    for _ in range(2):
        assert refused(FlashWorn, lambda: fill(a_ring(flash), 1))
    must_hold(flash, 2 * SLOTS, SLOTS)


def test_one_append_tries_a_bounded_number_of_erases_and_the_next_one_goes_on_from_there():
    for stuck, refusals in (
        (ERASE_TRIES_MAX - 1, 0),
        (ERASE_TRIES_MAX, 1),
        (ERASE_TRIES_MAX + 1, 1),
    ):
        flash = filled(12 * SLOTS, 12)
        flash.stuck_blocks = tuple(range(stuck))
        ring = a_ring(flash)
        for _ in range(refusals):
            before = sum(flash.erases)
            assert refused(FlashWorn, lambda ring=ring: fill(ring, 1))
            assert sum(flash.erases) - before == ERASE_TRIES_MAX
        fill(ring, 1)
        assert ring.quarantined == list(range(stuck))
        must_hold(flash, 12 * SLOTS + 1, SLOTS)


def test_a_ring_without_a_slot_that_takes_a_record_gives_up_in_bounded_time():
    flash = a_flash(12)
    flash.weak_bytes = tuple(
        [at * SLOT_BYTES + block * BLOCK for block in range(12) for at in range(SLOTS)]
    )
    ring = a_ring(flash)
    assert refused(FlashWorn, lambda: fill(ring, 1))
    assert flash.operations <= ERASE_TRIES_MAX * (SLOTS + 3)


def test_damage_to_the_newest_records_is_said_and_their_numbers_are_not_given_again():
    flash = filled(2 * SLOTS + 5)
    damage(flash, 2)
    ring = a_ring(flash)
    assert (ring.newest, ring.newest_lost, ring.quarantined) == (2 * SLOTS, True, [2])
    kept = block_of(flash, 2)
    assert ring.append(payload_of(1)) > 2 * SLOTS + 5
    for _ in range(5 * SLOTS):
        ring.append(payload_of(1))
    assert (ring.quarantined, block_of(flash, 2)) == ([2], kept)
    ring = a_ring(flash)
    assert not ring.newest_lost  # what is read now is the newest there is
    assert ring.append(payload_of(2)) == ring.newest


def test_damage_to_older_records_does_not_throw_doubt_on_the_newest():
    for newest in (2 * SLOTS + 1, 3 * SLOTS - 1, 3 * SLOTS):
        flash = filled(newest)
        damage(flash, 0)
        ring = a_ring(flash)
        assert (ring.newest, ring.newest_lost) == (newest, False)
        assert ring.append(payload_of(newest + 1)) == newest + 1


def test_power_cuts_in_the_first_record_of_a_block_are_no_damage_up_to_their_limit():
    for start in (0, 2 * SLOTS, 4 * SLOTS):
        for cuts in (1, TORN_SLOTS_MAX, TORN_SLOTS_MAX + 1):
            flash = filled(start)
            if start:
                flash.cut_at, flash.cut_shape = flash.operations + 3, "half"
            for _ in range(cuts):
                flash.cut_at = flash.cut_at if flash.cut_at > 0 else 0
                flash.cut_shape = "half"
                assert refused(PowerCut, lambda flash=flash: fill(a_ring(flash), 1))
                flash = flash.after_power_on()
            ring = a_ring(flash)
            assert ring.damaged_blocks == (1 if cuts > TORN_SLOTS_MAX else 0), (start, cuts)
            assert ring.newest == start
            fill(ring, 3)
            assert bytes(ring.read_newest()) == payload_of(ring.newest)


def test_a_block_that_lost_some_records_keeps_the_others():
    flash = filled(3 * SLOTS)
    damage(flash, 0, 0, SLOT_BYTES)
    damage(flash, 0, 3 * SLOT_BYTES, 4 * SLOT_BYTES)
    ring = a_ring(flash)
    assert (ring.damaged_blocks, ring.damaged_slots) == (0, 1)  # the start looks for the first only
    for sequence in range(2, 3 * SLOTS + 1):
        found = ring.read(sequence)
        if sequence == 4:
            assert found is None
        else:
            assert bytes(found) == payload_of(sequence)


def test_bytes_behind_a_blank_slot_are_found_before_they_would_be_erased():
    flash = filled(1)
    damage(flash, 1, 5 * SLOT_BYTES)
    kept = block_of(flash, 1)
    ring = a_ring(flash)
    assert ring.quarantined == []
    fill(ring, 6 * SLOTS)
    assert (ring.quarantined, block_of(flash, 1)) == ([1], kept)
    must_hold(flash, 6 * SLOTS + 1, 2 * SLOTS)


def test_the_size_of_a_ring_and_of_its_records_is_limited():
    flash = FakeFlash(2)
    Ring(flash, 0, RING_BLOCKS_MIN, PAYLOAD_BYTES_MAX)
    Ring(flash, 0, RING_BLOCKS_MIN, 1)
    assert refused(AssertionError, lambda: Ring(flash, 0, RING_BLOCKS_MIN - 1, 24))
    assert refused(AssertionError, lambda: Ring(flash, 0, RING_BLOCKS_MIN, PAYLOAD_BYTES_MAX + 1))
    assert refused(AssertionError, lambda: Ring(flash, 0, RING_BLOCKS_MIN, 0))
