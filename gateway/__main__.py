"""The command line: `run` here, every other noun in its own file of gateway/cli."""

from __future__ import annotations

import asyncio
import importlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway import config as config_file
from gateway.errors import GatewayError

NAME = "openlicznik-gateway"  # for shell completion; from a clone it is `python -m gateway`
# Each is a file of gateway/cli, loaded when it is asked for; these two are commands by themselves.
COMMANDS = ("init", "trace")
NOUNS = (
    "meters", "keys", "command", "schedule", "update", "outages", "quality", "export", "parked",
    "audit", "certs", "shard",
)  # fmt: skip

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="OpenLicznik gateway: takes sealed frames from meters, carries them to settlement.",
    epilog="Example: init, then run --check-config, then meters add < meter.json, then run."
    " Every command takes --config FILE (gateway.toml here when it is not given).",
)


@app.callback()
def root() -> None:
    """OpenLicznik gateway: takes sealed frames from meters, carries them to settlement."""


@app.command(epilog="Example: run --check-config --config /etc/openlicznik/gateway.toml")
def run(
    config: Annotated[
        Path,
        typer.Option(
            "--config", metavar="FILE", help="gateway.toml", envvar="OPENLICZNIK_GATEWAY_CONFIG"
        ),
    ] = Path("gateway.toml"),
    check_config: Annotated[
        bool, typer.Option("--check-config", help="name every mistake, and do not run")
    ] = False,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; SIGHUP reads certificates again."""
    if check_config:
        _check(config)
        return
    loaded = config_file.load(config)
    from gateway import service

    asyncio.run(service.run(loaded, os.environ))


def _check(path: Path) -> None:
    from gateway.admin import checking

    problems = checking.problems(path)
    if problems:
        for problem in problems:
            _complain(problem)
        raise typer.Exit(2)
    typer.echo(f"{path}: good")


def _complain(text: object) -> None:
    typer.echo(f"gateway: {text}", err=True)


def _mount(word: str) -> None:
    """Load the file of the command that is asked for; all of them for help and completion."""
    known = (*COMMANDS, *NOUNS)
    for name in [word] if word in (*known, "run") else known:
        if name in known:
            module = importlib.import_module(f"gateway.cli.{name}")
            app.add_typer(module.app, name=name if name in NOUNS else None)


def main(argv: list[str] | None = None) -> int:
    """Exit code 0; 2 for a mistake in usage or configuration, 1 for what went wrong otherwise."""
    words = sys.argv[1:] if argv is None else argv
    _mount(next((word for word in words if not word.startswith("-")), ""))
    try:
        app(args=words, prog_name=NAME)
    except GatewayError as error:
        _complain(error)
        return error.exit_code
    except sqlite3.Error as error:
        from gateway import store

        _complain(store.explain(error))
        return 1
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
