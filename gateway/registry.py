"""The meters a gateway knows: credentials, keys wrapped under the master key, refusal counts."""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from cryptography.hazmat.primitives import keywrap
from msgspec import Meta

from gateway.config import read_secret
from gateway.errors import MasterKeyError, MeterExists, StoreError, UsageError
from gateway.meter import DownCounter, Meter, Progress
from wire.keys import KEY_EPOCH_MAX, METER_KEY_BYTES, EpochKey
from wire.topics import METER_ID_BYTES

MASTER_KEY_BYTES = 32
PASSWORD_CHARS_MIN = 22  # 128 random bits in base64; 32 in hexadecimal
PASSWORD_CHARS_MAX = 256
NEW_METER_BYTES_MAX = 4096
UNKNOWN_METER = b""  # refusals of ids nobody registered are counted together, so they are bounded

_CHECK = b"openlicznik gateway master key 1"
_PASSWORD = b"openlicznik/1 gateway password"


class NewMeter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `meters add` reads. Its repr shows the id only."""

    meter_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    meter_key: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$")]
    key_epoch: Annotated[int, Meta(ge=0, le=KEY_EPOCH_MAX)]
    password: Annotated[str, Meta(min_length=PASSWORD_CHARS_MIN, max_length=PASSWORD_CHARS_MAX)]

    def __repr__(self) -> str:
        return f"NewMeter({self.meter_id})"


def parse_new_meter(data: bytes) -> NewMeter:
    """One JSON object. Raises UsageError naming the field, never its value."""
    if len(data) > NEW_METER_BYTES_MAX:
        raise UsageError(f"a meter is one JSON object of at most {NEW_METER_BYTES_MAX} bytes")
    try:
        meter = msgspec.json.decode(data, type=NewMeter)
        meter.password.encode("ascii")
        return meter
    except msgspec.ValidationError as error:
        raise UsageError(
            f"the meter on standard input: {error}; docs/gateway.md shows one"
        ) from None
    except UnicodeEncodeError:
        raise UsageError("the meter on standard input: a password is ASCII text") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UsageError(
            "standard input is not one JSON object; docs/gateway.md shows a meter"
        ) from None


def write_master_key(path: Path) -> None:
    """Make a new master key file, mode 0600; never overwrites one."""
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


def read_master_key(path: Path) -> bytes:
    """32 bytes, kept raw or as 64 hex digits. Raises ConfigError, MasterKeyError."""
    data = read_secret(path, 2 * MASTER_KEY_BYTES + 2)
    if len(data) == MASTER_KEY_BYTES:
        return data
    try:
        key = bytes.fromhex(data.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise MasterKeyError(f"{path}: a master key is 32 bytes or 64 hex digits")
    return key


def password_hash(meter_id: bytes, password: bytes) -> bytes:
    """SHA-256 suffices because a password is 128 random bits or more, not a word."""
    return hashlib.sha256(_PASSWORD + meter_id + password).digest()


class StoredMeter(NamedTuple):
    """A meter's rows; keys are (key epoch, wrapped key, reserved down counters)."""

    meter_id: bytes
    password_hash: bytes
    keys: list[tuple[int, bytes, int]]

    def __repr__(self) -> str:
        return f"StoredMeter({self.meter_id.hex()})"


def fetch(connection: sqlite3.Connection, meter_id: bytes) -> StoredMeter | None:
    """Read one meter; None when it is not registered."""
    row = connection.execute(
        "SELECT password_hash FROM meter WHERE meter_id = ?", (meter_id,)
    ).fetchone()
    if row is None:
        return None
    keys = connection.execute(
        "SELECT key_epoch, wrapped, down_reserved FROM meter_key WHERE meter_id = ?", (meter_id,)
    ).fetchall()
    return StoredMeter(meter_id, row[0], keys)


class Registry:
    """Wraps and unwraps under the master key; keeps the loaded meters. Never shows a key."""

    def __init__(self, master_key: bytes) -> None:
        self._master_key = master_key
        self.meters: dict[bytes, Meter] = {}

    def check_master_key(self, connection: sqlite3.Connection) -> None:
        """Bind the database to this master key, once. Raises MasterKeyError for another one."""
        row = connection.execute("SELECT wrapped FROM secret_check").fetchone()
        if row is None:
            wrapped = keywrap.aes_key_wrap(self._master_key, _CHECK)
            connection.execute("INSERT INTO secret_check VALUES (1, ?)", (wrapped,))
        elif self._unwrap(row[0]) != _CHECK:
            raise MasterKeyError(
                "the master key file is not the one this database was made with; put the right"
                " file back ([store] master_key_file)"
            )

    def add(self, connection: sqlite3.Connection, new: NewMeter, now_s: int) -> None:
        """Register a meter. Raises MeterExists."""
        meter_id, meter_key = bytes.fromhex(new.meter_id), bytes.fromhex(new.meter_key)
        try:
            connection.execute(
                "INSERT INTO meter VALUES (?, ?, ?)",
                (meter_id, password_hash(meter_id, new.password.encode("ascii")), now_s),
            )
        except sqlite3.IntegrityError:
            raise MeterExists(
                f"meter {new.meter_id} is registered already; nothing was changed"
            ) from None
        bound = meter_id + new.key_epoch.to_bytes(8, "big") + meter_key
        connection.execute(
            "INSERT INTO meter_key (meter_id, key_epoch, wrapped) VALUES (?, ?, ?)",
            (meter_id, new.key_epoch, keywrap.aes_key_wrap(self._master_key, bound)),
        )

    def admit(self, stored: StoredMeter) -> Meter:
        """The meter as the database had it a moment ago.

        A meter that was loaded before stays the same object: sessions and counters hang on it.
        """
        meter_id = stored.meter_id
        meter = self.meters.get(meter_id)
        if meter is None:
            meter = self.meters[meter_id] = Meter(meter_id, Progress())
        for epoch, wrapped, down_reserved in stored.keys:
            if epoch not in meter.keys:
                meter.keys[epoch] = EpochKey(epoch, self._meter_key(meter_id, epoch, wrapped))
                meter.down[epoch] = DownCounter(down_reserved)
        return meter

    def restore(self, rebuilt: dict[bytes, Progress]) -> None:
        """Take progress as the journal has it: at start, and after a commit failed."""
        for meter_id, meter in self.meters.items():
            meter.progress = rebuilt.pop(meter_id, Progress())
        for meter_id, progress in rebuilt.items():
            self.meters[meter_id] = Meter(meter_id, progress)

    def _meter_key(self, meter_id: bytes, epoch: int, wrapped: bytes) -> bytes:
        bound = self._unwrap(wrapped) or b""
        key = bound[METER_ID_BYTES + 8 :]
        # The id and the epoch are wrapped along, so that rows cannot be exchanged unnoticed.
        if bound[:-METER_KEY_BYTES] != meter_id + epoch.to_bytes(8, "big"):
            raise StoreError(f"the stored key of meter {meter_id.hex()} is damaged; pair it again")
        return key

    def _unwrap(self, wrapped: bytes) -> bytes | None:
        try:
            return keywrap.aes_key_unwrap(self._master_key, wrapped)
        except (keywrap.InvalidUnwrap, ValueError):
            return None


def is_password(stored: StoredMeter, password: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(stored.password_hash, password_hash(stored.meter_id, password))
