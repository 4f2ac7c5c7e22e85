"""Frame counters: reserved in flash before use, and never used twice, whatever resets."""

from firmware.journal import Ring
from firmware.keystore import (
    COUNTERS_RESERVED,
    KEYSTORE_BYTES,
    CountersUsedUp,
    Keystore,
    KeystoreLost,
    OldKey,
)
from firmware.storage import KEYSTORE_BLOCKS, open_storage
from tests.support.a_meter import FLASH_BLOCKS, refusal_of
from tests.support.fake_flash import BLOCK_BYTES, CUT_SHAPES, FakeFlash, PowerCut
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
    whole = a_flash()
    use_counters(whole, 900, [])
    for shape in CUT_SHAPES:
        for cut_at in range(whole.operations):
            flash, used = a_flash(), []
            flash.cut_at, flash.cut_shape = cut_at, shape
            try:
                use_counters(flash, 900, used)
            except PowerCut:
                pass
            flash = flash.after_power_on()
            use_counters(flash, 70, used)
            use_counters(flash.after_power_on(), 70, used)
            assert len(set(used)) == len(used), (shape, cut_at)
            assert used == sorted(used)


def use_counters(flash, count, used):
    ring = Ring(flash, 0, KEYSTORE_BLOCKS, KEYSTORE_BYTES)
    keystore = Keystore(ring, 0, bool(ring.newest or ring.damaged_blocks))
    for _ in range(count):
        used.append(keystore.next_counter())


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
    flash = FakeFlash(FLASH_BLOCKS)
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


def test_used_up_counters_are_refused():
    keystore = a_keystore(a_flash())
    limit = FRAME_COUNTER_MAX - COUNTERS_RESERVED
    keystore._next = keystore._reserved = limit - COUNTERS_RESERVED
    for _ in range(COUNTERS_RESERVED):
        keystore.next_counter()
    refusal_of(CountersUsedUp, keystore.next_counter)
