"""The admin interface to what happens: events, quality, audit, parked profiles."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from gateway import audit
from gateway.admin import queries
from gateway.admin.api import (
    NUMBER_MAX,
    PAGE_ROWS,
    AnyRequest,
    Limit,
    MeterId,
    NotThere,
    Number,
    Office,
    OfMeter,
    Row,
    actor,
    meter_id_of,
)
from gateway.errors import UsageError
from gateway.forwarding import outbox, parked
from gateway.outages import indicators, meter_events

Behind = Annotated[
    int, QueryParameter(ge=0, le=NUMBER_MAX, description="the last number of the page before")
]
AUDIT_COLUMNS = ("id", "at_s", "actor", "action", "subject", "detail")


@get("/events", summary="Events of meters, newest first")
async def list_events(
    office: NamedDependency[Office], limit: Limit = PAGE_ROWS, meter_id: OfMeter = "",
    code: Annotated[int | None, QueryParameter(ge=0, le=NUMBER_MAX)] = None,
) -> list[Row]:  # fmt: skip
    """Sags, swells, outages, covers opened, as wire/wire.cddl lists them."""
    meter = bytes.fromhex(meter_id) or None
    return await office.look(lambda connection: meter_events.rows(connection, meter, code, limit))


@get("/quality", summary="How well all meters communicate")
async def show_quality(office: NamedDependency[Office]) -> list[Row]:
    """Completeness, timeliness, correctness over 1 day, 5 days, 1 month."""
    now_s = office.clock_s()
    return await office.look(lambda connection: indicators.overall(connection, now_s))


@get("/meters/{meter_id:str}/quality", summary="How well one meter communicates")
async def show_meter_quality(office: NamedDependency[Office], meter_id: MeterId) -> list[Row]:
    """The same three; nothing when none of its intervals came yet."""
    meter, now_s = meter_id_of(meter_id), office.clock_s()

    def work(connection: sqlite3.Connection) -> list[Row]:
        if queries.show_meter(connection, meter) is None:
            raise NotThere(f"meter {meter_id} is not registered; GET /v1/meters shows who is")
        return indicators.rows(connection, now_s, meter)

    return await office.look(work)


@get("/audit", summary="Who administered what")
async def list_audit(
    office: NamedDependency[Office], limit: Limit = PAGE_ROWS, after: Behind = 0
) -> list[Row]:
    """Oldest first, behind `after`."""
    acts = await office.look(lambda connection: audit.since(connection, after, limit))
    return [dict(zip(AUDIT_COLUMNS, act, strict=True)) for act in acts]


@get("/audit/head", summary="The newest act's number and hash; keep it elsewhere")
async def show_audit_head(office: NamedDependency[Office]) -> Row:
    """And whether the chain behind it is unbroken."""

    def work(connection: sqlite3.Connection) -> Row:
        broken = audit.verify(connection)
        return {"head": str(audit.head(connection)), "first_broken": broken}

    return await office.look(work)


@get("/parked", summary="Profiles that settlement did not take")
async def list_parked(
    office: NamedDependency[Office], limit: Limit = PAGE_ROWS, after: Behind = 0
) -> list[Row]:
    """With settlement's reason, by journal row."""

    def work(connection: sqlite3.Connection) -> list[Row]:
        return [_parked(row) for row in parked.rows(connection, after_id=after, limit=limit)]

    return await office.look(work)


@post("/parked/{number:int}/retry", status_code=200, summary="Send a parked profile again")
async def retry_parked(request: AnyRequest, office: NamedDependency[Office], number: Number) -> Row:
    """By itself, under a key of its own."""
    who, now_s = actor(request), office.clock_s()

    def work(connection: sqlite3.Connection) -> Row:
        found = _find(connection, number)
        built = outbox.build(office.config.gateway_id, [found.row])
        parked.retry(connection, found, built.idempotency_key, built.body, who, now_s)
        return _parked(parked.find(connection, number))

    return await office.act(work)


def _find(connection: sqlite3.Connection, journal_id: int) -> parked.Parked:
    try:
        return parked.find(connection, journal_id)
    except UsageError as error:
        raise NotThere(str(error)) from None


def _parked(found: parked.Parked) -> Row:
    return {
        "journal_id": found.row.journal_id,
        "meter_id": found.row.meter_id.hex(),
        "frame_counter": found.row.frame_counter,
        "received_s": found.row.received_s,
        "code": found.code,
        "detail": found.detail,
        "parked_s": found.parked_s,
        "state": found.state,
        "tries": found.tries,
    }


HANDLERS: list[Any] = [
    list_events, show_quality, show_meter_quality, list_audit, show_audit_head, list_parked,
    retry_parked,
]  # fmt: skip
