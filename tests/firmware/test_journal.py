"""The ring journal on flash: order, wrap, damage, and a power cut at every operation."""

from firmware.journal import SEQUENCE_MAX, FlashWorn, Journal, Ring
from tests.support.fake_flash import CUT_SHAPES, FakeFlash, PowerCut

PAYLOAD_BYTES = 24
SMALL_BLOCK = 258  # eight slots and the marks: a short history wraps several times


def payload_of(sequence):
    return bytes((sequence + index) & 0xFF for index in range(PAYLOAD_BYTES))


def a_flash(blocks=4):
    return FakeFlash(blocks, block_bytes=SMALL_BLOCK)


def a_ring(flash, blocks=4, kind=Ring):
    return kind(flash, 0, blocks, PAYLOAD_BYTES)


def kept_at_least(ring):
    """How many of the newest records are there even right after an erase."""
    return 3 * ring.slots_per_block


def fill(ring, count):
    for _ in range(count):
        ring.append(payload_of(ring.newest + 1))


def expect_refusal(error, call):
    try:
        call()
    except error:
        return
    raise AssertionError("it was not refused")


def test_an_empty_flash_holds_no_record():
    ring = a_ring(a_flash())
    assert (ring.newest, ring.oldest, ring.read_newest(), ring.read(1)) == (0, 0, None, None)
    assert (ring.damaged_slots, ring.damaged_blocks) == (0, 0)


def test_every_record_is_read_back_by_its_number_before_and_after_a_restart():
    flash = a_flash()
    ring = a_ring(flash)
    fill(ring, 20)
    for reader in (ring, a_ring(flash.after_power_on())):
        assert (reader.newest, reader.oldest) == (20, 1)
        for sequence in range(1, 21):
            assert bytes(reader.read(sequence)) == payload_of(sequence)
        assert reader.read(0) is None
        assert reader.read(21) is None


def test_a_full_ring_overwrites_the_oldest_block_only():
    flash = a_flash()
    ring = a_ring(flash)
    fill(ring, 32)
    assert (ring.oldest, ring.newest) == (1, 32)
    fill(ring, 1)
    assert (ring.oldest, ring.newest) == (9, 33)
    assert ring.newest - ring.oldest + 1 >= kept_at_least(ring)
    assert ring.read(8) is None
    assert bytes(a_ring(flash.after_power_on()).read(9)) == payload_of(9)


def test_appending_erases_once_for_each_block_of_records():
    flash = a_flash()
    fill(a_ring(flash), 8 * 4 * 5)
    assert flash.erases == [4, 5, 5, 5]  # the very first block of a new flash is blank already


def test_the_sequence_may_skip_ahead_but_never_back():
    flash = a_flash()
    ring = a_ring(flash)
    fill(ring, 2)
    ring.append(payload_of(100), 100)
    ring.append(payload_of(101))
    assert bytes(a_ring(flash.after_power_on()).read(100)) == payload_of(100)
    assert ring.read(50) is None
    expect_refusal(AssertionError, lambda: ring.append(payload_of(101), 101))


def test_sequences_beyond_31_and_up_to_32_bits_are_kept():
    flash = a_flash()
    ring = a_ring(flash)
    for sequence in ((1 << 30) + 1, (1 << 31) + 5, SEQUENCE_MAX):
        ring.append(payload_of(sequence), sequence)
    again = a_ring(flash)
    assert again.newest == SEQUENCE_MAX
    assert bytes(again.read((1 << 31) + 5)) == payload_of((1 << 31) + 5)
    before = flash.operations
    expect_refusal(FlashWorn, lambda: again.append(payload_of(1)))
    assert (again.newest, flash.operations) == (SEQUENCE_MAX, before)


def history(flash, count, acknowledged):
    ring = a_ring(flash)
    while ring.newest < count:
        sequence = ring.append(payload_of(ring.newest + 1))
        acknowledged.append(sequence)


def test_power_may_go_at_every_flash_operation_and_no_finished_record_is_lost():
    count = 70  # more than two turns of the ring
    whole = a_flash()
    history(whole, count, [])
    for shape in CUT_SHAPES:
        for cut_at in range(whole.operations):
            check_one_cut(shape, cut_at, count)


def check_one_cut(shape, cut_at, count):
    flash = a_flash()
    flash.cut_at, flash.cut_shape = cut_at, shape
    acknowledged = []
    try:
        history(flash, count, acknowledged)
        raise AssertionError("the power did not go")
    except PowerCut:
        pass
    last = acknowledged[-1] if acknowledged else 0
    ring = a_ring(flash.after_power_on())
    # Shape "all": the record was whole although nobody was told, so it may count.
    assert last <= ring.newest <= last + 1, (shape, cut_at, last, ring.newest)
    for sequence in range(max(1, ring.newest - kept_at_least(ring) + 1), ring.newest + 1):
        assert bytes(ring.read(sequence)) == payload_of(sequence), (shape, cut_at, sequence)
    fill(ring, 3)
    again = a_ring(ring._flash.after_power_on())
    assert again.newest == ring.newest
    assert bytes(again.read_newest()) == payload_of(again.newest)


def test_a_second_cut_while_recovering_loses_nothing_either():
    for shape in CUT_SHAPES:
        for second in range(3):
            flash = a_flash()
            fill(a_ring(flash), 16)
            flash.cut_at, flash.cut_shape = flash.operations, "third"
            expect_refusal(PowerCut, lambda flash=flash: fill(a_ring(flash), 9))
            flash = flash.after_power_on()
            flash.cut_at, flash.cut_shape = second, shape
            expect_refusal(PowerCut, lambda flash=flash: fill(a_ring(flash), 9))
            ring = a_ring(flash.after_power_on())
            assert ring.newest >= 16
            for sequence in range(1, 17):
                assert bytes(ring.read(sequence)) == payload_of(sequence)


def test_a_damaged_block_is_counted_and_stepped_over():
    flash = a_flash()
    fill(a_ring(flash), 20)
    for index in range(SMALL_BLOCK):
        flash.image[index] = (index * 31) % 255
    ring = a_ring(flash)
    assert ring.damaged_blocks == 1
    assert (ring.oldest, ring.newest) == (9, 20)
    assert ring.read(3) is None
    fill(ring, 20)
    assert bytes(ring.read(40)) == payload_of(40)


def test_a_damaged_slot_hides_only_itself():
    flash = a_flash()
    fill(a_ring(flash), 6)
    flash.image[2 * 32 + 7] ^= 0x10  # the third record
    ring = a_ring(flash)
    assert ring.damaged_slots == 1
    assert ring.newest == 6
    assert ring.read(3) is None
    assert bytes(ring.read(2)) == payload_of(2)
    assert bytes(ring.read(4)) == payload_of(4)


def test_any_single_flipped_bit_makes_a_record_unreadable_not_wrong():
    flash = a_flash()
    fill(a_ring(flash), 3)
    for bit in range(32 * 8):
        damaged = flash.after_power_on()
        damaged.image[32 + bit // 8] ^= 1 << (bit % 8)
        ring = a_ring(damaged)
        assert ring.read(2) is None
        assert ring.newest == 3
        assert ring.damaged_slots == 1


def test_a_slot_that_does_not_read_back_is_left_out_and_its_record_written_again():
    flash = a_flash()
    flash.weak_bytes = (32 * 2 + 10,)
    ring = a_ring(flash)
    fill(ring, 5)
    assert ring.damaged_slots == 1
    for sequence in range(1, 6):
        assert bytes(ring.read(sequence)) == payload_of(sequence)


def test_a_block_that_no_longer_erases_is_left_out():
    flash = a_flash()
    fill(a_ring(flash), 32)
    flash.stuck_blocks = (0,)
    ring = a_ring(flash)
    fill(ring, 30)
    assert ring.damaged_blocks >= 1
    assert bytes(ring.read(ring.newest)) == payload_of(ring.newest)


def test_a_worn_out_flash_is_a_named_error():
    flash = a_flash()
    fill(a_ring(flash), 32)
    flash.stuck_blocks = (0, 1, 2, 3)
    expect_refusal(FlashWorn, lambda: fill(a_ring(flash), 1))


def test_intervals_leave_the_journal_only_when_settled():
    journal = a_ring(a_flash(), kind=Journal)
    fill(journal, 5)
    assert (journal.oldest_unsettled, journal.unsettled) == (1, 5)
    assert journal.settle(3) is True
    assert (journal.oldest_unsettled, journal.unsettled) == (4, 2)
    assert journal.settle(3) is False
    assert journal.settle(0) is False
    assert journal.settle(5) is True
    assert (journal.oldest_unsettled, journal.unsettled) == (6, 0)


def test_a_receipt_for_intervals_not_yet_measured_settles_nothing():
    journal = a_ring(a_flash(), kind=Journal)
    fill(journal, 5)
    expect_refusal(ValueError, lambda: journal.settle(6))
    assert journal.unsettled == 5


def test_a_full_journal_counts_the_unsettled_intervals_it_had_to_drop():
    journal = a_ring(a_flash(), kind=Journal)
    fill(journal, 32)
    journal.settle(3)
    fill(journal, 1)
    assert journal.lost == 5  # 4..8
    assert (journal.oldest_unsettled, journal.unsettled) == (9, 25)


def test_settled_intervals_are_dropped_without_a_count():
    journal = a_ring(a_flash(), kind=Journal)
    fill(journal, 32)
    journal.settle(8)
    fill(journal, 1)
    assert journal.lost == 0
