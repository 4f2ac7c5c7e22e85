"""`command`: tell meters what to do, and see what became of it."""

from __future__ import annotations

import re
import sqlite3
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple

import typer

from gateway import audit
from gateway.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    Desk,
    JsonOption,
    desk,
    looking,
    meter_id_of,
    now_s,
    show,
)
from gateway.downlink import bundles, commands, rekeying
from gateway.downlink.command_args import CODES, HOME_KEY_BYTES_MAX
from gateway.errors import UsageError
from wire import messages

WAIT_LOOK_S = 0.3
ALL = "all"
THEN = "+"  # between the commands of a bundle
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COLUMNS = ["id", "meter_id", "command", "args", "state", "attempts", "detail", "bundle_id"]

app = typer.Typer(no_args_is_help=True, help="Tell meters what to do, and see what became of it.")

Row = Annotated[int, typer.Argument(metavar="ROW", help="the first column of `command list`")]
Steps = list[tuple[int, tuple[Any, ...]]]


class Times(NamedTuple):
    """From when on a command may be sent, and until when; UTC seconds."""

    not_before_s: int
    expires_s: int


class Asked(NamedTuple):
    """What was queued: one command, or a bundle."""

    row_id: int | None
    bundle_id: int | None


@app.command(
    epilog="Examples: command send 0011223344556677 read-now --wait;"
    " command send all set-capture-period 900 + read-now --bundle 'to 15 minutes';"
    " command send 0011223344556677 home-key < key.hex"
)
def send(
    meters: Annotated[str, typer.Argument(metavar="METERS", help="ids with commas, or all")],
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND...",
            help="read-now | read-profile FIRST COUNT | set-tariff HEX | set-capture-period S"
            " | set-clock | restart | rekey | home-key (the key in hex on standard input);"
            " several with + between them",
        ),
    ],
    at: Annotated[str, typer.Option(help="not before: 2026-12-01T03:00, in UTC")] = "",
    expires: Annotated[str, typer.Option(help="after its begin: 90m, 6h, 7d")] = "",
    bundle: Annotated[str, typer.Option(help="a title; several commands are a bundle")] = "",
    go_on: Annotated[bool, typer.Option("--go-on", help="after a failure, too")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="show progress until the results")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Queue commands; the gateway sends each when its meter is there."""
    on_failure: Literal["stop", "go_on"] = "go_on" if go_on else "stop"
    with desk(config) as at_desk:
        began_s = now_s()
        not_before_s = _instant(at) if at else began_s
        lasts_s = _duration(expires) if expires else at_desk.config.downlink.expiry_s
        times = Times(not_before_s, max(began_s, not_before_s) + lasts_s)
        chosen = _meters(at_desk.connection, meters)
        steps = _steps(at_desk, chosen, words)
        if len(chosen) * len(steps) == 1 and not bundle:
            asked = Asked(_one(at_desk, chosen[0], *steps[0], times), None)
        else:
            number = at_desk.act(
                lambda connection: bundles.queue(
                    connection, chosen, steps, title=bundle, on_failure=on_failure,
                    actor=at_desk.actor, now_s=began_s, not_before_s=times.not_before_s,
                    expires_s=times.expires_s,
                )
            )  # fmt: skip
            asked = Asked(None, number)
        _report(at_desk.connection, asked, wait=wait, as_json=as_json)


@app.command("list", epilog="Example: command list --state sent --json")
def list_(
    meter: Annotated[str, typer.Option(help="only of this meter")] = "",
    state: Annotated[str, typer.Option(help=" | ".join(commands.STATES))] = "",
    bundle: Annotated[int, typer.Option(help="only of this bundle")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=commands.ROWS_MAX)] = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List commands, newest first."""
    if state and state not in commands.STATES:
        raise UsageError(f"a state is one of {', '.join(commands.STATES)}")
    with looking(config) as connection:
        found = commands.rows(
            connection, meter_id_of(meter) if meter else None, state or None, limit,
            bundle_id=bundle or None,
        )  # fmt: skip
        show(found, _COLUMNS, as_json=as_json)


@app.command("show", epilog="Example: command show 17")
def show_(row: Row, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show everything about one command."""
    with looking(config) as connection:
        found = commands.rows(connection, row_id=row)
        if not found:
            raise UsageError(f"no command {row}; see `command list`")
        if as_json:
            show(found, [], as_json=True)
        else:
            pairs = [{"field": name, "value": value} for name, value in found[0].items()]
            show(pairs, ["field", "value"], as_json=False)


@app.command(epilog="Example: command cancel 17")
def cancel(row: Row, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """End a command that has no result yet; one that was sent may have been carried out."""
    with desk(config) as at_desk:
        at_desk.act(lambda connection: commands.cancel(connection, row, at_desk.actor, now_s()))
    print(f"command {row} cancelled")


@app.command("bundles", epilog="Example: command bundles --json")
def bundles_(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List bundles and how far they are."""
    columns = ["bundle_id", "title", "on_failure", "commands", "open", "states", "actor"]
    with looking(config) as connection:
        show(bundles.progress(connection), columns, as_json=as_json)


@app.command(epilog="Example: command retry 3")
def retry(
    bundle: Annotated[int, typer.Argument(metavar="BUNDLE")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Queue again what failed of a bundle, in order."""
    with desk(config) as at_desk:
        count = at_desk.act(
            lambda connection: bundles.retry(connection, bundle, at_desk.actor, now_s())
        )
    print(f"{count} commands of bundle {bundle} queued again")


# ------------------------------------------------------------------ what was typed


def _one(at_desk: Desk, meter_id: bytes, code: int, args: tuple[Any, ...], times: Times) -> int:
    def work(connection: sqlite3.Connection) -> int:
        if code == messages.COMMAND_REKEY:
            row_id = rekeying.queue(
                connection, at_desk.keeper, meter_id, at_desk.actor, now_s(),
                not_before_s=times.not_before_s, expires_s=times.expires_s,
            )  # fmt: skip
            detail: dict[str, object] = {"command": row_id}
            audit.record(connection, at_desk.actor, "key.rotate", meter_id.hex(), detail, now_s())
            return row_id
        return commands.queue(
            connection, meter_id, code, args, actor=at_desk.actor, now_s=now_s(),
            not_before_s=times.not_before_s, expires_s=times.expires_s,
        )  # fmt: skip

    return at_desk.act(work)


def _meters(connection: sqlite3.Connection, text: str) -> list[bytes]:
    if text == ALL:
        found = connection.execute("SELECT meter_id FROM meter WHERE state = 'active'")
        return [row[0] for row in found]
    return [meter_id_of(one) for one in text.split(",")]


def _steps(at_desk: Desk, meters: Sequence[bytes], words: Sequence[str]) -> Steps:
    """The commands that were typed, with their arguments. Raises UsageError."""
    steps: Steps = []
    parts: list[list[str]] = [[]]
    for word in words:
        if word == THEN:
            parts.append([])
        else:
            parts[-1].append(word)
    for part in parts:
        code = CODES.get(part[0].replace("-", "_")) if part else None
        if code is None:
            names = ", ".join(sorted(name.replace("_", "-") for name in CODES))
            raise UsageError(f"no such command; the commands are {names}")
        if code == messages.COMMAND_HOME_KEY:
            if len(meters) != 1:
                raise UsageError("a home key is for one meter")
            hidden = commands.hide(at_desk.keeper, meters[0], code, _secret())
            steps.append((code, (hidden,)))
        elif code == messages.COMMAND_SET_TARIFF:
            steps.append((code, tuple(_hex(word) for word in part[1:])))
        else:
            steps.append((code, tuple(_number(word) for word in part[1:])))
    return steps


def _number(word: str) -> int:
    if not word.isascii() or not word.isdecimal():
        raise UsageError(f"{word[:20]!r} is not a whole number")
    return int(word)


def _hex(word: str) -> bytes:
    try:
        return bytes.fromhex(word)
    except ValueError:
        raise UsageError("a zone table is hex, as host_tools.tariff_table prints it") from None


def _secret() -> bytes:
    """A key on standard input: arguments are visible to other users."""
    text = sys.stdin.buffer.read(4 * HOME_KEY_BYTES_MAX)
    try:
        return bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        raise UsageError("the key on standard input is not hex") from None


def _instant(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("--at is a time such as 2026-12-01T03:00, in UTC") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def _duration(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise UsageError("--expires is a number with s, m, h or d behind it, such as 6h")
    return int(match[1]) * _UNITS[match[2]]


# ------------------------------------------------------------------ what came of it


def _report(connection: sqlite3.Connection, asked: Asked, *, wait: bool, as_json: bool) -> None:
    """What was queued; with `wait`, until it ended: exit code 1 unless all of it was done."""
    states: dict[str, int] = {}
    if wait:
        try:
            states = _follow(connection, asked)
        except KeyboardInterrupt:
            typer.echo("it stays queued; `command list` shows it", err=True)
            raise typer.Exit(130) from None
    rows = commands.rows(
        connection, limit=commands.ROWS_MAX, row_id=asked.row_id, bundle_id=asked.bundle_id
    )
    show(rows, _COLUMNS, as_json=as_json)
    if states.keys() - {commands.DONE}:
        raise typer.Exit(1)


def _follow(connection: sqlite3.Connection, asked: Asked) -> dict[str, int]:
    """Say how far it is whenever that changes; how many commands ended in which state."""
    said = ""
    while True:
        states = _states(connection, asked)
        line = " ".join(f"{state}={count}" for state, count in sorted(states.items()))
        if line != said:
            typer.echo(line, err=True)
            said = line
        if not states.keys() & {commands.QUEUED, commands.SENT}:
            return states
        time.sleep(WAIT_LOOK_S)


def _states(connection: sqlite3.Connection, asked: Asked) -> dict[str, int]:
    if asked.bundle_id is None:
        return {row["state"]: 1 for row in commands.rows(connection, row_id=asked.row_id)}
    states: dict[str, int] = bundles.progress(connection, asked.bundle_id)[0]["states"]
    return states
