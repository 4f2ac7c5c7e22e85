"""Undated intervals get wall time once: in order, never overlapping, durable, repeatable."""

from firmware.dating import DATING_BYTES, Dating
from firmware.journal import Journal, Ring
from firmware.load_profile import INTERVAL_BYTES, Interval, next_profile
from tests.support.a_meter import NOON_S
from tests.support.fake_flash import FakeFlash
from wire import quality

BOOT = quality.CLOCK_UNSYNCED
GUESSED = quality.CLOCK_UNSYNCED | quality.GAP
DATES_BLOCKS = 2


def rings(flash):
    journal = Journal(flash, DATES_BLOCKS, 4, INTERVAL_BYTES)
    return Ring(flash, 0, DATES_BLOCKS, DATING_BYTES), journal


class House:
    """A journal to which a test adds intervals, with the dating over it."""

    def __init__(self, flash=None):
        self.flash = flash or FakeFlash(DATES_BLOCKS + 4)
        self.dates, self.journal = rings(self.flash)
        self.dating = Dating(self.dates, self.journal)

    def close(self, *starts_s, period_s=900):
        for start_s in starts_s:
            number = self.journal.newest + 1
            grade = BOOT if start_s < 1_000_000_000 else 0
            wh = (10 * number, 0)
            closed = Interval(number, start_s, period_s, grade, wh, (10, 0), (1, 2))
            self.journal.append(closed.pack(), number)
            self.dating.closed(closed)

    def restarted(self):
        return House(self.flash.after_power_on())

    def date(self, now_s, boot_s, open_s=0, period_s=900):
        return self.dating.date(now_s, boot_s, open_s, period_s, self.dating.end_s())

    def sent(self):
        """(number, start after noon, quality) of all that may be sent."""
        found, number = [], 1
        while True:
            profile = next_profile(self.journal, number, dating=self.dating)
            if profile is None:
                return found
            for index, grade in enumerate(profile.quality):
                start_s = profile.start_s + profile.capture_period_s * index
                found.append((profile.first + index, start_s - NOON_S, grade))
            number = profile.first + len(profile.quality)


def check_no_overlap(house):
    end_s = 0
    for number, start_s, _ in house.sent():
        assert start_s >= end_s or end_s == 0, number
        end_s = start_s + 900


def test_this_start_s_run_is_dated_by_its_own_seconds():
    house = House()
    house.close(1, 901, 1801)
    # Started at 12:00:10, the time is known 50 minutes later.
    assert house.date(NOON_S + 3010, 3001, 2701) == (NOON_S + 2700, NOON_S + 2700)
    assert house.sent() == [(1, 0, BOOT), (2, 900, BOOT), (3, 1800, BOOT)]


def test_a_run_goes_to_the_nearest_point_of_the_grid():
    for late_s, start_s in ((-450, -0), (-451, -900), (0, 0), (449, 0), (450, 900)):
        house = House()
        house.close(1)
        house.date(NOON_S + 1000 + late_s, 1001, 901)
        assert house.sent() == [(1, start_s, BOOT)]


def test_an_interval_open_alone_begins_on_the_grid_before_it_or_the_one_now_is_in():
    for begun_s, now_s, start_s in ((60, 120, 0), (500, 560, 0), (500, 960, 900), (430, 960, 0)):
        house = House()
        assert house.date(NOON_S + now_s, 1 + now_s - begun_s, 1)[0] == NOON_S + start_s


def test_runs_of_earlier_starts_lie_in_order_directly_before_this_one():
    house = House()
    house.close(1, 901)
    house = house.restarted()
    house.close(1)
    house = house.restarted()
    house.close(1, 901)
    house.date(NOON_S + 1801, 1802, 1801)
    assert house.sent() == [
        (1, -2700, GUESSED),
        (2, -1800, GUESSED),
        (3, -900, GUESSED),
        (4, 0, BOOT),
        (5, 900, BOOT),
    ]


def test_runs_of_earlier_starts_lie_before_now_when_this_start_knew_the_time():
    house = House()
    house.close(1, 901)
    house = house.restarted()
    assert house.date(NOON_S + 30, 31) == (0, NOON_S)
    assert house.sent() == [(1, -1800, GUESSED), (2, -900, GUESSED)]


def test_what_would_overlap_the_last_dated_interval_moves_later():
    house = House()
    house.close(NOON_S, NOON_S + 900)
    house = house.restarted()
    house.close(1, 901)
    house = house.restarted()
    house.close(1)
    opened_s, end_s = house.date(NOON_S + 1000, 951, 901)
    assert house.sent()[2:] == [(3, 1800, GUESSED), (4, 2700, GUESSED), (5, 3600, BOOT)]
    assert opened_s == end_s == NOON_S + 4500


def test_a_gap_inside_a_run_stays_where_it_was():
    house = House()
    house.close(1, 901, 3601)
    house.date(NOON_S + 4500, 4501, 4501)
    assert house.sent() == [(1, 0, BOOT), (2, 900, BOOT), (3, 3600, BOOT)]


def test_undated_intervals_and_all_behind_them_wait_and_count_as_held():
    house = House()
    house.close(NOON_S)
    house = house.restarted()
    house.close(1, 901)
    assert house.sent() == [(1, 0, 0)]
    house.journal.settle(1)
    assert next_profile(house.journal, 2, dating=house.dating) is None
    assert next_profile(house.journal, 2) is None  # not even for one who knows no dating
    house.date(NOON_S + 9000, 1802, 1801)
    profile = next_profile(house.journal, 2, dating=house.dating)
    assert (profile.first, profile.oldest, len(profile.quality)) == (2, 2, 2)


def test_what_was_dated_keeps_its_date_over_restarts_and_later_runs():
    house = House()
    house.close(1, 901)
    house.date(NOON_S + 1800, 1801, 1801)
    first = house.sent()
    house.close(NOON_S + 1800)
    house = house.restarted()
    house.close(1)
    house = house.restarted()
    house.date(NOON_S + 86400, 1)
    assert house.sent()[:2] == first == [(1, 0, BOOT), (2, 900, BOOT)]
    assert house.sent()[2:] == [(3, 1800, 0), (4, 85500, GUESSED)]


def test_an_interval_whose_date_was_damaged_is_stepped_over_and_blocks_nothing():
    house = House()
    house.close(1)
    house.date(NOON_S + 900, 901, 901)
    house.close(NOON_S + 900)
    house.flash.image[5] ^= 1
    house = house.restarted()
    assert house.dating.first_waiting == 0
    assert house.sent() == [(2, 900, 0)]
    assert next_profile(house.journal, 1, dating=house.dating).oldest == 2


def test_a_damaged_interval_inside_a_waiting_run_hides_only_itself():
    house = House()
    house.close(1, 901, 1801)
    house.flash.image[DATES_BLOCKS * 4096 + 48 + 9] ^= 1
    house = house.restarted()
    assert house.dating.first_waiting == 1
    house.date(NOON_S + 9000, 10)
    assert house.sent() == [(1, 6300, GUESSED), (3, 8100, GUESSED)]


def test_a_date_that_finds_no_place_in_flash_is_told_and_kept_in_memory():
    house = House()
    house.close(1)
    for index in range(DATES_BLOCKS * 4096):
        house.flash.image[index] = 0
    house.flash.stuck_blocks = (0, 1)
    house.date(NOON_S + 900, 901, 901)
    assert house.dating.worn
    assert house.sent() == [(1, 0, BOOT)]


def test_a_cut_between_the_dates_of_two_runs_is_repeated_without_overlap():
    for cut_at in range(3):
        house = House()
        house.close(NOON_S)
        house = house.restarted()
        house.close(1, 901)
        house = house.restarted()
        house.close(1)
        flash = house.flash.after_power_on()
        again = House(flash)
        put, left = again.dates.append, [cut_at]

        def cut_append(record, put=put, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return put(record)

        again.dates.append = cut_append
        try:
            again.date(NOON_S + 9000, 1000, 901)
            assert cut_at == 2
        except KeyboardInterrupt:
            pass
        again = House(flash.after_power_on())
        again.date(NOON_S + 9100, 20)
        assert [number for number, _, _ in again.sent()] == [1, 2, 3, 4]
        check_no_overlap(again)


def test_hundreds_of_runs_are_dated_one_by_one_in_the_order_they_were_measured():
    house = House()
    for _ in range(60):
        house.close(1)
    house.date(NOON_S + 900, 1)
    house = house.restarted()
    starts = [start_s for _, start_s, _ in house.sent()]
    assert starts == list(range(-59 * 900, 900, 900))


def test_a_run_of_another_capture_period_keeps_to_its_own_grid():
    house = House()
    house.close(1, period_s=3600)
    house = house.restarted()
    house.close(1)
    house.date(NOON_S + 1800, 901, 901)
    assert house.sent() == [(1, -3600, GUESSED), (2, 900, BOOT)]


def test_a_start_whose_first_look_came_late_is_not_taken_for_the_one_before():
    house = House()
    house.close(1)
    house = house.restarted()
    house.close(1001)
    house.date(NOON_S + 1900, 1901, 1901)
    assert house.sent() == [(1, 0, GUESSED), (2, 900, BOOT)]


def test_another_capture_period_shows_another_start():
    house = House()
    house.close(1, period_s=3600)
    house = house.restarted()
    house.close(3601)
    house.date(NOON_S + 4500, 4501, 4501)
    assert house.sent() == [(1, 0, GUESSED), (2, 3600, BOOT)]
