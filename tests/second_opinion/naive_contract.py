"""What holds on a day: the facts of the contract, its end, the parts of a month, the yearly use.

A household's "changes" are facts that hold from a day on ("from"), in order; "ends" is the first
day without a contract, or None. An invoice is of one month or two; a month is one part, or two
where something changes inside of it.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from decimal import Decimal
from typing import Any

from tests.second_opinion.naive_numbers import half_up

ZONES = {"G11": ("all_day",), "G12": ("day", "night"), "G12w": ("peak", "offpeak")}
BALANCED_FROM = "2022-04-01"
SHARE_STEP = Decimal("0.0001")


def facts_on(household: dict[str, Any], day: str) -> dict[str, Any]:
    """The facts of the household with all changes up to a day."""
    facts = dict(household)
    for change in household["changes"]:
        if change["from"] <= day:
            facts |= change
    return facts


def is_paid_by_deposit(household: dict[str, Any]) -> bool:
    """Whether there ever is a deposit."""
    every = [household["scheme"], *(change.get("scheme") for change in household["changes"])]
    return "net_billing" in every or "tenant" in every


def how_it_ends(household: dict[str, Any], part: dict[str, Any]) -> str:
    """After a part: "seller" when there is none or another one, "scheme" when no prosumer is left.

    "" when storage and deposit go on.
    """
    if part["until"] == household["ends"]:
        return "seller"
    before, after = facts_on(household, part["from"]), facts_on(household, part["until"])
    if after["seller"] != before["seller"]:
        return "seller"
    return "scheme" if after["scheme"] == "plain" != before["scheme"] else ""


def as_settled(
    facts: dict[str, Any], part: dict[str, Any], policies: dict[str, str]
) -> dict[str, Any]:
    """The facts and the part in one: zones in printed order, raw energy without balancing."""
    raw = facts["scheme"] == "plain" or part["from"] < BALANCED_FROM
    taken, fed_in = ("import_wh", "export_wh") if raw else ("positive_wh", "negative_wh")
    by_raw = facts["scheme"] == "plain" or policies["band_basis"] == "raw"
    zones = ZONES[facts["group"]]
    return {
        **facts,
        "from": part["from"],
        "until": part["until"],
        "positive_wh": {zone: part[taken][zone] for zone in zones},
        "negative_wh": {zone: part[fed_in][zone] for zone in zones},
        "rce": part["rce"],
        "used_wh": sum(part["import_wh" if by_raw else "positive_wh"].values()),
    }


def yearly_kwh(uses: list[tuple[str, str, int]], until: str) -> int:
    """Whole kWh of the year that ends on a day; of a part it begins in, by days."""
    end = date.fromisoformat(until)
    # There is no 29 February a year before.
    first = end.replace(year=end.year - 1, day=28 if (end.month, end.day) == (2, 29) else end.day)
    used_wh = Decimal(0)
    for part_from, part_until, wh in uses:
        start, stop = date.fromisoformat(part_from), date.fromisoformat(part_until)
        days = max(0, (stop - max(start, first)).days)
        used_wh += Decimal(wh * days) / (stop - start).days
    return int(half_up(used_wh / 1000))


def months_charged(part: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """How many months the fixed fees and the subscription are charged for."""
    start, until = date.fromisoformat(part["from"]), date.fromisoformat(part["until"])
    started = Decimal(1 if start.day == 1 else 0)
    if part["partial_month"] == "full_month":
        return started, started
    days, of_month = (until - start).days, monthrange(start.year, start.month)[1]
    return half_up(Decimal(days) / of_month, SHARE_STEP), started
