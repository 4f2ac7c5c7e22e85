"""Leaves these tests out without systemd or strace; CI installs both, so there they run."""

import os
import shutil

_here = all(shutil.which(name) for name in ("systemd-analyze", "strace"))
collect_ignore_glob = [] if _here or os.environ.get("CI") else ["test_*.py"]
