"""Zone tables as data: reads the folder zone_tables into the schedules of tariff groups.

A file is [[schedule]] entries and nothing else; several distributors are several files. An entry
says group, zones (in the order of the invoice), valid_from, source and, when it is over, valid_to
(the first day no longer covered). Its [[schedule.plan]] entries say for which seasons and days
they are (left out: for all), the hours of each zone such as ["06-13", "22-06"] in local time, and
which zone has the rest.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from settlement.rules.errors import BadTable
from settlement.rules.zones import DAY_KINDS, SEASONS, Plan, Schedule, Schedules
from settlement.tables.rows import check_fields, day_of, text_of

FOLDER = Path(__file__).parent / "zone_tables"
_HOURS = re.compile(r"(\d\d)-(\d\d)")
_NEEDED = {"group", "zones", "valid_from", "source", "plan"}
_ALLOWED = _NEEDED | {"valid_to"}
_PLAN_ALLOWED = {"seasons", "days", "hours", "rest"}


@cache
def load_schedules() -> Schedules:
    """The zone tables that come with this version. Raises BadTable."""
    return load_schedules_from(FOLDER)


def load_schedules_from(folder: Path) -> Schedules:
    """Every `*.toml` of the folder. Raises BadTable, naming file, entry and fault."""
    schedules: list[Schedule] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise BadTable(f"{path.name} is not UTF-8") from None
        schedules.extend(read_schedules(text, path.name))
    return Schedules(schedules)


def read_schedules(text: str, name: str) -> list[Schedule]:
    """The [[schedule]] entries of one file, for `Schedules` to check. Raises BadTable."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadTable(f"{name} is not TOML: {error}") from None
    entries: Any = data.get("schedule")
    if set(data) != {"schedule"} or not _are_tables(entries):
        raise BadTable(f"{name}: a zone table is [[schedule]] entries and nothing else")
    return [
        _schedule(fields, f"{name}, schedule {place}")
        for place, fields in enumerate(entries, start=1)
    ]


def _schedule(fields: Mapping[str, Any], where: str) -> Schedule:
    check_fields(fields, _NEEDED, _ALLOWED, where)
    if not _are_tables(fields["plan"]):
        raise BadTable(f"{where}: plan is [[schedule.plan]] entries")
    return Schedule(
        group=text_of(fields, "group", where),
        zones=_texts(fields["zones"], f"{where}: zones"),
        plans=tuple(
            _plan(plan, f"{where}, plan {place}") for place, plan in enumerate(fields["plan"], 1)
        ),
        valid_from=day_of(fields, "valid_from", where),
        valid_to=day_of(fields, "valid_to", where) if "valid_to" in fields else None,
        source=text_of(fields, "source", where),
    )


def _plan(fields: Mapping[str, Any], where: str) -> Plan:
    check_fields(fields, set(), _PLAN_ALLOWED, where)
    hours = fields.get("hours", {})
    if not isinstance(hours, dict):
        raise BadTable(f'{where}: hours are ranges by zone, such as day = ["06-13", "15-22"]')
    return Plan(
        seasons=_texts(fields.get("seasons", list(SEASONS)), f"{where}: seasons"),
        days=_texts(fields.get("days", list(DAY_KINDS)), f"{where}: days"),
        hours={
            zone: tuple(_range(text, where) for text in _texts(ranges, f"{where}: {zone}"))
            for zone, ranges in hours.items()
        },
        rest=text_of(fields, "rest", where) if "rest" in fields else None,
    )


def _range(text: str, where: str) -> tuple[int, int]:
    match = _HOURS.fullmatch(text)
    if match is None:
        raise BadTable(f"{where}: {text[:20]!r} is not a range of hours such as 06-13")
    return int(match[1]), int(match[2])


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise BadTable(f"{where} is a list of texts and not empty")
    if not all(isinstance(text, str) and text for text in value):
        raise BadTable(f"{where} has something that is not a text, or is empty")
    if len(set(value)) != len(value):
        raise BadTable(f"{where} says one thing twice")
    return tuple(value)
