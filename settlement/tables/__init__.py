"""Law as data: reads the tables of this folder into rows of rates, refusing what is not one.

A file is a table, named by its stem; a row says key, value, unit, days and source:
`valid_from` is the first day, `valid_to` the first day no longer covered (left out: still in
force), `from_kwh` and `to_kwh` bound a band of yearly use, both included.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from settlement.rules.errors import BadNumber, BadTable
from settlement.rules.rates import Row, Tables
from settlement.rules.units import parse_number

FOLDER = Path(__file__).parent
VALUE_DECIMALS_MAX = 5
UNITS = ("pln_per_kwh", "pln_per_month", "percent")
_NEEDED = {"key", "value", "unit", "valid_from", "source"}
_ALLOWED = _NEEDED | {"valid_to", "from_kwh", "to_kwh"}


@cache
def load() -> Tables:
    """The tables that come with this version. Raises BadTable."""
    return load_from(FOLDER)


def load_from(folder: Path) -> Tables:
    """Every `*.toml` of the folder. Raises BadTable, naming file, row and fault."""
    rows: list[Row] = []
    for path in sorted(folder.glob("*.toml")):
        rows.extend(_rows_of(path))
    return Tables(rows)


def _rows_of(path: Path) -> list[Row]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadTable(f"{path.name} is not TOML: {error}") from None
    rows = data.get("row")
    if set(data) != {"row"} or not isinstance(rows, list):
        raise BadTable(f"{path.name}: a table is [[row]] entries and nothing else")
    return [_row_of(path.stem, fields, place) for place, fields in enumerate(rows, start=1)]


def _row_of(table: str, fields: Mapping[str, Any], place: int) -> Row:
    where = f"table {table}, row {place}"
    if missing := sorted(_NEEDED - set(fields)):
        raise BadTable(f"{where}: {missing[0]} is missing")
    if unknown := sorted(set(fields) - _ALLOWED):
        raise BadTable(f"{where}: unknown field {unknown[0]!r}")
    for name in ("key", "value", "unit", "source"):
        if not isinstance(fields[name], str) or not fields[name]:
            raise BadTable(f"{where}: {name} is a text and not empty")
    if fields["unit"] not in UNITS:
        raise BadTable(f"{where}: unit is one of {', '.join(UNITS)}")
    return Row(
        table=table,
        key=fields["key"],
        value=_value(fields["value"], where),
        unit=fields["unit"],
        valid_from=_day(fields["valid_from"], f"{where}: valid_from"),
        valid_to=_day(fields["valid_to"], f"{where}: valid_to") if "valid_to" in fields else None,
        source=fields["source"],
        annual_kwh=(_kwh(fields.get("from_kwh", 0), where), _kwh_or_none(fields, where)),
    )


def _value(text: str, where: str) -> Decimal:
    try:
        return parse_number(text, VALUE_DECIMALS_MAX)
    except BadNumber as error:
        raise BadTable(f"{where}: value {error}") from None


def _day(value: object, where: str) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise BadTable(f"{where} is a day such as 2024-07-01, without quotes")
    return value


def _kwh(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadTable(f"{where}: from_kwh and to_kwh are whole kWh")
    return value


def _kwh_or_none(fields: Mapping[str, Any], where: str) -> int | None:
    return _kwh(fields["to_kwh"], where) if "to_kwh" in fields else None
