"""`fleet`: pair what is on many ports, from a work order to a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from host_tools.cli.common import (
    DEFAULT_LABELS,
    DEFAULT_SETUP,
    App,
    JsonOption,
    SetupOption,
    StateOption,
    TakeOverOption,
    TechnicianOption,
    WaitOption,
    say,
)
from host_tools.cli.pair import (
    DEFAULT_QUEUE,
    LabelsOption,
    OfflineOption,
    QueueOption,
    SealForOption,
    job_of,
    real_tools,
)
from host_tools.pairing import fleet as batch
from host_tools.pairing import pair
from host_tools.pairing.first_reading import READING_WAIT_S
from host_tools.pairing.fleet import Done, Order, ResultFile
from host_tools.pairing.stages import Event

app = App()


@app.command(
    epilog="Example: fleet orders.csv result.csv --workers 8. The work order has a column port, and"
    " perhaps note, title, ppe. The exit code is that of the first board that failed."
)
def fleet(
    orders: Annotated[Path, typer.Argument(metavar="ORDERS.csv", help="one board a line")],
    result: Annotated[Path, typer.Argument(metavar="RESULT.csv", help="written as they are done")],
    setup: SetupOption = DEFAULT_SETUP,
    state: StateOption = None,
    labels: LabelsOption = DEFAULT_LABELS,
    technician: TechnicianOption = "",
    workers: Annotated[int, typer.Option(help="boards at once")] = batch.WORKERS,
    go_on: Annotated[
        bool,
        typer.Option("--continue", help="leave out what RESULT.csv says is done, add the rest"),
    ] = False,
    offline: OfflineOption = False,
    queue: QueueOption = DEFAULT_QUEUE,
    seal_for: SealForOption = None,
    take_over: TakeOverOption = False,
    wait: WaitOption = READING_WAIT_S,
    as_json: JsonOption = False,
) -> None:
    """Pair many boards at once; one bad board stops nobody."""
    job = job_of(setup, state, technician, take_over, wait, seal_for, offline=offline)
    job = replace(job, labels=labels, queue=queue)
    wanted = batch.read_orders(orders)
    with ResultFile(result, go_on=go_on) as file:
        left = [order for order in wanted if order.port not in file.good]
        with _showing(len(left), as_json=as_json) as seen:

            def one(order: Order, stop: Callable[[], bool]) -> dict[str, Any]:
                def tell(event: Event) -> None:
                    if as_json:
                        say({"port": order.port, **event})

                chosen = replace(
                    job, port=order.port, title=order.title or job.title, ppe=order.ppe
                )
                procedure = pair.pair_offline if offline else pair.pair
                return procedure(chosen, real_tools(), tell, stop)

            def done(each: Done) -> None:
                file.add(each)
                seen(each)

            results = batch.run(left, one, done, workers)
    raise typer.Exit(batch.exit_code(results))


@contextmanager
def _showing(boards: int, *, as_json: bool) -> Iterator[Callable[[Done], None]]:
    """Boards as they are done: JSON lines, or a bar and lines on standard error."""
    if as_json:
        yield lambda done: say({"event": "board", **done.row()})
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = ("boards", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False)) as progress:
        task = progress.add_task("boards", total=boards)

        def seen(done: Done) -> None:
            row = done.row()
            what = row["serial"] if done.good else f"{row['stage']} {row['reason']} {row['detail']}"
            progress.print(f"{done.state:<12} {row['port']}  {escape(what)}")
            progress.advance(task)

        yield seen
