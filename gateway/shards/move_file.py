"""What moves from gateway to gateway: meters as they were given up, in one sealed file.

The file is sealed as a whole (AES-256-GCM, NIST SP 800-38D), and every key in it is wrapped beside
that (AES-KW, RFC 3394), both under keys derived (HKDF, RFC 5869) from a transfer key that both
administrators have in a file of their own. So the file may travel by any way, the key by another.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Protocol

import msgspec
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.config import read_bounded
from gateway.errors import MasterKeyError, MoveRefused
from gateway.master_key import read_master_key, sync_folder, unwrap

MOVE_BYTES_MAX = 256 * 1024 * 1024  # unpacked; METERS_MAX meters with long queues have less
MAGIC = b"openlicznik gateway move 1\n"
NONCE_BYTES = 12

WRONG_TRANSFER_KEY, DAMAGED_FILE = "wrong_transfer_key", "damaged_file"

_SALT = b"openlicznik/1 move of shards"


class Key(msgspec.Struct, frozen=True, array_like=True):
    """One key epoch; the key itself is the meter's secret at `place`."""

    key_epoch: int
    down_reserved: int
    place: int


class Command(msgspec.Struct, frozen=True, array_like=True):
    """A command without a result; its secret, if it has one, is the meter's secret at `place`."""

    command_id: int
    code: int
    args: bytes
    place: int | None
    secret_bytes: int | None
    state: str
    queued_s: int
    not_before_s: int
    expires_s: int
    sent_s: int | None
    attempts: int
    actor: str
    origin: str


class MeterState(msgspec.Struct, frozen=True, array_like=True):
    """All that a gateway knows of a meter and the next one needs. Rows are as in the tables."""

    meter_id: bytes
    password_hash: bytes
    added_s: int
    state: str
    highest_epoch: int
    keys: list[Key]
    windows: list[tuple[int, bytes, bytes]]  # key epoch, highest, bits
    upto: int
    islands: bytes
    refusals: list[tuple[str, int, int]]
    command_number: int
    commands: list[Command]
    backfill: list[tuple[int, int, str, int, int, int]]  # open ones
    area: str | None
    application: tuple[str | None, int, int] | None
    security_level: Literal["L0", "L1", "L2"] | None = None  # not in files of schema 8

    def __repr__(self) -> str:
        return f"MeterState({self.meter_id.hex()})"


class Secret(msgspec.Struct, frozen=True, array_like=True):
    """Something wrapped with its meter's id and `bound` (Registry.wrap)."""

    bound: int
    wrapped: bytes

    def __repr__(self) -> str:
        return "Secret()"


class Move(msgspec.Struct, frozen=True, array_like=True):
    """The whole file."""

    move_id: bytes
    giver: str  # gateway_id
    taker: str
    terms: dict[str, int]  # by shard
    meters: list[MeterState]
    secrets: list[list[Secret]]  # of each meter, in the same order

    def __repr__(self) -> str:
        return f"Move({self.move_id.hex()})"


class Keeper(Protocol):
    """Wraps and unwraps keys: the registry under the master key, or a transfer key."""

    def wrap(self, meter_id: bytes, key_epoch: int, meter_key: bytes, /) -> bytes:
        """A key as it may lie on disk."""

    def unwrap(self, meter_id: bytes, key_epoch: int, wrapped: bytes, /) -> bytes:
        """The key again."""


class TransferKeys:
    """What is derived from a transfer key. Shows nothing."""

    def __init__(self, sealing: AESGCM, wrapping: bytes) -> None:
        self.sealing, self._wrapping = sealing, wrapping

    def wrap(self, meter_id: bytes, bound: int, key: bytes) -> bytes:
        """As Registry.wrap, under the transfer key."""
        return keywrap.aes_key_wrap(self._wrapping, meter_id + bound.to_bytes(8, "big") + key)

    def unwrap(self, meter_id: bytes, bound: int, wrapped: bytes) -> bytes:
        """The key again. Raises MoveRefused when it is another meter's."""
        inner, head = unwrap(self._wrapping, wrapped) or b"", meter_id + bound.to_bytes(8, "big")
        if inner[: len(head)] != head:
            raise MoveRefused(DAMAGED_FILE, f"the key of meter {meter_id.hex()} is not its own")
        return inner[len(head) :]


def read_transfer_key(path: Path) -> TransferKeys:
    """From a file of mode 0600 with 32 bytes or 64 hex digits. Raises ConfigError, MoveRefused."""
    try:
        return derive(read_master_key(path))
    except MasterKeyError:
        raise MoveRefused(
            WRONG_TRANSFER_KEY, f"{path}: a transfer key is 32 bytes or 64 hex digits; `shard key`"
            " makes one",
        ) from None  # fmt: skip


def derive(transfer_key: bytes) -> TransferKeys:
    """One key for the file and one for the keys in it."""
    both = HKDF(SHA256(), 64, _SALT, b"sealing, wrapping").derive(transfer_key)
    return TransferKeys(AESGCM(both[:32]), both[32:])


def rewrapped(keeper: Keeper, other: Keeper, meter_id: bytes, bound: int, wrapped: bytes) -> Secret:
    """A secret under the other key. Raises StoreError when it is damaged."""
    return Secret(bound, other.wrap(meter_id, bound, keeper.unwrap(meter_id, bound, wrapped)))


def seal(move: Move, keys: TransferKeys) -> bytes:
    """The file's bytes."""
    packed = zstandard.compress(msgspec.msgpack.encode(move))
    nonce = os.urandom(NONCE_BYTES)
    return MAGIC + nonce + keys.sealing.encrypt(nonce, packed, MAGIC)


def unseal(data: bytes, keys: TransferKeys) -> Move:
    """The move in a file. Raises MoveRefused, whatever the bytes are."""
    if not data.startswith(MAGIC) or len(data) < len(MAGIC) + NONCE_BYTES:
        raise MoveRefused(DAMAGED_FILE, "this is no file of `shard export`, or it was cut short")
    nonce = data[len(MAGIC) : len(MAGIC) + NONCE_BYTES]
    try:
        packed = keys.sealing.decrypt(nonce, data[len(MAGIC) + NONCE_BYTES :], MAGIC)
    except InvalidTag:
        raise MoveRefused(
            WRONG_TRANSFER_KEY, "the file does not open: it is damaged, or --key names another key"
        ) from None
    try:
        size = zstandard.get_frame_parameters(packed).content_size
        if size > MOVE_BYTES_MAX:
            raise MoveRefused(DAMAGED_FILE, f"a move has at most {MOVE_BYTES_MAX} bytes unpacked")
        move = msgspec.msgpack.decode(zstandard.decompress(packed), type=Move)
    except (zstandard.ZstdError, msgspec.DecodeError, msgspec.ValidationError):
        raise MoveRefused(DAMAGED_FILE, "another version wrote this file; use that one") from None
    if len(move.secrets) != len(move.meters):
        raise MoveRefused(DAMAGED_FILE, "another version wrote this file; use that one")
    return move


def write(path: Path, data: bytes) -> None:
    """Put the file there whole or not at all, mode 0600, on disk when this returns."""
    partial = path.with_name(path.name + ".part")
    try:
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        raise MoveRefused(
            "not_written", f"{path}: {error.strerror}; name another file and repeat: the shards are"
            " given up already, and nothing is lost",
        ) from None  # fmt: skip


def read(path: Path, keys: TransferKeys) -> Move:
    """The move in a file. Raises ConfigError or MoveRefused."""
    return unseal(read_bounded(path, MOVE_BYTES_MAX), keys)
