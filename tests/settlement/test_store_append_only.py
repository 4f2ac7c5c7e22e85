"""What may never be changed or removed, and versions of prices, lists, substitutes and totals."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from settlement.rules.estimation import MEAN_OF_COMPARABLE_DAYS, Substitute
from settlement.rules.ledger import BOOKED, DEPOSIT, Entry
from settlement.rules.market import RcemVersion
from settlement.rules.periods import Month, Period
from settlement.rules.totals import Totals
from settlement.store import (
    Store,
    corrections,
    inbox,
    invoices,
    ledger,
    prices,
    readings,
    settlings,
    substitutes,
    totals,
)
from settlement.store.prices import StoredList
from settlement.store.readings import Reading, frame_order
from tests.support.settlement import JULY, METER_ID, PPE
from wire import quality as grades

ENTRY = Entry(DEPOSIT, BOOKED, Month(2024, 6), Month(2024, 7), 500, "", "5 kWh")
SUBSTITUTE = Substitute(
    METER_ID, "1.8.0", 900, 900, 25, grades.ESTIMATED, MEAN_OF_COMPARABLE_DAYS, 1
)
RCEM = RcemVersion(Month(2026, 7), Decimal("250.00"), date(2026, 8, 11), "a test")
APPEND_ONLY = (
    "invoices",
    "settlings",
    "corrections",
    "ledger",
    "imports",
    "rcem",
    "rce",
    "price_lists",
    "substitutes",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A database with a row in every table that is only appended to."""
    opened = Store(tmp_path / "s.db")
    with opened.writing() as connection:
        horizon = settlings.horizon_now(connection)
        number = settlings.add(
            connection, ppe=PPE, settled_s=10, point_version=1, horizon=horizon, rules="r"
        )
        invoice = invoices.add(
            connection,
            ppe=PPE,
            start="2024-07-01",
            end="2024-08-01",
            point_version=1,
            issued_s=10,
            body=b"{}",
            known_on="2024-08-01",
            settling_id=number,
        )
        corrections.add(
            connection,
            invoice_id=invoice.invoice_id,
            start="2024-07-01",
            settling_id=number,
            reason="readings",
            issued_s=10,
            body=b"{}",
        )
        ledger.add(
            connection, ppe=PPE, settling_id=number, recorded_s=10, entries=[(ENTRY, "FV-1")]
        )
        import_id = prices.add_import(connection, prices.RCEM, "f", b"\0", 10)
        prices.add_rcem(connection, import_id, [RCEM])
        prices.add_rce(connection, import_id, {0: 100, 900: 200})
        prices.add_list(connection, import_id, StoredList("seller_a", ".csv", "one"))
        substitutes.add(connection, [SUBSTITUTE], 10)
    yield opened
    opened.close()


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_no_row_of_it_is_ever_changed_or_removed(store: Store, table: str) -> None:
    with store.reading() as connection:
        column = connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchone()[0]
        before = connection.execute(f"SELECT * FROM {table}").fetchall()
    assert before
    for change in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
        with pytest.raises(sqlite3.IntegrityError, match="never"), store.writing() as connection:
            connection.execute(change)
    with store.reading() as connection:
        assert connection.execute(f"SELECT * FROM {table}").fetchall() == before


def test_documents_have_running_numbers_of_their_own_kind(store: Store) -> None:
    with store.writing() as connection:
        assert invoices.next_number(connection, "2024-08-01") == "FV-2024-08-000002"
        assert corrections.next_number(connection, "2024-07-01") == "FK-2024-07-000002"
        first = corrections.by_number(connection, "FK-2024-07-000001")
    assert first is not None
    assert (first.corrects, first.ppe, first.reason) == ("FV-2024-07-000001", PPE, "readings")


def test_a_ledger_entry_comes_back_as_it_was_entered(store: Store) -> None:
    with store.reading() as connection:
        (found,) = ledger.of_point(connection, PPE)
        assert ledger.of_document(connection, "FV-1") == [found]
        assert ledger.of_document(connection, "FV-2") == []
    assert (found.entry, found.recorded_s) == (ENTRY, 10)


def test_the_newest_price_of_a_quarter_counts_and_the_older_one_is_found_by_its_import(
    store: Store,
) -> None:
    with store.writing() as connection:
        before = prices.rce_stamp(connection, 0, 1800)
        second = prices.add_import(connection, prices.RCE, "g", b"\0", 20)
        prices.add_rce(connection, second, {900: -300, 1800: 1})
        assert prices.rce(connection, 0, 1800) == {0: 100, 900: -300}
        assert prices.rce(connection, 0, 1800, second - 1) == {0: 100, 900: 200}
        assert prices.rce(connection, 0, 1801) == {0: 100, 900: -300, 1800: 1}
        assert prices.rce_stamp(connection, 0, 1800) != before
        assert prices.rce_stamp(connection, 0, 900) == (1, 1)


def test_the_newest_list_of_a_name_counts_and_the_older_one_is_found_by_its_import(
    store: Store,
) -> None:
    newer, other = StoredList("seller_a", ".csv", "two"), StoredList("seller_b", ".toml", "b")
    with store.writing() as connection:
        for text in (newer, other):
            import_id = prices.add_import(connection, prices.PRICE_LIST, "l", b"\0", 20)
            prices.add_list(connection, import_id, text)
        assert prices.lists(connection) == (newer, other)
        assert prices.lists(connection, 2) == (newer,)
        assert prices.lists(connection, 1) == (StoredList("seller_a", ".csv", "one"),)
        assert prices.lists(connection, 0) == ()


def test_a_published_rcem_comes_back_as_it_was_read_in(store: Store) -> None:
    with store.reading() as connection:
        assert prices.rcem(connection) == (RCEM,)
        assert prices.rcem(connection, 0) == ()


def test_every_version_of_a_substitute_is_kept(store: Store) -> None:
    second = replace(SUBSTITUTE, version=2, energy_wh=30)
    with store.writing() as connection:
        before = substitutes.stamp(connection, METER_ID, "1.8.0", 0, 1800)
        assert substitutes.last_version(connection, METER_ID, "1.8.0", 0, 900) == 0
        assert substitutes.last_version(connection, METER_ID, "1.8.0", 0, 901) == 1
        substitutes.add(connection, [second], 20)
        assert substitutes.within(connection, METER_ID, "1.8.0", 0, 1800) == [SUBSTITUTE, second]
        assert substitutes.within(connection, METER_ID, "1.8.0", 0, 1800, 1) == [SUBSTITUTE]
        assert substitutes.within(connection, METER_ID, "2.8.0", 0, 1800) == []
        assert substitutes.stamp(connection, METER_ID, "1.8.0", 0, 1800) != before


def test_a_version_of_a_substitute_is_stored_once(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError), store.writing() as connection:
        substitutes.add(connection, [SUBSTITUTE], 20)


def test_readings_of_later_batches_are_left_out_when_asked(store: Store) -> None:
    with store.writing() as connection:
        for energy_wh in (100, 150):
            batch_id = inbox.open_batch(
                connection,
                key=f"k{energy_wh}",
                body_sha256=b"\0" * 32,
                gateway_id="gw-1",
                first_id=1,
                last_id=1,
                received_s=0,
            )
            reading = Reading(900, 900, energy_wh, 0, energy_wh)
            order = frame_order(0, energy_wh)
            readings.add(connection, METER_ID, "1.8.0", [reading], order, batch_id)
        for up_to, expected in ((None, [150]), (2, [150]), (1, [100]), (0, [])):
            found = readings.intervals(connection, METER_ID, "1.8.0", 0, 1800, up_to)
            assert [each.energy_wh for each in found] == expected
        assert readings.stamp(connection, METER_ID, "1.8.0", 0, 1800) == (2, 2)
        assert readings.stamp(connection, METER_ID, "1.8.0", 0, 900) == (0, 0)


def test_totals_are_found_only_by_the_fingerprint_they_were_made_of(store: Store) -> None:
    made = Totals(JULY, {"all_day": 5}, {}, {"all_day": 4}, {"all_day": 1}, value=2**62)
    with store.writing() as connection:
        totals.put(connection, PPE, b"a", made)
        assert totals.find(connection, PPE, JULY, b"a") == made
        assert totals.find(connection, PPE, JULY, b"b") is None
        other = Period(JULY.start, date(2024, 7, 31))
        assert totals.find(connection, PPE, other, b"a") is None
        totals.put(connection, PPE, b"b", made)
        assert totals.find(connection, PPE, JULY, b"a") is None
