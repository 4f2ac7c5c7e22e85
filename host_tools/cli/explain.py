"""`explain`: what a frame is, or exactly why it was refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from host_tools import explain as explaining
from host_tools.cli.common import App, JsonOption, read_text, say
from host_tools.pairing.stages import EXIT_FAILED

CAPTURE_BYTES_MAX = 16 * 1024 * 1024
_HEX = re.compile(r"([0-9A-Fa-f]{2}){16,}")  # what is this, and no file, is a frame

app = App()


@app.command(
    epilog="Examples: explain d08344a1...; explain frame.hex; mosquitto_sub -t 'm/#' -F '%t %x'"
    " | explain - --key meter.key --json. Exit code 1 when a frame is one that nobody takes."
)
def explain(
    capture: Annotated[
        str,
        typer.Argument(
            metavar="FRAME|FILE",
            help="a frame in hex; or a file of frames as hex or base64, or of captured lines with"
            " topic and payload; - for standard input",
        ),
    ] = "-",
    topic: Annotated[str, typer.Option(help="of frames that were caught without theirs")] = "",
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="the meter's key, mode 0600: opens the seal"),
    ] = None,
    key_epoch: Annotated[
        int | None,
        typer.Option("--key-epoch", metavar="N", help="of that key, else the file's or 0"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a frame is, or the byte and the reason for which it is refused."""
    opened = None if key is None else explaining.read_key(key, key_epoch)
    refused = False
    is_frame = _HEX.fullmatch(capture) and not Path(capture).exists()
    text = capture if is_frame else read_text(capture, CAPTURE_BYTES_MAX)
    for number, caught in enumerate(explaining.captured(text)):
        said = explaining.explain(caught if caught.topic else caught._replace(topic=topic), opened)
        refused = refused or "refused" in said
        if as_json:
            say(said)
        else:
            _print(said, "" if number == 0 else "\n")
    if refused:
        raise typer.Exit(EXIT_FAILED)


def _print(said: dict[str, Any], before: str) -> None:
    flat = {**said, **said.get("message", {})}
    flat.pop("message", None)
    width = max(map(len, flat))
    print(before + "\n".join(f"{name:<{width}}  {value}" for name, value in flat.items()))
