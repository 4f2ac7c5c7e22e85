"""`parked`: profiles that settlement did not take: list them, look at one, send them again."""

from __future__ import annotations

import json
import sqlite3
from typing import Annotated, NamedTuple

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, desk, looking, now_s, show
from gateway.errors import UsageError
from gateway.forwarding import outbox, readings
from gateway.forwarding import parked as parking
from gateway.forwarding.parked import Parked

app = typer.Typer(
    no_args_is_help=True, help="Profiles that settlement did not take: list, show, retry."
)

IdArgument = Annotated[int, typer.Argument(metavar="JOURNAL_ID", help="as `parked list` shows it")]

CHUNK_ROWS = 100  # parked profiles in memory at a time

_COLUMNS = ("journal_id", "meter_id", "intervals", "code", "parked", "state")  # JSON has more


@app.command("list", epilog="Example: parked list --json")
def list_parked(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    after: Annotated[int, typer.Option("--after", help="only rows behind this one")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=parking.LIST_ROWS_MAX)] = 100,
) -> None:
    """Those that wait for somebody, the oldest first, with settlement's reason."""
    with looking(config) as connection:
        found = parking.rows(connection, after_id=after, limit=limit)
    show([_fields(each) for each in found], _COLUMNS, as_json=as_json)


@app.command("show", epilog="Example: parked show 4711")
def show_parked(journal_id: IdArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """One of them with every interval, as JSON."""
    with looking(config) as connection:
        found = parking.find(connection, journal_id)
    intervals = list(readings.readings(found.row, readings.message_of(found.row)))
    print(json.dumps(_fields(found) | {"readings": intervals}, indent=2))


@app.command(epilog="Example: parked retry 4711, or: parked retry --all")
def retry(
    journal_id: Annotated[int | None, typer.Argument(metavar="JOURNAL_ID")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    every: Annotated[bool, typer.Option("--all", help="every one that waits")] = False,
) -> None:
    """Send a profile to settlement again, by itself; a running gateway does it within seconds."""
    if (journal_id is None) != every:
        raise UsageError("name a JOURNAL_ID, or say --all")
    with desk(config) as at:
        sender = _Sender(at.config.gateway_id, at.actor)
        if journal_id is not None:
            at.act(lambda connection: sender.one(connection, journal_id))
            print(f"journal row {journal_id} will be sent again")
        else:
            print(f"{at.act(sender.every)} profiles will be sent again")


class _Sender(NamedTuple):
    """Has parked profiles sent again, in this gateway's name and by this person's order."""

    gateway_id: str
    actor: str

    def one(self, connection: sqlite3.Connection, journal_id: int) -> None:
        self._send(connection, parking.find(connection, journal_id))

    def every(self, connection: sqlite3.Connection) -> int:
        """All that wait; how many."""
        sent = after_id = 0
        while some := parking.rows(connection, after_id=after_id, limit=CHUNK_ROWS):
            after_id = some[-1].row.journal_id
            for each in some:
                if each.state == "parked":
                    self._send(connection, each)
                    sent += 1
        return sent

    def _send(self, connection: sqlite3.Connection, each: Parked) -> None:
        built = outbox.build(self.gateway_id, [each.row])
        key, body = built.idempotency_key, built.body
        parking.retry(connection, each, key, body, self.actor, now_s())


def _fields(found: Parked) -> dict[str, object]:
    profile = readings.message_of(found.row)
    return {
        "journal_id": found.row.journal_id,
        "meter_id": found.row.meter_id.hex(),
        "frame_counter": found.row.frame_counter,
        "first": profile.first,
        "intervals": len(profile.quality),
        "code": found.code,
        "detail": found.detail,
        "parked": readings.utc(found.parked_s),
        "state": found.state,
        "tries": found.tries,
    }
