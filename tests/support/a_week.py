"""A meter's recorded week as a process on the unix port, from a bundle of .mpy, in a given heap."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from host_tools.bundle import Bundle, write_root, write_slot
from host_tools.household import RECORDED_WEEK, recorded
from host_tools.micropython import ROOT, find_micropython
from tests.support.a_meter import METER_ID, METER_KEY, settings
from tests.support.fake_gateway import FakeGateway

FIRST_DAY = "2024-10-18"
INTERVALS = 672  # of 15 minutes in seven days
WITHIN_S = 60
FLASH_BYTES = 1 << 20


class Week(NamedTuple):
    """How it went."""

    intervals: int  # that the gateway has, contiguous, at the end
    faults: list[str]  # what the gateway found wrong
    frame_bytes_max: int  # of the frames with intervals
    error: str  # what the meter said on standard error


def run_week(folder: Path, bundle: Bundle, heap: str, within_s: float = WITHIN_S) -> Week:
    """Run the meter of an empty folder through the week with `-X heapsize=<heap>`.

    As on the device: the loader starts the unix board's application from slot a.
    """
    write_root("unix", folder)
    write_slot(bundle, folder / "a")
    household = recorded(RECORDED_WEEK, FIRST_DAY)
    (folder / "household.csv").write_text(household.script)
    (folder / "flash.bin").write_bytes(b"\xff" * FLASH_BYTES)  # erased, as flashing leaves it
    password = settings()["password"].encode()
    with FakeGateway(METER_ID, METER_KEY, password) as gateway:
        config = settings(gateway_port=gateway.port, household="household.csv", speed=1_000_000)
        (folder / "config.json").write_text(json.dumps(config))
        with start(folder, heap) as process:
            arrived = wait_for_week(gateway, folder, within_s)
            process.kill()
    error = (folder / "error").read_text()
    faults = [*gateway.faults, *(f"conflict {n}" for n in gateway.conflicts)]
    return Week(arrived, faults, largest_frame(folder / "log"), error)


def start(folder: Path, heap: str) -> "subprocess.Popen[bytes]":
    """The process, which sees nothing of this repository but the bundle and umqtt."""
    with (folder / "log").open("wb") as log, (folder / "error").open("wb") as error:
        return subprocess.Popen(
            [str(find_micropython()), "-X", f"heapsize={heap}", str(folder / "main.py")],
            env={**os.environ, "MICROPYPATH": f"{folder}:{ROOT / '.lib'}:.frozen"},
            cwd=folder,
            stdout=log,
            stderr=error,
        )


def wait_for_week(gateway: FakeGateway, folder: Path, within_s: float) -> int:
    """Intervals that arrived until all are there, the meter complained, or the time is over."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s and not (folder / "error").stat().st_size:
        if gateway.wait_for(INTERVALS, 0.2):
            break
    arrived = 0
    while arrived + 1 in gateway.intervals:
        arrived += 1
    return arrived


def largest_frame(log: Path) -> int:
    """Bytes of the largest frame of intervals that the meter says it sent."""
    sizes = [0]
    for line in log.read_bytes().splitlines():
        if b'"sent"' in line:
            sizes.append(json.loads(line)["bytes"])
    return max(sizes)
