"""Totals of a point's spans from what is stored: intervals, substitutes and market prices.

Nothing is measured twice: totals are kept with a fingerprint of what they were made of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from sqlite3 import Connection
from typing import NamedTuple

from settlement import laws, measuring
from settlement.history import History
from settlement.rules.contract import Assignment
from settlement.rules.estimation import Substitute, resolve
from settlement.rules.periods import Period
from settlement.rules.schemes import Law
from settlement.rules.spans import Span
from settlement.rules.totals import Totals
from settlement.rules.validation import Interval
from settlement.store import prices, readings, substitutes, totals
from settlement.store.settlings import Horizon


class Measured(NamedTuple):
    """Totals by span, and those of them that the cache has not, with their fingerprints."""

    totals: dict[Period, Totals]
    fresh: tuple[tuple[bytes, Totals], ...]

    def keep(self, connection: Connection, ppe: str) -> None:
        """Puts what is fresh into the cache."""
        for fingerprint, of_span in self.fresh:
            totals.put(connection, ppe, fingerprint, of_span)


def measured(connection: Connection, history: History, spans: Sequence[Span], law: Law) -> Measured:
    """The totals of every span from what is known now. Raises Refused, Incomplete above all."""
    found: dict[Period, Totals] = {}
    fresh = []
    for span in spans:
        fingerprint = _fingerprint(connection, history, span)
        of_span = totals.find(connection, history.ppe, span.period, fingerprint)
        if of_span is None:
            of_span = _measure(connection, history, span, law, None)
            fresh.append((fingerprint, of_span))
        found[span.period] = of_span
    return Measured(found, tuple(fresh))


def measured_again(
    connection: Connection, history: History, spans: Sequence[Span], law: Law, horizon: Horizon
) -> dict[Period, Totals]:
    """The totals of every span from what was known at that horizon, without the cache."""
    return {span.period: _measure(connection, history, span, law, horizon) for span in spans}


def intervals_of(
    connection: Connection,
    meters: Sequence[Assignment],
    register: str,
    start_s: int,
    end_s: int,
    horizon: Horizon | None = None,
) -> list[Interval]:
    """What counts of a register in [start_s, end_s), each meter only while it was assigned.

    Measured intervals, and substitutes where none is. An interval in which a meter was changed
    belongs to none of them: it is missing.
    """
    found: list[Interval] = []
    estimated: list[Substitute] = []
    for meter_id, from_s, to_s in parts(meters, start_s, end_s):
        up_to = None if horizon is None else horizon.batch_id
        found.extend(readings.intervals(connection, meter_id, register, from_s, to_s, up_to))
        newest = None if horizon is None else horizon.substitute_id
        estimated.extend(
            each
            for each in substitutes.within(connection, meter_id, register, from_s, to_s, newest)
            if each.interval.end_s <= to_s
        )
    return resolve(found, estimated)


def _measure(
    connection: Connection, history: History, span: Span, law: Law, horizon: Horizon | None
) -> Totals:
    start_s, end_s = span.period.start_s, span.period.end_s
    registers = {
        register: intervals_of(connection, history.meters, register, start_s, end_s, horizon)
        for register in measuring.registers_needed(span)
    }
    up_to = None if horizon is None else horizon.import_id
    priced = measuring.is_priced_by_hours(span)
    rce = laws.rce_of(connection, start_s, end_s if priced else start_s, up_to)
    return measuring.totals_of_span(span, registers, law, rce)


def _fingerprint(connection: Connection, history: History, span: Span) -> bytes:
    """Says all that the totals are made of. Rows of every input are only added, so counts tell."""
    start_s, end_s = span.period.start_s, span.period.end_s
    made_of: list[object] = [laws.rules_name(), span]
    for register in measuring.registers_needed(span):
        for part in parts(history.meters, start_s, end_s):
            meter_id, from_s, to_s = part
            made_of += [
                register,
                part,
                readings.stamp(connection, meter_id, register, from_s, to_s),
                substitutes.stamp(connection, meter_id, register, from_s, to_s),
            ]
    if measuring.is_priced_by_hours(span):
        made_of.append(prices.rce_stamp(connection, start_s, end_s))
    return hashlib.sha256(repr(made_of).encode()).digest()


def parts(meters: Sequence[Assignment], start_s: int, end_s: int) -> Iterator[tuple[str, int, int]]:
    """The meters in [start_s, end_s), each with the part of it in which it was assigned."""
    for each in meters:
        from_s = max(start_s, each.from_s)
        to_s = end_s if each.to_s is None else min(end_s, each.to_s)
        if from_s < to_s:
            yield each.meter_id, from_s, to_s
