"""The admin interface to commands: single ones, bundles, schedules."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any, Literal

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, QueryParameter
from msgspec import Meta

from gateway.admin.api import (
    EXAMPLE_METER,
    PAGE_ROWS,
    AnyRequest,
    Limit,
    NotThere,
    Number,
    Office,
    OfMeter,
    Row,
    actor,
    meter_id_of,
)
from gateway.downlink import bundles, command_args, commands, schedules
from gateway.errors import CommandRefused
from gateway.registry import Registry
from wire import messages

METERS_MAX = 10_000

HexId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
Name = Annotated[str, Meta(min_length=1, max_length=32)]
Args = Annotated[list[int | str], Meta(max_length=8)]  # bytes are hex digits
Seconds = Annotated[int, Meta(ge=0, le=1 << 40)]
State = Literal[
    "queued", "sent", "done", "refused", "failed", "unsupported", "expired", "cancelled"
]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command by its name. Its repr shows no argument: one may be a key."""

    command: Name
    args: Args = []

    def __repr__(self) -> str:
        return f"Step({self.command})"


class NewCommand(Step, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A command for one meter."""

    meter_id: HexId
    not_before_s: Seconds | None = None
    expires_s: Seconds | None = None


class NewBundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several commands for many meters, each in this order."""

    meters: Annotated[list[HexId], Meta(min_length=1, max_length=METERS_MAX)]
    steps: Annotated[list[Step], Meta(min_length=1, max_length=100)]
    title: str = ""
    on_failure: Literal["stop", "go_on"] = "stop"
    not_before_s: Seconds | None = None
    expires_s: Seconds | None = None


class NewSchedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command that comes round: every so many seconds, or daily at a second of the day (UTC)."""

    command: Name
    args: Annotated[list[int], Meta(max_length=8)] = []
    meters: Annotated[list[HexId], Meta(max_length=schedules.METERS_NAMED_MAX)] = []
    every_s: Seconds | None = None
    daily_s: Seconds | None = None
    jitter_s: Seconds = 0


_COMMAND = {"meter_id": EXAMPLE_METER, "command": "read_profile", "args": [1, 96]}
_BUNDLE = {"meters": [EXAMPLE_METER], "steps": [{"command": "read_now"}], "title": "a look"}
_SCHEDULE = {"command": "read_now", "daily_s": 7200, "jitter_s": 600}
CommandBody = Annotated[NewCommand, Body(examples=[Example(value=_COMMAND)])]
BundleBody = Annotated[NewBundle, Body(examples=[Example(value=_BUNDLE)])]
ScheduleBody = Annotated[NewSchedule, Body(examples=[Example(value=_SCHEDULE)])]
InState = Annotated[State | None, QueryParameter(name="state", description="only in this state")]


@get("/commands", summary="Commands, newest first")
async def list_commands(
    office: NamedDependency[Office], limit: Limit = PAGE_ROWS, meter_id: OfMeter = "",
    in_state: InState = None,
) -> list[Row]:  # fmt: skip
    """Never with a secret."""
    meter = bytes.fromhex(meter_id) or None
    return await office.look(lambda connection: commands.rows(connection, meter, in_state, limit))


@post("/commands", summary="Queue a command for a meter")
async def queue_command(
    request: AnyRequest, office: NamedDependency[Office], data: CommandBody
) -> Row:
    """Sent as soon as the meter listens; its result shows in the list."""
    who, now_s, meter_id = actor(request), office.clock_s(), meter_id_of(data.meter_id)

    def work(connection: sqlite3.Connection) -> Row:
        code = code_of(data)
        row_id = commands.queue(
            connection, meter_id, code, args_of(office.keeper, meter_id, code, data),
            actor=who, now_s=now_s, not_before_s=data.not_before_s, expires_s=data.expires_s,
        )  # fmt: skip
        return _command(connection, row_id)

    return await office.act(work)


@get("/commands/{number:int}", summary="One command")
async def show_command(office: NamedDependency[Office], number: Number) -> Row:
    """As in the list."""
    return await office.look(lambda connection: _command(connection, number))


@post("/commands/{number:int}/cancel", status_code=200, summary="Take a command back")
async def cancel_command(
    request: AnyRequest, office: NamedDependency[Office], number: Number
) -> Row:
    """One that was sent may have been carried out all the same."""
    who, now_s = actor(request), office.clock_s()

    def work(connection: sqlite3.Connection) -> Row:
        _command(connection, number)
        commands.cancel(connection, number, who, now_s)
        return _command(connection, number)

    return await office.act(work)


@get("/bundles", summary="Bundles and how far they are, newest first")
async def list_bundles(office: NamedDependency[Office], limit: Limit = PAGE_ROWS) -> list[Row]:
    """Commands by state in each."""
    return await office.look(lambda connection: bundles.progress(connection)[:limit])


@post("/bundles", summary="Queue several commands for many meters in one act")
async def queue_bundle(
    request: AnyRequest, office: NamedDependency[Office], data: BundleBody
) -> Row:
    """All of it or nothing."""
    who, now_s = actor(request), office.clock_s()
    meter_ids = [meter_id_of(each) for each in data.meters]

    def work(connection: sqlite3.Connection) -> Row:
        steps = [(code_of(step), plain_args(code_of(step), step)) for step in data.steps]
        number = bundles.queue(
            connection, meter_ids, steps, title=data.title, on_failure=data.on_failure,
            actor=who, now_s=now_s, not_before_s=data.not_before_s, expires_s=data.expires_s,
        )  # fmt: skip
        return bundles.progress(connection, number)[0]

    return await office.act(work)


@post("/bundles/{number:int}/retry", summary="Queue again what of a bundle was not done")
async def retry_bundle(request: AnyRequest, office: NamedDependency[Office], number: Number) -> Row:
    """How many commands."""
    who, now_s = actor(request), office.clock_s()
    count = await office.act(lambda connection: bundles.retry(connection, number, who, now_s))
    return {"bundle_id": number, "commands": count}


@get("/schedules", summary="Commands that come round")
async def list_schedules(office: NamedDependency[Office]) -> list[Row]:
    """All of them: there are at most a hundred."""
    return await office.look(schedules.rows)


@post("/schedules", summary="Have a command come round")
async def add_schedule(
    request: AnyRequest, office: NamedDependency[Office], data: ScheduleBody
) -> Row:
    """For the named meters, or for all."""
    who, now_s = actor(request), office.clock_s()
    meters = [meter_id_of(each) for each in data.meters]

    def work(connection: sqlite3.Connection) -> Row:
        code = command_args.CODES.get(data.command, -1)
        number = schedules.add(
            connection, code, tuple(data.args), meters, every_s=data.every_s,
            daily_s=data.daily_s, jitter_s=data.jitter_s, actor=who, now_s=now_s,
        )  # fmt: skip
        return next(row for row in schedules.rows(connection) if row["id"] == number)

    return await office.act(work)


@delete("/schedules/{number:int}", summary="Let it come round no more")
async def remove_schedule(
    request: AnyRequest, office: NamedDependency[Office], number: Number
) -> None:
    """What it queued stays queued."""
    who, now_s = actor(request), office.clock_s()
    await office.act(lambda connection: schedules.remove(connection, number, who, now_s))


def code_of(step: Step) -> int:
    """Raises CommandRefused for a name that is none, and for what has a route of its own."""
    code = command_args.CODES.get(step.command)
    if code is None:
        names = ", ".join(command_args.CODES)
        raise CommandRefused(command_args.UNKNOWN_COMMAND, f"not a command; there are {names}")
    if code in bundles.NOT_IN_BUNDLES:
        raise CommandRefused(bundles.ALONE, "keys have /rotate, updates have /v1/rollouts")
    return code


def plain_args(code: int, step: Step) -> tuple[int | bytes | str, ...]:
    """Hex digits as bytes where the command takes bytes. Raises CommandRefused."""
    if code not in (messages.COMMAND_SET_TARIFF, messages.COMMAND_HOME_KEY):
        return tuple(step.args)
    try:
        return tuple(bytes.fromhex(arg) if isinstance(arg, str) else arg for arg in step.args)
    except ValueError:  # not shown: it may be a key
        raise CommandRefused(command_args.ARGUMENTS, "bytes are written as hex digits") from None


def args_of(keeper: Registry, meter_id: bytes, code: int, step: Step) -> tuple[Any, ...]:
    """As plain_args, with the secret wrapped under the master key. Raises CommandRefused."""
    args = plain_args(code, step)
    if code not in command_args.SECRETS:
        return args
    if not args or not isinstance(args[-1], bytes):
        raise CommandRefused(command_args.ARGUMENTS, "the last argument is the key, in hex digits")
    return (*args[:-1], commands.hide(keeper, meter_id, code, args[-1]))


def _command(connection: sqlite3.Connection, number: int) -> Row:
    found = commands.rows(connection, row_id=number)
    if not found:
        raise NotThere(f"there is no command {number}; GET /v1/commands lists them")
    return found[0]


HANDLERS: list[Any] = [
    list_commands, queue_command, show_command, cancel_command, list_bundles, queue_bundle,
    retry_bundle, list_schedules, add_schedule, remove_schedule,
]  # fmt: skip
