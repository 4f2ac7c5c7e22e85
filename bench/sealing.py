"""Frames sealed and opened per second, on both runtimes, beside plain JSON of the same readings."""

# This file is its own challenger: the same source runs under CPython and, through `main`, on the
# MicroPython unix port, and prints one JSON object there.

import json
import sys
import time

from wire import frame, messages, topics
from wire.keys import DOWN, UP, EpochKey
from wire.messages import Profile, Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
ROUND_S = 0.3
METER = bytes(range(8))
TOPIC = topics.up(METER)
TOPIC_DOWN = topics.down(METER)
KEY = EpochKey(0, bytes(range(32)))
DAY_PART = Profile(
    1,
    1,
    1729202400,
    900,
    (1, 2),
    (12345678, 2345678),
    (tuple([90 + 7 * n for n in range(24)]), tuple([n % 3 for n in range(24)])),
    (0,) * 24,
)
ONE = Profile(1, 1, 1729202400, 900, (1, 2), (12345678, 2345678), ((100,), (3,)), (0,))
RECEIPT = frame.seal(KEY, DOWN, 1, TOPIC_DOWN, messages.encode(Receipt(1, 1, 1729202400)))
AS_JSON = {"start": 1729202400, "1.8.0": list(DAY_PART.deltas_wh[0])}
AS_JSON["2.8.0"] = list(DAY_PART.deltas_wh[1])


def seal_one() -> bytes:
    """One interval in two registers, from message to frame."""
    return frame.seal(KEY, UP, 1, TOPIC, messages.encode(ONE))


def seal_day_part() -> bytes:
    """Six hours: 24 intervals in two registers."""
    return frame.seal(KEY, UP, 1, TOPIC, messages.encode(DAY_PART))


def open_receipt() -> object:
    """From frame to message."""
    return messages.decode(frame.open(KEY, RECEIPT, TOPIC_DOWN), DOWN)


def plain_json() -> str:
    """What many meters send: the same six hours, neither sealed nor packed."""
    return json.dumps(AS_JSON)


WORK = (
    ("frame of 1 interval x 2 sealed", seal_one),
    ("frame of 24 intervals x 2 sealed", seal_day_part),
    ("receipt opened", open_receipt),
    ("plain JSON of 24 x 2, unsealed", plain_json),
)


def rate(work: "Callable[[], object]") -> int:
    """Times a second, the median of ROUNDS rounds."""
    rates = []
    for _ in range(ROUNDS):
        count = 0
        start = time.time()
        while time.time() - start < ROUND_S:
            for _ in range(20):
                work()
            count += 20
        rates.append(count / (time.time() - start))
    return int(sorted(rates)[ROUNDS // 2])


def measure() -> "dict[str, int]":
    """Every piece of work and its rate on this runtime."""
    return {name: rate(work) for name, work in WORK}


def main() -> None:
    """Print both runtimes and their ratio."""
    import subprocess

    from host_tools.micropython import ROOT, find_micropython, micropython_env

    command = [str(find_micropython()), "-m", "bench.sealing"]
    done = subprocess.run(
        command, cwd=ROOT, env=micropython_env(), check=True, capture_output=True, text=True
    )
    device = json.loads(done.stdout)
    host = measure()
    print(f"{'a second, median of ' + str(ROUNDS):<36}{'unix port':>12}{'CPython':>12}{'ratio':>8}")
    for name, _ in WORK:
        print(f"{name:<36}{device[name]:>12,}{host[name]:>12,}{host[name] / device[name]:>8.1f}")
    print(
        f"bytes: frame of 24 x 2 {len(seal_day_part())}, frame of 1 x 2 {len(seal_one())},"
        f" JSON of 24 x 2 {len(plain_json())}"
    )


if __name__ == "__main__":
    if sys.implementation.name == "micropython":
        print(json.dumps(measure()))
    else:
        main()
