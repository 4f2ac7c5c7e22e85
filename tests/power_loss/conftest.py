"""Leaves these tests out where there is no strace; CI installs one, so there they always run."""

import os
import shutil

collect_ignore_glob = [] if shutil.which("strace") or os.environ.get("CI") else ["test_*.py"]
