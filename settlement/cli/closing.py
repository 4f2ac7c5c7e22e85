"""`close` and `correct`: bill a month at every point, or correct what has changed since."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from typing import Annotated

import typer

from settlement import laws
from settlement.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    database,
    now_s,
    parse_month,
)
from settlement.closing import (
    CORRECTED,
    ISSUED,
    NOTHING_DUE,
    REFUSED,
    THERE,
    UNCHANGED,
    Round,
    Summary,
    close_month,
    correct_all,
)
from settlement.errors import UsageError
from settlement.rules.periods import day_of
from settlement.store import Store, outcomes, points
from settlement.store.outcomes import Outcome

EXIT_SOME_REFUSED = 3
SHOWN_MAX = 5
WORDS = {
    ISSUED: "billed",
    THERE: "billed before",
    NOTHING_DUE: "without a period that ends in the month",
    CORRECTED: "corrected",
    UNCHANGED: "unchanged",
    REFUSED: "refused",
}

OnlyOption = Annotated[
    list[str] | None, typer.Option("--ppe", metavar="PPE", help="only this point; may be repeated")
]

app = typer.Typer()


@app.command(
    epilog="Example: close --month 2024-07. Run it again after a kill or after the refused points"
    " are put right: what is issued is never issued twice. Exit code 0 when all points are done,"
    " 3 when some are refused, 1 when the database fails, 2 for wrong use."
)
def close(
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="a month that is over")],
    ppe: OnlyOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Bill every point for the period that ends in the month; say who is refused and why."""
    wanted = parse_month(month)
    if wanted.plus(1).first > day_of(now_s()):
        raise UsageError(f"{wanted} is not over: close it from {wanted.plus(1).first} on")
    with database(config) as store:
        _run(store, ppe or [], lambda work: close_month(work, wanted), as_json=as_json)


@app.command(
    epilog="Example: correct, after late readings or a new price list. Exit codes as of `close`."
)
def correct(
    ppe: OnlyOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Issue the corrections that late readings, contracts or prices have made due."""
    with database(config) as store:
        _run(store, ppe or [], correct_all, as_json=as_json)


def _run(store: Store, only: list[str], task: Callable[[Round], Summary], *, as_json: bool) -> None:
    """Shows the progress on standard error, then the summary. Exit code 3 when some are refused."""
    from rich.console import Console
    from rich.progress import Progress

    with store.reading() as connection:
        total = len(only) or points.count(connection)
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("points", total=total)

        def told(_: Outcome) -> None:
            progress.advance(bar)

        summary = task(Round(store, laws.shipped(), now_s, only, told))
    (_print_json if as_json else _print)(store, summary)
    if summary.states[REFUSED]:
        raise typer.Exit(EXIT_SOME_REFUSED)


def _print(store: Store, summary: Summary) -> None:
    states = summary.states
    counted = [f"{states[state]} {word}" for state, word in WORDS.items() if states[state]]
    print(f"{summary.task}: {', '.join(counted) or 'there are no points'}")
    with store.reading() as connection:
        refused = outcomes.of_run(connection, summary.run_id, REFUSED)
        for reason, some in groupby(refused, key=lambda each: each.reason):
            first, number = [], 0
            for number, outcome in enumerate(some, start=1):
                first += [outcome] if number <= SHOWN_MAX else []
            print(f"refused, {reason}: {number}")
            for outcome in first:
                print(f"  {outcome.ppe}: {outcome.detail}")
            if number > len(first):
                print(f"  and {number - len(first)} more: --json lists all")


def _print_json(store: Store, summary: Summary) -> None:
    """All refused points, one after another: there may be more of them than fit the memory."""
    head = json.dumps({"task": summary.task, "points": summary.states})
    print(f'{head[:-1]}, "refused": [', end="")
    with store.reading() as connection:
        refused = outcomes.of_run(connection, summary.run_id, REFUSED)
        for place, each in enumerate(refused):
            row = {"ppe": each.ppe, "reason": each.reason, "detail": each.detail}
            print(",\n" if place else "\n", json.dumps(row, ensure_ascii=False), sep="", end="")
    print("\n]}")
