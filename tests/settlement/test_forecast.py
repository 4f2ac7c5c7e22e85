"""Invoices on forecast: their amounts, the price of the act, and the reckoning by actual use."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules.contract import ANNUAL_KWH_MAX, UNIT_PRICE_PLN_PER_KWH_MAX
from settlement.rules.errors import BadForecast
from settlement.rules.forecast import Forecast, adjust, gross_gr, reckon
from settlement.rules.periods import Period

CAP = Decimal("0.50500")
HALF_YEAR = Period(date(2024, 7, 1), date(2025, 1, 1))
JULY_AUGUST = Period(date(2024, 7, 1), date(2024, 9, 1))
SEPTEMBER_OCTOBER = Period(date(2024, 9, 1), date(2024, 11, 1))


def a_forecast(**changes: Any) -> Forecast:
    """Two months of 231 kWh at a list price above the cap, energy alone."""
    fields: dict[str, Any] = {
        "period": JULY_AUGUST,
        "kwh_by_zone": {"all_day": 231},
        "unit_prices_pln_per_kwh": {"all_day": Decimal("0.64900")},
        "vat_percent": Decimal(23),
    }
    return Forecast(**(fields | changes))


def test_a_forecast_is_rounded_as_a_line_of_an_invoice() -> None:
    # 231 x 0.64900 = 149.919: 149.92 net, 34.48 VAT.
    assert gross_gr(a_forecast()) == 18_440
    assert gross_gr(a_forecast(other_gr=10_253)) == 28_693


def test_every_zone_is_a_line_of_its_own() -> None:
    # Energy of a printed invoice: 29 x 0.76410 = 22.16 + 5.10, 91 x 0.42030 = 38.25 + 8.80.
    forecast = a_forecast(
        kwh_by_zone={"peak": 29, "offpeak": 91},
        unit_prices_pln_per_kwh={"peak": Decimal("0.76410"), "offpeak": Decimal("0.42030")},
    )
    assert gross_gr(forecast) == 2_216 + 510 + 3_825 + 880


def test_an_outstanding_forecast_is_computed_again_at_the_price_of_the_act() -> None:
    adjustment = adjust(a_forecast(other_gr=10_253), CAP)
    # 231 x 0.50500 = 116.66 net, 26.83 VAT; distribution stays.
    assert (adjustment.old_gr, adjustment.new_gr) == (28_693, 24_602)
    assert adjustment.difference_gr == -4_091
    assert adjustment.forecast.unit_prices_pln_per_kwh == {"all_day": CAP}


@pytest.mark.parametrize("price", ["0.50500", "0.50499", "0.30000"])
def test_a_price_not_above_the_cap_stays(price: str) -> None:
    forecast = a_forecast(unit_prices_pln_per_kwh={"all_day": Decimal(price)})
    adjustment = adjust(forecast, CAP)
    assert adjustment.forecast == forecast
    assert adjustment.difference_gr == 0


def test_each_zone_is_capped_by_itself() -> None:
    forecast = a_forecast(
        kwh_by_zone={"day": 100, "night": 100},
        unit_prices_pln_per_kwh={"day": Decimal("0.70000"), "night": Decimal("0.40000")},
    )
    prices = adjust(forecast, CAP).forecast.unit_prices_pln_per_kwh
    assert prices == {"day": CAP, "night": Decimal("0.40000")}


def test_where_no_cap_holds_nothing_changes() -> None:
    adjustment = adjust(a_forecast(), None)
    assert (adjustment.old_gr, adjustment.new_gr) == (18_440, 18_440)


def test_a_paid_forecast_stays_and_one_short_of_a_grosz_is_outstanding() -> None:
    assert adjust(a_forecast(paid_gr=18_440), CAP).difference_gr == 0
    assert adjust(a_forecast(paid_gr=18_439), CAP).new_gr == 14_349


@given(
    st.dictionaries(
        st.sampled_from(["day", "night", "other"]),
        st.tuples(st.integers(0, 5_000), st.integers(1, 200_000)),
        min_size=1,
    ),
    st.integers(0, 50_000),
)
def test_the_price_of_the_act_never_raises_a_forecast_and_once_is_enough(
    zones: dict[str, tuple[int, int]], other_gr: int
) -> None:
    forecast = a_forecast(
        kwh_by_zone={zone: kwh for zone, (kwh, _) in zones.items()},
        unit_prices_pln_per_kwh={
            zone: Decimal(price).scaleb(-5) for zone, (_, price) in zones.items()
        },
        other_gr=other_gr,
    )
    first = adjust(forecast, CAP)
    assert other_gr <= first.new_gr <= first.old_gr
    assert adjust(first.forecast, CAP).difference_gr == 0


@pytest.mark.parametrize(
    ("total_gr", "return_asked", "due_gr", "way"),
    [
        (30_000, False, 10_000, "to_pay"),
        (20_001, True, 1, "to_pay"),
        (20_000, True, 0, "settled"),
        (19_999, False, -1, "set_off"),
        (15_000, True, -5_000, "returned"),
    ],
)
def test_the_invoice_takes_off_what_was_paid_on_forecasts(
    total_gr: int, return_asked: bool, due_gr: int, way: str
) -> None:
    forecasts = [
        a_forecast(period=SEPTEMBER_OCTOBER, paid_gr=8_000),
        a_forecast(paid_gr=12_000),
    ]
    reckoning = reckon(HALF_YEAR, total_gr, forecasts, return_asked)
    assert (reckoning.due_gr, reckoning.way) == (due_gr, way)
    assert (reckoning.total_gr, reckoning.paid_gr) == (total_gr, 20_000)


def test_a_forecast_that_nobody_paid_takes_nothing_off() -> None:
    assert reckon(HALF_YEAR, 30_000, [a_forecast()]).due_gr == 30_000
    assert reckon(HALF_YEAR, 30_000, []).due_gr == 30_000


@pytest.mark.parametrize(
    "period",
    [Period(date(2024, 6, 30), date(2024, 9, 1)), Period(date(2024, 12, 1), date(2025, 1, 2))],
)
def test_a_forecast_outside_of_the_invoice_is_refused(period: Period) -> None:
    with pytest.raises(BadForecast, match="not for this invoice"):
        reckon(HALF_YEAR, 30_000, [a_forecast(period=period)])


def test_a_day_that_two_forecasts_cover_is_refused_and_named() -> None:
    twice = Period(date(2024, 8, 31), date(2024, 10, 1))
    with pytest.raises(BadForecast, match="cover 2024-08-31") as refusal:
        reckon(HALF_YEAR, 30_000, [a_forecast(period=twice), a_forecast()])
    assert refusal.value.reason == "bad_forecast"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kwh_by_zone": {}, "unit_prices_pln_per_kwh": {}}, "same zones, one or more"),
        ({"kwh_by_zone": {"day": 1}}, "same zones"),
        ({"kwh_by_zone": {"all_day": -1}}, "kwh_by_zone is 0"),
        ({"kwh_by_zone": {"all_day": ANNUAL_KWH_MAX + 1}}, "kwh_by_zone is 0"),
        ({"unit_prices_pln_per_kwh": {"all_day": Decimal(0)}}, "above 0"),
        (
            {"unit_prices_pln_per_kwh": {"all_day": UNIT_PRICE_PLN_PER_KWH_MAX + CAP}},
            "at most 10",
        ),
        ({"other_gr": -1}, "0 grosz or more"),
        ({"paid_gr": -1}, "0 grosz or more"),
    ],
)
def test_a_forecast_that_contradicts_itself_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(BadForecast, match=why):
        gross_gr(a_forecast(**changes))
    with pytest.raises(BadForecast, match=why):
        reckon(HALF_YEAR, 0, [a_forecast(**changes)])


def test_energy_and_price_are_taken_at_their_limits() -> None:
    none = a_forecast(kwh_by_zone={"all_day": 0})
    most = a_forecast(
        kwh_by_zone={"all_day": ANNUAL_KWH_MAX},
        unit_prices_pln_per_kwh={"all_day": UNIT_PRICE_PLN_PER_KWH_MAX},
    )
    assert gross_gr(none) == 0
    assert gross_gr(most) == 1_230_000_000
