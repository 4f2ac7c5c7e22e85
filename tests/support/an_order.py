"""A work order in Sosnowiec: what belongs to it, and how it is when it is done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from host_tools.pairing.exchange import Readings, exchanged
from host_tools.pairing.work_orders import WorkOrder

PPE = "590322400000000010"
OLD, NEW = "00112233445566aa", "00112233445566bb"
TEN_S = int(datetime(2026, 12, 1, 9, 0, tzinfo=UTC).timestamp())  # 10:00 in Warsaw
ORDER = WorkOrder(
    order="WO-17", ppe=PPE, address="ul. Żółwia 1, 41-200 Sosnowiec", customer="Jan Kowalski",
    visit_from_s=TEN_S, visit_to_s=TEN_S + 7200, technician="Anna Nowak", old_meter="12345678",
    old_meter_id=OLD,
)  # fmt: skip
READINGS = Readings(12_345_678, 12, 4_000, 0)


def done(removed_s: int = TEN_S, installed_s: int = TEN_S, **changes: Any) -> WorkOrder:
    """The order with these changes, exchanged at these instants."""
    order = replace(ORDER, **changes)
    return exchanged(order, NEW, removed_s, installed_s, READINGS, TEN_S + 90_000, "", "P-1")
