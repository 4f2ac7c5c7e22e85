"""The manifest of an update: its parts, its limits, and every way it is refused."""

from boards.parts.slots import Slots
from firmware import update as limits
from tests.support.a_bundle import Sender, a_bundle, parts_of, row_of
from tests.support.an_update import ROOT, a_root, assert_whole, powered
from wire.messages import RESULT_DONE, RESULT_REFUSED


def manifest_of(*rows, version=b"1"):
    """One part's blob."""
    return bytes([len(version)]) + version + b"".join(rows)


def answer_to(blob, part=0, parts=1, update_id=9):
    """What a meter without any update says to this part of a manifest."""
    with a_root() as disk:
        return powered(disk).manifest([update_id, part, parts, blob])


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
