"""`image`, `flash`: what a board's flash is to hold, as a file or on the board."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from host_tools.cli.common import (
    App,
    JsonOption,
    PortOption,
    StateOption,
    say,
    show_result,
    state_of,
)
from host_tools.flash import Report
from host_tools.image.build import Image
from host_tools.levels import L0
from host_tools.pairing.errors import BadInput
from host_tools.pairing.files import read_input, write_durably
from host_tools.pairing.identity import Identity

FIRMWARE_BYTES_MAX = 16 * 1024 * 1024

app = App()

BoardArgument = Annotated[str, typer.Argument(metavar="BOARD", help="as `boards` lists it")]
FirmwareOption = Annotated[
    Path | None, typer.Option("--firmware", metavar="FILE", help="MicroPython's .bin for its chip")
]
VersionOption = Annotated[
    str, typer.Option("--version", metavar="V", help="of a listed firmware, without --firmware")
]
SourceOption = Annotated[
    str, typer.Option("--source", metavar="DIR", help="folder or address that has listed firmware")
]
SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="a pairing.toml, told already by the image"),
]


@app.command(
    epilog="Examples: image esp32_devkit meter.bin --firmware ESP32_GENERIC.bin;"
    " image esp32_devkit site --web-tools --firmware ESP32_GENERIC.bin"
)
def image(
    board: BoardArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="a file for offset 0, or a folder")],
    firmware: FirmwareOption = None,
    version: VersionOption = "",
    source: SourceOption = "",
    settings: SettingsOption = None,
    web_tools: Annotated[
        bool, typer.Option("--web-tools", help="a folder for ESP Web Tools, without secrets")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Build a board's image: firmware, partitions, application; the meter is paired later."""
    from host_tools.image import build
    from host_tools.image import web_tools as web

    built = built_image(board, firmware, version, source, settings)
    if web_tools:
        told = web.write([built], "OpenLicznik", built.digest[:12], out)
    else:
        write_durably(out, build.merged(built))
        told = out
    show_result(
        {"written": str(told), "board": board, "chip": built.chip, "sha256": built.digest},
        as_json=as_json,
    )


@app.command(
    epilog="Example: flash esp32_devkit --port auto --firmware ESP32_GENERIC.bin. A meter's"
    " registers and identity stay, and are proven to. Run it again after a broken cable."
)
def flash(
    board: BoardArgument,
    port: PortOption = "auto",
    firmware: FirmwareOption = None,
    version: VersionOption = "",
    source: SourceOption = "",
    settings: SettingsOption = None,
    erase: Annotated[
        bool, typer.Option("--erase", help="keep nothing: registers and identity are lost")
    ] = False,
    flash_key: Annotated[
        Path | None,
        typer.Option(
            "--flash-key", metavar="FILE", help="of a meter at L1: from lockdown's --keys"
        ),
    ] = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a board's image over USB; only what differs, files last."""
    from host_tools.flash import flash as write
    from host_tools.flashing.kept import KEEP

    if flash_key is not None and settings is None:
        raise BadInput("--flash-key needs --settings: those of a locked meter are not read back")
    built = built_image(board, firmware, version, source, settings)
    if flash_key is not None:
        from host_tools.locking.ciphered import ciphered

        built = ciphered(built, flash_key)
    with _showing(as_json=as_json) as report:
        done = write(
            port, built, keep=() if erase else KEEP, progress=report, state=state_of(state)
        )
    found: dict[str, Any] = {**done._asdict(), "mac": done.mac.hex(":")}
    show_result({"board": board, **found}, as_json=as_json)


def built_image(
    board: str, firmware: Path | None, version: str, source: str, settings: Path | None,
    identity: Identity | None = None, *, level: str = L0, nvs_key: bytes | None = None,
) -> Image:  # fmt: skip
    """The image of a board. Raises ImageError, BadInput."""
    from host_tools.board_profiles import UnknownBoard, profile
    from host_tools.bundle import BundleError, compile_bundle
    from host_tools.image import firmware_files
    from host_tools.image.build import build

    try:
        found = profile(board)
        if firmware is not None:
            content = read_input(firmware, FIRMWARE_BYTES_MAX)
        else:
            row = firmware_files.choose(firmware_files.listed(), found.chip, version or None)
            content = firmware_files.obtain(row, source or None)
        told = _settings(settings)
        application = compile_bundle(board)  # seconds: after all that may be missing
    except (UnknownBoard, BundleError) as error:
        raise BadInput(str(error)) from None
    return build(found, content, application, told, identity, level=level, nvs_key=nvs_key)


def _settings(path: Path | None) -> Any:
    from host_tools.image.build import Settings
    from host_tools.pairing.setup import load

    if path is None:
        return Settings({})
    setup = load(path)
    told = setup.told()
    password = setup.wifi_password()
    if password is not None:
        told["wifi_password"] = password.reveal().decode("utf-8", "replace")
    return Settings(told, setup.ca())


@contextmanager
def _showing(*, as_json: bool) -> Iterator[Report]:
    """Parts as they are written: a JSON line when one is done, or bars on standard error."""
    if as_json:
        told: set[str] = set()

        def report(part: str, done: int, whole: int) -> None:
            if done >= whole and part not in told:
                told.add(part)
                say({"event": "part", "part": part, "bytes": whole})

        yield report
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

    columns = (TextColumn("{task.description:<12}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def draw(part: str, done: int, whole: int) -> None:
            if part not in tasks:
                tasks[part] = progress.add_task(part, total=whole)
            progress.update(tasks[part], completed=done)

        yield draw
