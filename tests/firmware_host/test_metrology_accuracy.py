"""Class B of MID 2014/32/EU (annex V, table 2) on synthetic mains: shown, never certified."""

import operator
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import metrology as bench
from firmware.calibration import POWER_W_MAX
from firmware.metrology import Energy
from firmware.waveform import COUNTS_MAX, WINDOW_PAIRS_MAX, add_up, crossings
from tests.firmware_host.test_integer_path import float_uses
from tests.support.mains import (
    CONDITIONS,
    CURRENTS_A,
    MAXIMUM_A,
    MINIMUM_A,
    NOMINAL_V,
    STARTING_A,
    TRANSITIONAL_A,
    Mains,
    enough_windows,
    error_percent,
    limit_percent,
    windows_of,
)

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
SEED = 2  # not the bench's: the limits hold for more than one history


@pytest.mark.parametrize("mains", CONDITIONS, ids=lambda mains: mains.name)
@pytest.mark.parametrize("current_a", [each for each in CURRENTS_A if each >= MINIMUM_A])
def test_energy_is_within_class_b_at_every_current_claimed_in_every_condition(
    current_a: float, mains: Mains
) -> None:
    error = error_percent(mains, current_a, enough_windows(current_a), SEED)
    assert abs(error) <= limit_percent(current_a)


def test_below_the_claimed_currents_noise_averages_out_and_leaves_no_bias() -> None:
    assert abs(error_percent(CONDITIONS[1], 0.1, 1000, SEED)) < 2


def test_the_currents_claimed_are_those_that_class_b_asks_for() -> None:
    assert STARTING_A <= 0.04 * TRANSITIONAL_A
    assert MINIMUM_A <= 0.5 * TRANSITIONAL_A
    assert MAXIMUM_A >= 50 * TRANSITIONAL_A
    assert {MINIMUM_A, TRANSITIONAL_A, MAXIMUM_A} <= set(CURRENTS_A)


@pytest.mark.parametrize(
    ("current_a", "limit"),
    [(0.24, 0), (0.25, 2), (0.99, 2), (1, 1), (60, 1)],
)
def test_the_limit_is_one_percent_from_the_transitional_current_on_and_two_below(
    current_a: float, limit: int
) -> None:
    assert limit_percent(current_a) == limit


def test_without_load_nothing_is_counted_at_115_percent_of_the_voltage() -> None:
    idle = CONDITIONS[0]._replace(volts=1.15 * NOMINAL_V)
    assert not any(window.power_mw for window in windows_of(idle, 0, 2000, seed=SEED))


def test_the_starting_current_is_counted() -> None:
    windows = windows_of(CONDITIONS[0], STARTING_A, 200, seed=SEED)
    counted_mw = sum(window.power_mw for window in windows) / len(windows)
    assert counted_mw > 0.9 * NOMINAL_V * STARTING_A * 1000


def test_voltage_and_current_of_a_load_are_within_one_percent() -> None:
    for current_a in (1, 10, 60):
        for window in windows_of(CONDITIONS[1], current_a, 20, seed=SEED):
            assert window.voltage_mv[0] == pytest.approx(230_000, rel=0.01)
            assert window.current_ma[0] == pytest.approx(1000 * current_a, rel=0.02)


class SmallInt(int):
    """An integer that cannot pass 30 bits, as the chip's small integers cannot."""

    def __new__(cls, value: int) -> "SmallInt":
        assert abs(value) < 1 << 30, f"{value} is a heap integer on the chip"
        return super().__new__(cls, value)


def small(name: str) -> Callable[..., object]:
    """The operator of that name, its result checked."""
    plain = getattr(int, name)

    def checked(*values: int) -> object:
        result = plain(*(int(value) for value in values))
        if isinstance(result, tuple):
            return tuple(SmallInt(each) for each in result)
        return SmallInt(result)

    return checked


for _name in ("add", "sub", "mul", "floordiv", "mod", "divmod", "rshift", "lshift", "and"):
    for _side in ("", "r"):
        setattr(SmallInt, f"__{_side}{_name}__", small(f"__{_side}{_name}__"))
for _name in ("__neg__", "__abs__"):
    setattr(SmallInt, _name, small(_name))


def test_a_small_integer_of_these_tests_refuses_31_bits() -> None:
    most = SmallInt((1 << 30) - 1)
    for apply in (operator.add, operator.mul, operator.lshift):
        with pytest.raises(AssertionError):
            apply(most, SmallInt(2))
    with pytest.raises(AssertionError):
        2 + most


@pytest.mark.parametrize(
    ("a", "b", "zero_a", "zero_b"),
    [
        (COUNTS_MAX, COUNTS_MAX, 0, 0),
        (COUNTS_MAX, 0, 0, COUNTS_MAX),
        (0, 0, COUNTS_MAX, COUNTS_MAX),
    ],
)
def test_the_loop_over_the_samples_never_passes_30_bits(
    a: int, b: int, zero_a: int, zero_b: int
) -> None:
    many = WINDOW_PAIRS_MAX
    sums = add_up([SmallInt(a)] * many, [SmallInt(b)] * many, 1, many, zero_a, zero_b)
    assert isinstance(sums.a, SmallInt), "the loop was watched"
    assert isinstance(sums.aa[0], SmallInt)


def test_looking_for_crossings_never_passes_30_bits() -> None:
    wave = [SmallInt(0), SmallInt(COUNTS_MAX)] * (WINDOW_PAIRS_MAX // 2)
    cycles, _, _, span = crossings(wave, WINDOW_PAIRS_MAX, COUNTS_MAX // 2)
    assert cycles == WINDOW_PAIRS_MAX // 2 - 2
    assert isinstance(span, SmallInt)


@pytest.mark.parametrize("imp_per_kwh", [1, 1000, 100_000])
@pytest.mark.parametrize("power_mw", [POWER_W_MAX * 1000 + 999, -POWER_W_MAX * 1000, 999])
def test_energy_never_passes_30_bits(imp_per_kwh: int, power_mw: int) -> None:
    energy = Energy(imp_per_kwh)
    passed_ms = 9_999
    for _ in range(20):
        energy.add(SmallInt(power_mw), SmallInt(passed_ms))
    counted = energy.counts[0 if power_mw > 0 else 1]
    assert counted == abs(power_mw) * passed_ms * 20 // 1_000_000 * imp_per_kwh // 3_600_000


@pytest.mark.parametrize(
    "name", ["metrology.py", "waveform.py", "calibration.py", "power_quality.py"]
)
def test_metering_by_current_is_integer_only(name: str) -> None:
    assert float_uses((FIRMWARE / name).read_text()) == []


def test_the_bench_prints_a_row_with_limit_and_worst_error() -> None:
    assert bench.row_of(0.1, windows=1).split()[2] == "-"
    row = bench.row_of(20, windows=5)
    assert row.split()[:4] == ["20", "A", "1", "%"]
    assert row.split()[4].startswith(("+", "-"))
