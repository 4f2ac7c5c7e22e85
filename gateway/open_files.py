"""How many files, and so connections, the process may have open: as many as the system allows."""

from __future__ import annotations

import resource

SPARE_FILES = 64  # for the database, the log and what Python itself opens


def raise_limit() -> int:
    """Raise the soft limit to the hard one; returns the connections that there is room for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - SPARE_FILES
