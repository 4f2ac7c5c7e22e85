"""Settles a household invoice by invoice, as naively as can be told; no code of settlement.

A household, its rates and its RCEm are plain JSON-like dicts (households.py makes them). Amounts
are integer grosz, energy integer Wh; prices are text in PLN, turned into Decimal; days and months
are text.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Any

from tests.second_opinion import naive_deposit as deposit
from tests.second_opinion import naive_storage as storage
from tests.second_opinion.naive_contract import (
    as_settled,
    facts_on,
    how_it_ends,
    is_paid_by_deposit,
    months_charged,
    yearly_kwh,
)
from tests.second_opinion.naive_lines import energy_parts, limit_window, lines_of, rounded_wh
from tests.second_opinion.naive_numbers import Month, month_of, plus, text_of

REBATE_FROM = "2024-01-01"
DEPOSITS = ("net_billing", "tenant")
DEFAULTS = {
    "cap_scope": "zone_weighted_average",
    "uplift_start": "2025-02",
    "rce_clamp": "quarter",
    "deposit_clock": "booking_month",
    "deposit_booking": "next_month",
    "rcem_correction": "post_difference",
    "rce_transition": "rcem_stays",
    "refund_thirty": "after_statement",
    "early_refund": "paid",
    "tenant_payout": "whole",
    "zone_policy": "highest_variable_first",
    "storage_expiry": "month_plus_12",
    "storage_exemption": "every_variable_item",
    "kwh_rounding": "half_up",
    "band_basis": "balanced",
}

Household = dict[str, Any]
Rates = dict[str, dict[str, Any]]
Result = dict[str, Any]
State = dict[str, Any]

SUMS = (
    "deposit_used_gr", "returned_gr", "rebate_paid_out_gr", "refunded_gr", "forfeited_gr",
    "forfeited_wh", "paid_out_gr", "booked_gr", "revalued_gr",
)  # fmt: skip


def settle(household: Household, rates: Rates, rcem: deposit.Rcem) -> list[Result]:
    """One result per invoice, as it stood when it was made.

    Under `settle_again` every invoice is preceded by settling all earlier months with the prices
    known by then; resettled_gr is what that changed in the sum of what they ask to pay.
    """
    invoices = household["invoices"]
    policies = DEFAULTS | household["policies"]
    if policies["rcem_correction"] == "post_difference" or not is_paid_by_deposit(household):
        return run(household, rates, rcem, [metered["known_on"] for metered in invoices])
    results: list[Result] = []
    before: list[Result] = []
    for count, metered in enumerate(invoices, start=1):
        again = settle_as_of(household, rates, rcem, metered["known_on"], count)
        changed = sum(new["to_pay_gr"] for new in again[:-1])
        changed -= sum(old["to_pay_gr"] for old in before)
        results.append(again[-1] | {"resettled_gr": changed})
        before = again
    return results


def settle_as_of(
    household: Household, rates: Rates, rcem: deposit.Rcem, known_on: str, count: int
) -> list[Result]:
    """The first `count` invoices, all settled with what was known on one day."""
    return run(household, rates, rcem, [known_on] * count)


def run(household: Household, rates: Rates, rcem: deposit.Rcem, known: list[str]) -> list[Result]:
    """Folds over the invoices, one for each day in `known`, which says when it was settled."""
    state: State = {
        "policies": DEFAULTS | household["policies"],
        "store": [],
        "pending": [],
        "lots": [],
        "rebate_gr": household["rebate_gr"],
        "owed_gr": 0,
        "carried": {},
        "other_carried": {},
        "limit_used_wh": {},
        "uses": [],
    }
    return [
        one_invoice(household, rates, rcem, metered["parts"], known_on, state)
        for metered, known_on in zip(household["invoices"], known, strict=False)
    ]


def one_invoice(
    household: Household,
    rates: Rates,
    rcem: deposit.Rcem,
    metered: list[dict[str, Any]],
    known_on: str,
    state: State,
) -> Result:
    """One invoice, in the order things happen; `state` changes in place."""
    policies = state["policies"]
    parts = [as_settled(facts_on(household, part["from"]), part, policies) for part in metered]
    state["uses"] += [(part["from"], part["until"], part["used_wh"]) for part in parts]
    annual_kwh = yearly_kwh(state["uses"], parts[-1]["until"])
    sums: Counter[str] = Counter()
    lines: list[Any] = []
    for text, same in groupby(parts, key=lambda part: str(part["from"][:7])):
        of_month, rate = list(same), rates[text]
        cover(of_month, rate, state)
        for part in of_month:
            if part["scheme"] in DEPOSITS:
                open_deposit(
                    rcem, part, fed_in_now(part, of_month, policies), known_on, state, sums
                )
            printed = invoice_lines(part, rate, annual_kwh, state)
            lines += printed
            energy_gr = sum(line[6] for line in printed if line[0] == "active_energy")
            sums["deposit_used_gr"] += deposit.use(state["lots"], energy_gr)
            close(household, rcem, part, known_on, state, sums)
    if policies["kwh_rounding"] != "carry":
        state["carried"], state["other_carried"] = {}, {}
    # What corrected prices ask back is asked for by corrections of the earlier invoices, which a
    # rebate does not lower.
    to_pay_gr = sum(line[6] for line in lines) - sums["deposit_used_gr"]
    rebate_gr = min(state["rebate_gr"], to_pay_gr) if parts[0]["from"] >= REBATE_FROM else 0
    state["rebate_gr"] -= rebate_gr
    if how_it_ends(household, parts[-1]) == "seller" and parts[-1]["until"] >= REBATE_FROM:
        sums["rebate_paid_out_gr"], state["rebate_gr"] = state["rebate_gr"], 0
    return {name: sums[name] for name in SUMS} | {
        "month": parts[0]["from"][:7],
        "lines": lines,
        "rebate_used_gr": rebate_gr,
        "to_pay_gr": to_pay_gr - rebate_gr,
        "payable_wh": {
            zone: sum(part["payable_wh"][zone] for part in parts) for zone in parts[0]["payable_wh"]
        },
        "storage_open_wh": sum(lot["wh"] for lot in state["store"]),
        "deposit_open_gr": sum(lot["open_gr"] for lot in state["lots"]),
        "owed_gr": state["owed_gr"],
        "resettled_gr": 0,
    }


def fed_in_now(
    part: dict[str, Any], of_month: list[dict[str, Any]], policies: dict[str, str]
) -> list[dict[str, Any]]:
    """The parts whose export is noted with this one.

    Where export pays in its own month, all of it comes in once, with the month's first part.
    """
    if policies["deposit_booking"] == "next_month":
        return [part]
    alike = [each for each in of_month if each["scheme"] == part["scheme"]]
    return alike if part is alike[0] else []


def open_deposit(
    rcem: deposit.Rcem,
    part: dict[str, Any],
    export: list[dict[str, Any]],
    known_on: str,
    state: State,
    sums: Counter[str],
) -> None:
    """Takes the storage over, notes what is fed in, posts corrected prices, books what is due."""
    month = month_of(part["from"])
    if state["store"]:
        last = month if part["from"][8:] != "01" else plus(month, -1)
        deposit.pending_of(state, last)["converted_kwh"] += storage.empty(state["store"])
    for each in export:
        lot = deposit.pending_of(state, month)
        lot["wh"] += sum(each["negative_wh"].values())
        lot["hours"] += each["rce"]
    booked_late = state["policies"]["deposit_booking"] == "next_month"
    post(rcem, part, plus(month, -1) if booked_late else month, known_on, state, sums)


def post(
    rcem: deposit.Rcem,
    facts: dict[str, Any],
    due_by: Month,
    known_on: str,
    state: State,
    sums: Counter[str],
) -> None:
    """Posts corrected prices, books export up to the month `due_by`, pays tenant prosumers out."""
    policies = state["policies"]
    for lot in state["lots"]:
        sums.update(deposit.correct(lot, rcem, known_on, policies))
    for lot in [lot for lot in state["pending"] if lot["month"] <= due_by]:
        deposit.book(lot, facts, rcem, known_on, policies)
        sums["booked_gr"] += lot["value_gr"]
        state["pending"].remove(lot)
        state["lots"].append(lot)
    due_gr = -state["owed_gr"]
    for lot in [lot for lot in state["lots"] if lot["tenant"]]:
        now_gr, lost_gr = deposit.pay_out(lot, policies)
        due_gr += now_gr
        sums["forfeited_gr"] += lost_gr
    # What a lower price makes a tenant prosumer owe is set off against later payouts.
    sums["paid_out_gr"] += max(due_gr, 0)
    state["owed_gr"] = max(-due_gr, 0)


def cover(parts: list[dict[str, Any]], rate: dict[str, Any], state: State) -> None:
    """Notes what is to be paid for, by zone: all that was taken, or what no storage covers."""
    for part in parts:
        part["payable_wh"] = dict(part["positive_wh"])
    stored = [part for part in parts if part["scheme"] == "net_metering"]
    if not stored:
        return
    payable = storage.cover(
        state["store"],
        month_of(stored[0]["from"]),
        by_slot(stored, "positive_wh"),
        by_slot(stored, "negative_wh"),
        storage.ratio_of(stored[-1]["installed_power_w"]),
        state["policies"]["zone_policy"],
        rate["variable"],
    )
    for (place, zone), wh in payable.items():
        stored[place]["payable_wh"][zone] = wh


def by_slot(parts: list[dict[str, Any]], name: str) -> dict[storage.Slot, int]:
    """Energy of each zone of each part."""
    return {
        (place, zone): wh for place, part in enumerate(parts) for zone, wh in part[name].items()
    }


def close(
    household: Household,
    rcem: deposit.Rcem,
    part: dict[str, Any],
    known_on: str,
    state: State,
    sums: Counter[str],
) -> None:
    """Ends what ends with the month, and everything where the contract does."""
    month = month_of(part["from"])
    policies = state["policies"]
    if part["until"] == f"{text_of(plus(month, 1))}-01":
        sums["forfeited_wh"] += storage.expire(state["store"], month, policies["storage_expiry"])
        sums.update(deposit.expire(state["lots"], month, policies))
    if not how_it_ends(household, part):
        return
    sums["forfeited_wh"] += sum(lot["wh"] for lot in state["store"])
    state["store"].clear()
    if part["scheme"] in DEPOSITS:
        # What the last month fed in is booked at once, and ends like the rest.
        post(rcem, part, month, known_on, state, sums)
        sums.update(deposit.end(state["lots"], policies))
        # A later seller does not post what corrected prices change of this one's lots.
        state["lots"].clear()


def invoice_lines(
    part: dict[str, Any], rate: dict[str, Any], annual_kwh: int, state: State
) -> list[Any]:
    """Rounds the quantities, applies the price cap and makes the lines."""
    policies = state["policies"]
    rounding = policies["kwh_rounding"]
    charged = {
        zone: rounded_wh(wh, rounding, state["carried"], zone)
        for zone, wh in part["payable_wh"].items()
    }
    other_charged = charged
    if (
        part["scheme"] == "net_metering"
        and policies["storage_exemption"] == "network_variable_only"
    ):
        other_charged = {
            zone: rounded_wh(wh, rounding, state["other_carried"], zone)
            for zone, wh in part["positive_wh"].items()
        }
    window = limit_window(month_of(part["from"]))
    used_wh = state["limit_used_wh"].get(window, 0)
    energy, inside_wh = energy_parts(part, policies, rate, charged, used_wh)
    state["limit_used_wh"][window] = used_wh + inside_wh
    if part["annual_kwh"] is not None:
        annual_kwh = part["annual_kwh"]
    months = months_charged(part)
    return lines_of(part, rate, energy, charged, other_charged, months, annual_kwh)
