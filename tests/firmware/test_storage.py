"""How the partition is divided: every ring in its place, and room for months of intervals."""

from firmware.journal import RING_BLOCKS_MIN, SLOT_OVERHEAD_BYTES
from firmware.load_profile import INTERVAL_BYTES
from firmware.storage import FLASH_BLOCKS_MIN, RING_NAMES, FlashTooSmall, open_storage
from tests.support.a_meter import refused
from tests.support.fake_flash import BLOCK_BYTES, FakeFlash

MIB_BLOCKS = 256  # 1 MiB, as the boards give the meter
DAYS_MIN = 96
INTERVALS_A_DAY = 96  # of 15 minutes


def payload(ring, value):
    return bytes([value]) * ring.payload_bytes


def damage(flash, block):
    at = block * BLOCK_BYTES
    flash.image[at : at + BLOCK_BYTES] = bytes([index % 251 for index in range(256)]) * 16


def test_96_days_of_15_minute_intervals_of_four_channels_fit_in_one_mebibyte():
    journal = open_storage(FakeFlash(MIB_BLOCKS)).journal
    assert INTERVAL_BYTES + SLOT_OVERHEAD_BYTES == 48  # four registers and deltas, sequence, CRC
    kept = (journal.blocks - 1) * journal.slots_per_block  # one block may just have been erased
    assert kept >= DAYS_MIN * INTERVALS_A_DAY
    print(kept // INTERVALS_A_DAY, "days of 15-minute intervals of 4 channels in 1 MiB")


def test_the_rings_lie_one_behind_the_other_and_fill_the_partition():
    for blocks in (FLASH_BLOCKS_MIN, MIB_BLOCKS):
        flash = FakeFlash(blocks)
        at = 0
        for ring in open_storage(flash):
            assert ring._first_block == at
            at += ring.blocks
        assert at == blocks


def test_a_partition_of_fewer_blocks_than_the_rings_need_is_refused():
    assert FLASH_BLOCKS_MIN == 28
    assert open_storage(FakeFlash(FLASH_BLOCKS_MIN)).journal.blocks == RING_BLOCKS_MIN
    assert open_storage(FakeFlash(FLASH_BLOCKS_MIN + 1)).journal.newest == 0
    assert refused(FlashTooSmall, lambda: open_storage(FakeFlash(FLASH_BLOCKS_MIN - 1)))


def test_what_one_ring_keeps_no_other_touches():
    flash = FakeFlash(FLASH_BLOCKS_MIN)
    for _ in range(2):
        for index, ring in enumerate(open_storage(flash)):
            for _ in range(ring.slots_per_block + 3):
                ring.append(payload(ring, index + 1))
    for index, ring in enumerate(open_storage(flash.after_power_on())):
        assert ring.newest == 2 * (ring.slots_per_block + 3)
        assert bytes(ring.read_newest()) == payload(ring, index + 1)
        assert (ring.damaged_blocks, ring.damaged_slots) == (0, 0)


def test_a_meter_that_has_run_before_shows_it_in_any_ring():
    assert not open_storage(FakeFlash(FLASH_BLOCKS_MIN)).lived()
    for name in RING_NAMES:
        flash = FakeFlash(FLASH_BLOCKS_MIN)
        ring = getattr(open_storage(flash), name)
        ring.append(payload(ring, 1))
        assert open_storage(flash).lived(), name
        damage(flash, ring._first_block)
        assert open_storage(flash).lived(), name


def test_damage_is_reported_with_the_ring_it_is_in():
    flash = FakeFlash(FLASH_BLOCKS_MIN)
    assert open_storage(flash).damage() == (0, 0)
    assert open_storage(flash).damaged() == []
    opened = open_storage(flash)
    damage(flash, opened.state._first_block + 2)
    damage(flash, opened.journal._first_block)
    ring = open_storage(flash).events
    ring.append(payload(ring, 9))
    flash.image[ring._first_block * BLOCK_BYTES + 8] ^= 1
    opened = open_storage(flash)
    assert opened.damage() == (2, 1)
    assert opened.damaged() == [("state", 1, 0, [2]), ("events", 0, 1, []), ("journal", 1, 0, [0])]


def test_damage_anywhere_never_keeps_a_ring_from_taking_records():
    flash = FakeFlash(FLASH_BLOCKS_MIN)
    for block in range(FLASH_BLOCKS_MIN):
        damage(flash, block)
    opened = open_storage(flash)
    assert opened.damage() == (FLASH_BLOCKS_MIN, 0)
    for ring in opened:
        ring.append(payload(ring, 5))
        assert ring.reclaimed == 1
    for ring in open_storage(flash.after_power_on()):
        assert bytes(ring.read_newest()) == payload(ring, 5)


def test_erases_are_counted_over_the_meters_life():
    flash = FakeFlash(FLASH_BLOCKS_MIN)
    opened = open_storage(flash)
    assert opened.erases() == 0
    for _ in range(2 * opened.state.slots_per_block + 1):
        opened.state.append(payload(opened.state, 1))
    assert opened.erases() == open_storage(flash.after_power_on()).erases() == 3


def test_each_name_stands_for_its_ring():
    opened = open_storage(FakeFlash(FLASH_BLOCKS_MIN))
    assert [getattr(opened, name) is ring for name, ring in zip(RING_NAMES, opened)] == [True] * 7
