"""Every benchmark in turn: `make bench`, or `make bench ARGS=sealing` for one."""

import argparse
import importlib
import sys

BENCHES = (
    "sealing",
    "gateway",
    "forwarding",
    "scale",
    "firmware",
    "flash",
    "pulses",
    "metrology",
    "pairing",
)


def main() -> int:
    """Run the named benchmarks, all by default."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}")
    names = parser.parse_args().names or list(BENCHES)
    for name in names:
        if name not in BENCHES:
            parser.error(f"no benchmark {name!r}: choose of {', '.join(BENCHES)}")
    for name in names:
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
