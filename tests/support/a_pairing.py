"""Builders for tests of pairing: a workshop with a gateway, a board and a technician."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from host_tools.pairing import offline
from host_tools.pairing.setup import Admin, Gateway, Meter, Setup, Wifi
from host_tools.pairing.work import Job, Tools
from tests.support.fake_board import FakeBoard
from tests.support.running_gateway import RunningGateway

PORT = "/dev/ttyUSB0"
ANNA = "anna"
WIFI_PASSWORD = "the-wifi-password"
NOW_S = 1_764_500_000


def a_setup(folder: Path, gateway: RunningGateway, **changes: Any) -> Setup:
    """As pairing.toml would have it."""
    folder.mkdir(exist_ok=True)
    password = folder / "wifi.password"
    password.write_text(WIFI_PASSWORD)
    password.chmod(0o600)
    setup = Setup(
        gateway=Gateway("127.0.0.1", gateway.port),
        admin=Admin(gateway.url, str(gateway.token_file)),
        wifi=Wifi("the-wifi", str(password)),
        meter=Meter(imp_per_kwh=800),
    )
    return msgspec.structs.replace(setup, **changes)


def a_job(folder: Path, at: RunningGateway, **changes: Any) -> Job:
    """Anna pairs what is on PORT, at this gateway."""
    job = Job(
        port=PORT,
        technician=ANNA,
        state=folder / "state",
        labels=folder / "labels",
        setup=a_setup(folder, at),
        gateway=at.client(),
        reading_wait_s=10.0,
    )
    return replace(job, **changes)


def an_offline_job(folder: Path, at: RunningGateway, **changes: Any) -> Job:
    """As a_job, without a network: for the gateway whose private key is queue.key."""
    if not (folder / "queue.key").exists():
        offline.make_keys(folder / "queue.key")
    public = offline.read_public(folder / "queue.key.pub")
    return a_job(folder, at, gateway=None, public_key=public, queue=folder / "queue", **changes)


def tools_for(board: FakeBoard, **changes: Any) -> Tools:
    """The world of a fake board, at NOW_S."""
    return replace(Tools(probe=board.probe, open=board.open, now_s=lambda: NOW_S), **changes)


class Told(list[dict[str, Any]]):
    """Every event of a run; `tell` is its append."""

    def tell(self, event: dict[str, Any]) -> None:
        self.append(event)

    def states(self) -> dict[str, str]:
        """Stage -> the last that was said of it."""
        return {event["stage"]: event["state"] for event in self if event["event"] == "stage"}

    def of(self, stage: str) -> dict[str, Any]:
        """The last event of a stage."""
        return next(event for event in reversed(self) if event.get("stage") == stage)


def texts_in(folder: Path) -> str:
    """Everything in a folder's files, hidden ones too, as text."""
    found = io.StringIO()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.write(path.read_bytes().decode("latin-1"))
    return found.getvalue()
