"""The slot loader and its record: which application boots, whatever was cut and torn."""

from boards import start
from boards.parts.slots import TRIES_MAX, Slots, open_slots
from firmware.board import WATCHDOG_MS
from tests.support.fake_files import FakeFiles, PowerCut

ROOT = "/meter"


def a_root():
    """A root as the factory leaves it: the application in slot a, whole, and no record."""
    files = FakeFiles()
    files.folders.update((ROOT, ROOT + "/a"))
    files.files[ROOT + "/a/WHOLE"] = b"0.1.0"
    return files


def booted(files):
    """What the loader boots now, and the slots as that application sees them."""
    start.running, on_trial = start.choose(ROOT)
    return start.running, on_trial, Slots(ROOT)


def test_a_meter_from_the_factory_boots_slot_a():
    with a_root() as files:
        slot, on_trial, slots = booted(files)
        assert (slot, on_trial) == ("a", False)
        assert slots.state() == (False, False, False)
        assert start.read_record(ROOT) is None


def test_an_armed_slot_is_tried_three_times_and_then_given_up_for_good():
    with a_root() as files:
        booted(files)[2].arm(b"0.2.0")
        for tries_left in (2, 1, 0):
            slot, on_trial, slots = booted(files)
            assert (slot, on_trial) == ("b", True)
            assert slots.state() == (True, False, False)
            assert start.read_record(ROOT) == ("a", "b", tries_left, 0)
        for _ in range(2):
            slot, on_trial, slots = booted(files)
            assert (slot, on_trial) == ("a", False)
            assert slots.state() == (False, False, True)
        assert TRIES_MAX == 3


def test_a_confirmed_slot_stays():
    with a_root() as files:
        booted(files)[2].arm(b"0.2.0")
        booted(files)[2].confirm()
        for _ in range(TRIES_MAX + 2):
            slot, on_trial, slots = booted(files)
            assert (slot, on_trial) == ("b", False)
        assert slots.running == "b"
        assert slots.state() == (False, False, False)


def test_the_next_update_goes_to_the_slot_that_was_left():
    with a_root() as files:
        booted(files)[2].arm(b"0.2.0")
        booted(files)[2].confirm()
        slots = booted(files)[2]
        slots.erase()
        assert ROOT + "/a/WHOLE" not in files.files
        slots.write("app.mpy", 0, b"x")
        assert files.files[ROOT + "/a/app.mpy"] == b"x"
        slots.arm(b"0.3.0")
        assert booted(files)[:2] == ("a", True)


def test_a_record_torn_at_any_byte_leaves_the_one_before():
    with a_root() as files:
        start.write_record(ROOT, "a", "b", 3, 0)
        start.write_record(ROOT, "a", "b", 2, 0)
        newest = files.files[ROOT + "/slot.0"]
        assert start.read_record(ROOT) == ("a", "b", 2, 0)
        for length in range(len(newest)):
            for noise in (b"", b"\xff" * (len(newest) - length), b"\x00"):
                torn = newest[:length] + noise
                if torn == newest:
                    continue
                files.files[ROOT + "/slot.0"] = torn
                assert start.read_record(ROOT) == ("a", "b", 3, 0)
        files.files[ROOT + "/slot.0"] = newest
        assert start.read_record(ROOT) == ("a", "b", 2, 0)


def test_a_record_with_any_bit_flipped_does_not_count():
    with a_root() as files:
        start.write_record(ROOT, "b", "-", 0, 0)
        good = files.files[ROOT + "/slot.1"]
        for bit in range(8 * len(good)):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            files.files[ROOT + "/slot.1"] = bytes(bad)
            assert start.read_record(ROOT) is None
        files.files[ROOT + "/slot.1"] = good + b"\0"
        assert start.read_record(ROOT) is None


def test_the_newest_record_counts_also_after_many_turns():
    with a_root():
        for turn in range(600):  # across the turn's first byte
            start.write_record(ROOT, "a", "b", turn % 4, 0)
            assert start.read_record(ROOT) == ("a", "b", turn % 4, 0)


def test_power_cut_anywhere_in_a_boot_spends_a_try_or_none_and_never_boots_one_twice():
    for torn in range(5):
        for cut_at in range(2):
            with a_root() as files:
                booted(files)[2].arm(b"0.2.0")
                files.operations, files.cut_at, files.torn = 0, cut_at, torn
                try:
                    booted(files)
                    raise AssertionError("the power did not go")
                except PowerCut:
                    files.power_on()
                spent = start.read_record(ROOT)[2] != TRIES_MAX
                assert spent == (torn == 4 and cut_at == 1)
                for _ in range(TRIES_MAX - spent):
                    assert booted(files)[:2] == ("b", True)
                assert booted(files)[:2] == ("a", False)


def test_a_try_that_cannot_be_recorded_is_not_made():
    with a_root() as files:
        booted(files)[2].arm(b"0.2.0")
        files.full = True
        slot, on_trial, slots = booted(files)
        assert (slot, on_trial) == ("a", False)
        assert slots.state()[0] is False
        files.full = False
        assert booted(files)[:2] == ("b", True)


def test_with_both_records_lost_a_slot_that_was_never_whole_is_not_booted():
    for whole, expected in ((("a",), "a"), (("b",), "b"), (("a", "b"), "a"), ((), "a")):
        files = FakeFiles()
        files.folders.update((ROOT, ROOT + "/a", ROOT + "/b"))
        for slot in whole:
            files.files[ROOT + "/" + slot + "/WHOLE"] = b"0.1.0"
        with files:
            assert booted(files)[:2] == (expected, False)


def test_an_armed_slot_is_disarmed_before_a_byte_of_it_is_removed():
    with a_root() as files:
        slots = booted(files)[2]
        slots.write("firmware/app.mpy", 0, b"new")
        slots.arm(b"0.2.0")
        whole = dict(files.files)
        for cut_at in range(12):
            files.files, files.operations, files.cut_at = dict(whole), 0, cut_at
            files.folders.update((ROOT + "/b", ROOT + "/b/firmware"))
            try:
                slots.erase()
                ended = True
            except PowerCut:
                ended = False
            files.power_on()
            there = ROOT + "/b/firmware/app.mpy" in files.files
            assert start.choose(ROOT)[0] == "a" or there
            if ended:
                assert not there
                return
    raise AssertionError("erasing took more operations than were cut")


def test_a_slot_that_is_half_removed_is_not_booted_even_if_both_records_are_lost():
    for cut_at in range(1, 6):
        with a_root() as files:
            booted(files)[2].arm(b"0.2.0")
            booted(files)[2].confirm()
            slots = booted(files)[2]
            for name in ("one.mpy", "two.mpy", "three.mpy"):
                slots.write(name, 0, b"old")
            whole = files.files.pop(ROOT + "/a/WHOLE")
            files.files[ROOT + "/a/WHOLE"] = whole  # the last that a folder's list names
            files.operations, files.cut_at = 0, cut_at
            try:
                slots.erase()
            except PowerCut:
                files.power_on()
            files.files.pop(ROOT + "/slot.0")
            files.files.pop(ROOT + "/slot.1")
            assert booted(files)[0] == "b"


def test_the_other_slot_keeps_files_in_folders_and_tells_size_bytes_and_digest():
    with a_root() as files:
        slots = booted(files)[2]
        assert slots.size("wire/cbor.mpy") == 0
        slots.write("wire/cbor.mpy", 0, b"abc" * 300)
        slots.write("wire/cbor.mpy", 900, b"de")
        assert slots.size("wire/cbor.mpy") == 902
        assert slots.read("wire/cbor.mpy", 898, 9) == b"bcde"
        empty = slots.digest("wire/cbor.mpy", 0)
        assert slots.digest("wire/cbor.mpy", 901) != slots.digest("wire/cbor.mpy", 902) != empty
        slots.write("wire/cbor.mpy", 0, b"x")
        assert slots.read("wire/cbor.mpy", 0, 9) == b"x"
        slots.erase()
        assert files.listdir(ROOT + "/b") == []


def test_an_application_that_the_loader_did_not_start_has_no_slots():
    with a_root() as files:
        assert open_slots(ROOT) is None
        booted(files)
        assert open_slots(ROOT).running == "a"


def test_the_loader_s_watchdog_is_the_meter_s():
    assert start.WATCHDOG_MS == WATCHDOG_MS
    assert start.CRASH_PAUSE_S * 1000 < WATCHDOG_MS
