"""Makes random households with made-up rates and prices, the same ones for the same seed.

Amounts are text, energy integer Wh, months "2024-07", as naive.settle() takes them. Edges are
made likelier than they are: halves of a kWh, limits that are crossed, equal zone prices, exactly
10 kW, invoices of the very day a price is corrected.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

from tests.second_opinion.made_up_prices import Rates, Rcem, price, random_rates, random_rcem
from tests.second_opinion.naive_numbers import Month, plus, text_of

MONTHS = 24
ZONES = {"G11": ("all_day",), "G12": ("day", "night"), "G12w": ("peak", "offpeak")}
FIRST_MONTHS = {  # of each scheme: since when the law knows it, as (year, month)
    "plain": (2022, 4),
    "net_metering": (2022, 4),
    "net_billing": (2022, 7),
    "tenant": (2023, 10),
}
LAST_FIRST_MONTH = (2025, 1)
JULY_2024 = (2024, 7)
# The default comes first.
POLICIES = {
    "cap_scope": ("zone_weighted_average", "unit_price"),
    "uplift_start": ("2025-02", "2025-01"),
    "rce_clamp": ("quarter", "hour", "none"),
    "deposit_clock": ("booking_month", "export_month"),
    "deposit_booking": ("next_month", "same_month"),
    "rcem_correction": ("post_difference", "settle_again"),
    "rce_transition": ("rcem_stays", "rce_from_2024_07"),
    "refund_thirty": ("after_statement", "every_rce"),
    "early_refund": ("paid", "forfeited"),
    "tenant_payout": ("whole", "refund_share"),
    "zone_policy": ("highest_variable_first", "per_zone", "proportional"),
    "storage_expiry": ("month_plus_12", "month_plus_11"),
    "storage_exemption": ("every_variable_item", "network_variable_only"),
    "kwh_rounding": ("half_up", "down", "carry", "exact"),
    "band_basis": ("balanced", "raw"),
}

Household = dict[str, Any]


def random_household(seed: int) -> tuple[Household, Rates, Rcem]:
    """(household, rates, rcem) of up to 24 consecutive months, as naive.settle() takes them."""
    rng = Random(seed)
    scheme = rng.choice(["plain", "net_metering", "net_metering", "net_billing", "tenant"])
    if rng.random() < 0.2:
        scheme = "net_billing"
    first = first_month(rng, scheme)
    months = [plus(first, count) for count in range(MONTHS)]
    zones = ZONES[group := rng.choice(list(ZONES))]
    rates = random_rates(rng, months, zones)
    household: Household = {
        "group": group,
        "phases": rng.choice([1, 3]),
        "annual_kwh": rng.choice([None, rng.randrange(6000)]),
        "partial_month": rng.choice(["full_month", "full_month", "by_days"]),
        "seller": "the first",
    }
    household |= prosumer_of(rng, scheme, first) | money_of(rng, zones, rates)
    household |= cap_and_rebate_of(rng, first)
    household["policies"] = {
        name: rng.choice(values) for name, values in POLICIES.items() if rng.random() < 0.3
    }
    household["changes"] = random_changes(rng, household, months, rates)
    household["ends"] = random_day(rng, rng.choice(months[6:])) if rng.random() < 0.15 else None
    # What it takes and what it feeds in: some use up all they feed in, some let most run out.
    sizes = rng.choice([0.02, 0.3, 1.0, 1.0, 3.0, 200.0]), rng.choice([0.2, 1.0, 1.0, 5.0, 50.0])
    sizes = sizes[0], sizes[0] * sizes[1]
    household["invoices"] = [
        random_invoice(rng, household, of_invoice, zones, sizes)
        for of_invoice in invoiced_together(rng, household, months)
    ]
    return household, rates, random_rcem(rng, months)


def first_month(rng: Random, scheme: str) -> Month:
    """A month from the first that knows the scheme up to January 2025."""
    year, month = FIRST_MONTHS[scheme]
    last_year, last_month = LAST_FIRST_MONTH
    span = (last_year - year) * 12 + last_month - month
    return plus((year, month), rng.randint(0, span))


def prosumer_of(rng: Random, scheme: str, first: Month) -> Household:
    """Scheme, power, and the months in which the prosumer came or moved to RCE."""
    since, rce_from = None, None
    if scheme == "net_metering":
        since = rng.choice(["2016-05-01", "2021-11-30", "2022-03-31"])
    elif scheme != "plain":
        since = "2022-04-01"
        if first >= JULY_2024:
            since = rng.choice(["2022-04-01", "2024-06-30", "2024-07-01"])
    if since is not None and since < "2024-07" and rng.random() < 0.4:
        rce_from = text_of(plus((2025, 1), rng.randint(0, 8)))
    return {
        "scheme": scheme,
        "installed_power_w": since and rng.choice([800, 9_999, 10_000, 10_001, 49_000]),
        "prosumer_since": since,
        "rce_from": rce_from,
    }


def random_day(rng: Random, month: Month) -> str:
    """The first day of a month, or one inside of it."""
    return f"{text_of(month)}-{rng.choice([1, 1, 2, 15, 17, 28]):02}"


def random_changes(
    rng: Random, household: Household, months: list[Month], rates: Rates
) -> list[Household]:
    """Other prices, another seller and another scheme, each in a month of its own."""
    zones = tuple(household["prices"])
    changes: list[Household] = []
    changing = rng.sample(months[1:], 3)
    if rng.random() < 0.15:
        changes.append({"from": random_day(rng, changing[0])} | money_of(rng, zones, rates))
    if rng.random() < 0.15:
        day = f"{text_of(changing[1])}-01"
        changes.append({"from": day, "seller": "the second"} | money_of(rng, zones, rates))
    day = random_day(rng, changing[2])
    moves = {
        "plain": ["net_billing"] * (day >= "2022-07"),
        "net_metering": ["net_billing"] * 4 * (day >= "2022-07") + ["plain"],
        "net_billing": ["plain"] + ["tenant"] * (day >= "2023-10"),
        "tenant": ["plain", "net_billing"],
    }[household["scheme"]]
    if moves and rng.random() < (0.4 if household["scheme"] == "net_metering" else 0.15):
        change: Household = {"from": day, "scheme": rng.choice(moves)}
        if household["scheme"] == "plain":
            change |= {"prosumer_since": day, "installed_power_w": 5_000}
        changes.append(change)
    return sorted(changes, key=lambda change: change["from"])


def money_of(rng: Random, zones: tuple[str, ...], rates: Rates) -> Household:
    """The prices of a seller."""
    prices = {zone: price(rng, 0.3, 1.1) for zone in zones}
    if rng.random() < 0.1:
        prices = dict.fromkeys(zones, rng.choice(["0.50500", "0.50501", "0.50499"]))
    # A row may say no price inside the limit; then each zone keeps its own.
    own = any(rate["regime"] == 2 and rate["inside"] is None for rate in rates.values())
    frozen = own or len(zones) > 1 or rng.random() < 0.3
    return {
        "prices": prices,
        "frozen_prices": {zone: price(rng, 0.2, 0.9) for zone in zones} if frozen else None,
        "trade_fee": rng.choice(["0", "0.00", "28.86", "9.99"]),
    }


def cap_and_rebate_of(rng: Random, first: Month) -> Household:
    """What the price protection grants, and a rebate for customers of 2023."""
    rebated = first < (2024, 1) and rng.random() < 0.6
    return {
        "cap_entitled": rng.random() < 0.85,
        "cap_limit": rng.choice(["standard", "disability", "large_family"]),
        "rebate_gr": rng.choice([1, 12_345, 24_864, 500_000, 2_000_000]) if rebated else 0,
    }


def invoiced_together(rng: Random, household: Household, months: list[Month]) -> list[list[Month]]:
    """The months up to the end, one by one or some of them two by two, never of two sellers.

    Only of prosumers, whose parts end with the month whether anything changes or not.
    """
    schemes = [household["scheme"], *(each.get("scheme") for each in household["changes"])]
    is_paired = "plain" not in schemes and rng.random() < 0.3
    cuts = [each["from"] for each in household["changes"] if "seller" in each]
    together: list[list[Month]] = []
    for month in months:
        first = f"{text_of(month)}-01"
        if household["ends"] is not None and first >= household["ends"]:
            break
        begins = not is_paired or not together or len(together[-1]) == 2 or first in cuts
        if begins or rng.random() < 0.3:
            together.append([])
        together[-1].append(month)
    return together


def random_invoice(
    rng: Random,
    household: Household,
    months: list[Month],
    zones: tuple[str, ...],
    sizes: tuple[float, float],
) -> dict[str, Any]:
    """The parts of an invoice, and the day on which it is made."""
    days_known = [11, 11, 12, 15, 20, 28]
    if is_invoiced_early(household):
        days_known += [1, 5, 10]
    return {
        "known_on": f"{text_of(plus(months[-1], 1))}-{rng.choice(days_known):02}",
        "parts": [
            part for month in months for part in random_parts(rng, household, month, zones, sizes)
        ],
    }


def random_parts(
    rng: Random,
    household: Household,
    month: Month,
    zones: tuple[str, ...],
    sizes: tuple[float, float],
) -> list[dict[str, Any]]:
    """A month, cut where something changes inside of it."""
    first, following = f"{text_of(month)}-01", f"{text_of(plus(month, 1))}-01"
    end = min(household["ends"] or following, following)
    days = {first} | {change["from"] for change in household["changes"]}
    starts = sorted(day for day in days if first <= day < end)
    return [
        {"from": start, "until": until} | random_energy(rng, month, zones, sizes)
        for start, until in pairwise([*starts, end])
    ]


def is_invoiced_early(household: Household) -> bool:
    """Whether an invoice may come before the price of its month: nothing asks for that price."""
    booked_late = household["policies"].get("deposit_booking") != "same_month"
    leaves = household["ends"] or any(
        "seller" in change or change.get("scheme") == "plain" for change in household["changes"]
    )
    return booked_late and not leaves


def random_energy(
    rng: Random, month: Month, zones: tuple[str, ...], sizes: tuple[float, float]
) -> dict[str, Any]:
    """Energy of a part of a month: sunny in summer, lit in winter, often nothing or a great deal.

    What was taken and fed in during the same hours (`matched`) is in the raw sums of a zone only.
    """
    sunny = 4 <= month[1] <= 9
    positive = {zone: energy(rng, sizes[0] * (0.6 if sunny else 1.0)) for zone in zones}
    negative = {zone: energy(rng, sizes[1] * (1.8 if sunny else 0.4)) for zone in zones}
    matched = {zone: energy(rng, sizes[0] / 5) for zone in zones}
    return {
        "import_wh": {zone: positive[zone] + matched[zone] for zone in zones},
        "export_wh": {zone: negative[zone] + matched[zone] for zone in zones},
        "positive_wh": positive,
        "negative_wh": negative,
        "rce": random_hours(rng, month, sum(negative.values())),
    }


def energy(rng: Random, size: float) -> int:
    """Wh of one zone and month, around 250 kWh at size 1; often a half of a kWh, or nothing."""
    kind = rng.random()
    if kind < 0.1 or not size:
        return 0
    wh = int(rng.expovariate(1 / 250_000) * size)
    return wh // 1000 * 1000 + 500 if kind < 0.25 else wh


def random_hours(rng: Random, month: Month, export_wh: int) -> list[list[Any]]:
    """Splits an export into up to eight hours and gives each its four prices in PLN/MWh.

    Until September 2025 an hour had one price, here repeated four times.
    """
    cuts = sorted(rng.randint(0, export_wh) for _ in range(rng.randint(0, 7)))
    parts = [b - a for a, b in pairwise([0, *cuts, export_wh]) if b > a]
    quarterly = month >= (2025, 10)
    hours: list[list[Any]] = []
    for part in parts:
        mean = rng.choice([rng.randint(-30_000, 90_000), rng.randint(-6_000, 6_000), 0])
        prices = [mean + quarterly * rng.randint(-8_000, 8_000) for _ in range(4)]
        hours.append([part, [str(Decimal(cents) / 100) for cents in prices]])
    return hours
