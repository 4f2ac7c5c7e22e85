"""Reads hourly exports of eLicznik (generation B) into hours of UTC.

Header `Data; Wartość kWh;Rodzaj;`, decimal comma, all import rows before all export rows. An
hour's label is its local start hour + 1; the repeated hour of autumn is told apart by order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from settlement.rules.errors import BadPeriod
from settlement.rules.periods import hours_of, parse_day

HEADER = "Data; Wartość kWh;Rodzaj;"
IMPORT_KIND = "pobór"
EXPORT_KIND = "oddanie"
# Balanced columns follow from the two above; the service computes its own.
BALANCED_KINDS = ("pobrana po zbilansowaniu", "oddana po zbilansowaniu")
FILE_BYTES_MAX = 16 * 1024 * 1024
_ROW = re.compile(r"(\d{4}-\d{2}-\d{2}) (\d{1,2}):00;(\d{1,6}),(\d{3});([^;]+);")

# Day -> energies in the order of the day's hours.
Days = dict[date, list[int]]


class BadExport(Exception):
    """The file is not a whole export of generation B; the message names the line."""


@dataclass(frozen=True)
class HourOfUse:
    """Energy of one hour, by its UTC start."""

    start_s: int
    import_wh: int
    export_wh: int


def read(path: Path) -> str:
    """The text of an export. Raises BadExport when it is too large or not UTF-8."""
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise BadExport(f"an export has at most {FILE_BYTES_MAX} bytes: export fewer days")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadExport("the file is not UTF-8: export it again as CSV") from None


def parse(text: str, move_to: date | None = None) -> list[HourOfUse]:
    """The hours of the export, ascending. Raises BadExport.

    With `move_to` the first day becomes that day and every hour keeps its local label; a day that
    has another number of hours than the day it moves to is refused.
    """
    imported, exported = _kinds(text.splitlines())
    if set(imported) != set(exported):
        odd = min(set(imported) ^ set(exported))
        raise BadExport(f"{odd} has only one of {IMPORT_KIND} and {EXPORT_KIND}: export both")
    days = sorted(imported)
    shift = timedelta(0) if move_to is None else move_to - days[0]
    hours = []
    for day in days:
        hours.extend(_moved(day, day + shift, imported[day], exported[day]))
    return hours


def as_lines(hours: Iterable[HourOfUse]) -> str:
    """Lines `start_s,import_wh,export_wh`, without a heading."""
    return "".join(f"{each.start_s},{each.import_wh},{each.export_wh}\n" for each in hours)


def _kinds(lines: list[str]) -> tuple[Days, Days]:
    if not lines or lines[0] != HEADER:
        raise BadExport(f"line 1: an export of generation B begins with {HEADER!r}")
    labels: dict[str, dict[date, list[str]]] = {}
    energies: dict[str, Days] = {}
    for number, line in enumerate(lines[1:], start=2):
        day, label, energy_wh, kind = _row(line, number)
        labels.setdefault(kind, {}).setdefault(day, []).append(label)
        energies.setdefault(kind, {}).setdefault(day, []).append(energy_wh)
    for kind in (IMPORT_KIND, EXPORT_KIND):
        if kind not in energies:
            raise BadExport(f"no rows of kind {kind!r}: export both directions")
        for day, of_day in labels[kind].items():
            _check_labels(kind, day, of_day)
    return energies[IMPORT_KIND], energies[EXPORT_KIND]


def _row(line: str, number: int) -> tuple[date, str, int, str]:
    match = _ROW.fullmatch(line)
    if match is None:
        raise BadExport(f"line {number}: expected `2024-10-27 3:00;0,221;{IMPORT_KIND};`")
    day, label, whole, thousandths, kind = match.groups()
    if kind not in (IMPORT_KIND, EXPORT_KIND, *BALANCED_KINDS):
        raise BadExport(f"line {number}: unknown kind {kind[:40]!r}")
    try:
        return parse_day(day), label, int(whole) * 1000 + int(thousandths), kind
    except BadPeriod as error:
        raise BadExport(f"line {number}: {error}") from None


def _check_labels(kind: str, day: date, labels: list[str]) -> None:
    expected = [hour.label for hour in hours_of(day)]
    if labels != expected:
        raise BadExport(
            f"{day}, {kind}: {len(labels)} hours labelled {labels[0]} to {labels[-1]}, the day has "
            f"{len(expected)} from 1 to 24 in order: export the whole day"
        )


def _moved(day: date, to: date, imported: list[int], exported: list[int]) -> list[HourOfUse]:
    hours = hours_of(to)
    if [hour.label for hour in hours] != [hour.label for hour in hours_of(day)]:
        raise BadExport(
            f"{day} has {len(imported)} hours and {to} has {len(hours)}: move to another day"
        )
    return [
        HourOfUse(hour.start_s, import_wh, export_wh)
        for hour, import_wh, export_wh in zip(hours, imported, exported, strict=True)
    ]
