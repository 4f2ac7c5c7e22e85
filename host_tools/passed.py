"""Remembers that every test passed on exactly these files, so that they need not run twice.

`make test` notes it, `make check` asks. What counts is the content of every file that git tracks or
would track, the Python and the set of packages: whatever else differs is another tree.
"""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

STAMP = Path(".pytest_cache/passed")
PACKAGES = Path(".venv/openlicznik.json")
AGE_S_MAX = 3 * 3600  # a test may depend on the day or on the machine's other programs


def tree_digest(root: Path) -> str | None:
    """SHA-256 in hex over all files of this tree and what runs them; None outside of git."""
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(asked, cwd=root, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    whole = hashlib.sha256(sys.version.encode())
    for name in [*sorted(set(listed.decode().split("\0")) - {""}), str(PACKAGES)]:
        path = root / name
        content = path.read_bytes() if path.is_file() else b"not a file"
        whole.update(f"{name}\0{len(content)}\0".encode() + hashlib.sha256(content).digest())
    return whole.hexdigest()


def note(root: Path, digest: str | None) -> None:
    """All tests have passed on the tree of this digest, which was taken before they ran."""
    if digest is not None and digest == tree_digest(root):
        (root / STAMP).parent.mkdir(exist_ok=True)
        (root / STAMP).write_text(digest)


def holds(root: Path) -> bool:
    """Whether they have, not long ago, and nothing is different since."""
    try:
        noted, age_s = (root / STAMP).read_text(), time.time() - (root / STAMP).stat().st_mtime
    except OSError:
        return False
    return 0 <= age_s <= AGE_S_MAX and noted == tree_digest(root)
