"""What the commands share: the database behind the configuration, the clock, JSON, options."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from settlement import config as config_file
from settlement.errors import ConfigError, UsageError
from settlement.rules.errors import BadPeriod
from settlement.rules.periods import Month
from settlement.store import Store, opened

DEFAULT_CONFIG = Path("settlement.toml")

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", metavar="FILE", help="settlement.toml", envvar="OPENLICZNIK_SETTLEMENT_CONFIG"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]
PpeArgument = Annotated[str, typer.Argument(metavar="PPE", help="18 digits, 590 in front")]


@contextmanager
def database(config_path: Path, *, make: bool = False) -> Iterator[Store]:
    """The open database; the service may run or not. Raises ConfigError, StoreError.

    Only with `make` a database is made where there is none: elsewhere the path would be wrong.
    """
    path = config_file.load(config_path).database
    if not make and not path.exists():
        raise ConfigError(f"{path} is not there: correct [store] path, or start the service once")
    with opened(path) as store:
        yield store


def now_s() -> int:
    """UTC seconds since 1970."""
    return int(time.time())


def parse_month(text: str) -> Month:
    """A month written as 2024-07. Raises UsageError."""
    try:
        return Month.parse(text)
    except BadPeriod:
        raise UsageError(f"--month {text[:20]!r} is not a month: write it as 2024-07") from None


def utc(at_s: int) -> str:
    """A UTC second as a person reads it."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def print_json(data: Any) -> None:
    """One JSON value, indented."""
    print(json.dumps(data, indent=2, ensure_ascii=False))
