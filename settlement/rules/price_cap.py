"""The price cap: what entitled customers pay for a kWh of active energy at the most.

Three regimes, by day (table `price_cap`): none; a cap without limit of use (Act of 23 May 2024,
Dz.U. 2024 poz. 859, and its successor for 2025); a limit of use with one price inside and another
above (Act of 7 October 2022 and Act of 27 October 2022, for 2023 and the first half of 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from settlement.rules.contract import Contract
from settlement.rules.errors import BadContract
from settlement.rules.periods import Period
from settlement.rules.rates import Row, Tables
from settlement.rules.units import WH_PER_KWH, ratio, split
from settlement.rules.zones import ALL_DAY

TABLE = "price_cap"
REGIME_KEY = "household.regime"
NO_CAP, CAP, LIMIT = 0, 1, 2
PRICE_DECIMALS = 5


@dataclass(frozen=True)
class Price:
    """Net PLN/kWh with excise, and where it comes from, as invoices explain it."""

    pln_per_kwh: Decimal
    origin: str


@dataclass(frozen=True)
class Part:
    """Billed energy of one zone at one price."""

    zone: str
    energy_wh: int
    price: Price


@dataclass(frozen=True)
class Capped:
    """The parts in the order of the invoice, and how much of the limit of use they took."""

    parts: tuple[Part, ...]
    limit_used_wh: int


def limit_window(tables: Tables, day: date) -> Period | None:
    """The days over which one limit of use is counted, or None where no limit holds."""
    row = tables.rate_on(TABLE, REGIME_KEY, day)
    if row.value != LIMIT:
        return None
    assert row.valid_to is not None, "a limit of use is of a year or of its half"
    return Period(row.valid_from, row.valid_to)


def cap_without_limit(tables: Tables, period: Period) -> Row | None:
    """The row of a cap that holds for every kWh of the period, None where there is none such.

    Raises NoRate and RateChanges.
    """
    regime = tables.rate(TABLE, REGIME_KEY, period).value
    return tables.rate(TABLE, "household", period) if regime == CAP else None


def capped(
    contract: Contract,
    tables: Tables,
    span: Period,
    listed: Mapping[str, Price],
    billed_wh: Mapping[str, int],
    limit_used_wh: int,
) -> Capped:
    """What the billed energy of each zone costs under the regime of the span.

    `listed` are the seller's prices by zone; `limit_used_wh` is what earlier invoices have
    taken of the limit in its window. Raises NoRate from the table, BadContract for prices it needs.
    """
    plain = tuple(Part(zone, billed_wh[zone], listed[zone]) for zone in billed_wh)
    if not contract.cap_entitled:
        return Capped(plain, 0)
    regime = tables.rate(TABLE, REGIME_KEY, span).value
    if regime == NO_CAP:
        return Capped(plain, 0)
    cap = tables.rate(TABLE, "household", span)
    if regime == CAP:
        if contract.policies.cap_scope == "unit_price":
            return Capped(tuple(_lower(part, cap) for part in plain), 0)
        return Capped(_averaged(plain, cap), 0)
    return _limited(contract, tables, span, plain, cap, limit_used_wh)


def _lower(part: Part, cap: Row) -> Part:
    """The part at its own price, or at the cap when that is lower."""
    if part.price.pln_per_kwh <= cap.value:
        return part
    return Part(part.zone, part.energy_wh, Price(cap.value, cap.origin))


def _averaged(parts: tuple[Part, ...], cap: Row) -> tuple[Part, ...]:
    """Every price scaled by cap / average when the average by energy passes the cap.

    Invoices of April and October 2025 carry zone prices above the cap whose average is below it.
    """
    if len(parts) == 1:
        return (_lower(parts[0], cap),)
    energy_wh = sum(part.energy_wh for part in parts)
    cost = sum((part.energy_wh * part.price.pln_per_kwh for part in parts), Decimal(0))
    if cost <= cap.value * energy_wh:
        return parts
    factor = Fraction(cap.value) * energy_wh / Fraction(cost)
    return tuple(_scaled(part, factor, cap) for part in parts)


def _scaled(part: Part, factor: Fraction, cap: Row) -> Part:
    price = Fraction(part.price.pln_per_kwh) * factor
    scaled = ratio(price.numerator, price.denominator, PRICE_DECIMALS)
    return Part(part.zone, part.energy_wh, Price(scaled, f"{cap.origin}, average of the zones"))


def _limited(
    contract: Contract,
    tables: Tables,
    span: Period,
    parts: tuple[Part, ...],
    above: Row,
    limit_used_wh: int,
) -> Capped:
    """Up to the limit at the inside price, the rest at no more than the price above it."""
    limit = tables.rate(TABLE, f"household.limit.{contract.cap_limit}", span)
    left_wh = max(0, int(limit.value) * WH_PER_KWH - limit_used_wh)
    quantum_wh = 1 if contract.policies.kwh_rounding == "exact" else WH_PER_KWH
    inside = _inside_wh(parts, left_wh, quantum_wh)
    priced: list[Part] = []
    for part, inside_wh in zip(parts, inside, strict=True):
        if inside_wh or not part.energy_wh:
            price = _inside_price(contract, tables, span, part)
            priced.append(Part(part.zone, inside_wh, price))
        if part.energy_wh > inside_wh:
            outside = Part(part.zone, part.energy_wh - inside_wh, part.price)
            priced.append(_lower(outside, above))
    return Capped(tuple(priced), sum(inside))


def _inside_wh(parts: tuple[Part, ...], left_wh: int, quantum_wh: int) -> list[int]:
    """How much of each part lies inside the limit: in proportion, in the quanta it is billed in."""
    inside = min(left_wh, sum(part.energy_wh for part in parts)) // quantum_wh
    return [share * quantum_wh for share in split(inside, [part.energy_wh for part in parts])]


def _inside_price(contract: Contract, tables: Tables, span: Period, part: Part) -> Price:
    frozen = contract.frozen_prices_pln_per_kwh.get(part.zone)
    if frozen is not None:
        inside = Price(frozen, "contract: the seller's price of 2022")
    elif contract.frozen_prices_pln_per_kwh or part.zone != ALL_DAY:
        raise BadContract(
            f"frozen_prices_pln_per_kwh lacks zone {part.zone}: inside the limit of use the "
            "seller's prices of 2022 hold, copy them from its price list"
        )
    else:
        row = tables.rate(TABLE, "household.inside_limit", span)
        inside = Price(row.value, row.origin)
    return inside if inside.pln_per_kwh < part.price.pln_per_kwh else part.price
