"""The appliance calculator: what appliances use in a year and a month, from minutes and watts.

Energy is counted in watt-minutes of a year of 365 days, which are integers; only what is shown is
rounded, to 2 decimals of a kWh. Averages and their source: settlement/tables/household.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from settlement.rules.errors import BadAppliance
from settlement.rules.units import ratio

WATT_MINUTES_PER_KWH = 60_000
DAYS_PER_YEAR = 365
MONTHS_PER_YEAR = 12
MINUTES_MAX = 1440
WATTS_MAX = 20_000
PIECES_MAX = 100
KWH_DECIMALS = 2
PERCENT_DECIMALS = 1

# What an estimate rests on.
BY_WATTS = "watts"
BY_REFERENCE = "reference"  # the average, scaled by minutes
BY_AVERAGE = "average"  # the average as it is: nothing says for how many minutes it holds


@dataclass(frozen=True)
class Appliance:
    """An appliance of the table. `reference_watts` give the average in its reference minutes."""

    code: str
    average_kwh: int
    whole_day: bool = False
    pieces: bool = False
    reference_watts: int | None = None


@dataclass(frozen=True)
class ApplianceTable:
    """All appliances by code, and the yearly use of the average Polish household in kWh."""

    appliances: Mapping[str, Appliance]
    household_kwh: int
    source: str


@dataclass(frozen=True)
class Use:
    """One appliance as the customer uses it; `minutes_per_day` is None for what runs all day.

    `watts` is None when the customer does not know them.
    """

    code: str
    minutes_per_day: int | None = None
    watts: int | None = None
    pieces: int = 1


@dataclass(frozen=True)
class Estimate:
    """Energy of a year, and what it rests on."""

    watt_minutes_per_year: int
    basis: str

    @property
    def kwh_per_year(self) -> Decimal:
        """As shown: 2 decimals, half-up."""
        return _kwh(self.watt_minutes_per_year)

    @property
    def kwh_per_month(self) -> Decimal:
        """A twelfth of the exact year, not of the shown one."""
        return _kwh(self.watt_minutes_per_year, MONTHS_PER_YEAR)


@dataclass(frozen=True)
class Comparison:
    """All appliances together against the average household: kWh more (or less), and percent."""

    kwh_per_year: Decimal
    kwh_per_month: Decimal
    difference_kwh: Decimal
    percent: Decimal


def estimate(use: Use, table: ApplianceTable) -> Estimate:
    """What the appliance uses. Raises BadAppliance.

    With watts: watts x minutes x 365 x pieces. Without: the average, scaled by minutes where the
    table has a reference, and by nothing else otherwise (it holds for all pieces of a household).
    """
    appliance = _checked(use, table)
    minutes = MINUTES_MAX if use.minutes_per_day is None else use.minutes_per_day
    minutes_per_year = minutes * DAYS_PER_YEAR * use.pieces
    if use.watts is not None:
        return Estimate(use.watts * minutes_per_year, BY_WATTS)
    if appliance.reference_watts is not None:
        # average x minutes / reference minutes, without the division.
        return Estimate(appliance.reference_watts * minutes_per_year, BY_REFERENCE)
    average = appliance.average_kwh * WATT_MINUTES_PER_KWH
    return Estimate(average if minutes else 0, BY_AVERAGE)


def compare(estimates: Iterable[Estimate], table: ApplianceTable) -> Comparison:
    """The sum of the appliances against the average household."""
    total = sum(each.watt_minutes_per_year for each in estimates)
    average = table.household_kwh * WATT_MINUTES_PER_KWH
    return Comparison(
        kwh_per_year=_kwh(total),
        kwh_per_month=_kwh(total, MONTHS_PER_YEAR),
        difference_kwh=_kwh(total - average),
        percent=ratio(100 * total, average, PERCENT_DECIMALS),
    )


def _kwh(watt_minutes: int, parts: int = 1) -> Decimal:
    return ratio(watt_minutes, WATT_MINUTES_PER_KWH * parts, KWH_DECIMALS)


def _checked(use: Use, table: ApplianceTable) -> Appliance:
    appliance = table.appliances.get(use.code)
    if appliance is None:
        known = ", ".join(table.appliances)
        raise BadAppliance(f"appliance {use.code[:20]!r} is not known: choose one of {known}")
    if appliance.whole_day and use.minutes_per_day is not None:
        raise BadAppliance(f"{use.code} runs all day: leave minutes_per_day out")
    if not appliance.whole_day and use.minutes_per_day is None:
        raise BadAppliance(f"minutes_per_day of {use.code} is missing: give 0 to {MINUTES_MAX}")
    if use.minutes_per_day is not None and not 0 <= use.minutes_per_day <= MINUTES_MAX:
        raise BadAppliance(f"minutes_per_day is 0 to {MINUTES_MAX}")
    if use.watts is not None and not 1 <= use.watts <= WATTS_MAX:
        raise BadAppliance(f"watts is 1 to {WATTS_MAX}, as on the type plate")
    pieces_max = PIECES_MAX if appliance.pieces else 1
    if not 1 <= use.pieces <= pieces_max:
        raise BadAppliance(f"pieces of {use.code} is 1 to {pieces_max}")
    return appliance
