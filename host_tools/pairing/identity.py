"""Who a meter is: a random id, a key and a password that nothing here ever shows."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from host_tools.pairing.errors import BadIdentity
from wire.keys import KEY_EPOCH_MAX, METER_KEY_BYTES
from wire.topics import METER_ID_BYTES

PASSWORD_BYTES = 24  # random; 32 characters as text
PASSWORD_CHARS_MIN, PASSWORD_CHARS_MAX = 22, 128  # the gateway's least, the meter's most

Random = Callable[[int], bytes]


class Secret:
    """Bytes that no repr, log, exception or pickle shows; they leave by `reveal` alone."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """The bytes themselves: for the device, the gateway's body, a sealed file."""
        return self._value

    def digest(self) -> str:
        """SHA-256 in hex: what a device shows of its copy, to be compared."""
        return hashlib.sha256(self._value).hexdigest()

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return f"Secret({len(self._value)} bytes)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(hashlib.sha256(self._value).digest())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not copied into files by accident")


@dataclass(frozen=True)
class Identity:
    """A meter's id and what proves it. Its repr shows the id and the key epoch only."""

    meter_id: bytes
    meter_key: Secret
    key_epoch: int
    password: Secret

    def __post_init__(self) -> None:
        if len(self.meter_id) != METER_ID_BYTES:
            raise BadIdentity(f"a meter id is {METER_ID_BYTES} bytes; make a new identity")
        if len(self.meter_key) != METER_KEY_BYTES:
            raise BadIdentity(f"a meter key is {METER_KEY_BYTES} bytes; make a new identity")
        if not 0 <= self.key_epoch <= KEY_EPOCH_MAX:
            raise BadIdentity(
                f"a key epoch is 0 to {KEY_EPOCH_MAX}, not {self.key_epoch}: this meter id is used"
                " up, pair it as a new meter"
            )
        text = self.password.reveal()
        chars = f"{PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX}"
        if not PASSWORD_CHARS_MIN <= len(text) <= PASSWORD_CHARS_MAX or not text.isascii():
            raise BadIdentity(f"a password is {chars} ASCII characters; make a new identity")

    def __repr__(self) -> str:
        return f"Identity({self.hex_id}, key epoch {self.key_epoch})"

    @property
    def hex_id(self) -> str:
        """The meter id as people and topics write it: 16 hex digits."""
        return self.meter_id.hex()


def fresh(
    meter_id: bytes | None = None, key_epoch: int = 0, random: Random = secrets.token_bytes
) -> Identity:
    """A new identity; with a meter id, new secrets for that meter under this key epoch."""
    return Identity(
        random(METER_ID_BYTES) if meter_id is None else meter_id,
        Secret(random(METER_KEY_BYTES)),
        key_epoch,
        Secret(_text(random(PASSWORD_BYTES))),
    )


def to_dict(identity: Identity) -> dict[str, Any]:
    """As the gateway's admin interface takes it. Holds the secrets in clear: never show it."""
    return {
        "meter_id": identity.hex_id,
        "meter_key": identity.meter_key.reveal().hex(),
        "key_epoch": identity.key_epoch,
        "password": identity.password.reveal().decode("ascii"),
    }


def from_dict(data: object) -> Identity:
    """The opposite of to_dict. Raises BadIdentity, which names the field and never its value."""
    if not isinstance(data, dict):
        raise BadIdentity("an identity is a JSON object; pair the meter again")
    for name, kind in (("meter_id", str), ("meter_key", str), ("key_epoch", int),
                       ("password", str)):  # fmt: skip
        if type(data.get(name)) is not kind:
            raise BadIdentity(f"an identity lacks its {name}; pair the meter again")
    return Identity(
        _hex(data, "meter_id", METER_ID_BYTES),
        Secret(_hex(data, "meter_key", METER_KEY_BYTES)),
        data["key_epoch"],
        Secret(data["password"].encode()),
    )


def meter_id_of(text: str) -> bytes:
    """A meter id that a person typed. Raises BadIdentity."""
    if not re.fullmatch(r"[0-9a-f]{16}", text):
        raise BadIdentity("a meter id is 16 hex digits in lower case; the label has it")
    return bytes.fromhex(text)


def _hex(data: dict[str, Any], name: str, length: int) -> bytes:
    if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * length}}}", data[name]):
        raise BadIdentity(f"{name} is {2 * length} hex digits; pair the meter again")
    return bytes.fromhex(data[name])


def _text(data: bytes) -> bytes:
    """base64url without padding, as secrets.token_urlsafe writes it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")
