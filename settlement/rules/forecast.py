"""Invoices on forecast (prognoza): what is asked for before the meter is read, and the reckoning.

Settling by actual use is the rule; a household read every 2, 6 or 12 months pays forecasts in
between. They are advance payments: the invoice for the actual use takes off what was paid. On the
customer's wish ("Dostosowanie prognozy do ceny ustawowej") forecasts that are still to be paid are
computed again at the price of the act, if that is the lower one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

from settlement.rules.contract import ANNUAL_KWH_MAX, UNIT_PRICE_PLN_PER_KWH_MAX
from settlement.rules.errors import BadForecast
from settlement.rules.periods import Period
from settlement.rules.units import amount_gr, vat_gr

# What becomes of the difference between invoice and forecasts. The rules of tariffs set an
# overpayment off against the next payments unless the customer asks for it back.
TO_PAY = "to_pay"
SETTLED = "settled"
SET_OFF = "set_off"
RETURNED = "returned"


@dataclass(frozen=True)
class Forecast:
    """One advance payment for a period. Prices are net PLN/kWh with excise, by zone.

    `other_gr` is the gross of everything but active energy, in grosz; the price cap leaves it as it
    is. `paid_gr` is what has been paid on it.
    """

    period: Period
    kwh_by_zone: Mapping[str, int]
    unit_prices_pln_per_kwh: Mapping[str, Decimal]
    vat_percent: Decimal
    other_gr: int = 0
    paid_gr: int = 0


@dataclass(frozen=True)
class Adjustment:
    """A forecast before and after the customer's wish, gross in grosz."""

    forecast: Forecast
    old_gr: int
    new_gr: int

    @property
    def difference_gr(self) -> int:
        """New less old: never above 0."""
        return self.new_gr - self.old_gr


@dataclass(frozen=True)
class Reckoning:
    """Actual use against forecasts: due = total - paid, grosz; negative is an overpayment."""

    total_gr: int
    paid_gr: int
    way: str

    @property
    def due_gr(self) -> int:
        """What the customer still owes, or is owed when negative."""
        return self.total_gr - self.paid_gr


def gross_gr(forecast: Forecast) -> int:
    """The forecast's amount: every zone rounded as a line of an invoice. Raises BadForecast."""
    _check(forecast)
    gross = forecast.other_gr
    for zone, kwh in forecast.kwh_by_zone.items():
        net = amount_gr(Decimal(kwh), forecast.unit_prices_pln_per_kwh[zone])
        gross += net + vat_gr(net, forecast.vat_percent)
    return gross


def adjust(forecast: Forecast, cap_pln_per_kwh: Decimal | None) -> Adjustment:
    """The forecast at min(price, cap) in every zone; None where no cap holds.

    A forecast is an estimate, so each zone is capped by itself; the policy cap_scope is for the
    invoice. One that is wholly paid stays as it is: the invoice for the actual use mends it.
    Raises BadForecast.
    """
    old = gross_gr(forecast)
    if cap_pln_per_kwh is None or forecast.paid_gr >= old:
        return Adjustment(forecast, old, old)
    capped = {
        zone: min(price, cap_pln_per_kwh)
        for zone, price in forecast.unit_prices_pln_per_kwh.items()
    }
    adjusted = replace(forecast, unit_prices_pln_per_kwh=capped)
    return Adjustment(adjusted, old, gross_gr(adjusted))


def reckon(
    period: Period, total_gr: int, forecasts: Sequence[Forecast], return_asked: bool = False
) -> Reckoning:
    """What is left of the period's invoice after the forecasts that were paid for it.

    `total_gr` is what the invoice for the actual use asks for. Raises BadForecast when a forecast
    lies outside of the period or two cover the same day: a payment would count wrongly.
    """
    ordered = sorted(forecasts, key=lambda each: each.period.start)
    for each in ordered:
        _check(each)
        if each.period.start < period.start or each.period.end > period.end:
            raise BadForecast(f"the forecast from {each.period.start} is not for this invoice")
    for before, after in pairwise(ordered):
        if after.period.start < before.period.end:
            raise BadForecast(f"two forecasts cover {after.period.start}: keep one of them")
    paid = sum(each.paid_gr for each in ordered)
    return Reckoning(total_gr, paid, _way(total_gr - paid, return_asked))


def _way(due_gr: int, return_asked: bool) -> str:
    if due_gr > 0:
        return TO_PAY
    if due_gr == 0:
        return SETTLED
    return RETURNED if return_asked else SET_OFF


def _check(forecast: Forecast) -> None:
    if not forecast.kwh_by_zone or set(forecast.kwh_by_zone) != set(
        forecast.unit_prices_pln_per_kwh
    ):
        raise BadForecast(
            "kwh_by_zone and unit_prices_pln_per_kwh name the same zones, one or more"
        )
    if not all(0 <= kwh <= ANNUAL_KWH_MAX for kwh in forecast.kwh_by_zone.values()):
        raise BadForecast(f"kwh_by_zone is 0 to {ANNUAL_KWH_MAX} kWh in each zone")
    for price in forecast.unit_prices_pln_per_kwh.values():
        if not 0 < price <= UNIT_PRICE_PLN_PER_KWH_MAX:
            raise BadForecast(
                f"unit_prices_pln_per_kwh is above 0 and at most {UNIT_PRICE_PLN_PER_KWH_MAX}"
            )
    if forecast.other_gr < 0 or forecast.paid_gr < 0:
        raise BadForecast("other_gr and paid_gr are 0 grosz or more")
