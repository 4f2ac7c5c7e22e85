"""An update as a meter in the field gets it: sealed commands, a restart, a receipt, a way back."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from host_tools import bundle
from host_tools.bundle import Bundle, BundleFile, compile_bundle, manifest_parts
from host_tools.micropython import ROOT, find_micropython
from tests.support.a_meter import METER_ID, METER_KEY, NOON_S, settings
from tests.support.fake_gateway import FakeGateway
from wire.messages import (
    COMMAND_UPDATE_CHUNK,
    COMMAND_UPDATE_MANIFEST,
    EVENT_UPDATE,
    RESULT_DONE,
    Result,
)

RESTART_CODE = 75
WITHIN_S = 60
HOURS = 6
OLD, NEW = "0.2.0", "0.3.0"
Commander = Callable[[Result | None], tuple[int, tuple[object, ...]] | None]


@pytest.fixture(scope="module")
def new() -> Bundle:
    return compile_bundle("unix", NEW)


def a_root(folder: Path, port: int) -> Path:
    """A meter as flashed: the loader, the application in slot a, its config and its household."""
    bundle.write_root("unix", folder)
    bundle.write_slot(compile_bundle("unix", OLD), folder / "a")
    config = settings(gateway_port=port, household="household.csv", speed=6000)
    (folder / "config.json").write_text(json.dumps(config))
    hours = [f"{NOON_S + 3600 * hour},{100 + hour},0\n" for hour in range(HOURS)]
    (folder / "household.csv").write_text("".join(hours))
    return folder


def an_update_to(application: Bundle) -> Commander:
    """Sends what each result asks for, and nothing when the meter has it all."""
    parts = manifest_parts(application)

    def command(result: Result | None) -> tuple[int, tuple[object, ...]] | None:
        words = ["part", "0"] if result is None else result.detail.decode().split(" ")
        assert result is None or result.code == RESULT_DONE, result
        if words[0] == "restart":
            return None
        if words[0] == "part":
            part = int(words[1])
            args = (application.update_id, part, len(parts), parts[part])
            return COMMAND_UPDATE_MANIFEST, args
        index, offset = int(words[1]), int(words[2])
        piece = application.files[index].content[offset : offset + bundle.PIECE_BYTES_MAX]
        return COMMAND_UPDATE_CHUNK, (application.update_id, index, offset, piece)

    return command


def run_until(root: Path, done: Callable[[], bool]) -> None:
    """Run the meter, started again whenever it asks for that, until something is true."""
    environment = {**os.environ, "MICROPYPATH": f"{root}:{ROOT / '.lib'}:.frozen"}
    end_s = time.monotonic() + WITHIN_S
    while not done():
        with (root / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(find_micropython()), str(root / "main.py")],
                env=environment,
                stdout=log,
                stderr=log,
            )
        while process.poll() is None and not done():
            if time.monotonic() > end_s:
                break
            time.sleep(0.02)
        asked = process.poll()
        process.kill()
        process.wait()
        said = (root / "log").read_text()[-2000:]
        assert asked in (None, RESTART_CODE), said
        assert time.monotonic() < end_s, said


def updates_of(gateway: FakeGateway) -> list[int]:
    return [event.values[0] for event in gateway.events if event.code == EVENT_UPDATE]


def test_a_meter_takes_an_update_over_sealed_commands_and_no_watt_hour_is_lost(
    tmp_path: Path, new: Bundle
) -> None:
    commander = an_update_to(new)
    with FakeGateway(METER_ID, METER_KEY, b"a-long-password", commander=commander) as gateway:
        root = a_root(tmp_path, gateway.port)
        run_until(root, lambda: updates_of(gateway) == [1, 2] and len(gateway.intervals) >= 24)
    assert gateway.versions[0] == OLD
    assert gateway.versions[-1] == NEW
    assert (gateway.faults, gateway.conflicts) == ([], [])
    assert sorted(gateway.intervals) == list(range(1, 4 * HOURS + 1))
    assert sum(deltas[0] for _, deltas, _ in gateway.intervals.values()) == 600 + 15


def test_an_update_that_crashes_is_taken_back_and_told(tmp_path: Path, new: Bundle) -> None:
    broken = [
        BundleFile(file.path, b"not bytecode") if file.path == "firmware/app.mpy" else file
        for file in new.files
    ]
    commander = an_update_to(Bundle(NEW, broken))
    with FakeGateway(METER_ID, METER_KEY, b"a-long-password", commander=commander) as gateway:
        root = a_root(tmp_path, gateway.port)
        run_until(root, lambda: updates_of(gateway) == [3] and len(gateway.intervals) >= 24)
    assert set(gateway.versions) == {OLD}
    assert sorted(gateway.intervals) == list(range(1, 4 * HOURS + 1))
