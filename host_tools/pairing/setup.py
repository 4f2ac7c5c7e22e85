"""What all meters of one installation are told: pairing.toml, read and checked."""

from __future__ import annotations

import re
import ssl
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from host_tools.pairing.errors import BadInput
from host_tools.pairing.files import read_input, read_secret
from host_tools.pairing.identity import Secret

SETUP_BYTES_MAX = 65_536
# What the meter takes (firmware/config.py, boards/parts/mqtt_link.py).
HOST_CHARS_MAX = 253
WIFI_CHARS_MAX = 64
IMP_PER_KWH_MIN, IMP_PER_KWH_MAX = 1, 100_000
CAPTURE_PERIOD_S_MIN, CAPTURE_PERIOD_S_MAX = 60, 3600
CA_BYTES_MAX = 2048

_Host = Annotated[str, Meta(min_length=1, max_length=HOST_CHARS_MAX)]
_WifiName = Annotated[str, Meta(min_length=1, max_length=WIFI_CHARS_MAX)]
_Pulses = Annotated[int, Meta(ge=IMP_PER_KWH_MIN, le=IMP_PER_KWH_MAX)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of pairing.toml. Fields that end in _file are paths, relative to the file."""


class Gateway(_Table, frozen=True):
    """Where meters connect."""

    host: _Host
    port: Annotated[int, Meta(ge=1, le=65_535)] = 1883
    tls: bool = False
    server_name: Annotated[str, Meta(max_length=HOST_CHARS_MAX)] = ""  # empty: the host
    ca_file: str | None = None  # PEM or DER


class Admin(_Table, frozen=True):
    """Where meters are registered: the gateway's admin interface."""

    url: str
    token_file: str
    ca_file: str | None = None  # PEM; whose certificate the interface bears


class Wifi(_Table, frozen=True):
    """Left out for boards with Ethernet, and where Improv brings it later."""

    name: _WifiName
    password_file: str | None = None  # none: an open network


class Meter(_Table, frozen=True):
    """What a pulse means, and how long an interval is."""

    imp_per_kwh: _Pulses = 1000
    capture_period_s: Annotated[int, Meta(ge=CAPTURE_PERIOD_S_MIN, le=CAPTURE_PERIOD_S_MAX)] = 900


class Setup(_Table, frozen=True):
    """pairing.toml."""

    gateway: Gateway
    admin: Admin | None = None  # without it: off-line only
    wifi: Wifi | None = None
    meter: Meter = Meter()

    def ca(self) -> bytes | None:
        """The CA as the meter keeps it, DER; None without TLS. Raises BadInput."""
        name = self.gateway.ca_file
        return None if name is None or not self.gateway.tls else _der(Path(name))

    def wifi_password(self) -> Secret | None:
        """Raises BadInput, ExposedSecret."""
        if self.wifi is None or self.wifi.password_file is None:
            return None
        secret = read_secret(Path(self.wifi.password_file))
        if len(secret) > WIFI_CHARS_MAX:
            raise BadInput(f"a Wi-Fi password has at most {WIFI_CHARS_MAX} characters")
        return secret

    def told(self) -> dict[str, Any]:
        """The keys of the meter's config.json that hold no secret."""
        told: dict[str, Any] = {
            "gateway_host": self.gateway.host,
            "gateway_port": self.gateway.port,
            "imp_per_kwh": self.meter.imp_per_kwh,
            "capture_period_s": self.meter.capture_period_s,
            "tls": self.gateway.tls,
        }
        if self.gateway.server_name:
            told["server_name"] = self.gateway.server_name
        if self.wifi is not None:
            told["wifi_name"] = self.wifi.name
        return told


def load(path: Path) -> Setup:
    """Read a pairing.toml and look at every file it names. Raises BadInput, ExposedSecret."""
    if not path.exists():
        raise BadInput(f"there is no {path}; docs/pairing.md shows one to begin with")
    data = read_input(path, SETUP_BYTES_MAX)
    try:
        setup = msgspec.convert(tomllib.loads(data.decode()), Setup)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadInput(f"{path}: {error}; docs/pairing.md shows one") from None
    setup = _rooted(setup, path.parent)
    check(setup)
    return setup


def check(setup: Setup) -> None:
    """Everything that a meter or the gateway would refuse later. Raises BadInput, ExposedSecret."""
    if 3600 % setup.meter.capture_period_s:
        raise BadInput("meter.capture_period_s must be a divisor of 3600, such as 900")
    if setup.gateway.tls and setup.gateway.ca_file is None:
        raise BadInput("gateway.tls needs gateway.ca_file: the CA that `gateway certs ca` made")
    setup.ca()
    setup.wifi_password()
    if setup.admin is not None and not re.fullmatch(r"https?://[^/@\s]+", setup.admin.url):
        raise BadInput("admin.url is http://host:port or https://host:port, without more")


def _rooted(setup: Setup, folder: Path) -> Setup:
    """With every path relative to the file."""

    def rooted(table: Any) -> Any:
        if table is None:
            return None
        paths = {
            name: str(folder / value)
            for name, value in msgspec.structs.asdict(table).items()
            if name.endswith("_file") and value is not None
        }
        return msgspec.structs.replace(table, **paths)

    return msgspec.structs.replace(
        setup, gateway=rooted(setup.gateway), admin=rooted(setup.admin), wifi=rooted(setup.wifi)
    )


def _der(path: Path) -> bytes:
    data = read_input(path, 16 * CA_BYTES_MAX)
    if b"-----BEGIN CERTIFICATE-----" in data:
        try:
            data = ssl.PEM_cert_to_DER_cert(data.decode("ascii").strip())
        except ValueError:
            raise BadInput(f"{path} must hold one PEM certificate, the CA's") from None
    if data[:1] != b"\x30" or len(data) > CA_BYTES_MAX:
        raise BadInput(f"{path} is not a certificate of at most {CA_BYTES_MAX} bytes (DER or PEM)")
    return data
