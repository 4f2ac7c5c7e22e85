"""Makes a CA, the endpoint's certificate and clients' certificates; P-256, keys for the owner only.

Certificates begin two days back: a meter without the time judges by the newest time it knows to be
past (docs/security.md). They end on time: a year for the server, so renewing it stays a habit.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.config import read_bounded, read_secret
from gateway.doors.tls import CERTIFICATE_BYTES_MAX
from gateway.errors import UsageError
from gateway.master_key import sync_folder

BACKDATED_DAYS = 2
CA_DAYS, SERVER_DAYS, CLIENT_DAYS = 3653, 397, 1827
NAMES_MAX = 16
NAME_CHARS_MAX = 64  # of a common name, RFC 5280 appendix A.1 (ub-common-name)

_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER

Key = ec.EllipticCurvePrivateKey


def make_ca(folder: Path, name: str, now_s: int) -> list[Path]:
    """ca.pem, ca.der (for meters) and ca.key. Raises UsageError rather than overwrite one."""
    _check_name(name)
    _check_free(folder, "ca.pem", "ca.der", "ca.key")
    key = ec.generate_private_key(ec.SECP256R1())
    usage = _usage(key_cert_sign=True, crl_sign=True)
    subject = _name(name)
    builder = (
        _builder(subject, subject, key.public_key(), now_s, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(_key_id(key.public_key()), critical=False)
    )
    made = builder.sign(key, hashes.SHA256())
    return [
        _write(folder / "ca.key", _private(key), 0o600),
        _write(folder / "ca.pem", made.public_bytes(_PEM), 0o644),
        _write(folder / "ca.der", made.public_bytes(_DER), 0o644),
    ]


def make_server(folder: Path, names: Sequence[str], now_s: int) -> list[Path]:
    """server.pem and server.key for these host names and addresses, signed by the folder's CA."""
    _check_free(folder, "server.pem", "server.key")
    if not 0 < len(names) <= NAMES_MAX:
        raise UsageError(f"name 1 to {NAMES_MAX} hosts or addresses that meters connect to")
    alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
    key = ec.generate_private_key(ec.SECP256R1())
    made = _signed(folder, names[0], key.public_key(), alternatives, now_s, SERVER_DAYS, True)
    return [
        _write(folder / "server.key", _private(key), 0o600),
        _write(folder / "server.pem", made.public_bytes(_PEM), 0o644),
    ]


def renew_server(folder: Path, now_s: int) -> Path:
    """A new server.pem for the same names and key, put in place in one step."""
    path = folder / "server.pem"
    try:
        old = x509.load_pem_x509_certificate(read_bounded(path, CERTIFICATE_BYTES_MAX))
        alternatives = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        common = str(old.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    except (ValueError, IndexError, x509.ExtensionNotFound):
        raise UsageError(f"{path}: is not a certificate that `certs server` made") from None
    public = _read_key(folder / "server.key").public_key()
    made = _signed(folder, common, public, alternatives, now_s, SERVER_DAYS, True)
    waiting = folder / "server.pem.new"
    waiting.unlink(missing_ok=True)  # of a renewal that was cut off
    _write(waiting, made.public_bytes(_PEM), 0o644)
    os.replace(waiting, path)  # the key stays, so there is no moment when the two do not fit
    sync_folder(folder)
    return path


def make_client(folder: Path, meter_id: bytes, now_s: int) -> list[Path]:
    """METER_ID.pem and METER_ID.key: the name in it is the only meter it may connect as."""
    name = meter_id.hex()
    _check_free(folder, f"{name}.pem", f"{name}.key")
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name)])
    made = _signed(folder, name, key.public_key(), alternatives, now_s, CLIENT_DAYS, False)
    return [
        _write(folder / f"{name}.key", _private(key), 0o600),
        _write(folder / f"{name}.pem", made.public_bytes(_PEM), 0o644),
    ]


def _signed(
    folder: Path,
    name: str,
    public: ec.EllipticCurvePublicKey,
    alternatives: x509.SubjectAlternativeName,
    now_s: int,
    days: int,
    is_server: bool,
) -> x509.Certificate:
    authority, authority_key = _read_ca(folder)
    ends = min(now_s + days * 86_400, int(authority.not_valid_after_utc.timestamp()))
    if ends <= now_s:
        raise UsageError(f"{folder / 'ca.pem'}: the CA expired; make a new one in another folder")
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_name(name), authority.subject, public, now_s, (ends - now_s) // 86_400)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(_key_id(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    return builder.sign(authority_key, hashes.SHA256())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now_s: int,
    days: int,
) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(now_s, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=BACKDATED_DAYS))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(**granted: bool) -> x509.KeyUsage:
    kinds = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{kind: granted.get(kind, False) for kind in kinds})


def _key_id(public: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(public)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        _check_name(name)
        return x509.DNSName(name)


def _check_name(name: str) -> None:
    if not (0 < len(name) <= NAME_CHARS_MAX and name.isascii() and name.isprintable()):
        raise UsageError(f"a name in a certificate is 1 to {NAME_CHARS_MAX} ASCII characters")


def _read_ca(folder: Path) -> tuple[x509.Certificate, Key]:
    path = folder / "ca.pem"
    if not path.exists():
        raise UsageError(f"{path}: no such file; run `python -m gateway certs ca` first")
    try:
        authority = x509.load_pem_x509_certificate(read_bounded(path, CERTIFICATE_BYTES_MAX))
    except ValueError:
        raise UsageError(f"{path}: is not a certificate in PEM") from None
    key = _read_key(folder / "ca.key")
    if key.public_key() != authority.public_key():
        raise UsageError(f"{folder / 'ca.key'}: is not the key of {path}")
    return authority, key


def _read_key(path: Path) -> Key:
    secret = read_secret(path, CERTIFICATE_BYTES_MAX)
    try:
        key = serialization.load_pem_private_key(secret, None)
    except (ValueError, TypeError):
        raise UsageError(f"{path}: is not a private key in PEM without a pass phrase") from None
    if not isinstance(key, Key):
        raise UsageError(f"{path}: is not a key that `certs` made")
    return key


def _private(key: Key) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _check_free(folder: Path, *names: str) -> None:
    for name in names:
        if (folder / name).exists():
            raise UsageError(
                f"{folder / name}: exists already and is never overwritten; choose another folder"
                + (", or --renew" if name == "server.pem" else "")
            )


def _write(path: Path, data: bytes, mode: int) -> Path:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another folder") from None
    return path
