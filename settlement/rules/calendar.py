"""The dimension table: all that the calendar knows of a span, one row of plain values an hour.

Time zones, holidays, seasons and market prices end here. What comes after needs integers and
equality alone: any engine can join these rows to hourly energy and cannot read a clock wrongly.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from settlement.rules.periods import HOUR_S, Period
from settlement.rules.zones import Schedules


class HourPrices(Protocol):
    """Market prices by hour: `market.Rce` is one."""

    def hour_sum(self, start_s: int, clamp: str) -> int:
        """Four times the price of the hour, grosz per MWh. Raises NoRate naming the hour."""


class HourRow(NamedTuple):
    """One hour: UTC start, zone, and four times its market price in grosz per MWh, or None."""

    start_s: int
    zone: str
    price4: int | None


def hour_rows(
    span: Period, group: str, schedules: Schedules, prices: HourPrices | None, clamp: str
) -> tuple[HourRow, ...]:
    """Every hour of the span in order: 24 a day, 23 and 25 on the days of the clock change.

    `prices` None asks for no prices. `clamp` is a value of policy `rce_clamp`. Raises
    UnsupportedTariff and NoRate.
    """
    return tuple(
        HourRow(
            start_s,
            schedules.zone_of(group, start_s),
            None if prices is None else prices.hour_sum(start_s, clamp),
        )
        for start_s in range(span.start_s, span.end_s, HOUR_S)
    )
