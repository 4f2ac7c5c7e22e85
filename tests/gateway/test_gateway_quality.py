"""How well meters communicate: what counts, what does not, and that nothing is counted twice."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.__main__ import main
from gateway.journal import Row
from gateway.outages import indicators, quality_book
from gateway.outages.indicators import (
    DAY_S,
    TIMELY_S,
    Came,
    Counts,
    Days,
    count,
    intervals_of,
    permille,
)
from gateway.outages.quality_book import QualityBook
from gateway.store import Store, connect
from tests.support.gateway import START_S, Client, a_gateway, a_home, a_meter, a_profile
from wire import messages
from wire.messages import EVENT_BOOT, Event
from wire.quality import ESTIMATED, GAP, IMPLAUSIBLE, MEASURED, MISSING

A, B = a_meter(1), a_meter(2)
DAY = START_S // DAY_S
NEXT_DAY_S = START_S + DAY_S + 1  # "now": START_S begins yesterday


def a_row(message: object, received_s: int = START_S) -> Row:
    return Row(1, A.meter_id, 0, 0, received_s, messages.encode(message))


def a_database(folder: Path) -> sqlite3.Connection:
    a_home(folder, A, B)
    return connect(folder / "gateway.db")


def put(connection: sqlite3.Connection, meter_id: bytes, *rows: Row) -> None:
    days = Days()
    for row in rows:
        days.add(meter_id, intervals_of(row))
    days.write(connection)


def yesterday(connection: sqlite3.Connection, now_s: int = NEXT_DAY_S) -> Counts:
    row = next(r for r in indicators.rows(connection, now_s, A.meter_id) if r["period"] == "1_day")
    return Counts(*(int(str(row[name])) for name in Counts._fields))


# -- what counts


@pytest.mark.parametrize(("late_s", "timely"), [(TIMELY_S, True), (TIMELY_S + 1, False)])
def test_an_interval_is_in_time_within_a_day_after_its_end(late_s: int, timely: bool) -> None:
    (one,) = intervals_of(a_row(a_profile(), START_S + 900 + late_s))
    assert one == Came(START_S, 900, timely, True)


@pytest.mark.parametrize(
    ("quality", "measured"),
    [(MEASURED, True), (MEASURED | GAP, True), (ESTIMATED, False), (MEASURED | IMPLAUSIBLE, False)],
)
def test_correct_is_what_was_measured_and_is_plausible(quality: int, measured: bool) -> None:
    (one,) = intervals_of(a_row(a_profile(quality=(quality,))))
    assert one.measured is measured


def test_an_interval_that_the_meter_calls_missing_did_not_come() -> None:
    came = intervals_of(a_row(a_profile(intervals=3, quality=(MEASURED, MISSING, MEASURED))))
    assert [one.start_s for one in came] == [START_S, START_S + 1800]


def test_messages_that_are_no_profile_bring_no_interval() -> None:
    assert intervals_of(a_row(Event(START_S, EVENT_BOOT, (1, 1), 1))) == []


# -- counting


def test_a_full_day_is_complete_timely_and_correct(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    put(connection, A.meter_id, a_row(a_profile(intervals=96)))
    assert yesterday(connection) == Counts(96, 96, 96, 96)
    connection.close()


def test_what_is_missing_counts_as_required_and_never_as_zero(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    put(connection, A.meter_id, a_row(a_profile(first=1, intervals=10)), a_row(a_profile(first=21)))
    assert yesterday(connection) == Counts(96, 11, 11, 11)
    connection.close()


def test_a_day_without_any_interval_is_all_missing(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    put(connection, A.meter_id, a_row(a_profile()))
    assert yesterday(connection, NEXT_DAY_S + DAY_S) == Counts(96, 0, 0, 0)
    row = indicators.rows(connection, NEXT_DAY_S + DAY_S, A.meter_id)[0]
    assert (row["completeness_permille"], row["timeliness_permille"]) == (0, None)
    connection.close()


def test_nothing_is_required_before_a_meters_first_interval(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    put(connection, A.meter_id, a_row(a_profile(first=49, intervals=48)))
    assert yesterday(connection) == Counts(48, 48, 48, 48)
    connection.close()


def test_an_interval_that_comes_twice_counts_once_and_its_best_word_stays(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    late = START_S + 3 * DAY_S
    put(connection, A.meter_id, a_row(a_profile(quality=(ESTIMATED,)), late))
    put(connection, A.meter_id, a_row(a_profile(quality=(MEASURED,)), late))
    put(connection, A.meter_id, a_row(a_profile(quality=(ESTIMATED,)), START_S + 900))
    assert yesterday(connection) == Counts(96, 1, 1, 1)
    connection.close()


def test_late_intervals_mend_the_days_that_lacked_them(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    put(connection, A.meter_id, a_row(a_profile(first=1, intervals=40)))
    assert yesterday(connection).received == 40
    late = a_row(a_profile(first=41, intervals=56), START_S + DAY_S + TIMELY_S)
    put(connection, A.meter_id, late)
    assert yesterday(connection) == Counts(96, 96, 41, 96)  # of the late ones, only the last
    connection.close()


def test_a_changed_capture_period_is_counted_in_its_own_intervals(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    hourly = a_profile(first=49, start_s=START_S + DAY_S // 2, capture_period_s=3600, intervals=6)
    put(connection, A.meter_id, a_row(a_profile(intervals=48)), a_row(hourly))
    assert yesterday(connection) == Counts(48 + 12, 48 + 6, 48 + 6, 48 + 6)
    connection.close()


def test_a_profile_across_midnight_belongs_to_both_days(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    put(connection, A.meter_id, a_row(a_profile(first=1)), a_row(a_profile(first=90, intervals=20)))
    assert yesterday(connection).received == 8
    assert yesterday(connection, NEXT_DAY_S + DAY_S).received == 13
    connection.close()


def test_the_five_days_and_the_month_end_yesterday(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    for day in (0, 1, 4, 5, 28, 29, 30):
        put(connection, A.meter_id, a_row(a_profile(first=1 + 96 * day, intervals=96)))
    now_s = START_S + 30 * DAY_S
    received = {
        row["period"]: (row["received"], row["required"])
        for row in indicators.rows(connection, now_s, A.meter_id)
    }
    assert received == {
        "1_day": (96, 96), "5_days": (2 * 96, 5 * 96), "1_month": (6 * 96, 30 * 96)
    }  # fmt: skip
    connection.close()


def test_all_meters_together_are_the_sum_and_not_the_mean(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    put(connection, A.meter_id, a_row(a_profile(intervals=96)))
    put(connection, B.meter_id, a_row(a_profile(first=89, intervals=2)))
    row = indicators.overall(connection, NEXT_DAY_S)[0]
    assert (row["received"], row["required"]) == (98, 104)
    assert row["completeness_permille"] == 942
    connection.close()


def test_a_decommissioned_meter_no_longer_lowers_the_whole(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    put(connection, A.meter_id, a_row(a_profile()))
    connection.execute("UPDATE meter SET state = 'decommissioned'")
    assert indicators.overall(connection, NEXT_DAY_S)[0]["required"] == 0
    connection.close()


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(0, 0, None), (0, 5, 0), (999_999, 1_000_000, 999), (5, 5, 1000)],
)
def test_a_per_mille_is_rounded_down_and_nothing_of_nothing_is_not_zero(
    part: int, whole: int, expected: int | None
) -> None:
    assert permille(part, whole) == expected


def test_days_that_no_indicator_looks_at_are_let_go(tmp_path: Path) -> None:
    connection = a_database(tmp_path)
    put(connection, A.meter_id, a_row(a_profile()), a_row(a_profile(first=97)))
    indicators.prune(connection, (DAY + indicators.KEEP_DAYS) * DAY_S)
    assert connection.execute("SELECT count(*) FROM quality_day").fetchone() == (2,)
    indicators.prune(connection, (DAY + 1 + indicators.KEEP_DAYS) * DAY_S)
    assert connection.execute("SELECT day FROM quality_day").fetchall() == [(DAY + 1,)]
    connection.close()


@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(1, 30)), max_size=12),
    st.sampled_from([60, 300, 900, 1800, 3600]),
)
def test_any_order_and_repetition_gives_the_same_counts_as_a_set(
    spans: list[tuple[int, int]], period_s: int
) -> None:
    days, wanted = Days(), set()
    for first, length in spans:
        starts = [START_S + period_s * (first + index) for index in range(length)]
        days.add(A.meter_id, [Came(start_s, period_s, True, False) for start_s in starts])
        wanted |= set(starts)
    rows = []
    for (_, day, period), bits in days.bits.items():
        received, timely, measured = (each.to_bytes(180, "little") for each in bits)
        rows.append((period, day, received, timely, measured))
    found = count(START_S, period_s, rows, START_S, START_S + 10 * DAY_S)
    assert (found.received, found.timely, found.measured) == (len(wanted), len(wanted), 0)
    assert found.required == 10 * DAY_S // period_s


# -- the task that reads the journal on


def test_the_journal_is_read_on_in_steps_and_a_crash_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality_book, "STEP_ROWS", 4)

    async def send() -> None:
        async with a_gateway(a_home(tmp_path, A)) as service:
            client = await Client.join(service.port, A)
            for number in range(10):
                client.publish(A, A.frame(intervals=2), number + 1)
            for _ in range(10):
                await client.puback()
            await client.close()

    async def read() -> tuple[list[bool], int]:
        store = Store(tmp_path / "gateway.db")
        await store.run(lambda c: c.execute("DELETE FROM quality_day"))
        await store.run(lambda c: c.execute("UPDATE quality_cursor SET journal_id = 0"))
        first = QualityBook(store, lambda: NEXT_DAY_S, lambda: 0.0)
        more = [await first.step()]
        second = QualityBook(store, lambda: NEXT_DAY_S, lambda: 0.0)  # as after a crash
        more += [await second.step(), await second.step(), await second.step()]
        store.close()
        return more, second.lag

    A.counter, A.next_interval = 0, 1
    asyncio.run(send())
    assert asyncio.run(read()) == ([True, True, False, False], 0)
    connection = connect(tmp_path / "gateway.db")
    assert yesterday(connection) == Counts(96, 20, 0, 20)
    connection.close()


def test_a_running_gateway_keeps_the_indicators_and_the_command_shows_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        async with a_gateway(config) as service:
            client = await Client.join(service.port, B)
            client.publish(B, B.frame(intervals=3), 1)
            await client.puback()
            await service.quality.step()
            await client.close()

    B.counter, B.next_interval = 0, 1
    config = a_home(tmp_path, B)
    asyncio.run(story())
    capsys.readouterr()
    assert main(["quality", B.hex_id, "--json", "--config", str(config)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["period"] for row in rows] == ["1_day", "5_days", "1_month"]
    assert rows[0]["required"] == 96, "years later, and nothing came since"
    assert main(["quality", "--config", str(config)]) == 0
    out = capsys.readouterr().out
    assert "complete" in out
    assert "0 ‰" in out
    assert main(["quality", A.hex_id, "--config", str(config)]) == 2
    assert "no interval of meter" in capsys.readouterr().err
