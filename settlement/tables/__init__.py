"""Law as data: reads the tables of this folder into rows of rates, refusing what is not one.

A file is a table, named by its stem. `[[row]]` says key, value, unit, days and source:
`valid_from` is the first day, `valid_to` the first day no longer covered (left out: still in
force), `from_kwh` and `to_kwh` bound a band of yearly use, both included. `[[sheet]]` says the
days and the source once for many rows: under each unit a key has its value, or its bands.
`[[unknown]]` says key, days and reason of a rate that exists and that no document at hand tells.
Folders beside the tables hold other things: market prices, examples, zones.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from settlement.rules.errors import BadTable
from settlement.rules.rates import Row, Tables, Unknown
from settlement.tables.market import load_rcem as load_rcem
from settlement.tables.rows import check_fields, day_of, row_of, text_of

FOLDER = Path(__file__).parent
_KINDS = {"row", "sheet", "unknown"}
_SHARED = {"valid_from", "valid_to", "source"}
_UNKNOWN = {"key", "valid_from", "valid_to", "reason"}


@cache
def load() -> Tables:
    """The tables that come with this version. Raises BadTable."""
    return load_from(FOLDER)


def load_from(folder: Path) -> Tables:
    """Every `*.toml` of the folder. Raises BadTable, naming file, entry and fault."""
    rows: list[Row] = []
    unknown: list[Unknown] = []
    for path in sorted(folder.glob("*.toml")):
        data = _data_of(path)
        rows.extend(_rows_of(path.stem, data))
        unknown.extend(_unknown_of(path.stem, data))
    return Tables(rows, unknown)


def _data_of(path: Path) -> Mapping[str, list[Mapping[str, Any]]]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadTable(f"{path.name} is not TOML: {error}") from None
    listed = all(
        isinstance(entries, list) and all(isinstance(each, dict) for each in entries)
        for entries in data.values()
    )
    if not data or not set(data) <= _KINDS or not listed:
        raise BadTable(
            f"{path.name}: a table is [[row]], [[sheet]] and [[unknown]] entries and nothing else"
        )
    return data


def _rows_of(table: str, data: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[Row]:
    for place, fields in enumerate(data.get("row", []), start=1):
        yield row_of(table, fields, f"table {table}, row {place}")
    for place, sheet in enumerate(data.get("sheet", []), start=1):
        yield from _sheet_rows(table, sheet, f"table {table}, sheet {place}")


def _sheet_rows(table: str, sheet: Mapping[str, Any], where: str) -> Iterator[Row]:
    shared = {name: sheet[name] for name in _SHARED & set(sheet)}
    for unit in sorted(set(sheet) - _SHARED):
        if not isinstance(sheet[unit], dict):
            raise BadTable(f"{where}: {unit[:40]!r} is neither days, source nor rates by unit")
        for key, value in sheet[unit].items():
            bands = value if isinstance(value, list) else [{"value": value}]
            for band in bands:
                if not isinstance(band, dict):
                    raise BadTable(f"{where}, {key}: a band says value, from_kwh, to_kwh")
                yield row_of(table, {"key": key, "unit": unit} | shared | band, f"{where}, {key}")


def _unknown_of(table: str, data: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[Unknown]:
    for place, fields in enumerate(data.get("unknown", []), start=1):
        where = f"table {table}, unknown {place}"
        check_fields(fields, _UNKNOWN, _UNKNOWN, where)
        yield Unknown(
            table=table,
            key=text_of(fields, "key", where),
            valid_from=day_of(fields, "valid_from", where),
            valid_to=day_of(fields, "valid_to", where),
            reason=text_of(fields, "reason", where),
        )
