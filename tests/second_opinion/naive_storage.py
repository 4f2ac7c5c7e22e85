"""Net-metering told naively: lots of Wh in a list, the oldest taken first (section 2, opusty)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.second_opinion.naive_numbers import Month, half_up, plus, spread

Lot = dict[str, Any]  # {"month": Month, "queue": zone or "" when pooled, "wh": int}
Slot = tuple[int, str]  # (which part of the month, zone)


def ratio_of(installed_power_w: int) -> Decimal:
    """0.8 up to and with 10 kW, 0.7 above."""
    return Decimal("0.8") if installed_power_w <= 10_000 else Decimal("0.7")


def cover(
    store: list[Lot],
    month: Month,
    taken: dict[Slot, int],
    fed_in: dict[Slot, int],
    ratio: Decimal,
    zone_policy: str,
    variable: dict[str, str],
) -> dict[Slot, int]:
    """What is left to pay in each zone of each part of a month, in Wh; the store changes in place.

    The credit of the month covers first, then lots from the oldest on; a credit left over
    becomes a lot of this month.
    """
    owed = dict(taken)
    # sorted() keeps the order of the parts, and the printed order of zones whose prices are equal.
    dearest_first = sorted(taken, key=lambda slot: -Decimal(variable[slot[1]]))
    zones = dict.fromkeys(zone for _, zone in taken)
    for queue in zones if zone_policy == "per_zone" else [""]:
        slots = [slot for slot in dearest_first if queue in ("", slot[1])]
        if zone_policy == "proportional":
            slots = list(taken)
        credit = int(half_up(ratio * sum(fed_in[slot] for slot in slots)))
        fresh = {"month": month, "queue": queue, "wh": credit}
        for lots in ([fresh], [lot for lot in store if lot["queue"] == queue]):
            amount = take(lots, sum(owed[slot] for slot in slots))
            if zone_policy == "proportional":
                shares = spread(amount, [owed[slot] for slot in slots])
            else:
                shares = one_after_another(amount, [owed[slot] for slot in slots])
            for slot, share in zip(slots, shares, strict=True):
                owed[slot] -= share
        store.append(fresh)
    return owed


def take(lots: list[Lot], wanted: int) -> int:
    """Takes Wh out of the lots, which are in order of age, and says how many there were."""
    left = wanted
    for lot in lots:
        part = min(lot["wh"], left)
        lot["wh"] -= part
        left -= part
    return wanted - left


def one_after_another(amount: int, wanted: list[int]) -> list[int]:
    """Gives each what it wants until nothing is left."""
    shares = []
    for each in wanted:
        shares.append(min(amount, each))
        amount -= shares[-1]
    return shares


def expire(store: list[Lot], month: Month, expiry_policy: str) -> int:
    """Drops the lots that could be taken for the last time in this month; the Wh forfeited."""
    months = 12 if expiry_policy == "month_plus_12" else 11
    gone = [lot for lot in store if plus(lot["month"], months) <= month]
    store[:] = [lot for lot in store if plus(lot["month"], months) > month]
    return sum(lot["wh"] for lot in gone)


def empty(store: list[Lot]) -> int:
    """Takes everything out, for a switch to net-billing; whole kWh, half-up."""
    left_wh = sum(lot["wh"] for lot in store)
    store.clear()
    return int(half_up(Decimal(left_wh) / 1000))
