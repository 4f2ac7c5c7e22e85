"""Reads a seller's price list or a distributor's tariff from the import form, all or nothing.

TOML: kind, name, groups, source and, for a seller, excise_included, then [[row]] entries of key,
value, unit, valid_from and, when it ends, valid_to. CSV: the same head as lines `name,value`
(groups separated by spaces, excise_included yes or no), an empty line, the heading
`key,value,unit,valid_from,valid_to`, then the rows. Every row has the source of the head.

Keys of a seller: <group>.energy.<zone>, trade_fee. Keys of a distributor: <group>.variable.<zone>,
<group>.fixed.<1 or 3>_phase, quality, subscription.<1, 2, 6 or 12>_month. Groups in small letters.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Any

from settlement.rules.contract import (
    PHASES,
    READOUT_MONTHS,
    TRADE_FEE_PLN_PER_MONTH_MAX,
    UNIT_PRICE_PLN_PER_KWH_MAX,
)
from settlement.rules.errors import BadPeriod, BadTable
from settlement.rules.periods import parse_day
from settlement.rules.rates import DISTRIBUTOR_PREFIX, SELLER_PREFIX, Row, Tables, Unknown
from settlement.rules.tariff import REFERENCE_GROUP, REFERENCE_ZONE, REFERENCE_ZONES
from settlement.tables.rows import check_fields, row_of, text_of

SELLER = "seller"
DISTRIBUTOR = "distributor"
PREFIXES = {SELLER: SELLER_PREFIX, DISTRIBUTOR: DISTRIBUTOR_PREFIX}
# What a group is charged per kWh by zone: energy by the seller, the network by the distributor.
BY_ZONE = {SELLER: "energy", DISTRIBUTOR: "variable"}
ROWS_MAX = 1000
TEXT_CHARS_MAX = 1024 * 1024
KWH_UNIT = "pln_per_kwh"
MONTH_UNIT = "pln_per_month"
CSV_HEADING = ["key", "value", "unit", "valid_from", "valid_to"]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ROW = {"key", "value", "unit", "valid_from", "valid_to"}
_YES_NO = {"yes": True, "no": False}


@dataclass(frozen=True)
class PriceList:
    """A list that was checked as a whole. `table` is the one its rows belong to."""

    name: str
    kind: str
    groups: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def table(self) -> str:
        """seller_<name>, which a contract calls by its price_list, or distribution_<operator>."""
        return PREFIXES[self.kind] + self.name


def read_list(text: str, suffix: str, zones: Mapping[str, tuple[str, ...]]) -> PriceList:
    """The list in the text of a `.toml` or `.csv` file. `zones` are those of each tariff group.

    Raises BadTable, naming row and fault: nothing of a faulty list is taken.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise BadTable(f"a price list has at most {TEXT_CHARS_MAX} characters")
    text = text.removeprefix("\ufeff")  # spreadsheets put a byte order mark in front
    if suffix == ".toml":
        return _list_of(_from_toml(text), zones)
    if suffix == ".csv":
        return _list_of(_from_csv(text), zones)
    raise BadTable(f"{suffix[:10]!r}: a price list is read from .toml or .csv")


def with_lists(tables: Tables, lists: Iterable[PriceList]) -> Tables:
    """The tables and the lists together. Raises BadTable when a name is there twice, or a row is.

    A seller's list is new; a distributor's may add days or groups to a table that comes with us.
    """
    rows, unknown = list(tables.rows), list(tables.unknown)
    taken = {row.table for row in rows if row.table.startswith(SELLER_PREFIX)}
    for each in lists:
        if each.table in taken:
            raise BadTable(f"there are two lists {each.table}: give one of them another name")
        taken.add(each.table)
        rows.extend(each.rows)
        unknown.extend(_outside(each))
    return Tables(rows, unknown)


def _outside(listed: PriceList) -> Iterator[Unknown]:
    """The days before and after a list, which may be years away from other rows of its keys."""
    reason = f"the list {listed.name} does not have these days"
    for key in {row.key for row in listed.rows}:
        history = [row for row in listed.rows if row.key == key]
        yield Unknown(listed.table, key, date.min, history[0].valid_from, reason)
        yield Unknown(listed.table, key, history[-1].ends, date.max, reason)


def _list_of(data: Mapping[str, Any], zones: Mapping[str, tuple[str, ...]]) -> PriceList:
    kind = str(data.get("kind"))
    if kind not in PREFIXES:
        raise BadTable(f"a price list says kind: one of {', '.join(PREFIXES)}")
    flag = {"excise_included"} if kind == SELLER else set()
    head = {"kind", "name", "groups", "source", "row"} | flag
    check_fields(data, head, head, f"{kind} list")
    name = text_of(data, "name", f"{kind} list")
    if not _NAME.fullmatch(name):
        raise BadTable(f"{name[:40]!r} is no name of a list: small letters, digits and _")
    groups = _groups(data["groups"], zones)
    excise_included = data.get("excise_included", True)
    if not isinstance(excise_included, bool):
        raise BadTable("excise_included is true or false: do the energy prices contain excise?")
    entries = data["row"]
    if not entries or len(entries) > ROWS_MAX:
        raise BadTable(f"a price list has 1 to {ROWS_MAX} rows")
    units = dict(_units(kind, groups, zones))
    source = text_of(data, "source", f"{kind} list")
    rows = tuple(
        replace(
            _row(PREFIXES[kind] + name, fields, source, place, units),
            excise_included=excise_included,
        )
        for place, fields in enumerate(entries, start=1)
    )
    _check_order(rows)
    for group in groups:
        _check_zones(kind, group, zones, rows)
    return PriceList(name, kind, groups, rows)


def _groups(listed: object, zones: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    groups = tuple(map(str, listed)) if isinstance(listed, list) else ()
    if not groups or len(set(groups)) < len(groups):
        raise BadTable("groups are the tariff groups of the list, each once")
    for group in groups:
        if group not in zones:
            raise BadTable(f"group {group[:20]!r} is not known: one of {', '.join(zones)}")
    return groups


def _units(
    kind: str, groups: tuple[str, ...], zones: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, str]]:
    """Every key the list may have, with its unit."""
    for group in groups:
        yield from ((key, KWH_UNIT) for key in _zone_keys(kind, group, zones))
        if kind == DISTRIBUTOR:
            yield from ((f"{group.lower()}.fixed.{n}_phase", MONTH_UNIT) for n in PHASES)
    if kind == DISTRIBUTOR:
        yield "quality", KWH_UNIT
        yield from ((f"subscription.{n}_month", MONTH_UNIT) for n in READOUT_MONTHS)
    else:
        yield "trade_fee", MONTH_UNIT


def _zone_keys(kind: str, group: str, zones: Mapping[str, tuple[str, ...]]) -> list[str]:
    named = list(zones[group])
    if kind == DISTRIBUTOR and group == REFERENCE_GROUP:
        place = named.index(REFERENCE_ZONE)
        named[place : place + 1] = REFERENCE_ZONES
    return [f"{group.lower()}.{BY_ZONE[kind]}.{zone}" for zone in named]


def _row(
    table: str, fields: Mapping[str, Any], source: str, place: int, units: Mapping[str, str]
) -> Row:
    where = f"{table}, row {place}"
    check_fields(fields, _ROW - {"valid_to"}, _ROW, where)
    row = row_of(table, {**fields, "source": source}, where)
    if row.key not in units:
        raise BadTable(f"{where}: key {row.key[:60]!r} is not one of {', '.join(units)}")
    if row.unit != units[row.key]:
        raise BadTable(f"{where}: {row.key} is given in {units[row.key]}")
    if row.unit == KWH_UNIT and not 0 < row.value <= UNIT_PRICE_PLN_PER_KWH_MAX:
        raise BadTable(f"{where}: a price is above 0, at most {UNIT_PRICE_PLN_PER_KWH_MAX} PLN/kWh")
    if row.unit == MONTH_UNIT and row.value > TRADE_FEE_PLN_PER_MONTH_MAX:
        raise BadTable(f"{where}: a fee is 0 to {TRADE_FEE_PLN_PER_MONTH_MAX} PLN a month")
    if row.valid_from >= row.ends:
        raise BadTable(f"{where}: valid_to is the first day not covered, later than valid_from")
    return row


def _check_order(rows: tuple[Row, ...]) -> None:
    """Rows of one key follow one another day by day, in the order in which they are listed."""
    histories: dict[str, list[tuple[int, Row]]] = {}
    for place, row in enumerate(rows, start=1):
        histories.setdefault(row.key, []).append((place, row))
    for history in histories.values():
        for (_, before), (place, after) in pairwise(history):
            where = f"{after.table}, row {place}: {after.key}"
            if after.valid_from <= before.valid_from:
                raise BadTable(f"{where} is not in the order of days: list the earlier row first")
            if after.valid_from < before.ends:
                raise BadTable(f"{where} overlaps the row before it on {after.valid_from}")
            if after.valid_from > before.ends:
                raise BadTable(f"{where} leaves a gap from {before.ends} to {after.valid_from}")


def _check_zones(
    kind: str, group: str, zones: Mapping[str, tuple[str, ...]], rows: tuple[Row, ...]
) -> None:
    """Each zone of the group has prices, and all of them for the same days."""
    spans: dict[str, tuple[date, date]] = {}
    for key in _zone_keys(kind, group, zones):
        history = [row for row in rows if row.key == key]
        if not history:
            raise BadTable(f"{group}: {key} is missing, each zone of a group has its price")
        spans[key] = (history[0].valid_from, history[-1].ends)
    if len(set(spans.values())) > 1:
        raise BadTable(f"{group}: its zones have prices for different days: {', '.join(spans)}")


def _from_toml(text: str) -> dict[str, Any]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadTable(f"the price list is not TOML: {error}") from None
    entries = data.get("row", [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise BadTable("the rows of a price list are [[row]] entries")
    return data


def _from_csv(text: str) -> dict[str, Any]:
    try:
        lines = list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as error:
        raise BadTable(f"the price list is not CSV with commas: {error}") from None
    if CSV_HEADING not in lines:
        raise BadTable(f"the price list has no heading {','.join(CSV_HEADING)}")
    start = lines.index(CSV_HEADING)
    data: dict[str, Any] = {}
    for line in filter(None, lines[:start]):
        if len(line) != 2 or line[0] in data:
            raise BadTable(f"{line[0][:40]!r}: a line of the head is name,value, each name once")
        data[line[0]] = line[1]
    if "groups" in data:
        data["groups"] = data["groups"].split()
    if "excise_included" in data:
        data["excise_included"] = _YES_NO.get(data["excise_included"])
    rows = filter(None, lines[start + 1 :])
    data["row"] = [_csv_row(line, place) for place, line in enumerate(rows, start=1)]
    return data


def _csv_row(line: list[str], place: int) -> dict[str, Any]:
    if len(line) != len(CSV_HEADING):
        raise BadTable(f"row {place}: {len(line)} columns, expected {','.join(CSV_HEADING)}")
    fields: dict[str, Any] = dict(zip(CSV_HEADING, line, strict=True))
    if not fields["valid_to"]:
        del fields["valid_to"]
    for name in {"valid_from", "valid_to"} & set(fields):
        try:
            fields[name] = parse_day(fields[name])
        except BadPeriod as error:
            raise BadTable(f"row {place}: {name} {error}") from None
    return fields
