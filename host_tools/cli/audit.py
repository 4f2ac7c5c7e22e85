"""`audit`: who did what to which meter with these tools, and whether it was altered."""

from __future__ import annotations

from typing import Annotated

import typer

from host_tools.cli.common import App, JsonOption, StateOption, show, show_result, state_of
from host_tools.pairing import audit
from host_tools.pairing.errors import DamagedAudit

app = App(no_args_is_help=True, help="The technician's audit log: list it, verify it, its head.")


@app.command("list", epilog="Example: audit list --json")
def list_(state: StateOption = None, as_json: JsonOption = False) -> None:
    """List every act, oldest first."""
    rows = [act._asdict() for act, _ in audit.read(state_of(state))]
    show(rows, ["act_id", "at_s", "actor", "action", "subject", "detail"], as_json=as_json)


@app.command(epilog="Example: audit head. Keep what it prints where nobody here can write.")
def head(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Print the newest act's number and hash."""
    found = str(audit.head(state_of(state)))
    if as_json:
        show_result({"head": found}, as_json=True)
    else:
        print(found)


@app.command(epilog="Example: audit verify --kept 17:0011...ff")
def verify(
    kept: Annotated[str, typer.Option(help="a head that was kept elsewhere")] = "",
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find a line that was altered, removed, inserted; with a kept head also what was cut off."""
    folder = state_of(state)
    broken = audit.verify(folder, audit.parse_head(kept) if kept else None)
    if broken is not None:
        raise DamagedAudit(f"act {broken} is not as it was written; keep the file, ask who did it")
    show_result({"acts": audit.head(folder).act_id, "broken": "none"}, as_json=as_json)
