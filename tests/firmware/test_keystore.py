"""Frame counters: reserved in flash before use, and never used twice, whatever resets."""

from firmware.journal import Ring
from firmware.keystore import (
    COUNTERS_RESERVED,
    KEYSTORE_BYTES,
    RECEIVER_WINDOW,
    CountersUsedUp,
    Keystore,
    KeystoreLost,
    OldKey,
)
from firmware.storage import FLASH_BLOCKS_MIN, KEYSTORE_BLOCKS, open_storage
from tests.support.a_meter import refusal_of
from tests.support.fake_flash import BLOCK_BYTES, FakeFlash
from tests.support.torture import torture
from wire.frame import FRAME_COUNTER_MAX

SMALL_BLOCK = 256


def a_flash():
    return FakeFlash(KEYSTORE_BLOCKS, block_bytes=SMALL_BLOCK)


def a_keystore(flash, key_epoch=0, lived=False):
    return Keystore(Ring(flash, 0, KEYSTORE_BLOCKS, KEYSTORE_BYTES), key_epoch, lived)


def test_counters_begin_at_0_and_grow_by_one():
    keystore = a_keystore(a_flash())
    assert [keystore.next_counter() for _ in range(200)] == list(range(200))


def test_a_reset_skips_at_most_one_reserved_block():
    flash = a_flash()
    keystore = a_keystore(flash)
    for used in (0, 1, COUNTERS_RESERVED - 1, COUNTERS_RESERVED, COUNTERS_RESERVED + 1):
        last = -1
        for _ in range(used):
            last = keystore.next_counter()
        keystore = a_keystore(flash)
        following = keystore.next_counter()
        assert last < following
        if last >= 0:
            assert following <= last + COUNTERS_RESERVED + 1


def test_no_counter_is_used_twice_when_power_goes_at_any_flash_operation():
    def work(flash, count, done):
        ring = Ring(flash, 0, KEYSTORE_BLOCKS, KEYSTORE_BYTES)
        keystore = Keystore(ring, 0, bool(ring.newest or ring.damaged_blocks))
        for _ in range(count):
            done.append(keystore.next_counter())
            for _ in range(COUNTERS_RESERVED - 2):
                keystore.next_counter()
            done.append(keystore.next_counter())

    def check(flash, done):
        last = done[-1] if done else -1
        counter = a_keystore(flash).next_counter()
        assert last < counter <= last + 3 * COUNTERS_RESERVED  # two cuts, two starts
        assert done == sorted(set(done))

    tried = torture(work, check, 20, KEYSTORE_BLOCKS, SMALL_BLOCK, again=1)
    assert tried.cuts > 300


def test_two_key_epochs_keep_their_counters_apart_whatever_is_cut():
    def work(flash, count, done):
        keystore = a_keystore(flash)
        for index in range(count):
            key_epoch = (0, 1, 1, 0)[index % 4]
            keystore.switch(key_epoch)
            if index % 5 == 0:
                keystore.leave_gap()
            for _ in range(COUNTERS_RESERVED // 2):
                done.append((key_epoch, keystore.next_counter()))
            keystore.heard(len(done), len(done), len(done), key_epoch)

    def check(flash, done):
        keystore = a_keystore(flash)
        used = list(done)
        for key_epoch in (1, 0, 1):
            keystore.switch(key_epoch)
            used.append((key_epoch, keystore.next_counter()))
        assert len(set(used)) == len(used)
        assert keystore.events_settled == keystore.settled <= len(done)

    assert torture(work, check, 8, KEYSTORE_BLOCKS, SMALL_BLOCK, more=2, again=1).cuts > 200


def test_what_was_heard_and_settled_survives_a_reset():
    flash = a_flash()
    a_keystore(flash).heard((1 << 40) + 5, (1 << 31) + 9)
    again = a_keystore(flash, lived=True)
    assert again.settled == (1 << 31) + 9
    assert not again.is_new((1 << 40) + 5)
    assert again.is_new((1 << 40) + 6)


def test_each_start_is_counted():
    flash = a_flash()
    assert [a_keystore(flash).starts for _ in range(5)] == [1, 2, 3, 4, 5]


def test_a_new_key_epoch_begins_both_counters_again_and_keeps_what_is_settled():
    flash = a_flash()
    old = a_keystore(flash)
    old.next_counter()
    old.heard(17, 4)
    new = a_keystore(flash, key_epoch=1, lived=True)
    assert (new.next_counter(), new.settled, new.is_new(0)) == (0, 4, True)


def test_an_older_key_epoch_is_refused():
    flash = a_flash()
    a_keystore(flash, key_epoch=3).next_counter()
    assert "pair the meter again" in refusal_of(OldKey, a_keystore, flash, 2, True)


def test_a_lost_keystore_is_refused_rather_than_a_counter_used_twice():
    flash = FakeFlash(FLASH_BLOCKS_MIN)
    storage = open_storage(flash)
    Keystore(storage.keystore, 0, storage.lived()).next_counter()
    flash.image[: KEYSTORE_BLOCKS * BLOCK_BYTES] = bytes(KEYSTORE_BLOCKS * BLOCK_BYTES)
    storage = open_storage(flash.after_power_on())
    assert storage.lived()
    refusal_of(KeystoreLost, Keystore, storage.keystore, 0, storage.lived())


def test_a_keystore_of_a_newer_firmware_is_not_misread():
    flash = a_flash()
    ring = Ring(flash, 0, KEYSTORE_BLOCKS, KEYSTORE_BYTES)
    ring.append(b"\x09" + bytes(KEYSTORE_BYTES - 1))
    refusal_of(KeystoreLost, a_keystore, flash, 0, True)


def test_a_keystore_of_a_later_version_is_read_as_far_as_it_is_known():
    flash = a_flash()
    a_keystore(flash).heard(5, 6, 7)
    ring = Ring(flash, 0, KEYSTORE_BLOCKS, KEYSTORE_BYTES)
    record = bytearray(ring.read_newest())
    record[0], record[-1] = 2, 99  # version 2 has put something into the spare bytes
    ring.append(record)
    again = a_keystore(flash, lived=True)
    assert (again.settled, again.events_settled, again.is_new(5), again.is_new(6)) == (
        6,
        7,
        False,
        True,
    )
    record[24] = 2  # only version 2 and later may read it
    ring.append(record)
    ring.append(record)
    refusal_of(KeystoreLost, a_keystore, flash, 0, True)


def test_each_key_epoch_has_its_own_counters_both_ways_over_a_restart():
    flash = a_flash()
    keystore = a_keystore(flash)
    for _ in range(5):
        keystore.next_counter()
    keystore.heard(30, 1)
    keystore.switch(1)
    assert keystore.next_counter() == 0
    keystore.heard(3, 2, 4, key_epoch=1)
    again = a_keystore(flash, lived=True)
    assert again.next_counter() == COUNTERS_RESERVED
    assert (again.is_new(30, 0), again.is_new(31, 0)) == (False, True)
    assert (again.is_new(3, 1), again.is_new(4, 1)) == (False, True)
    again.switch(1)
    assert again.next_counter() == COUNTERS_RESERVED
    assert (again.settled, again.events_settled) == (2, 4)


def test_an_epoch_whose_counters_are_not_known_is_never_used_again():
    flash = a_flash()
    keystore = a_keystore(flash)
    keystore.switch(4)
    keystore.next_counter()
    assert [keystore.may_use(epoch) for epoch in (0, 1, 3, 4, 5)] == [
        True,
        False,
        False,
        True,
        True,
    ]
    refusal_of(OldKey, keystore.switch, 3)
    keystore.switch(9)  # 4 gives way, 0 stays
    assert [keystore.may_use(epoch) for epoch in (0, 4, 9)] == [True, False, True]
    keystore.retire()
    keystore.heard(0, 0)
    refusal_of(OldKey, a_keystore, flash, 0, True)
    refusal_of(OldKey, a_keystore, flash, 8, True)
    assert a_keystore(flash, 9, True).key_epoch == 9


def test_a_meter_that_falls_back_to_an_old_key_epoch_goes_on_with_its_counters_or_not_at_all():
    flash = a_flash()
    keystore = a_keystore(flash)
    used = keystore.next_counter()
    keystore.switch(1)
    keystore.next_counter()
    keystore = a_keystore(flash, key_epoch=0, lived=True)  # its settings were lost
    assert keystore.next_counter() > used
    keystore.switch(1)  # and the same key came once more
    assert keystore.next_counter() >= COUNTERS_RESERVED


def test_a_start_under_the_newer_of_two_epochs_forgets_the_older_one():
    flash = a_flash()
    keystore = a_keystore(flash)
    keystore.switch(1)
    keystore.next_counter()
    keystore = a_keystore(flash, key_epoch=1, lived=True)
    keystore.switch(2)
    assert [keystore.may_use(epoch) for epoch in (0, 1, 2)] == [False, True, True]


def test_a_skip_leaves_out_a_whole_window_and_none_before_the_first_counter():
    keystore = a_keystore(a_flash())
    keystore.leave_gap()
    assert keystore.next_counter() == 0
    keystore.leave_gap()
    keystore.leave_gap()
    assert keystore.next_counter() == 1 + 2 * RECEIVER_WINDOW


def test_a_receipt_covers_a_frame_at_its_counter_and_not_below():
    keystore = a_keystore(a_flash())
    counter = [keystore.next_counter() for _ in range(9)][-1]
    covered = [keystore.covers(receipted, counter) for receipted in (-1, 7, 8, 9)]
    assert covered == [False, False, True, True]


def test_behind_a_skip_a_receipt_covers_a_frame_one_window_above_it_and_not_below():
    keystore = a_keystore(a_flash())
    keystore.next_counter()
    keystore.leave_gap()
    counter = [keystore.next_counter() for _ in range(3)][-1]
    assert counter == RECEIVER_WINDOW + 3
    found = [keystore.covers(counter - RECEIVER_WINDOW + more, counter) for more in (-3, -1, 0)]
    assert found == [False, False, True]
    assert not keystore.covers(counter - 1, counter)  # as far as that the gap is long forgotten


def test_used_up_counters_are_refused():
    keystore = a_keystore(a_flash())
    limit = FRAME_COUNTER_MAX - COUNTERS_RESERVED
    keystore._epochs[0][:2] = [limit - COUNTERS_RESERVED] * 2
    for _ in range(COUNTERS_RESERVED):
        keystore.next_counter()
    refusal_of(CountersUsedUp, keystore.next_counter)
    keystore.leave_gap()
    refusal_of(CountersUsedUp, keystore.next_counter)


def test_counters_whose_newest_record_lies_in_a_damaged_block_are_not_used_again():
    block_bytes = 1024
    flash = FakeFlash(KEYSTORE_BLOCKS, block_bytes=block_bytes)
    keystore = a_keystore(flash)
    for _ in range(40 * COUNTERS_RESERVED):  # the newest record is in the third block
        keystore.next_counter()
    for at in range(2 * block_bytes, 3 * block_bytes):
        flash.image[at] = (at * 31 + 7) % 251
    for _ in range(2):  # the refusal itself changes nothing
        assert "pair the meter again" in refusal_of(KeystoreLost, a_keystore, flash, 0, True)
    assert a_keystore(flash, 1, True).next_counter() == 0
