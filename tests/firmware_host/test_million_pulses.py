"""A million pulses through the real input, meter and flash rings: none lost, none invented."""

import pytest

from tests.support.pulse_history import History

PULSES = 1_000_000


@pytest.mark.parametrize(("seed", "newer"), [(11, False), (12, True)])
def test_a_million_pulses_over_stalls_and_resets_are_all_in_the_registers(
    seed: int, newer: bool
) -> None:
    history = History(seed, newer=newer).run(PULSES)
    assert sum(history.pulses) >= PULSES
    assert history.resets > 500
    assert history.torn > 100
    assert history.stalls > 1000
    assert (history.lost, history.invented) == (0, 0), f"seed {seed}"


def test_a_hundred_thousand_pulses_over_power_cuts_are_counted_at_most_once() -> None:
    history = History(13).run(PULSES // 10, power_cuts=True)
    assert history.power_cuts > 10
    assert history.flagged >= history.power_cuts
    assert history.invented == 0
