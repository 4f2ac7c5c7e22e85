"""Rekeys that are not begun, or begun for many: limits, waves, and where the new key lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import registry, store
from gateway.downlink import commands, rekeying
from gateway.errors import CommandRefused
from tests.support.a_commander import act, epochs, keeper, rotate, states
from tests.support.gateway import NOW_S, a_home, a_meter

METER = a_meter(1)


def test_a_second_rekey_is_refused_while_the_first_has_no_result(tmp_path: Path) -> None:
    a_home(tmp_path, METER)
    first = rotate(tmp_path, METER.meter_id)
    with pytest.raises(CommandRefused, match="rekey_open"):
        rotate(tmp_path, METER.meter_id)
    assert epochs(tmp_path) == [0, 1]
    act(tmp_path, lambda connection: commands.cancel(connection, first, "anna", NOW_S))
    rotate(tmp_path, METER.meter_id)
    assert epochs(tmp_path) == [0, 1, 2]


@pytest.mark.parametrize(("used", "good"), [(254, True), (255, False)])
def test_after_two_hundred_and_fifty_five_key_epochs_a_meter_is_paired_anew(
    tmp_path: Path, used: int, good: bool
) -> None:
    a_home(tmp_path, METER)
    act(tmp_path, lambda c: c.execute("UPDATE meter SET highest_epoch = ?", (used,)))
    if good:
        rotate(tmp_path, METER.meter_id)
        assert epochs(tmp_path) == [0, 255]
        return
    with pytest.raises(CommandRefused, match="epochs_used_up"):
        rotate(tmp_path, METER.meter_id)
    assert epochs(tmp_path) == [0]


def test_an_unknown_meter_gets_no_key(tmp_path: Path) -> None:
    a_home(tmp_path, METER)
    with pytest.raises(CommandRefused, match="unknown_meter"):
        rotate(tmp_path, a_meter(9).meter_id)
    assert epochs(tmp_path) == [0]


def test_key_and_command_are_stored_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_home(tmp_path, METER)

    def broken(*_: object) -> None:
        raise OSError("cut here")

    monkeypatch.setattr(registry.Registry, "add_key", broken)
    with pytest.raises(OSError, match="cut here"):
        rotate(tmp_path, METER.meter_id)
    assert states(tmp_path) == []
    assert epochs(tmp_path) == [0]


def test_the_new_key_is_nowhere_in_plain(tmp_path: Path) -> None:
    a_home(tmp_path, METER)
    fresh = bytes(range(100, 132))
    rotate(tmp_path, METER.meter_id, fresh=lambda size: fresh[:size])
    connection = store.connect(tmp_path / "gateway.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert fresh not in (tmp_path / "gateway.db").read_bytes()


def test_many_meters_are_rekeyed_in_waves_spread_by_chance() -> None:
    ids = [number.to_bytes(8, "big") for number in range(rekeying.WAVE_METERS + 1)]
    plan = rekeying.spread(ids, NOW_S, lambda: 0.5)
    assert [meter_id for meter_id, _ in plan] == ids
    assert plan[0][1] == plan[rekeying.WAVE_METERS - 1][1] == NOW_S + rekeying.WAVE_S // 2
    assert plan[rekeying.WAVE_METERS][1] == NOW_S + rekeying.WAVE_S + rekeying.WAVE_S // 2
    latest = rekeying.spread(ids[:1], NOW_S, lambda: 0.999999)
    assert NOW_S <= latest[0][1] < NOW_S + rekeying.WAVE_S


def test_a_wave_goes_on_past_a_meter_that_cannot_be_rekeyed(tmp_path: Path) -> None:
    other = a_meter(2)
    a_home(tmp_path, METER, other)
    rotate(tmp_path, METER.meter_id)
    wave = [(METER.meter_id, NOW_S), (other.meter_id, NOW_S)]
    left_out = act(
        tmp_path, lambda c: rekeying.queue_wave(c, keeper(tmp_path), wave, "anna", NOW_S)
    )
    assert left_out == [(METER.meter_id, "rekey_open")]
    assert len(states(tmp_path)) == 2
