"""Error of the CT metering on synthetic mains, and pairs of samples a second on both runtimes."""

import json
import sys
import time

from firmware import calibration
from firmware.metrology import Metrology
from tests.support.mains import (
    CONDITIONS,
    CURRENTS_A,
    NOMINAL_V,
    PAIRS,
    SETTINGS,
    STARTING_A,
    a_window,
    enough_windows,
    error_percent,
    limit_percent,
    windows_of,
)


def pairs_a_second() -> int:
    """How many pairs of samples of one phase this runtime measures in a second."""
    meter = Metrology(calibration.parse(SETTINGS))
    samples = a_window(CONDITIONS[0], 10, 0)
    count, start = 0, time.time()
    while time.time() - start < 1:
        meter.take(samples, PAIRS)
        count += PAIRS
    return int(count / (time.time() - start))


def row_of(current_a: float, windows: int) -> str:
    """One row of the table: the worst error of all conditions."""
    errors = [(error_percent(mains, current_a, windows), mains.name) for mains in CONDITIONS]
    worst, name = max(errors, key=lambda error: abs(error[0]))
    limit = f"{limit_percent(current_a)} %" if limit_percent(current_a) else "-"
    return f"{current_a:>6} A{limit:>8}{worst:>+8.2f} %   {name}"


def main() -> None:
    """Print the table of errors, the creep, and the speed."""
    import subprocess

    from host_tools.micropython import ROOT, find_micropython, micropython_env

    print(f"{'current':>8}{'limit':>8}{'worst':>9}   of {len(CONDITIONS)} conditions")
    for current_a in CURRENTS_A:
        print(row_of(current_a, enough_windows(current_a)), flush=True)
    idle = windows_of(CONDITIONS[0]._replace(volts=1.15 * NOMINAL_V), 0, 1000)
    print(f"no load, 1.15 Un: {sum(1 for window in idle if window.power_mw)} of 1000 windows count")
    starting = windows_of(CONDITIONS[0], STARTING_A, 200)
    part = sum([window.power_mw for window in starting]) / 200 / (NOMINAL_V * STARTING_A * 10)
    print(f"starting current {1000 * STARTING_A:.0f} mA: {part:.0f} % of its energy counted")
    command = [str(find_micropython()), "-m", "bench.metrology"]
    done = subprocess.run(
        command, cwd=ROOT, env=micropython_env(), check=True, capture_output=True, text=True
    )
    print(f"pairs a second: unix port {json.loads(done.stdout):,}, CPython {pairs_a_second():,}")


if __name__ == "__main__":
    if sys.implementation.name == "micropython":
        print(json.dumps(pairs_a_second()))
    else:
        main()
