"""What a month's export is worth: by which price, how far raised, how long usable, what refunded.

Act on renewable sources (OZE) art. 4b: up to June 2024 the energy of a month is worth the monthly
market price RCEm, from July 2024 hour by hour the market price RCE. The act of 27 November 2024
(Dz.U. 2024 poz. 1847) lets those who fed in before July 2024 keep RCEm, moves them to RCE by a
statement, raises the value by the factor 1.23 and the refund of some from 20 to 30 percent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from settlement.rules.contract import Contract
from settlement.rules.errors import NoMarketValue
from settlement.rules.market import Rcem, RcemVersion
from settlement.rules.periods import Month
from settlement.rules.policies import Policies
from settlement.rules.rates import Tables
from settlement.rules.totals import VALUE_PER_GR, Totals
from settlement.rules.units import GR_PER_PLN, divide_half_up, whole_kwh

RCEM = "rcem"
RCE = "rce"
RCE_FIRST = Month(2024, 7)  # art. 4b: the first month of hourly prices
EARLY_LAST = Month(2024, 6)  # policy early_refund is about lots last usable up to here
LIFE_MONTHS = 12  # art. 4 ust. 11: from the month it is booked in
KWH_PER_MWH = 1000


@dataclass(frozen=True)
class Terms:
    """What the valuation has to know of the contract.

    `prosumer_since` is the first day of feeding in; `rce_from` the first month of hourly prices
    chosen by statement, None without one.
    """

    prosumer_since: date
    rce_from: Month | None
    policies: Policies


@dataclass(frozen=True)
class Export:
    """What one month fed in. `value` is Totals.value, None when a part was not priced.

    `converted_kwh` are whole kWh out of the storage of net-metering, at its end.
    """

    month: Month
    negative_wh: int = 0
    value: int | None = 0
    converted_kwh: int = 0


@dataclass(frozen=True)
class Worth:
    """How a month's export is valued. `last` is the last month that can use it.

    `kwh` whole kWh are valued by the RCEm `version`, None without any; `value` (in 1/VALUE_PER_GR
    grosz) by RCE; both are raised by `uplift`. `refund_percent` limits what is refunded at the end.
    """

    month: Month
    mode: str
    kwh: int
    version: RcemVersion | None
    value: int
    uplift: Decimal
    refund_percent: Decimal
    last: Month

    @cached_property
    def amount_gr(self) -> int:
        """The value, rounded once at the end; a month of negative prices is worth nothing."""
        price = self.version.pln_per_mwh if self.version else Decimal(0)
        by_month = Fraction(price) * self.kwh * GR_PER_PLN / KWH_PER_MWH
        by_hour = Fraction(self.value, VALUE_PER_GR)
        worth = (by_month + by_hour) * Fraction(self.uplift)
        return max(0, divide_half_up(worth.numerator, worth.denominator))

    @property
    def refund_max_gr(self) -> int:
        """The most that is refunded: the percentage of the whole value, rounded down to grosz."""
        percent_n, percent_d = self.refund_percent.as_integer_ratio()
        return self.amount_gr * percent_n // (100 * percent_d)

    @property
    def explained(self) -> str:
        """How it came about, for the note of a ledger entry."""
        by_month = f"{self.kwh} kWh x {self.version.pln_per_mwh} PLN/MWh" if self.version else None
        by_hour = "RCE by the hour" if self.mode == RCE else None
        return f"({' + '.join(filter(None, (by_month, by_hour))) or '0 kWh'}) x {self.uplift}"


def terms_of(contract: Contract) -> Terms:
    """The terms of a prosumer's contract, which has passed contract.check_contract."""
    assert contract.prosumer_since is not None
    return Terms(contract.prosumer_since, contract.rce_from, contract.policies)


def add(pending: tuple[Export, ...], month: Month, totals: Totals) -> tuple[Export, ...]:
    """The export with one more span of a month; spans of the same month add up."""
    found = _export_of(pending, month)
    grown = replace(
        found,
        negative_wh=found.negative_wh + sum(totals.negative_wh.values()),
        value=None if found.value is None or totals.value is None else found.value + totals.value,
    )
    return _put(pending, grown)


def add_converted(pending: tuple[Export, ...], month: Month, kwh: int) -> tuple[Export, ...]:
    """The export with whole kWh that leave the storage of net-metering in its last month."""
    found = _export_of(pending, month)
    return _put(pending, replace(found, converted_kwh=found.converted_kwh + kwh))


def due(
    pending: tuple[Export, ...], month: Month, policies: Policies, whole: bool = True
) -> tuple[tuple[Export, ...], tuple[Export, ...]]:
    """The export that is booked in `month` or was to be before, and what stays pending.

    `whole`: all that `month` itself feeds in is at hand; else it waits, whatever the policy says.
    """
    now = tuple(
        each
        for each in pending
        if booking_month(each.month, policies) <= month and (whole or each.month < month)
    )
    return now, pending[len(now) :]


def _export_of(pending: tuple[Export, ...], month: Month) -> Export:
    return next((each for each in pending if each.month == month), Export(month))


def _put(pending: tuple[Export, ...], export: Export) -> tuple[Export, ...]:
    others = [each for each in pending if each.month != export.month]
    return tuple(sorted([*others, export], key=lambda each: each.month))


def mode_of(month: Month, terms: Terms) -> str:
    """Whether the month is valued by RCEm or by RCE (art. 4b, and the act of 27 November 2024).

    Policy rce_transition says what holds for those from before July 2024 without a statement.
    """
    if month < RCE_FIRST:
        return RCEM
    if terms.prosumer_since >= RCE_FIRST.first or _by_statement(month, terms):
        return RCE
    return RCE if terms.policies.rce_transition == "rce_from_2024_07" else RCEM


def _by_statement(month: Month, terms: Terms) -> bool:
    return terms.rce_from is not None and month >= terms.rce_from


def worth_of(export: Export, terms: Terms, rcem: Rcem, tables: Tables, known_on: date) -> Worth:
    """What the export of a month is worth by the prices known on a day.

    Raises NoRate when RCEm is not published by then, and NoMarketValue when hours that are valued
    by RCE were settled without prices. Without a kWh no RCEm is asked for.
    """
    # What comes out of the storage of net-metering is worth RCEm, and refunded like it.
    only_converted = export.converted_kwh > 0 and not export.negative_wh
    mode = RCEM if only_converted else mode_of(export.month, terms)
    if mode == RCE and export.value is None:
        raise NoMarketValue(
            f"the export of {export.month} is valued by hourly prices (RCE) and has no value: "
            "settle the month again with the prices of its hours"
        )
    kwh = export.converted_kwh + (whole_kwh(export.negative_wh) if mode == RCEM else 0)
    uplift_key = f"uplift.{terms.policies.uplift_start}"
    last = last_month(export.month, terms.policies)
    return Worth(
        month=export.month,
        mode=mode,
        kwh=kwh,
        version=rcem.version(export.month, known_on) if kwh else None,
        value=(export.value or 0) if mode == RCE else 0,
        uplift=tables.rate_on("prosumer", uplift_key, export.month.first).value,
        refund_percent=_refund_percent(export.month, mode, last, terms, tables),
        last=last,
    )


def booking_month(month: Month, policies: Policies) -> Month:
    """The month in which the export of `month` is booked (policy deposit_booking)."""
    return month if policies.deposit_booking == "same_month" else month.plus(1)


def last_month(month: Month, policies: Policies) -> Month:
    """The last month that can use the export of `month`: twelve months, art. 4 ust. 11.

    Policy deposit_clock: counted from the month it is booked in, or from the month of export.
    """
    by_booking = policies.deposit_clock == "booking_month"
    start = booking_month(month, policies) if by_booking else month
    return start.plus(LIFE_MONTHS - 1)


def is_forfeited(last: Month, policies: Policies) -> bool:
    """Whether nothing is refunded of a lot because of its `last` month (policy early_refund)."""
    return last <= EARLY_LAST and policies.early_refund == "forfeited"


def _refund_percent(month: Month, mode: str, last: Month, terms: Terms, tables: Tables) -> Decimal:
    """Art. 4 ust. 11: 20 percent, or 30 of later months by policy refund_thirty; or none early."""
    if is_forfeited(last, terms.policies):
        return Decimal(0)
    every = terms.policies.refund_thirty == "every_rce"
    moved = mode == RCE and (every or _by_statement(month, terms))
    key = "refund.rce" if moved else "refund.rcem"
    return tables.rate_on("prosumer", key, month.first).value


def corrected(worth: Worth, rcem: Rcem, known_on: date) -> Worth:
    """The same export by the newest RCEm known on a day; equal when nothing was corrected."""
    if worth.version is None:
        return worth
    newest = rcem.version(worth.month, known_on)
    assert newest.published_on >= worth.version.published_on, "what is known is not forgotten"
    return worth if newest == worth.version else replace(worth, version=newest)
