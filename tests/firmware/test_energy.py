"""Power over time becomes counts: exact, carried, per direction."""

from firmware.calibration import POWER_W_MAX
from firmware.metrology import COUNT_WIDTH, Energy

ONE_LIMB = 1 << 30


def test_a_kilowatt_for_an_hour_is_a_kilowatt_hour_of_counts():
    for imp_per_kwh in (1, 1000, 100_000):
        energy = Energy(imp_per_kwh)
        for _ in range(3600):
            energy.add(1_000_000, 1000)
        assert energy.counts == [imp_per_kwh, 0]


def test_what_is_left_of_a_count_is_carried_for_each_direction():
    energy = Energy(997)
    sums = [0, 0]
    power_mw, passed_ms = 12_345, 7
    for _ in range(2000):
        power_mw = (power_mw * 48271) % 2_147_483_647
        passed_ms = (passed_ms * 31 + 17) % 4999
        signed_mw = power_mw % 70_000_000 * (1 if power_mw % 3 else -1)
        energy.add(signed_mw, passed_ms)
        sums[0 if signed_mw >= 0 else 1] += abs(signed_mw) * passed_ms
    # joules of each direction are whole before they count: what is cut is carried, never lost
    assert energy.counts == [uj // 1_000_000 * 997 // 3_600_000 for uj in sums]


def test_the_largest_power_over_the_longest_time_is_exact():
    energy = Energy(100_000)
    energy.add(-POWER_W_MAX * 1000, 10_000)
    assert energy.counts == [0, POWER_W_MAX * 10 * 100_000 // 3_600_000]
    assert POWER_W_MAX * 4000 + 1000 * 4000 < ONE_LIMB


def test_counts_wrap_at_their_width():
    energy = Energy(100_000)
    energy.counts[0] = COUNT_WIDTH - 1
    energy.add(1000, 36_000)
    assert energy.counts == [0, 0]


def test_no_power_and_no_time_count_nothing():
    energy = Energy(100_000)
    energy.add(0, 10_000)
    energy.add(1_000_000, 0)
    assert energy.counts == [0, 0]


def test_the_least_power_over_the_least_time_adds_up():
    energy = Energy(100_000)  # a count is 36 J
    for _ in range(36_036):
        energy.add(999, 1)
    assert energy.counts == [0, 0]
    energy.add(999, 1)
    assert energy.counts == [1, 0]
