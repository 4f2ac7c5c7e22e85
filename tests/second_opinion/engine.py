"""Puts a random household before the engine, and tells what it says as naive.settle() tells it.

Its invoices become steps, its made-up rates tables. Nothing is computed here
but the market value of an hour, which is what the first half of settling would hand over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any

from settlement.rules import account
from settlement.rules.account import Account
from settlement.rules.contract import Contract, check_contracts
from settlement.rules.invoice import Invoice, Line
from settlement.rules.ledger import BOOKED, DEPOSIT, PAID_OUT, REBATE, REVALUED
from settlement.rules.market import Rce, Rcem, RcemVersion
from settlement.rules.periods import HOUR_S, Month, Period
from settlement.rules.policies import policies_of
from settlement.rules.rates import Row, Tables
from settlement.rules.schemes import Law
from settlement.rules.step import Point, Step
from settlement.rules.totals import Totals
from settlement.tables.zones import load_schedules
from tests.second_opinion.naive_contract import facts_on
from tests.second_opinion.naive_numbers import month_of
from tests.support.a_contract import BANK_NUMBER, a_contract
from tests.support.a_point import PPE

SOURCE = "made up"
EARLIEST = date(2020, 1, 1)
# Where a month has no such rate, and nothing may ask for it: it would show in every amount.
ABSURD = "9.87654"
_Name = tuple[str, str, str]  # table, key, unit
_Bands = dict[str, str]  # the value of each band of yearly use, by its first kWh
REGIME_STARTS = (EARLIEST, *(date(*day) for day in (
    (2023, 1, 1), (2024, 1, 1), (2024, 7, 1), (2025, 1, 1), (2026, 1, 1),
)))  # fmt: skip


def tables_of(household: dict[str, Any], rates: dict[str, dict[str, Any]]) -> Tables:
    """Rows of each rate for as long as it stays the same."""
    histories: dict[_Name, list[tuple[Month, _Bands]]] = {}
    for text, rate in rates.items():
        for name, bands in _rates_of(household, rate):
            histories.setdefault(name, []).append((_month(text), bands))
    rows = [*_prosumer_rows(), *_regime_rows(rates)]
    for (table, key, unit), history in histories.items():
        for bands, same in groupby(history, key=lambda month_and_bands: month_and_bands[1]):
            months = [month for month, _ in same]
            start, end = months[0].first, months[-1].plus(1).first
            ends_kwh = [*(int(kwh) - 1 for kwh in bands if kwh != "0"), None]
            for (kwh, value), end_kwh in zip(bands.items(), ends_kwh, strict=True):
                band = (int(kwh), end_kwh)
                rows.append(Row(table, key, Decimal(value), unit, start, end, SOURCE, band))
    return Tables(rows)


def _month(text: str) -> Month:
    return Month(*month_of(text))


def _rates_of(household: dict[str, Any], rate: dict[str, Any]) -> Iterator[tuple[_Name, _Bands]]:
    """Each rate of one month."""
    network, group = "distribution_tauron", household["group"].lower()
    by_kwh, by_month = "pln_per_kwh", "pln_per_month"
    for zone, price in rate["variable"].items():
        yield (network, f"{group}.variable.{zone}", by_kwh), {"0": price}
    fixed = f"{group}.fixed.{household['phases']}_phase"
    yield (network, fixed, by_month), {"0": rate["fixed"]}
    yield (network, "quality", by_kwh), {"0": rate["quality"]}
    yield (network, "subscription.1_month", by_month), {"0": rate["subscription"]}
    yield ("levies", "renewable", by_kwh), {"0": rate["renewable"]}
    yield ("levies", "cogeneration", by_kwh), {"0": rate["cogeneration"]}
    yield ("capacity_fee", "household", by_month), rate["capacity"]
    yield ("transitional_fee", "household", by_month), rate["transitional"]
    yield ("vat", "electricity", "percent"), {"0": rate["vat"]}
    yield ("price_cap", "household", by_kwh), {"0": rate["cap"] or ABSURD}
    yield ("price_cap", "household.inside_limit", by_kwh), {"0": rate["inside"] or ABSURD}
    for who in ("standard", "disability", "large_family"):
        limit_kwh = str(rate["limit"][who]) if rate["limit"] else "1"
        yield ("price_cap", f"household.limit.{who}", "kwh"), {"0": limit_kwh}


def _regime_rows(rates: dict[str, dict[str, Any]]) -> list[Row]:
    ends = (*REGIME_STARTS[1:], None)
    rows = []
    for start, end in zip(REGIME_STARTS, ends, strict=True):
        inside = {
            rate["regime"]
            for text, rate in rates.items()
            if start <= _month(text).first < (end or date.max)
        }
        (regime,) = inside or {0}
        rows.append(
            Row("price_cap", "household.regime", Decimal(regime), "regime", start, end, SOURCE)
        )
    return rows


def _prosumer_rows() -> list[Row]:
    """Figures of the acts, told here once more."""
    told: list[tuple[str, str, date, date | None]] = [
        ("storage_ratio.up_to_10_kw", "0.8", EARLIEST, None),
        ("storage_ratio.above_10_kw", "0.7", EARLIEST, None),
        ("uplift.2025-02", "1", EARLIEST, date(2025, 2, 1)),
        ("uplift.2025-02", "1.23", date(2025, 2, 1), None),
        ("uplift.2025-01", "1", EARLIEST, date(2025, 1, 1)),
        ("uplift.2025-01", "1.23", date(2025, 1, 1), None),
        ("refund.rcem", "20", EARLIEST, None),
        ("refund.rce", "20", EARLIEST, date(2025, 2, 1)),
        ("refund.rce", "30", date(2025, 2, 1), None),
        ("tenant_scheme", "1", date(2023, 10, 1), None),
    ]
    return [
        Row("prosumer", key, Decimal(value), "ratio", start, end, SOURCE)
        for key, value, start, end in told
    ]


def law_of(household: dict[str, Any], rates: dict[str, Any], rcem: dict[str, Any]) -> Law:
    """All that settling reads."""
    versions = [
        RcemVersion(_month(month), Decimal(value), date.fromisoformat(published), SOURCE)
        for month, published_values in rcem.items()
        for published, value in published_values
    ]
    return Law(tables_of(household, rates), Rcem(versions), load_schedules())


def contracts_of(household: dict[str, Any]) -> tuple[Contract, ...]:
    """A contract for each time between two changes."""
    first = household["invoices"][0]["parts"][0]["from"]
    starts = [first, *(change["from"] for change in household["changes"])]
    if household["ends"] is not None:
        starts = [start for start in starts if start < household["ends"]]
    ends = [*starts[1:], household["ends"]]
    return check_contracts(
        [
            _contract(facts_on(household, start), start, end)
            for start, end in zip(starts, ends, strict=True)
        ]
    )


def _contract(facts: dict[str, Any], start: str, end: str | None) -> Contract:
    since, rce_from = facts["prosumer_since"], facts["rce_from"]
    return a_contract(
        seller=facts["seller"],
        tariff_group=facts["group"],
        scheme=facts["scheme"],
        phases=facts["phases"],
        annual_kwh=facts["annual_kwh"],
        unit_prices_pln_per_kwh=_decimals(facts["prices"]),
        frozen_prices_pln_per_kwh=_decimals(facts["frozen_prices"] or {}),
        trade_fee_pln_per_month=Decimal(facts["trade_fee"]),
        cap_entitled=facts["cap_entitled"],
        cap_limit=facts["cap_limit"],
        partial_month=facts["partial_month"],
        installed_power_w=facts["installed_power_w"],
        prosumer_since=since and date.fromisoformat(since),
        rce_from=rce_from and _month(rce_from),
        payout_bank_number=BANK_NUMBER if facts["scheme"] == "tenant" else None,
        policies=policies_of(facts["policies"]),
        valid_from=date.fromisoformat(start),
        valid_to=end and date.fromisoformat(end),
    )


def _decimals(prices: dict[str, str]) -> dict[str, Decimal]:
    return {zone: Decimal(price) for zone, price in prices.items()}


def totals_of(household: dict[str, Any]) -> dict[Period, Totals]:
    """The energy of each part of a month, with its value by the prices of its hours."""
    clamp = policies_of(household["policies"]).rce_clamp
    every = {}
    for part in (part for metered in household["invoices"] for part in metered["parts"]):
        period = _period(part["from"], part["until"])
        every[period] = Totals(
            span=period,
            import_wh=part["import_wh"],
            export_wh=part["export_wh"],
            positive_wh=part["positive_wh"],
            negative_wh=part["negative_wh"],
            value=_value(period.start_s, part["rce"], clamp),
        )
    return every


def _value(start_s: int, hours: Sequence[Any], clamp: str) -> int:
    starts_s = [start_s + place * HOUR_S for place in range(len(hours))]
    rce = Rce(
        (hour_s + quarter * HOUR_S // 4, int(Decimal(price) * 100))
        for hour_s, (_, prices) in zip(starts_s, hours, strict=True)
        for quarter, price in enumerate(prices)
    )
    return sum(
        export_wh * rce.hour_sum(hour_s, clamp)
        for hour_s, (export_wh, _) in zip(starts_s, hours, strict=True)
    )


def settle(
    household: dict[str, Any], rates: dict[str, Any], rcem: dict[str, Any], known: Sequence[str]
) -> Account:
    """The first invoices, one for each day in `known`, which says when it was settled."""
    steps = [
        Step(
            _period(metered["parts"][0]["from"], metered["parts"][-1]["until"]),
            date.fromisoformat(day),
        )
        for metered, day in zip(household["invoices"], known, strict=False)
    ]
    point = Point(PPE, contracts_of(household), rebate_gr=household["rebate_gr"])
    return account.settle(point, steps, totals_of(household), law_of(household, rates, rcem))


def _period(start: str, end: str) -> Period:
    return Period(date.fromisoformat(start), date.fromisoformat(end))


def results_of(found: Account) -> list[dict[str, Any]]:
    """What naive.settle() tells of each invoice, but for `sums_of`."""
    return [
        _result(invoice) | {"returned_gr": returned_gr}
        for invoice, returned_gr in zip(found.invoices, _returned(found), strict=True)
    ]


def sums_of(found: Account) -> dict[str, int]:
    """Sums over all invoices of what no invoice tells."""
    came: Counter[tuple[str, str]] = Counter()
    for entry in found.entries:
        came[entry.account, entry.kind] += entry.amount
    return {
        "booked_gr": came[DEPOSIT, BOOKED],
        "revalued_gr": came[DEPOSIT, REVALUED],
        "rebate_paid_out_gr": came[REBATE, PAID_OUT],
    }


def _result(invoice: Invoice) -> dict[str, Any]:
    deposit, storage = invoice.deposit, invoice.storage
    return {
        "month": str(Month.of(invoice.period.start)),
        "lines": [_line(line) for line in invoice.lines],
        "deposit_used_gr": deposit.used_gr,
        "rebate_used_gr": invoice.rebate_used_gr,
        "to_pay_gr": invoice.to_pay_gr,
        "storage_open_wh": storage.open_wh if storage else 0,
        "deposit_open_gr": deposit.open_gr,
        "refunded_gr": deposit.refunded_gr,
        "forfeited_gr": deposit.forfeited_gr,
        "forfeited_wh": storage.forfeited_wh if storage else 0,
        "paid_out_gr": deposit.paid_out_gr,
    }


def _line(line: Line) -> tuple[str, str, Decimal, Decimal, int, int, int]:
    position = line.position
    return (
        position.code,
        position.zone,
        position.quantity,
        position.unit_price_pln,
        line.net_gr,
        line.vat_gr,
        line.gross_gr,
    )


def _returned(found: Account) -> list[int]:
    """What the corrections of earlier invoices ask for on top, by the step that brought them."""
    latest = [invoice.to_pay_gr for invoice in found.invoices]
    asked_gr = [0] * len(latest)
    for each in found.returns:
        asked_gr[each.at] += each.invoice.to_pay_gr - latest[each.place]
        latest[each.place] = each.invoice.to_pay_gr
    return asked_gr
