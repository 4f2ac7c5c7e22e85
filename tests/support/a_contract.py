"""Contracts and made-up rates for tests of the rules: name only what matters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

from settlement import tables
from settlement.rules.contract import Contract
from settlement.rules.periods import Month
from settlement.rules.policies import Policies
from settlement.rules.rates import Row, Tables

FIRST_DAY = date(2020, 1, 1)
EARLY, LATE = date(2022, 7, 1), date(2024, 7, 1)  # on which a prosumer may have begun
BANK_NUMBER = "61109010140000071219812874"  # the example of the Polish IBAN

# Round figures that are easy to check by hand, the same on every day: unit, then value by band.
RATES: dict[tuple[str, str], tuple[str, dict[int, str]]] = {
    ("vat", "electricity"): ("percent", {0: "23"}),
    ("excise", "electricity.household"): ("pln_per_kwh", {0: "0.005"}),
    ("excise", "electricity.other"): ("pln_per_kwh", {0: "0.004"}),
    ("levies", "renewable"): ("pln_per_kwh", {0: "0.001"}),
    ("levies", "cogeneration"): ("pln_per_kwh", {0: "0.002"}),
    ("distribution_tauron", "quality"): ("pln_per_kwh", {0: "0.03"}),
    ("distribution_tauron", "g11.variable.all_day"): ("pln_per_kwh", {0: "0.25"}),
    ("distribution_tauron", "g12.variable.day"): ("pln_per_kwh", {0: "0.3"}),
    ("distribution_tauron", "g12.variable.night"): ("pln_per_kwh", {0: "0.05"}),
    ("distribution_tauron", "g12as.variable.day"): ("pln_per_kwh", {0: "0.24"}),
    ("distribution_tauron", "g12as.variable.night_up_to_reference"): ("pln_per_kwh", {0: "0.24"}),
    ("distribution_tauron", "g12as.variable.night_above_reference"): ("pln_per_kwh", {0: "0.02"}),
    **{
        ("distribution_tauron", f"{group}.fixed.{phases}_phase"): ("pln_per_month", {0: fee})
        for group in ("g11", "g12", "g12as")
        for phases, fee in ((1, "6"), (3, "10"))
    },
    **{
        ("distribution_tauron", f"subscription.{months}_month"): ("pln_per_month", {0: fee})
        for months, fee in ((1, "4"), (2, "2"), (6, "0.7"), (12, "0.3"))
    },
    ("capacity_fee", "household"): (
        "pln_per_month",
        {0: "2", 500: "5", 1201: "9", 2801: "14"},
    ),
    ("transitional_fee", "household"): ("pln_per_month", {0: "0.02", 500: "0.1", 1201: "0.33"}),
    ("price_cap", "household"): ("pln_per_kwh", {0: "0.5"}),
    ("price_cap", "household.inside_limit"): ("pln_per_kwh", {0: "0.4"}),
    ("price_cap", "household.regime"): ("regime", {0: "0"}),
    ("price_cap", "household.limit.standard"): ("kwh", {0: "1500"}),
    ("price_cap", "household.limit.disability"): ("kwh", {0: "1800"}),
    ("price_cap", "household.limit.large_family"): ("kwh", {0: "2000"}),
}

Changes = Mapping[tuple[str, str], Mapping[date, str]]


def a_contract(**changes: Any) -> Contract:
    """A three-phase G11 household of TAURON, read monthly, at 0.649 PLN/kWh, capped where it is."""
    fields: dict[str, Any] = {
        "operator": "tauron",
        "seller": "tauron",
        "tariff_group": "G11",
        "scheme": "plain",
        "phases": 3,
        "readout_months": 1,
        "annual_kwh": 2400,
        "unit_prices_pln_per_kwh": {"all_day": Decimal("0.64900")},
        "price_list": None,
        "frozen_prices_pln_per_kwh": {},
        "trade_fee_pln_per_month": None,
        "customer": "household",
        "cap_entitled": True,
        "cap_limit": "standard",
        "partial_month": "full_month",
        "installed_power_w": None,
        "prosumer_since": None,
        "rce_from": None,
        "night_reference_kwh": None,
        "connection_power_w": None,
        "payout_bank_number": None,
        "policies": Policies(),
        "valid_from": date(2022, 1, 1),
        "valid_to": None,
    }
    return Contract(**(fields | changes))


def a_prosumer(scheme: str = "net_billing", **changes: Any) -> Contract:
    """The same household with 8 kW on its roof since July 2022."""
    fields: dict[str, Any] = {
        "scheme": scheme,
        "installed_power_w": 8000,
        "prosumer_since": EARLY,
        "payout_bank_number": BANK_NUMBER if scheme == "tenant" else None,
    }
    return a_contract(**(fields | changes))


def under(
    scheme: str, start: date | None = None, end: date | None = None, **changes: Any
) -> Contract:
    """A contract of any scheme on the days [start, end)."""
    changes |= {"valid_to": end} | ({} if start is None else {"valid_from": start})
    return a_contract(**changes) if scheme == "plain" else a_prosumer(scheme, **changes)


def prices(**zones: str) -> dict[str, Decimal]:
    """Prices by zone, PLN/kWh."""
    return {zone: Decimal(price) for zone, price in zones.items()}


def some_tables(changes: Changes | None = None) -> Tables:
    """RATES on every day, but for keys whose value changes on some days, or begins there.

    A seller's price list has no other rows than those given; a value "" says that rows end there.
    """
    changed = changes or {}
    rows = [row for row in tables.load().rows if row.table == "prosumer"]
    for table, key in {**RATES, **changed}:
        unit, bands = RATES.get((table, key), (_unit(key), {}))
        for low, first in {**bands, **({} if bands else {0: ""})}.items():
            history = {FIRST_DAY: first, **changed.get((table, key), {})}
            highs = [other - 1 for other in bands if other > low]
            band = (low, min(highs, default=None))
            rows += _rows(table, key, unit, history, band)
    return Tables(rows)


def _unit(key: str) -> str:
    return "pln_per_month" if "fee" in key or "fixed" in key else "pln_per_kwh"


def _rows(
    table: str, key: str, unit: str, history: Mapping[date, str], band: tuple[int, int | None]
) -> list[Row]:
    days = [*history.items(), (None, "")]
    return [
        Row(table, key, Decimal(value), unit, day, until, "a test", band)
        for (day, value), (until, _) in pairwise(days)
        if value and day is not None
    ]


def limit_of_2024(**limits: str) -> Changes:
    """A limit of use in the first half of 2024, then a cap, as the acts had it."""
    half, july, end = date(2024, 1, 1), date(2024, 7, 1), date(2025, 1, 1)
    return {
        ("price_cap", "household.regime"): {half: "2", july: "1", end: "0"},
        ("price_cap", "household"): {half: "0.698", july: "0.505"},
        ("price_cap", "household.inside_limit"): {half: "0.417"},
        **{
            ("price_cap", f"household.limit.{name}"): {half: limit}
            for name, limit in limits.items()
        },
    }


def cap_from(month: Month, price: str) -> Changes:
    """A cap without limit of use from that month on."""
    return {
        ("price_cap", "household.regime"): {month.first: "1"},
        ("price_cap", "household"): {month.first: price},
    }
