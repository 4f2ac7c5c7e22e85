"""`update`: applications for meters, and their roll-out in waves."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    desk,
    looking,
    now_s,
    show,
)
from gateway.errors import UsageError
from gateway.rollout import rollout_book as book
from gateway.rollout import rollout_choice, updates, waves
from gateway.rollout.rollout_book import Plan

WATCH_S = 2.0  # between two looks of `status --watch`
_PLAN = Plan()
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

app = typer.Typer(no_args_is_help=True, help="Bring applications to meters, in waves.")

UpdateArgument = Annotated[int, typer.Argument(metavar="UPDATE", help="its number in `list`")]
RolloutArgument = Annotated[int, typer.Argument(metavar="ROLLOUT", help="its number in `status`")]


@app.command(epilog="Example: update add /srv/bundles/0.3.0")
def add(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="made by host_tools.bundle")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take a bundle in: every file is checked against its SHA-256 and kept in the database."""
    bundle = updates.read_bundle(folder)
    with desk(config) as at:
        is_new = at.act(lambda connection: updates.add(connection, bundle, at.actor, now_s()))
    manifest = bundle.manifest
    print(
        f"update {manifest.update_id} {'added' if is_new else 'is there already'}:"
        f" version {manifest.version}, {len(bundle.contents)} files, {bundle.size_bytes} bytes"
    )


@app.command("list", epilog="Example: update list --json")
def list_(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show the updates, and how many meters say that they run each."""
    with looking(config) as connection:
        show(
            updates.rows(connection),
            ["update_id", "version", "files", "bytes", "meters"],
            as_json=as_json,
        )


@app.command(epilog="Example: update remove 123456789")
def remove(update_id: UpdateArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Forget an update that no roll-out ever used."""
    with desk(config) as at:
        at.act(lambda connection: updates.remove(connection, update_id, at.actor, now_s()))
    print(f"update {update_id} removed")


@app.command(
    epilog="Example: update start 123456789 --waves 1,10%,100% --stop-after 2 --running 0.2.0"
)
def start(
    update_id: UpdateArgument,
    sizes: Annotated[
        str, typer.Option("--waves", help="meters that have it after each wave: 1,10%,100%")
    ] = ",".join(_PLAN.waves),
    meters: Annotated[
        str, typer.Option(help="all, ids with commas, or @FILE with one id a line")
    ] = "all",
    shards: Annotated[str, typer.Option(help="only these shards, such as 00-0f")] = "",
    running: Annotated[
        str, typer.Option(metavar="VERSION", help="only meters that say they run this")
    ] = "",
    stop_after: Annotated[
        str, typer.Option(help="failures: a number, or a share of the meters begun: 2, 5%")
    ] = _PLAN.stop_after,
    at_once: Annotated[int, typer.Option(help="meters that are sent pieces together")] = (
        _PLAN.at_once
    ),
    soak: Annotated[str, typer.Option(help="from a wave's last outcome to the next: 1h")] = "1h",
    confirm: Annotated[str, typer.Option(help="from a meter's restart to its word: 4h")] = "4h",
    patience: Annotated[str, typer.Option(help="for a wave's meters to take it: 7d")] = "7d",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Roll an update out; the gateway begins within a second, or when it runs next."""
    plan = Plan(
        waves.parse_waves(sizes), waves.parse_stop_after(stop_after), at_once,
        seconds_of(soak, "--soak"), seconds_of(confirm, "--confirm"),
        seconds_of(patience, "--patience"),
    )  # fmt: skip
    choice = rollout_choice.Choice(_ids_of(meters), shards, running)
    with desk(config) as at:
        chosen = rollout_choice.choose(at.connection, update_id, choice)
        rollout_id = book.start_in_pieces(at.act, update_id, chosen, plan, at.actor, now_s())
        (row,) = book.rows(at.connection, rollout_id)
    if as_json:
        show([row], [], as_json=True)
        return
    cut = " + ".join(str(wave["meters"]) for wave in row["waves"])
    print(f"roll-out {rollout_id} begun: version {row['version']}, meters in waves: {cut}")


@app.command(epilog="Example: update status 3 --meters --watch")
def status(
    rollout_id: Annotated[int | None, typer.Argument(metavar="[ROLLOUT]")] = None,
    meters: Annotated[bool, typer.Option("--meters", help="each meter, failed ones first")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="until it ends")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show how far roll-outs are: each wave, and with --meters each meter of one."""
    if meters and rollout_id is None:
        raise UsageError("--meters: of which roll-out? give its number")
    while True:
        with looking(config) as connection:
            rollouts = book.rows(connection, rollout_id)
            rows = book.meters(connection, rollout_id) if meters and rollout_id else []
        if rollout_id is not None and not rollouts:
            raise UsageError(f"no roll-out {rollout_id}; `gateway update status` shows them")
        _show(rollouts, rows, as_json=as_json)
        if not watch or all(one["state"] in ("done", "stopped") for one in rollouts):
            return
        time.sleep(WATCH_S)


@app.command(epilog="Example: update pause 3")
def pause(rollout_id: RolloutArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Send nothing more for now; a meter that has it all still restarts."""
    with desk(config) as at:
        at.act(lambda connection: book.pause(connection, rollout_id, at.actor, now_s()))
    print(f"roll-out {rollout_id} paused; go on with: update resume {rollout_id}")


@app.command(epilog="Example: update resume 3")
def resume(rollout_id: RolloutArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Go on with a paused roll-out."""
    with desk(config) as at:
        at.act(lambda connection: book.resume(connection, rollout_id, at.actor, now_s()))
    print(f"roll-out {rollout_id} runs")


@app.command(epilog="Example: update stop 3")
def stop(rollout_id: RolloutArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """End a roll-out for good; meters that have it keep it."""
    with desk(config) as at:
        at.act(lambda connection: book.stop(connection, rollout_id, at.actor, "by hand", now_s()))
    print(f"roll-out {rollout_id} stopped")


def seconds_of(text: str, option: str) -> int:
    """A time such as 90s, 15m, 4h or 7d, in seconds. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if found is None:
        raise UsageError(f"{option}: {text!r} is not a time such as 90s, 15m, 4h or 7d")
    return int(found[1]) * _UNITS_S[found[2] or "s"]


def _ids_of(text: str) -> list[bytes] | None:
    """None for every meter. Raises UsageError."""
    if text == "all":
        return None
    if not text.startswith("@"):
        return rollout_choice.ids_of(text.replace(",", "\n"))
    try:
        return rollout_choice.ids_of(Path(text[1:]).read_text("ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--meters: {text[1:]} cannot be read: {error}") from None


def _show(rollouts: list[dict[str, Any]], meters: list[dict[str, object]], *,
          as_json: bool) -> None:  # fmt: skip
    if as_json:
        for one in rollouts:
            if meters:
                one["by_meter"] = meters
        show(rollouts, [], as_json=True)
        return
    lines = [
        {"rollout": one["id"], "version": one["version"], "state": one["state"],
         "reason": one["reason"], "wave": wave["wave"] + 1, "meters": wave["meters"],
         "now": _now(one, wave)}
        for one in rollouts
        for wave in one["waves"]
    ]  # fmt: skip
    columns = ["rollout", "version", "state", "reason", "wave", "meters", "now"]
    show(lines, columns, as_json=False)
    if meters:
        show(meters, ["meter_id", "wave", "state", "reason", "wanted", "version"], as_json=False)


def _now(rollout: dict[str, Any], wave: dict[str, Any]) -> str:
    """Meters by state, and whether the wave soaks."""
    states = " ".join(f"{state}={meters}" for state, meters in sorted(wave["states"].items()))
    soaks = rollout["state"] == "running" and wave["wave"] == rollout["wave"] and wave["settled_s"]
    return f"{states} (soaks)" if soaks else states
