"""Days of many meters under faults end with every watt-hour settled once."""

import pytest

from tests.simulation.history import HOURS, METERS, run


@pytest.mark.parametrize("seed", range(5))
def test_whatever_fails_every_watt_hour_is_settled_once(seed: int) -> None:
    summary = run(seed)
    assert summary.intervals == METERS * HOURS * 4


def test_a_seed_is_one_history_and_has_faults_in_it() -> None:
    summary = run(11)
    assert min(summary.restarts, summary.crashes, summary.refused, summary.duplicates) > 0
    assert run(11) == summary
