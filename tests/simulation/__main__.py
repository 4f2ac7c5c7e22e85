"""`make simulate SEED=7` replays one history; without a seed, new ones until one fails."""

import sys
import time

from tests.simulation.history import run

SEEDS = 10


def main(arguments: list[str]) -> int:
    """Run the named seed, or SEEDS new ones; 1 when a history does not hold."""
    if len(arguments) > 1 or (arguments and not arguments[0].isdigit()):
        print("usage: make simulate [SEED=NUMBER]", file=sys.stderr)
        return 2
    first = time.time_ns() % 1_000_000_000
    seeds = [int(arguments[0])] if arguments else range(first, first + SEEDS)
    for seed in seeds:
        try:
            print(f"seed {seed}: {run(seed)}", flush=True)
        except AssertionError as error:
            print(f"seed {seed}: does not hold: {error}", file=sys.stderr)
            if arguments:
                raise
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
