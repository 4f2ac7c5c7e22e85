"""What a tariff group charges: the positions of the invoice with quantity and unit price.

Positions of distribution and their order as on the invoices of TAURON (docs/settlement.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from settlement.rules.contract import BY_DAYS, Contract
from settlement.rules.periods import Period, months_of
from settlement.rules.price_cap import unit_price
from settlement.rules.rates import Tables
from settlement.rules.units import ratio

SALE = "sale"
DISTRIBUTION = "distribution"
ALL_DAY = "all_day"
KWH = "kwh"
MONTH = "month"
# Shares of months keep four decimals, so that a printed line can be checked by hand.
MONTH_DECIMALS = 4


@dataclass(frozen=True)
class Position:
    """One thing charged for, before any amount is computed. Prices are net PLN per `unit`."""

    section: str
    code: str
    zone: str
    quantity: Decimal
    unit: str
    unit_price_pln: Decimal


def positions(
    contract: Contract, tables: Tables, period: Period, kwh_by_zone: Mapping[str, int]
) -> tuple[Position, ...]:
    """Everything a G11 household is charged for the whole kWh of the period.

    Raises NoRate and RateChanges from the tables.
    """
    assert tuple(kwh_by_zone) == (ALL_DAY,), "G11 has one zone"
    kwh = Decimal(kwh_by_zone[ALL_DAY])
    return _sale(contract, tables, period, kwh) + _distribution(contract, tables, period, kwh)


def _sale(contract: Contract, tables: Tables, period: Period, kwh: Decimal) -> tuple[Position, ...]:
    price = unit_price(contract, tables, period)
    energy = Position(SALE, "active_energy", ALL_DAY, kwh, KWH, price.pln_per_kwh)
    if contract.trade_fee_pln_per_month == 0:
        return (energy,)
    months = fixed_months(period, contract.partial_month)
    fee = Position(SALE, "trade_fee", ALL_DAY, months, MONTH, contract.trade_fee_pln_per_month)
    return (energy, fee)


def _distribution(
    contract: Contract, tables: Tables, period: Period, kwh: Decimal
) -> tuple[Position, ...]:
    network = f"distribution_{contract.operator}"
    group = contract.tariff_group.lower()
    months = fixed_months(period, contract.partial_month)
    # The subscription is charged in full for any started month (tariff of the operator).
    started = Decimal(len(months_of(period)))

    def charge(
        code: str, table: str, key: str, quantity: Decimal, unit: str, annual_kwh: int = 0
    ) -> Position:
        row = tables.rate(table, key, period, annual_kwh)
        assert row.unit == f"pln_per_{unit}", f"{table} {key} is not in PLN per {unit}"
        return Position(DISTRIBUTION, code, ALL_DAY, quantity, unit, row.value)

    fixed_key = f"{group}.fixed.{contract.phases}_phase"
    subscription_key = f"subscription.{contract.readout_months}_month"
    use = contract.annual_kwh
    return (
        charge("network_fixed", network, fixed_key, months, MONTH),
        charge("quality", network, "quality", kwh, KWH),
        charge("network_variable", network, f"{group}.variable", kwh, KWH),
        charge("renewable", "levies", "renewable", kwh, KWH),
        charge("cogeneration", "levies", "cogeneration", kwh, KWH),
        charge("subscription", network, subscription_key, started, MONTH),
        charge("capacity", "capacity_fee", "household", months, MONTH, use),
        charge("transitional", "transitional_fee", "household", months, MONTH, use),
    )


def fixed_months(period: Period, policy: str) -> Decimal:
    """How many months of a fixed fee the period is charged, under the named policy.

    `full_month`: every started calendar month counts as one.
    `by_days`: each month counts by its share of days, the sum rounded half-up to 4 decimals.
    """
    parts = months_of(period)
    if policy != BY_DAYS:
        return Decimal(len(parts))
    denominator = 1
    for part in parts:
        denominator *= part.days_in_month
    numerator = sum(part.days * (denominator // part.days_in_month) for part in parts)
    share = ratio(numerator, denominator, MONTH_DECIMALS)
    return share.quantize(Decimal(1)) if share == share.to_integral_value() else share
