"""What holds on a day: the facts of the contract, its end, the parts of a month, the yearly use.

A household's "changes" are facts that hold from a day on ("from"), in order; "ends" is the first
day without a contract, or None. A month is one part, or two where something changes inside of it.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta
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
        "fed_in": False,
    }


def yearly_kwh(
    uses: list[tuple[str, int]], household: dict[str, Any], part: dict[str, Any]
) -> int:
    """Whole kWh of the parts that began in the year before the end of the part's month."""
    last = date.fromisoformat(part["from"])
    end = last.replace(day=monthrange(last.year, last.month)[1]) + timedelta(days=1)
    if household["ends"] is not None:
        end = min(end, date.fromisoformat(household["ends"]))
    # There is no 29 February a year before.
    first = end.replace(year=end.year - 1, day=28 if (end.month, end.day) == (2, 29) else end.day)
    return int(half_up(Decimal(sum(wh for start, wh in uses if start >= str(first))) / 1000))


def months_charged(part: dict[str, Any], partial_month: str) -> tuple[Decimal, Decimal]:
    """How many months the fixed fees and the subscription are charged for."""
    start, until = date.fromisoformat(part["from"]), date.fromisoformat(part["until"])
    started = Decimal(1 if start.day == 1 else 0)
    if partial_month == "full_month":
        return started, started
    days, of_month = (until - start).days, monthrange(start.year, start.month)[1]
    return half_up(Decimal(days) / of_month, SHARE_STEP), started
