"""Reads settlement.toml, refusing every key it does not know by name.

Relative paths are relative to the file. Times of the clock, sockets and the database are not
touched here, so that `check-config` can run beside a running service.
"""

from __future__ import annotations

import ipaddress
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from settlement.errors import ConfigError

TOKEN_CHARS_MIN = 16
TOKEN_CHARS_MAX = 256
PORT_MAX = 65535


class HttpSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to listen; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=PORT_MAX)] = 8080


class StoreSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the database is."""

    path: Annotated[str, msgspec.Meta(min_length=1)]


class AuthSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the bearer token of gateways and operators is."""

    token_file: Annotated[str, msgspec.Meta(min_length=1)]


class LogSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to log, to standard output."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class PortalSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the household's page is served. It has no login yet: loopback only."""

    enabled: bool = True


class Sections(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    store: StoreSection
    auth: AuthSection
    http: HttpSection = HttpSection()
    log: LogSection = LogSection()
    portal: PortalSection = PortalSection()


class Secret:
    """A text that never shows itself in logs, repr or tracebacks."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def reveal_bytes(self) -> bytes:
        """The text, for comparing in constant time."""
        return self._text.encode()


@dataclass(frozen=True)
class Config:
    """A checked configuration with absolute paths."""

    host: str
    port: int
    database: Path
    token: Secret
    log_format: str
    log_level: str
    portal_enabled: bool


def load(path: Path) -> Config:
    """Reads and checks the file and the token file. Raises ConfigError."""
    sections = _sections(path)
    if sections.portal.enabled and not is_loopback(sections.http.host):
        raise ConfigError(
            f"{path}: http.host {sections.http.host!r} is reachable from other computers and the "
            "page has no login yet: use 127.0.0.1, or set enabled = false under [portal]"
        )
    database = path.parent / sections.store.path
    if not database.parent.is_dir():
        raise ConfigError(f"{path}: store.path: make the folder {database.parent} first")
    return Config(
        host=sections.http.host,
        port=sections.http.port,
        database=database,
        token=_token(path.parent / sections.auth.token_file),
        log_format=sections.log.format,
        log_level=sections.log.level,
        portal_enabled=sections.portal.enabled,
    )


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches the host name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _sections(path: Path) -> Sections:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(data, Sections)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: write the file or name another") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_named(str(error))}") from None


def _named(message: str) -> str:
    """`Object contains unknown field `x` - at `$.http`` as `unknown key http.x`."""
    text, _, where = message.partition(" - at ")
    section = where.strip("`").removeprefix("$").removeprefix(".")
    dotted = f"{section}." if section else ""
    for prefix, wording in (
        ("Object contains unknown field ", "unknown key {}: remove it or correct its name"),
        ("Object missing required field ", "key {} is missing: add it"),
    ):
        if text.startswith(prefix):
            return wording.format(dotted + text.removeprefix(prefix).strip("`"))
    return f"key {section}: {text}" if section else text


def _token(path: Path) -> Secret:
    try:
        mode = path.stat().st_mode
        # A token is one line; reading is bounded, whatever the path points at.
        with path.open(encoding="ascii") as file:
            text = file.read(TOKEN_CHARS_MAX + 2).strip()
    except OSError as error:
        raise ConfigError(f"auth.token_file {path}: {error.strerror}: write it first") from None
    except UnicodeDecodeError:
        raise ConfigError(f"auth.token_file {path}: a token is plain ASCII") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"auth.token_file {path} can be read by others: chmod 600 {path}")
    if not TOKEN_CHARS_MIN <= len(text) <= TOKEN_CHARS_MAX or not text.isprintable():
        raise ConfigError(
            f"auth.token_file {path}: a token has {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} characters"
        )
    return Secret(text)
