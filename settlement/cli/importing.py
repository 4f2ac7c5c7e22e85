"""`prices` and `tariff`: read market prices and price lists into the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from settlement import imports, laws
from settlement.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    database,
    now_s,
    print_json,
)
from settlement.imports import Imported

FileArgument = Annotated[Path, typer.Argument(metavar="FILE")]
CheckOption = Annotated[
    bool, typer.Option("--check", help="only say what is wrong with it, store nothing")
]

app = typer.Typer()


@app.command(
    epilog="Examples: prices rcem.toml; prices rce-2025-06.json --check."
    " Exit code 1 when the file is refused as a whole."
)
def prices(
    file: FileArgument,
    check: CheckOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Read RCE (an answer of PSE's API as .json, or .csv) or RCEm (.toml); twice is once."""
    law = laws.shipped()
    if check:
        _say(imports.check_prices(file, law), checked=True, as_json=as_json)
        return
    with database(config, make=True) as store:
        _say(imports.keep_prices(store, law, file, now_s()), checked=False, as_json=as_json)


@app.command(
    epilog="Examples: tariff seller-2026.csv --check; tariff seller-2026.csv."
    " Afterwards `POST /v1/points/PPE/corrections` corrects what a changed price touches."
)
def tariff(
    file: FileArgument,
    check: CheckOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Read a seller's price list or a distributor's tariff (.toml or .csv); twice is once.

    A list of the same name takes the place of the older one, which is kept.
    """
    law = laws.shipped()
    if check:
        _say(imports.check_list(file, law), checked=True, as_json=as_json)
        return
    with database(config, make=True) as store:
        _say(imports.keep_list(store, law, file, now_s()), checked=False, as_json=as_json)


def _say(imported: Imported, *, checked: bool, as_json: bool) -> None:
    if as_json:
        data = {"kind": imported.kind, "name": imported.name, "entries": imported.entries}
        print_json(data | ({} if checked else {"new": imported.new}))
        return
    done = "fine, nothing stored" if checked else f"{imported.new} new"
    print(f"{imported.kind} {imported.name}: {imported.entries} entries, {done}")
