"""The lines of an invoice told naively: price cap, then quantity times price, rounded per line."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.second_opinion.naive_numbers import (
    HUNDRED,
    PRICE_STEP,
    THOUSAND,
    Month,
    grosz,
    half_up,
    spread,
)

# (code, zone or "", kWh or months, price, net, VAT, gross in grosz)
Line = tuple[str, str, Decimal, Decimal, int, int, int]


def rounded_wh(wh: int, rounding: str, carried: dict[str, int], zone: str) -> int:
    """The Wh that are charged for, whole kWh but for `exact`; `carried` changes in place.

    What a part of the invoice leaves over counts in the next part; under `carry` also in the next
    invoice.
    """
    if rounding == "exact":
        return wh
    wh += carried.get(zone, 0)
    if rounding == "down":
        whole = wh // 1000 * 1000
    else:
        # -500 Wh carried and nothing taken is 0 kWh, never -1.
        whole = max(0, int(half_up(Decimal(wh) / 1000))) * 1000
    carried[zone] = wh - whole
    return whole


def limit_window(month: Month) -> tuple[int, int]:
    """What a limit is counted over: the year 2023, or a half of 2024."""
    return month[0], 0 if month[0] <= 2023 or month[1] <= 6 else 1


def energy_parts(
    facts: dict[str, Any],
    policies: dict[str, str],
    rate: dict[str, Any],
    charged: dict[str, int],
    used_wh: int,
) -> tuple[list[tuple[str, int, Decimal]], int]:
    """(zone, Wh, price) of each energy line, and the Wh that count against the limit.

    used_wh: what earlier invoices of the same window took of the limit.
    """
    prices = {zone: Decimal(facts["prices"][zone]) for zone in charged}
    regime = rate["regime"] if facts["cap_entitled"] else 0
    if regime == 2:
        return within_limit(facts, policies, rate, charged, used_wh)
    if regime == 1:
        cap = Decimal(rate["cap"])
        if policies["cap_scope"] == "unit_price":
            prices = {zone: min(price, cap) for zone, price in prices.items()}
        else:
            whole = sum(charged.values())
            cost = sum((charged[zone] * prices[zone] for zone in charged), Decimal(0))
            if cost > cap * whole:
                prices = {
                    zone: half_up(price * cap * whole / cost, PRICE_STEP)
                    for zone, price in prices.items()
                }
    return [(zone, charged[zone], prices[zone]) for zone in charged], 0


def within_limit(
    facts: dict[str, Any],
    policies: dict[str, str],
    rate: dict[str, Any],
    charged: dict[str, int],
    used_wh: int,
) -> tuple[list[tuple[str, int, Decimal]], int]:
    """Energy lines under a limit: inside at the frozen price, above at the cap."""
    left_wh = max(0, rate["limit"][facts["cap_limit"]] * 1000 - used_wh)
    step = 1 if policies["kwh_rounding"] == "exact" else 1000
    inside_wh = min(left_wh, sum(charged.values()))
    shares = spread(inside_wh // step, [wh // step for wh in charged.values()])
    parts = []
    for (zone, wh), share in zip(charged.items(), shares, strict=True):
        listed = Decimal(facts["prices"][zone])
        frozen = facts["frozen_prices"] or {}
        low = min(listed, Decimal(frozen[zone] if zone in frozen else rate["inside"]))
        high = min(listed, Decimal(rate["cap"]))
        inside, above = share * step, wh - share * step
        if inside or (not above and left_wh):
            parts.append((zone, inside, low))
        if above or (not inside and not left_wh):
            parts.append((zone, above, high))
    return parts, inside_wh


def lines_of(
    facts: dict[str, Any],
    rate: dict[str, Any],
    energy: list[tuple[str, int, Decimal]],
    charged: dict[str, int],
    other_charged: dict[str, int],
    months: tuple[Decimal, Decimal],
    annual_kwh: int,
) -> list[Line]:
    """All lines in the order they are printed.

    charged: Wh for energy and the variable network item. other_charged: for quality, renewable
    and cogeneration, which the storage does not spare under one policy. months: of the fixed fees
    and of the subscription; a fee of no month has no line.
    """
    vat = Decimal(rate["vat"])
    lines = [line("active_energy", zone, wh / THOUSAND, price, vat) for zone, wh, price in energy]
    if Decimal(facts["trade_fee"]) > 0:
        lines.append(line("trade_fee", "", months[0], Decimal(facts["trade_fee"]), vat))
    lines.append(line("network_fixed", "", months[0], Decimal(rate["fixed"]), vat))
    for zone, wh in other_charged.items():
        lines.append(line("quality", zone, wh / THOUSAND, Decimal(rate["quality"]), vat))
    for zone, wh in charged.items():
        price = Decimal(rate["variable"][zone])
        lines.append(line("network_variable", zone, wh / THOUSAND, price, vat))
    for code in ("renewable", "cogeneration"):
        for zone, wh in other_charged.items():
            lines.append(line(code, zone, wh / THOUSAND, Decimal(rate[code]), vat))
    lines.append(line("subscription", "", months[1], Decimal(rate["subscription"]), vat))
    for code in ("capacity", "transitional"):
        lines.append(line(code, "", months[0], in_band(rate[code], annual_kwh), vat))
    fees = ("trade_fee", "network_fixed", "subscription", "capacity", "transitional")
    return [each for each in lines if each[0] not in fees or each[2]]


def in_band(prices: dict[str, str], annual_kwh: int) -> Decimal:
    """The price of the highest band whose first kWh was used in the year."""
    first = max(int(kwh) for kwh in prices if int(kwh) <= annual_kwh)
    return Decimal(prices[str(first)])


def line(code: str, zone: str, quantity: Decimal, price: Decimal, vat: Decimal) -> Line:
    """net = quantity times price, VAT = net times rate, both half-up; gross is their sum."""
    net_gr = grosz(quantity * price)
    vat_gr = int(half_up(net_gr * vat / HUNDRED))
    return code, zone, quantity, price, net_gr, vat_gr, net_gr + vat_gr
