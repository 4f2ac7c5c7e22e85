"""Dated rows of rates: which value of a table held in a period, and what law says so."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

from settlement.rules.errors import BadTable, NoRate, RateChanges
from settlement.rules.periods import Period

EVERY_KWH = (0, None)
SELLER_PREFIX = "seller_"
DISTRIBUTOR_PREFIX = "distribution_"


@dataclass(frozen=True)
class Row:
    """One rate in force on the days [valid_from, valid_to); valid_to None means still in force.

    `annual_kwh` is the band of yearly use it is for, both ends included, None without upper end.
    `excise_included` False means that excise (table `excise`) is added to this price of energy.
    """

    table: str
    key: str
    value: Decimal
    unit: str
    valid_from: date
    valid_to: date | None
    source: str
    annual_kwh: tuple[int, int | None] = EVERY_KWH
    excise_included: bool = True

    @property
    def ends(self) -> date:
        """The first day no longer covered."""
        return self.valid_to or date.max

    @property
    def price(self) -> tuple[Decimal, bool]:
        """What makes two rows the same for who pays: the value, with or without excise."""
        return self.value, self.excise_included

    @property
    def origin(self) -> str:
        """Its name as invoices give it to explain a price."""
        return f"{self.table} {self.key} from {self.valid_from}"


@dataclass(frozen=True)
class Unknown:
    """Days on which a rate exists that no document at hand tells.

    A gap between rows is refused as a slip of the pen unless it is said to be one of these.
    """

    table: str
    key: str
    valid_from: date
    valid_to: date
    reason: str


class Tables:
    """All rows, checked once: raises BadTable when rows contradict each other or leave holes."""

    def __init__(self, rows: Iterable[Row], unknown: Iterable[Unknown] = ()) -> None:
        self.rows = tuple(rows)
        self.unknown = tuple(unknown)
        self._histories: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in sorted(self.rows, key=lambda row: row.valid_from):
            self._histories[row.table, row.key].append(row)
        self._unknown: dict[tuple[str, str], list[Unknown]] = defaultdict(list)
        for each in self.unknown:
            self._unknown[each.table, each.key].append(each)
        for name, history in self._histories.items():
            _check_history(history, self._unknown.get(name, []))

    def knows(self, table: str, key: str) -> bool:
        """Whether the table has a row of that key at all, on whatever day."""
        return (table, key) in self._histories

    def band_starts(self, table: str, key: str) -> tuple[int, ...]:
        """The first kWh of every band of yearly use that some row of the key has; none without."""
        history = self._histories.get((table, key), [])
        return tuple(sorted({row.annual_kwh[0] for row in history}))

    def rate(self, table: str, key: str, period: Period, annual_kwh: int = 0) -> Row:
        """The row whose value holds for the whole period.

        Raises NoRate when a day has no row, RateChanges when the value differs between days.
        """
        rows = self._rows(table, key, period, annual_kwh)
        covered = period.start
        for row in rows:
            if row.valid_from <= covered:
                covered = row.ends
        if covered < period.end:
            raise NoRate(self._missing(table, key, period))
        for row in rows[1:]:
            if row.price != rows[0].price:
                raise RateChanges(
                    f"{table} {key!r} changes on {row.valid_from}: bill up to that day and from "
                    "that day on two invoices"
                )
        return rows[0]

    def rate_on(self, table: str, key: str, day: date, annual_kwh: int = 0) -> Row:
        """The row that holds on the day. Raises NoRate when there is none."""
        return self.rate(table, key, Period(day, day + timedelta(days=1)), annual_kwh)

    def changes(self, table: str, key: str, period: Period, annual_kwh: int = 0) -> list[date]:
        """Days inside of the period, not its first, whose value is not that of the day before.

        A day that follows one without a row is no change: `rate` will refuse the period.
        """
        return [
            after.valid_from
            for before, after in pairwise(self._rows(table, key, period, annual_kwh))
            if before.ends == after.valid_from and before.price != after.price
        ]

    def _rows(self, table: str, key: str, period: Period, annual_kwh: int) -> list[Row]:
        """Rows of the band that hold on a day of the period, in order of time."""
        history = self._histories.get((table, key), [])
        end = bisect_left(history, period.end, key=lambda row: row.valid_from)
        found: list[Row] = []
        for row in reversed(history[:end]):
            if row.ends <= period.start:
                break  # rows of a key follow one another: those before end earlier still
            if _in_band(row, annual_kwh):
                found.append(row)
        return found[::-1]

    def _missing(self, table: str, key: str, period: Period) -> str:
        text = (
            f"table {table} has no row {key!r} for all of {period.start} to {period.end}: "
            f"{_remedy(table)}"
        )
        for each in self._unknown.get((table, key), []):
            if each.valid_from < period.end and each.valid_to > period.start:
                return f"{text} ({each.reason})"
        return text


def _remedy(table: str) -> str:
    if table.startswith(SELLER_PREFIX):
        return "read in the seller's price list of these days"
    add = f"add one with its source to settlement/tables/{table}.toml"
    if table.startswith(DISTRIBUTOR_PREFIX):
        return f"{add}, or read in the operator's tariff of these days"
    return add


def _in_band(row: Row, annual_kwh: int) -> bool:
    low, high = row.annual_kwh
    return low <= annual_kwh and (high is None or annual_kwh <= high)


def _check_history(history: Sequence[Row], unknown: Sequence[Unknown]) -> None:
    """Rows of one key: spans follow one another, and the bands of each span cover every kWh."""
    spans: dict[tuple[date, date], list[Row]] = defaultdict(list)
    for row in history:
        if row.valid_from >= row.ends:
            raise BadTable(f"{_name(row)}: valid_to is not later than valid_from")
        spans[row.valid_from, row.ends].append(row)
    for rows in spans.values():
        _check_bands(sorted(rows, key=lambda row: row.annual_kwh[0]))
    for (_, ends), (begins, _) in pairwise(sorted(spans)):
        if begins < ends:
            raise BadTable(f"{_name(history[0])}: rows overlap on {begins}")
        if begins > ends and not any(_covers(each, ends, begins) for each in unknown):
            raise BadTable(f"{_name(history[0])}: a gap from {ends} to {begins}")


def _covers(unknown: Unknown, start: date, end: date) -> bool:
    return unknown.valid_from <= start and end <= unknown.valid_to


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
