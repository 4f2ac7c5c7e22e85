"""The master key: its file or systemd credential, and how every wrapped key moves to a new one.

The new key lies in a file of its own, synced, before the database is touched; one transaction wraps
everything anew; then the files change places. So after a crash at any step the old file or the new
one fits, and both are tried.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import keywrap

from gateway import config as config_file
from gateway.config import read_bounded, read_secret
from gateway.errors import DamagedStore, MasterKeyError, UsageError

MASTER_KEY_BYTES = 32
CREDENTIALS = "CREDENTIALS_DIRECTORY"  # systemd.exec(5), LoadCredential=
NEXT = ".new"  # what the file of the next master key ends in, until it is the master key

_CHECK = b"openlicznik gateway master key 1"
_FILE_BYTES_MAX = 2 * MASTER_KEY_BYTES + 2


def write_master_key(path: Path) -> None:
    """Make a new master key file, mode 0600, on disk when this returns; never overwrites one."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path}: exists already; a master key is never overwritten") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another folder") from None
    with os.fdopen(handle, "w") as file:
        file.write(os.urandom(MASTER_KEY_BYTES).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def read_master_key(path: Path) -> bytes:
    """32 bytes, kept raw or as 64 hex digits. Raises ConfigError, MasterKeyError."""
    return _parse(read_secret(path, _FILE_BYTES_MAX), path)


def master_keys(store: config_file.Store, environ: Mapping[str, str] = os.environ) -> list[bytes]:
    """The master key, and behind it the next one where a change of it was cut off.

    Raises ConfigError or MasterKeyError.
    """
    if store.master_key_credential is None:
        path = Path(store.master_key_file)
        keys = [read_master_key(path)]
        if next_path(path).exists():
            keys.append(read_master_key(next_path(path)))
        return keys
    # systemd gives the service's user an ACL, which shows as group rights; the folder is closed.
    path = credential_path(store.master_key_credential, environ)
    return [_parse(read_bounded(path, _FILE_BYTES_MAX), path)]


def credential_path(name: str, environ: Mapping[str, str]) -> Path:
    """Where systemd put a credential of this service. Raises ConfigError."""
    folder = environ.get(CREDENTIALS)
    if folder is None or "/" in name or name in ("", ".", ".."):
        raise MasterKeyError(
            f'"store.master_key_credential": there is no credential {name!r} here; write'
            f" LoadCredential={name}:/path/to/master.key into the unit, or use master_key_file"
        )
    return Path(folder) / name


def next_path(path: Path) -> Path:
    """Where the key that follows the one in `path` waits for its turn."""
    return path.with_name(path.name + NEXT)


def bind(connection: sqlite3.Connection, key: bytes) -> bool:
    """Whether this is the database's master key; a database without one takes it."""
    row = connection.execute("SELECT wrapped FROM secret_check").fetchone()
    if row is None:
        wrapped = keywrap.aes_key_wrap(key, _CHECK)
        connection.execute("INSERT INTO secret_check VALUES (1, ?)", (wrapped,))
        return True
    return unwrap(key, row[0]) == _CHECK


def unwrap(key: bytes, wrapped: bytes) -> bytes | None:
    """What was wrapped (AES-KW, RFC 3394); None when not under this key, or damaged."""
    try:
        return keywrap.aes_key_unwrap(key, wrapped)
    except (keywrap.InvalidUnwrap, ValueError):
        return None


def rewrap(connection: sqlite3.Connection, old: bytes, new: bytes) -> int:
    """Every key of the database under the new master key; returns how many. In a transaction.

    A column that holds wrapped keys is called `wrapped`, in whichever table. Raises DamagedStore
    for a key that does not open, and then nothing was changed.
    """
    count = 0
    for table in _tables(connection):
        rows = connection.execute(f"SELECT DISTINCT wrapped FROM {table}").fetchall()  # noqa: S608  (ours)
        for (wrapped,) in rows:
            if wrapped is None:
                continue
            inner = unwrap(old, wrapped)
            if inner is None:
                raise DamagedStore(
                    f"a key in table {table} is damaged, so none was changed; `keys list` and"
                    " `meters show` tell whose, decommission or pair that meter again"
                )
            connection.execute(
                f"UPDATE {table} SET wrapped = ? WHERE wrapped = ?",  # noqa: S608  (ours)
                (keywrap.aes_key_wrap(new, inner), wrapped),
            )
            count += table != "secret_check"
    return count


def take_turns(path: Path, kept: Path) -> None:
    """The next key becomes the master key, in one step; the one before is kept under `kept`."""
    os.link(path, kept)
    os.replace(next_path(path), path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """A new name in this folder outlives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _tables(connection: sqlite3.Connection) -> list[str]:
    return [
        name
        for (name,) in connection.execute(
            "SELECT s.name FROM sqlite_schema s, pragma_table_info(s.name) c"
            " WHERE s.type = 'table' AND c.name = 'wrapped' ORDER BY s.name"
        ).fetchall()
    ]


def _parse(data: bytes, path: Path) -> bytes:
    if len(data) == MASTER_KEY_BYTES:
        return data
    try:
        key = bytes.fromhex(data.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise MasterKeyError(f"{path}: a master key is 32 bytes or 64 hex digits")
    return key
