"""Spans: the parts of a period inside of which contract, prices and every rate are constant.

A prosumer's span also never crosses a calendar month, because the storage and the deposit count
in calendar months (Act on renewable sources art. 4 and 4b).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from settlement.rules import price_cap
from settlement.rules.contract import PROSUMERS, Contract, contract_on
from settlement.rules.errors import SellerChanges
from settlement.rules.periods import Month, Period, months_of
from settlement.rules.rates import Tables
from settlement.rules.tariff import (
    TRADE_FEE,
    distribution_charges,
    energy_key,
    excise_key,
)
from settlement.rules.zones import Schedules


@dataclass(frozen=True)
class Span:
    """A part of an invoice: its days, its contract, and the zones of its tariff group."""

    period: Period
    contract: Contract
    zones: tuple[str, ...]

    @property
    def month(self) -> Month:
        """The calendar month of its first day."""
        return Month.of(self.period.start)


def spans_of(
    contracts: Sequence[Contract],
    tables: Tables,
    schedules: Schedules,
    period: Period,
) -> tuple[Span, ...]:
    """The spans of a period, in order and without gap. `contracts` are in order of time.

    Raises OutsideContract, UnsupportedTariff, and SellerChanges when two sellers share the period.
    """
    spans: list[Span] = []
    for part, contract in _parts(contracts, schedules, period):
        zones = schedules.zones(contract.tariff_group, part.start)
        days = sorted(_cuts(contract, tables, part, zones))
        for start, end in pairwise([part.start, *days, part.end]):
            spans.append(Span(Period(start, end), contract, zones))
    sellers = [(each.contract.seller, each.period.start) for each in spans]
    for (seller, _), (other, start) in pairwise(sellers):
        if seller != other:
            raise SellerChanges(
                f"{other} takes over from {seller} on {start}: settle up to that day and from it on"
            )
    return tuple(spans)


def _parts(
    contracts: Sequence[Contract], schedules: Schedules, period: Period
) -> Iterator[tuple[Period, Contract]]:
    """The period cut where one contract, or one zone table of its group, follows another."""
    start = period.start
    while start < period.end:
        contract = contract_on(contracts, start)
        end = period.end if contract.valid_to is None else min(period.end, contract.valid_to)
        changes = schedules.changes(contract.tariff_group, Period(start, end))
        end = min([end, *changes])
        yield Period(start, end), contract
        start = end


def _cuts(contract: Contract, tables: Tables, part: Period, zones: Sequence[str]) -> set[date]:
    """Days inside of the part on which anything that the contract is charged by changes."""
    days = set(tables.changes("vat", "electricity", part))
    for charge in distribution_charges(contract, zones):
        # The band is known only when the use of the year is: cut where any band changes.
        for annual_kwh in tables.band_starts(charge.table, charge.key):
            days.update(tables.changes(charge.table, charge.key, part, annual_kwh))
    if contract.price_list is not None:
        seller = f"seller_{contract.price_list}"
        for key in (TRADE_FEE, *(energy_key(contract, zone) for zone in zones)):
            days.update(tables.changes(seller, key, part))
        days.update(tables.changes("excise", excise_key(contract), part))
    if contract.cap_entitled:
        limit_key = f"household.limit.{contract.cap_limit}"
        for key in (price_cap.REGIME_KEY, "household", limit_key):
            days.update(tables.changes(price_cap.TABLE, key, part))
    if contract.scheme in PROSUMERS:
        firsts = (Month(each.year, each.month).first for each in months_of(part))
        days.update(first for first in firsts if first > part.start)
    return days
