"""gateway.toml: read it, refuse what is not known, check the files it names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gateway.errors import ConfigError

GATEWAY_ID_CHARS_MAX = 64
CONFIG_BYTES_MAX = 65_536
TOKEN_CHARS_MIN, TOKEN_CHARS_MAX = 16, 512

GatewayId = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9._-]{{1,{GATEWAY_ID_CHARS_MAX}}}$")]


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where meters connect. Port 0 lets the system choose; the log says which."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 1883


class Store(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str = "gateway.db"
    master_key_file: str = "master.key"


class Settlement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    token_file: str = "token"  # noqa: S105  (a file name)


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gateway_id: GatewayId
    endpoint: Endpoint = Endpoint()
    store: Store = Store()
    settlement: Settlement | None = None  # without it frames are kept and nothing is forwarded
    log: Log = Log()


EXAMPLE = """\
gateway_id = "gw-1"               # stays the same for the life of the database

[endpoint]
host = "127.0.0.1"
port = 1883

[store]
path = "gateway.db"
master_key_file = "master.key"    # wraps the meters' keys; back it up apart from the database

# [settlement]                    # where batches go; without it they wait in the database
# url = "http://127.0.0.1:8080"
# token_file = "token"            # mode 0600, the same token as the settlement service has

[log]
format = "console"                # or "json"
level = "info"                    # debug, info, warning, error
"""


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
        raise ConfigError(f"{path}: {_explain(str(error))}") from None
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


def _explain(error: str) -> str:
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
    store = Store(
        path=str(base / config.store.path),
        master_key_file=str(base / config.store.master_key_file),
    )
    settlement = config.settlement
    if settlement is not None:
        _check_url(settlement.url)
        settlement = Settlement(
            url=settlement.url.rstrip("/"), token_file=str(base / settlement.token_file)
        )
    return msgspec.structs.replace(config, store=store, settlement=settlement)


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
