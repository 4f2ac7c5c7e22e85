"""Updates: manifest, chunks, arming, confirming, power cuts; nothing half is ever booted."""

from hashlib import sha256

from boards import start
from boards.parts.slots import TRIES_MAX, Slots
from firmware import update as limits
from firmware.update import Update
from tests.support.a_bundle import Sender, a_bundle
from tests.support.an_update import OLD, ROOT, a_root, assert_whole, powered
from tests.support.fake_files import PowerCut
from wire.messages import RESULT_DONE, RESULT_FAILED, RESULT_REFUSED, RESULT_UNSUPPORTED

# ------------------------------------------------------------------ the way of an update


def test_a_bundle_arrives_in_chunks_and_is_booted_on_trial():
    files = a_bundle()
    with a_root() as disk:
        update = powered(disk)
        assert Sender(files).send(update) == (RESULT_DONE, b"restart")
        assert update.restart_due
        assert not update.on_trial
        assert_whole(disk, "b", files)
        assert disk.files["/b/WHOLE"] == b"0.2.0"
        assert powered(disk).on_trial
        assert start.running == "b"
        assert_whole(disk, "a", OLD)


def test_the_first_receipt_confirms_and_only_once():
    with a_root() as disk:
        Sender(a_bundle()).send(powered(disk))
        update = powered(disk)
        assert update.confirm()
        assert not update.confirm()
        for _ in range(TRIES_MAX + 1):
            assert not powered(disk).on_trial
            assert start.running == "b"


def test_without_a_receipt_the_third_start_is_the_last_and_the_fall_back_is_told_until_heard():
    with a_root() as disk:
        Sender(a_bundle()).send(powered(disk))
        for _ in range(TRIES_MAX):
            assert powered(disk).on_trial
        for _ in range(2):
            update = powered(disk)
            assert update.fell_back
            assert not update.on_trial
            assert start.running == "a"
        update.told()
        assert not powered(disk).fell_back
        assert start.running == "a"


def test_a_start_on_trial_is_overdue_an_hour_later():
    with a_root() as disk:
        assert not powered(disk).overdue(limits.TRIAL_S_MAX + 1)
        Sender(a_bundle()).send(powered(disk))
        update = powered(disk)
        assert not update.overdue(limits.TRIAL_S_MAX - 1)
        assert not update.overdue(limits.TRIAL_S_MAX)
        assert update.overdue(limits.TRIAL_S_MAX + 1)
        update.confirm()
        assert not update.overdue(limits.TRIAL_S_MAX + 1)


def test_on_trial_nothing_is_taken_because_the_other_slot_is_the_way_back():
    with a_root() as disk:
        Sender(a_bundle()).send(powered(disk))
        update = powered(disk)
        sender = Sender(a_bundle(), update_id=8)
        assert sender.part(update, 0) == (RESULT_REFUSED, b"on_trial")
        assert sender.chunk(update, 0, 0) == (RESULT_REFUSED, b"on_trial")
        assert_whole(disk, "a", OLD)
        update.confirm()
        assert sender.part(update, 0) == (RESULT_DONE, b"file 0 0")


def test_an_update_that_failed_can_be_tried_again_without_sending_it_again():
    with a_root() as disk:
        Sender(a_bundle()).send(powered(disk))
        for _ in range(TRIES_MAX):
            powered(disk)
        update = powered(disk)
        sender = Sender(a_bundle())
        assert sender.send(update) == (RESULT_DONE, b"restart")
        assert sender.sent == 1
        update.told()  # may not disarm what was armed in between
        assert powered(disk).on_trial


def test_after_two_updates_the_older_one_comes_back_by_its_manifest_alone():
    with a_root() as disk:
        for update_id, files in ((1, a_bundle()), (2, a_bundle(file_1=b"newer" * 99))):
            Sender(files, update_id).send(powered(disk))
            powered(disk).confirm()
        assert start.running == "a"
        sender = Sender(a_bundle(), 1)
        assert sender.send(powered(disk)) == (RESULT_DONE, b"restart")
        assert sender.sent == 1
        assert powered(disk).on_trial
        assert_whole(disk, start.running, a_bundle())


def test_a_board_without_slots_says_so():
    update = Update(None)
    assert update.manifest([1, 0, 1, b""]) == (RESULT_UNSUPPORTED, b"")
    assert update.chunk([1, 0, 0, b"x"]) == (RESULT_UNSUPPORTED, b"")
    assert not update.confirm()
    assert not update.overdue(1 << 30)
    update.told()


# ------------------------------------------------------------------ chunks


def test_a_chunk_that_comes_twice_is_written_once():
    with a_root() as disk:
        update, sender = powered(disk), Sender(a_bundle())
        sender.part(update, 0)
        assert sender.chunk(update, 0, 0) == (RESULT_DONE, b"file 1 0")
        assert sender.chunk(update, 1, 0) == (RESULT_DONE, b"file 1 600")
        assert sender.chunk(update, 1, 0) == (RESULT_DONE, b"file 1 600")
        assert sender.chunk(update, 0, 0) == (RESULT_DONE, b"file 1 600")
        assert sender.chunk(update, 1, 600) == (RESULT_DONE, b"file 1 1200")
        for offset in (0, 600):
            assert sender.chunk(update, 1, offset) == (RESULT_DONE, b"file 1 1200")
        assert disk.files["/b/firmware/app.mpy"] == a_bundle()[1][1][:1200]


def test_a_chunk_beyond_the_next_byte_or_beyond_the_file_is_refused_with_what_is_wanted():
    with a_root() as disk:
        update, sender = powered(disk), Sender(a_bundle())
        sender.part(update, 0)
        sender.chunk(update, 1, 0)
        assert sender.chunk(update, 1, 601) == (RESULT_REFUSED, b"gap 1 600")
        assert update.chunk([7, 1, 600, b"x" * 681]) == (RESULT_REFUSED, b"gap 1 600")
        assert update.chunk([7, 1, 600, b""]) == (RESULT_REFUSED, b"gap 1 600")
        assert update.chunk([7, 0, 0, b"xx"]) == (RESULT_REFUSED, b"gap 0 0")
        assert sender.chunk(update, 1, 600) == (RESULT_DONE, b"file 0 0")


def test_files_may_come_in_any_order_and_the_first_hole_is_told():
    with a_root() as disk:
        update, sender = powered(disk), Sender(a_bundle(), chunk_bytes=800)
        sender.part(update, 0)
        assert sender.chunk(update, 2, 0) == (RESULT_DONE, b"file 0 0")
        assert sender.chunk(update, 1, 0) == (RESULT_DONE, b"file 0 0")
        assert sender.chunk(update, 0, 0) == (RESULT_DONE, b"file 1 800")
        assert sender.chunk(update, 1, 800) == (RESULT_DONE, b"restart")


def test_a_file_that_is_not_what_the_manifest_says_is_dropped_and_comes_again():
    with a_root() as disk:
        update, sender = powered(disk), Sender(a_bundle())
        sender.part(update, 0)
        assert update.chunk([7, 2, 0, b"sloth" * 30]) == (RESULT_REFUSED, b"hash 2")
        assert disk.files["/b/boards/parts/slots.mpy"] == b""
        assert sender.send(update) == (RESULT_DONE, b"restart")
        assert_whole(disk, "b", a_bundle())


def test_a_file_that_was_damaged_after_it_came_is_found_before_anything_is_armed():
    with a_root() as disk:
        update, sender = powered(disk), Sender(a_bundle())
        sender.send(update, commands_max=4)
        disk.files["/b/firmware/app.mpy"] = bytes(1280)
        assert sender.chunk(update, 2, 0) == (RESULT_REFUSED, b"hash 1")
        assert not update.restart_due
        assert not Slots(ROOT).state()[1]
        assert sender.send(update) == (RESULT_DONE, b"restart")


def test_chunks_of_another_update_or_of_no_file_of_it_are_unknown():
    with a_root() as disk:
        update, sender = powered(disk), Sender(a_bundle())
        assert sender.chunk(update, 0, 0) == (RESULT_REFUSED, b"unknown")
        sender.part(update, 0)
        assert update.chunk([8, 0, 0, b"x"]) == (RESULT_REFUSED, b"unknown")
        assert update.chunk([7, 3, 0, b"x"]) == (RESULT_REFUSED, b"unknown")
        assert update.chunk([7, 2, 0, b"x"]) == (RESULT_DONE, b"file 0 0")


def test_the_last_chunk_and_the_manifest_repeated_before_the_restart_say_restart_again():
    with a_root() as disk:
        update, sender = powered(disk), Sender(a_bundle())
        sender.send(update)
        record = start.read_record(ROOT)
        assert sender.chunk(update, 2, 0) == (RESULT_DONE, b"restart")
        assert sender.part(update, 0) == (RESULT_DONE, b"restart")
        assert start.read_record(ROOT) == record


def test_a_full_disk_is_answered_and_the_update_goes_on_when_there_is_room():
    with a_root() as disk:
        update, sender = powered(disk), Sender(a_bundle(), piece_bytes=120)
        sender.part(update, 0)
        disk.full = True
        assert sender.part(update, 1) == (RESULT_FAILED, b"flash")
        disk.full = False
        assert sender.part(update, 1) == (RESULT_REFUSED, b"order 0")
        sender.send(update, commands_max=6)
        disk.full = True
        assert sender.chunk(update, 2, 0) == (RESULT_FAILED, b"flash")
        disk.full = False
        assert sender.send(update) == (RESULT_DONE, b"restart")
        assert_whole(disk, "b", a_bundle())


# ------------------------------------------------------------------ power cuts


def test_an_update_goes_on_after_a_restart_where_it_was():
    with a_root() as disk:
        sender = Sender(a_bundle())
        sender.send(powered(disk), commands_max=3)
        update = powered(disk)
        assert sender.part(update, 0) == (RESULT_DONE, b"file 1 600")
        assert sender.send(update) == (RESULT_DONE, b"restart")
        assert_whole(disk, "b", a_bundle())


def test_a_manifest_that_a_restart_interrupts_is_begun_anew():
    with a_root() as disk:
        sender = Sender(a_bundle(), piece_bytes=80)
        sender.send(powered(disk), commands_max=2)
        update = powered(disk)
        assert sender.part(update, 2) == (RESULT_REFUSED, b"order 0")
        assert sender.send(update) == (RESULT_DONE, b"restart")
        assert_whole(disk, "b", a_bundle())


def test_power_cut_at_any_write_of_an_update_boots_the_old_or_the_whole_new_application():
    files = a_bundle()
    for torn in range(5):
        cut_at, ended = 0, False
        while not ended:
            with a_root("ab") as disk:  # the other slot holds an older application
                ended = not cut(disk, files, cut_at, torn)
                update = powered(disk)
                if start.running == "a":
                    assert not update.on_trial
                    assert Sender(files, piece_bytes=120).send(update) == (RESULT_DONE, b"restart")
                    update = powered(disk)
                assert start.running == "b"
                assert update.on_trial
                assert_whole(disk, "b", files)
                assert_whole(disk, "a", OLD)
            cut_at += 1
        assert cut_at > 20


def cut(disk, files, cut_at, torn):
    """Send an update and cut it at this operation; False when it took fewer."""
    update = powered(disk)
    disk.cut_at, disk.torn = cut_at, torn
    try:
        Sender(files, piece_bytes=120).send(update)
    except PowerCut:
        return True
    return False


def test_power_cut_while_confirming_leaves_one_of_two_whole_applications():
    for torn in range(5):
        for cut_at in range(3):
            with a_root() as disk:
                Sender(a_bundle()).send(powered(disk))
                update = powered(disk)
                disk.operations, disk.cut_at, disk.torn = 0, cut_at, torn
                try:
                    update.confirm()
                except PowerCut:
                    pass
                update = powered(disk)
                assert start.running == "b"
                assert update.on_trial == (cut_at < 1 or (cut_at == 1 and torn < 4))
                assert (
                    sha256(disk.files["/a/firmware/app.mpy"]).digest() == sha256(OLD[0][1]).digest()
                )
