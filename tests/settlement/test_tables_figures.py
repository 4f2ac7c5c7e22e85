"""The figures that come with us, against the acts, tariffs and invoices they were taken from."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from settlement import tables
from settlement.rules.errors import NoRate
from settlement.rules.periods import Period

TAURON = "distribution_tauron"


def value(table: str, key: str, day: str, annual_kwh: int = 0) -> Decimal:
    return tables.load().rate_on(table, key, date.fromisoformat(day), annual_kwh).value


def assert_holds(table: str, key: str, first: str, last: str, expected: str, kwh: int = 0) -> None:
    """The value holds on every day from the first to the last, and its row says its source."""
    loaded = tables.load()
    start, end = date.fromisoformat(first), date.fromisoformat(last) + timedelta(days=1)
    row = loaded.rate(table, key, Period(start, end), kwh)
    assert row.value == Decimal(expected)
    assert row.source, "each figure says where it comes from"


@pytest.mark.parametrize(
    ("first", "last", "pln_per_month"),
    [
        ("2021-01-01", "2021-12-31", ("1.87", "4.48", "7.47", "10.46")),
        ("2022-01-01", "2022-12-31", ("2.37", "5.68", "9.46", "13.25")),
        ("2023-01-01", "2023-12-31", ("2.38", "5.72", "9.54", "13.35")),
        ("2024-01-01", "2024-06-30", ("2.66", "6.39", "10.64", "14.90")),
        ("2024-07-01", "2025-06-30", ("0", "0", "0", "0")),
        ("2025-07-01", "2025-12-31", ("2.86", "6.86", "11.44", "16.01")),
        ("2026-01-01", "2026-12-31", ("4.29", "10.31", "17.18", "24.05")),
    ],
)
def test_the_capacity_fee_of_each_time_follows_the_bands_of_yearly_use(
    first: str, last: str, pln_per_month: tuple[str, ...]
) -> None:
    edges = ((0, 499), (500, 1200), (1201, 2800), (2801, 1_000_000))
    for (low, high), expected in zip(edges, pln_per_month, strict=True):
        for annual_kwh in (low, high):
            assert_holds("capacity_fee", "household", first, last, expected, annual_kwh)


def test_there_was_no_capacity_fee_before_2021() -> None:
    with pytest.raises(NoRate):
        value("capacity_fee", "household", "2020-12-31")


@pytest.mark.parametrize(
    ("annual_kwh", "pln_per_month"),
    [(0, "0.02"), (499, "0.02"), (500, "0.10"), (1200, "0.10"), (1201, "0.33")],
)
def test_the_transitional_fee_follows_its_bands_until_the_end_of_2025(
    annual_kwh: int, pln_per_month: str
) -> None:
    for year in ("2023", "2024", "2025"):
        first, last = f"{year}-01-01", f"{year}-12-31"
        assert_holds("transitional_fee", "household", first, last, pln_per_month, annual_kwh)
    assert value("transitional_fee", "household", "2026-01-01", annual_kwh) == 0


@pytest.mark.parametrize(
    ("year", "renewable", "cogeneration"),
    [
        (2021, "0.00220", "0"),
        (2022, "0.00090", "0.00406"),
        (2023, "0", "0.00496"),
        (2024, "0", "0.00618"),
        (2025, "0.00350", "0.00300"),
        (2026, "0.00730", "0.00300"),
    ],
)
def test_the_levies_of_each_year(year: int, renewable: str, cogeneration: str) -> None:
    first, last = f"{year}-01-01", f"{year}-12-31"
    assert_holds("levies", "renewable", first, last, renewable)
    assert_holds("levies", "cogeneration", first, last, cogeneration)


@pytest.mark.parametrize(
    ("day", "percent"),
    [
        ("2020-01-01", 23),
        ("2021-12-31", 23),
        ("2022-01-01", 5),
        ("2022-12-31", 5),
        ("2023-01-01", 23),
        ("2026-12-31", 23),
    ],
)
def test_vat_was_5_percent_in_2022_only(day: str, percent: int) -> None:
    assert value("vat", "electricity", day) == percent


@pytest.mark.parametrize(
    ("day", "household", "other"),
    [
        ("2021-12-31", "0.005", "0.005"),
        ("2022-01-01", "0", "0.0046"),
        ("2022-12-31", "0", "0.0046"),
        ("2023-01-01", "0.005", "0.005"),
    ],
)
def test_households_paid_no_excise_in_2022(day: str, household: str, other: str) -> None:
    assert value("excise", "electricity.household", day) == Decimal(household)
    assert value("excise", "electricity.other", day) == Decimal(other)


@pytest.mark.parametrize(
    ("first", "last", "regime", "cap"),
    [
        ("2020-01-01", "2020-12-31", 0, None),
        ("2022-01-01", "2022-12-31", 0, None),
        ("2023-01-01", "2023-12-31", 2, "0.698"),
        ("2024-01-01", "2024-06-30", 2, "0.698"),
        ("2024-07-01", "2024-12-31", 1, "0.505"),
        ("2025-01-01", "2025-12-31", 1, "0.505"),
        ("2026-01-01", "2026-12-31", 0, None),
        ("2030-01-01", "2030-12-31", 0, None),
    ],
)
def test_each_time_says_how_prices_are_capped(
    first: str, last: str, regime: int, cap: str | None
) -> None:
    assert_holds("price_cap", "household.regime", first, last, str(regime))
    if cap is None:
        for day in (first, last):
            with pytest.raises(NoRate):
                value("price_cap", "household", day)
    else:
        assert_holds("price_cap", "household", first, last, cap)


@pytest.mark.parametrize(
    ("first", "last", "kwh"),
    [
        ("2023-01-01", "2023-12-31", (3000, 3600, 4000)),
        ("2024-01-01", "2024-06-30", (1500, 1800, 2000)),
    ],
)
def test_the_limits_of_use_and_the_window_in_which_each_is_counted(
    first: str, last: str, kwh: tuple[int, ...]
) -> None:
    names = ("standard", "disability", "large_family")
    for name, expected in zip(names, kwh, strict=True):
        assert_holds("price_cap", f"household.limit.{name}", first, last, str(expected))
    window = tables.load().rate_on("price_cap", "household.regime", date.fromisoformat(last))
    assert str(window.valid_from) == first
    assert window.ends == date.fromisoformat(last) + timedelta(days=1)


def test_inside_the_limit_of_2024_one_zone_has_its_price_and_2023_needs_the_sellers() -> None:
    assert_holds("price_cap", "household.inside_limit", "2024-01-01", "2024-06-30", "0.41700")
    for day in ("2023-12-31", "2024-07-01"):
        with pytest.raises(NoRate, match=r"household\.inside_limit"):
            value("price_cap", "household.inside_limit", day)


@pytest.mark.parametrize(
    ("key", "year", "expected"),
    [
        ("g11.variable.all_day", 2023, "0.2720"),
        ("quality", 2023, "0.0242"),
        ("g11.fixed.1_phase", 2023, "6.12"),
        ("g11.fixed.3_phase", 2023, "10.30"),
        ("g11.variable.all_day.inside_limit", 2023, "0.1824"),
        ("quality.inside_limit", 2023, "0.0095"),
        ("g11.fixed.1_phase.inside_limit", 2023, "3.82"),
        ("g11.fixed.3_phase.inside_limit", 2023, "6.43"),
        ("g11.variable.all_day", 2024, "0.2573"),
        ("quality", 2024, "0.0314"),
        ("g11.fixed.3_phase", 2024, "10.34"),
        ("g12w.variable.peak", 2025, "0.3271"),
        ("g12w.variable.offpeak", 2025, "0.0518"),
        ("quality", 2025, "0.0321"),
        ("g12w.fixed.3_phase", 2025, "10.34"),
        ("g11.variable.all_day", 2026, "0.2464"),
        ("g12.variable.day", 2026, "0.2841"),
        ("g12.variable.night", 2026, "0.0558"),
        ("g12w.variable.peak", 2026, "0.3298"),
        ("g12w.variable.offpeak", 2026, "0.0512"),
        ("g12as.variable.day", 2026, "0.2464"),
        ("g12as.variable.night_up_to_reference", 2026, "0.2464"),
        ("g12as.variable.night_above_reference", 2026, "0.0246"),
        ("g13.variable.morning_peak", 2026, "0.2203"),
        ("g13.variable.afternoon_peak", 2026, "0.3898"),
        ("g13.variable.other", 2026, "0.0392"),
    ],
)
def test_the_rates_of_tauron_dystrybucja(key: str, year: int, expected: str) -> None:
    assert_holds(TAURON, key, f"{year}-01-01", f"{year}-12-31", expected)


@pytest.mark.parametrize(
    ("days", "day_offpeak", "day_peak", "night"),
    [
        ("summer_workday", "0.1000", "0.2842", "0.1094"),
        ("summer_free", "0.0400", "0.1176", "0.1094"),
        ("winter_workday", "0.1999", "0.3332", "0.1094"),
        ("winter_free", "0.1200", "0.1960", "0.1094"),
    ],
)
def test_g13s_has_rates_by_season_and_kind_of_day(
    days: str, day_offpeak: str, day_peak: str, night: str
) -> None:
    rates = {"day_offpeak": day_offpeak, "day_peak": day_peak, "night": night}
    for zone, expected in rates.items():
        assert value(TAURON, f"g13s.variable.{days}_{zone}", "2026-06-01") == Decimal(expected)


@pytest.mark.parametrize("group", ["g11", "g12", "g12w", "g13", "g13s"])
def test_the_fixed_rates_of_2026_are_equal_but_for_g12as_which_pays_them_twice(group: str) -> None:
    for phases, single, double in ((1, "7.38", "14.76"), (3, "10.86", "21.72")):
        key = f"fixed.{phases}_phase"
        assert value(TAURON, f"{group}.{key}", "2026-12-31") == Decimal(single)
        assert value(TAURON, f"g12as.{key}", "2026-12-31") == Decimal(double)


def test_the_quality_rate_of_2026_changes_in_february() -> None:
    year = Period(date(2026, 1, 1), date(2027, 1, 1))
    assert tables.load().changes(TAURON, "quality", year) == [date(2026, 2, 1)]
    assert value(TAURON, "quality", "2026-01-31") == Decimal("0.0331")
    assert value(TAURON, "quality", "2026-02-01") == Decimal("0.0332")


@pytest.mark.parametrize(("months", "pln"), [(1, "4.56"), (2, "2.28"), (6, "0.76"), (12, "0.38")])
def test_the_subscription_is_the_same_from_2023_to_2026(months: int, pln: str) -> None:
    for year in range(2023, 2027):
        key = f"subscription.{months}_month"
        assert_holds(TAURON, key, f"{year}-01-01", f"{year}-12-31", pln)


@pytest.mark.parametrize(
    ("key", "day"),
    [
        ("g11.variable.all_day", "2025-01-01"),
        ("g11.fixed.3_phase", "2025-12-31"),
        ("g11.fixed.1_phase", "2024-07-01"),
        ("g12.variable.day", "2025-12-31"),
        ("g12w.variable.peak", "2024-12-31"),
        ("g12w.fixed.1_phase", "2025-06-01"),
        ("g11.variable.all_day", "2022-12-31"),
        ("g11.variable.all_day", "2027-01-01"),
    ],
)
def test_a_rate_without_source_is_refused_not_guessed(key: str, day: str) -> None:
    with pytest.raises(NoRate, match=f"{TAURON} has no row '{key}' for all of {day}"):
        value(TAURON, key, day)


def test_what_is_said_to_be_unknown_has_no_row() -> None:
    loaded = tables.load()
    assert loaded.unknown
    for each in loaded.unknown:
        for row in loaded.rows:
            same = (row.table, row.key) == (each.table, each.key)
            apart = row.ends <= each.valid_from or each.valid_to <= row.valid_from
            assert not same or apart, f"{row.origin} is known"


@pytest.mark.parametrize(
    ("key", "day", "expected"),
    [
        ("storage_ratio.up_to_10_kw", "2024-07-01", "0.8"),
        ("storage_ratio.above_10_kw", "2024-07-01", "0.7"),
        ("uplift.2025-02", "2025-01-31", "1"),
        ("uplift.2025-02", "2025-02-01", "1.23"),
        ("uplift.2025-01", "2024-12-31", "1"),
        ("uplift.2025-01", "2025-01-01", "1.23"),
        ("refund.rcem", "2025-02-01", "20"),
        ("refund.rce", "2025-01-31", "20"),
        ("refund.rce", "2025-02-01", "30"),
        ("hourly_balancing", "2022-03-31", "0"),
        ("hourly_balancing", "2022-04-01", "1"),
        ("tenant_scheme", "2023-10-01", "1"),
    ],
)
def test_the_figures_of_the_prosumer_schemes(key: str, day: str, expected: str) -> None:
    assert value("prosumer", key, day) == Decimal(expected)


def test_there_was_no_net_billing_before_april_2022_and_no_tenant_before_october_2023() -> None:
    for key in ("uplift.2025-02", "uplift.2025-01", "refund.rcem", "refund.rce"):
        with pytest.raises(NoRate):
            value("prosumer", key, "2022-03-31")
    with pytest.raises(NoRate):
        value("prosumer", "tenant_scheme", "2023-09-30")
