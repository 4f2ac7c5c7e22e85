"""Files of market prices: the API's JSON, CSV, and the monthly TOML; a real sample of ten days."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from settlement.rules.errors import BadTable, NoRate
from settlement.rules.market import QUARTER_S, Rce
from settlement.rules.periods import HOUR_S, ZONE, day_start_s, hours_of
from settlement.tables import market
from settlement.tables.market import read_rce, read_rcem

SAMPLE = Path(__file__).parents[1] / "vectors" / "rce-15min-sample-days.json"
# 22:00 UTC of 15 June 2025, which is midnight in Warsaw.
START_S = day_start_s(date(2025, 6, 16))


def an_answer(*changes: dict[str, Any]) -> str:
    """An answer of the API with a row for each change; its shape is that of `rce-pln`."""
    rows = [
        {
            "dtime": "2025-06-16 00:15:00",
            "period": "00:00 - 00:15",
            "rce_pln": 439.58,
            "dtime_utc": "2025-06-15 22:15:00",
            "period_utc": "22:00 - 22:15",
            "business_date": "2025-06-16",
            "publication_ts": "2025-06-15 13:44:11.203",
            "publication_ts_utc": "2025-06-15 11:44:11.203",
        }
        | change
        for change in changes
    ]
    return json.dumps({"value": rows})


def test_the_api_names_the_end_of_a_quarter_and_its_prices_are_kept_to_the_grosz() -> None:
    text = an_answer({}).replace("439.58", "439.58000")
    assert read_rce(text, ".json").quarters == {START_S: 43_958}


def test_negative_whole_and_repeated_prices_of_the_api_are_read() -> None:
    rows: list[dict[str, Any]] = [
        {"rce_pln": -12.5},
        {"rce_pln": 0, "dtime_utc": "2025-06-15 22:30:00", "period_utc": "22:15 - 22:30"},
        {"rce_pln": -12.5},
    ]
    assert read_rce(an_answer(*rows), ".json").quarters == {START_S: -1250, START_S + 900: 0}


def test_an_hourly_price_becomes_four_equal_quarters_also_over_midnight() -> None:
    row = {"dtime_utc": "2025-06-16 00:00:00", "period_utc": "23:00 - 00:00"}
    found = read_rce(an_answer(row), ".json")
    assert found.quarters == {START_S + HOUR_S + n * QUARTER_S: 43_958 for n in range(4)}


def test_both_hours_of_autumn_are_told_apart_by_utc_and_their_local_labels_are_not_read() -> None:
    rows: list[dict[str, Any]] = [
        {"dtime": "2025-10-26 02:15:00", "dtime_utc": "2025-10-26 00:15:00", "rce_pln": 1},
        {"dtime": "2025-10-26 02a:15:00", "dtime_utc": "2025-10-26 01:15:00", "rce_pln": 2},
    ]
    first_s = day_start_s(date(2025, 10, 26)) + 2 * HOUR_S
    assert read_rce(an_answer(*rows), ".json").quarters == {first_s: 100, first_s + HOUR_S: 200}


def test_from_october_2025_on_an_hourly_price_is_refused() -> None:
    last = {"dtime_utc": "2025-09-30 22:00:00", "period_utc": "21:00 - 22:00"}
    assert len(read_rce(an_answer(last), ".json").quarters) == 4
    first = {"dtime_utc": "2025-09-30 23:00:00", "period_utc": "22:00 - 23:00"}
    with pytest.raises(BadTable, match="row 1: from 1 October 2025"):
        read_rce(an_answer(first), ".json")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "list `value`"),
        ('{"value": {}}', "list `value`"),
        ('{"value": [1]}', "list `value`"),
        (an_answer({"rce_pln": None}), "row 1: rce_pln is a number"),
        (an_answer({"rce_pln": "439.58"}), "rce_pln is a number"),
        (an_answer({"rce_pln": True}), "rce_pln is a number"),
        (an_answer({"rce_pln": float("nan")}), "NaN is not a price"),
        (an_answer({"rce_pln": 0.43958}), "more than 2 decimals"),
        (an_answer({"rce_pln": 50_000.01}), "out of limits"),
        (an_answer({}).replace("439.58", "1e999999"), "out of limits"),
        (an_answer({}, {"dtime_utc": "2025-06-15T22:15:00Z"}), "row 2: dtime_utc is written as"),
        (an_answer({"dtime_utc": None}), "dtime_utc is written as"),
        (an_answer({"dtime_utc": "2025-06-15 22:20:00"}), "on its grid"),
        (an_answer({"period_utc": "22:00 - 22:30"}), "a quarter"),
        (an_answer({"period_utc": None}), "period_utc is written as"),
        (an_answer({}, {"rce_pln": 439.59}), "two prices"),
    ],
)
def test_an_answer_that_cannot_be_read_is_refused_with_its_row(text: str, fault: str) -> None:
    with pytest.raises(BadTable, match=fault):
        read_rce(text, ".json")


def test_csv_has_the_start_of_a_quarter_in_utc_and_may_say_the_period() -> None:
    short = f"start_s,pln_per_mwh\n{START_S},439.58\n{START_S + 900},-0.5\n"
    assert read_rce(short, ".csv").quarters == {START_S: 43_958, START_S + 900: -50}
    assert read_rce(short.replace("\n", "\r\n"), ".csv").quarters[START_S] == 43_958
    long = f"start_s,period_s,pln_per_mwh\n{START_S},3600,7\n{START_S + 3600},900,8\n"
    found = read_rce(long, ".csv")
    assert found.hour_sum(START_S, "none") == 4 * 700
    assert found.quarters[START_S + 3600] == 800
    assert len(found.quarters) == 5


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"{START_S},439.58\n", "begins with the heading"),
        (f"start_s;pln_per_mwh\n{START_S};1\n", "begins with the heading"),
        (f"start_s,pln_per_mwh\n{START_S},1\n\n", "row 2: expected"),
        (f"start_s,pln_per_mwh\n{START_S},900,1\n", "row 1: expected"),
        (f"start_s,period_s,pln_per_mwh\n{START_S},1\n", "row 1: expected"),
        (f"start_s,pln_per_mwh\n{START_S},1,5\n", "row 1: expected"),
        (f"start_s,pln_per_mwh\n{START_S},\n", "row 1: expected"),
        (f"start_s,pln_per_mwh\n{START_S},+1\n", "row 1: expected"),
        (f"start_s,pln_per_mwh\n{START_S},1.\n", "row 1: '1.' is not a plain decimal"),
        (f"start_s,pln_per_mwh\n{START_S},0.43958\n", "row 1: .*decimals"),
        (f"start_s,pln_per_mwh\n{START_S + 60},1\n", "row 1: .*on its grid"),
        (f"start_s,period_s,pln_per_mwh\n{START_S + 900},3600,1\n", "row 1: .*on its grid"),
        (f"start_s,period_s,pln_per_mwh\n{START_S},1800,1\n", "row 1: .*on its grid"),
        (f"start_s,pln_per_mwh\n{START_S},50001\n", "out of limits"),
        (f"start_s,pln_per_mwh\n{START_S},1\n{START_S},2\n", "two prices"),
        ("start_s,pln_per_mwh\n900,1\n", "years 2020 to 2099"),
    ],
)
def test_a_csv_of_prices_that_is_wrong_names_its_row(text: str, fault: str) -> None:
    with pytest.raises(BadTable, match=fault):
        read_rce(text, ".csv")


def test_only_json_and_csv_are_read_and_no_file_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BadTable, match=r"'\.xlsx'"):
        read_rce("", ".xlsx")
    text = an_answer({})
    monkeypatch.setattr(market, "TEXT_CHARS_MAX", len(text))
    assert read_rce(text, ".json").quarters
    with pytest.raises(BadTable, match="split the file"):
        read_rce(text + " ", ".json")


def sample_day(day: date) -> Rce:
    """A day of the sample. Its labels are local and say the end of a quarter: start + 15 minutes.

    Labels that two quarters share, in the repeated hour of autumn, tell nothing and are left out.
    """
    rows = json.loads(SAMPLE.read_text("utf-8"), parse_float=Decimal, parse_int=Decimal)["rows"]
    named: dict[str, list[int]] = {}
    for hour in hours_of(day):
        for start_s in range(hour.start_s, hour.start_s + HOUR_S, QUARTER_S):
            local = datetime.fromtimestamp(start_s, UTC).astimezone(ZONE).replace(tzinfo=None)
            named.setdefault((local + timedelta(minutes=15)).isoformat(), []).append(start_s)
    lines = [
        f"{starts[0]},{rows[label] * 1000:.2f}"
        for label, starts in named.items()
        if len(starts) == 1
    ]
    return read_rce("\n".join(["start_s,pln_per_mwh", *lines]), ".csv")


@pytest.mark.parametrize(
    ("day", "quarters"),
    [
        ("2024-07-01", 96),
        ("2025-01-01", 96),
        ("2025-03-30", 92),
        ("2025-09-30", 96),
        ("2025-10-01", 96),
        ("2025-10-26", 92),
        ("2026-04-05", 96),
    ],
)
def test_days_of_the_real_sample_lie_on_the_quarters_of_their_day(day: str, quarters: int) -> None:
    assert len(sample_day(date.fromisoformat(day)).quarters) == quarters


def test_the_spring_day_has_a_price_for_each_of_its_23_hours() -> None:
    day = date(2025, 3, 30)
    found = sample_day(day)
    assert len([found.hour_sum(hour.start_s, "quarter") for hour in hours_of(day)]) == 23


def test_the_repeated_hour_that_the_sample_lost_is_missing_and_not_zero() -> None:
    day = date(2025, 10, 26)
    found = sample_day(day)
    for hour in hours_of(day):
        if hour.label == "3":
            with pytest.raises(NoRate):
                found.hour_sum(hour.start_s, "quarter")
        else:
            assert found.hour_sum(hour.start_s, "quarter") >= 0


def test_until_september_2025_the_four_quarters_of_an_hour_are_equal_and_then_no_more() -> None:
    def equal_hours(day: date) -> int:
        found = sample_day(day).quarters
        return sum(
            len({found[hour.start_s + n * QUARTER_S] for n in range(4)}) == 1
            for hour in hours_of(day)
        )

    assert equal_hours(date(2025, 9, 30)) == 24
    assert equal_hours(date(2025, 10, 1)) < 12


MONTH = """
[[month]]
month = "2023-10"
source = "a test"
versions = [
  { pln_per_mwh = "311.67", published_on = 2023-11-11 },
  { pln_per_mwh = "329.25", published_on = 2024-02-11 },
]
"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[month", "not TOML"),
        ("month = 1", "nothing else"),
        ("", "nothing else"),
        (MONTH + MONTH, "entry 2: 2023-10 is there twice"),
        (MONTH.replace('"a test"', '""'), "source is a text"),
        (MONTH.replace("2023-10", "2023-13"), "entry 1: month is written as"),
        (MONTH.replace("2024-02-11", '"2024-02-11"'), "published_on is a day"),
        (MONTH.replace('"311.67"', "311.67"), "pln_per_mwh is a text"),
        (MONTH.replace("311.67", "311,67"), "not a plain decimal"),
        (MONTH.replace("311.67", "-311.67"), "not a plain decimal"),
        (MONTH.replace("311.67", "0.31167"), "decimals"),
        (MONTH.replace("published_on = 2024-02-11", "on = 2024-02-11"), "published_on is missing"),
        (MONTH.replace("2024-02-11", "2023-11-11"), "order of their publication"),
        ('[[month]]\nmonth = "2023-10"\nsource = "a"\nversions = []', "at least once"),
    ],
)
def test_monthly_prices_that_are_wrong_name_their_entry(text: str, fault: str) -> None:
    with pytest.raises(BadTable, match=fault):
        read_rcem(text)
