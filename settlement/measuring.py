"""From the intervals of a point's meters to the totals of spans: the first half of settling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from settlement.rules import valuation
from settlement.rules.balancing import totals_of
from settlement.rules.calendar import hour_rows
from settlement.rules.contract import NET_BILLING, PROSUMERS, TENANT
from settlement.rules.market import Rce
from settlement.rules.metering import EXPORT, IMPORT, Metered, check_whole, metered
from settlement.rules.periods import Period
from settlement.rules.schemes import Law
from settlement.rules.spans import Span
from settlement.rules.totals import Totals
from settlement.rules.validation import Interval

Registers = Mapping[str, Sequence[Interval]]


def registers_needed(span: Span) -> tuple[str, ...]:
    """OBIS names of the registers that must be known for the span."""
    return (IMPORT, EXPORT) if span.contract.scheme in PROSUMERS else (IMPORT,)


def measured(span: Span, registers: Registers) -> Metered:
    """The hours of the span from intervals that lie in it. Raises OffGrid and its like."""
    needed = registers_needed(span)
    power_w = span.contract.connection_power_w
    return metered({name: registers.get(name, ()) for name in needed}, span.period, power_w)


def totals_of_span(span: Span, registers: Registers, law: Law, rce: Rce) -> Totals:
    """The totals of a span. Raises Incomplete, NoRate (also for a missing RCE) and others."""
    contract = span.contract
    hours = measured(span, registers)
    check_whole(hours)
    prices = rce if is_priced_by_hours(span) else None
    rows = hour_rows(
        span.period,
        contract.tariff_group,
        law.schedules,
        prices,
        contract.policies.rce_clamp,
    )
    prosumer = contract.scheme in PROSUMERS
    totals = totals_of(
        span.period,
        rows,
        hours.hours,
        balanced=prosumer and _is_balanced(span.period, law),
        with_export=prosumer,
        intervals=hours.intervals,
        quality=hours.quality,
        readings_sha256=hours.readings_sha256,
    )
    findings = (f"{each.kind} {each.meter_id}: {each.detail}" for each in hours.findings)
    return replace(totals, findings=tuple(findings))


def is_priced_by_hours(span: Span) -> bool:
    """Whether the export of the span is valued by the market price of each hour (RCE)."""
    if span.contract.scheme not in (NET_BILLING, TENANT):
        return False
    terms = valuation.terms_of(span.contract)
    return valuation.mode_of(span.month, terms) == valuation.RCE


def _is_balanced(period: Period, law: Law) -> bool:
    """Whether hourly balancing is in force (from 1 April 2022)."""
    return law.tables.rate_on("prosumer", "hourly_balancing", period.start).value != 0
