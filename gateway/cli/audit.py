"""`audit`: who administered what, and whether somebody altered that afterwards."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway import audit
from gateway.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, looking, show
from gateway.errors import GatewayError

app = typer.Typer(no_args_is_help=True, help="The log of administrative acts.")

COLUMNS = ("id", "at_s", "actor", "action", "subject", "detail")


@app.command("list", epilog="Example: audit list --limit 50 --json")
def list_(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    limit: Annotated[
        int, typer.Option(min=1, max=audit.ACTS_MAX, help="how many of the newest")
    ] = 100,
) -> None:
    """List the newest acts, oldest of them first."""
    with looking(config) as connection:
        newest = audit.head(connection).act_id
        acts = audit.since(connection, max(0, newest - limit), limit)
    show([dict(zip(COLUMNS, act, strict=True)) for act in acts], COLUMNS, as_json=as_json)


@app.command(epilog="Example: audit verify --kept 17:64-hex-digits")
def verify(
    config: ConfigOption = DEFAULT_CONFIG,
    kept: Annotated[
        str, typer.Option(metavar="HEAD", help="what `audit head` printed, kept elsewhere")
    ] = "",
) -> None:
    """Check the chain: exit code 1 and the first row that is not as it was written.

    Rows cut off at the end are found only with --kept.
    """
    head = audit.parse_head(kept) if kept else None
    with looking(config) as connection:
        broken = audit.verify(connection, head)
        rows = audit.head(connection).act_id
    if broken is not None:
        raise GatewayError(
            f"audit row {broken} is missing or not as it was written; keep the database and"
            " compare it with a backup"
        )
    print(f"{rows} rows, unbroken" + ("" if head else "; compare a kept head to find a cut end"))


@app.command(epilog="Example: audit head")
def head(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print the newest row's number and hash: keep it where this gateway cannot write."""
    with looking(config) as connection:
        print(audit.head(connection))
