"""Reads one row of rates from its plain fields, refusing what is not one, with its place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from settlement.rules.errors import BadNumber, BadTable
from settlement.rules.rates import Row
from settlement.rules.units import parse_number

VALUE_DECIMALS_MAX = 5
UNITS = ("pln_per_kwh", "pln_per_month", "percent", "kwh", "ratio", "regime")
_NEEDED = {"key", "value", "unit", "valid_from", "source"}
_ALLOWED = _NEEDED | {"valid_to", "from_kwh", "to_kwh"}


def row_of(table: str, fields: Mapping[str, Any], where: str) -> Row:
    """The row that the fields say. Raises BadTable, naming place, field and fault."""
    check_fields(fields, _NEEDED, _ALLOWED, where)
    for name in ("key", "value", "unit", "source"):
        text_of(fields, name, where)
    if fields["unit"] not in UNITS:
        raise BadTable(f"{where}: unit is one of {', '.join(UNITS)}")
    return Row(
        table=table,
        key=fields["key"],
        value=_value(fields["value"], where),
        unit=fields["unit"],
        valid_from=day_of(fields, "valid_from", where),
        valid_to=day_of(fields, "valid_to", where) if "valid_to" in fields else None,
        source=fields["source"],
        annual_kwh=(_kwh(fields.get("from_kwh", 0), where), _kwh_or_none(fields, where)),
    )


def check_fields(
    fields: Mapping[str, Any], needed: set[str], allowed: set[str], where: str
) -> None:
    """Raises BadTable for a field that is missing or not known."""
    if missing := sorted(needed - set(fields)):
        raise BadTable(f"{where}: {missing[0]} is missing")
    if unknown := sorted(set(fields) - allowed):
        raise BadTable(f"{where}: unknown field {unknown[0][:40]!r}")


def text_of(fields: Mapping[str, Any], name: str, where: str) -> str:
    """A field that is a text and not empty. Raises BadTable."""
    text = fields[name]
    if not isinstance(text, str) or not text:
        raise BadTable(f"{where}: {name} is a text and not empty")
    return text


def day_of(fields: Mapping[str, Any], name: str, where: str) -> date:
    """A field that is a civil day. Raises BadTable."""
    day = fields[name]
    if not isinstance(day, date) or isinstance(day, datetime):
        raise BadTable(f"{where}: {name} is a day such as 2024-07-01, without quotes")
    return day


def _value(text: str, where: str) -> Decimal:
    try:
        return parse_number(text, VALUE_DECIMALS_MAX)
    except BadNumber as error:
        raise BadTable(f"{where}: value {error}") from None


def _kwh(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadTable(f"{where}: from_kwh and to_kwh are whole kWh")
    return value


def _kwh_or_none(fields: Mapping[str, Any], where: str) -> int | None:
    return _kwh(fields["to_kwh"], where) if "to_kwh" in fields else None
