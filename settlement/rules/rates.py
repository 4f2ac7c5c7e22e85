"""Dated rows of rates: which value of a table held in a period, and what law says so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise

from settlement.rules.errors import BadTable, NoRate, RateChanges
from settlement.rules.periods import Period

EVERY_KWH = (0, None)


@dataclass(frozen=True)
class Row:
    """One rate in force on the days [valid_from, valid_to); valid_to None means still in force.

    `annual_kwh` is the band of yearly use it is for, both ends included, None without upper end.
    """

    table: str
    key: str
    value: Decimal
    unit: str
    valid_from: date
    valid_to: date | None
    source: str
    annual_kwh: tuple[int, int | None] = EVERY_KWH

    @property
    def ends(self) -> date:
        """The first day no longer covered."""
        return self.valid_to or date.max


class Tables:
    """All rows, checked once: raises BadTable when rows contradict each other or leave holes."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in rows:
            self._rows[row.table, row.key].append(row)
        for group in self._rows.values():
            _check_history(group)

    def rate(self, table: str, key: str, period: Period, annual_kwh: int = 0) -> Row:
        """The row whose value holds for the whole period.

        Raises NoRate when a day has no row, RateChanges when the value differs between days.
        """
        rows = [
            row
            for row in self._rows.get((table, key), [])
            if row.valid_from < period.end and row.ends > period.start and _in_band(row, annual_kwh)
        ]
        rows.sort(key=lambda row: row.valid_from)
        if not rows or rows[0].valid_from > period.start or rows[-1].ends < period.end:
            raise NoRate(
                f"table {table} has no row {key!r} for all of {period.start} to {period.end}: "
                f"add one with its source to settlement/tables/{table}.toml"
            )
        for row in rows[1:]:
            if row.value != rows[0].value:
                raise RateChanges(
                    f"{table} {key!r} changes on {row.valid_from}: bill up to that day and from "
                    "that day on two invoices"
                )
        return rows[0]


def _in_band(row: Row, annual_kwh: int) -> bool:
    low, high = row.annual_kwh
    return low <= annual_kwh and (high is None or annual_kwh <= high)


def _check_history(group: list[Row]) -> None:
    """Rows of one key: spans follow one another, and the bands of each span cover every kWh."""
    spans: dict[tuple[date, date], list[Row]] = defaultdict(list)
    for row in group:
        if row.valid_from >= row.ends:
            raise BadTable(f"{_name(row)}: valid_to is not later than valid_from")
        spans[row.valid_from, row.ends].append(row)
    for rows in spans.values():
        _check_bands(sorted(rows, key=lambda row: row.annual_kwh[0]))
    ordered = sorted(spans)
    for (_, ends), (begins, _) in pairwise(ordered):
        if begins < ends:
            raise BadTable(f"{_name(group[0])}: rows overlap on {begins}")
        if begins > ends:
            raise BadTable(f"{_name(group[0])}: a gap from {ends} to {begins}")


def _check_bands(rows: list[Row]) -> None:
    expected_kwh: int | None = 0
    for row in rows:
        low, high = row.annual_kwh
        if low != expected_kwh:
            raise BadTable(f"{_name(row)}: bands of annual kWh overlap or leave a hole at {low}")
        if high is not None and high < low:
            raise BadTable(f"{_name(row)}: a band that ends before it starts at {low}")
        expected_kwh = None if high is None else high + 1
    if expected_kwh is not None:
        raise BadTable(f"{_name(rows[-1])}: no band above {expected_kwh - 1} kWh")


def _name(row: Row) -> str:
    return f"table {row.table}, row {row.key!r} from {row.valid_from}"
