"""The invoice conserves: lines sum to totals, whatever is billed, and its data never change."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.rules import account
from settlement.rules.account import spans_needed
from settlement.rules.book import Opening
from settlement.rules.contract import Contract
from settlement.rules.invoice import (
    Deposit,
    Invoice,
    Line,
    Part,
    Storage,
    Sum,
    as_data,
    energy_gr,
    line_of,
    total,
)
from settlement.rules.periods import Month, Period
from settlement.rules.tariff import Position
from settlement.rules.units import amount_gr, vat_gr
from tests.support.a_contract import a_contract, a_prosumer, prices
from tests.support.a_point import (
    Flow,
    a_point,
    a_step,
    days,
    law,
    one_invoice,
    settled,
    totals_of,
)

JULY = Month(2024, 7).period
HALF_START = date(2024, 7, 1)


def position(quantity: str, price: str, code: str = "active_energy") -> Position:
    return Position("sale", code, "", JULY, Decimal(quantity), "kwh", Decimal(price), "by hand")


@settings(max_examples=60)
@given(
    energy_wh=st.integers(0, 10**9),
    price_e5=st.integers(1, 10**6),
    fee_gr=st.integers(0, 100_000),
    days_billed=st.integers(1, 180),
    policy=st.sampled_from(["full_month", "by_days"]),
    annual_kwh=st.integers(0, 5000),
)
def test_lines_sum_to_totals_and_nothing_is_lost(
    energy_wh: int, price_e5: int, fee_gr: int, days_billed: int, policy: str, annual_kwh: int
) -> None:
    contract = a_contract(
        unit_prices_pln_per_kwh={"all_day": Decimal(price_e5).scaleb(-5)},
        trade_fee_pln_per_month=Decimal(fee_gr).scaleb(-2),
        partial_month=policy,
        annual_kwh=annual_kwh,
    )
    period = Period(HALF_START, HALF_START + timedelta(days=days_billed))
    invoice = one_invoice(contract, period, Flow(energy_wh))
    for line in invoice.lines:
        assert line.net_gr == amount_gr(line.position.quantity, line.position.unit_price_pln)
        assert line.vat_gr == vat_gr(line.net_gr, line.vat_percent)
        assert line.gross_gr == line.net_gr + line.vat_gr
    assert invoice.result.gross_gr == sum(line.gross_gr for line in invoice.lines)
    assert invoice.result.net_gr == invoice.sale.net_gr + invoice.distribution.net_gr
    assert invoice.result.vat_gr == invoice.sale.vat_gr + invoice.distribution.vat_gr
    assert invoice.to_pay_gr == invoice.result.gross_gr
    assert invoice.lines[0].position.unit_price_pln <= Decimal("0.505")


def test_a_line_is_rounded_by_itself_net_first_and_then_its_vat() -> None:
    assert line_of(position("3", "0.335"), Decimal(23)) == Line(
        position("3", "0.335"), Decimal(23), net_gr=101, vat_gr=23, gross_gr=124
    )


def test_sums_are_of_rounded_lines_and_not_rounded_again() -> None:
    lines = [line_of(position("1", "0.02"), Decimal(23))] * 3
    # VAT of 0.02 is 0.0046, so each line has none; VAT of the sum would be 0.01.
    assert total(lines) == Sum(net_gr=6, vat_gr=0, gross_gr=6)
    assert total([]) == Sum(0, 0, 0)


def test_the_deposit_may_pay_active_energy_alone() -> None:
    every = [position("1", "1", code) for code in ("active_energy", "trade_fee", "active_energy")]
    lines = [line_of(each, Decimal(0)) for each in every]
    assert energy_gr(lines) == 200


def an_invoice(storage: Storage | None = None) -> Invoice:
    """July with one line of 10.00 net, by hand."""
    of_law = law({})
    (span,) = spans_needed(a_point(a_contract()), [a_step(JULY)], of_law)
    part = Part(
        span,
        replace(
            totals_of(span, Flow(8_000)),
            intervals=2976,
            quality=(("measured", 2970), ("estimated", 6)),
            readings_sha256="abc",
            findings=("spike 00: 1.8.0: a test",),
        ),
        {"all_day": 8_000},
        (line_of(position("10", "1"), Decimal(23)),),
    )
    deposit = Deposit(100, 50, 120, 7, 5, 3, 30)
    return Invoice("590", JULY, (part,), deposit, storage, rebate_used_gr=11)


def test_to_pay_is_the_result_less_deposit_and_rebate() -> None:
    assert an_invoice().to_pay_gr == 1230 - 120 - 11


def test_an_invoice_as_data_has_these_fields_and_no_others() -> None:
    data = as_data(an_invoice(storage=Storage(1, 2, 3, 4)))
    assert data == {
        "ppe": "590",
        "start": "2024-07-01",
        "end": "2024-08-01",
        "seller": "tauron",
        "tariff_group": "G11",
        "scheme": "plain",
        "usage": {
            "import_wh": 8_000,
            "export_wh": 0,
            "billed_kwh": "8",
            "intervals": 2976,
            "quality": {"estimated": 6, "measured": 2970},
            "findings": ["spike 00: 1.8.0: a test"],
            "readings_sha256": "abc",
        },
        "parts": [
            {
                "start": "2024-07-01",
                "end": "2024-08-01",
                "tariff_group": "G11",
                "scheme": "plain",
                "zones": {
                    "all_day": {
                        "import_wh": 8_000,
                        "export_wh": 0,
                        "positive_wh": 8_000,
                        "negative_wh": 0,
                        "billed_wh": 8_000,
                    }
                },
            }
        ],
        "lines": [
            {
                "section": "sale",
                "code": "active_energy",
                "zone": "",
                "start": "2024-07-01",
                "end": "2024-08-01",
                "quantity": "10",
                "unit": "kwh",
                "unit_price_pln": "1.00000",
                "price_from": "by hand",
                "net_gr": 1000,
                "vat_percent": "23",
                "vat_gr": 230,
                "gross_gr": 1230,
            }
        ],
        "summary": {
            "1_sale": {"net_gr": 1000, "vat_gr": 230, "gross_gr": 1230},
            "2_distribution": {"net_gr": 0, "vat_gr": 0, "gross_gr": 0},
            "3_result": {"net_gr": 1000, "vat_gr": 230, "gross_gr": 1230},
            "4_deposit_of_period_gr": 100,
            "5_deposit_of_earlier_periods_gr": 50,
            "6_deposit_available_gr": 150,
            "7_deposit_used_gr": 120,
            "rebate_used_gr": 11,
            "8_to_pay_gr": 1099,
        },
        "average_gross_pln_per_kwh": "1.5375",
        "storage": {"credited_wh": 1, "covered_wh": 2, "forfeited_wh": 3, "open_wh": 4},
        "deposit": {"refunded_gr": 7, "forfeited_gr": 5, "paid_out_gr": 3, "open_gr": 30},
    }


def test_a_household_without_storage_and_deposit_has_no_such_fields() -> None:
    data = as_data(one_invoice(a_contract(), JULY, Flow(1000)))
    assert "storage" not in data
    assert "deposit" not in data
    assert data["summary"]["6_deposit_available_gr"] == 0


def test_nothing_used_has_fixed_fees_and_no_average_price() -> None:
    invoice = one_invoice(a_contract(), JULY, Flow(0))
    assert invoice.lines[0].gross_gr == 0
    assert invoice.to_pay_gr == 1874
    assert invoice.average_gross_pln_per_kwh is None
    assert as_data(invoice)["average_gross_pln_per_kwh"] is None


def test_the_average_price_is_the_result_over_the_kwh() -> None:
    data = as_data(one_invoice(a_contract(), JULY, Flow(231_000)))
    assert data["average_gross_pln_per_kwh"] == "1.0650"


def in_two_spans(digests: list[str]) -> Invoice:
    """January and February 2026, cut by the quality rate, each span with its digest."""
    contract = a_contract(tariff_group="G11")
    point, steps, of_law = a_point(contract), [a_step(days("2026-01-01", "2026-03-01"))], law()
    needed = spans_needed(point, steps, of_law)
    totals = {
        span.period: replace(
            totals_of(span, Flow(1_400)),
            intervals=10,
            quality=(("measured", 9), (name, 1)),
            findings=(f"finding {name}",),
            readings_sha256=digest,
        )
        for span, digest, name in zip(needed, digests, ("edited", "estimated"), strict=True)
    }
    (invoice,) = account.settle(point, steps, totals, of_law).invoices
    return invoice


def test_the_usage_of_several_spans_is_told_as_one() -> None:
    data = as_data(in_two_spans(["aa", "bb"]))
    assert [(part["start"], part["end"]) for part in data["parts"]] == [
        ("2026-01-01", "2026-02-01"),
        ("2026-02-01", "2026-03-01"),
    ]
    assert data["usage"] == {
        "import_wh": 2_800,
        "export_wh": 0,
        "billed_kwh": "3",
        "intervals": 20,
        "quality": {"edited": 1, "estimated": 1, "measured": 18},
        "findings": ["finding edited", "finding estimated"],
        "readings_sha256": hashlib.sha256(b"aa\nbb").hexdigest(),
    }


def test_the_digest_of_spans_depends_on_each_and_on_their_order() -> None:
    found = {
        as_data(in_two_spans(digests))["usage"]["readings_sha256"]
        for digests in (["aa", "bb"], ["bb", "aa"], ["aa", ""], ["", "aa"], ["aab", "b"])
    }
    assert len(found) == 5
    assert as_data(in_two_spans(["", ""]))["usage"]["readings_sha256"] == ""


def test_seller_and_scheme_are_those_of_the_last_day() -> None:
    change = date(2024, 7, 15)
    first = a_contract(valid_to=change)
    second = a_prosumer(valid_from=change)
    (invoice,) = settled(a_point(first, second), [a_step(JULY)], Flow(1000)).invoices
    data = as_data(invoice)
    assert data["scheme"] == "net_billing"
    assert [part["scheme"] for part in data["parts"]] == ["plain", "net_billing"]


@pytest.mark.parametrize("scheme", ["plain", "net_metering", "net_billing", "tenant"])
def test_the_data_of_an_invoice_are_plain_and_the_same_each_time(scheme: str) -> None:
    contract: Contract = a_contract() if scheme == "plain" else a_prosumer(scheme)
    opening = (
        Opening(deposit=((Month(2024, 5), 500, 400),)) if scheme == "net_billing" else Opening()
    )
    point = a_point(contract, opening=opening)
    texts = set()
    for _ in range(2):
        (invoice,) = settled(point, [a_step(JULY)], Flow(90_123, 10_321)).invoices
        data = as_data(invoice)
        assert as_data(invoice) == data
        text = json.dumps(data, sort_keys=True)
        assert json.loads(text) == data
        texts.add(text)
    assert len(texts) == 1


def test_zones_are_printed_in_their_order_with_those_that_used_nothing() -> None:
    contract = a_contract(tariff_group="G12", unit_prices_pln_per_kwh=prices(day="1", night="1"))
    data = as_data(one_invoice(contract, JULY, Flow({"night": 1000}), law({})))
    assert list(data["parts"][0]["zones"]) == ["day", "night"]
    assert data["parts"][0]["zones"]["day"]["billed_wh"] == 0
    assert [line["zone"] for line in data["lines"][:2]] == ["day", "night"]
