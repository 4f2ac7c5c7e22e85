"""gateway.toml: read it, refuse what is not known, check the files it names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gateway.errors import ConfigError

GATEWAY_ID_CHARS_MAX = 64
CONFIG_BYTES_MAX = 65_536
TOKEN_CHARS_MIN, TOKEN_CHARS_MAX = 16, 512

GatewayId = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9._-]{{1,{GATEWAY_ID_CHARS_MAX}}}$")]


Port = Annotated[int, Meta(ge=0, le=65_535)]  # 0 lets the system choose; the log says which
Positive = Annotated[int, Meta(ge=1)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of gateway.toml. Fields that end in _file are paths, relative to the file."""


class Endpoint(_Section, frozen=True):
    """The door that meters connect to. With a certificate it speaks TLS and nothing else."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 1883
    certificate_file: str | None = None  # PEM, the chain behind it
    key_file: str | None = None
    client_ca_file: str | None = None  # whose client certificates are believed
    client_certificates: Literal["off", "optional", "required"] = "off"
    psk_file: str | None = None  # TLS-PSK, where this Python has it (3.13)


class Broker(_Section, frozen=True):
    """The other door: a broker that meters publish to."""

    url: str  # mqtt://host:port or mqtts://host:port
    user: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    version: Literal["3.1.1", "5"] = "3.1.1"
    receive_maximum: Annotated[int, Meta(ge=4, le=65_535)] = 2000


class Limits(_Section, frozen=True):
    """What one meter, one address and all together may ask for."""

    connections: Positive = 10_000
    connections_per_address: Positive = 10_000  # many meters share an address behind a NAT
    connects_per_minute: Positive = 30  # of one meter
    frames_per_second: Positive = 200  # of one meter, over a burst; then it is read more slowly
    frames_burst: Positive = 1000


class Store(_Section, frozen=True):
    """The database, and the key that wraps the meters' keys in it."""

    path: str = "gateway.db"
    master_key_file: str = "master.key"
    master_key_credential: str | None = None  # a systemd credential's name, instead of the file
    keep_days: Positive = 400  # delivered frames are kept so long


class Settlement(_Section, frozen=True):
    """Where batches go."""

    url: str
    token_file: str = "token"  # noqa: S105  (a file name)


class Publish(_Section, frozen=True):
    """A broker that gets every accepted reading, for backends that read MQTT."""

    url: str
    user: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    topic: Annotated[str, Meta(pattern=r"^[\w-]+(/[\w-]+)*$", max_length=200)] = "openlicznik"
    formats: Annotated[tuple[Literal["json", "senml"], ...], Meta(min_length=1)] = ("json",)
    enterprise: Positive = 32_473  # IANA private enterprise number in SenML names; this: examples


class Http(_Section, frozen=True):
    """Metrics, health and the admin interface."""

    host: str = "127.0.0.1"
    port: Port = 8081
    token_file: str | None = None  # without it there is no admin interface
    certificate_file: str | None = None  # PEM; with a token needed beyond loopback
    key_file: str | None = None


class Downlink(_Section, frozen=True):
    """How commands are carried to meters."""

    expiry_s: Positive = 7 * 86_400  # of a command that says nothing else
    retry_s: Positive = 60  # from a command to its repeat when no result came
    backfill: bool = True  # ask meters for the intervals that are missing


class Outages(_Section, frozen=True):
    """When silence is an outage, and when many of them are one."""

    silence_s: Positive = 3600
    grace_s: Positive = 60  # a session that died with its last will and is back within it
    area_meters: Positive = 3
    area_window_s: Positive = 120


class Smtp(_Section, frozen=True):
    """Who gets notices by e-mail."""

    host: str
    sender: str
    recipients: tuple[str, ...]
    port: Port = 587
    user: str | None = None
    password_file: str | None = None
    tls: Literal["off", "starttls", "tls"] = "starttls"
    ca_file: str | None = None  # PEM; without it, whom this computer believes


class Notices(_Section, frozen=True):
    """Where outage notices go; by MQTT with [publish]."""

    webhook_url: str | None = None
    webhook_token_file: str | None = None  # the secret that signs each notice
    mqtt: bool = False
    smtp: Smtp | None = None


class Log(_Section, frozen=True):
    """What the log looks like."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(_Section, frozen=True):
    """The whole of gateway.toml."""

    gateway_id: GatewayId
    shards: str = "00-ff"  # the meters that are ours: gateway/shards/shards.py
    endpoint: Endpoint = Endpoint()
    broker: Broker | None = None
    limits: Limits = Limits()
    store: Store = Store()
    settlement: Settlement | None = None  # without it frames are kept and nothing is forwarded
    publish: Publish | None = None
    http: Http | None = None
    downlink: Downlink = Downlink()
    outages: Outages = Outages()
    notices: Notices = Notices()
    log: Log = Log()


_T = TypeVar("_T", bound=_Section)


def load(path: Path) -> Config:
    """The configuration with its paths made absolute. Raises ConfigError, one line, next step."""
    try:
        text = read_bounded(path, CONFIG_BYTES_MAX).decode()
        config = msgspec.convert(tomllib.loads(text), Config)
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}; correct that line") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {explain(str(error))}") from None
    return _absolute(config, path.resolve().parent)


def read_bounded(path: Path, bytes_max: int) -> bytes:
    """A whole small file. Raises ConfigError when it cannot be read or is too long."""
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; `python -m gateway init` writes a first one"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > bytes_max:
        raise ConfigError(f"{path}: longer than {bytes_max} bytes; is it the right file?")
    return data


def read_secret(path: Path, bytes_max: int) -> bytes:
    """As read_bounded, and only if nobody but the owner may read it."""
    data = read_bounded(path, bytes_max)
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{path}: others may read this secret; run: chmod 600 {path}")
    return data


def read_token(path: Path) -> str:
    """The bearer token for settlement. Raises ConfigError; the text never holds the token."""
    token = read_secret(path, TOKEN_CHARS_MAX + 2).decode("latin-1").strip()
    if not TOKEN_CHARS_MIN <= len(token) <= TOKEN_CHARS_MAX or not token.isascii():
        raise ConfigError(
            f"{path}: a token is {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} ASCII characters"
        )
    if not token.isprintable() or " " in token:
        raise ConfigError(f"{path}: the token must be one line without blanks")
    return token


def explain(error: str) -> str:
    """What msgspec says of a wrong key, in our words, with the next step."""
    where = re.search(r"at `\$\.?(.*?)`$", error)
    inside = f"{where[1]}." if where and where[1] else ""
    unknown = re.search(r"unknown field `(.*?)`", error)
    if unknown:
        return f'unknown key "{inside}{unknown[1]}"; docs/gateway.md lists the known ones'
    missing = re.search(r"missing required field `(.*?)`", error)
    if missing:
        return f'"{inside}{missing[1]}" is missing; docs/gateway.md says what belongs there'
    return f'"{inside.rstrip(".")}": {error.split(" - at")[0]}'


def _absolute(config: Config, base: Path) -> Config:
    if config.settlement is not None:
        _check_url(config.settlement.url)
        url = config.settlement.url.rstrip("/")
        settlement = msgspec.structs.replace(config.settlement, url=url)
        config = msgspec.structs.replace(config, settlement=settlement)
    return _with_paths(config, base)


def _with_paths(section: _T, base: Path) -> _T:
    """Every path in a section and in those below it, made absolute."""
    changed: dict[str, object] = {}
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if isinstance(value, _Section):
            changed[name] = _with_paths(value, base)
        elif (name == "path" or name.endswith("_file")) and value is not None:
            changed[name] = str(base / value)
    return msgspec.structs.replace(section, **changed)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username is not None or parts.password is not None:
        raise ConfigError(
            '"settlement.url": must be http://host:port or https://host, without user or password'
        )
