"""Made-up rates, price protection and market prices for the random households."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.second_opinion.naive_numbers import Month, plus, text_of

Rates = dict[str, dict[str, Any]]
Rcem = dict[str, list[list[str]]]


def price(rng: Random, low: float, high: float) -> str:
    """A price of one kWh with five decimals."""
    return f"{rng.uniform(low, high):.5f}"


def random_rates(rng: Random, months: list[Month], zones: tuple[str, ...]) -> Rates:
    """Made-up rates of each month, either the same ones throughout or changing now and then."""
    changing = rng.choice([0.0, 0.0, 0.2, 1.0])
    protection = random_protection(rng)
    rates: Rates = {}
    row = network_rates(rng, zones)
    for month in months:
        if rng.random() < changing:
            row = network_rates(rng, zones)
        vat = "5" if month[0] == 2022 else "23"
        rates[text_of(month)] = {"vat": vat} | row | protection[window_of(month)]
    return rates


def network_rates(rng: Random, zones: tuple[str, ...]) -> dict[str, Any]:
    """What distribution and levies cost; now and then all zones cost the same."""
    variable = {zone: price(rng, 0.03, 0.4) for zone in zones}
    if rng.random() < 0.15:
        variable = dict.fromkeys(zones, "0.25730")
    return {
        "variable": variable,
        "fixed": rng.choice(["7.38", "10.34", "10.86", "12.72"]),
        "quality": rng.choice(["0.03140", "0.03210", "0.03310", price(rng, 0.0, 0.1)]),
        "renewable": rng.choice(["0", "0.00350", "0.00730"]),
        "cogeneration": rng.choice(["0.00618", "0.00300", price(rng, 0.0, 0.01)]),
        "subscription": rng.choice(["4.56", "5.61", "2.28"]),
        "capacity": random_bands(rng, (0, 500, 1201, 2801), ["0.00", "2.86", "14.90", "24.05"]),
        "transitional": random_bands(rng, (0, 500, 1201), ["0.00", "0.02", "0.10", "0.33"]),
    }


def random_bands(rng: Random, starts: tuple[int, ...], prices: list[str]) -> dict[str, str]:
    """A price for each band of yearly use, by its first kWh."""
    return {str(start): rng.choice(prices) for start in starts}


def window_of(month: Month) -> str:
    """The stretch of time in which the law kept one kind of price protection."""
    if month[0] == 2024:
        return "2024-H1" if month[1] <= 6 else "2024-H2"
    return str(min(month[0], 2026))


def random_protection(rng: Random) -> dict[str, dict[str, Any]]:
    """What protects the price in each window: nothing, a cap, or a price inside a limit."""
    nothing = {"regime": 0, "cap": None, "inside": None, "limit": None}
    found: dict[str, dict[str, Any]] = {"2022": nothing, "2026": nothing}
    one_zone_price = rng.random() < 0.7
    for window in ("2023", "2024-H1"):
        standard = rng.choice([100, 500, 1500, 2000])
        found[window] = {
            "regime": 2,
            "cap": price(rng, 0.5, 0.8),
            "inside": price(rng, 0.3, 0.6) if one_zone_price else None,
            "limit": {
                "standard": standard,
                "disability": standard + 300,
                "large_family": standard + 500,
            },
        }
    for window in ("2024-H2", "2025"):
        cap = rng.choice(["0.50500", price(rng, 0.3, 0.8)])
        found[window] = {"regime": 1, "cap": cap, "inside": None, "limit": None}
    for window in found:
        if rng.random() < 0.15:
            found[window] = nothing
    return found


def random_rcem(rng: Random, months: list[Month]) -> Rcem:
    """RCEm of each month with up to two corrections, each on the 11th within twelve months."""
    rcem: Rcem = {}
    for month in months:
        count = rng.choice([0, 0, 0, 1, 1, 2])
        after = [1, *sorted(rng.sample(range(2, 13), count))]
        about = rng.uniform(100, 800)
        values = [0.0 if rng.random() < 0.07 else about * rng.uniform(0.7, 1.3) for _ in after]
        rcem[text_of(month)] = [
            [f"{text_of(plus(month, later))}-11", f"{value:.2f}"]
            for later, value in zip(after, values, strict=True)
        ]
    return rcem
