"""`pair`, `repair`, `move`, `decommission`: one meter, from bare board to its end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from host_tools.cli.common import (
    DEFAULT_LABELS,
    DEFAULT_SETUP,
    App,
    JsonOption,
    PortOption,
    SetupOption,
    StateOption,
    TakeOverOption,
    TechnicianOption,
    WaitOption,
    gateway_of,
    setup_of,
    show_result,
    state_of,
    technician_of,
    telling,
)
from host_tools.pairing import label as label_file
from host_tools.pairing import offline as queueing
from host_tools.pairing import pair as procedures
from host_tools.pairing.errors import BadInput
from host_tools.pairing.first_reading import READING_WAIT_S
from host_tools.pairing.identity import meter_id_of
from host_tools.pairing.label import LABEL_MARK, meter_id_of_serial
from host_tools.pairing.setup import load
from host_tools.pairing.tables import checked_ppe
from host_tools.pairing.work import Job, Tools
from wire.topics import METER_ID_BYTES

app = App()

LabelsOption = Annotated[
    Path, typer.Option("--labels", metavar="DIR", help="where SVG and PNG of labels go")
]
TitleOption = Annotated[str, typer.Option(help="the first line of the label")]
PpeOption = Annotated[
    str, typer.Option("--ppe", metavar="PPE", help="the metering point it is meant for")
]
NewIdentityOption = Annotated[
    bool, typer.Option("--new-identity", help="the board carries a meter: make it another one")
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="no network: seal and queue the registration")
]
QueueOption = Annotated[
    Path, typer.Option("--queue", metavar="DIR", help="with --offline: where registrations wait")
]
SealForOption = Annotated[
    Path | None,
    typer.Option("--seal-for", metavar="FILE", help="with --offline: the gateway's public key"),
]
MeterOption = Annotated[
    str, typer.Option("--meter", metavar="METER", help="refuse any other board; id or serial")
]
DEFAULT_QUEUE = Path("queue")


@app.command(
    epilog="Examples: pair --port auto; pair --port /dev/ttyUSB0 --setup house.toml --json;"
    " pair --offline --seal-for gateway.key.pub --queue queue. Run it again after any failure: it"
    " goes on. Exit codes: docs/pairing.md."
)
def pair(
    port: PortOption = "auto",
    setup: SetupOption = DEFAULT_SETUP,
    state: StateOption = None,
    labels: LabelsOption = DEFAULT_LABELS,
    technician: TechnicianOption = "",
    title: TitleOption = "OpenLicznik",
    ppe: PpeOption = "",
    offline: OfflineOption = False,
    queue: QueueOption = DEFAULT_QUEUE,
    seal_for: SealForOption = None,
    take_over: TakeOverOption = False,
    new_identity: NewIdentityOption = False,
    wait: WaitOption = READING_WAIT_S,
    as_json: JsonOption = False,
) -> None:
    """Make a flashed board a meter that its gateway hears."""
    job = replace(
        job_of(setup, state, technician, take_over, wait, seal_for, offline=offline),
        port=chosen(port),
        labels=labels,
        queue=queue,
        title=title,
        ppe=checked_ppe(ppe) if ppe else "",
        new_identity=new_identity,
    )
    procedure = procedures.pair_offline if offline else procedures.pair
    with telling(as_json=as_json) as tell:
        result = procedure(job, real_tools(), tell)
    _show(result, as_json=as_json)


@app.command(
    epilog="Examples: repair 0011223344556677; repair --by-cable --port auto. Without a cable both"
    " keys are good until the meter has used the new one."
)
def repair(
    meter: Annotated[str, typer.Argument(metavar="[METER]", help="id or serial")] = "",
    by_cable: Annotated[
        bool, typer.Option("--by-cable", help="it does not talk any more: write it a new key")
    ] = False,
    port: PortOption = "auto",
    setup: SetupOption = DEFAULT_SETUP,
    state: StateOption = None,
    technician: TechnicianOption = "",
    take_over: TakeOverOption = False,
    wait: WaitOption = READING_WAIT_S,
    as_json: JsonOption = False,
) -> None:
    """Pair a meter again: its next key, under seal or by cable."""
    if not (meter or by_cable):
        raise BadInput("name the meter, or repair the one at hand with --by-cable")
    meter_id = meter_of(meter)
    job = job_of(setup, state, technician, take_over, wait)
    job = replace(job, port=chosen(port) if by_cable else "", meter_id=meter_id)
    with telling(as_json=as_json) as tell:
        if by_cable:
            result = procedures.repair_by_cable(job, real_tools(), tell)
        else:
            result = procedures.repair(job, real_tools(), tell, wait_s=wait)
    show_result(result, as_json=as_json)


@app.command(epilog="Example: move --from old/pairing.toml --setup new/pairing.toml --port auto")
def move(
    old: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="pairing.toml of the gateway it leaves")
    ],
    port: PortOption = "auto",
    setup: SetupOption = DEFAULT_SETUP,
    state: StateOption = None,
    technician: TechnicianOption = "",
    meter: MeterOption = "",
    take_over: TakeOverOption = False,
    wait: WaitOption = READING_WAIT_S,
    as_json: JsonOption = False,
) -> None:
    """Take a meter to another gateway; the old one lets it go once the new one has heard it."""
    job = job_of(setup, state, technician, take_over, wait)
    _, old_gateway = setup_of(old)
    if job.gateway is not None and old_gateway.url == job.gateway.url:
        raise BadInput("--from and --setup name the same gateway; nothing is to be moved")
    job = replace(job, port=chosen(port), old_gateway=old_gateway, meter_id=meter_of(meter))
    with telling(as_json=as_json) as tell:
        result = procedures.move(job, real_tools(), tell)
    _show(result, as_json=as_json)


@app.command(epilog="Example: decommission --meter 0011-2233-4455-6677-12 --port auto --yes")
def decommission(
    meter: MeterOption,
    port: PortOption = "auto",
    setup: SetupOption = DEFAULT_SETUP,
    state: StateOption = None,
    technician: TechnicianOption = "",
    without_last_reading: Annotated[
        bool, typer.Option("--without-last-reading", help="it will never be on-line again")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    take_over: TakeOverOption = False,
    wait: WaitOption = READING_WAIT_S,
    as_json: JsonOption = False,
) -> None:
    """End a meter: a tombstone at its gateway, and everything off the board, read back."""
    meter_id = meter_of(meter)
    if not meter_id:
        raise BadInput("--meter names the meter that is to end: its id or serial")
    if not yes:
        typer.confirm(f"Erase meter {meter_id} and its board? This is not undone", abort=True)
    job = replace(
        job_of(setup, state, technician, take_over, wait),
        port=chosen(port),
        meter_id=meter_id,
        without_last_reading=without_last_reading,
    )
    with telling(as_json=as_json) as tell:
        result = procedures.decommission(job, real_tools(), tell)
    show_result(result, as_json=as_json)


def job_of(
    setup: Path, state: Path | None, technician: str, take_over: bool, wait_s: float,
    seal_for: Path | None = None, *, offline: bool = False,
) -> Job:  # fmt: skip
    """What the options of every procedure say. Raises BadInput, ExposedSecret."""
    if offline and seal_for is None:
        raise BadInput("--offline needs --seal-for FILE, the public key of `offline keygen`")
    loaded = load(setup)
    return Job(
        port="",
        technician=technician_of(technician),
        state=state_of(state),
        labels=DEFAULT_LABELS,
        setup=loaded,
        gateway=None if offline else gateway_of(loaded, setup),
        public_key=None if seal_for is None else queueing.read_public(seal_for),
        take_over=take_over,
        reading_wait_s=wait_s,
    )


def _show(result: dict[str, Any], *, as_json: bool) -> None:
    """What came of it; for people without what only programs need, and the first reading last."""
    if as_json:
        show_result(result, as_json=True)
        return
    reading = result.get("reading", {})
    people = {name: value for name, value in result.items() if name != "reading"}
    if "label" in people:
        people["label"] = people["label"]["label"]
    show_result(people, as_json=False)
    if (registers := reading.get("registers")) is not None:
        print(f"first reading: {said(registers)}")
    elif reading:
        print(f"heard at {reading['answered']}")


def said(registers: dict[str, Any]) -> str:
    """Registers as a sentence: kWh, and when they were read. What is missing is left out."""
    energy = f"import {_kwh(registers['import_wh'])}"
    if registers["export_wh"] is not None:
        energy += f", export {_kwh(registers['export_wh'])}"
    at = registers["at"]
    return f"{energy} at {at}" if at else f"{energy}, read before the meter knew the time"


def _kwh(energy_wh: int) -> str:
    return f"{energy_wh // 1000}.{energy_wh % 1000:03} kWh"


def meter_of(text: str) -> str:
    """A meter id in hex, from an id, a serial or a scanned label; empty stays empty.

    Raises BadIdentity, WrongLabel.
    """
    if not text:
        return ""
    if text.startswith(LABEL_MARK):
        return label_file.read(text).meter_id.hex()
    if len(text) > 2 * METER_ID_BYTES:
        return meter_id_of_serial(text).hex()
    return meter_id_of(text).hex()


def chosen(port: str) -> str:
    """The port that is meant. Raises PortMissing, SeveralPorts."""
    from host_tools.line.ports import choose

    return choose(port)


def real_tools() -> Tools:
    """Real ports and boards."""
    from host_tools.device import Device
    from host_tools.line.probe import probe

    return Tools(probe=probe, open=Device.open)
