"""Market prices: RCEm as it was known on a day, RCE by quarter with its readings of negatives."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement import tables
from settlement.rules.errors import BadTable, NoRate
from settlement.rules.market import (
    QUARTER_S,
    RCE_GR_PER_MWH_MAX,
    RCEM_PLN_PER_MWH_MAX,
    Rce,
    Rcem,
    RcemVersion,
)
from settlement.rules.periods import HOUR_S, Month, day_start_s
from settlement.rules.policies import RCE_CLAMPS

OCTOBER = Month(2023, 10)
HOUR = day_start_s(date(2025, 10, 14)) + 12 * HOUR_S
LATE = date(2026, 8, 22)


def a_version(**changes: Any) -> RcemVersion:
    """The original price of October 2023, or what the changes say."""
    fields: dict[str, Any] = {
        "month": OCTOBER,
        "pln_per_mwh": Decimal("311.67"),
        "published_on": date(2023, 11, 11),
        "source": "a test",
    }
    return RcemVersion(**(fields | changes))


def corrected(**changes: Any) -> RcemVersion:
    """Its correction of February 2024, by 5.64 %."""
    fields = {"pln_per_mwh": Decimal("329.25"), "published_on": date(2024, 2, 11)}
    return a_version(**(fields | changes))


@pytest.mark.parametrize(
    ("known_on", "pln_per_mwh"),
    [
        (date(2023, 11, 11), "311.67"),
        (date(2024, 2, 10), "311.67"),
        (date(2024, 2, 11), "329.25"),
        (date(2026, 1, 1), "329.25"),
    ],
)
def test_a_correction_counts_from_the_day_of_its_publication_on(
    known_on: date, pln_per_mwh: str
) -> None:
    found = Rcem([a_version(), corrected()]).version(OCTOBER, known_on)
    assert found.pln_per_mwh == Decimal(pln_per_mwh)


def test_a_month_that_is_not_published_yet_has_no_price_and_says_when_it_will() -> None:
    with pytest.raises(NoRate, match="2023-10 was published on 2023-11-11, after 2023-11-10"):
        Rcem([a_version()]).version(OCTOBER, date(2023, 11, 10))


def test_a_month_without_any_price_is_refused_and_named_and_never_zero() -> None:
    with pytest.raises(NoRate, match=r"RCEm of 2023-11 is not known.*rcem\.toml"):
        Rcem([a_version()]).version(Month(2023, 11), LATE)


@pytest.mark.parametrize(
    "versions",
    [
        [a_version(), corrected(published_on=date(2023, 11, 11))],
        [corrected(), a_version()],
        [a_version(), corrected(), a_version()],
        [a_version(published_on=date(2023, 10, 31))],
        [a_version(pln_per_mwh=Decimal("-0.01"))],
        [a_version(pln_per_mwh=RCEM_PLN_PER_MWH_MAX + Decimal("0.01"))],
    ],
    ids=["same day", "reversed", "original again", "month not over", "negative", "too large"],
)
def test_versions_that_contradict_themselves_are_refused(versions: list[RcemVersion]) -> None:
    with pytest.raises(BadTable, match="RCEm of 2023-10"):
        Rcem(versions)


def test_prices_at_their_limits_are_taken() -> None:
    first_day = date(2023, 11, 1)
    for price in (Decimal(0), RCEM_PLN_PER_MWH_MAX):
        versions = [a_version(pln_per_mwh=price, published_on=first_day)]
        assert Rcem(versions).version(OCTOBER, first_day).pln_per_mwh == price


@pytest.mark.parametrize(
    ("month", "known_on", "pln_per_mwh"),
    [
        # The published case of 238 kWh: 156.91 PLN at first, 156.14 after the corrections.
        ("2022-06", "2022-07-11", "659.29"),
        ("2022-06", "2022-08-11", "648.16"),
        ("2022-06", "2022-10-10", "648.16"),
        ("2022-06", "2022-10-11", "656.04"),
        ("2022-04", "2022-07-11", "659.29"),
        ("2022-05", "2022-10-11", "656.04"),
        ("2022-08", "2023-08-10", "1019.06"),
        ("2022-08", "2023-08-11", "1017.27"),
        ("2023-10", "2024-02-11", "329.25"),
        # Two tables that go round have slipped by a year in these two months.
        ("2022-12", "2023-01-11", "716.80"),
        ("2022-12", "2026-01-01", "723.49"),
        ("2023-12", "2024-01-11", "304.63"),
        ("2023-12", "2026-01-01", "305.15"),
        ("2024-12", "2025-01-11", "470.23"),
        ("2024-12", "2026-01-01", "468.28"),
        # A copy of the table calls March 2025 its second month.
        ("2025-02", "2026-08-22", "442.02"),
        ("2025-03", "2026-03-10", "182.96"),
        ("2025-03", "2026-03-11", "178.84"),
        ("2026-02", "2026-06-10", "339.01"),
        ("2026-02", "2026-06-11", "331.39"),
        ("2026-06", "2026-07-11", "273.20"),
    ],
)
def test_the_monthly_prices_that_come_with_us(month: str, known_on: str, pln_per_mwh: str) -> None:
    found = tables.load_rcem().version(Month.parse(month), date.fromisoformat(known_on))
    assert found.pln_per_mwh == Decimal(pln_per_mwh)
    assert found.source


# Prices in force on 22 August 2026, month after month from April 2022 on.
IN_FORCE = """
656.04 656.04 656.04 796.27 1017.27 710.03 575.48 701.67 723.49
594.59 668.51 508.90 505.44 380.42 453.88 439.22 412.33 404.82 329.25 377.08 305.15
437.02 323.17 247.85 251.93 254.19 328.81 281.72 240.00 220.56 285.58 394.45 468.28
480.01 442.02 178.84 163.19 216.97 136.30 284.83 214.68 279.71 340.84 382.88 466.08
551.96 331.39 191.95 132.92 191.37 273.20
"""


def test_every_month_of_net_billing_has_a_price_until_june_2026() -> None:
    rcem = tables.load_rcem()
    months = [Month(2022, 4).plus(place) for place in range(len(IN_FORCE.split()))]
    assert months[-1] == Month(2026, 6)
    found = [str(rcem.version(month, LATE).pln_per_mwh) for month in months]
    assert found == IN_FORCE.split()
    for outside in (Month(2022, 3), Month(2026, 7)):
        with pytest.raises(NoRate):
            rcem.version(outside, LATE)


def test_every_price_that_comes_with_us_appeared_on_the_eleventh() -> None:
    rcem = tables.load_rcem()
    for place in range(len(IN_FORCE.split())):
        assert rcem.version(Month(2022, 4).plus(place), LATE).published_on.day == 11


def an_hour(*gr_per_mwh: int) -> Rce:
    """Four quarters from HOUR on."""
    return Rce([(HOUR + place * QUARTER_S, price) for place, price in enumerate(gr_per_mwh)])


@pytest.mark.parametrize(
    ("prices", "quarter", "hour", "none"),
    [
        ((40_000, 41_000, 42_000, 43_000), 166_000, 166_000, 166_000),
        ((-3_000, 1_000, 2_000, 4_000), 7_000, 4_000, 4_000),
        ((-9_000, 1_000, 2_000, 4_000), 7_000, 0, -2_000),
        ((-100, -200, -300, -400), 0, 0, -1_000),
        ((0, 0, 0, 0), 0, 0, 0),
    ],
    ids=["positive", "one negative", "negative mean", "all negative", "zero"],
)
def test_negative_prices_become_zero_by_quarter_by_hour_or_never(
    prices: tuple[int, ...], quarter: int, hour: int, none: int
) -> None:
    found = {clamp: an_hour(*prices).hour_sum(HOUR, clamp) for clamp in RCE_CLAMPS}
    assert found == {"quarter": quarter, "hour": hour, "none": none}


@given(st.tuples(*[st.integers(-50_000, 500_000)] * 4))
def test_an_earlier_clamp_never_makes_the_hour_cheaper(prices: tuple[int, ...]) -> None:
    rce = an_hour(*prices)
    quarter, hour, none = (rce.hour_sum(HOUR, clamp) for clamp in ("quarter", "hour", "none"))
    assert quarter >= hour >= none
    assert hour >= 0
    assert none == sum(prices)


def test_an_hour_that_lacks_a_quarter_has_no_price_whatever_the_clamp() -> None:
    rce = Rce([(HOUR, 100), (HOUR + 900, 100), (HOUR + 2700, 100)])
    for clamp in RCE_CLAMPS:
        with pytest.raises(
            NoRate, match="hour 2025-10-14 10:00 UTC lacks the quarter 2025-10-14 10:30 UTC"
        ):
            rce.hour_sum(HOUR, clamp)


def test_the_same_price_twice_is_no_contradiction_and_two_prices_are() -> None:
    assert len(Rce([(HOUR, 100), (HOUR, 100)]).quarters) == 1
    with pytest.raises(BadTable, match="2025-10-14 10:00 UTC has two prices, 100 and 101"):
        Rce([(HOUR, 100), (HOUR, 101)])


@pytest.mark.parametrize("start_s", [HOUR + 1, HOUR + 450, 0, 900, day_start_s(date(2100, 1, 1))])
def test_a_price_off_the_grid_or_outside_of_the_years_is_refused(start_s: int) -> None:
    with pytest.raises(BadTable, match=str(start_s)):
        Rce([(start_s, 100)])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_price_at_its_limit_is_taken_and_beyond_is_refused(sign: int) -> None:
    assert Rce([(HOUR, sign * RCE_GR_PER_MWH_MAX)]).quarters
    with pytest.raises(BadTable, match="prices are in PLN/MWh"):
        Rce([(HOUR, sign * (RCE_GR_PER_MWH_MAX + 1))])
