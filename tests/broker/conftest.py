"""Leaves these tests out where there is no mosquitto; CI installs one, so there they always run."""

import os

from tests.support.mosquitto import find_mosquitto

collect_ignore_glob = [] if find_mosquitto() or os.environ.get("CI") else ["test_*.py"]
