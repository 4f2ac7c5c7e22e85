"""Zone tables: what the operator's tool writes, the meter follows, hour for hour."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from firmware import local_time, tariff
from host_tools import tariff_table
from host_tools.tariff_table import BadTariff, encode
from tests.firmware import test_tariff
from wire.messages import START_S_MIN

TARIFFS = Path(__file__).resolve().parents[1] / "vectors/tariffs"
GROUPS = ("G11", "G12", "G12as", "G12w", "G13", "G13s")
POLAND = ZoneInfo("Europe/Warsaw")
HOUR_S = 3600
START_S = int(datetime(2025, 12, 31, 23, tzinfo=UTC).timestamp())
END_S = int(datetime(2027, 12, 31, 23, tzinfo=UTC).timestamp())
NIGHT_HOURS = {0, 1, 2, 3, 4, 5, 13, 14, 22, 23}


def text_of(group: str) -> str:
    return (TARIFFS / f"{group}.toml").read_text("utf-8")


def a_tariff(**changes: object) -> dict[str, Any]:
    """A tariff file that is right, but for the changes; None leaves a field out."""
    found: dict[str, Any] = {
        "name": "G12",
        "valid_from": datetime(2026, 1, 1),
        "plan": [{"T1": ["06-22"], "rest": "T2"}],
    }
    found.update(changes)
    return {name: value for name, value in found.items() if value is not None}


def free(local: datetime) -> bool:
    return local.weekday() > 4 or local_time.is_holiday(local.year, local.month, local.day)


def expected_zone(group: str, local: datetime) -> int:
    """The tariff sheet's words once more, by another hand than the table's."""
    hour, summer = local.hour, 4 <= local.month <= 9
    if group == "G12":
        return int(hour in NIGHT_HOURS)
    if group == "G12as":
        return int(not 6 <= hour < 22)
    if group == "G12w":
        return int(free(local) or hour in NIGHT_HOURS)
    if group == "G13":
        afternoon = range(19, 22) if summer else range(16, 21)
        if free(local):
            return 2
        return 0 if 7 <= hour < 13 else 1 if hour in afternoon else 2
    if group == "G13s":
        if hour < 7 or hour >= 21:
            return 2
        return 1 if hour in (range(9, 17) if summer else range(10, 15)) else 0
    return 0


@pytest.mark.parametrize("group", GROUPS)
def test_the_meter_follows_the_tariff_sheet_for_every_hour_of_two_years(group: str) -> None:
    plan = tariff.TariffPlan(encode(tomllib.loads(text_of(group))))
    assert plan.refused == ""
    for at_s in range(START_S, END_S, HOUR_S):
        local = datetime.fromtimestamp(at_s, POLAND)
        for moment_s in (at_s, at_s + HOUR_S - 1):
            assert plan.zone(moment_s) == expected_zone(group, local), local


@pytest.mark.parametrize("group", ["G11", "G12", "G12w", "G13"])
def test_the_meter_s_own_tests_use_the_tables_that_the_tool_writes(group: str) -> None:
    assert encode(tomllib.loads(text_of(group))) == getattr(test_tariff, group.upper())


def test_both_sides_know_the_same_limits() -> None:
    assert tariff_table.TABLE_BYTES_MAX == tariff.TABLE_BYTES_MAX
    assert tariff_table.NAME_BYTES_MAX == tariff.NAME_BYTES_MAX
    assert tariff_table.SEASONS_MAX == tariff.SEASONS_MAX
    assert tariff_table.VERSION == tariff.VERSION
    assert tariff_table.BY_SUMMER_TIME == tariff.BY_SUMMER_TIME


def test_seasons_by_summer_time_change_with_the_clock() -> None:
    plans = [{"seasons": ["winter"], "rest": "T1"}, {"seasons": ["summer"], "rest": "T4"}]
    table = tariff.parse(encode(a_tariff(seasons="summer_time", plan=plans)))
    for at_s in range(START_S, END_S, HOUR_S):
        summer = datetime.fromtimestamp(at_s, POLAND).dst() == timedelta(hours=1)
        assert table.zone(at_s) == (3 if summer else 0)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-01", "2025-12-31T23:00:00"),
        ("2026-07-01T06:00:00", "2026-07-01T04:00:00"),
        ("2026-10-25T02:00:00+02:00", "2026-10-25T00:00:00"),
        ("2026-10-25T02:00:00+01:00", "2026-10-25T01:00:00"),
    ],
)
def test_valid_from_is_civil_time_unless_it_has_its_own_offset(text: str, utc: str) -> None:
    valid_from = tomllib.loads(f"at = {text}")["at"]
    table = tariff.parse(encode(a_tariff(valid_from=valid_from)))
    assert table.valid_from_s == datetime.fromisoformat(f"{utc}+00:00").timestamp()


@pytest.mark.parametrize(
    ("valid_from_s", "taken"),
    [
        (START_S_MIN - HOUR_S, False),
        (START_S_MIN, True),
        (0xFFFFFFFF // HOUR_S * HOUR_S, True),
        (0xFFFFFFFF // HOUR_S * HOUR_S + HOUR_S, False),
    ],
)
def test_valid_from_has_its_limits(valid_from_s: int, taken: bool) -> None:
    changed = a_tariff(valid_from=datetime.fromtimestamp(valid_from_s, UTC))
    if taken:
        assert tariff.parse(encode(changed)).valid_from_s == valid_from_s
    else:
        with pytest.raises(BadTariff, match="on an hour, from 2020 on"):
            encode(changed)


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"zones": 2}, "'zones', which means nothing"),
    ({"name": None}, "name must be 1 to 8"),
    ({"name": "G12 w"}, "name must be 1 to 8"),
    ({"name": "Gąsior"}, "name must be 1 to 8"),
    ({"name": "G12345678"}, "name must be 1 to 8"),
    ({"name": ""}, "name must be 1 to 8"),
    ({"valid_from": None}, "valid_from must be a time"),
    ({"valid_from": "2026-01-01"}, "valid_from must be a time"),
    ({"valid_from": datetime(2026, 1, 1, 0, 30)}, "on an hour"),
    ({"valid_from": datetime(2019, 12, 31)}, "from 2020 on"),
    ({"valid_from": datetime(2026, 3, 29, 2)}, "hour of a clock change"),
    ({"valid_from": datetime(2026, 10, 25, 2)}, "hour of a clock change"),
    ({"plan": None}, "there is no"),
    ({"plan": []}, "there is no"),
    ({"plan": [5]}, "plan 1 is not a table"),
    ({"plan": [{"rest": "T1", "T5": []}]}, "plan 1 has 'T5'"),
    ({"plan": [{"rest": "T5"}]}, "rest must be one of T1, T2, T3, T4"),
    ({"plan": [{"T1": ["06-22"]}]}, "hour 00-01 has no zone"),
    ({"plan": [{"T1": ["06-22"], "T2": ["21-06"]}]}, "hour 21-22 is named twice"),
    ({"plan": [{"T1": "06-22", "rest": "T2"}]}, "a list of hours"),
    ({"plan": [{"T1": [6], "rest": "T2"}]}, "write hours as"),
    ({"plan": [{"T1": ["6-22"], "rest": "T2"}]}, "write hours as"),
    ({"plan": [{"T1": ["06-25"], "rest": "T2"}]}, "write hours as"),
    ({"plan": [{"T1": ["24-06"], "rest": "T2"}]}, "write hours as"),
    ({"plan": [{"T1": ["06-06"], "rest": "T2"}]}, "write hours as"),
    ({"plan": [{"rest": "T1", "days": ["mon"]}]}, "no plan is for tue in year"),
    ({"plan": [{"rest": "T1"}, {"rest": "T1", "days": ["sun"]}]}, "1 and 2 are both for sun"),
    ({"plan": [{"rest": "T1", "days": ["monday"]}]}, "days must be some of mon"),
    ({"plan": [{"rest": "T1", "days": []}]}, "days must be some of mon"),
    ({"plan": [{"rest": "T1", "seasons": ["winter"]}]}, "seasons must be some of year"),
    ({"seasons": "winter"}, "seasons must be 2 to 4"),
    ({"seasons": {"a": "01-01"}}, "seasons must be 2 to 4"),
    ({"seasons": {name: f"0{name}-01" for name in "12345"}}, "seasons must be 2 to 4"),
    ({"seasons": {"a": "04-01", "b": "04-01"}}, "begin on the same day"),
    ({"seasons": {"a": "02-29", "b": "04-01"}}, "season a must begin on"),
    ({"seasons": {"a": "13-01", "b": "04-01"}}, "season a must begin on"),
    ({"seasons": {"a": 4, "b": "04-01"}}, "season a must begin on"),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_a_wrong_tariff_file_is_refused_with_what_to_change(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(BadTariff, match=words):
        encode(a_tariff(**changes))


def test_the_tariff_that_the_refusals_start_from_is_right() -> None:
    assert tariff.parse(encode(a_tariff())).name == b"G12"


def test_hours_run_over_midnight_and_to_its_end() -> None:
    table = tariff.parse(encode(a_tariff(plan=[{"T3": ["22-02"], "rest": "T4"}])))
    zones = [table.zone(START_S + hour * HOUR_S) for hour in range(24)]
    assert zones == [2, 2, *[3] * 20, 2, 2]
    whole = tariff.parse(encode(a_tariff(plan=[{"T2": ["00-24"]}])))
    assert [whole.zone(START_S + hour * HOUR_S) for hour in range(24)] == [1] * 24


SEASON_STARTS = {"a": "01-01", "b": "04-01", "c": "07-01", "d": "10-01"}


def thirteen_plans() -> list[dict[str, object]]:
    """Plans for workdays, weekends and holidays of four seasons, one weekend cut in two."""
    kinds = (["mon", "tue", "wed", "thu", "fri"], ["sat", "sun"], ["holiday"])
    chosen = [(season, days) for season in SEASON_STARTS for days in kinds]
    chosen[1:2] = [("a", ["sat"]), ("a", ["sun"])]
    return [{"seasons": [season], "days": days, "rest": "T1"} for season, days in chosen]


def test_a_table_of_120_bytes_is_written_and_followed() -> None:
    table = encode(a_tariff(name="G", seasons=SEASON_STARTS, plan=thirteen_plans()))
    assert len(table) == tariff_table.TABLE_BYTES_MAX
    assert tariff.parse(table).name == b"G"


def test_a_table_of_121_bytes_is_refused() -> None:
    with pytest.raises(BadTariff, match="121 bytes, over 120: join plans"):
        encode(a_tariff(name="GG", seasons=SEASON_STARTS, plan=thirteen_plans()))


def test_the_tool_prints_the_table_in_hex(capsys: pytest.CaptureFixture[str]) -> None:
    assert tariff_table.main([str(TARIFFS / "G12.toml")]) == 0
    assert bytes.fromhex(capsys.readouterr().out) == test_tariff.G12


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"name = ", "Invalid value"), (b"\xff", "codec"), (b"name = 'G11'", "there is no")],
)
def test_the_tool_says_in_one_line_what_is_wrong_with_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: str
) -> None:
    path = tmp_path / "tariff.toml"
    path.write_bytes(content)
    assert tariff_table.main([str(path)]) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.startswith(f"{path}: ")
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tariff_table.main([str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err
