"""Explaining a document: where each figure is from, and that it comes out the same again."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from settlement import close, explain, imports, laws, replay
from settlement.errors import UnknownInvoice
from settlement.rules.errors import NoRate
from settlement.store import Store, invoices, settlings
from tests.support.settled import all_corrections, at, corrected, issued, month, put, told
from tests.support.settlement import PPE, a_form, a_point_form, a_prosumer

JULY, AUGUST = month("2024-07"), month("2024-08")
PRICES = """kind,seller
name,test_2024
groups,G11
source,a price list of the tests
excise_included,no

key,value,unit,valid_from,valid_to
g11.energy.all_day,{price},pln_per_kwh,2024-01-01,
trade_fee,5.00,pln_per_month,2024-01-01,
"""


def told_of(store: Store, number: str) -> dict[str, Any]:
    with store.reading() as connection:
        return explain.explained(connection, laws.shipped(), number)


def the_line(told_document: dict[str, Any], code: str) -> dict[str, Any]:
    (line,) = (each for each in told_document["lines"] if each["code"] == code)
    found: dict[str, Any] = line
    return found


def read_list(store: Store, folder: Path, price: str) -> None:
    path = folder / "list.csv"
    path.write_text(PRICES.format(price=price))
    imports.keep_list(store, laws.shipped(), path, at("2024-08-01"))


@pytest.fixture
def billed(store: Store) -> str:
    put(store, a_point_form())
    told(store, JULY)
    return issued(store, "2024-07", "2024-08-01").number


def test_a_line_is_explained_from_watt_hours_to_grosze(store: Store, billed: str) -> None:
    line = the_line(told_of(store, billed), "active_energy")
    # 31 days x 24 h x 400 Wh = 297.6 kWh.
    assert line["quantity_from"] == {
        "import_wh": 297_600,
        "export_wh": 0,
        "positive_wh": 297_600,
        "negative_wh": 0,
        "billed_wh": 298_000,
        "kwh_rounding": "half_up",
    }
    assert line["quantity"] == "298"
    assert line["amounts"] == {
        "net": "298 x 0.50500 = 150.49000 -> 150.49",
        "vat": "150.49 x 23 % = 34.6127 -> 34.61",
        "gross": "150.49 + 34.61 = 185.10",
    }
    (row,) = line["price_rows"]
    assert (row["table"], row["key"], row["valid_from"]) == (
        "price_cap",
        "household",
        "2024-07-01",
    )
    assert "2024 poz. 859" in row["source"]
    assert line["vat_row"]["value"] == "23"


def test_a_fixed_fee_is_explained_by_how_its_months_count(store: Store, billed: str) -> None:
    told_document = told_of(store, billed)
    assert the_line(told_document, "network_fixed")["quantity_from"] == {"months": "full_month"}
    assert the_line(told_document, "subscription")["quantity_from"] == {"months": "started"}


def test_a_banded_fee_is_explained_by_the_row_of_its_band(store: Store, billed: str) -> None:
    line = the_line(told_of(store, billed), "transitional")
    (row,) = line["price_rows"]
    assert (row["key"], row["value"]) == ("household", "0.33")


def test_a_price_of_a_list_without_excise_is_explained_by_both_rows(
    store: Store, tmp_path: Path
) -> None:
    read_list(store, tmp_path, "0.60000")
    put(
        store,
        a_point_form(
            a_form(price_list="test_2024", unit_price_pln_per_kwh=None, cap_entitled=False)
        ),
    )
    told(store, JULY)
    number = issued(store, "2024-07", "2024-08-01").number
    told_document = told_of(store, number)
    line = the_line(told_document, "active_energy")
    assert line["unit_price_pln"] == "0.60500"
    assert [row["key"] for row in line["price_rows"]] == [
        "g11.energy.all_day",
        "electricity.household",
    ]
    assert line["price_rows"][0]["source"] == "a price list of the tests"
    assert the_line(told_document, "trade_fee")["unit_price_pln"] == "5.00000"


def test_a_prosumer_sees_which_lots_paid(store: Store) -> None:
    put(store, a_point_form(a_prosumer(cap_entitled=False)))
    told(store, month("2024-02"), 100, 700)
    told(store, month("2024-03"), 300, 0, counter=1000)
    issued(store, "2024-02", "2024-03-01")
    told_document = told_of(store, issued(store, "2024-03", "2024-04-12").number)
    kinds = [(each["kind"], each["lot"]) for each in told_document["entries"]]
    assert kinds == [("booked", "2024-02"), ("used", "2024-02")]
    assert told_document["deposit"]["open_gr"] == 0
    assert told_document["replay"]["identical"]


def test_a_correction_is_explained_with_both_sides_and_its_reason(
    store: Store, billed: str
) -> None:
    told(store, JULY, 500, counter=1000)
    corrected(store, "2024-08-02")
    told_document = told_of(store, "FK-2024-07-000001")
    assert (told_document["corrects"], told_document["reason"]) == (billed, "readings")
    assert the_line(told_document, "active_energy")["quantity"] == "372"
    assert the_line(told_document["billed"], "active_energy")["quantity"] == "298"
    assert told_document["difference"]["to_pay_gr"] > 0
    assert told_document["issued_with"] == []
    assert told_document["replay"]["identical"]
    assert told_of(store, billed)["corrected_by"] == ["FK-2024-07-000001"]


@pytest.mark.parametrize("number", ["FV-2024-07-000009", "FK-2024-07-000001", "x" * 100, ""])
def test_a_document_that_is_not_there_is_refused(store: Store, billed: str, number: str) -> None:
    with pytest.raises(UnknownInvoice, match="there is no document"):
        told_of(store, number)


def test_every_document_of_a_long_story_comes_out_the_same_again(
    store: Store, tmp_path: Path
) -> None:
    read_list(store, tmp_path, "0.60000")
    contract = {"price_list": "test_2024", "unit_price_pln_per_kwh": None, "cap_entitled": False}
    put(store, a_point_form(a_prosumer(**contract)))
    told(store, month("2024-02"), 100, 700)
    told(store, month("2024-03"), 300, 0, counter=1000)
    issued(store, "2024-02", "2024-03-01")
    issued(store, "2024-03", "2024-04-12")
    told(store, month("2024-02"), 110, 600, counter=2000)
    told(store, month("2024-04"), 300, 10, counter=3000)
    issued(store, "2024-04", "2024-06-11")
    read_list(store, tmp_path, "0.55000")
    corrected(store, "2024-06-12")
    put(store, a_point_form(a_prosumer(**contract, phases=3, annual_kwh=900)), day="2024-06-13")
    corrected(store, "2024-06-14")
    told(store, month("2024-03"), 310, 0, counter=4000)
    corrected(store, "2024-06-15")
    reasons = {each.reason for each in all_corrections(store)}
    assert {"readings", "rates", "market_price"} <= reasons
    with store.reading() as connection:
        count = connection.execute("SELECT count(*) FROM settlings").fetchone()[0]
        assert count == 6
        for settling_id in range(1, count + 1):
            again = replay.replayed(connection, laws.shipped(), settling_id)
            assert again.differences == ()
            assert again.identical
            assert again.rules_then == again.rules_now == laws.rules_name()


def test_a_replay_that_comes_out_otherwise_says_what(store: Store, billed: str) -> None:
    # What no program of ours does: an input is altered after the fact.
    with store.writing() as connection:
        connection.execute(
            "UPDATE readings SET energy_wh = energy_wh + 600, register_end_wh ="
            " register_end_wh + 600 WHERE start_s = ?",
            (JULY.end_s - 3600,),
        )
    again = told_of(store, billed)["replay"]
    assert not again["identical"]
    assert again["differences"] == (f"{billed} comes out otherwise",)


def test_a_replay_that_is_refused_today_says_why(
    store: Store, billed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise NoRate("no such row any more")

    monkeypatch.setattr(replay, "drafted", refused)
    assert told_of(store, billed)["replay"]["differences"] == (
        "refused today: no such row any more",
    )


def test_a_settling_names_the_rules_and_the_newest_inputs_it_knew(
    store: Store, billed: str
) -> None:
    told(store, AUGUST, counter=1000)
    issued(store, "2024-08", "2024-09-01")
    with store.reading() as connection:
        first, second = (settlings.get(connection, number) for number in (1, 2))
        stored = invoices.by_number(connection, billed)
    assert (first.horizon.batch_id, second.horizon.batch_id) == (1, 2)
    assert stored is not None
    assert stored.settling_id == 1
    assert first.rules.startswith("2+")
    assert date.fromisoformat(stored.known_on or "") == date(2024, 8, 1)
    assert close.correct(store, laws.shipped(), PPE, at("2024-09-02")) == []
