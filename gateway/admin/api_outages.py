"""The admin interface to outages: of meters, of areas, planned ones; which meter is where."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, QueryParameter
from msgspec import Meta

from gateway.admin.api import (
    EXAMPLE_METER,
    NUMBER_MAX,
    PAGE_ROWS,
    AnyRequest,
    Limit,
    Number,
    Office,
    OfMeter,
    Row,
    actor,
)
from gateway.outages import notices, outage_rows, outage_views
from gateway.outages.outage_records import Plan

METERS_MAX = 10_000

HexId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
Moment = Annotated[int, Meta(ge=0, le=1 << 40)]  # UTC seconds since 1970
IsOpen = Annotated[bool, QueryParameter(description="only those that last")]


class NewPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An outage that was announced: recorded as any other, told to nobody."""

    subject: str  # an area, a meter id, or * for all
    from_s: Moment
    to_s: Moment
    text: str = ""


class Places(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Meters and the area they are in; an empty name takes them out of theirs."""

    area: str
    meters: Annotated[list[HexId], Meta(min_length=1, max_length=METERS_MAX)]


_PLAN = {"subject": "Wola", "from_s": 4_102_444_800, "to_s": 4_102_459_200, "text": "works"}
PlanBody = Annotated[NewPlan, Body(examples=[Example(value=_PLAN)])]
PlacesBody = Annotated[
    Places, Body(examples=[Example(value={"area": "Wola", "meters": [EXAMPLE_METER]})])
]


@get("/outages", summary="Outages of meters, newest first")
async def list_outages(
    office: NamedDependency[Office], limit: Limit = PAGE_ROWS, meter_id: OfMeter = "",
    is_open: IsOpen = False,
) -> list[Row]:  # fmt: skip
    """Those that turned out to be the same are one."""
    meter = bytes.fromhex(meter_id) or None
    return await office.look(
        lambda connection: outage_views.outages(connection, meter, is_open=is_open, limit=limit)
    )


@get("/outages/areas", summary="Outages of areas, newest first")
async def list_area_outages(
    office: NamedDependency[Office], limit: Limit = PAGE_ROWS, is_open: IsOpen = False
) -> list[Row]:
    """How many meters each held, and how many are back."""
    return await office.look(
        lambda connection: outage_views.area_outages(connection, is_open=is_open, limit=limit)
    )


@get("/outages/plans", summary="Planned outages that are not over")
async def list_plans(office: NamedDependency[Office]) -> list[Row]:
    """In the order they were announced."""
    now_s = office.clock_s()
    return await office.look(lambda connection: outage_views.plans(connection, now_s))


@post("/outages/plans", summary="Announce an outage")
async def add_plan(request: AnyRequest, office: NamedDependency[Office], data: PlanBody) -> Row:
    """Its number takes it back."""
    who, now_s = actor(request), office.clock_s()
    plan = Plan(data.subject, data.from_s, data.to_s, data.text)
    number = await office.act(
        lambda connection: outage_rows.add_plan(connection, plan, actor=who, now_s=now_s)
    )
    return {"id": number}


@delete("/outages/plans/{number:int}", summary="Take a planned outage back")
async def cancel_plan(request: AnyRequest, office: NamedDependency[Office], number: Number) -> None:
    """Outages of that time are told again."""
    who, now_s = actor(request), office.clock_s()
    await office.act(
        lambda connection: outage_rows.cancel_plan(connection, number, actor=who, now_s=now_s)
    )


@get("/areas", summary="Which meter is in which area")
async def list_areas(
    office: NamedDependency[Office], limit: Limit = PAGE_ROWS,
    skip: Annotated[int, QueryParameter(ge=0, le=NUMBER_MAX)] = 0,
) -> list[Row]:  # fmt: skip
    """By area."""
    return await office.look(
        lambda connection: outage_views.places(connection)[skip : skip + limit]
    )


@put("/areas", summary="Put meters into an area")
async def set_area(request: AnyRequest, office: NamedDependency[Office], data: PlacesBody) -> Row:
    """Many meters of one area that go silent at once are one outage."""
    who, now_s = actor(request), office.clock_s()
    places = {bytes.fromhex(meter_id): data.area for meter_id in data.meters}
    await office.act(
        lambda connection: outage_rows.set_areas(connection, places, actor=who, now_s=now_s)
    )
    return {"area": data.area, "meters": len(places)}


@get("/notices", summary="Notices and what became of them, newest first")
async def list_notices(office: NamedDependency[Office], limit: Limit = PAGE_ROWS) -> list[Row]:
    """By webhook, mail and MQTT."""
    return await office.look(lambda connection: notices.rows(connection, None, limit))


HANDLERS: list[Any] = [
    list_outages, list_area_outages, list_plans, add_plan, cancel_plan, list_areas, set_area,
    list_notices,
]  # fmt: skip
