"""Builds `.venv` from a lock file when it is missing or stale.

Usage: python3 host_tools/venv.py run|dev. `run` is what `make run` needs; `dev` holds the same
versions and the test tools on top. It runs on the system's own Python with nothing but the standard
library, and stays readable to a Python too old to run it, which is told so in one line.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (before anything an older Python lacks)
    sys.exit("openlicznik needs Python 3.11 or newer; this python3 is " + sys.version.split()[0])

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK_FILES = {"run": "requirements.lock", "dev": "requirements-dev.lock"}
FROM_SOURCE = "esptool"  # its index has no wheel of it; everything else must come as a wheel
STAMP = "openlicznik.json"  # inside .venv; written last, so a half-built .venv has none
PIP_LOG = "pip.log"
PIP_STARTS = ("Collecting ", "Processing ")  # the line pip prints first for each package
# What pip prints -> what to say. In this order: a lost network also ends in "No matching".
EXPLAINED = (
    (
        ("DO NOT MATCH THE HASHES", "HASHES ARE REQUIRED"),
        "a package differs from its hash in the lock file; it was not installed",
    ),
    (("No space left",), "the disk is full: free about 500 MB and run make again"),
    (
        ("connection broken", "Failed to establish", "name resolution", "timed out"),
        "no route to a package index: check the network, or pip's index setting (pip config)",
    ),
    (
        ("No matching distribution",),
        "a package has no wheel for this system and Python, or your index lacks it",
    ),
)


class SetUpFailed(Exception):
    """The environment could not be built; the text is one line that says what to do next."""


def main(argv: list[str]) -> int:
    if len(argv) != 1 or argv[0] not in LOCK_FILES:
        print("usage: python3 host_tools/venv.py run|dev", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as for Ctrl-C: tidily
    try:
        with one_at_a_time(ROOT):
            ensure(ROOT, argv[0])
    except SetUpFailed as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up: stopped; the next make starts it again", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Holds the repository's folder locked, so that two makes do not build one .venv."""
    folder = os.open(root, os.O_RDONLY)
    os.set_inheritable(folder, True)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another make is setting up; waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def ensure(root: Path, kind: str) -> None:
    """Makes `.venv`, the MicroPython unix port and umqtt ready for `kind` (run or dev).

    Raises SetUpFailed.
    """
    wanted = wanted_stamp(root)
    built = read_stamp(root)
    if not serves(built, wanted, kind):
        if built is None or not serves(built, wanted, "run"):
            create(root)
            built = None
        install(root, kind)
        locks = {**(built or {}).get("locks", {}), kind: wanted["locks"][kind]}
        write_stamp(root, {**wanted, "locks": locks})
    check_micropython(root)
    fetch_umqtt(root)


def wanted_stamp(root: Path) -> dict[str, Any]:
    """Returns what a fresh `.venv` would say of itself; raises SetUpFailed without lock files."""
    locks = {}
    for kind, name in LOCK_FILES.items():
        try:
            locks[kind] = hashlib.sha256((root / name).read_bytes()).hexdigest()
        except FileNotFoundError:
            raise SetUpFailed(f"{name} is missing: restore it with `git checkout {name}`") from None
    # The scripts in .venv/bin name the folder, so a moved clone needs a new one.
    return {"python": sys.version, "base": sys.base_prefix, "root": str(root), "locks": locks}


def serves(built: dict[str, Any] | None, wanted: dict[str, Any], kind: str) -> bool:
    """Says whether a built `.venv` serves `kind`. One built for dev serves run as well."""
    if built is None or any(built.get(key) != wanted[key] for key in ("python", "base", "root")):
        return False
    locks = built.get("locks", {})
    kinds = ("run", "dev") if kind == "run" else ("dev",)
    return any(locks.get(name) == wanted["locks"][name] for name in kinds)


def read_stamp(root: Path) -> dict[str, Any] | None:
    """Returns what `.venv` says of itself; None when it is missing, half built or unreadable."""
    try:
        stamp = json.loads((root / ".venv" / STAMP).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    works = os.access(root / ".venv/bin/python", os.X_OK)
    return stamp if works and isinstance(stamp, dict) else None


def write_stamp(root: Path, stamp: dict[str, Any]) -> None:
    # Renamed into place, so that no reader ever sees half of it.
    part = root / ".venv" / (STAMP + ".part")
    part.write_text(json.dumps(stamp), "utf-8")
    part.replace(root / ".venv" / STAMP)


def create(root: Path) -> None:
    """Makes an empty `.venv` in place of whatever is there."""
    say("creating .venv")
    (root / ".venv" / STAMP).unlink(missing_ok=True)
    printed: list[str] = []
    command = [sys.executable, "-m", "venv", "--clear", str(root / ".venv")]
    if run_child(command, root, printed.extend):
        text = "".join(printed)
        hint = "install your system's python3-venv package" if "ensurepip" in text else ""
        raise SetUpFailed(f"python3 cannot make a .venv: {hint or last_line(text)}")


def run_child(command: list[str], root: Path, read: Callable[[Iterable[str]], None]) -> int:
    """Runs a program, hands its lines to `read` as they come, and returns its exit code.

    The program has a process group of its own, ended with its children when we are interrupted:
    nothing goes on writing behind our back. It inherits the folder's lock, for the case that we
    are killed before we can do that.
    """
    child = subprocess.Popen(
        command,
        cwd=root,  # not host_tools, where this file would stand in for the venv module
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        close_fds=False,
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        read(child.stdout)
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    finally:
        child.stdout.close()
        child.wait()
    return child.returncode


def install(root: Path, kind: str) -> None:
    """Installs a lock file into `.venv`; every file is checked against its hash."""
    lock = root / LOCK_FILES[kind]
    total = len(re.findall(r"^[^ ]+==", lock.read_text("utf-8"), re.MULTILINE))
    say(f"installing up to {total} packages from {lock.name}, once (a minute or so)")
    command = [str(root / ".venv/bin/python"), "-m", "pip", "install", "--require-hashes",
               "--only-binary", ":all:", "--no-binary", FROM_SOURCE, "--no-input",
               "--disable-pip-version-check", "--progress-bar", "off", "-r", str(lock)]  # fmt: skip
    log = root / ".venv" / PIP_LOG
    if run_child(command, root, lambda lines: follow(lines, log, total)):
        raise SetUpFailed(explain(log.read_text("utf-8"), log))


def follow(lines: Iterable[str], log: Path, total: int) -> None:
    """Keeps pip's output in a log and shows how far it is."""
    collected = 0
    with log.open("w", encoding="utf-8") as log_file:
        for line in lines:
            log_file.write(line)
            if line.startswith(PIP_STARTS):
                collected += 1
                progress(min(collected, total), total, line.split()[1].rpartition("/")[2])
            elif line.startswith("Installing collected"):
                progress(total, total, "unpacking")
    if sys.stdout.isatty():
        print()


def progress(done: int, total: int, name: str) -> None:
    """Shows how far the installation is: one moving line on a terminal, a few lines elsewhere."""
    if sys.stdout.isatty():
        print(f"\r\x1b[Kset-up: {done}/{total} {name[:60]}", end="", flush=True)
    elif done % 20 == 0 or done == total:
        say(f"{done}/{total} {name}")


def explain(log: str, path: Path) -> str:
    """Returns one line on why pip failed and what to do next."""
    for signs, text in EXPLAINED:
        if any(sign in log for sign in signs):
            return f"{text} (see {path})"
    return f"pip failed: {last_line(log)} (see {path})"


def check_micropython(root: Path) -> None:
    """Raises SetUpFailed when there is no MicroPython unix port to run a meter on."""
    named = os.environ.get("MICROPYTHON", "")
    if named and not os.access(named, os.X_OK):
        raise SetUpFailed(f"MICROPYTHON={named} is not a program: name a MicroPython unix port")
    if not named and not os.access(root / ".venv/bin/micropython", os.X_OK):
        system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
        raise SetUpFailed(
            f"no MicroPython wheel for this system ({system}): "
            "build its unix port and set MICROPYTHON=/path/to/micropython"
        )


def fetch_umqtt(root: Path) -> None:
    """Raises SetUpFailed when umqtt is neither here nor to be had."""
    fetched = subprocess.run(
        [str(root / ".venv/bin/python"), "-m", "host_tools.fetch_umqtt"],
        cwd=root,
        stdin=subprocess.DEVNULL,  # an index that wants a password is told no; nothing waits
        stderr=subprocess.PIPE,
        text=True,
    )
    if fetched.returncode:
        raise SetUpFailed(last_line(fetched.stderr))


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def say(text: str) -> None:
    print(f"set-up: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
