"""TLS of the endpoint: its context from [endpoint], read again when the files change, and names.

At least TLS 1.2, with forward secrecy and AEAD suites only: what mbedTLS on an ESP32 speaks, too.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509

from gateway import config as config_file
from gateway.config import read_bounded, read_secret
from gateway.errors import ConfigError

CERTIFICATE_BYTES_MAX = 65_536  # a chain in PEM
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"  # TLS 1.2; those of 1.3 are all good
PSK_CIPHERS = "ECDHE-PSK-CHACHA20-POLY1305:PSK+AESGCM"  # with forward secrecy first
EXPIRES_SOON_DAYS = 30

# Why a handshake did not succeed: reasons of refusals.
PLAIN, DISTRUSTED = "tls_expected", "tls_certificate_distrusted"
CLIENT_UNKNOWN, FAILED, TIMEOUT = "wrong_certificate", "tls_failed", "tls_timeout"

_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "PACKET_LENGTH_TOO_LONG")
_DISTRUSTED = ("UNKNOWN_CA", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "BAD_CERTIFICATE")
_CLIENT_UNKNOWN = ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "CERTIFICATE_VERIFY_FAILED")

log = structlog.get_logger()


def context_of(endpoint: config_file.Endpoint, now_s: int) -> ssl.SSLContext | None:
    """What the endpoint speaks; None is plain TCP. Raises ConfigError with the next step."""
    _check_settings(endpoint)
    if endpoint.certificate_file is None and endpoint.psk_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_ciphers(CIPHERS)
    if endpoint.certificate_file is not None and endpoint.key_file is not None:
        _load(context, Path(endpoint.certificate_file), Path(endpoint.key_file), now_s)
    if endpoint.client_ca_file is not None and endpoint.client_certificates != "off":
        _ask_clients(context, Path(endpoint.client_ca_file), endpoint.client_certificates)
    if endpoint.psk_file is not None:
        _load_psk(context, read_psk(Path(endpoint.psk_file)))
    return context


def _check_settings(endpoint: config_file.Endpoint) -> None:
    if (endpoint.certificate_file is None) != (endpoint.key_file is None):
        raise ConfigError(
            '"endpoint": certificate_file and key_file belong together; set both or none'
        )
    if endpoint.client_certificates != "off" and (
        endpoint.client_ca_file is None or endpoint.certificate_file is None
    ):
        raise ConfigError(
            '"endpoint.client_certificates" needs certificate_file, key_file and client_ca_file'
        )
    if endpoint.psk_file is not None and endpoint.certificate_file is not None:
        raise ConfigError(
            '"endpoint.psk_file" is for an endpoint without certificates; run a second gateway for'
            " meters with certificates, or drop one of the two"
        )


def _load(context: ssl.SSLContext, certificate: Path, key: Path, now_s: int) -> None:
    ends = _ends_s(certificate)
    if ends <= now_s:
        raise ConfigError(
            f"{certificate}: expired; run `python -m gateway certs server --renew`, or put a new"
            " certificate there"
        )
    read_secret(key, CERTIFICATE_BYTES_MAX)  # refuses a key that others may read
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # never asks a terminal
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"{key}: is not the key of {certificate}; put the two together that were made"
                " together"
            ) from None
        raise ConfigError(f"{key}: is not a private key in PEM without a pass phrase") from None
    except OSError as error:
        raise ConfigError(f"{certificate}: cannot be read: {error.strerror}") from None


def _ends_s(certificate: Path) -> int:
    try:
        chain = x509.load_pem_x509_certificates(read_bounded(certificate, CERTIFICATE_BYTES_MAX))
    except ValueError:
        raise ConfigError(
            f"{certificate}: is not a certificate in PEM; `python -m gateway certs` makes one"
        ) from None
    return int(min(one.not_valid_after_utc for one in chain).timestamp())


def _ask_clients(context: ssl.SSLContext, authority: Path, how: str) -> None:
    read_bounded(authority, CERTIFICATE_BYTES_MAX)
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError:
        raise ConfigError(f"{authority}: holds no CA certificate in PEM") from None
    context.verify_mode = ssl.CERT_REQUIRED if how == "required" else ssl.CERT_OPTIONAL


# -- TLS-PSK, where this Python has it


def read_psk(path: Path) -> dict[str, bytes]:
    """The keys of a psk_file by identity, which is the meter id: `METER_ID:hex`, as mosquitto has.

    16 to 64 bytes each, a secret of their own: no key of a frame. Raises ConfigError.
    """
    keys: dict[str, bytes] = {}
    text = read_secret(path, 16 * 1024 * 1024).decode("latin-1")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        identity, _, digits = line.strip().partition(":")
        try:
            key = bytes.fromhex(digits)
        except ValueError:
            key = b""
        if len(identity) != 16 or not 16 <= len(key) <= 64 or identity in keys:
            raise ConfigError(
                f"{path}: line {number} is not METER_ID:KEY of 16 and 32 to 128 hex digits,"
                " each meter once"
            )
        keys[identity] = key
    return keys


def _load_psk(context: Any, keys: Mapping[str, bytes]) -> None:
    accept: Callable[..., None] | None = getattr(context, "set_psk_server_callback", None)
    if accept is None:
        raise ConfigError(
            '"endpoint.psk_file": TLS-PSK needs Python 3.13 or newer; install that, or use'
            " certificates (`python -m gateway certs`)"
        )
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # the callback is for that one
    context.set_ciphers(PSK_CIPHERS)
    accept(lambda identity: keys.get(identity or "", b""), "openlicznik")


# -- while it runs


class Certificates:
    """The context for new connections, made anew when its files have changed."""

    def __init__(self, endpoint: config_file.Endpoint, now_s: int) -> None:
        self._endpoint = endpoint
        self._ends_s: int | None = None
        self.context = self._make(now_s)
        self._seen = self._look()

    def refresh(self, now_s: int, *, always: bool = False) -> bool:
        """Read the files again if they changed; what is wrong is logged, the old stays in force."""
        seen = self._look()
        if self.context is None or (seen == self._seen and not always):
            return False
        self._seen = seen
        try:
            self.context = self._make(now_s)
        except ConfigError as error:
            log.error("certificate_not_read", error=str(error), next="the one before stays")
            return False
        log.info("certificate_read")
        return True

    def days_left(self, now_s: int) -> int | None:
        """Until the certificate in force expires; None without one."""
        return None if self._ends_s is None else (self._ends_s - now_s) // 86_400

    def _make(self, now_s: int) -> ssl.SSLContext | None:
        context = context_of(self._endpoint, now_s)
        file = self._endpoint.certificate_file
        self._ends_s = None if file is None else _ends_s(Path(file))
        return context

    def _look(self) -> list[tuple[int, int, int] | None]:
        files = (
            self._endpoint.certificate_file,
            self._endpoint.key_file,
            self._endpoint.client_ca_file,
            self._endpoint.psk_file,
        )
        return [_mark(Path(file)) for file in files if file is not None]


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


# -- what a connection shows


def names_of(peer: Mapping[str, Any] | None) -> frozenset[str] | None:
    """The names in a client's certificate (CN and DNS); None where it showed none."""
    if not peer:
        return None
    common = {
        value for part in peer.get("subject", ()) for kind, value in part if kind == "commonName"
    }
    return frozenset(
        common | {name for kind, name in peer.get("subjectAltName", ()) if kind == "DNS"}
    )


def why_failed(error: BaseException | None) -> str:
    """The reason of a refusal, from what ended a handshake."""
    reason = getattr(error, "reason", None) or ""
    if reason in _NOT_TLS:
        return PLAIN
    if reason in _CLIENT_UNKNOWN:
        return CLIENT_UNKNOWN
    if "ALERT" in reason and reason.endswith(_DISTRUSTED):
        return DISTRUSTED
    if isinstance(error, ConnectionAbortedError):
        return TIMEOUT
    return FAILED
