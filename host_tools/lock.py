"""Resolves pyproject.toml into the two lock files, with hashes: `python -m host_tools.lock`.

The lock files hold for Python 3.11 and newer on Linux and macOS alike, and name no package index:
the one you use is your own setting. `--keep` changes only what pyproject.toml now demands.
"""

import os
import subprocess
import sys
from pathlib import Path

from host_tools.fetch_umqtt import pip_setting

ROOT = Path(__file__).resolve().parent.parent
RUN, DEV = "requirements.lock", "requirements-dev.lock"
COMPILE = (
    "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-emit-index-url",
    "--no-annotate", "--no-header", "pyproject.toml",
)  # fmt: skip


def commands(keep: bool) -> list[list[str]]:
    """Returns uv's arguments, in order; run is held to dev's versions, so dev can stand for run."""
    upgrade = [] if keep else ["--upgrade"]
    return [
        [*COMPILE, *upgrade, "--group", "pyproject.toml:dev", "--output-file", DEV],
        [*COMPILE, *upgrade, "--constraint", DEV, "--output-file", RUN],
    ]


def main(argv: list[str]) -> int:
    if argv not in ([], ["--keep"]):
        print("usage: python -m host_tools.lock [--keep]", file=sys.stderr)
        return 2
    # uv does not read pip's settings; an index of the user's own must still be asked.
    index = pip_setting("index-url")
    env = {"UV_DEFAULT_INDEX": index, **os.environ} if index else dict(os.environ)
    for arguments in commands(keep=bool(argv)):
        code = subprocess.run(
            [sys.executable, "-m", "uv", *arguments], cwd=ROOT, env=env
        ).returncode
        if code:
            print("lock: uv could not resolve; the lock files are unchanged", file=sys.stderr)
            return 1
    print(f"wrote {RUN} and {DEV}: run `make check` before you commit them")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
