"""`ports`, `probe`: what is plugged in, and what state it is in."""

from __future__ import annotations

import typer

from host_tools.cli.common import App, JsonOption, PortOption, show, show_result
from host_tools.pairing.stages import EXIT_FAILED
from host_tools.pairing.work import READY

app = App()


@app.command(epilog="Example: ports --json")
def ports(as_json: JsonOption = False) -> None:
    """List the serial ports, USB ones first."""
    from host_tools.line.ports import list_ports

    found = [port._asdict() for port in list_ports()]
    show(found, ["path", "vid_pid", "description"], as_json=as_json)


@app.command(epilog="Example: probe --port auto. Exit code 0 when it can be paired, else 1.")
def probe(port: PortOption = "auto", as_json: JsonOption = False) -> None:
    """Name the state of what is on a port, with one next step; at most five seconds."""
    from host_tools.line import ports as all_ports
    from host_tools.line import probe as prober

    path = all_ports.choose(port)
    probed = prober.probe(path)
    show_result({"port": path, **probed._asdict()}, as_json=as_json)
    if probed.state not in READY:
        raise typer.Exit(EXIT_FAILED)
