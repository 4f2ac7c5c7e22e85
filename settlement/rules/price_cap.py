"""The price cap: entitled households never pay more per kWh than the act allows.

Act of 23 May 2024 (Dz.U. 2024 poz. 859): 0.500 PLN/kWh plus 0.005 excise, net of VAT, from
1 July to 31 December 2024, for any price list, without limit of use; a lower list price stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from settlement.rules.contract import Contract
from settlement.rules.periods import Period
from settlement.rules.rates import Tables


@dataclass(frozen=True)
class UnitPrice:
    """Net PLN/kWh with excise, and whether the cap replaced the list price."""

    pln_per_kwh: Decimal
    capped: bool


def unit_price(contract: Contract, tables: Tables, period: Period) -> UnitPrice:
    """min(list price, cap) for entitled households, else the list price.

    Raises NoRate when the household is entitled and the table knows no cap for the period (other
    half-years have limits of use, which are different rules and not silently left out), and
    RateChanges when the cap changes inside of it.
    """
    listed = contract.unit_price_pln_per_kwh
    if not contract.cap_entitled:
        return UnitPrice(listed, capped=False)
    cap = tables.rate("price_cap", "household", period).value
    return UnitPrice(min(listed, cap), capped=cap < listed)
