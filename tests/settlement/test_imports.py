"""Market prices and price lists read into the database: once, and whole or not at all."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from settlement import imports, laws, tables
from settlement.imports import Imported
from settlement.rules.errors import BadTable
from settlement.rules.periods import Month
from settlement.store import Store, prices

LAW = laws.shipped()
EXAMPLES = tables.FOLDER / "examples"
RCEM = """[[month]]
month = "2026-07"
source = "a test"
versions = [{ pln_per_mwh = "250.00", published_on = 2026-08-11 }]
"""
LIST = (EXAMPLES / "seller.csv").read_text(encoding="utf-8")


def a_file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def rce_csv(folder: Path, *rows: tuple[int, str]) -> Path:
    lines = [f"{start_s},{price}" for start_s, price in rows]
    return a_file(folder, "rce.csv", "\n".join(["start_s,pln_per_mwh", *lines]))


def imports_of(store: Store) -> list[tuple[str, str]]:
    with store.reading() as connection:
        return connection.execute("SELECT kind, name FROM imports ORDER BY import_id").fetchall()


def test_hourly_prices_are_read_in_once_and_a_corrected_one_is_a_new_version(
    store: Store, tmp_path: Path
) -> None:
    first = rce_csv(tmp_path, (1751320800, "-12.50"), (1751321700, "100.00"))
    expected = Imported("rce", "rce.csv", 2, 2)
    assert imports.keep_prices(store, LAW, first, 10) == expected
    assert imports.keep_prices(store, LAW, first, 20) == Imported("rce", "rce.csv", 2, 0)
    again = rce_csv(tmp_path, (1751320800, "-12.50"), (1751321700, "101.00"))
    assert imports.keep_prices(store, LAW, again, 30).new == 1
    with store.reading() as connection:
        assert prices.rce(connection, 0, 1 << 40) == {1751320800: -1250, 1751321700: 10100}
        rows = connection.execute("SELECT start_s, version FROM rce ORDER BY 1, 2").fetchall()
    assert rows == [(1751320800, 1), (1751321700, 1), (1751321700, 2)]
    assert imports_of(store) == [("rce", "rce.csv")] * 2


def test_an_answer_of_the_operators_api_is_read_in(store: Store, tmp_path: Path) -> None:
    row = {"dtime_utc": "2025-06-15 22:15:00", "period_utc": "22:00 - 22:15", "rce_pln": 31.07}
    path = a_file(tmp_path, "rce.json", json.dumps({"value": [row]}))
    assert imports.keep_prices(store, LAW, path, 10).new == 1
    with store.reading() as connection:
        assert list(prices.rce(connection, 0, 1 << 40).values()) == [3107]


def test_a_monthly_price_counts_from_the_day_it_was_published(store: Store, tmp_path: Path) -> None:
    path = a_file(tmp_path, "rcem.toml", RCEM)
    assert imports.keep_prices(store, LAW, path, 10) == Imported("rcem", "rcem.toml", 1, 1)
    assert imports.keep_prices(store, LAW, path, 20).new == 0
    with store.reading() as connection:
        law = laws.in_force(connection, LAW)
        before = laws.in_force(connection, LAW, 0)
    version = law.rcem.version(Month(2026, 7), date(2026, 8, 11))
    assert version.pln_per_mwh == Decimal("250.00")
    assert before is LAW
    assert law.rcem.version(Month(2024, 2), date(2024, 6, 11)).pln_per_mwh == Decimal("323.17")


def test_a_correction_of_a_monthly_price_is_added_to_those_that_come_with_us(
    store: Store, tmp_path: Path
) -> None:
    text = RCEM.replace("2026-07", "2024-02").replace("2026-08-11", "2024-09-11")
    assert imports.keep_prices(store, LAW, a_file(tmp_path, "r.toml", text), 10).new == 1
    with store.reading() as connection:
        rcem = laws.in_force(connection, LAW).rcem
    assert rcem.version(Month(2024, 2), date(2024, 9, 10)).pln_per_mwh == Decimal("323.17")
    assert rcem.version(Month(2024, 2), date(2024, 9, 11)).pln_per_mwh == Decimal("250.00")


@pytest.mark.parametrize("check", [False, True])
def test_two_prices_of_a_month_published_on_one_day_are_refused(
    store: Store, tmp_path: Path, check: bool
) -> None:
    text = RCEM.replace("2026-07", "2024-02").replace("2026-08-11", "2024-06-11")
    path = a_file(tmp_path, "rcem.toml", text)
    with pytest.raises(BadTable, match="RCEm of 2024-02"):
        if check:
            imports.check_prices(path, LAW)
        else:
            imports.keep_prices(store, LAW, path, 10)
    assert imports_of(store) == []


def test_what_comes_with_us_is_not_new(store: Store) -> None:
    path = tables.FOLDER / "market" / "rcem.toml"
    imported = imports.keep_prices(store, LAW, path, 10)
    assert (imported.new, imports_of(store)) == (0, [])
    assert imported.entries == len(LAW.rcem.versions)


def test_a_price_list_is_in_force_once_it_is_read_in(store: Store, tmp_path: Path) -> None:
    path = a_file(tmp_path, "list.csv", LIST)
    rows = len(imports.read_price_list(path, LAW).rows)
    expected = Imported("price_list", "seller_example", rows, rows)
    assert imports.check_list(path, LAW) == expected
    assert imports.keep_list(store, LAW, path, 10) == expected
    assert imports.keep_list(store, LAW, path, 20).new == 0
    with store.reading() as connection:
        law = laws.in_force(connection, LAW)
    row = law.tables.rate_on("seller_example", "g11.energy.all_day", date(2026, 3, 1))
    assert row.value == Decimal("0.49000")
    assert not row.excise_included


def test_a_list_of_the_same_name_takes_the_place_of_the_older_one(
    store: Store, tmp_path: Path
) -> None:
    for price in ("0.49000", "0.48000"):
        path = a_file(tmp_path, "list.csv", LIST.replace("0.49000", price))
        assert imports.keep_list(store, LAW, path, 10).new > 0
    with store.reading() as connection:
        newest, first = laws.in_force(connection, LAW), laws.in_force(connection, LAW, 1)
    asked = ("seller_example", "g11.energy.all_day", date(2026, 3, 1))
    assert newest.tables.rate_on(*asked).value == Decimal("0.48000")
    assert first.tables.rate_on(*asked).value == Decimal("0.49000")


def test_a_distributors_tariff_is_read_in(store: Store) -> None:
    imported = imports.keep_list(store, LAW, EXAMPLES / "distributor.toml", 10)
    assert imported.name == "distribution_example"
    with store.reading() as connection:
        law = laws.in_force(connection, LAW)
    assert law.tables.knows("distribution_example", "g11.variable.all_day")


@pytest.mark.parametrize("check", [False, True])
def test_a_tariff_that_contradicts_the_tables_is_refused_and_not_kept(
    store: Store, tmp_path: Path, check: bool
) -> None:
    text = (EXAMPLES / "distributor.toml").read_text(encoding="utf-8")
    path = a_file(tmp_path, "d.toml", text.replace('name = "example"', 'name = "tauron"'))
    with pytest.raises(BadTable, match="distribution_tauron"):
        if check:
            imports.check_list(path, LAW)
        else:
            imports.keep_list(store, LAW, path, 10)
    assert imports_of(store) == []
    with store.reading() as connection:
        assert laws.in_force(connection, LAW) is LAW


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("rce.csv", "start_s,pln_per_mwh\n", "holds no price"),
        ("rce.csv", "start_s,pln_per_mwh\n1751320801,1.00\n", "row 1"),
        ("rce.txt", "", "read from .json or .csv"),
        ("rcem.toml", "[[month]]\n", "RCEm, entry 1"),
    ],
)
def test_faulty_prices_are_refused_whole_and_named(
    store: Store, tmp_path: Path, name: str, text: str, fault: str
) -> None:
    path = a_file(tmp_path, name, text)
    with pytest.raises(BadTable, match=fault):
        imports.check_prices(path, LAW)
    with pytest.raises(BadTable, match=fault):
        imports.keep_prices(store, LAW, path, 10)
    assert imports_of(store) == []


def test_a_file_has_a_limit_and_is_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "FILE_BYTES_MAX", 8)
    path = tmp_path / "a.csv"
    for size in (7, 8):
        path.write_bytes(b"x" * size)
        assert len(imports.read_text(path)) == size
    path.write_bytes(b"x" * 9)
    with pytest.raises(BadTable, match="more than 8 bytes"):
        imports.read_text(path)
    path.write_bytes(b"\xff")
    with pytest.raises(BadTable, match="not UTF-8"):
        imports.read_text(path)
