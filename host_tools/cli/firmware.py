"""`firmware`: which published MicroPython is known here, and taking one as the right one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from host_tools.cli.common import App, JsonOption, show, show_result

app = App(no_args_is_help=True, help="Published MicroPython for meters: list it, pin it.")


@app.command("list", epilog="Example: firmware list --json")
def list_(as_json: JsonOption = False) -> None:
    """List what `image` and `flash` can take by --version, and its SHA-256 where it is known."""
    from host_tools.image import firmware_files

    known = firmware_files.listed()
    rows = [{**row._asdict(), "default": row.version == known.default} for row in known.rows]
    show(rows, ["version", "chip", "file", "sha256"], as_json=as_json)


@app.command(
    epilog="Example: firmware pin ESP32_GENERIC-20250911-v1.26.1.bin --version 1.26.1 --chip esp32."
    " Compare its SHA-256 with what its publisher says first."
)
def pin(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the .bin, as it was published")],
    version: Annotated[str, typer.Option("--version", metavar="V", help="MicroPython's")],
    chip: Annotated[str, typer.Option("--chip", metavar="CHIP", help="esp32, esp32s3, ...")],
    as_json: JsonOption = False,
) -> None:
    """Take a file as the right one from now on, and keep it: then --firmware is not needed."""
    from host_tools.image import firmware_files

    show_result(firmware_files.pin(file, version, chip)._asdict(), as_json=as_json)
