"""Net-billing told naively: a list of lots in grosz, valued, corrected, used, refunded (section 3).

A lot is a dict. Pending: month (of export), wh and hours (what was fed in), converted_kwh (out of
net-metering). Booked, also: tenant, mode ("rcem" or "rce"), kwh, percent (refund), price (the RCEm
it stands on), value_gr, open_gr; once it has ended, refunded_gr and lost_gr (forfeited); for a
tenant prosumer paid_gr and lost_gr, what was paid out of it and what was forfeited.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.second_opinion.naive_numbers import Month, grosz, half_up, month_of, plus, text_of

Lot = dict[str, Any]
Rcem = dict[str, list[list[str]]]

JULY_2024 = (2024, 7)
THIRTY_FROM = (2025, 2)


def mode_of(household: dict[str, Any], policies: dict[str, str], month: Month) -> str:
    """Which price values the export of a month: the monthly one or the hourly ones."""
    if month < JULY_2024:
        return "rcem"
    if month_of(household["prosumer_since"]) >= JULY_2024:
        return "rce"
    if by_statement(household, month) or policies["rce_transition"] == "rce_from_2024_07":
        return "rce"
    return "rcem"


def by_statement(household: dict[str, Any], month: Month) -> bool:
    """Whether the prosumer had moved to RCE by statement by this month."""
    return household["rce_from"] is not None and month >= month_of(household["rce_from"])


def percent_of(household: dict[str, Any], policies: dict[str, str], month: Month, mode: str) -> int:
    """How many percent of a month's value can come back: 20, or 30 on RCE since February 2025."""
    if mode == "rcem" or month < THIRTY_FROM:
        return 20
    if policies["refund_thirty"] == "every_rce" or by_statement(household, month):
        return 30
    return 20


def pending_of(state: dict[str, Any], month: Month) -> Lot:
    """The export of a month that is not valued yet; a new one at its first part."""
    pending: list[Lot] = state["pending"]
    for lot in pending:
        if lot["month"] == month:
            return lot
    pending.append({"month": month, "wh": 0, "hours": [], "converted_kwh": 0})
    return pending[-1]


def price_of(rcem: Rcem, month: Month, known_on: str) -> Decimal:
    """The newest RCEm of a month that was published by a day."""
    known = [value for published, value in rcem[text_of(month)] if published <= known_on]
    if not known:
        raise LookupError(f"no RCEm of {text_of(month)} was known on {known_on}")
    return Decimal(known[-1])


def hour_price(quarters: list[str], clamp: str) -> Decimal:
    """The mean of an hour's four prices in PLN/MWh; where a negative one becomes zero is policy."""
    prices = [Decimal(quarter) for quarter in quarters]
    if clamp == "quarter":
        prices = [max(price, Decimal(0)) for price in prices]
    mean = sum(prices, Decimal(0)) / 4
    return max(mean, Decimal(0)) if clamp == "hour" else mean


def value_of(lot: Lot, price: Decimal | None, policies: dict[str, str]) -> int:
    """The value of a month's export in grosz, rounded once; never below zero."""
    pln = Decimal(0)
    if lot["kwh"]:
        assert price is not None
        pln += lot["kwh"] * price / 1000
    if lot["mode"] == "rce":
        for export_wh, quarters in lot["hours"]:
            pln += export_wh * hour_price(quarters, policies["rce_clamp"]) / 1_000_000
    raised = lot["month"] >= month_of(policies["uplift_start"])
    return max(0, grosz(pln * (Decimal("1.23") if raised else 1)))


def book(
    lot: Lot, facts: dict[str, Any], rcem: Rcem, known_on: str, policies: dict[str, str]
) -> None:
    """Values a lot with what is known; from now on it is open."""
    lot["tenant"] = facts["scheme"] == "tenant"
    # What net-metering left over is valued by the monthly price, and refunded like it.
    only_converted = lot["converted_kwh"] and not lot["wh"]
    lot["mode"] = "rcem" if only_converted else mode_of(facts, policies, lot["month"])
    lot["percent"] = percent_of(facts, policies, lot["month"], lot["mode"])
    lot["kwh"] = lot["converted_kwh"]
    if lot["mode"] == "rcem":
        lot["kwh"] += int(half_up(Decimal(lot["wh"]) / 1000))
    lot["price"] = price_of(rcem, lot["month"], known_on) if lot["kwh"] else None
    lot["value_gr"] = lot["open_gr"] = value_of(lot, lot["price"], policies)
    lot["ended"] = False
    lot["paid_gr"] = lot["refunded_gr"] = lot["lost_gr"] = 0


def correct(lot: Lot, rcem: Rcem, known_on: str, policies: dict[str, str]) -> dict[str, int]:
    """Posts a corrected RCEm to a lot; what that moved.

    A higher value opens the lot further, also when it was used up. A lower one takes from what
    is open, and what was already used is asked back (returned_gr). A lot that has ended ends once
    more with the new value. For a tenant prosumer pay_out() sees to it.
    """
    if lot["price"] is None or price_of(rcem, lot["month"], known_on) == lot["price"]:
        return {}
    lot["price"] = price_of(rcem, lot["month"], known_on)
    before = dict(lot)
    lot["value_gr"] = value_of(lot, lot["price"], policies)
    revalued = lot["value_gr"] - before["value_gr"]
    if lot["tenant"]:
        return {"revalued_gr": revalued}
    lot["open_gr"] += revalued + lot["refunded_gr"] + lot["lost_gr"]
    asked_back = max(0, -int(lot["open_gr"]))
    lot["open_gr"] += asked_back
    if lot["ended"]:
        end_one(lot, policies)
    return {
        "revalued_gr": revalued,
        "returned_gr": asked_back,
        "refunded_gr": lot["refunded_gr"] - before["refunded_gr"],
        "forfeited_gr": lot["lost_gr"] - before["lost_gr"],
    }


def use(lots: list[Lot], energy_gr: int) -> int:
    """Pays gross active energy from the oldest lots on; the grosz used."""
    used = 0
    for lot in lots:
        take = min(lot["open_gr"], energy_gr - used)
        lot["open_gr"] -= take
        used += take
    return used


def pay_out(lot: Lot, policies: dict[str, str]) -> tuple[int, int]:
    """A tenant prosumer's lot to the bank: (paid out, forfeited) since last time.

    Both are negative after a lower price.
    """
    whole = policies["tenant_payout"] == "whole"
    due = lot["value_gr"] if whole else lot["value_gr"] * lot["percent"] // 100
    now = due - lot["paid_gr"]
    lost = lot["value_gr"] - due - lot["lost_gr"]
    lot["paid_gr"] += now
    lot["lost_gr"] += lost
    lot["open_gr"] = 0
    return now, lost


def last_month(lot: Lot, policies: dict[str, str]) -> Month:
    """The last month whose invoice a lot can pay: the 12th from its booking, or its export."""
    first: Month = lot["month"]
    if policies["deposit_booking"] == "next_month" and policies["deposit_clock"] == "booking_month":
        first = plus(first, 1)
    return plus(first, 11)


def expire(lots: list[Lot], month: Month, policies: dict[str, str]) -> dict[str, int]:
    """Ends the lots whose last month this was."""
    return end([lot for lot in lots if last_month(lot, policies) <= month], policies)


def end(lots: list[Lot], policies: dict[str, str]) -> dict[str, int]:
    """Ends lots that have not ended yet: what is refunded and what is forfeited."""
    ending = [lot for lot in lots if not lot["ended"] and not lot["tenant"]]
    for lot in ending:
        end_one(lot, policies)
    return {
        "refunded_gr": sum(lot["refunded_gr"] for lot in ending),
        "forfeited_gr": sum(lot["lost_gr"] for lot in ending),
    }


def end_one(lot: Lot, policies: dict[str, str]) -> None:
    """Refunds a part of the value if there is as much left; the rest is forfeited."""
    refund = min(lot["open_gr"], lot["value_gr"] * lot["percent"] // 100)
    if policies["early_refund"] == "forfeited" and last_month(lot, policies) < JULY_2024:
        refund = 0
    lot["refunded_gr"], lot["lost_gr"] = refund, lot["open_gr"] - refund
    lot["open_gr"], lot["ended"] = 0, True
