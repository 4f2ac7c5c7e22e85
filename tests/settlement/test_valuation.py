"""What a month's export is worth: RCEm or RCE, raised or not, usable how long, refunded how far."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement import tables
from settlement.rules import valuation
from settlement.rules.contract import Contract
from settlement.rules.errors import NoMarketValue, NoRate
from settlement.rules.market import Rcem, RcemVersion
from settlement.rules.periods import Month
from settlement.rules.policies import DEFAULTS, Policies
from settlement.rules.totals import VALUE_PER_GR, Totals
from settlement.rules.valuation import RCE, RCEM, Export, Terms, Worth
from settlement.tables.market import load_rcem
from tests.support.deposits import LATE, LATE_PROSUMER, some_terms

WITH_STATEMENT = Month(2025, 1)


def worth_of(export: Export, terms: Terms | None = None, known_on: date = LATE) -> Worth:
    """The worth by the tables and prices that come with this version."""
    return valuation.worth_of(export, terms or some_terms(), load_rcem(), tables.load(), known_on)


def a_worth(
    kwh: int = 0, pln_per_mwh: str = "0", value: int = 0, uplift: str = "1", percent: int = 20
) -> Worth:
    """A worth put together by hand."""
    march = Month(2025, 3)
    version = RcemVersion(march, Decimal(pln_per_mwh), date(2025, 4, 11), "by hand")
    refund = Decimal(percent)
    return Worth(march, RCEM, kwh, version, value, Decimal(uplift), refund, march.plus(12))


def some_totals(month: Month, negative_wh: dict[str, int], value: int | None = None) -> Totals:
    return Totals(month.period, {}, {}, {}, negative_wh, value)


@pytest.mark.parametrize(
    ("kwh", "pln_per_mwh", "uplift", "amount_gr"),
    [
        (372, "182.96", "1", 6806),  # printed on an invoice of April 2025
        (372, "182.96", "1.23", 8372),
        (238, "659.29", "1", 15691),  # published case of a storage converted in June 2022
        (238, "656.04", "1", 15614),  # and after the correction of its price
        (1, "0.49", "1", 0),
        (1, "0.50", "1", 0),
        (100, "0.05", "1", 1),  # half a grosz
        (0, "659.29", "1", 0),
        (238, "0.00", "1", 0),
    ],
)
def test_a_months_kwh_are_valued_by_rcem_and_rounded_once(
    kwh: int, pln_per_mwh: str, uplift: str, amount_gr: int
) -> None:
    assert a_worth(kwh, pln_per_mwh, uplift=uplift).amount_gr == amount_gr


def test_hours_are_valued_by_rce_and_rounded_once_at_the_end() -> None:
    # Worked example: Wh and gr/MWh of four hours, the negative price already zero.
    hours = ((12_500, 0), (21_000, 0), (18_000, 1_240), (4_000, 61_235))
    value = sum(energy_wh * 4 * gr_per_mwh for energy_wh, gr_per_mwh in hours)
    assert a_worth(value=value).amount_gr == 267
    assert a_worth(value=value, uplift="1.23").amount_gr == 329  # 2.672... x 1.23 = 3.287
    unclamped = value + 21_000 * 4 * -3_512
    assert a_worth(value=unclamped).amount_gr == 194


def test_a_month_of_negative_prices_never_lowers_the_deposit() -> None:
    assert a_worth(value=-5 * VALUE_PER_GR).amount_gr == 0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**12))
def test_the_amount_agrees_with_decimal_arithmetic(kwh: int, gr_per_mwh: int, value: int) -> None:
    price = Decimal(gr_per_mwh).scaleb(-2)
    pln = (kwh * price / 1000 + Decimal(value) / VALUE_PER_GR / 100) * Decimal("1.23")
    expected = int(pln.quantize(Decimal("0.01"), ROUND_HALF_UP) * 100)
    assert a_worth(kwh, str(price), value, "1.23").amount_gr == expected


@pytest.mark.parametrize(
    ("amount_gr", "percent", "refund_gr"),
    [(99, 20, 19), (100, 20, 20), (104, 20, 20), (105, 20, 21), (103, 30, 30), (8372, 0, 0)],
)
def test_the_refund_is_limited_by_a_percentage_rounded_down(
    amount_gr: int, percent: int, refund_gr: int
) -> None:
    worth = a_worth(value=amount_gr * VALUE_PER_GR, percent=percent)
    assert worth.refund_max_gr == refund_gr


@pytest.mark.parametrize(
    ("month", "terms", "mode"),
    [
        (Month(2024, 6), some_terms(since=date(2024, 6, 1)), RCEM),
        (Month(2024, 7), some_terms(since=date(2024, 6, 30)), RCEM),
        (Month(2024, 7), some_terms(since=LATE_PROSUMER), RCE),
        (Month(2024, 7), some_terms(since=date(2024, 7, 17)), RCE),
        (Month(2024, 12), some_terms(rce_from=WITH_STATEMENT), RCEM),
        (Month(2025, 1), some_terms(rce_from=WITH_STATEMENT), RCE),
        (Month(2024, 6), some_terms(rce_transition="rce_from_2024_07"), RCEM),
        (Month(2024, 7), some_terms(rce_transition="rce_from_2024_07"), RCE),
        (Month(2030, 1), some_terms(), RCEM),
    ],
)
def test_a_month_is_valued_by_rcem_or_by_rce(month: Month, terms: Terms, mode: str) -> None:
    assert valuation.mode_of(month, terms) == mode
    assert worth_of(Export(month), terms).mode == mode


@pytest.mark.parametrize(
    ("policy", "month", "uplift"),
    [
        ("2025-02", Month(2025, 1), "1"),
        ("2025-02", Month(2025, 2), "1.23"),
        ("2025-01", Month(2024, 12), "1"),
        ("2025-01", Month(2025, 1), "1.23"),
    ],
)
def test_the_value_is_raised_from_a_month_of_export_on(
    policy: str, month: Month, uplift: str
) -> None:
    assert worth_of(Export(month), some_terms(uplift_start=policy)).uplift == Decimal(uplift)


@pytest.mark.parametrize(
    ("booking", "clock", "booked", "last"),
    [
        ("next_month", "booking_month", Month(2024, 6), Month(2025, 5)),
        ("next_month", "export_month", Month(2024, 6), Month(2025, 4)),
        ("same_month", "booking_month", Month(2024, 5), Month(2025, 4)),
        ("same_month", "export_month", Month(2024, 5), Month(2025, 4)),
    ],
)
def test_a_month_is_usable_for_twelve_months(
    booking: str, clock: str, booked: Month, last: Month
) -> None:
    may = Month(2024, 5)
    policies = Policies(deposit_booking=booking, deposit_clock=clock)
    assert valuation.booking_month(may, policies) == booked
    assert valuation.last_month(may, policies) == last


@pytest.mark.parametrize(
    ("month", "terms", "percent"),
    [
        (Month(2025, 1), some_terms(rce_from=WITH_STATEMENT), 20),
        (Month(2025, 2), some_terms(rce_from=WITH_STATEMENT), 30),
        (Month(2025, 2), some_terms(rce_from=Month(2025, 3)), 20),
        (Month(2025, 2), some_terms(since=LATE_PROSUMER), 20),
        (Month(2025, 1), some_terms(since=LATE_PROSUMER, refund_thirty="every_rce"), 20),
        (Month(2025, 2), some_terms(since=LATE_PROSUMER, refund_thirty="every_rce"), 30),
        (Month(2025, 2), some_terms(refund_thirty="every_rce"), 20),
    ],
    ids=[
        "by statement, too early",
        "by statement",
        "before the statement",
        "rce without a statement",
        "every rce, too early",
        "every rce",
        "rcem is never every rce",
    ],
)
def test_thirty_percent_are_for_those_on_rce(month: Month, terms: Terms, percent: int) -> None:
    assert worth_of(Export(month), terms).refund_percent == percent


@pytest.mark.parametrize(
    ("month", "policy", "percent"),
    [
        (Month(2023, 6), "paid", 20),
        (Month(2023, 6), "forfeited", 0),  # last usable in June 2024
        (Month(2023, 7), "forfeited", 20),
    ],
)
def test_lots_that_run_out_before_july_2024_are_refunded_by_policy(
    month: Month, policy: str, percent: int
) -> None:
    assert worth_of(Export(month), some_terms(early_refund=policy)).refund_percent == percent


@pytest.mark.parametrize(("export_wh", "kwh"), [(371_499, 371), (371_500, 372), (372_499, 372)])
def test_rcem_values_whole_kwh_of_the_month_half_up(export_wh: int, kwh: int) -> None:
    worth = worth_of(Export(Month(2025, 3), export_wh, None))
    assert worth.kwh == kwh
    assert worth.value == 0


def test_rcem_does_not_value_the_hours_a_second_time() -> None:
    priced = Export(Month(2025, 3), 372_000, 999 * VALUE_PER_GR)
    assert worth_of(priced, known_on=date(2025, 5, 1)).amount_gr == 8372


def test_rce_values_the_hours_and_no_kwh() -> None:
    export = Export(Month(2025, 3), 372_000, 50 * VALUE_PER_GR)
    worth = worth_of(export, some_terms(since=LATE_PROSUMER))
    assert (worth.kwh, worth.version, worth.amount_gr) == (0, None, 62)  # 50 gr x 1.23 = 61.5
    assert worth.explained == "(RCE by the hour) x 1.23"


def test_converted_kwh_are_valued_by_rcem_even_where_hours_are_by_rce() -> None:
    export = Export(Month(2024, 10), 5_000, 100 * VALUE_PER_GR, converted_kwh=10)
    worth = worth_of(export, some_terms(rce_transition="rce_from_2024_07"), date(2024, 11, 11))
    assert worth.amount_gr == 100 + 290  # 10 kWh x 289.92 PLN/MWh = 2.8992
    assert worth.explained == "(10 kWh x 289.92 PLN/MWh + RCE by the hour) x 1"


@pytest.mark.parametrize(("fed_in_wh", "mode", "percent"), [(0, RCEM, 20), (1, RCE, 30)])
def test_energy_out_of_the_storage_alone_is_refunded_like_rcem(
    fed_in_wh: int, mode: str, percent: int
) -> None:
    export = Export(Month(2025, 3), fed_in_wh, 0, converted_kwh=372)
    worth = worth_of(export, some_terms(rce_from=WITH_STATEMENT), date(2025, 4, 11))
    assert (worth.amount_gr, worth.mode) == (8372, mode)
    assert worth.refund_percent == percent


def test_spans_of_a_month_add_up_before_anything_is_rounded() -> None:
    march = Month(2025, 3)
    pending = valuation.add((), march, some_totals(march, {"day": 300, "night": 100}, 7))
    pending = valuation.add(pending, march, some_totals(march, {"day": 100}, 8))
    assert pending == (Export(march, 500, 15),)
    assert worth_of(pending[0]).kwh == 1


def test_a_span_without_a_value_leaves_the_month_without_one() -> None:
    march = Month(2025, 3)
    pending = valuation.add((), march, some_totals(march, {"day": 300}, 7))
    pending = valuation.add(pending, march, some_totals(march, {"day": 100}))
    pending = valuation.add(pending, march, some_totals(march, {"day": 100}, 7))
    assert pending == (Export(march, 500, None),)
    with pytest.raises(NoMarketValue, match="2025-03"):
        worth_of(pending[0], some_terms(since=LATE_PROSUMER))


def test_export_is_kept_in_the_order_of_months() -> None:
    may, june = Month(2025, 5), Month(2025, 6)
    pending = valuation.add_converted(valuation.add((), june, some_totals(june, {}, 0)), may, 238)
    assert pending == (Export(may, converted_kwh=238), Export(june))
    assert valuation.due(pending, june, Policies()) == (pending[:1], pending[1:])


def test_an_rcem_that_is_not_published_yet_blocks_the_month_by_name() -> None:
    march = Month(2025, 3)
    with pytest.raises(NoRate, match="RCEm of 2025-03"):
        worth_of(Export(march, 372_000), known_on=date(2025, 4, 10))
    assert worth_of(Export(march, 372_000), known_on=date(2025, 4, 11)).amount_gr == 8372


def test_a_month_that_fed_in_nothing_needs_no_price() -> None:
    worth = worth_of(Export(Month(2025, 3), 499), known_on=date(2025, 3, 31))
    assert (worth.version, worth.amount_gr) == (None, 0)
    assert valuation.corrected(worth, Rcem([]), LATE) is worth
    assert worth.explained == "(0 kWh) x 1.23"


def test_a_correction_of_the_price_changes_nothing_else() -> None:
    june = Month(2022, 6)
    first = worth_of(Export(june, converted_kwh=238), known_on=date(2022, 7, 11))
    assert first.amount_gr == 15691
    again = valuation.corrected(first, load_rcem(), date(2022, 10, 11))
    assert again.amount_gr == 15614
    assert again.explained == "(238 kWh x 656.04 PLN/MWh) x 1"
    assert valuation.corrected(again, load_rcem(), LATE) == again


def test_what_is_known_is_not_forgotten_later() -> None:
    june = Month(2022, 6)
    worth = worth_of(Export(june, 238_000))
    with pytest.raises(AssertionError, match="not forgotten"):
        valuation.corrected(worth, load_rcem(), date(2022, 7, 11))


def test_the_terms_are_those_of_the_contract() -> None:
    unsaid: dict[str, Any] = dict.fromkeys(field.name for field in fields(Contract))
    said = {"prosumer_since": date(2024, 7, 17), "rce_from": WITH_STATEMENT, "policies": DEFAULTS}
    terms = valuation.terms_of(Contract(**(unsaid | said)))
    assert terms == Terms(date(2024, 7, 17), WITH_STATEMENT, DEFAULTS)
