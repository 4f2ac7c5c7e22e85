"""Leaves these tests out where there is no browser; CI installs one, so there they always run."""

import os

from tests.support.browser import find_chromium

collect_ignore_glob = [] if find_chromium() or os.environ.get("CI") else ["test_*.py"]
