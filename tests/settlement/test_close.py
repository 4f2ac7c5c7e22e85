"""Invoices and corrections of plain households: issued once, and mended by later documents."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

import pytest

from settlement import close, laws, measuring, settling
from settlement.errors import InvoiceOverlaps, UnknownPoint
from settlement.rules.errors import Incomplete, OutsideContract, SellerChanges, UnsupportedTariff
from settlement.rules.invoice import Invoice, as_data
from settlement.rules.periods import Period
from settlement.store import Store, invoices
from settlement.store.invoices import StoredInvoice
from tests.support.settled import (
    all_corrections,
    at,
    body_of,
    corrected,
    issued,
    month,
    put,
    to_pay_gr,
    told,
)
from tests.support.settlement import OTHER_PPE, PPE, a_form, a_point_form
from wire import quality as grades

JULY, AUGUST = month("2024-07"), month("2024-08")
CHEAPER = "0.40000"


def rows(store: Store, table: str) -> int:
    with store.reading() as connection:
        count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


@pytest.fixture
def billed(store: Store) -> StoredInvoice:
    """July of a household outside of the price cap, billed: 400 Wh in every hour."""
    put(store, a_point_form(a_form(cap_entitled=False)))
    told(store, JULY)
    return issued(store, "2024-07", "2024-08-01")


def test_an_invoice_says_what_it_was_settled_from(store: Store, billed: StoredInvoice) -> None:
    assert (billed.number, billed.known_on) == ("FV-2024-07-000001", "2024-08-01")
    assert body_of(billed)["usage"]["import_wh"] == 31 * 24 * 400
    with store.reading() as connection:
        settling = connection.execute(
            "SELECT settling_id, ppe, settled_s, point_version, batch_id, rules FROM settlings"
        ).fetchall()
    assert settling == [
        (billed.settling_id, PPE, at("2024-08-01"), 1, 1, laws.rules_name()),
    ]


def test_the_same_period_is_issued_once_whatever_came_in_since(
    store: Store, billed: StoredInvoice
) -> None:
    told(store, JULY, 500, counter=1000)
    again, new = close.issue(store, laws.shipped(), PPE, JULY, at("2024-08-20"))
    assert (again, new) == (billed, False)
    assert (rows(store, "invoices"), rows(store, "corrections")) == (1, 0)


def test_two_requests_at_once_issue_one_invoice(store: Store) -> None:
    put(store, a_point_form())
    told(store, JULY)
    together = threading.Barrier(4)
    found: list[tuple[StoredInvoice, bool]] = []

    def ask() -> None:
        together.wait()
        found.append(close.issue(store, laws.shipped(), PPE, JULY, at("2024-08-01")))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new for _, new in found) == [False, False, False, True]
    assert len({invoice.number for invoice, _ in found}) == 1


def test_a_late_reading_corrects_the_invoice_before_with_the_next_one(
    store: Store, billed: StoredInvoice
) -> None:
    told(store, JULY, 500, counter=1000)
    told(store, AUGUST, counter=2000)
    issued(store, "2024-08", "2024-09-01")
    (correction,) = all_corrections(store)
    assert (correction.number, correction.corrects) == ("FK-2024-07-000001", billed.number)
    body = body_of(correction)
    assert (body["reason"], body["reason_text"]) == ("readings", "zmiana danych pomiarowych")
    assert body["billed"] == body_of(billed)
    assert body["should_have_been"]["usage"]["import_wh"] == 31 * 24 * 500
    assert body["difference"]["to_pay_gr"] == (
        body["should_have_been"]["summary"]["8_to_pay_gr"] - to_pay_gr(billed)
    )
    assert body["difference"]["to_pay_gr"] > 0
    assert issued(store, "2024-07", "2024-09-02") == billed


def test_corrections_can_be_asked_for_without_an_invoice_and_come_once(
    store: Store, billed: StoredInvoice
) -> None:
    assert corrected(store, "2024-08-02") == []
    told(store, JULY, 500, counter=1000)
    assert corrected(store, "2024-08-03") == ["readings"]
    assert corrected(store, "2024-08-04") == []
    told(store, JULY, 450, counter=2000)
    assert corrected(store, "2024-08-05") == ["readings"]
    first, second = map(body_of, all_corrections(store))
    assert first["billed"] == body_of(billed)
    assert second["billed"] == first["should_have_been"]
    assert second["should_have_been"]["usage"]["import_wh"] == 31 * 24 * 450


def test_what_nobody_sees_on_the_invoice_needs_no_correction(
    store: Store, billed: StoredInvoice
) -> None:
    told(store, JULY, quality=grades.ESTIMATED, counter=1000)
    before = rows(store, "settlings")
    assert corrected(store, "2024-08-02") == []
    assert rows(store, "settlings") == before


def test_a_version_that_tells_more_of_an_invoice_corrects_nobody(
    store: Store, billed: StoredInvoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def more(invoice: Invoice) -> dict[str, Any]:
        data = as_data(invoice)
        data["summary"]["9_of_a_later_version"] = 1
        data["lines"] = [{**line, "of_a_later_version": ""} for line in data["lines"]]
        return data

    monkeypatch.setattr(settling, "as_data", more)
    assert corrected(store, "2024-08-02") == []
    told(store, JULY, 500, counter=1000)
    assert corrected(store, "2024-08-03") == ["readings"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unit_price_pln_per_kwh": CHEAPER}, "contract"),
        ({"seller": "other"}, "contract"),
        ({"annual_kwh": 400}, "rates"),
    ],
)
def test_a_changed_contract_is_corrected_by_its_reason(
    store: Store, billed: StoredInvoice, changes: dict[str, Any], reason: str
) -> None:
    put(store, a_point_form(a_form(cap_entitled=False, **changes)), day="2024-08-02")
    assert corrected(store, "2024-08-03") == [reason]
    with store.reading() as connection:
        versions = connection.execute("SELECT point_version FROM settlings").fetchall()
    assert versions == [(1,), (2,)]


def test_a_refused_period_leaves_nothing_behind(store: Store) -> None:
    put(store, a_point_form())
    told(store, JULY, skip=lambda day: day.day == 7)
    with pytest.raises(Incomplete, match="is missing for 86400 s in 1 gaps"):
        issued(store, "2024-07", "2024-08-01")
    assert all(rows(store, name) == 0 for name in ("invoices", "settlings", "ledger"))


def test_a_point_that_is_not_known_is_refused(store: Store) -> None:
    with pytest.raises(UnknownPoint, match="put its contract first"):
        issued(store, "2024-07", "2024-08-01")
    with pytest.raises(UnknownPoint):
        corrected(store, "2024-08-01")


def test_a_point_without_an_invoice_has_nothing_to_correct(store: Store) -> None:
    put(store, a_point_form())
    assert corrected(store, "2024-08-01") == []
    assert rows(store, "settlings") == 0


def test_days_outside_of_every_contract_are_refused(store: Store) -> None:
    put(store, a_point_form(a_form(valid_from=date(2024, 7, 2))))
    told(store, JULY)
    with pytest.raises(OutsideContract, match="no contract covers 2024-07-01"):
        issued(store, "2024-07", "2024-08-01")


def test_a_group_without_zones_is_refused_when_it_is_put(store: Store) -> None:
    with pytest.raises(UnsupportedTariff, match="'G99' has no zone table"):
        put(store, a_point_form(a_form(tariff_group="G99")))
    assert rows(store, "points") == 0


def test_a_change_of_the_seller_inside_of_the_period_is_refused(store: Store) -> None:
    change = date(2024, 7, 15)
    put(store, a_point_form(a_form(valid_to=change), a_form(valid_from=change, seller="other")))
    told(store, JULY)
    with pytest.raises(SellerChanges, match="settle up to that day"):
        issued(store, "2024-07", "2024-08-01")
    assert rows(store, "invoices") == 0


def test_a_plain_household_is_billed_in_any_order_and_never_twice(
    store: Store, billed: StoredInvoice
) -> None:
    told(store, month("2024-06"), counter=1000)
    with pytest.raises(InvoiceOverlaps, match=billed.number):
        close.issue(
            store,
            laws.shipped(),
            PPE,
            Period(date(2024, 7, 31), date(2024, 8, 2)),
            at("2024-09-01"),
        )
    told(store, month("2024-09"), counter=2000)
    assert issued(store, "2024-09", "2024-10-01").known_on == "2024-10-01"
    told(store, AUGUST, counter=3000)
    # Before an invoice that is there it is settled with what was known for that one.
    assert issued(store, "2024-08", "2024-10-02").known_on == "2024-10-01"
    assert all_corrections(store) == []


def test_energy_is_measured_again_only_when_readings_have_changed(
    store: Store, billed: StoredInvoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[date] = []
    whole = measuring.totals_of_span

    def counted(span: Any, *rest: Any) -> Any:
        measured.append(span.period.start)
        return whole(span, *rest)

    monkeypatch.setattr(measuring, "totals_of_span", counted)
    told(store, AUGUST, counter=1000)
    issued(store, "2024-08", "2024-09-01")
    assert measured == [AUGUST.start]
    told(store, JULY, 500, counter=2000)
    assert corrected(store, "2024-09-02") == ["readings"]
    assert measured == [AUGUST.start, JULY.start]


def test_documents_of_one_point_never_touch_those_of_another(
    store: Store, billed: StoredInvoice
) -> None:
    other = a_point_form(meters=[("ffeeddccbbaa9988", 0, None)])
    put(store, other, OTHER_PPE)
    told(store, JULY, 100, meter_id="ffeeddccbbaa9988")
    second = issued(store, "2024-07", "2024-08-01", OTHER_PPE)
    assert second.number == "FV-2024-07-000002"
    told(store, JULY, 500, counter=1000)
    assert corrected(store, "2024-08-02", OTHER_PPE) == []
    with store.reading() as connection:
        assert invoices.all_of(connection, OTHER_PPE) == [second]
