"""`trace`: where one frame went, from its journal row to its delivery, and what it says."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gateway.admin import queries
from gateway.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    MeterArgument,
    looking,
    meter_id_of,
)
from gateway.errors import GatewayError, UsageError

app = typer.Typer()

CounterArgument = Annotated[int, typer.Argument(metavar="FRAME_COUNTER", help="0 to 2^64 - 1")]


@app.command(epilog="Example: trace 00112233aabbccdd 41 --json")
def trace(
    meter_id: MeterArgument,
    frame_counter: CounterArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show where a frame went and what it says. Reads the whole journal, which has no index."""
    wanted = meter_id_of(meter_id)
    if not 0 <= frame_counter < 1 << 64:
        raise UsageError("a frame counter is a number from 0 to 2^64 - 1")
    with looking(config) as connection:
        found = queries.trace(connection, wanted, frame_counter)
    if found is None:
        raise GatewayError(
            f"frame {frame_counter} of meter {meter_id} is not in the journal;"
            " `meters list` shows what was refused"
        )
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:16} {_text(value)}")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return str(value)
