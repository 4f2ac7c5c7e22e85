"""What the meter costs: bytes of .mpy by room, heap of a week, bytes on the air, work of a frame.

Work is counted in instructions by valgrind's callgrind, as the difference of a run with 220 frames
and one with 20, divided by 200: so neither the interpreter's start nor the imports are in it. The
heap is collected after each frame, and what that costs alone is taken off.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from host_tools import bundle
from host_tools.bundle import Bundle, compile_bundle
from host_tools.bundling.short_names import renamed
from host_tools.micropython import ROOT, find_micropython
from tests.support.a_week import INTERVALS, run_week
from wire import topics

INSTRUCTIONS_MAX = 500_000  # of one frame of 24 intervals x 2, sealed and encoded
PACKET_BYTES_MAX = 190  # of that frame as a whole MQTT packet at QoS 1
TOPIC = topics.up(bytes(8))
FEW, MANY = 20, 220
HEAPS_KIB = range(64, 161, 4)
EXPORTS = ROOT / "tests/vectors/elicznik"

# One frame of 24 intervals x 2, of hours as `DELTAS` has them, on the device's code.
A_FRAME = f"""
from wire import frame, messages
from wire.keys import EpochKey
KEY = EpochKey(0, bytes(range(32)))
TOPIC = {TOPIC!r}
def a_frame(first, deltas):
    profile = messages.Profile(first, 1, 1729202400, 900, (1, 2), (12345678, 2345678), deltas,
                               (0,) * len(deltas[0]))
    return frame.seal(KEY, 1, first, TOPIC, messages.encode(profile))
DELTAS = (tuple([90 + 7 * n for n in range(24)]), tuple([n % 3 for n in range(24)]))
"""
A_LOOP = "import gc\nfor number in range({}):\n    {}\n    gc.collect()\n"
COUNTED = (
    A_FRAME
    + """
import gc, json, wire.ccm, wire.keys, hashlib
calls = {"aes": 0, "sha256": 0}
def counted(name, make):
    def made(*arguments):
        calls[name] += 1
        return make(*arguments)
    return made
a_frame(1, DELTAS)
gc.collect()
gc.disable()
before = gc.mem_alloc()
a_frame(2, DELTAS)
calls["heap_bytes"] = gc.mem_alloc() - before
wire.ccm.aes = counted("aes", wire.ccm.aes)
class Hashes:
    sha256 = counted("sha256", hashlib.sha256)
wire.keys.hashlib = Hashes
a_frame(3, DELTAS)
print(json.dumps(calls))
"""
)
FRAMES = (
    A_FRAME
    + """
import json, sys
sizes = []
for number, deltas in enumerate(json.loads(sys.stdin.readline())):
    sizes.append(len(a_frame(number + 1, [tuple(row) for row in deltas])))
print(json.dumps(sizes))
"""
)


def main() -> int:
    """Print the four tables."""
    unix = compile_bundle("unix")
    for board in bundle.BOARDS:
        print(f"-- {board}: bytes of .mpy")
        print(bundle.table(compile_bundle(board)))
    print("-- heap: smallest that runs the recorded week, in KiB of 32-bit words")
    print(f"{smallest_heap_kib(unix)} ({INTERVALS} intervals; a word has 64 bits here)")
    sizes = packet_bytes(unix)
    print(f"-- packets of 24 x 2, bytes of {PACKET_BYTES_MAX}: {len(sizes)} of recorded days,")
    print(f"smallest {min(sizes)}, largest {max(sizes)}")
    print(f"-- work of one frame of 24 x 2, counted: {work_of_a_frame(unix)}")
    print(f"instructions of {INSTRUCTIONS_MAX:,}: {instructions(unix)}")
    return 0


def smallest_heap_kib(made: Bundle) -> int:
    """By halving; 0 when not even the largest is enough."""
    low, high = 0, len(HEAPS_KIB)
    while low < high:
        middle = (low + high) // 2
        with tempfile.TemporaryDirectory() as folder:
            week = run_week(Path(folder), made, f"{HEAPS_KIB[middle]}wk")
        if week.intervals == INTERVALS:
            high = middle
        else:
            low = middle + 1
    return HEAPS_KIB[low] if low < len(HEAPS_KIB) else 0


def packet_bytes(made: Bundle) -> list[int]:
    """Whole MQTT packets of every run of 24 quarters of an hour in the recorded exports."""
    runs = []
    for export in sorted(EXPORTS.glob("*.csv")):
        told = [sys.executable, "-m", "settlement", "elicznik", str(export)]
        rows = subprocess.check_output(told, cwd=ROOT, text=True).splitlines()
        hours = [[int(cell) for cell in row.split(",")[1:]] for row in rows]
        for first in range(len(hours) - 5):
            six = hours[first : first + 6]
            runs.append([[quarter(hour[c], q) for hour in six for q in range(4)] for c in (0, 1)])
    frames = json.loads(run(made, FRAMES, json.dumps(runs) + "\n"))
    return [packet_of(size) for size in frames]


def quarter(hour_wh: int, number: int) -> int:
    """The energy of one quarter of an hour; the four sum to the hour."""
    return hour_wh * (number + 1) // 4 - hour_wh * number // 4


def packet_of(frame_bytes: int) -> int:
    """PUBLISH at QoS 1 (MQTT 3.1.1 section 3.3): type, length, topic, packet id, frame."""
    rest = 2 + len(TOPIC) + 2 + frame_bytes
    return 1 + (1 if rest < 128 else 2) + rest


def work_of_a_frame(made: Bundle) -> dict[str, int]:
    """Calls of AES and SHA-256, and bytes of heap, for one frame of 24 x 2."""
    counted: dict[str, int] = json.loads(run(made, COUNTED))
    return counted


def instructions(made: Bundle) -> str:
    """Instructions of one frame, or what to install to know."""
    if shutil.which("valgrind") is None:
        return "not counted: install valgrind"
    counts = {}
    for body in ("a_frame(number + 1, DELTAS)", "pass"):
        few, many = (
            _callgrind(made, A_FRAME + A_LOOP.format(count, body)) for count in (FEW, MANY)
        )
        counts[body] = (many - few) // (MANY - FEW)
    with_frame, without = counts.values()
    return f"{with_frame - without:,}"


def run(made: Bundle, script: str, given: str = "", prefix: tuple[str, ...] = ()) -> str:
    """What a script prints on the unix port that sees nothing but the bundle.

    It is written with the names of our source, and runs with those of the bundle.
    """
    with tempfile.TemporaryDirectory() as name:
        bundle.write_slot(made, Path(name))
        program = [str(find_micropython())]
        if prefix:  # a launcher in Python: valgrind wants the interpreter itself
            program = [*prefix, sys.executable, *program]
        done = subprocess.run(
            [*program, "-X", "heapsize=256k", "-c", renamed(script, made.names)],
            env={
                **os.environ,
                "PYTHONHASHSEED": "0",
                "MICROPYPATH": f"{name}:{ROOT / '.lib'}:.frozen",
            },
            cwd=name,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout + (done.stderr if prefix else "")


def _callgrind(made: Bundle, script: str) -> int:
    prefix = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
    found = re.search(r"Collected : (\d+)", run(made, script, prefix=prefix))
    if found is None:
        raise RuntimeError("valgrind told no count of instructions")
    return int(found.group(1))


if __name__ == "__main__":
    sys.exit(main())
