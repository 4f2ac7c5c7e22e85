"""The gateway's database file: opened by one process, used by one thread, schema by number."""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from gateway import upgrade
from gateway.errors import DamagedStore, NewerStore, StoreError, StoreFull, StoreInUse

APPLICATION_ID = 0x4F4C4757  # "OLGW", in the file's header
BUSY_S = 10  # how long a command waits for the running gateway's transaction
SCHEMA_DIR = Path(__file__).with_name("schema")

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

T = TypeVar("T")


def schema_files() -> list[Path]:
    """The numbered schema files in order; file N makes version N from version N - 1."""
    files = sorted(SCHEMA_DIR.glob("[0-9][0-9][0-9]_*.sql"))
    assert [int(file.name[:3]) for file in files] == list(range(1, len(files) + 1))
    return files


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, making or upgrading it as needed. Raises StoreError by name."""
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be opened: {error}; check [store] path") from None
    try:
        path.chmod(0o600)  # wrapped keys and password hashes live here
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit returns after fsync
        connection.execute("PRAGMA foreign_keys = ON")
        _upgrade(connection, path)
    except (sqlite3.Error, OSError) as error:
        connection.close()
        raise explain(error, path) from None
    except StoreError:
        connection.close()
        raise
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing database for looking only."""
    if not path.exists():
        raise StoreError(f"{path}: no such database; has the gateway run here once?")
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", timeout=BUSY_S, uri=True)
    try:
        _check_version(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise explain(error, path) from None
    except StoreError:
        connection.close()
        raise
    return connection


def explain(error: Exception, path: Path | str = "the database") -> StoreError:
    """SQLite's word for a failure, as one of ours with the next step."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"{path}: no space left; free some, the gateway then goes on by itself")
    if code in _DAMAGED:
        return DamagedStore(f"{path}: {error}; restore a backup and keep this file")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreInUse(f"{path}: another program holds it; stop that program")
    return StoreError(f"{path}: {error}; check the disk and the rights of the folder")


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    newest = len(schema_files())
    if version and owner != APPLICATION_ID:
        raise DamagedStore(f"{path}: not a gateway's database; check [store] path")
    if version > newest:
        raise NewerStore(
            f"{path}: has schema {version}, this version knows {newest}; install the newer gateway"
        )
    return version


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    version = _check_version(connection, path)
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not version and tables:
        raise DamagedStore(f"{path}: not a gateway's database; check [store] path")
    upgrade.register(connection)
    for number, file in enumerate(schema_files()[version:], start=version + 1):
        marks = f"PRAGMA user_version = {number}; PRAGMA application_id = {APPLICATION_ID};"
        # One transaction: a crash in between leaves the version before.
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{file.read_text()}\n{marks}\nCOMMIT;")
        except sqlite3.IntegrityError as error:
            raise DamagedStore(
                f"{path}: schema {number} does not take what is in it ({error}); nothing was"
                " changed: keep this file and restore a backup"
            ) from None


class Store:
    """The database of the running gateway. Everything runs on its one thread, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path)
        try:
            self.connection = connect(path)
        except BaseException:
            self._lock.close()
            raise
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction on the store's thread. Raises StoreError, rolled back."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return transact(self.connection, work)
        except sqlite3.Error as error:
            raise explain(error, self.path) from error

    def close(self) -> None:
        self._thread.shutdown()
        self.connection.close()
        self._lock.close()


def transact(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """BEGIN, work, COMMIT; rolled back whatever goes wrong, a full disk at COMMIT included."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _lock(path: Path) -> IO[bytes]:
    """Hold <path>.lock for the life of the process: two gateways would count frames twice."""
    try:
        file = path.with_name(path.name + ".lock").open("ab")
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; check [store] path") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StoreInUse(f"{path}: another gateway runs on it; stop that one first") from None
    return file
