"""A crash at every transaction of a roll-out: it ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway import store
from tests.support.a_rollout import Fleet, a_bundle
from wire.messages import Result

PASSES_MAX = 40


class Crash(Exception):
    """The process is gone; what was not committed never was."""


class CrashingFleet(Fleet):
    """Rolls its transaction number `cut_at` back, at its very end, as kill -9 before the commit."""

    cut_at = -1
    transactions = 0
    crashes = 0

    def do(self, work: Any) -> Any:
        self.transactions += 1
        if self.transactions - 1 != self.cut_at:
            return super().do(work)

        def cut(connection: Any) -> None:
            work(connection)
            raise Crash

        self.crashes += 1
        return store.transact(self.connection, cut)

    def live(self) -> None:
        """Run until it is done; after a crash all that was only in memory is gone."""
        for _ in range(PASSES_MAX):
            try:
                self.look()
                if not self.carry() and self.of(1).state == "done":
                    return
            except Crash:
                self.after.clear()
        raise AssertionError(self.states(1))


def begun(folder: Path, meters: int) -> CrashingFleet:
    fleet = CrashingFleet(folder, meters, a_bundle(sizes=(900, 200)))
    fleet.greet()
    fleet.start(waves=("1", "100%"), soak_s=0)
    fleet.transactions = 0
    return fleet


@pytest.mark.parametrize("restarts_anyway", [False, True])
def test_a_rollout_crashed_at_any_transaction_ends_with_every_meter_confirmed_once(
    tmp_path: Path, restarts_anyway: bool
) -> None:
    whole = begun_in(tmp_path / "whole", -1, restarts_anyway)
    whole.live()
    assert whole.transactions > 20
    for cut_at in range(whole.transactions):
        fleet = begun_in(tmp_path / str(cut_at), cut_at, restarts_anyway)
        fleet.live()
        assert fleet.crashes == 1
        assert fleet.states(1) == {"confirmed": 2}
        for meter in fleet.meters.values():
            assert meter.version == fleet.bundle.version
            assert meter.restarts == 1
        fleet.connection.close()


def begun_in(folder: Path, cut_at: int, restarts_anyway: bool) -> CrashingFleet:
    folder.mkdir()
    fleet = begun(folder, 2)
    fleet.cut_at = cut_at
    fleet.say = _as_meters_do(fleet, restarts_anyway)  # type: ignore[method-assign]
    return fleet


def _as_meters_do(fleet: CrashingFleet, restarts_anyway: bool) -> Any:
    """What has no receipt is said again; a meter may restart before its answer had one (60 s)."""
    plain = fleet.say

    def say(meter: Any, *said: Any) -> Any:
        try:
            return plain(meter, *said)
        except Crash:
            if not isinstance(said[0], Result):
                plain(meter, *said)
            elif restarts_anyway and said[0].detail == b"restart":
                plain(meter, *meter.restart())
            raise

    return say
