"""The ESP32 bundle as it is shipped, shrunk and compiled, on a fake chip: it loads, it counts."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from host_tools.board_profiles import profile
from host_tools.bundle import BOARDS, LOADER, compile_bundle, compiled, write_slot
from host_tools.bundling.short_names import renamed
from host_tools.micropython import ROOT, find_micropython
from tests.support.a_meter import settings

# Written with the names of our source; it runs with those of the bundle.
A_START = """
import tests.support.fake_esp32 as fake
import sys, json, start
from tests.support.fake_esp32_parts import FakePartition
from tests.support.fake_flash import FakeFlash
sys.modules["boards.start"] = start
chip = fake.Chip(CHIP, partitions=(FakePartition("meter", FakeFlash(256)),))
for module in MODULES:
    __import__(module)
from boards import {board} as board
{way}
from boards.parts.esp32_board import make_board, start_counting
from boards.parts.retained import RtcMemory
from boards.parts.slots import Slots
from firmware import app
memory = RtcMemory()
try:
    start_counting(board.PINS, CHIP, memory)
except fake.ChipReset:
    chip.cpu_reset(fake.HARD)
pulses, why = start_counting(board.PINS, CHIP, memory)
made = make_board(board.PINS, CHIP, way, ROOT, pulses, why, memory, Slots(ROOT))
meter = app.Meter(made)
chip.pulse(board.PINS.pulses[0], 3)
chip.pulse(board.PINS.pulses[1], 2)
meter.metering.tick(1729252800, 5, 5)
meter.metering.tick(1729252805, 5, 10)
made.watchdog.feed()
print(why, list(meter.metering.registers.wh), chip.fed, made.link.step())
"""


@pytest.mark.parametrize("board", [name for name in BOARDS if name != "unix"])
def test_every_module_of_the_shipped_bundle_loads_and_one_look_counts(
    tmp_path: Path, board: str
) -> None:
    made = compile_bundle(board)
    write_slot(made, tmp_path)
    (tmp_path / "start.mpy").write_bytes(compiled(LOADER, (ROOT / LOADER).read_text()))
    modules = [file.path.removesuffix(".mpy").replace("/", ".") for file in made.files]
    modules = [name for name in modules if not name.endswith("__init__")]
    known = profile(board)
    wifi = {} if known.ethernet else {"wifi_name": "home", "wifi_password": "a-long-password"}
    (tmp_path / "config.json").write_text(json.dumps(settings(**wifi)))
    head = f"MODULES = {modules!r}\nCHIP = {known.chip!r}\nROOT = {str(tmp_path)!r}\n"
    way = "way = board.LAN" if known.ethernet else "from boards.parts import wifi_way as way"
    files = (f"boards/{board}.py", "boards/parts/esp32_board.py", "firmware/app.py")
    rows = [(*name.partition(":"), made.names[name]) for name in made.names]
    own = {name: short for path, _, name, short in rows if path in files and name}
    script = tmp_path / "look.py"
    start = A_START.format(board=board, way=way)
    script.write_text(head + renamed(start, {**made.names, **own}))
    done = subprocess.run(
        [str(find_micropython()), "-X", "heapsize=16m", str(script)],
        env={**os.environ, "MICROPYPATH": f"{tmp_path}:{ROOT}:{ROOT / '.lib'}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    state = "starting" if known.ethernet else "connecting"
    assert done.stdout.splitlines()[-1] == f"power_on [3, 2] 1 {state}"
