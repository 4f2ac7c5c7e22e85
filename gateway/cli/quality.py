"""`quality`: how well meters communicate: completeness, timeliness, correctness."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    looking,
    meter_id_of,
    now_s,
    show,
)
from gateway.errors import UsageError
from gateway.outages import indicators

# Options may stand behind the meter, too: `quality 0123456789abcdef --json`.
app = typer.Typer(
    help="How well meters communicate.", context_settings={"allow_interspersed_args": True}
)

COLUMNS = ("meter_id", "period", "required", "received", "complete", "in_time", "correct")
INDICATORS = {
    "complete": "completeness_permille",
    "in_time": "timeliness_permille",
    "correct": "correctness_permille",
}


@app.callback(
    invoke_without_command=True, epilog="Example: quality 0123456789abcdef, or: quality --all"
)
def quality(
    meter: Annotated[str | None, typer.Argument(metavar="[METER_ID]")] = None,
    every: Annotated[bool, typer.Option("--all", help="every meter by itself")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show completeness, timeliness and correctness over whole UTC days up to yesterday.

    Of one meter, of every meter (--all), or of all together.
    """
    with looking(config) as connection:
        if meter is not None:
            rows = indicators.rows(connection, now_s(), meter_id_of(meter))
            if not rows:
                raise UsageError(f"no interval of meter {meter} came yet; `meters list` shows all")
        elif every:
            rows = indicators.rows(connection, now_s())
        else:
            rows = indicators.overall(connection, now_s())
    if not as_json:
        rows = [
            row | {name: _permille(row[key]) for name, key in INDICATORS.items()} for row in rows
        ]
    show(rows, COLUMNS, as_json=as_json)


def _permille(value: object) -> str:
    return "-" if value is None else f"{value} ‰"
