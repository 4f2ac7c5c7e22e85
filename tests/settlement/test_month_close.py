"""The month close: who is billed for what, refused points that stop nobody, and a kill half-way."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from settlement import close, closing, laws, points
from settlement.closing import Round, close_month, correct_all, due
from settlement.rules.contract import Contract
from settlement.rules.periods import Month, Period
from settlement.store import Store, StoreBusy, invoices, outcomes
from settlement.store.outcomes import Outcome
from tests.support.settled import all_corrections, at, month, put, told
from tests.support.settlement import (
    PPE,
    PROJECT,
    TOKEN,
    a_contract,
    a_form,
    a_point_form,
    a_ppe,
)

JULY = Month(2024, 7)
TIMEOUT_S = 60


def ppe_of(number: int) -> str:
    return a_ppe(f"59032240000000{number:03d}")


def meter_of(number: int) -> str:
    return f"00112233445566{number:02x}"


def household(store: Store, number: int, *contracts: points.ContractForm, **skip: Any) -> None:
    """A point whose meter has told July."""
    form = a_point_form(*contracts, meters=[(meter_of(number), 0, None)])
    put(store, form, ppe_of(number))
    told(store, month("2024-07"), 100 + number, meter_id=meter_of(number), **skip)


def a_round(store: Store, **changes: Any) -> Round:
    return Round(store, laws.shipped(), lambda: at("2024-08-01"), **changes)


def documents(store: Store) -> list[tuple[str, str, bytes]]:
    with store.reading() as connection:
        rows = connection.execute("SELECT number, ppe, body FROM invoices ORDER BY invoice_id")
        return rows.fetchall()


def days(*periods: tuple[str, str]) -> tuple[Period, ...]:
    return tuple(Period(date.fromisoformat(one), date.fromisoformat(two)) for one, two in periods)


def a_run(*spans: tuple[str, str | None], **changes: Any) -> list[Contract]:
    """Contracts one after another."""
    return [
        a_contract(
            valid_from=date.fromisoformat(start),
            valid_to=None if end is None else date.fromisoformat(end),
            **changes,
        )
        for start, end in spans
    ]


@pytest.mark.parametrize(
    ("contracts", "expected"),
    [
        (a_run(("2024-01-01", None)), days(("2024-07-01", "2024-08-01"))),
        (a_run(("2024-07-10", None)), days(("2024-07-10", "2024-08-01"))),
        (a_run(("2024-08-01", None)), ()),
        (a_run(("2024-01-01", "2024-07-01")), ()),
        (a_run(("2024-01-01", "2024-07-02")), days(("2024-07-01", "2024-07-02"))),
        (a_run(("2024-01-01", "2024-08-01")), days(("2024-07-01", "2024-08-01"))),
        (a_run(("2024-01-01", "2024-08-02")), days(("2024-07-01", "2024-08-01"))),
        (a_run(("2024-01-01", None), readout_months=2), ()),
        (a_run(("2024-02-01", None), readout_months=2), days(("2024-06-01", "2024-08-01"))),
        (a_run(("2024-06-20", None), readout_months=2), days(("2024-06-20", "2024-08-01"))),
        (a_run(("2024-02-10", None), readout_months=6), days(("2024-02-10", "2024-08-01"))),
        (a_run(("2023-02-01", None), readout_months=6), days(("2024-02-01", "2024-08-01"))),
        (a_run(("2022-08-01", None), readout_months=12), days(("2023-08-01", "2024-08-01"))),
        (a_run(("2022-07-01", None), readout_months=12), ()),
        (
            a_run(("2024-01-01", "2024-07-20"), readout_months=12),
            days(("2024-01-01", "2024-07-20")),
        ),
        (
            a_run(("2024-01-01", "2024-07-15"), ("2024-07-15", None)),
            days(("2024-07-01", "2024-08-01")),
        ),
        (
            a_run(("2024-01-01", "2024-07-15"), ("2024-07-16", None)),
            days(("2024-07-01", "2024-07-15"), ("2024-07-16", "2024-08-01")),
        ),
    ],
)
def test_a_point_is_billed_for_the_period_that_ends_in_the_month(
    contracts: Sequence[Contract], expected: tuple[Period, ...]
) -> None:
    assert due(contracts, JULY) == expected


@pytest.mark.parametrize("changes", [{"seller": "other"}, {"readout_months": 2}])
def test_another_seller_or_another_cycle_begins_a_period_of_its_own(
    changes: dict[str, Any],
) -> None:
    change = date(2024, 7, 15)
    contracts = [a_contract(valid_to=change), a_contract(valid_from=change, **changes)]
    first, *rest = due(contracts, JULY)
    assert first == Period(date(2024, 7, 1), change)
    monthly = "seller" in changes
    assert rest == ([Period(change, date(2024, 8, 1))] if monthly else [])


def test_every_point_is_billed_once_however_often_the_month_is_closed(store: Store) -> None:
    for number in (1, 2, 3):
        household(store, number)
    heard: list[Outcome] = []
    first = close_month(a_round(store, told=heard.append), JULY)
    assert first.states == Counter({closing.ISSUED: 3})
    assert [each.ppe for each in heard] == [ppe_of(1), ppe_of(2), ppe_of(3)]
    before = documents(store)
    assert close_month(a_round(store), JULY).states == Counter({closing.THERE: 3})
    assert documents(store) == before
    assert [number for number, _, _ in before] == [f"FV-2024-07-{n:06d}" for n in (1, 2, 3)]


def test_refused_points_stop_nobody_and_are_told_by_reason(store: Store) -> None:
    household(store, 1, skip=lambda day: day.day == 3)
    household(store, 2)
    household(store, 3, a_form(price_list="nowhere", unit_price_pln_per_kwh=None))
    household(store, 4, a_form(valid_from=date(2024, 8, 1)))
    summary = close_month(a_round(store), JULY)
    assert summary.states == Counter(
        {closing.REFUSED: 2, closing.ISSUED: 1, closing.NOTHING_DUE: 1}
    )
    with store.reading() as connection:
        refused = list(outcomes.of_run(connection, summary.run_id, closing.REFUSED))
    assert [(each.ppe, each.reason) for each in refused] == [
        (ppe_of(1), "incomplete"),
        (ppe_of(3), "no_rate"),
    ]
    assert "ask the meter" in refused[0].detail
    assert "price list" in refused[1].detail


def test_a_refused_point_is_billed_by_the_next_run_once_it_is_put_right(store: Store) -> None:
    household(store, 1, skip=lambda day: day.day == 3)
    household(store, 2)
    assert close_month(a_round(store), JULY).states[closing.REFUSED] == 1
    told(store, month("2024-07"), 101, meter_id=meter_of(1), counter=1000)
    again = close_month(a_round(store), JULY)
    assert again.states == Counter({closing.ISSUED: 1, closing.THERE: 1})
    with store.reading() as connection:
        assert list(outcomes.of_run(connection, again.run_id, closing.REFUSED)) == []


def test_only_the_points_that_are_named_are_billed(store: Store) -> None:
    household(store, 1)
    household(store, 2)
    named = a_round(store, only=[ppe_of(2), ppe_of(9), "123"])
    summary = close_month(named, JULY)
    assert summary.states == Counter({closing.ISSUED: 1, closing.REFUSED: 2})
    with store.reading() as connection:
        refused = outcomes.of_run(connection, summary.run_id, closing.REFUSED)
        assert {each.reason for each in refused} == {"bad_ppe", "unknown_point"}
    assert [ppe for _, ppe, _ in documents(store)] == [ppe_of(2)]


def test_a_change_of_the_seller_gives_an_invoice_of_each(store: Store) -> None:
    change = date(2024, 7, 15)
    household(store, 1, a_form(valid_to=change), a_form(valid_from=change, seller="other"))
    assert close_month(a_round(store), JULY).states == Counter({closing.ISSUED: 1})
    with store.reading() as connection:
        found = invoices.all_of(connection, ppe_of(1))
    assert [(each.start, each.end) for each in found] == [
        ("2024-07-01", "2024-07-15"),
        ("2024-07-15", "2024-08-01"),
    ]
    assert [json.loads(each.body)["seller"] for each in found] == ["tauron", "other"]


def test_a_fault_of_ours_at_one_point_is_told_and_the_others_are_billed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    household(store, 1)
    household(store, 2)
    whole = close.issue

    def faulty(to: Store, law: Any, ppe: str, *rest: Any) -> Any:
        assert ppe != ppe_of(1), "a broken invariant"
        return whole(to, law, ppe, *rest)

    monkeypatch.setattr(close, "issue", faulty)
    summary = close_month(a_round(store), JULY)
    assert summary.states == Counter({closing.REFUSED: 1, closing.ISSUED: 1})
    with store.reading() as connection:
        (fault,) = outcomes.of_run(connection, summary.run_id, closing.REFUSED)
    assert fault.reason == "internal_error"
    assert "a broken invariant" in fault.detail


def test_a_database_that_fails_ends_the_run_since_nobody_would_fare_better(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    household(store, 1)

    def busy(*_: Any) -> Any:
        raise StoreBusy("in use")

    monkeypatch.setattr(close, "issue", busy)
    with pytest.raises(StoreBusy):
        close_month(a_round(store), JULY)


def test_points_come_in_order_a_few_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "POINTS_AT_ONCE", 2)
    for number in (3, 1, 5, 2, 4):
        put(store, a_point_form(meters=[(meter_of(number), 0, None)]), ppe_of(number))
    assert list(closing.every_point(store)) == [ppe_of(number) for number in (1, 2, 3, 4, 5)]
    summary = close_month(a_round(store), JULY)
    assert summary.states == Counter({closing.REFUSED: 5})
    with store.reading() as connection:
        assert len(list(outcomes.of_run(connection, summary.run_id, closing.REFUSED))) == 5


def test_a_round_of_corrections_finds_those_that_are_due(store: Store) -> None:
    household(store, 1)
    household(store, 2)
    close_month(a_round(store), JULY)
    told(store, month("2024-07"), 300, meter_id=meter_of(2), counter=1000)
    assert correct_all(a_round(store)).states == Counter(
        {closing.UNCHANGED: 1, closing.CORRECTED: 1}
    )
    assert len(all_corrections(store, ppe_of(2))) == 1
    assert correct_all(a_round(store)).states == Counter({closing.UNCHANGED: 2})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(TOKEN, encoding="ascii")
    (tmp_path / "token").chmod(0o600)
    path = tmp_path / "settlement.toml"
    path.write_text('[store]\npath = "settlement.db"\n[auth]\ntoken_file = "token"\n')
    return path


@pytest.fixture
def many(config: Path) -> int:
    """A database of points that have told July, closed for other programs."""
    count = 40
    store = Store(config.parent / "settlement.db")
    for number in range(count):
        household(store, number)
    store.close()
    return count


def closer(config: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "settlement",
            "close",
            "--month",
            "2024-07",
            "--config",
            str(config),
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def issued_so_far(config: Path) -> int:
    with sqlite3.connect(config.parent / "settlement.db", timeout=TIMEOUT_S) as connection:
        return int(connection.execute("SELECT count(*) FROM invoices").fetchone()[0])


def test_a_close_that_is_killed_goes_on_where_it_was(config: Path, many: int) -> None:
    uninterrupted = Store(config.parent / "copy.db")
    for number in range(many):
        household(uninterrupted, number)
    close_month(a_round(uninterrupted), JULY)
    expected = documents(uninterrupted)
    uninterrupted.close()

    for at_least in (3, 15):
        running = closer(config)
        deadline_s = time.monotonic() + TIMEOUT_S
        while issued_so_far(config) < at_least:
            assert time.monotonic() < deadline_s
            assert running.poll() is None or issued_so_far(config) >= at_least
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=TIMEOUT_S)
        assert running.returncode == -signal.SIGKILL
        assert issued_so_far(config) < many

    running = closer(config)
    out, _ = running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == 0
    assert "billed before" in out
    store = Store(config.parent / "settlement.db")
    assert documents(store) == expected
    with store.reading() as connection:
        settled = connection.execute("SELECT count(*) FROM settlings").fetchone()[0]
        ended = connection.execute("SELECT ended_s IS NULL FROM runs ORDER BY run_id").fetchall()
    store.close()
    assert settled == many
    assert ended == [(1,), (1,), (0,)]
    assert PPE not in out
