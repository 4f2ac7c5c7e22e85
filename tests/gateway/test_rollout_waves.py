"""Waves and thresholds of a roll-out, and which meters it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.update import seconds_of
from gateway.errors import ConfigError, UsageError
from gateway.rollout import rollout_choice, waves
from gateway.rollout.rollout_choice import Choice
from tests.support.a_rollout import OLD, Fleet
from wire.topics import shard_of


@pytest.mark.parametrize(
    ("sizes", "meters", "wanted"),
    [
        ("1,1%,10%,100%", 1000, [1, 9, 90, 900]),
        ("1,10%,100%", 3, [1, 2]),  # a tenth of three is one, which the first wave had
        ("1,10%,100%", 11, [1, 1, 9]),
        ("1,50%", 10, [1, 4]),  # the other half is left out on purpose
        ("5", 3, [3]),
        ("100%", 1, [1]),
        ("10%,5%", 100, [10]),
        ("100%", 0, []),
    ],
)
def test_waves_count_the_meters_that_have_it_after_each(
    sizes: str, meters: int, wanted: list[int]
) -> None:
    assert waves.cut(waves.parse_waves(sizes), meters) == wanted


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "-1", "1.5", "x", "1,,2", "100000001"])
def test_a_size_of_a_wave_is_a_number_or_a_share(text: str) -> None:
    with pytest.raises(UsageError, match="--waves"):
        waves.parse_waves(text)


def test_so_many_waves_are_taken_and_no_more() -> None:
    full = ",".join(str(number + 1) for number in range(waves.WAVES_MAX))
    assert len(waves.parse_waves(full)) == waves.WAVES_MAX
    with pytest.raises(UsageError, match="20 waves"):
        waves.parse_waves(full + ",100%")


@pytest.mark.parametrize(
    ("stop_after", "failures", "begun", "stops"),
    [
        ("2", 1, 1000, False),
        ("2", 2, 1000, True),
        ("2", 3, 1000, True),
        ("5%", 49, 1000, False),
        ("5%", 50, 1000, True),
        ("5%", 0, 1, False),
        ("5%", 1, 1, True),
        ("5%", 1, 21, False),  # a twentieth of 21, rounded up, is two
    ],
)
def test_the_threshold_stops_at_it_and_not_below(
    stop_after: str, failures: int, begun: int, stops: bool
) -> None:
    assert waves.too_many(waves.parse_stop_after(stop_after), failures, begun) is stops


def test_a_threshold_of_none_is_refused() -> None:
    with pytest.raises(UsageError, match="--stop-after"):
        waves.parse_stop_after("0")


def test_the_order_is_the_same_for_one_update_and_another_for_the_next() -> None:
    meters = [bytes([number]) * 8 for number in range(50)]
    assert waves.in_order(reversed(meters), 7) == waves.in_order(meters, 7)
    assert waves.in_order(meters, 8) != waves.in_order(meters, 7)


def test_meters_are_chosen_by_list_by_shard_and_by_what_they_run(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 40)
    ids = list(fleet.meters)
    fleet.greet()
    fleet.meters[ids[0]].version = "0.1.0"
    fleet.say(fleet.meters[ids[0]], fleet.meters[ids[0]].greeting())
    update_id = fleet.bundle.update_id

    def chosen(**choice: object) -> list[bytes]:
        return rollout_choice.choose(
            fleet.connection,
            update_id,
            Choice(**choice),  # type: ignore[arg-type]
        )

    assert set(chosen()) == set(ids)
    assert chosen(meters=[ids[3], ids[1]]) == [ids[3], ids[1]]
    low = chosen(shards="00-7f")
    assert set(low) == {meter_id for meter_id in ids if shard_of(meter_id) < "80"}
    assert 0 < len(low) < 40
    assert chosen(running="0.1.0") == [ids[0]]
    assert len(chosen(running=OLD)) == 39
    with pytest.raises(ConfigError):
        chosen(shards="zz")
    with pytest.raises(UsageError, match="no active meter here"):
        chosen(meters=[bytes(8)])


def test_meters_out_of_service_and_meters_that_run_it_already_are_not_chosen(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path, 3)
    first, second, third = fleet.meters
    fleet.do(lambda connection: connection.execute(
        "UPDATE meter SET state = 'revoked' WHERE meter_id = ?", (first,)))  # fmt: skip
    fleet.meters[second].version = fleet.bundle.version
    fleet.greet()
    chosen = rollout_choice.choose(fleet.connection, fleet.bundle.update_id, Choice())
    assert chosen == [third]
    with pytest.raises(UsageError, match="no update 5"):
        rollout_choice.choose(fleet.connection, 5, Choice())


def test_a_list_of_meters_has_one_id_a_line() -> None:
    text = "0011223344556677  # the cellar\n\n# none\n8899aabbccddeeff\n0011223344556677\n"
    assert [one.hex() for one in rollout_choice.ids_of(text)] == [
        "0011223344556677",
        "8899aabbccddeeff",
    ]
    for bad in ("00", "zz" * 8, "00" * 9):
        with pytest.raises(UsageError, match="16 hex digits"):
            rollout_choice.ids_of(bad)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("7d", 604_800)]
)
def test_times_are_written_with_their_unit(text: str, seconds: int) -> None:
    assert seconds_of(text, "--soak") == seconds
    with pytest.raises(UsageError, match="--soak"):
        seconds_of(text + "x", "--soak")
