"""What the commands share: their options, how they tell what they do, and ^C."""

from __future__ import annotations

import functools
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from host_tools.pairing.errors import BadInput
from host_tools.pairing.gateway_client import GatewayClient
from host_tools.pairing.progress import TECHNICIAN_CHARS_MAX
from host_tools.pairing.setup import Setup, load
from host_tools.pairing.stages import EXIT_INTERRUPTED, Event, StageFailed, Tell

DEFAULT_SETUP, DEFAULT_LABELS = Path("pairing.toml"), Path("labels")

PortOption = Annotated[
    str, typer.Option("--port", metavar="PORT", help="/dev/ttyUSB0; auto: the only one there",
                      envvar="OPENLICZNIK_PORT"),
]  # fmt: skip
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object a line, for programs")]
SetupOption = Annotated[
    Path, typer.Option("--setup", metavar="FILE", help="pairing.toml: gateway, Wi-Fi, pulses",
                       envvar="OPENLICZNIK_PAIRING"),
]  # fmt: skip
StateOption = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="progress and audit log; yours alone",
                 envvar="OPENLICZNIK_STATE"),
]  # fmt: skip
TechnicianOption = Annotated[
    str, typer.Option("--technician", metavar="NAME", help="who works here; else your login",
                      envvar="OPENLICZNIK_TECHNICIAN"),
]  # fmt: skip
TakeOverOption = Annotated[
    bool, typer.Option("--take-over", help="go on with what another technician began")
]
WaitOption = Annotated[
    float, typer.Option("--wait", metavar="S", min=1, max=3600, help="for the first reading")
]

Command = TypeVar("Command", bound=Callable[..., Any])


class App(typer.Typer):
    """Commands that end with 130 on ^C, and with one line instead of a traceback."""

    def command(self, *args: Any, **kwargs: Any) -> Callable[[Command], Command]:
        """As typer.Typer.command."""
        register = super().command(*args, **kwargs)

        def wrap(function: Command) -> Command:
            @functools.wraps(function)
            def guarded(*given: Any, **named: Any) -> Any:
                try:
                    return function(*given, **named)
                except KeyboardInterrupt:
                    complain("stopped; run it again to go on")
                    raise typer.Exit(EXIT_INTERRUPTED) from None

            register(guarded)
            return function

        return wrap


def complain(text: str) -> None:
    """One line on standard error."""
    typer.echo(f"host_tools: {text}", err=True)


def say(event: Event) -> None:
    """One JSON object on standard output, at once."""
    print(json.dumps(event, ensure_ascii=False), flush=True)


def technician_of(given: str) -> str:
    """Who works here. Raises BadInput."""
    try:
        name = given.strip() or getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        name = f"uid {os.getuid()}"
    if not name.isprintable() or len(name) > TECHNICIAN_CHARS_MAX:
        raise BadInput(f"--technician is a name of at most {TECHNICIAN_CHARS_MAX} characters")
    return name


def state_of(given: Path | None) -> Path:
    """The folder of progress and audit log: XDG's place for state, unless another was named."""
    if given is not None:
        return given
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "openlicznik"


def gateway_of(setup: Setup, path: Path) -> GatewayClient:
    """The admin interface that a pairing.toml names. Raises BadInput, ExposedSecret."""
    if setup.admin is None:
        raise BadInput(f"{path} has no [admin]: add url and token_file, or pair with --offline")
    return GatewayClient.of(setup.admin)


def setup_of(path: Path) -> tuple[Setup, GatewayClient]:
    """A pairing.toml and its gateway's admin interface."""
    setup = load(path)
    return setup, gateway_of(setup, path)


def show(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Rows as a table of these columns, or each whole as a JSON line."""
    if as_json:
        for row in rows:
            say(row)
        return
    cells = [[name.upper() for name in columns]]
    cells += [[_cell(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    for line in cells:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def show_result(result: dict[str, Any], *, as_json: bool) -> None:
    """What came of it: a last JSON line, or one line for each thing."""
    if as_json:
        say({"event": "result", **result})
        return
    width = max(map(len, result))
    for name, value in result.items():
        if value not in (None, "", {}, []):
            print(f"{name:<{width}}  {_cell(value)}")


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return "" if value is None else str(value)


@contextmanager
def telling(*, as_json: bool) -> Iterator[Tell]:
    """Stages as they go by: JSON lines on standard output, or lines on standard error.

    A stage that fails has been told in full; the command then ends with its exit code.
    """
    if as_json:
        with _ending(lambda failed: None):
            yield say
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    with _ending(lambda failed: complain(str(failed))), console.status("") as status:

        def tell(event: Event) -> None:
            state, stage = event["state"], event["stage"]
            if state == "begun":
                status.update(f"{stage} ...")
            elif state == "done":
                console.print(f"[green]done[/]    {stage}  {event['took_s']:.1f} s")
            elif state == "done_before":
                console.print(f"[dim]before[/]  {stage}")
            else:
                console.print(f"[red]{state}[/]  {stage}")

        yield tell


@contextmanager
def _ending(complain_of: Callable[[StageFailed], None]) -> Iterator[None]:
    """A stage's exit code; what has no stage goes on to the caller."""
    try:
        yield
    except StageFailed as failed:
        complain_of(failed)
        raise typer.Exit(failed.exit_code) from None


def read_text(name: str, bytes_max: int) -> str:
    """A file's text, or standard input's for `-`. Raises BadInput."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(bytes_max + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(bytes_max + 1)
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror}; check the name") from None
    if len(data) > bytes_max:
        raise BadInput(f"over {bytes_max} bytes; split it")
    return data.decode("utf-8", "replace")
