"""Command line of the settlement service: run, check-config, elicznik, scenario."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from settlement import config, elicznik, scenario, service, tables
from settlement.errors import ConfigError, RequestRefused, StartError
from settlement.rules.errors import BadPeriod, BadTable
from settlement.rules.periods import parse_day

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 failed, 2 wrong use or config."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (ConfigError, BadPeriod, RequestRefused) as error:
        return _complain(str(error), EXIT_USAGE)
    except (StartError, BadTable, elicznik.BadExport) as error:
        return _complain(str(error), EXIT_FAILED)
    except OSError as error:
        return _complain(f"{error.filename or 'file'}: {error.strerror}", EXIT_FAILED)


def run(options: argparse.Namespace) -> int:
    """Serves until a signal."""
    service.run(config.load(options.config))
    return EXIT_OK


def check_config(options: argparse.Namespace) -> int:
    """Reads the configuration and the tables, and says so."""
    checked = config.load(options.config)
    tables.load()
    print(f"{options.config} is fine: http {checked.host}:{checked.port}, store {checked.database}")
    return EXIT_OK


def show_export(options: argparse.Namespace) -> int:
    """Prints an eLicznik export as hours of UTC."""
    move_to = None if options.move_to is None else parse_day(options.move_to)
    text = elicznik.read(options.file)
    sys.stdout.write(elicznik.as_lines(elicznik.parse(text, move_to)))
    return EXIT_OK


def run_scenario(options: argparse.Namespace) -> int:
    """Prints what a scenario folder comes to."""
    then = scenario.run(options.folder, tables.load())
    print(json.dumps(then, indent=2, ensure_ascii=False))
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m settlement", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, about in (
        ("run", run, "serve until Ctrl-C"),
        ("check-config", check_config, "check the configuration and stop"),
    ):
        sub = commands.add_parser(name, help=about)
        sub.add_argument("--config", type=Path, required=True, metavar="settlement.toml")
        sub.set_defaults(command=command)
    sub = commands.add_parser(
        "elicznik", help="print an eLicznik export as start_s,import_wh,export_wh"
    )
    sub.add_argument("file", type=Path)
    sub.add_argument("--move-to", metavar="YYYY-MM-DD", help="the day that the first day becomes")
    sub.set_defaults(command=show_export)
    sub = commands.add_parser("scenario", help="run one scenario folder and print its then-files")
    sub.add_argument("folder", type=Path)
    sub.set_defaults(command=run_scenario)
    return parser


def _complain(message: str, code: int) -> int:
    print(f"settlement: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
