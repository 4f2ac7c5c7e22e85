"""The database of the settlement service: opening, schema steps, transactions, named failures.

SQLite in WAL mode with synchronous=FULL: a commit is on the disk when it returns. One connection
writes and another reads, each behind its own lock, so that threads may share a Store.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA_FOLDER = Path(__file__).parent
BUSY_TIMEOUT_MS = 5000


class StoreError(Exception):
    """The database did not do what was asked; nothing of the transaction was kept."""

    reason = "store_failed"


class StorageFull(StoreError):
    """No room left on the disk: free space, then send again."""

    reason = "storage_full"


class StoreBusy(StoreError):
    """Another program holds the database: send again a little later."""

    reason = "store_busy"


class NewerDatabase(StoreError):
    """The database was written by a newer version of this program: update the program."""

    reason = "newer_database"


class NotADatabase(StoreError):
    """The file is not a database of this service: check `path` under [store]."""

    reason = "not_a_database"


class Store:
    """An open database. Close it when done."""

    def __init__(self, path: Path) -> None:
        """Opens or creates `path`. Raises NewerDatabase, NotADatabase, StorageFull, StoreError."""
        with named_failures():
            self._writer = _connect(path)
            try:
                migrate(self._writer)
                self._reader = _connect(path)
                self._reader.execute("PRAGMA query_only = ON")
            except BaseException:
                self._writer.close()
                raise
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: everything inside is kept together or not at all."""
        with self._write_lock, named_failures(), transaction(self._writer):
            yield self._writer

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A consistent view: everything read inside belongs to one instant."""
        with self._read_lock, named_failures(), transaction(self._reader, "DEFERRED"):
            yield self._reader

    def limit_pages(self, pages_max: int) -> None:
        """Caps the file at this many pages, so that a full disk can be rehearsed."""
        with self._write_lock, named_failures():
            self._writer.execute(f"PRAGMA max_page_count = {pages_max:d}")

    def close(self) -> None:
        """Waits for what is under way and closes both connections."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """An open database, closed afterwards. Raises like Store."""
    store = Store(path)
    try:
        yield store
    finally:
        store.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """BEGIN and COMMIT, or ROLLBACK of everything when anything is raised inside."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite rolls back by itself on a full disk; a second ROLLBACK would hide the cause.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def named_failures() -> Iterator[None]:
    """Turns failures of SQLite into StoreError with a reason and a next step."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # a broken invariant of ours is a bug, not a failure of the disk
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise StorageFull("the disk is full: free space, nothing was kept") from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreBusy("the database is in use by another program: try again") from error
        if code == sqlite3.SQLITE_NOTADB:
            raise NotADatabase("not a database of this service: check [store] path") from error
        raise StoreError(f"the database failed: {error}") from error


def schema_steps() -> list[tuple[int, Path]]:
    """The numbered schema files in order, 1, 2, 3 ... without holes."""
    steps = sorted((int(path.name[:3]), path) for path in SCHEMA_FOLDER.glob("[0-9]*.sql"))
    assert [number for number, _ in steps] == list(range(1, len(steps) + 1))
    return steps


def migrate(connection: sqlite3.Connection) -> None:
    """Applies the schema files that this database has not seen, each in one transaction.

    Raises NewerDatabase when it has seen more than this program knows.
    """
    steps = schema_steps()
    seen: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if seen > len(steps):
        raise NewerDatabase(
            f"the database has schema {seen}, this program knows {len(steps)}: update the program"
        )
    for number, path in steps[seen:]:
        with transaction(connection):
            for statement in statements(path.read_text(encoding="utf-8")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")


def statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one (executescript would commit on its own)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    assert not statement.strip(), "the last statement of the script is not finished"
