"""Reads the `when` side of a scenario folder: the point, its invoices, energy, prices and rates.

Every file but contract.toml may be left out; docs/settlement.md has the formats for an expert.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from settlement import tables
from settlement.errors import MalformedBody
from settlement.points import ContractForm, OpeningForm, contracts_of
from settlement.rules.market import Rce
from settlement.rules.periods import HOUR_S, Month, Period
from settlement.rules.rates import Tables
from settlement.rules.schemes import Law
from settlement.rules.step import Point, Step
from settlement.scenarios import energy
from settlement.scenarios.folder import Folder
from settlement.tables import load_rcem
from settlement.tables.lists import read_list, with_lists
from settlement.tables.market import read_rce, read_rcem
from settlement.tables.zones import load_schedules

TOTAL_KWH_MAX = 1_000_000
INVOICES_MAX = 120
# Invoices go out after the 11th, on which the market price of the month before is published.
KNOWN_AFTER_DAYS = 14

_Count = Annotated[int, msgspec.Meta(ge=0)]


class InvoiceForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The days [start, end) of one invoice, and the day whose knowledge it is settled with."""

    start: date
    end: date
    known_on: date | None = None


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """contract.toml: the point, its contracts, and which invoices are asked for.

    One invoice is `start` and `end`; one for each month is `first_month` and `last_month`; any
    others are `[[invoices]]`.
    """

    ppe: str
    start: date | None = None
    end: date | None = None
    known_on: date | None = None
    first_month: str | None = None
    last_month: str | None = None
    invoices: Annotated[list[InvoiceForm], msgspec.Meta(max_length=INVOICES_MAX)] = []
    contract: ContractForm | None = None
    contracts: list[ContractForm] = []
    opening: OpeningForm = OpeningForm()
    rebate_gr: _Count = 0
    total_kwh: Annotated[int, msgspec.Meta(ge=0, le=TOTAL_KWH_MAX)] | None = None
    capture_period_s: _Count = HOUR_S

    def steps(self) -> tuple[Step, ...]:
        """The invoices asked for, in order. Raises MalformedBody and BadPeriod."""
        ways = (self.start is not None, self.first_month is not None, bool(self.invoices))
        if sum(ways) != 1:
            raise MalformedBody(
                "contract.toml: give start and end, or first_month and last_month, or [[invoices]]"
            )
        if self.start is not None and self.end is not None:
            return (_step(Period(self.start, self.end), self.known_on),)
        if self.first_month is not None and self.last_month is not None:
            return tuple(_step(month.period, self.known_on) for month in self._months())
        if not self.invoices:
            raise MalformedBody("contract.toml: a start needs its end, a first month its last")
        return tuple(_step(Period(each.start, each.end), each.known_on) for each in self.invoices)

    def _months(self) -> Iterator[Month]:
        month, last = Month.parse(self.first_month or ""), Month.parse(self.last_month or "")
        if last < month or last > month.plus(INVOICES_MAX - 1):
            raise MalformedBody(f"contract.toml: at most {INVOICES_MAX} months, the last one last")
        while month <= last:
            yield month
            month = month.plus(1)


def _step(period: Period, known_on: date | None) -> Step:
    if known_on is None:
        last_month = Month.of(period.end - timedelta(days=1))
        known_on = last_month.plus(1).first + timedelta(days=KNOWN_AFTER_DAYS)
    return Step(period, known_on)


@dataclass(frozen=True)
class Given:
    """Everything that settling a scenario needs."""

    when: When
    point: Point
    steps: tuple[Step, ...]
    law: Law
    rce: Rce
    folder: Folder


def read(folder: Folder, shipped: Tables) -> Given | None:
    """The given side; None when the folder has no contract. Raises MalformedBody and Refused."""
    when = folder.form("contract.toml", When)
    if when is None:
        return None
    energy.check_one_source(folder, when.total_kwh)
    point = Point(
        when.ppe,
        contracts_of(when.contract, when.contracts),
        when.opening.opening(),
        when.rebate_gr,
    )
    return Given(when, point, when.steps(), _law(folder, shipped), _rce(folder), folder)


def _law(folder: Folder, shipped: Tables) -> Law:
    """The tables that come with us, and what the scenario adds: rows, price lists, RCEm."""
    schedules = load_schedules()
    rows = folder.path("rows")
    law_tables = shipped
    if rows is not None:
        added = tables.load_from(rows)
        law_tables = Tables((*shipped.rows, *added.rows), (*shipped.unknown, *added.unknown))
    zones = {group: schedules.zones(group, date(2026, 1, 1)) for group in schedules.groups}
    lists = [
        read_list(path.read_text(encoding="utf-8"), path.suffix, zones)
        for path in folder.files("lists")
    ]
    rcem = folder.text("rcem.toml")
    return Law(
        with_lists(law_tables, lists), load_rcem() if rcem is None else read_rcem(rcem), schedules
    )


def _rce(folder: Folder) -> Rce:
    for name in ("rce.csv", "rce.json"):
        text = folder.text(name)
        if text is not None:
            return read_rce(text, Path(name).suffix)
    return Rce(())


def later(given: Given, folder: Path, shipped: Tables) -> Given | None:
    """The same scenario as it is known later, when it has a `later` folder."""
    if not (folder / "later").is_dir():
        return None
    again = read(Folder(folder / "later", folder), shipped)
    assert again is not None, "what is not in `later` is taken from beside it"
    if [step.period for step in again.steps] != [step.period for step in given.steps]:
        raise MalformedBody("later/contract.toml asks for other invoices: keep the same days")
    return again
