"""`schedule`: commands that come round, every so often or daily."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from gateway.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    desk,
    looking,
    meter_id_of,
    now_s,
    show,
)
from gateway.downlink import schedules
from gateway.downlink.command_args import CODES
from gateway.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Commands that come round.")


@app.command(
    epilog="Examples: schedule add set-clock --daily 02:30 --jitter 3600;"
    " schedule add read-profile 96 --every 86400 --meter 0011223344556677"
)
def add(
    command: Annotated[str, typer.Argument(help="read-now, read-profile COUNT or set-clock")],
    count: Annotated[int, typer.Argument(help="read-profile: of the latest intervals")] = 0,
    every: Annotated[int, typer.Option(help="seconds from one round to the next")] = 0,
    daily: Annotated[str, typer.Option(help="HH:MM, in UTC")] = "",
    jitter: Annotated[int, typer.Option(help="seconds to spread a round over")] = 60,
    meter: Annotated[list[str] | None, typer.Option(help="again for more; default: all")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Keep a schedule; rounds that fall into a time without gateway are made up for by one."""
    code = CODES.get(command.replace("-", "_"), 0)
    meters = [meter_id_of(one) for one in meter or []]
    daily_s = _time_of_day(daily) if daily else None
    with desk(config) as at:
        number = at.act(
            lambda connection: schedules.add(
                connection, code, (count,) if count else (), meters, every_s=every or None,
                daily_s=daily_s, jitter_s=jitter, actor=at.actor, now_s=now_s(),
            )
        )  # fmt: skip
    print(f"schedule {number} added")


@app.command("list", epilog="Example: schedule list --json")
def list_(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List schedules."""
    columns = ["id", "command", "args", "meters", "every_s", "daily_s", "jitter_s", "next_s"]
    with looking(config) as connection:
        show(schedules.rows(connection), columns, as_json=as_json)


@app.command(epilog="Example: schedule remove 2")
def remove(
    schedule: Annotated[int, typer.Argument(metavar="SCHEDULE")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Let a schedule come round no more; what it queued stays queued."""
    with desk(config) as at:
        at.act(lambda connection: schedules.remove(connection, schedule, at.actor, now_s()))
    print(f"schedule {schedule} removed")


def _time_of_day(text: str) -> int:
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", text)
    if match is None:
        raise UsageError("--daily is a time of day in UTC, 00:00 to 23:59")
    return int(match[1]) * 3600 + int(match[2]) * 60
