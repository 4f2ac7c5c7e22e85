"""Accounts of prosumers: storage and deposit go from invoice to invoice, corrections too."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from settlement import close, laws, points
from settlement.balances import ledger_of
from settlement.errors import OutOfOrder
from settlement.rules import ledger as rules
from settlement.rules.errors import Incomplete, NoRate
from settlement.rules.periods import Period
from settlement.store import Store, invoices, ledger
from settlement.store import prices as stored_prices
from tests.support.settled import (
    all_corrections,
    at,
    body_of,
    corrected,
    issued,
    month,
    put,
    told,
)
from tests.support.settlement import PPE, a_point_form, a_prosumer

# RCEm of February 2024: 324.25, corrected to 323.17 on 11 June 2024.
FEBRUARY, MARCH, APRIL, MAY = (month(f"2024-{number:02d}") for number in (2, 3, 4, 5))


def a_net_billing(**changes: Any) -> points.PointForm:
    """Net-billing by RCEm, outside of the price cap."""
    return a_point_form(a_prosumer(cap_entitled=False, **changes))


def a_net_metering(**changes: Any) -> points.PointForm:
    return a_point_form(a_prosumer(scheme="net_metering", cap_entitled=False, **changes))


def entries(store: Store) -> list[tuple[str, str, int]]:
    """Document, kind and amount of every entry, as recorded."""
    with store.reading() as connection:
        found = ledger.of_point(connection, PPE)
    return [(each.document[:10], each.entry.kind, each.entry.amount) for each in found]


def known_entries(store: Store) -> dict[rules.SumKey, int]:
    with store.reading() as connection:
        return rules.sums(each.entry for each in ledger.of_point(connection, PPE))


def standing(store: Store) -> list[dict[str, Any]]:
    """Every invoice as it stands after its corrections."""
    with store.reading() as connection:
        stored = invoices.all_of(connection, PPE)
    latest = {each.number: body_of(each) for each in stored}
    for each in all_corrections(store):
        latest[each.corrects] = body_of(each)["should_have_been"]
    return list(latest.values())


def spring(store: Store) -> None:
    """Export in February, import from then on: February's deposit pays in March and April."""
    told(store, FEBRUARY, 100, 700)
    told(store, MARCH, 300, 0, counter=1000)
    told(store, APRIL, 300, 0, counter=2000)
    issued(store, "2024-02", "2024-03-01")
    issued(store, "2024-03", "2024-04-12")


def test_the_export_of_a_month_pays_the_invoices_after_it(store: Store) -> None:
    put(store, a_net_billing())
    spring(store)
    # 696 h x 600 Wh of balance: 418 kWh (half-up) x 0.32425 = 135.54 PLN.
    energy_gr = body_of(issued(store, "2024-03", "2024-04-12"))["summary"]["1_sale"]["gross_gr"]
    assert entries(store) == [
        ("FV-2024-03", "booked", 13554),
        ("FV-2024-03", "used", min(13554, energy_gr)),
    ]
    with store.reading() as connection:
        told_ledger = ledger_of(connection, PPE, None)
    assert told_ledger["entries"][0]["note"] == "(418 kWh x 324.25 PLN/MWh) x 1"


def test_a_price_that_falls_after_its_deposit_was_used_corrects_the_invoice_it_paid(
    store: Store,
) -> None:
    put(store, a_net_billing())
    spring(store)
    before = body_of(issued(store, "2024-03", "2024-04-12"))
    issued(store, "2024-04", "2024-06-11")
    (correction,) = all_corrections(store)
    body = body_of(correction)
    assert (correction.number, body["reason"]) == ("FK-2024-03-000001", "market_price")
    # 418 kWh x 0.32317 = 135.09: 45 grosze less, all of which March had used.
    assert body["difference"]["to_pay_gr"] == 45
    assert body["billed"] == before
    assert ("FV-2024-04", "revalued", -45) in entries(store)
    assert ("FV-2024-04", "used", -45) in entries(store)


def test_a_corrected_price_waits_for_the_next_invoice(store: Store) -> None:
    put(store, a_net_billing())
    spring(store)
    assert corrected(store, "2024-06-12") == []


def test_settling_again_takes_the_newest_price_for_every_invoice(store: Store) -> None:
    put(store, a_net_billing(policies={"rcem_correction": "settle_again"}))
    spring(store)
    assert corrected(store, "2024-06-10") == []
    assert corrected(store, "2024-06-11") == ["ledger"]
    (correction,) = all_corrections(store)
    assert body_of(correction)["difference"]["to_pay_gr"] == 45
    assert all(kind != "revalued" for _, kind, _ in entries(store))
    assert ("FK-2024-03", "booked", -45) in entries(store)


def test_a_late_reading_moves_every_invoice_after_it(store: Store) -> None:
    put(store, a_net_billing())
    spring(store)
    issued(store, "2024-04", "2024-05-12")
    told(store, FEBRUARY, 100, 200, counter=5000)
    reasons = corrected(store, "2024-05-13")
    # February shows less fed in; March had paid with it; April had found nothing left of it.
    assert reasons == ["readings", "ledger"]
    assert [each.corrects[:10] for each in all_corrections(store)] == ["FV-2024-02", "FV-2024-03"]
    assert [entry for entry in entries(store) if entry[0].startswith("FK")] == [
        ("FK-2024-03", "booked", 2270 - 13554),
        ("FK-2024-03", "used", 2270 - 13554),
    ]


@pytest.mark.parametrize("form", [a_net_billing(), a_net_metering()], ids=["billing", "metering"])
def test_a_corrected_account_is_the_account_that_was_right_at_once(
    store: Store, tmp_path: Path, form: points.PointForm
) -> None:
    put(store, form)
    spring(store)
    issued(store, "2024-04", "2024-05-12")
    told(store, FEBRUARY, 120, 500, counter=5000)
    told(store, MARCH, 310, 20, counter=6000)
    corrected(store, "2024-05-13")
    right = Store(tmp_path / "right.db")
    put(right, form)
    told(right, FEBRUARY, 120, 500)
    told(right, MARCH, 310, 20, counter=1000)
    told(right, APRIL, 300, 0, counter=2000)
    for text, on in (
        ("2024-02", "2024-03-01"),
        ("2024-03", "2024-04-12"),
        ("2024-04", "2024-05-12"),
    ):
        issued(right, text, on)
    assert standing(store) == standing(right)
    assert known_entries(store) == known_entries(right)
    assert all_corrections(store)
    right.close()


def test_stored_energy_covers_the_months_after_it(store: Store) -> None:
    put(store, a_net_metering())
    told(store, FEBRUARY, 100, 700)
    told(store, MARCH, 300, 0, counter=1000)
    first = body_of(issued(store, "2024-02", "2024-03-01"))
    # 696 h x 600 Wh x 0.8, nothing to cover in the month itself.
    assert first["storage"]["open_wh"] == 334_080
    second = body_of(issued(store, "2024-03", "2024-04-01"))
    used_wh = min(334_080, 743 * 300)
    assert second["storage"]["covered_wh"] == used_wh
    assert ("FV-2024-03", "used", used_wh) in entries(store)


def test_what_is_brought_along_is_entered_with_the_first_invoice(store: Store) -> None:
    opening = points.OpeningForm(deposit=[points.DepositLotForm("2023-12", 9000, 5000)])
    put(store, a_point_form(a_prosumer(cap_entitled=False), opening=opening))
    told(store, FEBRUARY, 300, 0)
    invoice = issued(store, "2024-02", "2024-03-01")
    assert entries(store) == [("FV-2024-02", "booked", 5000), ("FV-2024-02", "used", 5000)]
    assert body_of(invoice)["summary"]["7_deposit_used_gr"] == 5000


def test_days_of_a_prosumer_are_billed_in_order(store: Store) -> None:
    put(store, a_net_billing())
    told(store, FEBRUARY, 100, 700)
    told(store, MARCH, 300, 0, counter=1000)
    told(store, APRIL, 300, 0, counter=2000)
    issued(store, "2024-02", "2024-03-01")
    with pytest.raises(OutOfOrder, match="bill 2024-03-01 to 2024-04-01 first"):
        issued(store, "2024-04", "2024-05-12")
    issued(store, "2024-03", "2024-04-12")
    issued(store, "2024-04", "2024-05-12")
    told(store, month("2024-01"), counter=3000)
    with pytest.raises(OutOfOrder, match="only be brought along"):
        issued(store, "2024-01", "2024-05-12")


def test_a_household_that_becomes_a_prosumer_may_leave_plain_days_unbilled(store: Store) -> None:
    change = date(2024, 3, 1)
    plain = a_prosumer(scheme="plain", cap_entitled=False, valid_to=change)
    put(store, a_point_form(plain, a_prosumer(cap_entitled=False, valid_from=change)))
    told(store, month("2024-01"))
    told(store, MARCH, 300, 0, counter=1000)
    issued(store, "2024-01", "2024-02-01")
    assert issued(store, "2024-03", "2024-04-12").number == "FV-2024-03-000002"


def test_a_price_that_is_not_published_yet_refuses_and_says_when(store: Store) -> None:
    put(store, a_net_billing())
    told(store, FEBRUARY, 100, 700)
    told(store, MARCH, 300, 0, counter=1000)
    issued(store, "2024-02", "2024-03-01")
    with pytest.raises(NoRate, match="published on 2024-03-11"):
        issued(store, "2024-03", "2024-03-10")
    assert issued(store, "2024-03", "2024-03-11").known_on == "2024-03-11"


def test_a_prosumer_needs_export_too(store: Store) -> None:
    put(store, a_net_billing())
    told(store, FEBRUARY, 100, 700, skip=lambda day: day.day == 29)
    with pytest.raises(Incomplete, match="is missing for 86400 s"):
        issued(store, "2024-02", "2024-03-01")


def read_rce(store: Store, start_s: int, end_s: int, gr_per_mwh: int) -> None:
    """Gives every quarter of [start_s, end_s) a price."""
    with store.writing() as connection:
        import_id = stored_prices.add_import(connection, stored_prices.RCE, "f", b"", 0)
        quarters = dict.fromkeys(range(start_s, end_s, 900), gr_per_mwh)
        stored_prices.add_rce(connection, import_id, quarters)


def by_the_hour(store: Store) -> None:
    """A prosumer since July 2024, whose export of that month is valued hour by hour."""
    form = a_prosumer(prosumer_since=date(2024, 7, 1), valid_from=date(2024, 7, 1))
    put(store, a_point_form(form))
    told(store, month("2024-07"), 0, 1000)
    told(store, month("2024-08"), 300, 0, counter=1000)


def test_hourly_prices_are_read_in_before_they_value_anything(store: Store) -> None:
    by_the_hour(store)
    with pytest.raises(NoRate, match="RCE of the hour"):
        issued(store, "2024-07", "2024-08-01")
    read_rce(store, month("2024-07").start_s, month("2024-08").end_s, 25_000)
    issued(store, "2024-07", "2024-08-01")
    issued(store, "2024-08", "2024-09-01")
    # 744 h x 1 kWh x 0.25 PLN.
    assert ("FV-2024-08", "booked", 18_600) in entries(store)


def test_a_corrected_hourly_price_corrects_what_it_has_valued(store: Store) -> None:
    by_the_hour(store)
    start_s = month("2024-07").start_s
    read_rce(store, start_s, month("2024-08").end_s, 25_000)
    issued(store, "2024-07", "2024-08-01")
    issued(store, "2024-08", "2024-09-01")
    read_rce(store, start_s, start_s + 3600, 125_000)
    assert corrected(store, "2024-09-02") == ["ledger"]
    body = body_of(all_corrections(store)[0])
    before, after = (body[side]["deposit"]["open_gr"] for side in ("billed", "should_have_been"))
    # 1 kWh at 1.25 PLN in the place of 0.25; August had not used all of it, so nothing is due.
    assert (after - before, body["difference"]["to_pay_gr"]) == (100, 0)
    assert ("FK-2024-08", "booked", 100) in entries(store)


def test_the_deposit_of_a_tenant_prosumer_goes_to_a_bank(store: Store) -> None:
    put(
        store,
        a_net_billing(scheme="tenant", payout_bank_number="61109010140000071219812874"),
    )
    spring(store)
    assert ("FV-2024-03", "paid_out", 13554) in entries(store)
    assert body_of(issued(store, "2024-03", "2024-04-12"))["summary"]["7_deposit_used_gr"] == 0


def test_what_is_known_of_a_ledger_on_a_day_leaves_out_what_was_entered_later(
    store: Store,
) -> None:
    put(store, a_net_billing())
    spring(store)
    issued(store, "2024-04", "2024-06-11")
    with store.reading() as connection:
        days = ("2024-04-11", "2024-04-12", "2024-06-10", "2024-06-11")
        counts = [
            len(ledger_of(connection, PPE, date.fromisoformat(day))["entries"]) for day in days
        ]
        assert ledger_of(connection, PPE, date(2024, 4, 11))["accounts"] == {}
        known = ledger_of(connection, PPE, date(2024, 4, 12))["accounts"]["deposit"]
    assert counts[0] == 0
    assert counts[1] == counts[2] == 2
    assert counts[3] > counts[2]
    assert known["unit"] == "gr"


def test_a_seller_changes_in_two_invoices(store: Store) -> None:
    change = date(2024, 3, 15)
    put(
        store,
        a_point_form(
            a_prosumer(cap_entitled=False, valid_to=change),
            a_prosumer(cap_entitled=False, valid_from=change, seller="other"),
        ),
    )
    told(store, FEBRUARY, 100, 700)
    told(store, MARCH, 300, 0, counter=1000)
    issued(store, "2024-02", "2024-03-01")
    for start, end in ((MARCH.start, change), (change, MARCH.end)):
        close.issue(store, laws.shipped(), PPE, Period(start, end), at("2024-04-12"))
    sellers = [body["seller"] for body in standing(store)]
    assert sellers == ["tauron", "tauron", "other"]
    kinds = [kind for _, kind, _ in entries(store)]
    assert "refunded" in kinds
