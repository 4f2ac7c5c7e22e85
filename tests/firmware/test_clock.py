"""The wall clock on ports that count from 1970 and from 2000."""

from firmware.clock import EPOCH_2000_S, Timekeeper, Uptime, WallClock
from tests.support.a_meter import NOON_S, FakeClock
from wire.messages import START_S_MIN


class Port:
    """A port's time.time: seconds since its own epoch."""

    def __init__(self, seconds=0):
        self.seconds = seconds

    def __call__(self):
        return self.seconds


def test_an_esp32_that_has_just_got_power_does_not_know_the_time():
    assert WallClock(Port(0), 2000).now_s() is None
    assert WallClock(Port(86400), 2000).now_s() is None


def test_both_epochs_give_the_same_utc_second():
    assert WallClock(Port(NOON_S), 1970).now_s() == NOON_S
    assert WallClock(Port(NOON_S - EPOCH_2000_S), 2000).now_s() == NOON_S


def test_a_clock_that_is_set_goes_on_from_there():
    for year in (1970, 2000):
        port = Port(5)
        clock = WallClock(port, year)
        assert clock.set(NOON_S) is True
        port.seconds += 61
        assert clock.now_s() == NOON_S + 61


def test_a_time_before_2020_is_nobody_s_and_refused():
    clock = WallClock(Port(5), 2000)
    assert clock.set(START_S_MIN - 1) is False
    assert clock.now_s() is None
    assert clock.set(START_S_MIN) is True
    assert clock.now_s() == START_S_MIN


def test_a_port_with_fractions_of_a_second_gives_whole_ones():
    assert WallClock(Port(NOON_S + 0.9), 1970).now_s() == NOON_S


def test_both_epochs_are_kept_and_slewed_alike():
    for year, epoch_s in ((1970, 0), (2000, EPOCH_2000_S)):
        port = Port(5)
        keeper = Timekeeper(WallClock(port, year))
        assert keeper.now_s() is None
        assert keeper.receipt(NOON_S) == (None, NOON_S)
        port.seconds += 60
        assert keeper.receipt(NOON_S + 63) is None
        for _ in range(240):
            port.seconds += 1
            keeper.now_s()
        assert keeper.now_s() == NOON_S + 303
        kept = Timekeeper(WallClock(Port(NOON_S - epoch_s), year))
        assert kept.now_s() == NOON_S


def test_uptime_adds_up_parts_of_seconds_and_goes_on_across_a_wrap_of_the_ticks():
    clock = FakeClock(ticks_ms=FakeClock.PERIOD_MS - 1000)
    uptime = Uptime(clock)
    for step in range(1, 11):
        clock.pass_ms(700)
        assert uptime.s() == 700 * step // 1000
