"""`shard`: hand shards over to another gateway, and take them over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from gateway import audit, store
from gateway import config as config_file
from gateway.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    Desk,
    JsonOption,
    desk,
    looking,
    now_s,
    show,
)
from gateway.errors import MoveRefused, StoreInUse, UsageError
from gateway.master_key import write_master_key
from gateway.shards import move_file, moves, shards, takeover
from gateway.shards.moves import Asked

app = typer.Typer(no_args_is_help=True, help="Hand shards over to another gateway, or take over.")

COLUMNS = ("move_id", "way", "shards", "other", "state", "meters", "asked_s", "done_s")
LOOK_S = 0.2

KeyOption = Annotated[
    Path, typer.Option("--key", metavar="FILE", help="transfer key, mode 0600: `shard key`")
]


@app.command("list", epilog="Example: shard list --json")
def list_(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List every move of shards from here and to here."""
    with looking(config) as connection:
        show(moves.rows(connection), COLUMNS, as_json=as_json)


@app.command(epilog="Example: shard key transfer.key")
def key(file: Annotated[Path, typer.Argument(help="where to write it")]) -> None:
    """Make a transfer key; bring it to the other gateway by another way than the export."""
    write_master_key(file)
    print(f"{file} is a new transfer key; both gateways need it, delete it after the move")


@app.command(epilog="Example: shard export 70-7f --for gw-2 --to 70-7f.move --key transfer.key")
def export(
    which: Annotated[str, typer.Argument(metavar="SHARDS", help="as 70-7f,a0")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="what to write")],
    taker: Annotated[
        str, typer.Option("--for", metavar="GATEWAY_ID", help="the gateway that takes over")
    ],
    key: KeyOption,
    config: ConfigOption = DEFAULT_CONFIG,
    wait_s: Annotated[float, typer.Option(help="for the running gateway")] = 60.0,
) -> None:
    """Give shards up, for good, and write out their meters. Repeat it when it was cut off."""
    transfer = move_file.read_transfer_key(key)
    wanted = shards.parse(which)
    loaded = config_file.load(config)
    ours = shards.parse(loaded.shards)
    with desk(config) as at:
        move = at.act(
            lambda c: moves.ask(c, ours, wanted, loaded.gateway_id, taker, at.actor, now_s())
        )
        move = _given_up(at, move, wait_s)
        exported = moves.export(at.connection, move, loaded.gateway_id, at.keeper, transfer)
        move_file.write(to, move_file.seal(exported, transfer))
        detail: dict[str, object] = {"move": move.move_id.hex(), "to": taker}
        text = ",".join(sorted(move.shards))
        at.act(lambda c: audit.record(c, at.actor, moves.EXPORT, text, detail, now_s()))
    print(
        f"move {move.move_id.hex()}: {len(exported.meters)} meters are in {to}; now `shard import`"
        f" on {taker}"
    )


def _given_up(at: Desk, move: Asked, wait_s: float) -> Asked:
    """Wait until the running gateway has given them up; where none runs, do it."""
    deadline = time.monotonic() + wait_s
    while True:
        found = moves.find(at.connection, move.shards, move.other)
        assert found is not None
        if found.state != moves.ASKED:
            return found
        if _nobody_runs(Path(at.config.store.path), found):
            continue
        if time.monotonic() >= deadline:
            raise MoveRefused(
                moves.NOT_GIVEN_UP,
                f"the running gateway did not give the shards up in {wait_s:g} s; look into its"
                " log, then repeat this command",
            )
        time.sleep(LOOK_S)


def _nobody_runs(path: Path, move: Asked) -> bool:
    """Give them up under the gateway's own lock; False when a gateway holds it."""
    try:
        held = store.Store(path)
    except StoreInUse:
        return False
    try:
        store.transact(held.connection, lambda c: moves.give_up(c, move, {}, now_s()))
    finally:
        held.close()
    return True


@app.command("import", epilog="Example: shard import 70-7f.move --key transfer.key")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="what `shard export` wrote")],
    key: KeyOption,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take over the meters in a file. The gateway must be stopped; repeat when it was cut off."""
    transfer = move_file.read_transfer_key(key)
    move = move_file.read(file, transfer)
    with desk(config) as at:
        held = store.Store(Path(at.config.store.path))  # its lock: a running gateway would not know
        try:
            fresh = at.act(
                lambda c: takeover.take(
                    c, move, shards.parse(at.config.shards), at.config.gateway_id, at.keeper,
                    transfer, at.actor, now_s(),
                )
            )  # fmt: skip
        finally:
            held.close()
    if fresh:
        print(f"{len(move.meters)} meters taken over from {move.giver}; start the gateway now, then"
              f" `shard forget {move.move_id.hex()}` on {move.giver}")  # fmt: skip
    else:
        print(f"move {move.move_id.hex()} was taken over before; nothing was changed")


@app.command(epilog="Example: shard forget 00112233445566778899aabbccddeeff --yes")
def forget(
    move: Annotated[str, typer.Argument(metavar="MOVE_ID", help="32 hex digits")],
    config: ConfigOption = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Destroy the copy of what was given up: when the other gateway serves."""
    try:
        move_id = bytes.fromhex(move)
    except ValueError:
        raise UsageError("a move is 32 hex digits; `shard list` shows them") from None
    if not yes:
        typer.confirm("Does the other gateway serve them? No export can be written any more",
                      abort=True)  # fmt: skip
    with desk(config) as at:
        meters = at.act(lambda c: moves.forget(c, move_id, at.actor, now_s()))
    print(f"the keys and states of {meters} meters are destroyed here")
