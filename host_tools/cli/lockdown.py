"""`lockdown`: a meter's chip, locked for good; a dry run unless it is told otherwise."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from host_tools.cli.common import App, JsonOption, PortOption, complain, say, show_result
from host_tools.cli.flash import (
    FirmwareOption,
    SettingsOption,
    SourceOption,
    VersionOption,
    built_image,
)
from host_tools.cli.pair import meter_of
from host_tools.levels import L2
from host_tools.pairing.errors import BadIdentity, BadInput
from host_tools.pairing.files import read_secret
from host_tools.pairing.identity import Identity, from_dict

app = App()


@app.command(
    epilog="Example: lockdown L1 esp32_devkit --meter 0011-2233-4455-6677-12 --keys keys --firmware"
    " ESP32_GENERIC.bin shows the steps; with --burn it takes them, after you typed the meter id."
)
def lockdown(
    level: Annotated[str, typer.Argument(metavar="LEVEL", help="L1 or L2: see docs/security.md")],
    board: Annotated[str, typer.Argument(metavar="BOARD", help="as `boards` lists it")],
    meter: Annotated[str, typer.Option("--meter", metavar="METER", help="its id or serial")],
    keys: Annotated[
        Path, typer.Option(metavar="DIR", help="its flash key goes there; yours alone")
    ],
    port: PortOption = "auto",
    firmware: FirmwareOption = None,
    version: VersionOption = "",
    source: SourceOption = "",
    settings: SettingsOption = None,
    signing_key: Annotated[
        Path | None, typer.Option("--signing-key", metavar="FILE", help="for L2: of all meters")
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option("--identity", metavar="FILE", help="for L2: as `meters add` takes it, 0600"),
    ] = None,
    burn: Annotated[bool, typer.Option("--burn", help="do it; nothing of it is undone")] = False,
    as_json: JsonOption = False,
) -> None:
    """Encrypt a meter's flash (L1), and shut it to everybody (L2)."""
    from host_tools.image import nvs
    from host_tools.levels import level_named
    from host_tools.locking.lockdown import lock_down

    meter_id = meter_of(meter)
    if not meter_id:
        raise BadInput("--meter names the meter that is to be locked: its id or serial")
    try:
        wanted = level_named(level)
    except ValueError as error:
        raise BadInput(str(error)) from None
    who = None if identity is None else _identity(identity, meter_id)
    image = built_image(
        board, firmware, version, source, settings, who,
        level=wanted, nvs_key=nvs.new_key() if wanted == L2 and who is not None else None,
    )  # fmt: skip

    def report(text: str) -> None:
        if as_json:
            say({"event": "step", "text": text})
        else:
            complain(text)

    done = lock_down(
        port, wanted, image, meter_id=bytes.fromhex(meter_id), keys=keys, signing_key=signing_key,
        confirm=_confirm, report=report, dry_run=not burn,
    )  # fmt: skip
    result: dict[str, object] = {
        "meter_id": meter_id, "before": done.before.name, "after": done.after.name,
    }  # fmt: skip
    result |= {"burned": done.done, "steps": len(done.steps)}
    show_result({**result, "next": _next(meter_id, wanted) if done.done else ""}, as_json=as_json)


def _next(meter_id: str, level: str) -> str:
    """How the gateway hears of it. At L2 the chip answers nobody any more."""
    if level == L2:
        return f"python -m gateway meters level {meter_id} {level}   (on the gateway's machine)"
    return "python -m host_tools doctor --setup pairing.toml --record-level"


def _confirm(question: str) -> str:
    """What the user types, asked on standard error; nothing at the end of standard input."""
    typer.echo(question, err=True, nl=False)
    return sys.stdin.readline().strip()


def _identity(path: Path, meter_id: str) -> Identity:
    """Raises BadIdentity, BadInput, ExposedSecret; none shows what is in the file."""
    try:
        who = from_dict(json.loads(read_secret(path).reveal()))
    except ValueError:
        raise BadInput(f"{path} is not one JSON object on one line; see `meters add`") from None
    if who.hex_id != meter_id:
        raise BadIdentity(f"{path} is the identity of meter {who.hex_id}, not of {meter_id}")
    return who
