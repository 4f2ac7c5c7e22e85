"""Power from the spacing of pulses: right, decaying between them, zero in the end."""

from firmware.pulse_power import POWER_TIMEOUT_MS, PulsePower, net_power_w
from tests.support.a_meter import FakeClock


def a_power(imp_per_kwh=1000, first_ms=0):
    """Power after one pulse at first_ms."""
    power = PulsePower(imp_per_kwh, FakeClock().ticks_diff)
    power.seen(1, first_ms)
    return power


def test_power_is_3_6_million_watt_seconds_a_kilowatt_hour_over_the_time_between_two_pulses():
    power = a_power(1000)
    power.seen(1, 3600)
    assert power.power_w(3600) == 1000
    power.seen(1, 3600 + 1800)
    assert power.power_w(5400) == 2000


def test_several_pulses_in_one_look_share_the_time_since_the_last():
    power = a_power(1000)
    power.seen(24, 5000)
    assert power.power_w(5000) == 17280


def test_power_is_right_at_1_and_at_100000_pulses_a_kilowatt_hour():
    slow = a_power(1)
    slow.seen(1, POWER_TIMEOUT_MS - 1)
    assert slow.power_w(POWER_TIMEOUT_MS - 1) == 3_600_000_000 // (POWER_TIMEOUT_MS - 1)
    fast = a_power(100000)
    fast.seen(2500, 5000)
    assert fast.power_w(5000) == 18000


def test_without_a_new_pulse_the_power_holds_until_the_bound_is_below_it_and_then_follows_it():
    power = a_power(1000)
    power.seen(1, 3600)
    assert power.power_w(3600 + 3599) == 1000
    assert power.power_w(3600 + 3600) == 1000
    assert power.power_w(3600 + 7200) == 500
    assert power.power_w(3600 + 36000) == 100


def test_the_power_never_rises_while_no_pulse_comes():
    power = a_power(1000)
    power.seen(1, 3600)
    before = power.power_w(3600)
    for ticks_ms in range(3600, 3600 + POWER_TIMEOUT_MS + 5000, 977):
        now = power.power_w(ticks_ms)
        assert 0 <= now <= before
        before = now
    assert before == 0


def test_power_is_zero_once_the_time_out_has_passed_and_not_before():
    power = a_power(1000)
    power.seen(1, 3600)
    assert power.power_w(3600 + POWER_TIMEOUT_MS - 1) == 12
    assert power.power_w(3600 + POWER_TIMEOUT_MS) == 0
    assert power.power_w(3600 + POWER_TIMEOUT_MS + 1) == 0


def test_the_first_pulse_ever_tells_no_power():
    power = PulsePower(1000, FakeClock().ticks_diff)
    assert power.power_w(0) == 0
    power.seen(1, 5)
    assert power.power_w(5) == 0
    assert power.power_w(100) == 0


def test_the_first_pulse_after_a_silence_makes_no_spike_and_the_second_tells_the_power():
    power = a_power(1000)
    power.seen(1, 3600)
    silence_ms = 3600 + POWER_TIMEOUT_MS
    power.seen(3, silence_ms)
    assert power.power_w(silence_ms) == 0
    power.seen(1, silence_ms + 36000)
    assert power.power_w(silence_ms + 36000) == 100


def test_a_pulse_just_before_the_time_out_still_tells_the_power():
    power = a_power(1000)
    power.seen(1, POWER_TIMEOUT_MS - 1)
    assert power.power_w(POWER_TIMEOUT_MS - 1) == 12


def test_two_looks_in_one_millisecond_lose_no_pulse_of_the_next_spacing():
    power = a_power(1000)
    power.seen(1, 3600)
    power.seen(2, 3600)
    assert power.power_w(3600) == 1000
    power.seen(1, 7200)
    assert power.power_w(7200) == 3000
    power.seen(1, 10800)
    assert power.power_w(10800) == 1000


def test_a_finer_time_of_the_pulse_than_the_look_makes_the_power_finer():
    power = a_power(1000, 4210)
    power.seen(1, 4210 + 3600)  # seen by the look at 10 s
    assert power.power_w(10000) == 1000


def test_a_look_without_a_pulse_changes_nothing():
    power = a_power(1000)
    power.seen(1, 3600)
    power.seen(0, 4000)
    assert power.power_w(4000) == 1000


def test_power_is_right_across_the_wrap_of_the_ticks():
    wrap_ms = FakeClock.PERIOD_MS
    power = a_power(1000, wrap_ms - 1600)
    power.seen(1, 2000)
    assert power.power_w(2000) == 1000


def test_net_power_is_import_minus_export():
    imported, exported = a_power(1000), a_power(1000)
    imported.seen(1, 7200)
    exported.seen(1, 3600)
    assert net_power_w(imported, exported, 3600) == 500 - 1000
    assert net_power_w(exported, imported, 3600) == 1000 - 500
