"""Meter exchanges of the roll-out: the technician's list as CSV or JSON, in and out."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from host_tools.pairing.errors import BadInput, Conflict
from host_tools.pairing.files import read_input, write_durably
from host_tools.pairing.tables import ROWS_MAX, checked_ppe, read_table

PLACE = ZoneInfo("Europe/Warsaw")  # whose clock hangs at the wall beside the meter
CAPTURE_PERIOD_S = 900
REGISTER_WH_MAX = (1 << 40) - 1  # wire/messages.py
PLANNED, DONE, FAILED = "planned", "done", "failed"
NAME = re.compile(r"[A-Za-z0-9._/-]{1,40}")
_KWH = re.compile(r"[0-9]{1,9}([.,][0-9]{1,3})?")


@dataclass(frozen=True)
class WorkOrder:
    """One exchange, as a line of the list. Times are UTC seconds, 0 and -1 stand for not known."""

    order: str
    ppe: str
    address: str
    customer: str
    visit_from_s: int
    visit_to_s: int
    technician: str = ""
    old_meter: str = ""  # the number on it
    old_meter_id: str = ""  # when it is one of ours
    state: str = PLANNED
    removed_s: int = 0
    installed_s: int = 0
    old_import_wh: int = -1  # its final reading
    old_export_wh: int = -1
    new_meter_id: str = ""
    new_import_wh: int = -1  # the start reading
    new_export_wh: int = -1
    seals: str = ""
    remarks: str = ""


# Columns of the list; where a field has another name, column -> field.
_TEXTS = ("address", "customer", "technician", "old_meter", "seals", "remarks")
_TIMES = {"visit_from": "visit_from_s", "visit_to": "visit_to_s", "removed": "removed_s",
          "installed": "installed_s"}  # fmt: skip
_ENERGIES = {"old_import_kwh": "old_import_wh", "old_export_kwh": "old_export_wh",
             "new_import_kwh": "new_import_wh", "new_export_kwh": "new_export_wh"}  # fmt: skip
_IDS = ("old_meter_id", "new_meter_id")
COLUMNS = (
    "order", "ppe", "address", "customer", "visit_from", "visit_to", "technician", "old_meter",
    "old_meter_id", "state", "removed", "installed", "old_import_kwh", "old_export_kwh",
    "new_meter_id", "new_import_kwh", "new_export_kwh", "seals", "remarks",
)  # fmt: skip
NEEDED = ("order", "ppe", "address", "customer", "visit_from", "visit_to")


# ------------------------------------------------------------------ the list


def read(path: Path) -> list[WorkOrder]:
    """A list from .csv or .json. Raises BadInput, naming the line and the column."""
    if path.suffix.lower() == ".json":
        rows = _json_rows(path)
    else:
        rows = read_table(path, COLUMNS, NEEDED)
    orders, seen = [], set()
    for number, row in enumerate(rows, 1):
        try:
            order = from_row(row)
        except BadInput as error:
            raise BadInput(f"{path}, order {number}: {error}") from None
        if order.order in seen:
            raise BadInput(f"{path}, order {number}: {order.order} is there twice; give a new name")
        seen.add(order.order)
        orders.append(order)
    return orders


def write(path: Path, orders: Sequence[WorkOrder]) -> None:
    """The list as .csv or .json, by its name; the old one or the new one, never a half."""
    rows = [to_row(order) for order in orders]
    if path.suffix.lower() == ".json":
        text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    else:
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        text = buffer.getvalue()
    write_durably(path, text.encode(), mode=0o640)


def find(orders: Sequence[WorkOrder], name: str) -> WorkOrder:
    """The order of that name. Raises BadInput."""
    for order in orders:
        if order.order == name:
            return order
    raise BadInput(f"no order {name} in the list; `order list` shows them")


def replaced(orders: Sequence[WorkOrder], new: WorkOrder) -> list[WorkOrder]:
    """The list with one order as it is now."""
    return [new if each.order == new.order else each for each in orders]


def _json_rows(path: Path) -> list[dict[str, str]]:
    try:
        rows = json.loads(read_input(path))
    except ValueError:
        rows = None
    if not isinstance(rows, list) or not 1 <= len(rows) <= ROWS_MAX:
        raise BadInput(f"{path} is a JSON array of 1 to {ROWS_MAX} orders; docs/pairing.md has one")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not all(isinstance(cell, str) for cell in row.values()):
            raise BadInput(f"{path}, order {number}: an order is an object of texts")
        unknown = [name for name in row if name not in COLUMNS]
        missing = [name for name in NEEDED if name not in row]
        if unknown or missing:
            said = f"unknown {unknown[0]}" if unknown else f"missing {missing[0]}"
            raise BadInput(f"{path}, order {number}: {said}; the names are {', '.join(COLUMNS)}")
    return rows


# ------------------------------------------------------------------ one line


def from_row(row: dict[str, str]) -> WorkOrder:
    """An order from its texts. Raises BadInput, naming the column."""
    cells = {name: " ".join(row.get(name, "").split()) for name in COLUMNS}
    state = cells["state"] or PLANNED
    if not NAME.fullmatch(cells["order"]):
        raise BadInput("order: a name of 1 to 40 letters, digits and . _ / -")
    if state not in (PLANNED, DONE, FAILED):
        raise BadInput(f"state: {PLANNED}, {DONE} or {FAILED}")
    for name in _IDS:
        if cells[name] and not re.fullmatch(r"[0-9a-f]{16}", cells[name]):
            raise BadInput(f"{name}: 16 hex digits in lower case, or nothing")
    found: dict[str, Any] = {name: cells[name] for name in ("order", *_TEXTS, *_IDS)}
    found |= {field: seconds_of(cells[column], column) for column, field in _TIMES.items()}
    found |= {field: wh_of(cells[column], column) for column, field in _ENERGIES.items()}
    order = WorkOrder(ppe=checked_ppe(cells["ppe"]), state=state, **found)
    if not 0 < order.visit_from_s < order.visit_to_s:
        raise BadInput("visit_from, visit_to: both, the first before the second")
    return order


def to_row(order: WorkOrder) -> dict[str, str]:
    """An order as texts; the opposite of from_row."""
    row = {each.name: str(getattr(order, each.name)) for each in fields(order)}
    row |= {column: time_text(getattr(order, field)) for column, field in _TIMES.items()}
    row |= {column: kwh_text(getattr(order, field)) for column, field in _ENERGIES.items()}
    return {name: row[name] for name in COLUMNS}


def seconds_of(text: str, column: str) -> int:
    """2026-12-01 10:00 by the clock of the place, or with an offset; 0 for nothing."""
    if not text:
        return 0
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{column}: a time such as 2026-12-01 10:00") from None
    if at.tzinfo is None:
        early, late = (at.replace(tzinfo=PLACE, fold=fold) for fold in (0, 1))
        if early.utcoffset() != late.utcoffset():
            raise BadInput(
                f"{column}: {text} is there twice, or not at all, when the clocks change: write it"
                " with its offset, such as 2026-10-25 02:30+01:00"
            )
        at = early
    second = int(at.timestamp())
    if not 0 < second < 1 << 36:
        raise BadInput(f"{column}: not a time of this century")
    return second


def time_text(second: int) -> str:
    """By the clock of the place, with its offset; nothing for 0."""
    return "" if second == 0 else datetime.fromtimestamp(second, PLACE).isoformat(" ", "minutes")


def wh_of(text: str, column: str) -> int:
    """kWh with at most three decimals, comma or point, as whole Wh; -1 for nothing."""
    if not text:
        return -1
    try:
        number = Decimal(text.replace(",", ".")) if _KWH.fullmatch(text) else Decimal("NaN")
        energy_wh = int(number * 1000)
    except (InvalidOperation, ValueError):
        raise BadInput(f"{column}: kWh with at most 3 decimals, such as 12345,678") from None
    if energy_wh > REGISTER_WH_MAX:
        raise BadInput(f"{column}: more than a register holds")
    return energy_wh


def kwh_text(energy_wh: int) -> str:
    """The opposite of wh_of."""
    return "" if energy_wh < 0 else f"{energy_wh // 1000}.{energy_wh % 1000:03}"


# ------------------------------------------------------------------ visits


def overlaps(orders: Sequence[WorkOrder]) -> list[tuple[WorkOrder, WorkOrder]]:
    """Planned visits of one technician that are to be at the same time."""
    found = []
    planned = sorted((o for o in orders if o.state == PLANNED), key=lambda o: o.visit_from_s)
    last: dict[str, WorkOrder] = {}
    for order in planned:
        before = last.get(order.technician)
        if order.technician and before is not None and before.visit_to_s > order.visit_from_s:
            found.append((before, order))
        if before is None or order.visit_to_s > before.visit_to_s:
            last[order.technician] = order
    return found


def merged(office: Sequence[WorkOrder], field: Sequence[WorkOrder]) -> list[WorkOrder]:
    """The office's list with what technicians brought back. Raises BadInput, Conflict.

    What is done in both must be the same; nothing that is done becomes anything else.
    """
    back = {order.order: order for order in field if order.state != PLANNED}
    unknown = sorted(back.keys() - {order.order for order in office})
    if unknown:
        raise BadInput(f"order {unknown[0]} is not in the office's list; is it the right one?")
    found = []
    for order in office:
        new = back.get(order.order, order)
        if order.state == DONE and new.state == DONE and new != order:
            raise Conflict(
                "done_twice", f"order {order.order} came back done with other values; compare them"
            )
        found.append(order if order.state == DONE else new)
    return found


def failed(order: WorkOrder, why: str) -> WorkOrder:
    """Nobody there, no access: it stays to be planned again. Raises BadInput."""
    if order.state == DONE:
        raise BadInput(f"order {order.order} is done; what was done is not taken back")
    if not why.strip():
        raise BadInput("say why it failed; the next visit is planned by that")
    return replace(order, state=FAILED, remarks=" ".join(why.split()))


def visit_instants(
    order: WorkOrder, capture_period_s: int = CAPTURE_PERIOD_S
) -> tuple[int, int, int]:
    """First and last instant of the capture grid within the visit, and the grid's step."""
    first = -(-order.visit_from_s // capture_period_s) * capture_period_s
    return first, order.visit_to_s // capture_period_s * capture_period_s, capture_period_s
