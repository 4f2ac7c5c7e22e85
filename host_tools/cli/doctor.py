"""`doctor`: what is wrong with what is on a port, one next step for each finding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from host_tools.cli.common import App, JsonOption, PortOption, gateway_of, say, show_result
from host_tools.pairing.errors import BadInput
from host_tools.pairing.setup import load

app = App()


@app.command(
    epilog="Examples: doctor --port auto; doctor --pulses 10 --setup pairing.toml --json; doctor"
    " --setup pairing.toml --record-level. The first verdict comes within five seconds. Exit code 1"
    " when something is bad."
)
def doctor(
    port: PortOption = "auto",
    pulses: Annotated[
        int, typer.Option(metavar="N", help="count so many pulses that you are going to make")
    ] = 0,
    within: Annotated[
        float | None, typer.Option("--within", metavar="S", help="how long the pulses may take")
    ] = None,
    current: Annotated[
        bool, typer.Option("--current", help="test current transformers, under a resistive load")
    ] = False,
    level: Annotated[str, typer.Option(help="L0, L1 or L2: what it should be at least")] = "",
    setup: Annotated[
        Path | None,
        typer.Option("--setup", metavar="FILE", help="a pairing.toml: ask its gateway, too"),
    ] = None,
    record_level: Annotated[
        bool, typer.Option("--record-level", help="tell that gateway the level by the eFuses")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Name the state, then check the meter: clock, line, journal, counters, keys, pulses."""
    from host_tools import doctor as doctoring
    from host_tools.checks.case import PULSES_S, Asked

    if record_level and setup is None:
        raise BadInput("--record-level needs --setup FILE: the gateway that is to record it")
    pulses_s = PULSES_S if within is None else within
    asked = Asked(pulses, pulses_s, current, level.upper(), record_level)
    tools = doctoring.Tools(gateway=None if setup is None else gateway_of(load(setup), setup))

    def tell(event: dict[str, Any]) -> None:
        if as_json:
            say(event)
        else:
            print(doctoring.said(event), flush=True)

    found = doctoring.doctor(port, asked, tools, tell)
    if as_json:
        say({"event": "result", **found.as_data()})
    else:
        show_result({"verdict": found.verdict, "next": found.todo}, as_json=False)
    if found.exit_code:
        raise typer.Exit(found.exit_code)
