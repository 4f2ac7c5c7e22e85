"""Updates: manifest, chunks, arming, confirming, power cuts; nothing half is ever booted."""

from hashlib import sha256

from boards import start
from boards.parts.slots import TRIES_MAX, Slots
from firmware import update as limits
from firmware.update import Update
from tests.support.a_bundle import Sender, a_bundle, parts_of, row_of
from tests.support.fake_files import FakeFiles, PowerCut
from wire.messages import RESULT_DONE, RESULT_FAILED, RESULT_REFUSED, RESULT_UNSUPPORTED

ROOT = ""
OLD = (("firmware/app.mpy", b"the old application"), ("wire/frame.mpy", b"old frames"))


def a_root(slots="a"):
    """A disk with the old application in these slots."""
    disk = FakeFiles()
    for slot in slots:
        disk.folders.update(("/" + slot, "/" + slot + "/firmware", "/" + slot + "/wire"))
        disk.files["/" + slot + "/WHOLE"] = b"0.1.0"
        for path, content in OLD:
            disk.files["/" + slot + "/" + path] = content
    return disk


def powered(disk):
    """The update as the application sees it that boots now."""
    disk.power_on()
    start.running, _ = start.choose(ROOT)
    return Update(Slots(ROOT))


def assert_whole(disk, slot, files):
    """The slot holds every byte of these files."""
    for path, content in files:
        assert disk.files["/" + slot + "/" + path] == content, path


def manifest_of(*rows, version=b"1"):
    """One part's blob."""
    return bytes([len(version)]) + version + b"".join(rows)


def answer_to(blob, part=0, parts=1, update_id=9):
    """What a meter without any update says to this part of a manifest."""
    with a_root() as disk:
        return powered(disk).manifest([update_id, part, parts, blob])


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


# ------------------------------------------------------------------ the manifest


def test_a_manifest_of_several_parts_comes_in_order_and_a_part_twice_counts_once():
    files = a_bundle()
    with a_root() as disk:
        update, sender = powered(disk), Sender(files, piece_bytes=80)
        assert len(sender.parts) == 3
        assert sender.part(update, 1) == (RESULT_REFUSED, b"order 0")
        assert sender.part(update, 0) == (RESULT_DONE, b"part 1")
        assert sender.part(update, 2) == (RESULT_REFUSED, b"order 1")
        assert sender.part(update, 0) == (RESULT_DONE, b"part 1")
        assert sender.part(update, 1) == (RESULT_DONE, b"part 2")
        assert sender.part(update, 0) == (RESULT_DONE, b"part 2")
        assert update.chunk([7, 0, 0, b"x"]) == (RESULT_REFUSED, b"unknown")
        assert sender.part(update, 2) == (RESULT_DONE, b"file 0 0")
        assert sender.send(update) == (RESULT_DONE, b"restart")
        assert_whole(disk, "b", files)


def test_another_update_empties_the_slot_and_a_late_part_of_another_does_not():
    with a_root() as disk:
        update, sender = powered(disk), Sender(a_bundle())
        sender.send(update)
        other = Sender(a_bundle(file_0=b"\x02"), update_id=8, piece_bytes=80)
        assert other.part(update, 1) == (RESULT_REFUSED, b"order 0")
        assert Slots(ROOT).state()[1]
        assert other.part(update, 0) == (RESULT_DONE, b"part 1")
        assert not update.restart_due
        assert not Slots(ROOT).state()[1]
        assert "/b/firmware/app.mpy" not in disk.files
        assert sender.chunk(update, 0, 0) == (RESULT_REFUSED, b"unknown")
        assert not powered(disk).on_trial


def test_arguments_that_are_not_three_numbers_and_bytes_are_malformed():
    with a_root() as disk:
        update = powered(disk)
        top = limits.U32_MAX
        for args in (
            [],
            [1, 0, 1],
            [1, 0, 1, 5],
            [1, 0, b"", b""],
            [-1, 0, 1, b"x"],
            [top + 1, 0, 1, b"x"],
            [1, -1, 1, b"x"],
            [1, 0, top + 1, b"x"],
            [1, 0, 1, bytes(limits.PIECE_BYTES_MAX + 1)],
        ):
            assert update.manifest(args) == (RESULT_REFUSED, b"malformed"), args
            assert update.chunk(args) == (RESULT_REFUSED, b"malformed"), args
        assert update.manifest([top, 0, 2, b"\x011", "later"]) == (RESULT_DONE, b"part 1")


def test_a_part_number_is_below_the_number_of_parts_of_which_there_are_at_most_eight():
    blob = manifest_of(row_of("a.mpy", b"x"))
    assert answer_to(blob, 0, 0) == (RESULT_REFUSED, b"malformed")
    assert answer_to(blob, 1, 1) == (RESULT_REFUSED, b"malformed")
    assert answer_to(blob, 0, limits.PARTS_MAX - 1) == (RESULT_DONE, b"part 1")
    assert answer_to(blob, 0, limits.PARTS_MAX) == (RESULT_DONE, b"part 1")
    assert answer_to(blob, 0, limits.PARTS_MAX + 1) == (RESULT_REFUSED, b"malformed")


def test_a_version_has_1_to_64_bytes():
    row = row_of("a.mpy", b"x")
    assert answer_to(manifest_of(row, version=b"")) == (RESULT_REFUSED, b"malformed")
    for length in (1, limits.VERSION_BYTES_MAX - 1, limits.VERSION_BYTES_MAX):
        assert answer_to(manifest_of(row, version=b"v" * length)) == (RESULT_DONE, b"file 0 0")
    over = b"v" * (limits.VERSION_BYTES_MAX + 1)
    assert answer_to(manifest_of(row, version=over)) == (RESULT_REFUSED, b"malformed")


def test_a_manifest_cut_anywhere_is_refused_or_asks_for_nothing_but_whole_rows():
    blob = manifest_of(row_of("a.mpy", b"x"), row_of("b.mpy", b"y"))
    row_ends = (len(manifest_of(row_of("a.mpy", b"x"))), len(blob))
    for length in range(len(blob) + 1):
        code, detail = answer_to(blob[:length])
        if length in row_ends:
            assert (code, detail) == (RESULT_DONE, b"file 0 0")
        else:
            assert (code, detail) == (RESULT_REFUSED, b"malformed"), length


def test_a_path_that_could_leave_the_slot_or_hide_in_it_is_refused():
    for path in (
        "", "/a.mpy", "a/../b.mpy", "..", ".", "./a.mpy", "a//b.mpy", "a/", "A.mpy", "a\\b",
        "a b", "WHOLE", "MANIFEST", "a\0", ".a", "\xc4\x85.mpy", "a:b", "%2e",
    ):  # fmt: skip
        assert answer_to(manifest_of(row_of(path, b"x"))) == (RESULT_REFUSED, b"path"), path
    for path in ("a", "a.mpy", "a/b/c_1.mpy", "a.b.c", "_", "0"):
        assert answer_to(manifest_of(row_of(path, b"x")))[0] == RESULT_DONE, path


def test_a_path_has_at_most_40_bytes():
    for length, expected in ((39, RESULT_DONE), (40, RESULT_DONE), (41, RESULT_REFUSED)):
        assert answer_to(manifest_of(row_of("a" * length, b"x")))[0] == expected
    assert limits.PATH_BYTES_MAX == 40


def test_a_bundle_has_1_to_64_files():
    assert answer_to(manifest_of()) == (RESULT_REFUSED, b"malformed")
    for count in (1, limits.FILES_MAX - 1, limits.FILES_MAX, limits.FILES_MAX + 1):
        files = [("f%d" % n, b"x") for n in range(count)]
        parts = parts_of(files)
        with a_root() as disk:
            update = powered(disk)
            for part, blob in enumerate(parts):
                last = update.manifest([1, part, len(parts), blob])
            if count <= limits.FILES_MAX:
                assert last == (RESULT_DONE, b"file 0 0")
            else:
                assert last == (RESULT_REFUSED, b"too_large")
                assert update.chunk([1, 0, 0, b"x"]) == (RESULT_REFUSED, b"unknown")


def test_a_bundle_has_at_most_120_kib_and_no_empty_file():
    def sized(*sizes):
        rows = []
        for number, size in enumerate(sizes):
            row = row_of("f%d" % number, b"")
            rows.append(row[:3] + size.to_bytes(4, "big") + row[7:])
        return answer_to(manifest_of(*rows))

    top = limits.BUNDLE_BYTES_MAX
    assert top == 122880
    assert sized(top - 1) == sized(top) == (RESULT_DONE, b"file 0 0")
    assert sized(top + 1) == sized(top, 1) == (RESULT_REFUSED, b"too_large")
    assert sized(limits.U32_MAX, 1) == (RESULT_REFUSED, b"too_large")
    assert sized(top - 9, 9) == (RESULT_DONE, b"file 0 0")
    assert sized(0) == (RESULT_REFUSED, b"malformed")


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
