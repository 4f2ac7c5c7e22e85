"""Registrations without a network: sealed for the gateway, queued in a folder, taken in later.

A file of the queue is for whoever holds the gateway's private key, and nobody else: X25519 with a
key of its own for each file, HKDF-SHA256, AES-256-GCM over the identity, bound to the file's open
fields. So a lost laptop or USB stick gives no meter key away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from host_tools.pairing.errors import (
    BadInput,
    Conflict,
    GatewayRefused,
    PairingError,
    SealedForAnother,
)
from host_tools.pairing.files import read_input, read_secret, sync_folder, write_durably
from host_tools.pairing.gateway_client import GatewayClient
from host_tools.pairing.identity import Identity, Random, Secret, from_dict, to_dict
from host_tools.pairing.registering import register_once

KEY_BYTES = 32
FILE_BYTES_MAX = 8192
FILES_MAX = 10_000  # in one folder
SUFFIX = ".registration"
DONE_FOLDER = "done"
_VERSION = 1
_INFO = b"openlicznik/1 queued registration"
_OPEN_FIELDS = ("version", "meter_id", "key_epoch", "technician", "sealed_s", "sender")
_NONCE = bytes(12)  # each key is used once

REGISTERED, ALREADY = "registered", "already_registered"


@dataclass(frozen=True)
class Queued:
    """A file of the queue as anybody may read it."""

    path: Path
    fields: dict[str, Any]

    @property
    def meter_id(self) -> str:
        """In hex."""
        return str(self.fields["meter_id"])


@dataclass(frozen=True)
class Taken:
    """What became of a file: registered, already_registered, or a conflict's name."""

    file: str
    meter_id: str
    state: str
    detail: str = ""

    @property
    def good(self) -> bool:
        """Whether the gateway has the meter as the file says."""
        return self.state in (REGISTERED, ALREADY)


# ------------------------------------------------------------------ the gateway's pair of keys


def make_keys(private: Path) -> Path:
    """A new pair: the private key (0600) for the gateway's machine, the public one beside it."""
    public = private.with_name(private.name + ".pub")
    if private.exists() or public.exists():
        raise BadInput(f"{private} or {public} is there already; queued registrations may need it")
    key = X25519PrivateKey.generate()
    write_durably(private, key.private_bytes_raw().hex().encode() + b"\n", mode=0o600)
    write_durably(public, key.public_key().public_bytes_raw().hex().encode() + b"\n", mode=0o644)
    return public


def read_public(path: Path) -> bytes:
    """The gateway's public key. Raises BadInput."""
    return _key_in(read_input(path, 1024), path)


def read_private(path: Path) -> Secret:
    """The gateway's private key, of mode 0600. Raises BadInput, ExposedSecret."""
    return Secret(_key_in(read_secret(path).reveal(), path))


def _key_in(text: bytes, path: Path) -> bytes:
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadInput(f"{path} is no key: `offline keygen` makes one of 64 hex digits")
    return key


# ------------------------------------------------------------------ one file


def seal(
    identity: Identity, public: bytes, technician: str, now_s: int, random: Random = os.urandom
) -> bytes:
    """The file of one registration."""
    sender = X25519PrivateKey.from_private_bytes(random(KEY_BYTES))
    fields: dict[str, Any] = {
        "version": _VERSION,
        "meter_id": identity.hex_id,
        "key_epoch": identity.key_epoch,
        "technician": technician,
        "sealed_s": now_s,
        "sender": sender.public_key().public_bytes_raw().hex(),
    }
    cipher = _cipher(sender, public, fields, public)
    inside = json.dumps(to_dict(identity)).encode()
    sealed = cipher.encrypt(_NONCE, inside, _bound(fields))
    return json.dumps({**fields, "sealed": sealed.hex()}, indent=1).encode() + b"\n"


def open_sealed(fields: dict[str, Any], private: Secret) -> Identity:
    """The identity in a file. Raises SealedForAnother, BadInput."""
    key = X25519PrivateKey.from_private_bytes(private.reveal())
    try:
        sender, sealed = bytes.fromhex(fields["sender"]), bytes.fromhex(fields["sealed"])
        cipher = _cipher(key, sender, fields, key.public_key().public_bytes_raw())
        inside = cipher.decrypt(_NONCE, sealed, _bound(fields))
    except (InvalidTag, ValueError):
        raise SealedForAnother(
            f"the registration of meter {fields['meter_id']} does not open with this private key:"
            " it was sealed for another gateway, or altered"
        ) from None
    identity = from_dict(json.loads(inside))
    if (identity.hex_id, identity.key_epoch) != (fields["meter_id"], fields["key_epoch"]):
        raise SealedForAnother(f"the registration says meter {fields['meter_id']}, inside another")
    return identity


def _cipher(own: X25519PrivateKey, other: bytes, fields: dict[str, Any], public: bytes) -> AESGCM:
    shared = own.exchange(X25519PublicKey.from_public_bytes(other))
    salt = bytes.fromhex(fields["sender"]) + public
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=_INFO).derive(shared)
    return AESGCM(key)


def _bound(fields: dict[str, Any]) -> bytes:
    """The open fields, which the seal covers."""
    return json.dumps([fields[name] for name in _OPEN_FIELDS]).encode()


# ------------------------------------------------------------------ the folder


def queue(folder: Path, data: bytes, hex_id: str, key_epoch: int) -> Path:
    """Put a file into the queue; the same meter and epoch again replaces it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hex_id}-{key_epoch}{SUFFIX}"
    write_durably(path, data)
    return path


def queued(folder: Path) -> Iterator[Queued]:
    """What waits in the queue, by name. Raises BadInput, naming the file that is none of ours."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder; name the queue")
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    if len(paths) > FILES_MAX:
        raise BadInput(f"{folder} has over {FILES_MAX} registrations; split it")
    for path in paths:
        yield Queued(path, _fields(path))


def _fields(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(read_input(path, FILE_BYTES_MAX))
        if fields["version"] != _VERSION:
            raise BadInput(f"{path}: version {fields['version']} is newer; update this program")
        for name in (*_OPEN_FIELDS, "sealed"):
            kind = int if name in ("version", "key_epoch", "sealed_s") else str
            if type(fields[name]) is not kind:
                raise ValueError
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{path} is no queued registration; take it out of the folder") from None
    return dict(fields)


def sync(
    folder: Path, private: Secret, gateway: GatewayClient, tell: Callable[[Taken], None]
) -> list[Taken]:
    """Register everything that waits. Run again it changes nothing; conflicts stay, by name.

    What was registered goes to `done/` without what was sealed in it.
    """
    waiting, taken = list(queued(folder)), []
    twice = _twice(waiting)
    for one in waiting:
        try:
            if one.meter_id in twice:
                raise _conflict_of(one.meter_id, twice[one.meter_id])
            found = Taken(one.path.name, one.meter_id, _register(one, private, gateway))
            _put_away(one)
        except (Conflict, SealedForAnother, GatewayRefused) as error:
            found = Taken(one.path.name, one.meter_id, error.reason, str(error))
        taken.append(found)
        tell(found)
    return taken


def _twice(waiting: Sequence[Queued]) -> dict[str, list[str]]:
    """Meters that more than one file names, with those files."""
    names: dict[str, list[str]] = {}
    for one in waiting:
        names.setdefault(one.meter_id, []).append(one.path.name)
    return {meter_id: files for meter_id, files in names.items() if len(files) > 1}


def _conflict_of(hex_id: str, files: Sequence[str]) -> Conflict:
    text = f"{', '.join(files)} name meter {hex_id}: keep the newest, take the others out"
    return Conflict("queued_twice", text)


def _register(one: Queued, private: Secret, gateway: GatewayClient) -> str:
    """Raises Conflict, SealedForAnother, GatewayRefused, GatewayUnreachable."""
    new = register_once(gateway, open_sealed(one.fields, private))
    return REGISTERED if new else ALREADY


def _put_away(one: Queued) -> None:
    done = one.path.parent / DONE_FOLDER
    done.mkdir(exist_ok=True)
    open_fields = {name: one.fields[name] for name in _OPEN_FIELDS}
    write_durably(done / one.path.name, json.dumps(open_fields, indent=1).encode() + b"\n", 0o644)
    one.path.unlink(missing_ok=True)
    sync_folder(one.path.parent)


def check_all_good(taken: Sequence[Taken]) -> None:
    """Raises PairingError when a conflict is left."""
    left = [one for one in taken if not one.good]
    if left:
        raise PairingError(f"{len(left)} of {len(taken)} registrations are in conflict; see above")
