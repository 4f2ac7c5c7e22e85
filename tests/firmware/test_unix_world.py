"""The unix board's household, its world that stands still, and its flash in a file."""

import os

from boards.unix_flash import BLOCK_BYTES, FileFlash
from boards.unix_world import HOUR_S, HOUR_WH_MAX, HOURS_MAX, PULSE_WIDTH, Household, World
from firmware.config import ConfigError
from tests.support.a_meter import NOON_S, Logged, refusal_of


class Files:
    """Files of one test, removed at its end. MicroPython has no tempfile."""

    def __init__(self):
        self._made = []

    def __enter__(self):
        return self

    def path(self, content=None):
        number = int.from_bytes(os.urandom(6), "little")
        path = "/tmp/openlicznik-test-" + str(number)
        self._made.append(path)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
        return path

    def __exit__(self, kind, error, trace):
        for path in self._made:
            try:
                os.remove(path)
            except OSError:
                pass


def content_of(path):
    with open(path, "rb") as file:
        return file.read()


def a_household(files, hours, imp_per_kwh=1000):
    lines = []
    for index, (import_wh, export_wh) in enumerate(hours):
        lines.append(f"{NOON_S + HOUR_S * index},{import_wh},{export_wh}\n")
    household = Household(imp_per_kwh)
    household.read(files.path("".join(lines).encode()))
    return household


def test_an_hour_s_energy_comes_as_evenly_spaced_pulses():
    with Files() as files:
        household = a_household(files, [(100, 7), (50, 0)])
        assert household.pulses(NOON_S) == (0, 0)
        assert household.pulses(NOON_S + 35) == (0, 0)
        assert household.pulses(NOON_S + 36) == (1, 0)
        assert household.pulses(NOON_S + 1800) == (50, 3)
        assert household.pulses(NOON_S + HOUR_S) == (100, 7)
        assert household.pulses(NOON_S + 2 * HOUR_S) == (150, 7)
        assert household.pulses(NOON_S + 9 * HOUR_S) == (150, 7)
        assert household.pulses(NOON_S + 36) == (1, 0)


def test_every_hour_of_the_file_is_met_exactly_at_other_meter_constants():
    with Files() as files:
        for imp_per_kwh in (1, 640, 10000):
            household = a_household(files, [(333, 1), (0, 999), (12345, 8)], imp_per_kwh)
            for hour, total_wh in ((1, 333), (2, 333), (3, 12678)):
                pulses = household.pulses(NOON_S + hour * HOUR_S)[0]
                assert pulses == total_wh * imp_per_kwh // 1000


def test_a_gap_in_the_file_is_an_hour_without_energy():
    with Files() as files:
        lines = str(NOON_S) + ",10,0\n\n" + str(NOON_S + 2 * HOUR_S) + ",20,0\n"
        household = Household(1000)
        household.read(files.path(lines.encode()))
        assert household.pulses(NOON_S + 2 * HOUR_S - 1) == (10, 0)
        assert household.pulses(NOON_S + 2 * HOUR_S + 1800) == (20, 0)


def test_a_wrong_household_names_its_line_and_what_to_do():
    first = str(NOON_S) + ",1,1\n"
    wrong = (
        ("line 2", first + "now,1,1"),
        ("line 2", first + "1,2"),
        ("line 2", first + first),
        ("line 2", first + str(NOON_S + 60) + ",1,1"),
        ("line 1", "3600,1,1"),
        ("line 1", str(NOON_S) + ",-1,1"),
        ("line 1", str(NOON_S) + ",1," + str(HOUR_WH_MAX + 1)),
        ("is empty", ""),
        ("is empty", "\n\n"),
    )
    with Files() as files:
        for what, lines in wrong:
            path = files.path(lines.encode())
            assert what in refusal_of(ConfigError, Household(1000).read, path)
        assert "put the file there" in refusal_of(ConfigError, Household(1000).read, files.path())


def test_a_household_has_at_most_ten_thousand_hours():
    with Files() as files:
        household = a_household(files, [(HOUR_WH_MAX, 0)] * HOURS_MAX)
        assert household.end_s == NOON_S + HOURS_MAX * HOUR_S
        refusal = refusal_of(ConfigError, a_household, files, [(1, 0)] * (HOURS_MAX + 1))
        assert "line " + str(HOURS_MAX + 1) in refusal


def test_the_world_stands_still_while_its_process_is_dead():
    with Files() as files:
        household, path = a_household(files, [(500, 60)] * 3), files.path()
        world = World(path, household, Logged())
        for _ in range(77):
            world.move(60)
        again = World(path, household, Logged())
        assert (again.time_s, again.raw()) == (world.time_s, world.raw())
        assert not again.torn


def test_a_torn_last_record_falls_back_to_the_one_before():
    for moves in (2, 3):  # the last record is once the first, once the second in the file
        with Files() as files:
            check_torn_record(files, moves)


def check_torn_record(files, moves):
    household, path, log = a_household(files, [(500, 60)] * 3), files.path(), Logged()
    world = World(path, household, log)
    for _ in range(moves):
        world.move(60)
    assert World(path, household, log).time_s == NOON_S + 60 * moves
    at = world._turn % 2 * World._RECORD_BYTES
    data = bytearray(content_of(path))
    data[at + 5] ^= 1
    with open(path, "wb") as file:
        file.write(data)
    assert World(path, household, log).time_s == NOON_S + 60 * (moves - 1)
    assert log.events == []


def test_a_world_that_cannot_be_read_is_told_and_its_counters_are_not_trusted():
    with Files() as files:
        household = a_household(files, [(500, 60)])
        for content in (b"", b"short", bytes(40), b"\xff" * 40):
            log = Logged()
            world = World(files.path(content), household, log)
            assert world.torn
            assert log.events[0]["state"] == "torn"
            assert world.time_s == NOON_S


def test_the_counter_wraps_at_24_bits():
    with Files() as files:
        hours = PULSE_WIDTH // HOUR_WH_MAX + 1
        world = World(files.path(), a_household(files, [(HOUR_WH_MAX, 0)] * hours), Logged())
        world.time_s = NOON_S + hours * HOUR_S
        assert world.raw() == (hours * HOUR_WH_MAX - PULSE_WIDTH, 0)


def test_a_file_behaves_as_flash():
    with Files() as files:
        path, log = files.path(), Logged()
        flash = FileFlash(path, 4, log)
        assert log.events[0]["state"] == "created"
        assert (flash.ioctl(4, 0), flash.ioctl(5, 0)) == (4, BLOCK_BYTES)
        flash.writeblocks(2, b"\xf0\x0f", 10)
        flash.writeblocks(2, b"\x3f\xff", 10)
        found = bytearray(4)
        FileFlash(path, 4, log).readblocks(2, found, 9)
        assert bytes(found) == b"\xff\x30\x0f\xff"
        assert len(log.events) == 1
        flash.ioctl(6, 2)
        flash.readblocks(2, found, 9)
        assert bytes(found) == b"\xff\xff\xff\xff"
        assert len(content_of(path)) == 4 * BLOCK_BYTES


def test_a_flash_file_that_was_cut_short_is_mended_and_told():
    with Files() as files:
        path, log = files.path(b"abc"), Logged()
        flash = FileFlash(path, 2, log)
        assert log.events[0] == {"event": "flash", "state": "repaired", "bytes_found": 3}
        found = bytearray(5)
        flash.readblocks(0, found, 0)
        assert bytes(found) == b"abc\xff\xff"
        assert len(content_of(path)) == 2 * BLOCK_BYTES
