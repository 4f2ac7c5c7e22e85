"""`keys rewrap`: a new master key, step by step; cut off anywhere, running it again finishes it.

    1. the new key is written into its own file, on disk
    2. every wrapped key moves under it, in one transaction
    3. the files change places; the old key is kept for backups made before

The gateway must be stopped: it holds the old master key in memory.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from gateway import audit, master_key, store
from gateway.errors import MasterKeyError, UsageError

ACTION = "key.rewrap"


class Done(NamedTuple):
    """What came of it."""

    keys: int  # moved in this run; 0 when an earlier run had moved them
    kept: Path | None  # where the master key of before is now


def rewrap(path: Path, connection: sqlite3.Connection, actor: str, now_s: int) -> Done:
    """Replace the master key in `path` by a new one. Raises MasterKeyError, DamagedStore."""
    upcoming = master_key.next_path(path)
    if not upcoming.exists():
        master_key.write_master_key(upcoming)
    old, new = master_key.read_master_key(path), master_key.read_master_key(upcoming)
    moved = move(connection, old, new, actor, now_s)
    kept = path.with_name(f"{path.name}.until-{now_s}")
    kept.unlink(missing_ok=True)  # of a run cut off in this very second
    master_key.take_turns(path, kept)
    return Done(moved, kept)


def move(connection: sqlite3.Connection, old: bytes, new: bytes, actor: str, now_s: int) -> int:
    """Every wrapped key from one master key to another; how many. 0 when they were moved before.

    Raises MasterKeyError, DamagedStore or UsageError, and then nothing was changed.
    """
    if old == new:
        raise UsageError("the new master key is the old one; remove the new file and repeat")

    def work(connection: sqlite3.Connection) -> int:
        if connection.execute("SELECT 1 FROM secret_check").fetchone() is None:
            raise UsageError("this database has no keys yet; just use the new master key file")
        if master_key.bind(connection, new):
            return 0  # an earlier run came so far
        if not master_key.bind(connection, old):
            raise MasterKeyError("the master key is not this database's; put the right file back")
        count = master_key.rewrap(connection, old, new)
        audit.record(connection, actor, ACTION, "", {"keys": count}, now_s)
        return count

    moved = store.transact(connection, work)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # nothing under the old key stays there
    return moved
