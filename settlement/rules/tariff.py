"""What a contract charges: the charges, their rates, and the positions of the invoice.

Positions of distribution and their order as on the invoices of TAURON (docs/settlement.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from settlement.rules.contract import BY_DAYS, NET_METERING, Contract
from settlement.rules.errors import BadContract, NoRate
from settlement.rules.periods import Month, Period, months_of
from settlement.rules.price_cap import Capped, Price, capped
from settlement.rules.rates import Tables
from settlement.rules.units import WH_PER_KWH, kwh, ratio

SALE = "sale"
DISTRIBUTION = "distribution"
KWH = "kwh"
MONTH = "month"
# Shares of months keep four decimals, so that a printed line can be checked by hand.
MONTH_DECIMALS = 4
# G12as: night energy up to the reference use costs like the day, above it a tenth of that.
REFERENCE_GROUP = "G12as"
REFERENCE_ZONE = "night"
REFERENCE_ZONES = ("night_up_to_reference", "night_above_reference")

ACTIVE_ENERGY = "active_energy"
TRADE_FEE = "trade_fee"
NETWORK_VARIABLE = "network_variable"


@dataclass(frozen=True)
class Charge:
    """One thing that is charged, and the row of rates that says at what price."""

    code: str
    zone: str
    table: str
    key: str
    unit: str
    banded: bool = False


@dataclass(frozen=True)
class Position:
    """One thing charged for, before any amount is computed. Prices are net PLN per `unit`."""

    section: str
    code: str
    zone: str
    span: Period
    quantity: Decimal
    unit: str
    unit_price_pln: Decimal
    origin: str


@dataclass(frozen=True)
class Use:
    """What one span is charged for.

    `billed_wh` by zone is what energy and its network component are paid for, whole kWh but for
    the policy `exact`; `moved_wh` by zone is what came through the grid, which differs when
    energy from the storage covered a part. `months` and `started_months` count months of fixed
    fees, `annual_kwh` picks their bands, `limit_used_wh` is what a limit of use has lost so far,
    `night_before_wh` what the invoice's earlier spans have billed by night, for G12as.
    """

    span: Period
    billed_wh: Mapping[str, int]
    moved_wh: Mapping[str, int]
    months: Decimal
    started_months: Decimal
    annual_kwh: int
    limit_used_wh: int
    night_before_wh: int = 0


def positions(contract: Contract, tables: Tables, use: Use) -> tuple[tuple[Position, ...], int]:
    """Everything that is charged for the span, and the energy (Wh) taken from a limit of use.

    Raises NoRate, RateChanges and BadContract from the tables and the price cap.
    """
    energy = _energy(contract, tables, use)
    sale = tuple(
        Position(
            SALE,
            ACTIVE_ENERGY,
            part.zone,
            use.span,
            kwh(part.energy_wh),
            KWH,
            part.price.pln_per_kwh,
            part.price.origin,
        )
        for part in energy.parts
    )
    fees = tuple(_trade_fee(contract, tables, use))
    return sale + fees + tuple(_distribution(contract, tables, use)), energy.limit_used_wh


def _energy(contract: Contract, tables: Tables, use: Use) -> Capped:
    listed = {zone: _list_price(contract, tables, use.span, zone) for zone in use.billed_wh}
    return capped(contract, tables, use.span, listed, use.billed_wh, use.limit_used_wh)


def _list_price(contract: Contract, tables: Tables, span: Period, zone: str) -> Price:
    """The seller's price of a zone, net with excise."""
    if contract.price_list is None:
        if zone not in contract.unit_prices_pln_per_kwh:
            raise BadContract(
                f"the contract from {contract.valid_from} has no price for zone {zone} of "
                f"{contract.tariff_group}: add it to unit_prices_pln_per_kwh"
            )
        return Price(contract.unit_prices_pln_per_kwh[zone], "contract")
    row = tables.rate(f"seller_{contract.price_list}", energy_key(contract, zone), span)
    if row.excise_included:
        return Price(row.value, row.origin)
    excise = tables.rate("excise", excise_key(contract), span)
    return Price(row.value + excise.value, f"{row.origin} + {excise.origin}")


def energy_key(contract: Contract, zone: str) -> str:
    """Key of a zone's price in a seller's list."""
    return f"{contract.tariff_group.lower()}.energy.{zone}"


def excise_key(contract: Contract) -> str:
    """Key of the excise that is added to prices listed without it."""
    return f"electricity.{'household' if contract.customer == 'household' else 'other'}"


def _trade_fee(contract: Contract, tables: Tables, use: Use) -> Iterator[Position]:
    if contract.trade_fee_pln_per_month is not None:
        fee = Price(contract.trade_fee_pln_per_month, "contract")
    else:
        table = f"seller_{contract.price_list}"
        if contract.price_list is None or not tables.knows(table, TRADE_FEE):
            return
        row = tables.rate(table, TRADE_FEE, use.span)
        fee = Price(row.value, row.origin)
    if fee.pln_per_kwh and use.months:
        yield Position(
            SALE, TRADE_FEE, "", use.span, use.months, MONTH, fee.pln_per_kwh, fee.origin
        )


def distribution_charges(contract: Contract, zones: Sequence[str]) -> tuple[Charge, ...]:
    """The charges of distribution in the order of the invoice."""
    network = f"distribution_{contract.operator}"
    group = contract.tariff_group.lower()
    subscription = f"subscription.{contract.readout_months}_month"
    priced = network_zones(contract, zones)
    return (
        Charge("network_fixed", "", network, f"{group}.fixed.{contract.phases}_phase", MONTH),
        *(Charge("quality", zone, network, "quality", KWH) for zone in zones),
        *(
            Charge(NETWORK_VARIABLE, zone, network, f"{group}.variable.{zone}", KWH)
            for zone in priced
        ),
        *(Charge("renewable", zone, "levies", "renewable", KWH) for zone in zones),
        *(Charge("cogeneration", zone, "levies", "cogeneration", KWH) for zone in zones),
        Charge("subscription", "", network, subscription, MONTH),
        Charge("capacity", "", "capacity_fee", "household", MONTH, banded=True),
        Charge("transitional", "", "transitional_fee", "household", MONTH, banded=True),
    )


def network_zones(contract: Contract, zones: Sequence[str]) -> tuple[str, ...]:
    """The zones of the variable network component: G12as splits its night at the reference use."""
    if contract.tariff_group != REFERENCE_GROUP:
        return tuple(zones)
    split_zones = [REFERENCE_ZONES if zone == REFERENCE_ZONE else (zone,) for zone in zones]
    return tuple(zone for each in split_zones for zone in each)


def network_rates(
    contract: Contract, tables: Tables, span: Period, zones: Sequence[str]
) -> dict[str, Decimal]:
    """The variable network rate of each zone: the order of covering from storage goes by it."""
    rates = {}
    for zone in zones:
        (first, *_) = network_zones(contract, (zone,))
        key = f"{contract.tariff_group.lower()}.variable.{first}"
        rates[zone] = tables.rate(f"distribution_{contract.operator}", key, span).value
    return rates


def _distribution(contract: Contract, tables: Tables, use: Use) -> Iterator[Position]:
    zones = tuple(use.billed_wh)
    for charge in distribution_charges(contract, zones):
        _refuse_frozen(contract, tables, use.span, charge)
        row = tables.rate(
            charge.table, charge.key, use.span, use.annual_kwh if charge.banded else 0
        )
        assert row.unit == f"pln_per_{charge.unit}", f"{charge.key} is not in PLN per {charge.unit}"
        quantity = _quantity(contract, use, charge)
        if charge.unit == MONTH and not quantity:
            continue
        yield Position(
            DISTRIBUTION,
            charge.code,
            charge.zone,
            use.span,
            quantity,
            charge.unit,
            row.value,
            row.origin,
        )


def _refuse_frozen(contract: Contract, tables: Tables, span: Period, charge: Charge) -> None:
    """Entitled customers paid frozen network rates inside the limit of 2023, which has no rule."""
    key = f"{charge.key}.inside_limit"
    if not contract.cap_entitled or not tables.knows(charge.table, key):
        return
    try:
        row = tables.rate_on(charge.table, key, span.start)
    except NoRate:
        return
    raise NoRate(
        f"{charge.code} of an entitled customer from {row.valid_from} to {row.valid_to} has frozen "
        "rates inside the limit of use, which are not settled here: settle later days, or set "
        "cap_entitled = false to see standard rates"
    )


def _quantity(contract: Contract, use: Use, charge: Charge) -> Decimal:
    if charge.code == "subscription":
        # Charged in full for any started month (tariff of the operator).
        return use.started_months
    if charge.unit == MONTH:
        return use.months
    if charge.zone in REFERENCE_ZONES:
        return kwh(_night_wh(contract, use)[REFERENCE_ZONES.index(charge.zone)])
    exempt = charge.code == NETWORK_VARIABLE or (
        contract.policies.storage_exemption == "every_variable_item"
    )
    covered = contract.scheme == NET_METERING and not exempt
    return kwh((use.moved_wh if covered else use.billed_wh)[charge.zone])


def _night_wh(contract: Contract, use: Use) -> tuple[int, int]:
    """Night energy up to what is left of the reference use of the invoice, and above it."""
    if contract.night_reference_kwh is None:
        raise BadContract(
            f"{REFERENCE_GROUP} needs night_reference_kwh, the reference use of the period: "
            "copy it from the operator's letter"
        )
    night_wh = use.billed_wh[REFERENCE_ZONE]
    left_wh = max(0, contract.night_reference_kwh * WH_PER_KWH - use.night_before_wh)
    up_to_wh = min(night_wh, left_wh)
    return up_to_wh, night_wh - up_to_wh


def fixed_months(span: Period, policy: str, first_day: date | None = None) -> Decimal:
    """How many months of a fixed fee the span is charged, under the named policy.

    `full_month`: every started calendar month counts as one, in the span that has its first
    day since `first_day` (the invoice's first); `by_days`: each month counts by its share of
    days, the sum rounded half-up to 4 decimals.
    """
    if policy != BY_DAYS:
        return Decimal(started_months(span, first_day or span.start))
    parts = months_of(span)
    denominator = 1
    for part in parts:
        denominator *= part.days_in_month
    numerator = sum(part.days * (denominator // part.days_in_month) for part in parts)
    share = ratio(numerator, denominator, MONTH_DECIMALS)
    return share.quantize(Decimal(1)) if share == share.to_integral_value() else share


def started_months(span: Period, first_day: date) -> int:
    """Calendar months whose first day on the invoice lies in the span: none is counted twice."""
    firsts = (max(Month(part.year, part.month).first, first_day) for part in months_of(span))
    return sum(1 for first in firsts if first >= span.start)
