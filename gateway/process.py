"""What we ask of the system and of Python for our process: open files, and calm collections."""

from __future__ import annotations

import gc
import resource

SPARE_FILES = 64  # for the database, the log and what Python itself opens
YOUNG_OBJECTS = 50_000  # made before a collection of the young ones; 700 by default
OLD_COLLECTIONS = 50  # of the middle generation before one of everything; 10 by default


def raise_file_limit() -> int:
    """Raise the soft limit to the hard one; returns the connections that there is room for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - SPARE_FILES


def calm_collections() -> None:
    """Look for garbage in cycles rarely, and never in what is there now.

    A frame leaves none, and a look at everything holds up every PUBACK of that moment (bench
    gateway, p99 at 1,000 connections).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, OLD_COLLECTIONS)
