"""The ESP32 bundle as it is shipped, shrunk and compiled, on a fake chip: it loads, it counts."""

import os
import subprocess
from pathlib import Path

from host_tools.bundle import LOADER, compile_bundle, compiled, write_slot
from host_tools.micropython import ROOT, find_micropython
from host_tools.short_names import renamed
from tests.support.a_meter import settings

# Written with the names of our source; it runs with those of the bundle.
A_START = """
import tests.support.fake_esp32 as fake
import sys, json, start
from tests.support.fake_esp32_parts import FakePartition
from tests.support.fake_flash import FakeFlash
sys.modules["boards.start"] = start
chip = fake.Chip(partitions=(FakePartition("meter", FakeFlash(256)),))
for module in MODULES:
    __import__(module)
from boards import esp32_devkit
from boards.parts.esp32_board import make_board, start_counting
from boards.parts.retained import RtcMemory
from boards.parts.slots import Slots
from firmware import app
memory = RtcMemory()
try:
    start_counting(esp32_devkit.PINS, esp32_devkit.CHIP, memory)
except fake.ChipReset:
    chip.cpu_reset(fake.HARD)
pulses, why = start_counting(esp32_devkit.PINS, esp32_devkit.CHIP, memory)
board = make_board(esp32_devkit.PINS, CONFIG, None, pulses, why, memory, Slots(ROOT))
meter = app.Meter(board)
chip.pulse(esp32_devkit.PINS.pulses[0], 3)
chip.pulse(esp32_devkit.PINS.pulses[1], 2)
meter.metering.tick(1729252800, 5, 5)
meter.metering.tick(1729252805, 5, 10)
board.watchdog.feed()
print(why, list(meter.metering.registers.wh), chip.fed)
"""


def test_every_module_of_the_shipped_bundle_loads_and_one_look_counts(tmp_path: Path) -> None:
    made = compile_bundle("esp32_devkit")
    write_slot(made, tmp_path)
    (tmp_path / "start.mpy").write_bytes(compiled(LOADER, (ROOT / LOADER).read_text()))
    modules = [file.path.removesuffix(".mpy").replace("/", ".") for file in made.files]
    modules = [name for name in modules if not name.endswith("__init__")]
    config = settings(wifi_name="home", wifi_password="a-long-password")
    head = f"MODULES = {modules!r}\nCONFIG = {config!r}\nROOT = {str(tmp_path)!r}\n"
    files = ("boards/esp32_devkit.py", "boards/parts/esp32_board.py", "firmware/app.py")
    rows = [(*name.partition(":"), made.names[name]) for name in made.names]
    own = {name: short for path, _, name, short in rows if path in files}
    script = tmp_path / "look.py"
    script.write_text(head + renamed(A_START, {**made.names, **own}))
    done = subprocess.run(
        [str(find_micropython()), "-X", "heapsize=16m", str(script)],
        env={**os.environ, "MICROPYPATH": f"{tmp_path}:{ROOT}:{ROOT / '.lib'}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "power_on [3, 2] 1"
