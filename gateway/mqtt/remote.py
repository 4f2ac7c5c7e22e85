"""Where a broker is and how to log in there, from the configuration's url and files."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.config import Broker, Publish, read_secret
from gateway.errors import ConfigError

PORT, TLS_PORT = 1883, 8883  # as registered with IANA
PASSWORD_BYTES_MAX = 512


class Remote(NamedTuple):
    """A broker. Its repr shows no password."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    user: str | None
    password: bytes | None

    def __repr__(self) -> str:
        scheme = "mqtts" if self.tls is not None else "mqtt"
        return f"Remote({scheme}://{self.host}:{self.port})"


def remote_for(section: Broker | Publish | None) -> Remote | None:
    """The broker that a table of gateway.toml names. Raises ConfigError."""
    if section is None:
        return None
    return remote_of(section.url, section.user, section.password_file, section.ca_file)


def remote_of(
    url: str, user: str | None = None, password_file: str | None = None, ca_file: str | None = None
) -> Remote:
    """The broker at `mqtt://host:port` or `mqtts://host:port`. Raises ConfigError.

    With mqtts the broker's certificate must be one for that host, from an authority in `ca_file`
    (PEM), or from one that this computer believes.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(_bad_url(url)) from None
    good = parts.scheme in ("mqtt", "mqtts") and parts.hostname and port != 0
    if not good or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(_bad_url(url))
    if parts.username is not None or parts.password is not None:
        raise ConfigError("the broker's url must hold no user or password; set user, password_file")
    if password_file is not None and user is None:
        raise ConfigError("password_file without user: MQTT knows no such login; set user, too")
    assert parts.hostname is not None
    tls = _tls(ca_file) if parts.scheme == "mqtts" else None
    if tls is None and ca_file is not None:
        raise ConfigError("ca_file needs mqtts://; with mqtt:// nothing is checked")
    password = _read_password(Path(password_file)) if password_file is not None else None
    return Remote(
        parts.hostname, port or (TLS_PORT if tls is not None else PORT), tls, user, password
    )


def _bad_url(url: str) -> str:
    shown = url.rpartition("@")[2]  # what comes before may be a password
    return f"{shown!r} is no broker; write mqtt://host:port or mqtts://host:port"


def _tls(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{ca_file}: no certificates there ({error.strerror or error});"
            " set ca_file to a PEM file"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _read_password(path: Path) -> bytes:
    found = read_secret(path, PASSWORD_BYTES_MAX + 2).rstrip(b"\r\n")
    if not 0 < len(found) <= PASSWORD_BYTES_MAX or b"\n" in found:
        raise ConfigError(f"{path}: a password is one line of 1 to {PASSWORD_BYTES_MAX} bytes")
    return found
