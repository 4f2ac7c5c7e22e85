"""The admin interface to updates of meters and their roll-outs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body
from msgspec import Meta

from gateway.admin.api import PAGE_ROWS, AnyRequest, Limit, NotThere, Number, Office, Row, actor
from gateway.rollout import rollout_book as book
from gateway.rollout import rollout_choice, updates, waves
from gateway.rollout.rollout_book import Plan

METERS_MAX = 10_000

_PLAN = Plan()


class NewRollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As `update start`: which update, for whom, in which waves. No meters means every one."""

    update_id: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
    meters: Annotated[
        list[Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]], Meta(max_length=METERS_MAX)
    ] = []
    shards: str = ""
    running: str = ""
    waves: str = ",".join(_PLAN.waves)
    stop_after: str = _PLAN.stop_after
    at_once: int = _PLAN.at_once
    soak_s: int = _PLAN.soak_s
    confirm_s: int = _PLAN.confirm_s
    patience_s: int = _PLAN.patience_s


RolloutBody = Annotated[
    NewRollout, Body(examples=[Example(value={"update_id": 1, "waves": "1,10%,100%"})])
]


@get("/updates", summary="Applications for meters, and how many run each")
async def list_updates(office: NamedDependency[Office]) -> list[Row]:
    """They are taken in by `update add` on the gateway's own machine."""
    return await office.look(updates.rows)


@delete("/updates/{number:int}", summary="Forget an update that no roll-out used")
async def remove_update(
    request: AnyRequest, office: NamedDependency[Office], number: Number
) -> None:
    """Its files go."""
    who, now_s = actor(request), office.clock_s()

    def work(connection: sqlite3.Connection) -> None:
        if not any(row["update_id"] == number for row in updates.rows(connection)):
            raise NotThere(f"there is no update {number}; GET /v1/updates lists them")
        updates.remove(connection, number, who, now_s)

    await office.act(work)


@get("/rollouts", summary="Roll-outs, newest first, each with its waves")
async def list_rollouts(office: NamedDependency[Office], limit: Limit = PAGE_ROWS) -> list[Row]:
    """How many meters of each wave are in which state."""
    return await office.look(lambda connection: book.rows(connection)[:limit])


@post("/rollouts", summary="Roll an update out")
async def start_rollout(
    request: AnyRequest, office: NamedDependency[Office], data: RolloutBody
) -> Row:
    """The gateway begins within a second."""
    who, now_s = actor(request), office.clock_s()
    plan = Plan(
        waves.parse_waves(data.waves), waves.parse_stop_after(data.stop_after), data.at_once,
        data.soak_s, data.confirm_s, data.patience_s,
    )  # fmt: skip
    meters = [bytes.fromhex(meter_id) for meter_id in data.meters] or None
    choice = rollout_choice.Choice(meters, data.shards, data.running)

    def work(connection: sqlite3.Connection) -> Row:
        if not any(row["update_id"] == data.update_id for row in updates.rows(connection)):
            raise NotThere(f"there is no update {data.update_id}; GET /v1/updates lists them")
        chosen = rollout_choice.choose(connection, data.update_id, choice)
        return _rollout(
            connection, book.start(connection, data.update_id, chosen, plan, who, now_s)
        )

    return await office.act(work)


@get("/rollouts/{number:int}", summary="One roll-out")
async def show_rollout(office: NamedDependency[Office], number: Number) -> Row:
    """As in the list."""
    return await office.look(lambda connection: _rollout(connection, number))


@get("/rollouts/{number:int}/meters", summary="How far each meter of a roll-out is")
async def list_rollout_meters(
    office: NamedDependency[Office], number: Number, limit: Limit = PAGE_ROWS
) -> list[Row]:
    """Those that failed first."""

    def work(connection: sqlite3.Connection) -> list[Row]:
        _rollout(connection, number)
        return book.meters(connection, number, limit)

    return await office.look(work)


@post("/rollouts/{number:int}/pause", status_code=200, summary="Send nothing more for now")
async def pause_rollout(
    request: AnyRequest, office: NamedDependency[Office], number: Number
) -> Row:
    """A meter that has it all still restarts."""
    return await _change(request, office, number, book.pause)


@post("/rollouts/{number:int}/resume", status_code=200, summary="Go on with a paused roll-out")
async def resume_rollout(
    request: AnyRequest, office: NamedDependency[Office], number: Number
) -> Row:
    """The opposite of pause."""
    return await _change(request, office, number, book.resume)


@post("/rollouts/{number:int}/stop", status_code=200, summary="End a roll-out for good")
async def stop_rollout(request: AnyRequest, office: NamedDependency[Office], number: Number) -> Row:
    """Meters that have it keep it."""

    def stop(connection: sqlite3.Connection, rollout_id: int, who: str, now_s: int) -> None:
        book.stop(connection, rollout_id, who, "by hand", now_s)

    return await _change(request, office, number, stop)


async def _change(
    request: AnyRequest,
    office: Office,
    number: int,
    change: Callable[[sqlite3.Connection, int, str, int], None],
) -> Row:
    who, now_s = actor(request), office.clock_s()

    def work(connection: sqlite3.Connection) -> Row:
        _rollout(connection, number)
        change(connection, number, who, now_s)
        return _rollout(connection, number)

    return await office.act(work)


def _rollout(connection: sqlite3.Connection, number: int) -> Row:
    found = book.rows(connection, number)
    if not found:
        raise NotThere(f"there is no roll-out {number}; GET /v1/rollouts lists them")
    return found[0]


HANDLERS: list[Any] = [
    list_updates, remove_update, list_rollouts, start_rollout, show_rollout, list_rollout_meters,
    pause_rollout, resume_rollout, stop_rollout,
]  # fmt: skip
