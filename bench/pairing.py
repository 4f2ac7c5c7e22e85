"""Pairing on virtual boards without flashing, eight at once against one by one, doctor's verdict.

A board is the MicroPython unix port behind a pty, talked to by real mpremote; the gateway is a real
one beside it. A chip on a serial line of 115200 Bd takes longer.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.gateway_programs import program
from host_tools.device import Device, PortBusy
from host_tools.doctor import doctor
from host_tools.line.probe import probe
from host_tools.pairing import fleet, pair
from host_tools.pairing.fleet import Order
from host_tools.pairing.gateway_client import GatewayClient
from host_tools.pairing.setup import Admin, Gateway, Meter, Setup
from host_tools.pairing.work import Job, Tools
from tests.support.admin import ADMIN_TOKEN, a_config
from tests.support.virtual import an_image
from tests.support.virtual.virtual_board import VirtualBoard

ROUNDS = 3
BATCH = 8
OPEN_TRIES, OPEN_PAUSE_S = 20, 0.01
PAIR_S_MAX, FIRST_S_MAX, RATIO_MIN = 10.0, 5.0, 4.0  # the targets
_ROW = "{:<44}{:>8}{:>8}{:>8}   {}"
# As shipped, a board of this kind starts again and again until it is paired, because it has no
# Improv to wait in, and eight of them take all of a small computer.
_MAIN = b"import os\nif 'config.json' in os.listdir('/'):\n import start\n start.boot()\n"


@contextmanager
def boards(folder: Path, count: int, first: int) -> Iterator[list[VirtualBoard]]:
    """Flashed and started, never paired: waiting at their prompts."""
    with ExitStack() as stack:
        made = []
        for number in range(first, first + count):
            board = VirtualBoard(folder / str(number), number=number)
            an_image.flash(board, {**an_image.application(), "main.py": _MAIN})
            made.append(stack.enter_context(board))
        for board in made:
            board.wait_for(">>> ", within_s=60.0)
        yield made


@contextmanager
def a_workshop(folder: Path) -> Iterator[Callable[[str], Job]]:
    """A gateway of its own, and what is to be done to the board on a port."""
    token_file = folder / "token"
    token_file.write_text(ADMIN_TOKEN)
    token_file.chmod(0o600)
    (folder / "gateway").mkdir()
    with program("gateway", "run", "--config", str(a_config(folder / "gateway"))) as process:
        port, http_port = listening(process)
        admin = Admin(f"http://127.0.0.1:{http_port}", str(token_file))
        setup = Setup(gateway=Gateway("127.0.0.1", port), admin=admin, meter=Meter())

        def job(port: str) -> Job:
            return Job(
                port=port, technician="bench", state=folder / "state", labels=folder / "labels",
                setup=setup, gateway=GatewayClient.of(admin),
            )  # fmt: skip

        yield job


def listening(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Ports of meters and of the admin interface; the log is read on, so that it is never full."""
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        if "http_port" in told:
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return int(told["port"]), int(told["http_port"])
    raise RuntimeError("the gateway ended before it listened")


def pair_one(job: Callable[[str], Job], port: str) -> dict[str, Any]:
    """As the command does it, up to the first reading, label and audit line."""
    return pair.pair(job(port), Tools(probe=probe, open=opened), lambda _: None)


def opened(port: str) -> Device:
    """A child of this process that is just being started may hold the probe's lock for a moment."""
    for _ in range(OPEN_TRIES):
        try:
            return Device.open(port)
        except PortBusy:
            time.sleep(OPEN_PAUSE_S)
    return Device.open(port)


def timed(act: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began_s = time.perf_counter()
    act()
    return time.perf_counter() - began_s


def measure_pairing(folder: Path, job: Callable[[str], Job]) -> tuple[list[float], list[float]]:
    """Seconds for each of eight one by one, and for eight at once, in turn."""
    one_by_one: list[float] = []
    at_once: list[float] = []
    for turn in range(ROUNDS):
        first = 2 * turn * BATCH + 1
        for number in range(first, first + BATCH):
            with boards(folder, 1, number) as (board,):
                one_by_one.append(timed(partial(pair_one, job, board.port)))
        with boards(folder, BATCH, first + BATCH) as made:
            at_once.append(timed(partial(pair_all, job, [board.port for board in made])))
    return one_by_one, at_once


def pair_all(job: Callable[[str], Job], ports: list[str]) -> None:
    """As `fleet` does it."""
    orders = [Order(port) for port in ports]
    done = fleet.run(orders, lambda order, _: pair_one(job, order.port), lambda _: None, BATCH)
    failed = [f"{one.stage}: {one.detail}" for one in done if not one.good]
    assert not failed, failed


def measure_doctor(folder: Path, job: Callable[[str], Job]) -> Iterator[tuple[str, list[float]]]:
    """Seconds to the first verdict on a board in several states; to the last one on a meter."""
    states: dict[str, Callable[[VirtualBoard], object]] = {
        "a meter": lambda board: board.wait_for('"state": "up"'),
        "ROM bootloader": VirtualBoard.enter_bootloader,
        "silent, the slowest": VirtualBoard.power_off,
    }
    with boards(folder, 1, 1000) as (board,):
        pair_one(job, board.port)
        for name, make in states.items():
            firsts, wholes = [], []
            for _ in range(ROUNDS):
                make(board)
                began_s = time.perf_counter()
                found = doctor(board.port)
                firsts.append(found.first_s)
                wholes.append(time.perf_counter() - began_s)
            yield f"doctor, first verdict: {name}", firsts
            if found.checks:
                yield f"doctor, {len(found.checks)} checks: {name}", wholes


def row(name: str, seconds: list[float], told: str = "") -> str:
    """One line of the table."""
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    return _ROW.format(name, f"{middle:.2f}", f"{low:.2f}", f"{high:.2f}", told).rstrip()


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with a_workshop(folder) as job:
            one_by_one, at_once = measure_pairing(folder, job)
            verdicts = list(measure_doctor(folder, job))
    eight_s = BATCH * statistics.median(one_by_one)
    ratio = eight_s / statistics.median(at_once)
    print(_ROW.format("seconds", "median", "least", "most", "target").rstrip())
    print(row("pair one board, to its first reading", one_by_one, f"{PAIR_S_MAX:g} at most"))
    print(row(f"pair {BATCH} boards at once", at_once))
    for told, seconds in verdicts:
        first = "first" in told
        print(row(told, seconds, f"{FIRST_S_MAX:g} at most" if first else ""))
    print(
        f"{BATCH} at once against one by one ({eight_s:.1f} s): {ratio:.1f} times as fast,"
        f" at least {RATIO_MIN:g} wanted"
    )


if __name__ == "__main__":
    main()
