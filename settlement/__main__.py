"""The command line: `run` and the small commands here, the others in files of settlement/cli."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from settlement import config as config_file
from settlement import elicznik as exports
from settlement import laws, tables
from settlement import scenario as scenarios
from settlement.cli import closing, estimating, importing, looking
from settlement.cli.common import DEFAULT_CONFIG, ConfigOption, print_json
from settlement.errors import ConfigError, RequestRefused, StartError, UsageError
from settlement.rules.errors import BadPeriod, BadPpe, BadTable, Refused
from settlement.rules.periods import parse_day
from settlement.store import StoreError

NAME = "settlement"  # from a clone it is `python -m settlement`
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="OpenLicznik settlement: readings of meters become invoices.",
    epilog="Exit codes: 0 done; 1 the database, a file or a table failed; 2 wrong use or"
    " configuration; 3 refused by the rules, the message says what to do next."
    " Example: check-config, then run, then close --month 2024-07.",
)
for commands in (closing, looking, importing, estimating):
    app.add_typer(commands.app)


@app.command(epilog="Example: run --config settlement.toml")
def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Serve gateways, operators and the household's page until Ctrl-C or SIGTERM."""
    loaded = config_file.load(config)
    from settlement import service  # the commands need not wait for the web server

    service.run(loaded)


@app.command("check-config", epilog="Example: check-config --config settlement.toml")
def check_config(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Read the configuration and the tables, and say so."""
    checked = config_file.load(config)
    laws.shipped()
    print(f"{config} is fine: http {checked.host}:{checked.port}, store {checked.database}")


@app.command(epilog="Example: elicznik export.csv --move-to 2024-10-18")
def elicznik(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="an export of eLicznik")],
    move_to: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="the day that the first day becomes")
    ] = "",
) -> None:
    """Print an eLicznik export as lines start_s,import_wh,export_wh."""
    first_day = parse_day(move_to) if move_to else None
    sys.stdout.write(exports.as_lines(exports.parse(exports.read(file), first_day)))


@app.command(epilog="Example: scenario tests/scenarios/given_missing_hours")
def scenario(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="with a folder `when` in it")],
) -> None:
    """Run one scenario folder and print its then-files."""
    print_json(scenarios.run(folder, tables.load()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; a user's mistake is one line, no traceback."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(args=words, prog_name=NAME)
    except (ConfigError, UsageError, BadPeriod, BadPpe, RequestRefused) as error:
        return _complain(str(error), EXIT_USAGE)
    except (StartError, BadTable, StoreError, exports.BadExport) as error:
        return _complain(str(error), EXIT_FAILED)
    except Refused as refusal:
        return _complain(str(refusal), EXIT_REFUSED)
    except OSError as error:
        return _complain(f"{error.filename or 'file'}: {error.strerror}", EXIT_FAILED)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return EXIT_OK


def _complain(message: str, code: int) -> int:
    print(f"settlement: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
