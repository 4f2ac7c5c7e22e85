"""The admin interface to meters and their keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter, QueryParameter

from gateway import audit, lifecycle, registry
from gateway.admin import queries
from gateway.admin.api import (
    EXAMPLE_METER,
    PAGE_ROWS,
    AnyRequest,
    Limit,
    MeterId,
    NotThere,
    Office,
    Row,
    actor,
    meter_id_of,
)
from gateway.downlink import rekeying
from gateway.errors import UsageError
from gateway.registry import NewMeter

EXAMPLE = {
    "meter_id": EXAMPLE_METER,
    "meter_key": "00" * 32,
    "key_epoch": 0,
    "password": "an-example-of-a-password",
}


class Confirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of what is not undone: the meter's id once more."""

    confirm: str


class NewPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """22 to 256 ASCII characters. Its repr shows none."""

    password: str

    def __repr__(self) -> str:
        return "NewPassword()"


class NewLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the meter's eFuses say: L0, L1 or L2."""

    security_level: str


MeterBody = Annotated[NewMeter, Body(examples=[Example(value=EXAMPLE)])]
ConfirmBody = Annotated[Confirmation, Body(examples=[Example(value={"confirm": EXAMPLE_METER})])]
PasswordBody = Annotated[
    NewPassword, Body(examples=[Example(value={"password": "another-example-password"})])
]
LevelBody = Annotated[NewLevel, Body(examples=[Example(value={"security_level": "L1"})])]
After = Annotated[
    str,
    QueryParameter(
        pattern=r"^([0-9a-f]{16})?$", description="the last meter id of the page before"
    ),
]
Again = Annotated[
    bool, QueryParameter(description="bring a decommissioned meter back, under an epoch never used")
]
FrameCounter = Annotated[  # text, because it has 64 bits and no sign
    str,
    PathParameter(pattern=r"^[0-9]{1,20}$", description="0 to 2^64 - 1",
                  examples=[Example(value="0")]),
]  # fmt: skip


@get("/meters", summary="Every meter: state, key epochs, what was refused of it")
async def list_meters(
    office: NamedDependency[Office], limit: Limit = PAGE_ROWS, after: After = ""
) -> list[Row]:
    """A page, by meter id."""
    behind = bytes.fromhex(after)
    return await office.look(lambda connection: queries.list_meters(connection, behind, limit))


@post("/meters", summary="Register a meter")
async def add_meter(
    request: AnyRequest, office: NamedDependency[Office], data: MeterBody, again: Again = False
) -> Row:
    """All of it in one transaction with its audit row."""
    new = registry.parse_new_meter(msgspec.json.encode(data), "the body")
    who, now_s, meter_id = actor(request), office.clock_s(), bytes.fromhex(data.meter_id)

    def work(connection: sqlite3.Connection) -> Row:
        lifecycle.add(connection, office.keeper, [new], who, now_s, again=again)
        return _shown(connection, meter_id)

    return await office.act(work)


@get("/meters/{meter_id:str}", summary="One meter")
async def show_meter(office: NamedDependency[Office], meter_id: MeterId) -> Row:
    """As in the list."""
    wanted = meter_id_of(meter_id)
    return await office.look(lambda connection: _shown(connection, wanted))


@post("/meters/{meter_id:str}/revoke", status_code=200, summary="Close the door to a meter")
async def revoke(request: AnyRequest, office: NamedDependency[Office], meter_id: MeterId) -> Row:
    """Its session ends within two seconds; its keys stay."""
    return await _change(request, office, meter_id, lifecycle.revoke)


@post("/meters/{meter_id:str}/restore", status_code=200, summary="Let a revoked meter in again")
async def restore(request: AnyRequest, office: NamedDependency[Office], meter_id: MeterId) -> Row:
    """The opposite of revoke."""
    return await _change(request, office, meter_id, lifecycle.restore)


@post(
    "/meters/{meter_id:str}/decommission",
    status_code=200,
    summary="Destroy a meter's keys for good",
)
async def decommission(
    request: AnyRequest, office: NamedDependency[Office], meter_id: MeterId, data: ConfirmBody
) -> Row:
    """Its readings and a tombstone stay."""
    if data.confirm != meter_id:
        raise UsageError("confirm is not this meter's id; nothing was changed")
    return await _change(request, office, meter_id, lifecycle.decommission)


@put("/meters/{meter_id:str}/password", summary="Give a meter a new MQTT password")
async def set_password(
    request: AnyRequest, office: NamedDependency[Office], meter_id: MeterId, data: PasswordBody
) -> Row:
    """It needs it at its next CONNECT."""

    def change(connection: sqlite3.Connection, meter: bytes, who: str, now_s: int) -> None:
        lifecycle.set_password(connection, meter, data.password, who, now_s)

    return await _change(request, office, meter_id, change)


@put("/meters/{meter_id:str}/security-level", summary="Record how well a meter's key is protected")
async def set_security_level(
    request: AnyRequest, office: NamedDependency[Office], meter_id: MeterId, data: LevelBody
) -> Row:
    """L0, L1 or L2, as its chip's eFuses say; the same again changes nothing."""

    def change(connection: sqlite3.Connection, meter: bytes, who: str, now_s: int) -> None:
        lifecycle.set_security_level(connection, meter, data.security_level, who, now_s)

    return await _change(request, office, meter_id, change)


@post("/meters/{meter_id:str}/rotate", summary="Give a meter a new key, by a sealed command")
async def rotate(request: AnyRequest, office: NamedDependency[Office], meter_id: MeterId) -> Row:
    """The command's number; the keys show when the meter uses the new one."""
    meter, who, now_s = meter_id_of(meter_id), actor(request), office.clock_s()

    def work(connection: sqlite3.Connection) -> Row:
        _shown(connection, meter)
        row_id = rekeying.queue(connection, office.keeper, meter, who, now_s)
        audit.record(connection, who, "key.rotate", meter_id, {"command": row_id}, now_s)
        return {"id": row_id}

    return await office.act(work)


@get("/meters/{meter_id:str}/keys", summary="A meter's key epochs; never a key")
async def list_keys(office: NamedDependency[Office], meter_id: MeterId) -> list[Row]:
    """Which epoch is in force, which waits for its proof."""

    def work(connection: sqlite3.Connection) -> list[Row]:
        _shown(connection, meter_id_of(meter_id))
        return [row for row in registry.key_states(connection) if row["meter_id"] == meter_id]

    return await office.look(work)


@get("/frames/{meter_id:str}/{frame_counter:str}", summary="Where one frame went and what it says")
async def trace(
    office: NamedDependency[Office], meter_id: MeterId,
    frame_counter: FrameCounter,
) -> Row:  # fmt: skip
    """From its journal row to its delivery; registers at the time they were read.

    `message` has its kind, and of registers and profiles the registers in Wh, varh and W by OBIS
    name: as read at `at_s`, or at the end of a profile's last interval, `end_s` (UTC seconds). What
    is missing is null. Of all other messages it has the kind alone.
    """
    meter, counter = meter_id_of(meter_id), int(frame_counter)
    if counter >> 64:
        raise UsageError("a frame counter is a number from 0 to 2^64 - 1")
    found = await office.look(lambda connection: queries.trace(connection, meter, counter))
    if found is None:
        raise NotThere(f"frame {frame_counter} of meter {meter_id} is not in the journal")
    return found


async def _change(
    request: AnyRequest,
    office: Office,
    meter_id: str,
    change: Callable[[sqlite3.Connection, bytes, str, int], None],
) -> Row:
    meter, who, now_s = meter_id_of(meter_id), actor(request), office.clock_s()

    def work(connection: sqlite3.Connection) -> Row:
        _shown(connection, meter)
        change(connection, meter, who, now_s)
        return _shown(connection, meter)

    return await office.act(work)


def _shown(connection: sqlite3.Connection, meter_id: bytes) -> Row:
    found = queries.show_meter(connection, meter_id)
    if found is None:
        raise NotThere(f"meter {meter_id.hex()} is not registered; GET /v1/meters shows who is")
    return found


HANDLERS: list[Any] = [
    list_meters, add_meter, show_meter, revoke, restore, decommission, set_password,
    set_security_level, rotate, list_keys, trace,
]  # fmt: skip
