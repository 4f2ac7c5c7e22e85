"""The command line: run, meters add, meters list, trace, init."""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import time
from pathlib import Path

from gateway import config as config_file
from gateway import queries, registry, service, store
from gateway.errors import GatewayError, UsageError
from wire.topics import METER_ID_BYTES

DEFAULT_CONFIG = "gateway.toml"


def main(argv: list[str] | None = None) -> int:
    """Exit code 0; 2 for a mistake in usage or configuration, 1 for what went wrong otherwise."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.command(arguments)
        return code
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return error.exit_code
    except sqlite3.Error as error:
        print(f"gateway: {store.explain(error)}", file=sys.stderr)
        return 1


def run(arguments: argparse.Namespace) -> int:
    """The gateway itself."""
    config = config_file.load(arguments.config)
    if arguments.check_config:
        registry.read_master_key(Path(config.store.master_key_file))
        if config.settlement is not None:
            config_file.read_token(Path(config.settlement.token_file))
        print(f"{arguments.config}: good")
        return 0
    service.set_up_log(config.log)
    asyncio.run(service.run(config))
    return 0


def meters_add(arguments: argparse.Namespace) -> int:
    """Register the meter on standard input; a running gateway finds it at its CONNECT."""
    config = config_file.load(arguments.config)
    master_key = registry.read_master_key(Path(config.store.master_key_file))
    new = registry.parse_new_meter(sys.stdin.buffer.read(registry.NEW_METER_BYTES_MAX + 1))
    keeper = registry.Registry(master_key)
    connection = store.connect(Path(config.store.path))

    def add(connection: sqlite3.Connection) -> None:
        keeper.check_master_key(connection)
        keeper.add(connection, new, int(time.time()))

    try:
        store.transact(connection, add)
    finally:
        connection.close()
    print(f"meter {new.meter_id} added")
    return 0


def meters_list(arguments: argparse.Namespace) -> int:
    """Every registered meter with its refusals."""
    connection = _look(arguments)
    try:
        meters = queries.list_meters(connection)
    finally:
        connection.close()
    if arguments.json:
        print(json.dumps(meters))
        return 0
    for meter in meters:
        refused = " ".join(f"{why}={count}" for why, count in _refused(meter).items())
        print(f"{meter['meter_id'] or 'unknown meters':16}  refused: {refused or 'none'}")
    return 0


def trace(arguments: argparse.Namespace) -> int:
    """Where one frame went."""
    meter_id = _meter_id(arguments.meter_id)
    if not 0 <= arguments.frame_counter < 1 << 64:
        raise UsageError("a frame counter is a number from 0 to 2^64 - 1")
    connection = _look(arguments)
    try:
        found = queries.trace(connection, meter_id, arguments.frame_counter)
    finally:
        connection.close()
    if found is None:
        raise GatewayError(
            f"frame {arguments.frame_counter} of meter {arguments.meter_id} is not in the journal;"
            " `meters list` shows what was refused"
        )
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:16} {value}")
    return 0


def init(arguments: argparse.Namespace) -> int:
    """Write a first gateway.toml and the master key it names."""
    path: Path = arguments.config
    if path.exists():
        raise UsageError(f"{path}: exists already; init writes only what is not there")
    registry.write_master_key(path.resolve().parent / "master.key")
    try:
        path.write_text(config_file.EXAMPLE)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another folder") from None
    print(f"wrote {path} and master.key; next: python -m gateway run --config {path}")
    return 0


def _look(arguments: argparse.Namespace) -> sqlite3.Connection:
    return store.connect_read_only(Path(config_file.load(arguments.config).store.path))


def _refused(meter: dict[str, object]) -> dict[str, int]:
    refused = meter["refused"]
    assert isinstance(refused, dict)
    return refused


def _meter_id(text: str) -> bytes:
    try:
        meter_id = bytes.fromhex(text)
    except ValueError:
        meter_id = b""
    if len(meter_id) != METER_ID_BYTES or len(text) != 2 * METER_ID_BYTES:
        raise UsageError("a meter id is 16 hex digits")
    return meter_id


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway", description="OpenLicznik gateway")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(group: argparse._SubParsersAction[argparse.ArgumentParser], name: str,
            command: object, text: str) -> argparse.ArgumentParser:  # fmt: skip
        made = group.add_parser(name, help=text, description=text)
        made.add_argument("--config", type=Path, default=Path(DEFAULT_CONFIG), metavar="FILE")
        made.set_defaults(command=command)
        return made

    started = add(commands, "run", run, "run the gateway")
    started.add_argument("--check-config", action="store_true", help="check and do not run")
    add(commands, "init", init, "write a first gateway.toml and a master key")
    meters = commands.add_parser("meters", help="register and list meters")
    actions = meters.add_subparsers(required=True, metavar="ACTION")
    add(actions, "add", meters_add, "register the meter given as one JSON object on standard input")
    listing = add(actions, "list", meters_list, "list meters and what was refused of them")
    listing.add_argument("--json", action="store_true")
    tracing = add(commands, "trace", trace, "show where a frame went")
    tracing.add_argument("meter_id", metavar="METER_ID")
    tracing.add_argument("frame_counter", metavar="FRAME_COUNTER", type=int)
    tracing.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
