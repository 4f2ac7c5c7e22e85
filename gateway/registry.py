"""The meters a gateway knows: credentials, states, keys wrapped under the master key."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from typing import Annotated, NamedTuple

import msgspec
from cryptography.hazmat.primitives import keywrap
from msgspec import Meta

from gateway import master_key as master
from gateway.errors import MasterKeyError, MeterExists, MoveRefused, StoreError, UsageError
from gateway.master_key import read_master_key as read_master_key
from gateway.master_key import write_master_key as write_master_key
from gateway.meter import DownCounter, Meter, Progress
from wire.keys import KEY_EPOCH_MAX, METER_KEY_BYTES, EpochKey
from wire.messages import START_S_MIN
from wire.topics import METER_ID_BYTES, shard_of

PASSWORD_CHARS_MIN = 22  # 128 random bits in base64; 32 in hexadecimal
PASSWORD_CHARS_MAX = 256
NEW_METER_BYTES_MAX = 4096
NEW_METERS_MAX = 10_000  # in one command
NEW_METERS_BYTES_MAX = 512 * NEW_METERS_MAX
UNKNOWN_METER = b""  # refusals of ids nobody registered are counted together, so they are bounded

ACTIVE, REVOKED, DECOMMISSIONED = "active", "revoked", "decommissioned"  # states of a meter
SHARD_AWAY = "shard_away"

_PASSWORD = b"openlicznik/1 gateway password"


class NewMeter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `meters add` reads. Its repr shows the id only."""

    meter_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    meter_key: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$")]
    key_epoch: Annotated[int, Meta(ge=0, le=KEY_EPOCH_MAX)]
    password: Annotated[str, Meta(min_length=PASSWORD_CHARS_MIN, max_length=PASSWORD_CHARS_MAX)]

    def __repr__(self) -> str:
        return f"NewMeter({self.meter_id})"


def parse_new_meter(data: bytes, where: str = "the meter on standard input") -> NewMeter:
    """One JSON object. Raises UsageError naming the field, never its value."""
    if len(data) > NEW_METER_BYTES_MAX:
        raise UsageError(f"a meter is one JSON object of at most {NEW_METER_BYTES_MAX} bytes")
    try:
        meter = msgspec.json.decode(data, type=NewMeter)
        meter.password.encode("ascii")
        return meter
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {error}; docs/gateway.md shows one") from None
    except UnicodeEncodeError:
        raise UsageError(f"{where}: a password is ASCII text") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UsageError(f"{where} is not one JSON object; docs/gateway.md shows a meter") from None


def parse_new_meters(data: bytes) -> list[NewMeter]:
    """One meter, a JSON array of them, or one on each line. Raises UsageError, saying which."""
    if len(data) > NEW_METERS_BYTES_MAX:
        raise UsageError(f"at most {NEW_METERS_BYTES_MAX} bytes of meters at once; split them")
    text = data.strip()
    lines = [line.strip() for line in text.splitlines()]
    if text.startswith(b"["):
        try:
            parts = [bytes(raw) for raw in msgspec.json.decode(text, type=list[msgspec.Raw])]
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise UsageError("standard input is not a JSON array; docs/gateway.md shows") from None
    elif len(lines) > 1 and all(not line or line[:1] + line[-1:] == b"{}" for line in lines):
        parts = [line for line in lines if line]
    else:
        return [parse_new_meter(data)]
    if not 0 < len(parts) <= NEW_METERS_MAX:
        raise UsageError(f"1 to {NEW_METERS_MAX} meters at once, not {len(parts)}")
    return [
        parse_new_meter(part, f"meter {number} of {len(parts)}")
        for number, part in enumerate(parts, 1)
    ]


def check_password(text: str) -> bytes:
    """A new password of a meter. Raises UsageError, which does not show it."""
    if not (PASSWORD_CHARS_MIN <= len(text) <= PASSWORD_CHARS_MAX and text.isascii()):
        raise UsageError(
            f"a password is {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} ASCII characters, made"
            " from 128 random bits or more"
        )
    return text.encode()


def password_hash(meter_id: bytes, password: bytes) -> bytes:
    """SHA-256 suffices because a password is 128 random bits or more, not a word."""
    return hashlib.sha256(_PASSWORD + meter_id + password).digest()


class StoredMeter(NamedTuple):
    """A meter's rows; keys are (key epoch, wrapped key, reserved down counters)."""

    meter_id: bytes
    password_hash: bytes
    keys: list[tuple[int, bytes, int]]  # none unless the meter is active
    state: str = ACTIVE

    def __repr__(self) -> str:
        return f"StoredMeter({self.meter_id.hex()})"


NOBODY = StoredMeter(bytes(METER_ID_BYTES), bytes(32), [])  # no password hashes to zeros


def fetch(connection: sqlite3.Connection, meter_id: bytes) -> StoredMeter | None:
    """Read one meter; None when it is not registered. As much work for one that is not."""
    row = connection.execute(
        "SELECT password_hash, state FROM meter WHERE meter_id = ?", (meter_id,)
    ).fetchone()
    keys = connection.execute(
        "SELECT key_epoch, wrapped, down_reserved FROM meter_key WHERE meter_id = ?", (meter_id,)
    ).fetchall()
    if row is None:
        return None
    return StoredMeter(meter_id, row[0], keys if row[1] == ACTIVE else [], row[1])


def is_password(stored: StoredMeter, password: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(stored.password_hash, password_hash(stored.meter_id, password))


def retire_keys(connection: sqlite3.Connection, meter_id: bytes, below_epoch: int) -> None:
    """Destroy the keys of older epochs, in the transaction that proved the newer one."""
    connection.execute(
        "DELETE FROM meter_key WHERE meter_id = ? AND key_epoch < ?", (meter_id, below_epoch)
    )


def key_epochs_used(connection: sqlite3.Connection, meter_id: bytes) -> int:
    """The highest key epoch this meter ever had here; -1 for an unknown meter."""
    row = connection.execute(
        "SELECT highest_epoch FROM meter WHERE meter_id = ?", (meter_id,)
    ).fetchone()
    return -1 if row is None else int(row[0])


def down_floor(now_s: int) -> int:
    """Where the down counters of a gateway that starts now begin, at least.

    A database restored from a backup knows less than was used; a counter used twice would seal two
    messages under one key. Far fewer frames than 65,536 a second go to one meter, so every counter
    that an earlier run used lies below this; 63 bits last for 4 million years.
    """
    return max(0, now_s - START_S_MIN) << 16


class Registry:
    """Wraps and unwraps under the master key; keeps the loaded meters. Never shows a key."""

    def __init__(self, master_key: bytes, *others: bytes) -> None:
        self._master_key, self._others = master_key, others
        self.meters: dict[bytes, Meter] = {}
        self.down_floor = 0  # no down counter below it is used: see `down_floor`

    def check_master_key(self, connection: sqlite3.Connection) -> None:
        """Bind the database to this master key, once. Raises MasterKeyError for another one."""
        for key in (self._master_key, *self._others):
            if master.bind(connection, key):
                self._master_key = key
                return
        raise MasterKeyError(
            "the master key file is not the one this database was made with; put the right"
            " file back ([store] master_key_file)"
        )

    def add(
        self, connection: sqlite3.Connection, new: NewMeter, now_s: int, *, again: bool = False
    ) -> None:
        """Register a meter; `again` lets a decommissioned one back under a newer key epoch.

        Raises MeterExists, MasterKeyError, MoveRefused.
        """
        meter_id = bytes.fromhex(new.meter_id)
        _check_shard(connection, meter_id)
        hashed = password_hash(meter_id, new.password.encode("ascii"))
        if again:
            _check_wake(connection, new)
            connection.execute(
                "UPDATE meter SET password_hash = ?, added_s = ?, state = ? WHERE meter_id = ?",
                (hashed, now_s, ACTIVE, meter_id),
            )
        else:
            try:
                connection.execute(
                    "INSERT INTO meter (meter_id, password_hash, added_s) VALUES (?, ?, ?)",
                    (meter_id, hashed, now_s),
                )
            except sqlite3.IntegrityError:
                raise MeterExists(_exists(connection, new.meter_id)) from None
        self.add_key(connection, meter_id, new.key_epoch, bytes.fromhex(new.meter_key))

    def add_key(
        self, connection: sqlite3.Connection, meter_id: bytes, key_epoch: int, meter_key: bytes
    ) -> None:
        """Keep the key of a new epoch, beside the others. Raises MeterExists, MasterKeyError."""
        self.check_master_key(connection)  # it may have been changed since we opened the database
        try:
            connection.execute(
                "INSERT INTO meter_key (meter_id, key_epoch, wrapped) VALUES (?, ?, ?)",
                (meter_id, key_epoch, self.wrap(meter_id, key_epoch, meter_key)),
            )
        except sqlite3.IntegrityError:
            raise MeterExists(
                f"meter {meter_id.hex()} is not registered, or has a key of epoch {key_epoch}"
            ) from None
        connection.execute(
            "UPDATE meter SET highest_epoch = max(highest_epoch, ?) WHERE meter_id = ?",
            (key_epoch, meter_id),
        )

    def wrap(self, meter_id: bytes, key_epoch: int, meter_key: bytes) -> bytes:
        """A meter key as it may lie on disk (AES-KW, RFC 3394), bound to its meter and epoch.

        Whatever keeps it calls the column `wrapped`: that is how `keys rewrap` finds it.
        """
        assert len(meter_key) == METER_KEY_BYTES
        bound = meter_id + key_epoch.to_bytes(8, "big") + meter_key
        return keywrap.aes_key_wrap(self._master_key, bound)

    def unwrap(self, meter_id: bytes, key_epoch: int, wrapped: bytes) -> bytes:
        """The meter key again. Raises StoreError when it was damaged or is another meter's."""
        bound = master.unwrap(self._master_key, wrapped) or b""
        key = bound[METER_ID_BYTES + 8 :]
        # The id and the epoch are wrapped along, so that rows cannot be exchanged unnoticed.
        if bound[:-METER_KEY_BYTES] != meter_id + key_epoch.to_bytes(8, "big"):
            raise StoreError(f"the stored key of meter {meter_id.hex()} is damaged; pair it again")
        return key

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
                key = self.unwrap(meter_id, epoch, wrapped)
                meter.down.setdefault(epoch, DownCounter(max(down_reserved, self.down_floor)))
                meter.keys[epoch] = EpochKey(epoch, key)
        return meter

    def forget_keys(self, meter_id: bytes) -> None:
        """Let no frame of this meter in any more, by whichever door, until it is admitted again.

        What is on its way to the disk refers to the old object, and may finish with it.
        """
        old = self.meters.get(meter_id)
        if old is not None:
            new = self.meters[meter_id] = Meter(meter_id, old.progress)
            new.down, new.heard_s = old.down, old.heard_s  # no counter is used twice

    def restore(self, rebuilt: dict[bytes, Progress]) -> None:
        """Take progress as the journal has it: at start, and after a commit failed."""
        for meter_id, meter in self.meters.items():
            meter.progress = rebuilt.pop(meter_id, Progress())
        for meter_id, progress in rebuilt.items():
            self.meters[meter_id] = Meter(meter_id, progress)


def state_of(connection: sqlite3.Connection, meter_id: bytes) -> str | None:
    """active, revoked or decommissioned; None for a meter nobody registered."""
    row = connection.execute("SELECT state FROM meter WHERE meter_id = ?", (meter_id,)).fetchone()
    return None if row is None else str(row[0])


def _check_shard(connection: sqlite3.Connection, meter_id: bytes) -> None:
    """Raises MoveRefused when the meter's shard is another gateway's now."""
    shard = shard_of(meter_id)
    row = connection.execute(
        "SELECT move.other FROM shard JOIN move ON move_id = away WHERE shard = ?", (shard,)
    ).fetchone()
    if row is not None:
        text = f"shard {shard} was given up to {row[0]}: register meter {meter_id.hex()} there"
        raise MoveRefused(SHARD_AWAY, text)


def _check_wake(connection: sqlite3.Connection, new: NewMeter) -> None:
    meter_id = bytes.fromhex(new.meter_id)
    state, highest = state_of(connection, meter_id), key_epochs_used(connection, meter_id)
    if state != DECOMMISSIONED or new.key_epoch <= highest:
        raise MeterExists(
            f"meter {new.meter_id} is {state or 'unknown'}, its highest key epoch was {highest};"
            " only a decommissioned meter comes back, under a key epoch above that"
        )


def _exists(connection: sqlite3.Connection, hex_id: str) -> str:
    if state_of(connection, bytes.fromhex(hex_id)) == DECOMMISSIONED:
        return (
            f"meter {hex_id} was decommissioned and its id is not given again; choose another id,"
            " or bring it back under a newer key epoch with --force-new-epoch"
        )
    return f"meter {hex_id} is registered already; nothing was changed"


def states(connection: sqlite3.Connection) -> dict[str, str]:
    """The state of every registered meter, by its id in hex."""
    rows = connection.execute("SELECT meter_id, state FROM meter ORDER BY meter_id")
    return {meter_id.hex(): state for meter_id, state in rows}


def key_states(connection: sqlite3.Connection) -> list[dict[str, object]]:
    """For `keys list`: the epochs of every meter, never a key.

    The oldest epoch kept is in force; a newer one waits until its first frame proves it.
    """
    rows: list[dict[str, object]] = []
    for meter_id, state, highest, epoch in connection.execute(
        "SELECT meter_id, state, highest_epoch, key_epoch FROM meter"
        " LEFT JOIN meter_key USING (meter_id) ORDER BY meter_id, key_epoch"
    ):
        hex_id = meter_id.hex()
        is_next = bool(rows) and rows[-1]["meter_id"] == hex_id
        kind = "destroyed" if epoch is None else "unproven" if is_next else "in_force"
        rows.append(
            {
                "meter_id": hex_id,
                "meter_state": state,
                "key_epoch": epoch,
                "key_state": kind,
                "highest_epoch": highest,
            }
        )
    return rows
