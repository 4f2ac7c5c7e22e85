"""`boards`, `pins`: which boards there are, and which pin may serve what."""

from __future__ import annotations

from typing import Annotated

import typer

from host_tools.cli.common import App, JsonOption, say, show
from host_tools.pairing.errors import BadInput
from host_tools.pairing.stages import EXIT_FAILED

app = App()


@app.command(epilog="Example: boards --json")
def boards(as_json: JsonOption = False) -> None:
    """List the boards that can be a meter."""
    from host_tools.board_profiles import profiles

    rows = [
        {
            "board": each.name, "product": each.product, "chip": each.chip,
            "flash_mib": each.flash_bytes >> 20, "counts_by": each.counts_by,
            "ethernet": each.ethernet, "settlement": each.settlement,
        }
        for each in profiles().values()
    ]  # fmt: skip
    show(rows, list(rows[0]), as_json=as_json)


@app.command(epilog="Examples: pins esp32_devkit; pins esp32_devkit import=34")
def pins(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="as `boards` lists it")],
    elsewhere: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FUNCTION=GPIO]...", help="try other pins; - for none"),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="as docs/boards.md has it")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a board's pins, and refuse a wrong one with its reason: exit code 1."""
    from host_tools import pin_rules
    from host_tools.board_profiles import UnknownBoard, profile

    try:
        shown = pin_rules.with_pins(profile(board), elsewhere or [])
    except (UnknownBoard, ValueError) as error:
        raise BadInput(str(error)) from None
    refusals = [str(refusal) for refusal in pin_rules.check(shown)]
    if as_json:
        say({"board": shown.name, "pins": dict(shown.pins), "refused": refusals})
    else:
        print(pin_rules.markdown(shown) if markdown else pin_rules.table(shown))
    if refusals:
        raise typer.Exit(EXIT_FAILED)
