"""The small questions of a scenario folder: a rebate, an energy voucher, appliances, a forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

from settlement.errors import MalformedBody
from settlement.rules import appliances, forecast, price_cap, rebate, voucher
from settlement.rules.periods import Period
from settlement.rules.policies import REBATE_TRADE_FEES
from settlement.rules.rates import Tables
from settlement.scenarios.folder import Folder
from settlement.tables.household import load_appliances, load_voucher


@dataclass(frozen=True)
class RebateAsked:
    """A claim, and what the invoices of 2024 ask for before it, in grosz.

    The base may be given as gross amounts by code of line instead of the claim's own_base_gr.
    """

    claim: rebate.RebateClaim
    to_pay_gr: tuple[int, ...] = ()
    gross_gr_by_code: Mapping[str, int] = field(default_factory=dict)
    rebate_trade_fee: str = REBATE_TRADE_FEES[0]


@dataclass(frozen=True)
class AppliancesAsked:
    """The appliances of a household."""

    use: tuple[appliances.Use, ...]


@dataclass(frozen=True)
class ForecastAsked:
    """Forecast payments, and what the invoice of actual use comes to, once it is known."""

    period: Period
    forecasts: tuple[forecast.Forecast, ...]
    total_gr: int | None = None
    return_asked: bool = False


def answers(folder: Folder, tables: Tables) -> dict[str, Any]:
    """then-files for rebate.toml, voucher.toml, appliances.toml, forecast.toml.

    Raises Refused and MalformedBody.
    """
    then: dict[str, Any] = {}
    claim = folder.form("rebate.toml", RebateAsked)
    if claim is not None:
        then["rebate.json"] = _rebate(claim)
    household = folder.form("voucher.toml", voucher.Household)
    if household is not None:
        then["voucher.json"] = _plain(voucher.voucher_of(household, load_voucher()))
    used = folder.form("appliances.toml", AppliancesAsked)
    if used is not None:
        then["appliances.json"] = _appliances(used)
    foreseen = folder.form("forecast.toml", ForecastAsked)
    if foreseen is not None:
        then["forecast.json"] = _forecast(foreseen, tables)
    return then


def _rebate(asked: RebateAsked) -> dict[str, Any]:
    claim = asked.claim
    if asked.gross_gr_by_code:
        if claim.own_base_gr:
            raise MalformedBody("rebate.toml: give own_base_gr = 0 beside gross_gr_by_code")
        base_gr = rebate.base_gr(asked.gross_gr_by_code, asked.rebate_trade_fee)
        claim = replace(claim, own_base_gr=base_gr)
    granted = rebate.rebate_of(claim)
    left_gr = granted.amount_gr
    to_pay_gr = []
    for amount_gr in asked.to_pay_gr:
        used_gr, left_gr = rebate.apply(left_gr, amount_gr)
        to_pay_gr.append(amount_gr - used_gr)
    return {**_plain(granted), "to_pay_gr": to_pay_gr, "left_gr": left_gr}


def _appliances(asked: AppliancesAsked) -> dict[str, Any]:
    table = load_appliances()
    estimates = [appliances.estimate(use, table) for use in asked.use]
    compared = appliances.compare(estimates, table)
    return {
        "appliances": [
            {
                "code": use.code,
                "kwh_per_year": str(each.kwh_per_year),
                "kwh_per_month": str(each.kwh_per_month),
                "basis": each.basis,
            }
            for use, each in zip(asked.use, estimates, strict=True)
        ],
        "together": {name: str(value) for name, value in _plain(compared).items()},
    }


def _forecast(asked: ForecastAsked, tables: Tables) -> dict[str, Any]:
    """Each forecast at the statutory price, then the invoice less what was paid."""
    adjusted = []
    for each in asked.forecasts:
        cap = price_cap.cap_without_limit(tables, each.period)
        adjusted.append(forecast.adjust(each, None if cap is None else cap.value))
    data: dict[str, Any] = {
        "adjusted": [
            {"old_gr": each.old_gr, "new_gr": each.new_gr, "difference_gr": each.difference_gr}
            for each in adjusted
        ]
    }
    if asked.total_gr is not None:
        now = [each.forecast for each in adjusted]
        reckoned = forecast.reckon(asked.period, asked.total_gr, now, asked.return_asked)
        data |= {"paid_gr": reckoned.paid_gr, "due_gr": reckoned.due_gr, "way": reckoned.way}
    return data


def _plain(answer: Any) -> dict[str, Any]:
    """A flat dataclass as plain data: tuples as lists, days as text."""
    data = {}
    for each in fields(answer):
        value = getattr(answer, each.name)
        if isinstance(value, tuple):
            value = list(value)
        data[each.name] = value.isoformat() if isinstance(value, date) else value
    return data
