"""Settings that commands change: durable as a whole, readable by older and newer firmware."""

from firmware.config import parse
from firmware.journal import FlashWorn, Ring
from firmware.settings import (
    DONE_MAX,
    HOME_KEY_BYTES_MAX,
    SETTINGS_BYTES,
    TARIFF_BYTES_MAX,
    Settings,
)
from firmware.tariff import TABLE_BYTES_MAX
from tests.support.a_meter import METER_KEY, refusal_of, settings
from tests.support.fake_flash import BLOCK_BYTES, FakeFlash
from tests.support.torture import torture

BLOCKS = 3
NEW_KEY = b"\x07" * 32
LONGEST_TABLE = bytes(range(TARIFF_BYTES_MAX))


def the_settings(flash, key_epoch=0, meter_key=METER_KEY):
    config = parse(settings(key_epoch=key_epoch, meter_key=meter_key.hex()))
    return Settings(Ring(flash, 0, BLOCKS, SETTINGS_BYTES), config)


def values(found):
    keys = (found.key_epoch, found.meter_key, found.pending, found.home_key)
    return keys + (found.capture_period_s, found.tariff, tuple(found.done))


def test_a_new_meter_has_the_settings_of_its_config():
    found = the_settings(FakeFlash(BLOCKS), key_epoch=3)
    assert values(found) == (3, METER_KEY, None, b"", 900, (b"", b""), ())
    assert not found.lost


def test_every_setting_survives_a_restart_at_its_largest():
    flash = FakeFlash(BLOCKS)
    first = the_settings(flash)
    first.change("period_s", 3600)
    first.change("tariff", (LONGEST_TABLE, b"\x01" + LONGEST_TABLE[1:]))
    first.change("home_key", b"h" * HOME_KEY_BYTES_MAX)
    first.change("pending", (255, NEW_KEY))
    for index in range(DONE_MAX):
        first.remember((1 << 32) - 1 - index, index)
    again = the_settings(flash.after_power_on())
    assert values(again) == values(first)
    assert again.capture_period_s == 3600
    assert again.key_of(255) == NEW_KEY
    assert again.key_of(1) is None


def test_ten_records_fit_a_block_so_that_a_change_costs_a_tenth_of_an_erase():
    ring = Ring(FakeFlash(BLOCKS), 0, BLOCKS, SETTINGS_BYTES)
    assert ring.slots_per_block == 10
    assert BLOCK_BYTES == 4096


def test_a_meter_paired_again_amid_its_first_rekey_forgets_the_pending_key():
    flash = FakeFlash(BLOCKS)
    the_settings(flash).change("pending", (9, NEW_KEY))
    assert the_settings(flash).pending == (9, NEW_KEY)
    assert the_settings(flash, 1, b"\x09" * 32).pending is None


def test_the_longest_tariff_table_has_its_place():
    assert TARIFF_BYTES_MAX == TABLE_BYTES_MAX


def test_the_last_answered_commands_are_remembered_and_older_ones_forgotten():
    found = the_settings(FakeFlash(BLOCKS))
    for command_id in range(DONE_MAX + 1):
        found.remember(command_id, 0)
    known = [found.result_of(command_id) for command_id in range(DONE_MAX + 2)]
    assert known == [None] + [0] * DONE_MAX + [None]


def test_a_finished_rekey_replaces_the_key_of_the_config():
    flash = FakeFlash(BLOCKS)
    found = the_settings(flash)
    found.change("pending", (1, NEW_KEY))
    assert (found.key_of(0), found.key_of(1)) == (METER_KEY, NEW_KEY)
    found.finish_rekey()
    for now in (found, the_settings(flash)):
        assert (now.key_epoch, now.meter_key, now.pending) == (1, NEW_KEY, None)
        assert now.key_of(0) is None


def test_a_meter_that_was_paired_again_has_the_key_of_its_new_config():
    flash = FakeFlash(BLOCKS)
    found = the_settings(flash)
    found.change("pending", (1, NEW_KEY))
    found.finish_rekey()
    found.change("pending", (3, b"\x08" * 32))
    found.remember(77, 0)
    for key_epoch in (0, 1):
        kept = the_settings(flash, key_epoch)
        assert (kept.key_epoch, kept.meter_key, kept.pending[0]) == (1, NEW_KEY, 3)
        assert kept.result_of(77) == 0
    paired = the_settings(flash, 2, b"\x09" * 32)
    assert (paired.key_epoch, paired.meter_key, paired.pending) == (2, b"\x09" * 32, None)
    assert paired.result_of(77) is None  # another gateway may number its commands alike
    paired.change("period_s", 60)
    again = the_settings(flash, 2, b"\x09" * 32)
    assert (again.key_epoch, again.meter_key, again.period_s) == (2, b"\x09" * 32, 60)


def test_settings_that_cannot_be_read_give_way_to_the_config_and_are_reported():
    flash = FakeFlash(BLOCKS)
    the_settings(flash).change("period_s", 60)
    flash.image[:BLOCK_BYTES] = bytes(BLOCK_BYTES)
    found = the_settings(flash)
    assert (found.lost, found.capture_period_s) == (True, 900)
    found.change("period_s", 300)
    assert the_settings(flash).capture_period_s == 300


def with_version(flash, version, compatible):
    ring = Ring(flash, 0, BLOCKS, SETTINGS_BYTES)
    record = bytearray(ring.read_newest())
    record[0], record[1], record[-1] = version, compatible, 77
    ring.append(record)
    return the_settings(flash)


def test_a_later_version_is_read_when_it_says_so_and_not_otherwise():
    flash = FakeFlash(BLOCKS)
    the_settings(flash).change("period_s", 60)
    found = with_version(flash, 9, 1)
    assert (found.lost, found.period_s) == (False, 60)
    found = with_version(flash, 9, 2)
    assert (found.lost, found.period_s) == (True, 0)


def test_a_change_is_whole_or_not_there_when_power_goes_at_any_flash_operation():
    def work(flash, count, done):
        found = the_settings(flash)
        for _ in range(count):
            step = len(done)
            if step % 3 == 0:
                found.change("pending", (step + 1, bytes((step,)) * 32))
            elif step % 3 == 1 and found.pending:
                found.finish_rekey()
            else:
                found.change("tariff", (bytes((step,)) * TARIFF_BYTES_MAX, b"x"))
            done.append(values(found))

    def check(flash, done):
        found = the_settings(flash)
        nothing = (0, METER_KEY, None, b"", 900, (b"", b""), ())
        assert not found.lost
        before = done[-1] if done else nothing
        if values(found) == before:
            return
        found.remember(1, 0)  # the operation that was cut had come through: it is whole
        step = len(done)
        whole = found.pending == (step + 1, bytes((step,)) * 32)
        whole = whole or found.tariff[0] == bytes((step,)) * TARIFF_BYTES_MAX
        assert whole or (found.key_epoch, found.meter_key) == before[2]

    assert torture(work, check, 9, BLOCKS, 1024, again=1).cuts > 100


def test_a_worn_flash_changes_nothing_and_says_so():
    flash = FakeFlash(BLOCKS, block_bytes=512)
    found = the_settings(flash)
    found.change("pending", (1, NEW_KEY))
    before = values(found)
    flash.weak_bytes = tuple(range(12, BLOCKS * 512, 100))
    refusal_of(FlashWorn, found.change, "period_s", 60)
    refusal_of(FlashWorn, found.finish_rekey)
    refusal_of(FlashWorn, found.remember, 5, 0)
    assert values(found) == before
    assert found.key_epoch == 0


def test_no_key_is_in_the_text_of_the_settings():
    found = the_settings(FakeFlash(BLOCKS))
    found.change("pending", (1, NEW_KEY))
    text = repr(found) + str(found)
    assert "hidden" in text
    assert METER_KEY.hex() not in text and repr(METER_KEY) not in text
    assert NEW_KEY.hex() not in text and repr(NEW_KEY) not in text
