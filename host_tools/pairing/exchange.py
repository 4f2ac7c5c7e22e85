"""The exchange of a meter: what belongs to which of the two, and how settlement is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from host_tools.pairing.errors import BadInput, Conflict, SettlementRefused, SettlementUnreachable
from host_tools.pairing.json_client import JsonClient
from host_tools.pairing.work_orders import (
    CAPTURE_PERIOD_S,
    DONE,
    REGISTER_WH_MAX,
    WorkOrder,
    time_text,
)

BETWEEN_S_MAX = 86_400  # from taking the old one off to the new one's first second
CAPTURE_PERIODS_S = tuple(s for s in range(60, 3601) if 3600 % s == 0)


class Readings(NamedTuple):
    """What the technician read, in Wh; -1 where a meter has no such register."""

    old_import_wh: int
    new_import_wh: int
    old_export_wh: int = -1
    new_export_wh: int = -1


class Split(NamedTuple):
    """Which whole intervals belong to which meter; those in between to neither."""

    old_to_s: int
    new_from_s: int
    capture_period_s: int

    @property
    def lost(self) -> int:
        """How many intervals belong to neither meter."""
        return (self.new_from_s - self.old_to_s) // self.capture_period_s

    @property
    def warning(self) -> str:
        """What to know, and do, when there are any; empty when there are none."""
        if not self.lost:
            return ""
        return (
            f"intervals between {time_text(self.old_to_s)} and {time_text(self.new_from_s)} belong"
            f" to neither meter ({self.lost} of them): settlement calls them missing until they"
            f" are estimated; an exchange at a whole {self.capture_period_s // 60} minutes loses"
            " none"
        )


def split(removed_s: int, installed_s: int, capture_period_s: int = CAPTURE_PERIOD_S) -> Split:
    """Half-open: the old meter has what ended by its removal, the new one what began after.

    Raises BadInput.
    """
    if capture_period_s not in CAPTURE_PERIODS_S:
        raise BadInput("a capture period is 60 to 3600 s and divides the hour")
    if not 0 < removed_s <= installed_s:
        raise BadInput("the old meter is taken off before the new one counts: check both times")
    if installed_s - removed_s > BETWEEN_S_MAX:
        raise BadInput("more than a day between the two meters: check both times")
    old_to_s = removed_s // capture_period_s * capture_period_s
    new_from_s = -(-installed_s // capture_period_s) * capture_period_s
    return Split(old_to_s, new_from_s, capture_period_s)


def exchanged(
    order: WorkOrder, new_meter_id: str, removed_s: int, installed_s: int, readings: Readings,
    now_s: int, technician: str, seals: str = "", remarks: str = "",
) -> WorkOrder:  # fmt: skip
    """The order, done. The same again changes nothing. Raises BadInput, Conflict."""
    if installed_s > now_s:
        raise BadInput("the new meter would count from a time to come: check the times")
    if order.old_meter_id == new_meter_id:
        raise BadInput(f"meter {new_meter_id} is the old one; read the new one's label")
    for name, value in readings._asdict().items():
        low = 0 if name.endswith("import_wh") else -1
        if not low <= value <= REGISTER_WH_MAX:
            raise BadInput(f"{name.removesuffix('_wh')}: the register's reading is missing")
    split(removed_s, installed_s)
    done = replace(
        order, state=DONE, removed_s=removed_s, installed_s=installed_s, new_meter_id=new_meter_id,
        technician=technician or order.technician, seals=seals or order.seals,
        remarks=remarks or order.remarks, **readings._asdict(),
    )  # fmt: skip
    if order.state == DONE and order != done:
        raise Conflict(
            "already_done",
            f"order {order.order} is done with other values; a wrong record is corrected by hand in"
            " the list, and signed again",
        )
    return done


def reported(
    point: dict[str, Any], order: WorkOrder, capture_period_s: int = CAPTURE_PERIOD_S
) -> dict[str, Any]:
    """The point's JSON for settlement, with the exchange in it; the same again changes nothing.

    `point` is what was put before (`{"contract": ..., "meters": [...]}`): settlement replaces the
    whole point and does not give it back. Raises BadInput, Conflict.
    """
    if order.state != DONE:
        raise BadInput(f"order {order.order} is {order.state}; record the exchange first")
    parted = split(order.removed_s, order.installed_s, capture_period_s)
    meters = _meters(point)
    new = {"meter_id": order.new_meter_id, "from_s": parted.new_from_s, "to_s": None}
    if any(_same(each, new) for each in meters):
        return point
    for each in meters:
        if each["meter_id"] == order.new_meter_id:
            raise Conflict(
                "meter_twice", f"meter {order.new_meter_id} measured this point before; correct it"
            )
        if each.get("to_s") is not None and each["to_s"] > parted.old_to_s:
            raise Conflict(
                "measured_later",
                f"meter {each['meter_id']} is at this point after the exchange; correct its to_s",
            )
    open_now = [each for each in meters if each.get("to_s") is None]
    if [each["meter_id"] for each in open_now] != [order.old_meter_id] * bool(order.old_meter_id):
        names = ", ".join(each["meter_id"] for each in open_now) or "none of ours"
        raise Conflict(
            "other_meter",
            f"the point is measured by {names}, the order takes off"
            f" {order.old_meter_id or 'one that is not ours'}: correct old_meter_id",
        )
    if any(each["from_s"] >= parted.old_to_s for each in open_now):
        raise Conflict("measured_later", "the old meter began after the exchange; check the times")
    ended = [
        {**each, "to_s": parted.old_to_s} if each.get("to_s") is None else each for each in meters
    ]
    return {**point, "meters": [*ended, new]}


def _meters(point: dict[str, Any]) -> list[dict[str, Any]]:
    meters = point.get("meters")
    if not isinstance(meters, list) or ("contract" not in point and "contracts" not in point):
        raise BadInput("the point's JSON has `contract` (or `contracts`) and `meters`")
    for each in meters:
        good = isinstance(each, dict) and isinstance(each.get("meter_id"), str)
        if not good or type(each.get("from_s")) is not int:
            raise BadInput("each of the point's meters has meter_id, from_s and to_s")
    return meters


def _same(each: dict[str, Any], new: dict[str, Any]) -> bool:
    return (each["meter_id"], each["from_s"]) == (new["meter_id"], new["from_s"])


class SettlementClient(JsonClient):
    """Settlement, as its operator."""

    unreachable = SettlementUnreachable
    refused = SettlementRefused

    def put_point(self, ppe: str, point: dict[str, Any]) -> int:
        """Replace a point; its version there. Raises SettlementRefused, SettlementUnreachable."""
        return int(self._row("PUT", f"/v1/points/{ppe}", point)["version"])
