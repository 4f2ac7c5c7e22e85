"""Lint, types and tests in one go: `python -m host_tools.check`, or `--format` to lay files out.

Everything runs even when an earlier step fails, so that one run shows all there is to mend. Tests
that have just passed on the very same files (host_tools/passed.py) are not run again.
"""

import subprocess
import sys
import time
from pathlib import Path

from host_tools import passed

ROOT = Path(__file__).resolve().parent.parent
TESTS = "tests, no skips"
TYPED = ("wire", "firmware", "boards", "gateway", "settlement", "host_tools", "bench")


def steps(root: Path) -> dict[str, list[str]]:
    """Returns step name -> arguments for this Python's -m."""
    typed = [name for name in TYPED if (root / name).is_dir()]
    return {
        "lint": ["ruff", "check", "."],
        "layout": ["ruff", "format", "--check", "."],
        "types": ["mypy", *typed, "tests/support", "tests/conftest.py"],
        TESTS: ["pytest"],  # tests/conftest.py fails a session that skips
    }


FORMAT_STEPS = {
    "order imports, drop unused": ["ruff", "check", "--fix-only", "--exit-zero", "."],
    "layout": ["ruff", "format", "."],
}


def run_all(todo: dict[str, list[str]], root: Path) -> list[str]:
    """Runs each step in turn; returns the names of those that failed."""
    failed = []
    for name, arguments in todo.items():
        print(f"== {name}: {' '.join(arguments)}", flush=True)
        begun_s = time.monotonic()
        code = subprocess.run([sys.executable, "-m", *arguments], cwd=root).returncode
        took_s = round(time.monotonic() - begun_s)
        print(f"== {name}: {'FAILED' if code else 'ok'} in {took_s} s", flush=True)
        if code:
            failed.append(name)
    return failed


def main(argv: list[str]) -> int:
    if argv not in ([], ["--format"]):
        print("usage: python -m host_tools.check [--format]", file=sys.stderr)
        return 2
    todo = FORMAT_STEPS if argv else steps(ROOT)
    if TESTS in todo and passed.holds(ROOT):
        print(f"== {TESTS}: all passed already, on these very files", flush=True)
        del todo[TESTS]
    try:
        failed = run_all(todo, ROOT)
    except KeyboardInterrupt:
        return 130
    if failed:
        print(f"failed: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
