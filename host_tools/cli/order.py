"""`order`: the exchange of meters: lists, what was done, the record, settlement."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from host_tools.cli.common import App, JsonOption, complain, say, show, show_result, technician_of
from host_tools.cli.pair import meter_of
from host_tools.pairing import exchange, handover, work_orders
from host_tools.pairing.errors import BadInput
from host_tools.pairing.exchange import Readings, SettlementClient
from host_tools.pairing.files import read_input, read_secret, write_durably
from host_tools.pairing.work_orders import seconds_of, time_text, wh_of

app = App(no_args_is_help=True, help="The exchange of meters: lists, records, settlement.")

ListArgument = Annotated[Path, typer.Argument(metavar="LIST", help="a .csv or .json list")]
OrderArgument = Annotated[str, typer.Argument(metavar="ORDER", help="its name in the list")]
SHOWN = ("order", "state", "visit_from", "visit_to", "technician", "ppe", "address")


@app.command("list", epilog="Example: order list orders.csv --technician 'Anna Nowak'")
def list_(
    path: ListArgument,
    technician: Annotated[str, typer.Option(help="only theirs")] = "",
    state: Annotated[str, typer.Option(help="planned, done or failed")] = "",
    as_json: JsonOption = False,
) -> None:
    """List the orders; visits that overlap are complained of."""
    orders = work_orders.read(path)
    for one, other in work_orders.overlaps(orders):
        complain(f"{one.order} and {other.order} are at the same time for {one.technician}")
    rows = [
        work_orders.to_row(order)
        for order in orders
        if technician in ("", order.technician) and state in ("", order.state)
    ]
    show(rows, SHOWN, as_json=as_json)


@app.command(epilog="Example: order export office.csv anna.json --technician 'Anna Nowak'")
def export(
    path: ListArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="a .csv or .json file")],
    technician: Annotated[str, typer.Option(help="only theirs")] = "",
    as_json: JsonOption = False,
) -> None:
    """Write a technician's list, or the same list in the other form."""
    orders = [o for o in work_orders.read(path) if technician in ("", o.technician)]
    if not orders:
        raise BadInput(f"no order is {technician}'s; `order list` shows whose they are")
    work_orders.write(out, orders)
    show_result({"written": str(out), "orders": len(orders)}, as_json=as_json)


@app.command("import", epilog="Example: order import office.csv anna.json")
def import_(
    path: ListArgument,
    back: Annotated[Path, typer.Argument(metavar="FROM", help="a technician's list, brought back")],
    as_json: JsonOption = False,
) -> None:
    """Take what was done and what failed into the office's list."""
    orders = work_orders.merged(work_orders.read(path), work_orders.read(back))
    work_orders.write(path, orders)
    states = [order.state for order in orders]
    show_result({name: states.count(name) for name in dict.fromkeys(states)}, as_json=as_json)


@app.command("show", epilog="Example: order show orders.csv WO-17")
def show_(path: ListArgument, order: OrderArgument, as_json: JsonOption = False) -> None:
    """Show one order, and the instants at which an exchange loses no interval."""
    found = work_orders.find(work_orders.read(path), order)
    first, last, step_s = work_orders.visit_instants(found)
    instants = f"{time_text(first)} to {time_text(last)}, every {step_s // 60} minutes"
    show_result({**work_orders.to_row(found), "best_instants": instants}, as_json=as_json)


@app.command(
    epilog="Example: order done orders.csv WO-17 --new-meter 0011-2233-4455-6677-12"
    " --at '2026-12-01 10:15' --old-import 12345,678 --new-import 0. Choose a whole quarter of an"
    " hour: then no interval is lost."
)
def done(
    path: ListArgument,
    order: OrderArgument,
    new_meter: Annotated[str, typer.Option("--new-meter", metavar="METER", help="id or serial")],
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="when the old one was taken off")],
    old_import: Annotated[str, typer.Option("--old-import", metavar="KWH", help="1.8.0, final")],
    new_import: Annotated[str, typer.Option("--new-import", metavar="KWH", help="1.8.0, start")],
    installed: Annotated[
        str, typer.Option(metavar="TIME", help="when the new one began to count; else as --at")
    ] = "",
    old_export: Annotated[str, typer.Option("--old-export", metavar="KWH", help="2.8.0")] = "",
    new_export: Annotated[str, typer.Option("--new-export", metavar="KWH", help="2.8.0")] = "",
    seals: Annotated[str, typer.Option(help="numbers of the seals")] = "",
    remarks: Annotated[str, typer.Option(help="whatever else")] = "",
    technician: Annotated[str, typer.Option(help="who did it; else the order's")] = "",
    as_json: JsonOption = False,
) -> None:
    """Record an exchange: final reading of the old meter, start reading of the new one."""
    orders = work_orders.read(path)
    found = work_orders.find(orders, order)
    removed_s = seconds_of(at, "--at")
    installed_s = seconds_of(installed, "--installed") or removed_s
    readings = Readings(
        wh_of(old_import, "--old-import"), wh_of(new_import, "--new-import"),
        wh_of(old_export, "--old-export"), wh_of(new_export, "--new-export"),
    )  # fmt: skip
    who = found.technician if not technician and found.technician else technician_of(technician)
    recorded = exchange.exchanged(
        found,
        meter_of(new_meter),
        removed_s,
        installed_s,
        readings,
        int(time.time()),
        who,
        seals,
        remarks,
    )
    work_orders.write(path, work_orders.replaced(orders, recorded))
    warning = exchange.split(removed_s, installed_s).warning
    if warning and not as_json:
        complain(warning)
    result = {"order": order, "state": recorded.state, "new_meter_id": recorded.new_meter_id}
    show_result({**result, "warning": warning} if as_json else result, as_json=as_json)


@app.command(epilog="Example: order failed orders.csv WO-17 --why 'nobody there'")
def failed(
    path: ListArgument,
    order: OrderArgument,
    why: Annotated[str, typer.Option(help="what the next visit needs to know")],
    as_json: JsonOption = False,
) -> None:
    """Record a visit in vain."""
    orders = work_orders.read(path)
    noted = work_orders.failed(work_orders.find(orders, order), why)
    work_orders.write(path, work_orders.replaced(orders, noted))
    show_result({"order": order, "state": noted.state}, as_json=as_json)


@app.command(epilog="Example: order record orders.csv WO-17 > protokol.txt")
def record(path: ListArgument, order: OrderArgument, as_json: JsonOption = False) -> None:
    """Print the hand-over record (protokół): one page in Polish, to be signed."""
    page = handover.record(work_orders.find(work_orders.read(path), order))
    if as_json:
        say({"event": "record", "order": order, "text": page})
    else:
        print(page, end="")


@app.command(
    epilog="Example: order report orders.csv WO-17 --point point.json --settlement"
    " http://127.0.0.1:8080 --token-file token. Without --settlement the new JSON is for its"
    " operator."
)
def report(
    path: ListArgument,
    order: OrderArgument,
    point: Annotated[Path, typer.Option(metavar="FILE", help="the point's JSON, as put before")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="where it goes with the exchange in it")
    ] = None,
    settlement: Annotated[str, typer.Option(metavar="URL", help="put it there")] = "",
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="mode 0600")] = None,
    ca_file: Annotated[Path | None, typer.Option(metavar="FILE", help="of its https")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell settlement of an exchange, so that the invoice spans both meters."""
    found = work_orders.find(work_orders.read(path), order)
    try:
        before = json.loads(read_input(point))
    except ValueError:
        before = None
    if not isinstance(before, dict):
        raise BadInput(f"{point} is no JSON object")
    after = exchange.reported(before, found)
    text = json.dumps(after, indent=1, ensure_ascii=False)
    if out is not None:
        write_durably(out, text.encode() + b"\n", mode=0o640)
    if settlement:
        if token_file is None:
            raise BadInput("--settlement needs --token-file, a file of mode 0600")
        ca = None if ca_file is None else str(ca_file)
        version = SettlementClient(settlement, read_secret(token_file), ca).put_point(
            found.ppe, after
        )
        show_result({"ppe": found.ppe, "version": version}, as_json=as_json)
    elif out is None:
        print(text if not as_json else json.dumps(after, ensure_ascii=False))
    else:
        show_result({"ppe": found.ppe, "written": str(out)}, as_json=as_json)
