"""`offline`: keys for queued registrations, what waits, and taking it in at the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from host_tools.cli.common import (
    DEFAULT_SETUP,
    App,
    JsonOption,
    SetupOption,
    say,
    setup_of,
    show,
    show_result,
)
from host_tools.pairing import offline as queueing
from host_tools.pairing.offline import Taken

app = App(no_args_is_help=True, help="Registrations without a network: keys, queue, taking in.")

QueueArgument = Annotated[
    Path, typer.Argument(metavar="QUEUE", help="the folder that `pair --offline` filled")
]


@app.command(epilog="Example: offline keygen gateway.key (on the gateway's machine, once)")
def keygen(
    private: Annotated[Path, typer.Argument(metavar="FILE", help="the private key, mode 0600")],
    as_json: JsonOption = False,
) -> None:
    """Make the gateway's pair of keys: FILE stays here, FILE.pub goes to technicians."""
    public = queueing.make_keys(private)
    show_result({"private": str(private), "public": str(public)}, as_json=as_json)


@app.command("list", epilog="Example: offline list queue --json")
def list_(folder: QueueArgument, as_json: JsonOption = False) -> None:
    """List what waits in a queue; nobody needs a key for that."""
    names = ("meter_id", "key_epoch", "technician", "sealed_s")
    rows = [
        {name: one.fields[name] for name in names} | {"file": one.path.name}
        for one in queueing.queued(folder)
    ]
    show(rows, [*names, "file"], as_json=as_json)


@app.command(
    epilog="Example: offline sync queue --private-key gateway.key --setup pairing.toml. Run it as"
    " often as you like; exit code 1 while a conflict is left."
)
def sync(
    folder: QueueArgument,
    private_key: Annotated[
        Path, typer.Option("--private-key", metavar="FILE", help="as `offline keygen` made it")
    ],
    setup: SetupOption = DEFAULT_SETUP,
    as_json: JsonOption = False,
) -> None:
    """Register what waits in a queue at the gateway; conflicts stay, by name."""
    _, gateway = setup_of(setup)

    def tell(taken: Taken) -> None:
        row = {"file": taken.file, "meter_id": taken.meter_id, "state": taken.state,
               "detail": taken.detail}  # fmt: skip
        if as_json:
            say({"event": "registration", **row})
        else:
            print(f"{taken.state:<20} {taken.meter_id}  {taken.detail}".rstrip())

    queueing.check_all_good(
        queueing.sync(folder, queueing.read_private(private_key), gateway, tell)
    )
