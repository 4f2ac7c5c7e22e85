"""`outages`: who is without supply, what meters noticed, areas, planned outages, notices."""

from __future__ import annotations

import csv
import re
import sys
from datetime import datetime
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
from gateway.errors import UsageError
from gateway.outages import meter_events, notices, outage_rows, outage_views
from gateway.outages.outage_records import Plan
from gateway.outages.outage_rows import AREA_METERS_MAX

app = typer.Typer(no_args_is_help=True, help="Who is without supply, and what meters noticed.")

LimitOption = Annotated[int, typer.Option(min=1, max=1000, help="rows, newest first")]
MeterOption = Annotated[str | None, typer.Option("--meter", metavar="METER_ID")]
Meters = Annotated[list[str], typer.Argument(metavar="METER_ID...")]

_CODES = {name: code for code, name in meter_events.NAMES.items()}


@app.command("list", epilog="Example: outages list --open --json")
def list_(
    config: ConfigOption = DEFAULT_CONFIG,
    meter: MeterOption = None,
    is_open: Annotated[bool, typer.Option("--open", help="only those that last")] = False,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """List outages of meters, newest first."""
    meter_id = None if meter is None else meter_id_of(meter)
    with looking(config) as connection:
        rows = outage_views.outages(connection, meter_id, is_open=is_open, limit=limit)
    columns = ("id", "meter_id", "area", "cause", "began", "duration_s", "said_by")
    show(rows, columns, as_json=as_json)


@app.command(epilog="Example: outages areas --open")
def areas(
    config: ConfigOption = DEFAULT_CONFIG,
    is_open: Annotated[bool, typer.Option("--open", help="only those that last")] = False,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """List outages of areas, newest first."""
    with looking(config) as connection:
        rows = outage_views.area_outages(connection, is_open=is_open, limit=limit)
    columns = ("id", "area", "began", "ended", "duration_s", "meters", "meters_back")
    show(rows, columns, as_json=as_json)


@app.command(epilog="Example: outages events --code sag --json")
def events(
    config: ConfigOption = DEFAULT_CONFIG,
    meter: MeterOption = None,
    code: Annotated[str | None, typer.Option(help="such as sag, swell, tamper, boot")] = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """List what meters noticed: sags, swells, tampering, starts and the rest, newest first."""
    if code is not None and code not in _CODES:
        raise UsageError(f"no event is called {code}; there are: {', '.join(_CODES)}")
    meter_id = None if meter is None else meter_id_of(meter)
    number = None if code is None else _CODES[code]
    with looking(config) as connection:
        rows = meter_events.rows(connection, meter_id, number, limit)
    columns = ("event_id", "meter_id", "number", "name", "values", "received_s", "verdict")
    show(rows, columns, as_json=as_json)


@app.command(epilog="Example: outages area Wola 0123456789abcdef 89abcdef01234567")
def area(name: str, meters: Meters, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Put meters into an area by name; the name - takes them out of theirs."""
    place = "" if name == "-" else name
    places = {meter_id_of(meter): place for meter in meters}
    with desk(config) as at:
        at.act(lambda c: outage_rows.set_areas(c, places, actor=at.actor, now_s=now_s()))
    print(f"{len(places)} meters {'taken out of their areas' if not place else f'are in {name}'}")


@app.command("import", epilog="Example: outages import < areas.csv")
def import_(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Read lines of METER_ID,AREA on standard input and put all these meters into their areas."""
    places: dict[bytes, str] = {}
    for number, row in enumerate(csv.reader(sys.stdin), start=1):
        if row and row != ["meter_id", "area"]:
            if len(row) != 2 or number > AREA_METERS_MAX + 1:
                raise UsageError(f"line {number}: write METER_ID,AREA; nothing was changed")
            places[meter_id_of(row[0].strip())] = row[1].strip()
    with desk(config) as at:
        at.act(lambda c: outage_rows.set_areas(c, places, actor=at.actor, now_s=now_s()))
    print(f"{len(places)} meters placed")


@app.command(
    epilog="Example: outages plan Wola 2026-12-01T08:00Z 2026-12-01T12:00Z --text 'transformer'"
)
def plan(
    subject: Annotated[str, typer.Argument(metavar="AREA|METER_ID|*")],
    begin: Annotated[str, typer.Argument(metavar="FROM", help="UTC, as 2026-12-01T08:00Z")],
    end: Annotated[str, typer.Argument(metavar="TO")],
    text: Annotated[str, typer.Option(help="why, one line")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Announce an outage: it is recorded as any other, and nobody is sent a notice."""
    planned = Plan(subject, moment(begin), moment(end), text)
    with desk(config) as at:
        number = at.act(lambda c: outage_rows.add_plan(c, planned, actor=at.actor, now_s=now_s()))
    print(f"planned outage {number}; `outages unplan {number}` takes it back")


@app.command(epilog="Example: outages plans --json")
def plans(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List planned outages that are not over."""
    with looking(config) as connection:
        rows = outage_views.plans(connection, now_s())
    show(rows, ("id", "subject", "from", "to", "text"), as_json=as_json)


@app.command(epilog="Example: outages unplan 3")
def unplan(number: int, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Take a planned outage back."""
    with desk(config) as at:
        at.act(lambda c: outage_rows.cancel_plan(c, number, actor=at.actor, now_s=now_s()))
    print(f"planned outage {number} taken back")


@app.command("notices", epilog="Example: outages notices --state waiting")
def notices_(
    config: ConfigOption = DEFAULT_CONFIG,
    state: Annotated[
        str | None, typer.Option(help="waiting, sent, refused, expired or displaced")
    ] = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """List notices and what became of them, newest first."""
    with looking(config) as connection:
        rows = notices.rows(connection, state, limit)
    columns = ("id", "channel", "notice_id", "state", "attempts", "why")
    show(rows, columns, as_json=as_json)


def moment(text: str) -> int:
    """UTC seconds of an ISO 8601 date and time that says its offset. Raises UsageError."""
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)", text):
            raise ValueError
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        raise UsageError(f"{text}: write a moment as 2026-12-01T08:00Z or with +01:00") from None
