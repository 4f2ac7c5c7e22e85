"""Starts of the meter: nothing that was looked at is lost, nothing counted twice."""

from firmware import load_profile
from firmware.journal import FlashWorn
from firmware.load_profile import next_profile
from firmware.metering import Metering
from firmware.saved_state import RETAINED_BYTES
from firmware.storage import open_storage
from tests.support.a_meter import FLASH_BLOCKS, NOON_S, FakePulses, FakeRetained
from tests.support.fake_flash import FakeFlash
from wire import quality

UNSYNCED = quality.CLOCK_UNSYNCED


class House:
    """One meter over its starts: the flash stays, RTC memory over resets, counts if kept."""

    def __init__(self, kept=True):
        self.flash = FakeFlash(FLASH_BLOCKS)
        self.pulses = FakePulses(1 << 16, kept)
        self.retained = FakeRetained()
        self.start()

    def start(self):
        storage = open_storage(self.flash)
        self.journal = storage.journal
        self.meter = Metering(storage, self.pulses, 1000, 900, retained=self.retained)

    def reset(self):
        """A soft or watchdog reset."""
        self.flash, self.pulses = self.flash.after_power_on(), self.pulses.after_power_on()
        self.retained = self.retained.after_reset()
        self.start()

    def power_off(self):
        self.retained = FakeRetained(b"\xa5" * RETAINED_BYTES)
        self.reset()

    def minutes(self, count, now_s, uptime_s, pulses=7):
        """Looks a minute apart, the first a minute after now_s (None: unknown) and uptime_s."""
        for minute in range(1, count + 1):
            self.pulses.count(pulses, 1)
            at_s = None if now_s is None else now_s + 60 * minute
            self.meter.tick(at_s, 60, uptime_s + 60 * minute)

    def intervals(self):
        numbers = range(max(1, self.journal.oldest), self.journal.newest + 1)
        return [load_profile.unpack(number, self.journal.read(number)) for number in numbers]

    def sent(self):
        """(start after noon, quality, import) of all intervals, as the gateway would get them."""
        found, number = [], 1
        while True:
            profile = next_profile(self.journal, number, dating=self.meter.dating)
            if profile is None:
                return found
            for index, grade in enumerate(profile.quality):
                start_s = profile.start_s + profile.capture_period_s * index - NOON_S
                found.append((start_s, grade, profile.deltas_wh[0][index]))
            number = profile.first + len(profile.quality)


def test_a_reset_goes_on_from_the_last_look_not_from_the_last_save():
    house = House(kept=False)
    house.meter.tick(NOON_S, 0)
    saved = house.meter._storage.state.newest
    for second in range(1, 10):
        house.pulses.count(1)
        house.meter.tick(NOON_S + second, 1, second)
    assert house.meter._storage.state.newest == saved
    house.reset()
    assert house.meter.registers.wh[0] == 9
    assert house.meter.counts_lost
    house.pulses.count(2)
    house.meter.tick(NOON_S + 12, 1, 2)
    assert house.meter.registers.wh[0] == 11


def test_after_a_power_off_the_flash_is_what_counts():
    house = House(kept=False)
    house.meter.tick(NOON_S, 0)
    for second in range(1, 10):
        house.pulses.count(1)
        house.meter.tick(NOON_S + second, 1, second)
    house.power_off()
    assert house.meter.registers.wh[0] == 0
    assert house.meter.counts_lost


def test_a_reset_with_counters_that_keep_their_count_loses_nothing_and_says_nothing():
    house = House()
    house.meter.tick(NOON_S, 0)
    house.minutes(3, NOON_S, 0)
    house.pulses.count(5)
    house.reset()
    assert house.meter.registers.wh[0] == 26
    assert not house.meter.counts_lost
    assert house.meter.profile.quality == quality.MEASURED


def test_a_copy_of_another_life_is_refused():
    other = House(kept=False)
    other.meter.tick(NOON_S, 0)
    other.minutes(30, NOON_S, 0, pulses=100)
    house = House(kept=False)
    house.meter.tick(NOON_S, 0)
    while house.meter._storage.state.newest < other.meter._storage.state.newest:
        house.meter.keep()
    house.retained = other.retained
    house.reset()
    assert house.meter.registers.wh[0] == 0


def test_a_copy_that_is_older_than_the_flash_is_refused():
    house = House(kept=False)
    house.meter.tick(NOON_S, 0)
    house.pulses.count(3)
    house.meter.tick(NOON_S + 1, 1, 1)
    old = house.retained.after_reset()
    house.minutes(2, NOON_S, 1)
    house.retained = old
    house.reset()
    assert house.meter.registers.wh[0] == 17


def test_what_a_worn_flash_no_longer_takes_is_in_rtc_memory_after_a_reset():
    house = House(kept=False)
    house.meter.tick(NOON_S, 0)

    def append(payload, sequence=0):
        raise FlashWorn

    house.meter._storage.state.append = house.meter._storage.counts.append = append
    house.minutes(5, NOON_S, 0)
    assert house.meter.flash_worn
    house.reset()
    assert house.meter.registers.wh[0] == 35


def test_a_restart_on_purpose_takes_the_counts_along_in_flash_too():
    for keeps_rtc in (True, False):
        house = House(kept=False)
        house.meter.tick(NOON_S, 0)
        house.pulses.count(4)
        house.meter.keep()
        if keeps_rtc:
            house.reset()
        else:
            house.power_off()
        assert house.meter.registers.wh[0] == 4


def test_a_meter_without_rtc_memory_runs_from_its_flash():
    house = House()
    meter = Metering(open_storage(house.flash), house.pulses, 1000, 900)
    meter.tick(NOON_S, 0)
    house.pulses.count(4)
    meter.tick(NOON_S + 60, 60)
    assert meter.registers.wh[0] == 4


def test_a_million_pulses_with_stalls_and_resets_are_counted_once_each():
    house, dice, now_s, uptime_s, resets, counted = House(), 1, NOON_S, 0, 0, 0
    house.meter.tick(now_s, 0)
    while counted < 1_000_000:
        dice = (dice * 69069 + 12345) & 0x3FFFFFFF
        burst, stall_s = (dice >> 8) % 900, 2 if dice % 7 else 60
        house.pulses.count(burst)
        counted += burst
        if dice % 11 == 3:
            house.reset()
            uptime_s, resets = 0, resets + 1
        elif dice % 13 == 5:
            house.power_off()
            uptime_s, resets = 0, resets + 1
        now_s, uptime_s = now_s + stall_s, uptime_s + stall_s
        house.meter.tick(now_s, stall_s, uptime_s)
    assert resets > 200
    assert house.meter.registers.wh[0] == counted
    ends = [interval.registers_wh[0] for interval in house.intervals()]
    assert sum([interval.deltas_wh[0] for interval in house.intervals()]) == ends[-1]
